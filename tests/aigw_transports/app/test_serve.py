from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

from aigw_proto.providers import BaseUrl
from aigw_proto.ws import DeflatePolicy
from aigw_transports.app._serve import LOOPBACK, StartError, redirected, run_serve
from aigw_transports.app.config import ServerSettings, default
from aigw_transports.app.log import TextLog
from support import certificates


def test_only_the_providers_are_redirected() -> None:
    config = dataclasses.replace(default().gateway, deflate=DeflatePolicy())
    changed = redirected(config, 9000)
    assert dataclasses.replace(changed, providers=config.providers) == config
    for slug in config.providers.slugs:
        provider = changed.providers.find(slug)
        assert provider is not None
        assert provider.base == dataclasses.replace(BaseUrl(False, LOOPBACK, 9000, ""), path=provider.base.path)
        assert provider.realtime is None or (provider.realtime.base.host, provider.realtime.base.port) == (
            LOOPBACK,
            9000,
        )


def test_a_certificate_that_went_bad_after_the_check(tmp_path: Path) -> None:
    certificate, key = certificates.write_files(tmp_path)
    Path(key).write_text("no key any more")
    configuration = dataclasses.replace(
        default(), server=ServerSettings(port=0, tls_certificate=certificate, tls_key=key)
    )
    with pytest.raises(StartError, match="cannot serve with TLS: expected a PEM file with a private key; "):
        run_serve(configuration, TextLog(io.StringIO()), with_mock=False)
