"""Real server programs for the wire tests: looked for, and skipped with the reason where not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MODERN = Path(__file__).parent.parent / "engine" / "faults" / "modern.py"


@dataclass(frozen=True)
class WebServer:
    """A server program that listens."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def npm_bin(npm_server: Callable[[str], str]) -> Callable[[str], str]:
    """Return a function that gives the path of an npm server's program, or skips the test.

    `OMNI_TUI_NPM_BIN` may name the folder of the programs itself.
    """

    def find(name: str) -> str:
        folder = os.environ.get("OMNI_TUI_NPM_BIN", "")
        return (folder and shutil.which(name, path=folder)) or npm_server(name)

    return find


@pytest.fixture
def python_bin() -> Callable[[str], str]:
    """Return a function that gives the path of a server installed beside this Python, or skips the test."""

    def find(name: str) -> str:
        found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed: pip install {name}")
        return found

    return find


@contextmanager
def listening(
    folder: Path, command: list[str], port: int, path: str = "/mcp", **env: str
) -> Iterator[WebServer]:
    """Run a server until the block is left; yields when it listens."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **env},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _await_port(process, port)
            yield WebServer(f"http://127.0.0.1:{port}{path}", process)
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def everything(npm_bin: Callable[[str], str], tmp_path: Path) -> Iterator[WebServer]:
    """Run server-everything over streamable HTTP (handshake protocol)."""
    port = free_port()
    command = [npm_bin("mcp-server-everything"), "streamableHttp"]
    with listening(tmp_path, command, port, PORT=str(port)) as server:
        yield server


@pytest.fixture
def modern(tmp_path: Path) -> Iterator[WebServer]:
    """Run a server of the Python SDK over streamable HTTP (stateless protocol)."""
    port = free_port()
    with listening(tmp_path, [sys.executable, str(MODERN), str(port)], port) as server:
        yield server


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port} after 60 s")
