"""Which server and path a gateway path means, for each provider's rule."""

from __future__ import annotations

import pytest

from aigw_proto.providers._address import BaseUrl
from aigw_proto.providers._dialect import Dialect
from aigw_proto.providers._realtime_path import Place, find_parameter, find_place
from aigw_proto.providers._table import Provider, ProviderTable

TABLE = ProviderTable.builtin()


def provider_of(table: ProviderTable | str, slug: str) -> Provider:
    assert isinstance(table, ProviderTable), table
    provider = table.find_realtime(slug)
    assert provider is not None
    return provider


def find(provider: Provider, target: str, account: str = "acc") -> Place | str:
    assert provider.realtime is not None
    path, _, query = target.partition("?")
    return find_place(provider.realtime, path, query.split("&") if query else [], account)


def place(slug: str, target: str, table: ProviderTable | str = TABLE) -> Place:
    found = find(provider_of(table, slug), target)
    assert isinstance(found, Place), found
    return found


def url(found: Place) -> str:
    return found.base.host + found.path + ("?" + "&".join(found.query) if found.query else "")


LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
WORKERS_AI = "api.cloudflare.com/client/v4/accounts/acc/ai"


GROUPS: dict[tuple[str, str, Dialect], list[tuple[str, str, str | None]]] = {
    ("openai", "api.openai.com", Dialect.OPENAI_REALTIME): [
        ("", "/v1/realtime", None),
        ("?model=gpt-realtime", "/v1/realtime?model=gpt-realtime", "gpt-realtime"),
        ("realtime?model=m", "/v1/realtime?model=m", "m"),
        ("v1/realtime?model=m", "/v1/realtime?model=m", "m"),
        ("v1?model=m", "/v1/realtime?model=m", "m"),
        ("v1/v1/x", "/v1/v1/x", None),
        ("realtime/", "/v1/realtime/", None),
        ("realtime?call_id=1&intent=transcription", "/v1/realtime?call_id=1&intent=transcription", None),
    ],
    ("openai", "api.openai.com", Dialect.OPENAI_RESPONSES): [
        ("responses", "/v1/responses", None),
        ("v1/responses?x=%41", "/v1/responses?x=%41", None),
    ],
    ("grok", "api.x.ai", Dialect.OPENAI_REALTIME): [
        ("", "/v1/realtime", None),
    ],
    ("grok", "api.x.ai", Dialect.OPENAI_RESPONSES): [
        ("responses", "/v1/responses", None),
    ],
    ("google", "generativelanguage.googleapis.com", Dialect.GEMINI_LIVE): [
        ("", LIVE, None),
        ("?api_key=K%2B", LIVE + "?key=K%2B", None),
        ("?a=1&api_key=K&b", LIVE + "?a=1&key=K&b", None),
        ("?api_key=K&key=L", LIVE + "?key=L", None),
        ("?api_key=K&key=", LIVE + "?key=K", None),
        ("?api_key=&x", LIVE + "?x", None),
    ],
    ("google-ai-studio", "generativelanguage.googleapis.com", Dialect.GEMINI_LIVE): [
        ("ws/google.ai.v1alpha.X?key=K", "/ws/google.ai.v1alpha.X?key=K", None),
    ],
    ("cartesia", "api.cartesia.ai", Dialect.CARTESIA): [
        ("", "/tts/websocket", None),
        ("stt/websocket?model=ink", "/stt/websocket?model=ink", "ink"),
    ],
    ("deepgram", "api.deepgram.com", Dialect.DEEPGRAM): [
        ("?model=nova-3", "/v1/listen?model=nova-3", "nova-3"),
        ("v2/listen?model=flux", "/v2/listen?model=flux", "flux"),
    ],
    ("deepgram", "agent.deepgram.com", Dialect.DEEPGRAM): [
        ("v1/agent/converse", "/v1/agent/converse", None),
    ],
    ("elevenlabs", "api.elevenlabs.io", Dialect.ELEVENLABS_AGENT): [
        ("?agent_id=A&x=1", "/v1/convai/conversation?agent_id=A&x=1", None),
        ("?voice_id=V&agent_id=A", "/v1/convai/conversation?voice_id=V&agent_id=A", None),
    ],
    ("elevenlabs", "api.elevenlabs.io", Dialect.ELEVENLABS_SPEECH): [
        ("?voice_id=V1_-&model_id=m", "/v1/text-to-speech/V1_-/stream-input?model_id=m", "m"),
        ("v1/text-to-speech/V/multi-stream-input", "/v1/text-to-speech/V/multi-stream-input", None),
        ("v1/speech-to-text/realtime?model_id=s", "/v1/speech-to-text/realtime?model_id=s", "s"),
    ],
    ("fal", "ws.fal.run", Dialect.FAL): [
        ("fal-ai/fast-lcm-diffusion", "/fal-ai/fast-lcm-diffusion", "fal-ai/fast-lcm-diffusion"),
    ],
    ("fal", "fal.run", Dialect.FAL): [
        ("fal-ai/x/realtime?fal_jwt_token=T", "/fal-ai/x/realtime?fal_jwt_token=T", "fal-ai/x"),
    ],
    ("workers-ai", WORKERS_AI, Dialect.DEEPGRAM): [
        (
            "?model=@cf/deepgram/nova-3&encoding=linear16",
            "/run/@cf/deepgram/nova-3?encoding=linear16",
            "@cf/deepgram/nova-3",
        ),
        ("?a=1&model=%40cf%2Fdeepgram%2Fflux", "/run/@cf/deepgram/flux?a=1", "@cf/deepgram/flux"),
        ("@cf/deepgram/aura-1?x=1", "/run/@cf/deepgram/aura-1?x=1", "@cf/deepgram/aura-1"),
    ],
    ("workers-ai", WORKERS_AI, Dialect.UNKNOWN): [
        ("run/@cf/x/y?model=z", "/run/@cf/x/y?model=z", "@cf/x/y"),
        ("v1/realtime?model=z", "/v1/realtime?model=z", "z"),
    ],
    ("azure-openai", "res.openai.azure.com", Dialect.OPENAI_REALTIME): [
        ("Res/openai/realtime?api-version=1&deployment=d", "/openai/realtime?api-version=1&deployment=d", "d"),
        ("res/openai/v1/realtime?model=d", "/openai/v1/realtime?model=d", "d"),
        ("res/d%20x/realtime?api-version=1", "/openai/realtime?api-version=1&deployment=d%20x", "d x"),
        ("res/a&b/realtime", "/openai/v1/realtime?model=a%26b", "a&b"),
        ("res/d/realtime?api-version=1&deployment=e", "/openai/realtime?api-version=1&deployment=e", "e"),
    ],
    ("azure-openai", "res.openai.azure.com", Dialect.OPENAI_RESPONSES): [
        ("res/openai/v1/responses", "/openai/v1/responses", None),
    ],
}
ROWS = [
    (slug, dialect, target, base + path, model)
    for (slug, base, dialect), rows in GROUPS.items()
    for target, path, model in rows
]


@pytest.mark.parametrize(("slug", "dialect", "target", "expected", "model"), ROWS)
def test_places(slug: str, dialect: Dialect, target: str, expected: str, model: str | None) -> None:
    found = place(slug, target)
    assert url(found) == expected
    assert (found.dialect, found.model) == (dialect, model)
    assert found.base.is_secure
    assert found.base.port == 443


@pytest.mark.parametrize(
    ("slug", "target", "problem"),
    [
        ("elevenlabs", "?x=1", "agent_id or voice_id"),
        ("elevenlabs", "?agent_id=&voice_id=", "agent_id or voice_id"),
        ("elevenlabs", "?voice_id=a%2Fb", "the parameter voice_id"),
        ("elevenlabs", "?voice_id=..", "the parameter voice_id"),
        ("fal", "", "the name of a model"),
        ("fal", "realtime", "the name of a model"),
        ("workers-ai", "", "the parameter model"),
        ("workers-ai", "?model=", "the parameter model"),
        ("workers-ai", "?model=@cf/../x", "the name of a model"),
        ("workers-ai", "?model=@cf//x", "the name of a model"),
        ("workers-ai", "?model=@cf/x%3Fy", "the name of a model"),
        ("azure-openai", "", "{resource}/{deployment}/"),
        ("azure-openai", "res", "{resource}/{deployment}/"),
        ("azure-openai", "evil.example/openai/realtime", "the name of an Azure resource"),
        ("azure-openai", "res/openai", "{resource}/{deployment}/realtime"),
        ("azure-openai", "res//realtime", "{resource}/{deployment}/realtime"),
        ("azure-openai", "res/dep/chat/completions", "{resource}/{deployment}/realtime"),
    ],
)
def test_what_is_missing_is_named(slug: str, target: str, problem: str) -> None:
    result = find(provider_of(TABLE, slug), target)
    assert isinstance(result, str)
    assert result.startswith("expected ")
    assert problem in result


def test_accounts_do_not_leave_their_place() -> None:
    result = find(provider_of(TABLE, "workers-ai"), "@cf/x/y", account="..")
    assert result == "expected an account without dot segments"
    table = ProviderTable().with_custom(
        "x", base=BaseUrl(True, "h", 443, ""), realtime=BaseUrl(True, "h", 443, "/{account}")
    )
    assert place("custom-x", "", table).path == "/acc"
    assert place("custom-x", "y", table).path == "/acc/y"
    deep = ProviderTable().with_custom(
        "x", base=BaseUrl(True, "h", 443, ""), realtime=BaseUrl(True, "h", 443, "/{account}/realtime")
    )
    assert place("custom-x", "", deep).path == "/acc/realtime"
    both = TABLE.with_override("fal", realtime=BaseUrl(True, "h", 443, "/{account}"))
    assert [place("fal", path, both).path for path in ("m", "m/realtime")] == ["/acc/m", "/acc/m/realtime"]
    assert find(provider_of(deep, "custom-x"), "", account="..") == "expected an account without dot segments"


@pytest.mark.parametrize(
    ("path", "target", "expected", "dialect"),
    [
        ("/v1/realtime", "", "/v1/realtime", Dialect.OPENAI_REALTIME),
        ("/v1/realtime", "realtime", "/v1/realtime", Dialect.OPENAI_REALTIME),
        ("/v1/realtime", "v1/realtime", "/v1/realtime", Dialect.OPENAI_REALTIME),
        ("/v1/realtime", "responses", "/v1/responses", Dialect.OPENAI_RESPONSES),
        ("/speech", "", "/speech", Dialect.UNKNOWN),
        ("/speech", "x", "/speech/x", Dialect.UNKNOWN),
        ("", "", "/", Dialect.UNKNOWN),
        ("", "x", "/x", Dialect.UNKNOWN),
    ],
)
def test_custom_providers(path: str, target: str, expected: str, dialect: Dialect) -> None:
    url = BaseUrl(True, "rt.example", 443, path)
    found = place("custom-x", target, ProviderTable().with_custom("x", base=url, realtime=url))
    assert (found.path, found.dialect) == (expected, dialect)


def test_an_address_of_one_s_own_has_one_server() -> None:
    new = BaseUrl(False, "127.0.0.1", 9000, "/p")
    for slug, target, path in [
        ("deepgram", "v1/agent/converse", "/p/v1/agent/converse"),
        ("fal", "a/realtime", "/p/a/realtime"),
        ("fal", "a", "/p/a"),
        ("azure-openai", "res/d/realtime", "/p/openai/v1/realtime"),
        ("elevenlabs", "?agent_id=1", "/p/v1/convai/conversation"),
        ("workers-ai", "@cf/a/b", "/p/run/@cf/a/b"),
    ]:
        found = place(slug, target, TABLE.with_override(slug, base=new))
        assert (found.base.host, found.base.port, found.path) == ("127.0.0.1", 9000, path)
        assert not found.base.is_secure


def test_names_for_the_log_are_short_and_printable() -> None:
    assert place("openai", "?model=a%0Ab").model is None
    assert place("openai", "?model=" + "x" * 201).model is None
    assert place("openai", "?model=%C3%A9").model == "é"
    assert place("openai", "?model=&model=b").model == "b"
    assert place("fal", "x" * 201).model is None


def test_parameters_are_decoded() -> None:
    assert find_parameter(["a%20b=c+d"], "a b") == "c d"
    assert find_parameter(["a", "a=", "b=1"], "a") is None
