from __future__ import annotations

from collections.abc import Callable

import pytest

from aigw_proto.mock._openai_session import BETA, CURRENT, Settings, find_wording
from aigw_proto.mock._request import MockRequest
from aigw_proto.ws import UpgradeOffer

Make = Callable[..., MockRequest]


def offer(*subprotocols: str) -> UpgradeOffer:
    return UpgradeOffer(b"/", b"h", b"k", subprotocols, (), None, [])


def test_the_beta_is_asked_for_by_header_or_subprotocol(make_request: Make) -> None:
    plain = make_request("/v1/realtime")
    assert find_wording(plain, offer("realtime")) is CURRENT
    assert find_wording(plain, offer("realtime", "openai-beta.realtime-v1")) is BETA
    header = ((b"openai-beta", b"assistants=v2, realtime=v1"),)
    assert find_wording(make_request("/v1/realtime", headers=header), offer()) is BETA


@pytest.mark.parametrize(
    ("query", "model"), [("", "gpt-realtime"), ("?model=a", "a"), ("?api-version=1&deployment=b", "b")]
)
def test_the_model_of_the_query(query: str, model: str, make_request: Make) -> None:
    settings = Settings(CURRENT, make_request("/realtime" + query))
    assert settings.describe()["model"] == settings.model == model


def test_the_defaults(make_request: Make) -> None:
    current, beta = (Settings(wording, make_request("/realtime")) for wording in (CURRENT, BETA))
    assert (current.describe()["type"], current.describe()["object"]) == ("realtime", "realtime.session")
    assert "type" not in beta.describe()
    for settings in (current, beta):
        assert settings.describe()["expires_at"] == 1_700_003_600
        assert settings.speaks({})
        assert settings.instructions == ""
        assert settings.transcription is None
        assert (settings.turn_detection or {})["type"] == "server_vad"
        assert (settings.input_bytes_per_second, settings.output_bytes_per_second) == (48_000, 48_000)
        assert not settings.transcribes


def test_an_update_is_laid_over(make_request: Make) -> None:
    settings = Settings(CURRENT, make_request("/realtime"))
    settings.update({"audio": {"input": {"turn_detection": None, "format": {"type": "audio/pcmu"}}}, "mine": {"a": 1}})
    settings.update({"audio": {"output": {"format": {"type": "audio/pcma"}}}, "instructions": "kind", "tools": [1]})
    assert settings.turn_detection is None
    assert (settings.input_bytes_per_second, settings.output_bytes_per_second) == (8_000, 8_000)
    assert settings.instructions == "kind"
    fields = settings.describe()
    assert (fields["mine"], fields["tools"]) == ({"a": 1}, [1])
    assert Settings(CURRENT, make_request("/realtime")).turn_detection is not None


def test_an_update_in_the_words_of_the_beta(make_request: Make) -> None:
    settings = Settings(BETA, make_request("/realtime"))
    settings.update(
        {
            "turn_detection": None,
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "g711_alaw",
            "input_audio_transcription": {"model": "whisper-1"},
        }
    )
    assert settings.turn_detection is None
    assert settings.transcription == {"model": "whisper-1"}
    assert (settings.input_bytes_per_second, settings.output_bytes_per_second) == (8_000, 8_000)


@pytest.mark.parametrize(
    ("session", "response", "speaks"),
    [
        ({}, {}, True),
        ({"output_modalities": ["text"]}, {}, False),
        ({"output_modalities": ["text"]}, {"output_modalities": ["audio"]}, True),
        ({"modalities": ["text"], "output_modalities": []}, {}, False),
        ({"output_modalities": "?", "modalities": None}, {}, True),
    ],
)
def test_modalities(session: dict[str, object], response: dict[str, object], speaks: bool, make_request: Make) -> None:
    settings = Settings(CURRENT, make_request("/realtime"))
    settings.update(session)
    assert settings.speaks(response) is speaks


def test_settings_do_not_grow_for_ever(make_request: Make) -> None:
    settings = Settings(CURRENT, make_request("/realtime"))
    for index in range(100):
        settings.update({f"more{index}": "x" * 10_000})
    assert 20 < len(settings.describe()) < 50


def test_odd_settings_read_as_empty(make_request: Make) -> None:
    settings = Settings(CURRENT, make_request("/realtime"))
    settings.update({"audio": 3, "instructions": [1]})
    assert settings.turn_detection is None
    assert settings.instructions == ""
    assert settings.output_bytes_per_second == 8_000
