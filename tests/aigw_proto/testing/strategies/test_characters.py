from __future__ import annotations

from aigw_proto.testing.strategies._characters import CHARACTERS, PRINTED, VISIBLE


def test_characters_of_every_length() -> None:
    for characters in (PRINTED, CHARACTERS):
        assert {len(character.encode()) for character in characters} == {1, 2, 3, 4}
        assert len(set(characters)) >= len(characters) - 1  # the first is there twice: it is what texts shrink to


def test_control_characters_are_apart() -> None:
    assert VISIBLE.isascii()
    assert all(character > " " for character in VISIBLE)
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in PRINTED)
    assert set("\0\n\x7f") <= set(CHARACTERS)
