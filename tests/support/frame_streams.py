"""Hypothesis strategies for streams of WebSocket frames: valid, mutated and random."""

from __future__ import annotations

from hypothesis import strategies as st

from aigw_proto.ws import Opcode

from .frames import frame

PAYLOADS = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=10).map(str.encode),
    st.sampled_from([b"", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xed\xa0", b"x" * 125, b"x" * 126, b"y" * 65536]),
)


def _close_payload(code: int, reason: str) -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


CLOSE_PAYLOADS = st.one_of(
    st.just(b""),
    st.builds(
        _close_payload,
        st.sampled_from([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999]),
        st.text(max_size=20),
    ),
)
BAD_CLOSE_PAYLOADS = st.one_of(
    st.sampled_from([b"\x03", b"\x03\xe8\xff", *(code.to_bytes(2, "big") for code in (0, 999, 1004, 1005, 1006))]),
    st.binary(min_size=2, max_size=2),
)


@st.composite
def valid_messages(draw: st.DrawFn) -> list[tuple[Opcode, list[bytes]]]:
    """Messages as (opcode, payloads of their fragments); pings and pongs have one."""
    messages: list[tuple[Opcode, list[bytes]]] = []
    for _ in range(draw(st.integers(0, 6))):
        opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG]))
        if opcode in (Opcode.PING, Opcode.PONG):
            fragments = [draw(st.binary(max_size=125))]
        else:
            data = draw(st.text(max_size=200)).encode()
            if draw(st.integers(0, 9)) == 0:
                data *= 400
            cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
            fragments = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        messages.append((opcode, fragments))
    return messages


@st.composite
def valid_stream(draw: st.DrawFn, *, masked: bool) -> bytes:
    """Complete, legal messages with control frames between fragments, and sometimes a Close."""
    wire = b""
    for opcode, fragments in draw(valid_messages()):
        for index, data in enumerate(fragments):
            fin = 0x80 if index == len(fragments) - 1 else 0
            key = draw(st.binary(min_size=4, max_size=4))
            wire += frame(fin | (opcode if index == 0 else 0), data, masked=masked, key=key)
            if not fin and draw(st.booleans()):
                wire += frame(draw(st.sampled_from([0x89, 0x8A])), draw(st.binary(max_size=10)), masked=masked)
    if draw(st.booleans()):
        wire += frame(0x88, draw(CLOSE_PAYLOADS), masked=masked)
    return wire


@st.composite
def doubtful_stream(draw: st.DrawFn, *, masked: bool) -> bytes:
    """Frames of which some are wrong: opcode, order, flags, masking, length form, text or close payload."""
    wire = b""
    for _ in range(draw(st.integers(0, 6))):
        head = draw(
            st.one_of(st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88]), st.integers(0, 255))
        )
        payload = draw(PAYLOADS)
        if head & 0x0F == 0x08:
            payload = draw(st.one_of(CLOSE_PAYLOADS, BAD_CLOSE_PAYLOADS))
        right = draw(st.integers(0, 19)) > 0
        form = None
        if draw(st.integers(0, 19)) == 0:
            form = 127 if len(payload) > 65535 else draw(st.sampled_from([126, 127]))
        wire += frame(head, payload, masked=masked == right, form=form)
    return wire


@st.composite
def mutated_stream(draw: st.DrawFn, *, masked: bool) -> bytes:
    """A valid stream with a few octets changed, or cut short."""
    wire = bytearray(draw(valid_stream(masked=masked)))
    for _ in range(draw(st.integers(1, 3))):
        if wire:
            wire[draw(st.integers(0, min(len(wire) - 1, 400)))] = draw(st.integers(0, 255))
    return bytes(wire[: draw(st.integers(0, len(wire)))] if draw(st.booleans()) else wire)


def any_stream(*, masked: bool) -> st.SearchStrategy[bytes]:
    """Any of the above, or plain noise."""
    return st.one_of(
        valid_stream(masked=masked),
        doubtful_stream(masked=masked),
        mutated_stream(masked=masked),
        st.binary(max_size=100),
    )
