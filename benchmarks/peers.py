"""Requests through other gateways, beside the same through this one: LiteLLM and Portkey, which take HTTP only.

Not part of a usual run: `make bench-peers` installs both into environments of their own, and runs this with their paths
in AIGW_BENCH_LITELLM and AIGW_BENCH_PORTKEY. One that is missing is left out, and said to be.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator

import processes
import universal
from machine import SERVER_CPU
from processes import Server
from rounds import Options, Result, Sample, interleave

KEY = f"sk-{secrets.token_hex(24)}"
PORTKEY = "node_modules/@portkey-ai/gateway"


def home(name: str) -> pathlib.Path:
    """Return the environment of a gateway."""
    return pathlib.Path(os.environ.get(f"AIGW_BENCH_{name.upper()}", f".venv/{name.lower()}"))


def version(name: str) -> str:
    """Return the version that is installed."""
    if name == "LiteLLM":
        folder = next(home(name).glob("lib/python*/site-packages/litellm-*.dist-info"))
        return folder.stem.partition("-")[2]
    return str(json.loads((home(name) / PORTKEY / "package.json").read_text())["version"])


@contextlib.contextmanager
def litellm(provider_port: int) -> Iterator[tuple[Server, str] | None]:
    """Run LiteLLM with one worker and without its extras; yield it and the headers it wants."""
    program = home("LiteLLM") / "bin" / "litellm"
    if not program.exists():
        yield None
        return
    port = processes.free_port()
    parameters = {"model": "openai/m", "api_base": f"http://127.0.0.1:{provider_port}/v1", "api_key": "sk-fake"}
    config = {
        "model_list": [{"model_name": "m", "litellm_params": parameters}],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "general_settings": {"master_key": KEY},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(config, file)  # which is YAML too
        file.flush()
        command = [os.fspath(program), "--config", file.name, "--host", "127.0.0.1", "--port", str(port)]
        environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        with processes.started(command, cpu=SERVER_CPU, port=port, environment=environment) as server:
            yield server, f"Authorization: Bearer {KEY}\r\n"


@contextlib.contextmanager
def portkey(provider_port: int) -> Iterator[tuple[Server, str] | None]:
    """Run Portkey's gateway; yield it and the headers it wants."""
    script, node = home("Portkey") / PORTKEY / "build" / "start-server.js", shutil.which("node")
    if node is None or not script.exists():
        yield None
        return
    port = processes.free_port()
    command = [node, os.fspath(script), f"--port={port}", "--headless"]
    environment = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
    with processes.started(command, cpu=SERVER_CPU, port=port, environment=environment) as server:
        host = f"x-portkey-custom-host: http://127.0.0.1:{provider_port}/v1"
        yield server, f"Authorization: Bearer k\r\nx-portkey-provider: openai\r\n{host}\r\n"


def run(options: Options) -> Result:
    """Measure small requests, 32 under way."""
    result = Result("peers", reference="aigw")
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(processes.provider())
        gateway = stack.enter_context(processes.gateway(provider.port))
        calls: dict[str, Callable[[], Sample]] = {
            "none": functools.partial(universal.posts, provider, options.seconds),
            "aigw": functools.partial(universal.requests, gateway, options.seconds),
        }
        for name, start in {"LiteLLM": litellm, "Portkey": portkey}.items():
            running = stack.enter_context(start(provider.port))
            if running is None:
                print(f"{name} is not installed and takes no part")
                continue
            server, headers = running
            result.versions[name] = version(name)
            post = functools.partial(universal.posts, server, options.seconds, headers=headers)
            post()  # the first requests load what was not loaded yet
            calls[name] = post
        interleave(result, "requests", calls, options.rounds)
    return result
