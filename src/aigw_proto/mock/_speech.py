"""Speech for realtime providers that have neither ears nor voice.

What a client says is measured and forgotten, and its transcript is how much it was. A chunk of digital silence behind
other sound ends a turn, so that a test decides when one ends. What the provider says is a tone that is never silent,
the same length for each word.
"""

from __future__ import annotations

import base64
import binascii
import enum
from typing import Final

__all__ = ["SECONDS_OF_A_WORD", "Ear", "Sound", "decode_base64", "encode_base64", "sound", "sound_of_a_word"]

SECONDS_OF_A_WORD: Final = 0.1
_TONE: Final = bytes(range(1, 251))
_STANDARD_ALPHABET: Final = str.maketrans("-_", "+/")


class Sound(enum.Enum):
    """What a chunk of audio meant to the turn."""

    NOTHING = "silence goes on"
    BEGINNING = "somebody begins to speak"
    SPEECH = "somebody goes on speaking"
    END = "silence after speech"


class Ear:
    """Measures what a client says."""

    def __init__(self, bytes_per_second: int) -> None:
        """Listen to audio of that rate, which may be changed between chunks."""
        self.bytes_per_second = max(1, bytes_per_second)
        self.total_bytes = 0
        """Heard since the beginning."""
        self.turn_bytes = 0
        """Heard since the last turn was taken."""
        self.speaking = False
        """Whether somebody speaks."""

    def hear(self, audio: bytes) -> Sound:
        """Take a chunk of audio."""
        self.total_bytes += len(audio)
        self.turn_bytes += len(audio)
        silent = not audio.strip(b"\x00")
        if self.speaking:
            self.speaking = not silent
            return Sound.END if silent else Sound.SPEECH
        self.speaking = not silent
        return Sound.NOTHING if silent else Sound.BEGINNING

    def take(self) -> str:
        """End the turn; return what was said in it."""
        transcript = f"{self.turn_bytes} bytes of audio"
        self.forget()
        return transcript

    def forget(self) -> None:
        """Begin a new turn as if nothing had been heard in this one."""
        self.turn_bytes = 0
        self.speaking = False

    @property
    def seconds(self) -> float:
        """Duration of everything heard."""
        return self.total_bytes / self.bytes_per_second

    @property
    def turn_seconds(self) -> float:
        """Duration of what was heard since the last turn."""
        return self.turn_bytes / self.bytes_per_second


def sound(size: int) -> bytes:
    """Return `size` bytes of audio that are no text in any encoding and never silent."""
    return (_TONE * (size // len(_TONE) + 1))[:size]


def sound_of_a_word(bytes_per_second: int) -> bytes:
    """Return the audio of one word."""
    return sound(int(bytes_per_second * SECONDS_OF_A_WORD))


def encode_base64(data: bytes) -> str:
    """Return bytes as a JSON string may hold them."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(value: object) -> bytes | None:
    """Return the bytes that a JSON string holds, in either alphabet, or None when it holds none."""
    if not isinstance(value, str) or not value.isascii():
        return None
    try:
        return base64.b64decode(value.translate(_STANDARD_ALPHABET), validate=True)
    except binascii.Error:
        return None
