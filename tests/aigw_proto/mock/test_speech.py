from __future__ import annotations

import pytest

from aigw_proto.mock._speech import Ear, Sound, decode_base64, encode_base64, sound, sound_of_a_word


def test_an_ear_measures_turns() -> None:
    ear = Ear(100)
    assert ear.hear(b"\x00" * 10) is Sound.NOTHING
    assert (ear.speaking, ear.turn_bytes) == (False, 10)
    assert ear.hear(b"\x00\x01") is Sound.BEGINNING
    assert ear.hear(b"\x01" * 8) is Sound.SPEECH
    assert (ear.speaking, ear.turn_bytes) == (True, 20)
    assert ear.hear(b"\x00" * 5) is Sound.END
    assert (ear.total_bytes, ear.turn_bytes, ear.seconds, ear.turn_seconds) == (25, 25, 0.25, 0.25)
    assert ear.take() == "25 bytes of audio"
    assert (ear.turn_bytes, ear.total_bytes, ear.speaking) == (0, 25, False)


def test_a_rate_of_nothing_is_no_division_by_it() -> None:
    assert Ear(0).seconds == 0


@pytest.mark.parametrize("size", [0, 1, 249, 250, 251, 1000])
def test_sound_is_never_silent(size: int) -> None:
    assert len(sound(size)) == size
    assert b"\x00" not in sound(size)


def test_a_word_is_a_tenth_of_a_second() -> None:
    assert len(sound_of_a_word(48_000)) == 4800


def test_base64_in_both_alphabets() -> None:
    data = bytes(range(248, 256))
    assert decode_base64(encode_base64(data)) == data
    assert decode_base64("-Pn6-_z9_v8=") == data
    assert decode_base64("") == b""


@pytest.mark.parametrize("value", ["a", "a b=", "\u00e9", None, 3, [], "====", "AAA"])
def test_what_is_no_base64(value: object) -> None:
    assert decode_base64(value) is None
