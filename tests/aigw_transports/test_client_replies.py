from __future__ import annotations

import dataclasses

import msgspec
import pytest

from aigw_proto.envelopes import Metadata
from aigw_transports._client_replies import Chunk, Reply, decode_json, encode_query


def metadata(encoding: str | None = None) -> Metadata:
    return Metadata("e", "l", 0, "application/json", encoding=encoding)


@dataclasses.dataclass
class Prompt:
    text: str


def test_queries_are_json_of_what_was_given() -> None:
    assert encode_query({"a": [1, 1.5, None, True, "ä"], "b": Prompt("x")}) == (
        '{"a":[1,1.5,null,true,"ä"],"b":{"text":"x"}}'.encode()
    )
    assert encode_query("text") == b'"text"'
    assert encode_query(None) == b"null"
    assert encode_query([1]) == b"[1]"


def test_ready_bytes_are_checked_and_left_alone() -> None:
    assert encode_query(b' {"a" : 1.10} ') == b' {"a" : 1.10} '
    for wrong in (b"", b"{", b"1 2", b'"\xff"', b"NaN"):
        with pytest.raises(ValueError, match="not one valid JSON value"):
            encode_query(wrong)


def test_half_a_surrogate_pair_can_be_read() -> None:
    assert decode_json(b'{"a":"\\ud83d"}') == {"a": "\ud83d"}


def test_a_payload_is_decoded_once_and_as_a_type() -> None:
    reply = Reply(metadata(), b'{"text":"x"}')
    assert reply.response == {"text": "x"}
    assert reply.response is reply.response
    assert reply.decode(Prompt) == Prompt("x")
    with pytest.raises(msgspec.ValidationError):
        reply.decode(int)
    assert repr(reply).startswith("Reply(raw=b'{")
    assert repr(Chunk(b"1", "ping")) == "Chunk(raw=b'1', event='ping')"


def test_content_is_the_providers_body() -> None:
    assert Reply(metadata(), b'{"a":1}').content == b'{"a":1}'
    assert Reply(metadata("base64"), b'"AAEC/w=="').content == b"\x00\x01\x02\xff"
    assert Reply(metadata("base64"), b'"not base64"').content == b'"not base64"'
    assert Reply(metadata("base64"), b"{}").content == b"{}"
