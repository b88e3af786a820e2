"""What the documentation shows of providers' SDKs and of browsers, block by block, against the fake provider.

The blocks are marked `py` and `js`; those marked `python` need no SDK and run with the other examples. What differs
from the page is the address of the gateway, and where a browser's page has its token from.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import certificates
from support.process import Process, serving

from .test_javascript_sdks import FOLDER, MAJOR, NODE

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "put-the-gateway-in-front-of-a-realtime-provider.md"
TOKEN = "a-token-of-the-gateway"
STORED_KEY = "a-key-that-the-gateway-keeps"
SHOWN = "gateway.example/"
SESSION = '"type":"session"'


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def name(block: str) -> str:
    found = re.findall(r'(?:^import|^from|from ")\s*@?([\w/-]+)', block, re.MULTILINE)
    return next((each for each in found if each not in {"os", "json", "asyncio", "base64"}), "browser")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority that signed the gateway's certificate."""
    file = tmp_path_factory.mktemp("root") / "root.pem"
    certificates.authority().cert_pem.write_to_path(str(file))
    return file


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    certificate, key = certificates.write_files(tmp_path_factory.mktemp("server"))
    (configuration,) = blocks("toml")
    configuration = re.sub(r'"file:[^"]*"', f'"{STORED_KEY}"', configuration)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIGW_TOKEN", TOKEN)
        patch.setenv("OPENAI_API_KEY", STORED_KEY)
        with serving(configuration, "--mock", "--tls-certificate", certificate, "--tls-key", key) as process:
            yield process
            assert TOKEN not in process.log
            assert STORED_KEY not in process.log


def run(gateway: Process, root: Path, command: list[str], program: str, folder: Path) -> None:
    address = f"127.0.0.1:{gateway.port}/"
    before = gateway.log.count(SESSION)
    environment = {**os.environ, "AIGW_TOKEN": TOKEN, "SSL_CERT_FILE": str(root), "NODE_EXTRA_CA_CERTS": str(root)}
    ended = subprocess.run(
        command, input=program.replace(SHOWN, address), env=environment, cwd=folder, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, f"{program}\n{ended.stdout}\n{ended.stderr}"
    gateway.wait_for_log(SESSION, before + 1)
    for record in gateway.records:
        if record["type"] == "session":
            assert record["status"] == 101, record


@pytest.mark.parametrize("block", blocks("py"), ids=name)
def test_python(block: str, gateway: Process, root: Path, tmp_path: Path) -> None:
    for module in re.findall(r"^(?:import|from) (\w+)", block, re.MULTILINE):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    run(gateway, root, [sys.executable, "-"], block, tmp_path)


@pytest.mark.skipif(MAJOR < 20, reason="no Node 20 is installed, or newer")
@pytest.mark.parametrize("block", blocks("js"), ids=name)
def test_javascript(block: str, gateway: Process, root: Path) -> None:
    assert NODE is not None
    for package in re.findall(r'from "((?:@[\w-]+/)?[\w-]+)', block):
        if not (FOLDER / "node_modules" / package).is_dir():
            pytest.skip(f"{package} is not installed")
    flags = ["--experimental-websocket"] if MAJOR < 22 else []
    program = "const token = process.env.AIGW_TOKEN;\n" + block
    run(gateway, root, [NODE, "--no-warnings", *flags, "--input-type=module", "-"], program, FOLDER)
