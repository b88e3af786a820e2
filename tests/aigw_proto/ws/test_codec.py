from __future__ import annotations

from aigw_proto import ws
from aigw_proto.ws import _codec, _codec_py, _mask_py


def test_the_pure_codec_is_the_one_that_is_loaded() -> None:
    assert _codec.IMPLEMENTATION == ws.IMPLEMENTATION == "pure"
    assert _codec.FrameDecoder is _codec_py.FrameDecoder
    assert _codec.encode_frame is _codec_py.encode_frame
    assert _codec.encode_header is _codec_py.encode_header
    assert _codec.apply_mask is _mask_py.apply_mask
