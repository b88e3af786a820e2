"""Any TOML: a configuration that an engine starts with, or a ConfigError whose every line names the file and the key.

The input is the text of the file. No secret is ever part of a message.
"""

from __future__ import annotations

import random
from pathlib import Path

from aigw_proto.gateway import GatewayEngine
from aigw_transports.app.config import ConfigError, exposure, parse

FOLDER = Path(__file__).parent / "no-such-folder"
FILE = FOLDER / "aigw.toml"
SECRET = "hunter2-hunter2"
ENVIRONMENT = {"SECRET": SECRET, "EMPTY": "", "BAD": f"{SECRET}\n{SECRET}"}
MAX_LINE_CHARACTERS = 2000


def test_one_input(data: bytes) -> None:
    """Check one input."""
    text = data.decode("utf-8", "ignore")
    if names_devices(text):
        return
    try:
        configuration = parse(text, FILE, ENVIRONMENT)
    except ConfigError as error:
        check_problems(error, text)
        return
    assert SECRET not in "\n".join([*configuration.warnings, *exposure(configuration)])
    engine = GatewayEngine(configuration.gateway, random_bytes=random.Random(1).randbytes, epoch_unix_seconds=0.0)
    assert engine.next_timeout() is None


def names_devices(text: str) -> bool:
    """Whether the file names others by absolute paths: one may be a device, of which reading never ends."""
    return '"/' in text or "'/" in text or "file:/" in text


def check_problems(error: ConfigError, text: str) -> None:
    """Each line names the file and what was wrong, and quotes no secret."""
    assert error.problems
    for line in error.problems:
        assert line.startswith(f"{FILE}: ")
        assert len(line) <= MAX_LINE_CHARACTERS + len(text)
        assert line.isprintable()
        assert SECRET not in line or SECRET in text
