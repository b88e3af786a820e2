"""What was measured on: the machine and the versions, as they stand beside every result."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import re
import shutil
import subprocess

PACKAGES = ("aigw", "aiohttp", "picows", "websockets", "wsproto", "uvloop", "anyio", "msgspec")
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU = CPUS[-1]
"""Where the server under test runs, alone."""
LOAD_CPU = CPUS[0]
PROVIDER_CPU = CPUS[1] if len(CPUS) > 2 else LOAD_CPU


def describe() -> dict[str, str]:
    """Return what a reader needs to know of this machine."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    return {
        "processor": f"{cpu[1] if cpu else platform.processor()}, {len(CPUS)} cores",
        "memory": f"{int(memory[1]) // 2**20 if memory else 0} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Return the version of everything that took part."""
    found = {"Python": f"{platform.python_implementation()} {platform.python_version()}"}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    for program, argument in (("haproxy", "-v"), ("gcc", "--version")):
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
        if path is not None:
            text = subprocess.run([path, argument], capture_output=True, text=True, check=False).stdout
            if number := re.search(r"\d+\.\d+(\.\d+)?", text):
                found[program] = number[0]
    return found
