"""The characters that texts are made of: all of ASCII that is printed, and others of every length in UTF-8.

They are listed because Hypothesis needs seconds to work out what Unicode has, once for each folder that it runs in.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CHARACTERS", "PRINTED", "VISIBLE"]

VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_TWO_BYTES: Final = "\x80\xa0éß\u0301\u07ff"
_THREE_BYTES: Final = "\u0800\u200b日本\u2028\ud7ff\ue000\ufeff\ufffd\uffff"
_FOUR_BYTES: Final = "\U00010000😀\U0010ffff"
PRINTED: Final = f" {VISIBLE}{_TWO_BYTES[1:]}{_THREE_BYTES}{_FOUR_BYTES}"
CHARACTERS: Final = f"a\0\t\n\r\x1f\x7f{_TWO_BYTES[0]}{PRINTED}"
