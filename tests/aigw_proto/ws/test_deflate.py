from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto.ws._deflate import DeflateParameters, Deflater, Inflater
from aigw_proto.ws._violation import Violation

TAIL = b"\x00\x00\xff\xff"
BITS = range(8, 16)


def inflate(inflater: Inflater, data: bytes, *, finished: bool = True, limit: int = 65536) -> bytes:
    inflater.feed(data, finished=finished)
    output = b""
    while inflater.busy:
        step = inflater.read(limit)
        assert len(step) <= limit
        output += step
    return output


def new_inflater(*, window_bits: int = 15, no_context_takeover: bool = False) -> Inflater:
    return Inflater(window_bits=window_bits, no_context_takeover=no_context_takeover)


def final_block(data: bytes, history: bytes = b"") -> bytes:
    compressor = zlib.compressobj(wbits=-15, zdict=history) if history else zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush(zlib.Z_FINISH)


def test_defaults_are_those_of_the_rfc() -> None:
    assert DeflateParameters() == DeflateParameters(False, False, 15, 15)


@given(
    messages=st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 3)), max_size=6),
    bits=st.sampled_from(BITS),
    fresh=st.booleans(),
    limit=st.integers(1, 400),
)
@settings(max_examples=80)
def test_round_trip(messages: list[tuple[bytes, int]], bits: int, fresh: bool, limit: int) -> None:
    deflater = Deflater(window_bits=bits, no_context_takeover=fresh)
    inflater = new_inflater(window_bits=bits, no_context_takeover=fresh)
    for data, fragments in messages:
        output = b""
        for _ in range(fragments):
            piece = deflater.compress(data, finished=False)
            received = inflate(inflater, piece, finished=False, limit=limit)
            assert received == data, "each fragment can be inflated when it arrives"
            output += received
        last = deflater.compress(data, finished=True)
        assert last
        output += inflate(inflater, last, limit=limit)
        assert output == data * (fragments + 1)


def test_empty_message_and_empty_last_fragment() -> None:
    deflater = Deflater(window_bits=15, no_context_takeover=False)
    inflater = new_inflater()
    assert inflate(inflater, deflater.compress(b"", finished=True)) == b""
    assert inflate(inflater, deflater.compress(b"abc", finished=False), finished=False) == b"abc"
    assert inflate(inflater, deflater.compress(b"", finished=True)) == b""
    assert inflate(inflater, deflater.compress(b"still in step", finished=True)) == b"still in step"


def test_examples_of_the_rfc() -> None:
    hello = bytes.fromhex("f248cdc9c90700")
    assert inflate(new_inflater(), hello) == b"Hello"
    both = new_inflater()
    assert inflate(both, hello) == b"Hello"
    assert inflate(both, bytes.fromhex("f200110000")) == b"Hello", "second message refers to the first (7.2.3.2)"
    assert inflate(new_inflater(), bytes.fromhex("000500faff48656c6c6f00")) == b"Hello", "stored block (7.2.3.3)"
    assert inflate(new_inflater(), bytes.fromhex("f348cdc9c9070000")) == b"Hello", "BFINAL (7.2.3.4)"
    assert inflate(new_inflater(), bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", ""))) == b"Hello"


def test_context_takeover_is_used_and_not_used() -> None:
    data = random.Random(1).randbytes(2000)
    with_context = Deflater(window_bits=15, no_context_takeover=False)
    without = Deflater(window_bits=15, no_context_takeover=True)
    assert len(with_context.compress(data, finished=True)) > 1000
    assert len(with_context.compress(data, finished=True)) < 100
    assert without.compress(data, finished=True) == without.compress(data, finished=True)
    inflater = new_inflater(no_context_takeover=True)
    second = Deflater(window_bits=15, no_context_takeover=False)
    assert inflate(inflater, second.compress(data, finished=True)) == data
    with pytest.raises(Violation) as caught:
        inflate(inflater, second.compress(data, finished=True))
    assert caught.value.code == 1007


@pytest.mark.parametrize("seed", range(8))
def test_compressing_for_a_window_of_256_octets_never_looks_back_further(seed: int) -> None:
    source = random.Random(seed)
    data = bytes(source.choice(b"abcd") for _ in range(3000)) + source.randbytes(200 + 20 * seed) * 8
    compressed = Deflater(window_bits=8, no_context_takeover=False).compress(data, finished=True) + TAIL
    strict = zlib.decompressobj(wbits=-8)
    output, pending = b"", compressed
    while step := strict.decompress(pending, 1):  # one octet a call, so that zlib has nothing but its window
        output += step
        pending = strict.unconsumed_tail
    assert output == data


def test_final_blocks_keep_the_window() -> None:
    inflater = new_inflater()
    first = random.Random(2).randbytes(500)
    assert inflate(inflater, final_block(first) + b"\x00") == first
    again = final_block(first, history=first)
    assert len(again) < 100
    assert inflate(inflater, again + b"\x00") == first
    assert inflate(inflater, final_block(b"without the empty block")) == b"without the empty block"
    assert inflate(inflater, final_block(b"a") + final_block(b"") + final_block(b"b") + b"\x00") == b"ab"
    plain = Deflater(window_bits=15, no_context_takeover=False)
    assert inflate(inflater, plain.compress(b"and on", finished=True)) == b"and on"


def test_final_block_within_fragments_byte_by_byte() -> None:
    inflater = new_inflater()
    stream = final_block(b"first") + final_block(b"second") + b"\x00"
    output = b"".join(inflate(inflater, stream[i : i + 1], finished=False) for i in range(len(stream)))
    assert output + inflate(inflater, b"") == b"firstsecond"


def test_window_is_kept_over_many_messages() -> None:
    inflater = new_inflater(window_bits=9)
    data = b""
    for number in range(100):
        data = b"%05d" % number * 7
        assert inflate(inflater, final_block(data) + b"\x00") == data
    assert inflate(inflater, final_block(data, history=data) + b"\x00") == data


def test_too_many_final_blocks_are_an_attack() -> None:
    inflater = new_inflater()
    inflater.feed(final_block(b"") * 30_000, finished=False)
    with pytest.raises(Violation) as caught:
        inflater.read(65536)
    assert caught.value.code == 1009
    for _ in range(3):  # counted by message, not by connection
        other = new_inflater()
        assert inflate(other, final_block(b"x") * 1000 + b"\x00") == b"x" * 1000


@given(junk=st.binary(max_size=200), finished=st.booleans())
@settings(max_examples=100)
def test_any_bytes_inflate_or_are_a_violation(junk: bytes, finished: bool) -> None:
    code = 1007
    try:
        inflate(new_inflater(), junk, finished=finished, limit=100)
    except Violation as violation:
        code = violation.code
    assert code == 1007


def test_a_bomb_costs_no_memory() -> None:
    bomb = Deflater(window_bits=15, no_context_takeover=False).compress(bytes(64 << 20), finished=True)
    inflater = new_inflater()
    tracemalloc.start()
    inflater.feed(bomb, finished=True)
    total = 0
    while inflater.busy:
        total += len(inflater.read(65536))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 64 << 20
    assert peak < 1 << 20
