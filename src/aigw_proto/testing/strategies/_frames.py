"""WebSocket frames and streams of them (RFC 6455 section 5), written by hand: they do not depend on the codec."""

from __future__ import annotations

from hypothesis import strategies as st

from ..._kinds import Role, record
from ...ws import Opcode
from ._characters import CHARACTERS

__all__ = ["WebSocketMessage", "doubtful_frame_streams", "frame_streams", "frames", "messages"]

_FINAL, _MASKED = 0x80, 0x80
_CONTROL = 0x08
_TWO_BYTES, _EIGHT_BYTES = 126, 127  # what stands for a length that follows in so many
_LENGTHS = {_TWO_BYTES: 2, _EIGHT_BYTES: 8}
_MAX_CONTROL_BYTES = 125
_FIRST_OCTETS = [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88]
_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999]
_BAD_CODES = [0, 999, 1004, 1005, 1006, 1015, 2999, 5000]
_PAYLOADS = st.one_of(
    st.binary(max_size=20),
    st.text(CHARACTERS, max_size=10).map(str.encode),
    st.sampled_from([b"", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xed\xa0", b"x" * 125, b"x" * 126, b"y" * 65536]),
)


@record
class WebSocketMessage:
    """A message and the payloads of its frames; pings and pongs have one. Texts are UTF-8, cut anywhere."""

    opcode: Opcode
    fragments: tuple[bytes, ...]


def messages(*, controls: bool = True) -> st.SearchStrategy[WebSocketMessage]:
    """Draw a legal text or binary message, or with `controls` a ping or a pong."""
    data = st.tuples(st.text(CHARACTERS, max_size=200), st.integers(0, 9)).map(_sometimes_long)
    return _messages(data, [Opcode.TEXT, Opcode.BINARY, *([Opcode.PING, Opcode.PONG] if controls else [])])


@st.composite
def _messages(draw: st.DrawFn, data: st.SearchStrategy[bytes], opcodes: list[Opcode]) -> WebSocketMessage:
    opcode = draw(st.sampled_from(opcodes))
    if opcode & _CONTROL:
        return WebSocketMessage(opcode, (draw(st.binary(max_size=_MAX_CONTROL_BYTES)),))
    whole = draw(data)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    pairs = zip([0, *cuts], [*cuts, len(whole)], strict=True)
    return WebSocketMessage(opcode, tuple(whole[start:end] for start, end in pairs))


def _sometimes_long(drawn: tuple[str, int]) -> bytes:
    text, number = drawn
    return text.encode() * (400 if number == 9 else 1)


def frames(sender: Role) -> st.SearchStrategy[bytes]:
    """Draw one legal frame as `sender` writes it: a whole message, a ping, a pong or a Close."""
    plain = messages().map(lambda message: (_FINAL | message.opcode, b"".join(message.fragments)))
    heads = st.one_of(plain, _close_payloads().map(lambda payload: (_FINAL | Opcode.CLOSE, payload)))
    return st.tuples(heads, _keys(sender)).map(lambda drawn: _frame(drawn[0][0], drawn[0][1], drawn[1]))


@st.composite
def frame_streams(draw: st.DrawFn, sender: Role, *, max_messages: int = 6) -> bytes:
    """Draw legal messages, all complete, with pings and pongs between their fragments, and sometimes a Close behind."""
    wire = b""
    for message in draw(st.lists(messages(), max_size=max_messages)):
        for index, payload in enumerate(message.fragments):
            final = _FINAL if index == len(message.fragments) - 1 else 0
            wire += _frame(final | (message.opcode if index == 0 else 0), payload, draw(_keys(sender)))
            if not final and draw(st.booleans()):
                head = _FINAL | draw(st.sampled_from([Opcode.PING, Opcode.PONG]))
                wire += _frame(head, draw(st.binary(max_size=10)), draw(_keys(sender)))
    if draw(st.booleans()):
        wire += _frame(_FINAL | Opcode.CLOSE, draw(_close_payloads()), draw(_keys(sender)))
    return wire


def doubtful_frame_streams(sender: Role) -> st.SearchStrategy[bytes]:
    """Draw anything that may arrive: legal frames, wrong ones among them, changed or missing octets, or noise."""
    return st.one_of(frame_streams(sender), _wrong_streams(sender), _changed_streams(sender), st.binary(max_size=100))


@st.composite
def _wrong_streams(draw: st.DrawFn, sender: Role) -> bytes:
    """Frames of which some are wrong: opcode, order, flags, masking, form of the length, text or Close."""
    wire = b""
    for _ in range(draw(st.integers(0, 6))):
        head = draw(st.one_of(st.sampled_from(_FIRST_OCTETS), st.integers(0, 255)))
        payload = draw(_PAYLOADS)
        if head & 0x0F == Opcode.CLOSE:
            payload = draw(st.one_of(_close_payloads(), _bad_close_payloads()))
        by_whom = sender if draw(st.integers(0, 19)) > 0 else _other(sender)
        form = None
        if draw(st.integers(0, 19)) == 0:
            form = _EIGHT_BYTES if len(payload) > 0xFFFF else draw(st.sampled_from([_TWO_BYTES, _EIGHT_BYTES]))
        wire += _frame(head, payload, draw(_keys(by_whom)), form)
    return wire


@st.composite
def _changed_streams(draw: st.DrawFn, sender: Role) -> bytes:
    """Legal streams with a few octets changed, or cut short."""
    wire = bytearray(draw(frame_streams(sender)))
    for _ in range(draw(st.integers(1, 3))):
        if wire:
            wire[draw(st.integers(0, min(len(wire) - 1, 400)))] = draw(st.integers(0, 255))
    return bytes(wire[: draw(st.integers(0, len(wire)))] if draw(st.booleans()) else wire)


def _close_payloads() -> st.SearchStrategy[bytes]:
    return st.one_of(st.just(b""), st.builds(_close, st.sampled_from(_CODES), st.text(CHARACTERS, max_size=20)))


def _bad_close_payloads() -> st.SearchStrategy[bytes]:
    codes = st.sampled_from(_BAD_CODES).map(lambda code: _close(code, ""))
    return st.one_of(st.sampled_from([b"\x03", b"\x03\xe8\xff"]), codes, st.binary(min_size=2, max_size=2))


def _close(code: int, reason: str) -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


def _other(role: Role) -> Role:
    return Role.SERVER if role is Role.CLIENT else Role.CLIENT


def _keys(sender: Role) -> st.SearchStrategy[bytes | None]:
    """Return mask keys for a client, None for a server, which does not mask."""
    return st.binary(min_size=4, max_size=4) if sender is Role.CLIENT else st.none()


def _frame(head: int, payload: bytes, key: bytes | None, form: int | None = None) -> bytes:
    """Write one frame; `form` forces the form of the length, minimal or not."""
    length = len(payload)
    if form is None:
        form = length if length < _TWO_BYTES else _TWO_BYTES if length <= 0xFFFF else _EIGHT_BYTES
    extended = length.to_bytes(_LENGTHS[form], "big") if form in _LENGTHS else b""
    header = bytes((head, form | (0 if key is None else _MASKED))) + extended
    return header + payload if key is None else header + key + _mask(payload, key)


def _mask(payload: bytes, key: bytes) -> bytes:
    """Mask as one number (section 5.3): octet by octet would take most of the time of a test."""
    repeated = (key * (len(payload) // len(key) + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")
