"""permessage-deflate offers and answers: the rules, the grammar, and `websockets` as a second opinion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

from aigw_proto._errors import LocalProtocolError
from aigw_proto.ws import DeflateParameters
from aigw_proto.ws._negotiation import (
    DeflatePolicy,
    answer_offers,
    check_answer,
    is_token,
    offer,
    split_extensions,
)

ANY = DeflatePolicy()
AGREED = DeflateParameters()


# --- the grammar ---


@pytest.mark.parametrize(
    ("values", "items"),
    [
        ([], []),
        ([b""], []),
        ([b" , ,,"], []),
        ([b"a,b; c ,\td"], ["a", "b; c", "d"]),
        ([b"a", b"b,c"], ["a", "b", "c"]),
        ([b'a; x="1,2";y, b'], ['a; x="1,2";y', "b"]),
        ([b'a; x="\\",\\\\", b'], ['a; x="\\",\\\\"', "b"]),
        ([b'a; x="never closed, b'], ['a; x="never closed, b']),
        ([b"\xff\xfe, b"], ["\xff\xfe", "b"]),
        ([b'\\", b'], ['\\"', "b"]),
    ],
)
def test_split(values: list[bytes], items: list[str]) -> None:
    assert split_extensions(values) == items


@pytest.mark.parametrize(
    ("text", "expected"), [("a-Z.9!#$%&'*+-.^_`|~", True), ("", False), ("a b", False), ("a:b", False), ("é", False)]
)
def test_tokens(text: str, expected: bool) -> None:
    assert is_token(text) is expected


# --- servers ---


@pytest.mark.parametrize(
    ("offered", "policy", "answer", "agreed"),
    [
        ("permessage-deflate", ANY, "permessage-deflate", AGREED),
        ("permessage-deflate; client_max_window_bits", ANY, "permessage-deflate", AGREED),
        (" permessage-deflate ;client_max_window_bits ", ANY, "permessage-deflate", AGREED),
        (
            "permessage-deflate; client_max_window_bits=10",
            ANY,
            "permessage-deflate; client_max_window_bits=10",
            DeflateParameters(client_max_window_bits=10),
        ),
        (
            'permessage-deflate; client_max_window_bits = "8"; server_max_window_bits="1\\5"',
            ANY,
            "permessage-deflate; server_max_window_bits=15; client_max_window_bits=8",
            DeflateParameters(client_max_window_bits=8),
        ),
        (
            "permessage-deflate; server_max_window_bits=9",
            ANY,
            "permessage-deflate; server_max_window_bits=9",
            DeflateParameters(server_max_window_bits=9),
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ANY,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            DeflateParameters(server_no_context_takeover=True, client_no_context_takeover=True),
        ),
        (
            "permessage-deflate; client_max_window_bits; server_max_window_bits=14",
            DeflatePolicy(True, True, 11, 12),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
                " server_max_window_bits=11; client_max_window_bits=12"
            ),
            DeflateParameters(True, True, 11, 12),
        ),
        (
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10",
            DeflatePolicy(server_max_window_bits=11, client_max_window_bits=12),
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
            DeflateParameters(False, False, 10, 9),
        ),
    ],
)
def test_answers(offered: str, policy: DeflatePolicy, answer: str, agreed: DeflateParameters) -> None:
    assert answer_offers([offered], policy) == (answer, agreed)


BAD_PARAMETERS = [
    "unknown",
    "unknown=1",
    "server_no_context_takeover=1",
    "client_no_context_takeover=true",
    "server_no_context_takeover; server_no_context_takeover",
    "client_max_window_bits; client_max_window_bits=10",
    "server_max_window_bits",
    "server_max_window_bits=",
    "server_max_window_bits=7",
    "server_max_window_bits=16",
    "server_max_window_bits=010",
    "server_max_window_bits=08",
    "server_max_window_bits=+9",
    "server_max_window_bits=1_0",
    "server_max_window_bits=\N{ARABIC-INDIC DIGIT ONE}5",
    "server_max_window_bits=ten",
    'server_max_window_bits="10',
    'server_max_window_bits=""',
    'server_max_window_bits="1 0"',
    "server_max_window_bits=10=10",
    "client_max_window_bits=16",
    "client_max_window_bits='10'",
    "server max window bits=10",
    "",
    "; ",
    "=10",
    "\xe9=10",
    "Server_Max_Window_Bits=10",
]


@pytest.mark.parametrize("parameters", BAD_PARAMETERS)
def test_a_bad_offer_is_declined_and_the_next_one_taken(parameters: str) -> None:
    bad = f"permessage-deflate; {parameters}"
    assert answer_offers([bad], ANY) is None
    assert answer_offers([bad, "permessage-deflate"], ANY) == ("permessage-deflate", AGREED)


@pytest.mark.parametrize("other", ["x-webkit-deflate-frame", "permessage-bzip2; x=y", "perm essage-deflate", "", '"x"'])
def test_other_extensions_are_passed_over(other: str) -> None:
    assert answer_offers([other], ANY) is None
    assert answer_offers([other, "permessage-deflate"], ANY) is not None


def test_preference_is_the_clients() -> None:
    offers = ["permessage-deflate; server_max_window_bits=10", "permessage-deflate"]
    assert answer_offers(offers, ANY) == (
        "permessage-deflate; server_max_window_bits=10",
        DeflateParameters(server_max_window_bits=10),
    )


def test_client_that_cannot_limit_its_window_gets_no_compression_when_that_is_the_policy() -> None:
    policy = DeflatePolicy(client_max_window_bits=10)
    assert answer_offers(["permessage-deflate"], policy) is None
    offers = ["permessage-deflate", "permessage-deflate; client_max_window_bits"]
    assert answer_offers(offers, policy) == (
        "permessage-deflate; client_max_window_bits=10",
        DeflateParameters(client_max_window_bits=10),
    )


# --- clients ---


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (ANY, "permessage-deflate; client_max_window_bits"),
        (
            DeflatePolicy(True, True, 10, 9),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
                " server_max_window_bits=10; client_max_window_bits=9"
            ),
        ),
    ],
)
def test_offers(policy: DeflatePolicy, text: str) -> None:
    assert offer(policy) == text


@pytest.mark.parametrize("bits", [7, 16])
def test_impossible_policies(bits: int) -> None:
    for policy in (DeflatePolicy(server_max_window_bits=bits), DeflatePolicy(client_max_window_bits=bits)):
        with pytest.raises(LocalProtocolError):
            offer(policy)
        with pytest.raises(LocalProtocolError):
            answer_offers([], policy)


@pytest.mark.parametrize(
    ("answers", "policy", "agreed"),
    [
        ([], None, None),
        ([], ANY, None),
        (["permessage-deflate"], ANY, AGREED),
        (["permessage-deflate"], DeflatePolicy(client_max_window_bits=9), DeflateParameters(client_max_window_bits=9)),
        (
            ["permessage-deflate"],
            DeflatePolicy(client_no_context_takeover=True),
            DeflateParameters(client_no_context_takeover=True),
        ),
        (
            ["permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10"],
            ANY,
            DeflateParameters(True, True, 10, 15),
        ),
        (["permessage-deflate; client_max_window_bits=8"], ANY, DeflateParameters(client_max_window_bits=8)),
        (
            ["permessage-deflate; server_max_window_bits=9"],
            DeflatePolicy(server_max_window_bits=10),
            DeflateParameters(server_max_window_bits=9),
        ),
    ],
)
def test_good_answers(answers: list[str], policy: DeflatePolicy | None, agreed: DeflateParameters | None) -> None:
    assert check_answer(answers, policy) == agreed


@pytest.mark.parametrize(
    ("answers", "policy"),
    [
        (["permessage-deflate"], None),
        (["permessage-bzip2"], ANY),
        (["permessage-deflate", "permessage-bzip2"], ANY),
        (["permessage-deflate", "permessage-deflate"], ANY),
        (["permessage-deflate; client_max_window_bits"], ANY),
        (["permessage-deflate; client_max_window_bits=11"], DeflatePolicy(client_max_window_bits=10)),
        (["permessage-deflate; server_max_window_bits=11"], DeflatePolicy(server_max_window_bits=10)),
        (["permessage-deflate"], DeflatePolicy(server_max_window_bits=10)),
        (["permessage-deflate"], DeflatePolicy(server_no_context_takeover=True)),
        *[([f"permessage-deflate; {parameters}"], ANY) for parameters in BAD_PARAMETERS],
    ],
)
def test_bad_answers(answers: list[str], policy: DeflatePolicy | None) -> None:
    assert isinstance(check_answer(answers, policy), str)


# --- a second opinion ---

# Without 8, which zlib cannot do by itself and `websockets` therefore declines.
BITS = st.sampled_from([None, "7", "9", "10", "15", "16", "010", "x", ""])
PARAMETERS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["server_no_context_takeover", "client_no_context_takeover"]), st.none() | BITS),
        st.tuples(st.sampled_from(["server_max_window_bits", "client_max_window_bits", "other"]), BITS),
    ),
    max_size=4,
)
POLICIES = st.builds(DeflatePolicy, st.booleans(), st.booleans(), st.integers(9, 15), st.integers(9, 15))


def write(parameters: list[tuple[str, str | None]]) -> str:
    return "; ".join(
        ["permessage-deflate", *(name if value is None else f"{name}={value}" for name, value in parameters)]
    )


def limited(bits: int) -> int | None:
    return None if bits == 15 else bits


@given(PARAMETERS, POLICIES)
def test_servers_agree_with_websockets(parameters: list[tuple[str, str | None]], policy: DeflatePolicy) -> None:
    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=policy.server_no_context_takeover,
        client_no_context_takeover=policy.client_no_context_takeover,
        server_max_window_bits=limited(policy.server_max_window_bits),
        client_max_window_bits=limited(policy.client_max_window_bits),
        require_client_max_window_bits=policy.client_max_window_bits < 15,
    )
    try:
        answer, extension = factory.process_request_params(parameters, [])
    except NegotiationError:
        theirs = None
    else:
        theirs = (
            frozenset(answer),
            extension.local_no_context_takeover,
            extension.remote_no_context_takeover,
            extension.local_max_window_bits,
            extension.remote_max_window_bits,
        )
    result = answer_offers([write(parameters)], policy)
    if result is None:
        ours = None
    else:
        text, agreed = result
        words = [word.partition("=") for word in text.split("; ")[1:]]
        ours = (
            frozenset((name, value or None) for name, _, value in words),
            agreed.server_no_context_takeover,
            agreed.client_no_context_takeover,
            agreed.server_max_window_bits,
            agreed.client_max_window_bits,
        )
    assert ours == theirs


@given(PARAMETERS, POLICIES)
def test_clients_agree_with_websockets(parameters: list[tuple[str, str | None]], policy: DeflatePolicy) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=policy.server_no_context_takeover,
        client_no_context_takeover=policy.client_no_context_takeover,
        server_max_window_bits=limited(policy.server_max_window_bits),
        client_max_window_bits=limited(policy.client_max_window_bits) or True,
    )
    try:
        extension = factory.process_response_params(parameters, [])
    except NegotiationError:
        theirs = None
    else:
        theirs = DeflateParameters(
            extension.remote_no_context_takeover,
            extension.local_no_context_takeover,
            extension.remote_max_window_bits,
            extension.local_max_window_bits,
        )
    ours = check_answer([write(parameters)], policy)
    assert (None if isinstance(ours, str) else ours) == theirs


@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([b"permessage-deflate", b";", b'"', b"\\", b"="])), max_size=8
    )
)
def test_any_bytes(parts: list[bytes]) -> None:
    offers = split_extensions([b"".join(parts), *parts])
    answer_offers(offers, ANY)
    check_answer(offers, ANY)
