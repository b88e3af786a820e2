"""The one place from which the frame codec is imported; picks the implementation.

`IMPLEMENTATION` says which one is loaded. Callers see the same names and types whatever stands behind them.
"""

from __future__ import annotations

from typing import Final

from ._codec_py import FrameDecoder, encode_frame, encode_header
from ._mask_py import apply_mask

__all__ = ["IMPLEMENTATION", "FrameDecoder", "apply_mask", "encode_frame", "encode_header"]

IMPLEMENTATION: Final[str] = "pure"
"""Which codec is loaded: "pure"."""
