"""From what a client wrote behind a provider's name to the server, path and query of that provider's WebSocket.

A bare path means the provider's default; any other goes to the provider as it is, behind the site's prefix, whose
version segment is not repeated: SDKs have base URLs with and without it. What a provider does in its own way beyond
that is a `RealtimeRule`, and each rule is one function here. Queries are lists of `name=value` as they came, so that
whatever no rule touches stays as it was, byte for byte.
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from .._kinds import record
from ._address import BaseUrl, is_dot_segment
from ._dialect import Dialect
from ._site import RealtimeRule, RealtimeSite
from ._target import fill_account, split_azure, without_version

__all__ = ["Place", "find_parameter", "find_place", "parameter_name", "parameter_value"]

_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_MODEL = re.compile(r"@?[A-Za-z0-9._~:-]+(?:/[A-Za-z0-9._~:-]+)*")
_MODEL_PARAMETERS = ("model", "model_id", "deployment")
_MAX_MODEL_CHARACTERS = 200  # of a name for the log


@record
class Place:
    """Where a WebSocket goes: `base` is the server, `path` the whole path on it. `model` is None when unknown."""

    base: BaseUrl
    path: str
    query: list[str]
    dialect: Dialect
    model: str | None


def find_place(site: RealtimeSite, path: str, query: list[str], account: str) -> Place | str:
    """Find where a path without leading slashes, and the items of a query, go; a string says what is wrong with them.

    Both have to be checked with `check_path()` before.
    """
    base = fill_account(site.base, account)
    if isinstance(base, str):
        return base
    bare = base.path + site.bare.removeprefix(site.base.path)
    other = dataclasses.replace(site.other, path=base.path) if site.other is not None else None
    site = dataclasses.replace(site, base=base, bare=bare, other=other)
    rule = site.rule
    if rule is RealtimeRule.ELEVENLABS:
        return _elevenlabs(site, path, query)
    if rule is RealtimeRule.FAL:
        return _fal(site, path, query)
    if rule is RealtimeRule.WORKERS_AI:
        return _workers_ai(site, path, query)
    if rule is RealtimeRule.AZURE_OPENAI:
        return _azure_openai(site, path, query)
    return _plain(site, path, query)


def parameter_name(pair: str) -> str:
    """Return the name of a query's item, decoded."""
    return urllib.parse.unquote_plus(pair.partition("=")[0])


def parameter_value(pair: str) -> str:
    """Return the value of a query's item, decoded."""
    return urllib.parse.unquote_plus(pair.partition("=")[2])


def find_parameter(query: list[str], name: str) -> str | None:
    """Return the decoded value of the first parameter of that name that has one; None when there is none."""
    return next((value for pair in query if parameter_name(pair) == name and (value := parameter_value(pair))), None)


def _plain(site: RealtimeSite, path: str, query: list[str]) -> Place:
    base, dialect = site.base, site.dialect
    if site.other is not None and path.startswith("v1/agent/"):  # RealtimeRule.DEEPGRAM
        base = site.other
    path = without_version(base.path, path)
    full = f"{base.path}/{path}" if path else site.bare
    if site.rule is RealtimeRule.GOOGLE:
        query = _with_google_key(query)
    elif site.rule is RealtimeRule.OPENAI:
        dialect = _openai_dialect(full, dialect)
    return Place(base, full, query, dialect, _model(query))


def _openai_dialect(path: str, usual: Dialect) -> Dialect:
    last = path.rstrip("/").rpartition("/")[2]
    if last == "responses":
        return Dialect.OPENAI_RESPONSES
    return Dialect.OPENAI_REALTIME if last == "realtime" else usual


def _with_google_key(query: list[str]) -> list[str]:
    """Call `api_key` what Google calls it, unless there is a `key` with a value as well."""
    if find_parameter(query, "api_key") is None or find_parameter(query, "key") is not None:
        return [pair for pair in query if parameter_name(pair) != "api_key"]
    renamed: list[str] = []
    for pair in query:
        name = parameter_name(pair)
        if name == "api_key":
            renamed.append("key=" + pair.partition("=")[2])
        elif name != "key":
            renamed.append(pair)
    return renamed


def _elevenlabs(site: RealtimeSite, path: str, query: list[str]) -> Place | str:
    if not path:
        voice = find_parameter(query, "voice_id")
        if find_parameter(query, "agent_id") is not None:
            path = "v1/convai/conversation"
        elif voice is None:
            return "expected the parameter agent_id or voice_id, or a path such as v1/convai/conversation"
        elif _SEGMENT.fullmatch(voice) is None or is_dot_segment(voice):
            return "expected letters and digits in the parameter voice_id"
        else:
            path = f"v1/text-to-speech/{voice}/stream-input"
            query = [pair for pair in query if parameter_name(pair) != "voice_id"]
    dialect = Dialect.UNKNOWN
    if path.startswith("v1/convai/"):
        dialect = Dialect.ELEVENLABS_AGENT
    elif path.startswith(("v1/text-to-speech/", "v1/speech-to-text/")):
        dialect = Dialect.ELEVENLABS_SPEECH
    return Place(site.base, f"{site.base.path}/{path}", query, dialect, _model(query))


def _fal(site: RealtimeSite, path: str, query: list[str]) -> Place | str:
    model, _, last = path.rstrip("/").rpartition("/")
    if not path or (last == "realtime" and not model):
        return "expected the name of a model, such as fal-ai/fast-lcm-diffusion"
    if last != "realtime":
        return Place(site.base, f"{site.base.path}/{path}", query, site.dialect, _printable(path))
    base = site.other or site.base
    return Place(base, f"{base.path}/{path}", query, site.dialect, _printable(model))


def _workers_ai(site: RealtimeSite, path: str, query: list[str]) -> Place | str:
    if not path:
        model = find_parameter(query, "model")
        if model is None:
            return "expected the parameter model, such as model=@cf/deepgram/nova-3"
        if _MODEL.fullmatch(model) is None or any(is_dot_segment(segment) for segment in model.split("/")):
            return "expected the name of a model in the parameter model, such as @cf/deepgram/nova-3"
        path = f"run/{model}"
        query = [pair for pair in query if parameter_name(pair) != "model"]
    elif path.startswith("@"):
        path = f"run/{path}"
    model = urllib.parse.unquote(path.removeprefix("run/")) if path.startswith("run/") else ""
    dialect = Dialect.DEEPGRAM if "/deepgram/" in model else site.dialect
    return Place(site.base, f"{site.base.path}/{path}", query, dialect, _printable(model) or _model(query))


def _azure_openai(site: RealtimeSite, path: str, query: list[str]) -> Place | str:
    """Join the three forms that are in use.

    `{resource}/openai/...` is Azure's own; `{resource}/{deployment}/...` is how the documented service writes requests
    of other APIs. Previews name the deployment beside the version of the API, the final API takes it for the model.
    """
    split = split_azure(site.base, path)
    if isinstance(split, str):
        return split
    base, rest = split
    if not rest.startswith("openai/"):
        deployment, _, operation = rest.partition("/")
        if operation != "realtime" or not deployment:
            return "expected {resource}/{deployment}/realtime or {resource}/openai/..."
        is_preview = find_parameter(query, "api-version") is not None
        rest = "openai/realtime" if is_preview else "openai/v1/realtime"
        name = "deployment" if is_preview else "model"
        if find_parameter(query, name) is None:
            query = [*query, f"{name}={urllib.parse.quote(urllib.parse.unquote(deployment), safe='')}"]
    dialect = _openai_dialect(rest, site.dialect)
    return Place(base, f"{base.path}/{rest}", query, dialect, _model(query))


def _model(query: list[str]) -> str | None:
    for name in _MODEL_PARAMETERS:
        value = find_parameter(query, name)
        if value is not None:
            return _printable(value)
    return None


def _printable(model: str) -> str | None:
    return model if model.isprintable() and 0 < len(model) <= _MAX_MODEL_CHARACTERS else None
