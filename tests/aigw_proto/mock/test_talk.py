from __future__ import annotations

from aigw_proto.mock._talk import Echo, Say, say_json


def test_an_echo_says_its_greeting_and_what_it_hears() -> None:
    assert list(Echo(()).greet()) == []
    talk = Echo(("a",), Say(b"hello"))
    assert list(talk.greet()) == [Say(b"hello")]
    assert list(talk.hear("\u00e9")) == [Say(b"\xc3\xa9", text=True)]
    assert list(talk.hear(b"\xff")) == [Say(b"\xff", text=False)]
    assert talk.subprotocols == ("a",)
    assert talk.echoes


def test_json_is_printed_without_white_space() -> None:
    assert say_json({"a": [1, None], "b": "\u00e9"}) == Say('{"a":[1,null],"b":"é"}'.encode())
    assert say_json({}, text=False) == Say(b"{}", text=False)
