from __future__ import annotations

from hypothesis import find, given
from hypothesis import strategies as st

from aigw_proto.testing.strategies import cuts


@given(data=st.binary(max_size=30), draw=st.data())
def test_chunks_are_the_whole_and_never_empty(data: bytes, draw: st.DataObject) -> None:
    chunks = draw.draw(cuts(data, max_cuts=3))
    assert b"".join(chunks) == data
    assert all(chunks)
    assert len(chunks) <= max(4, len(data))


def test_there_are_many_and_single_bytes() -> None:
    assert find(cuts(b"abcdef"), lambda chunks: len(chunks) == 6) == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert find(cuts(b"abcdef"), lambda chunks: chunks[0] == b"abc") == [b"abc", b"def"]
    assert find(cuts(b"abcdef"), bool) == [b"abcdef"]
