"""A real redis-server for tests, on a free port of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from omni_tui.config.redis_address import RedisAddress


class RedisServer:
    """One server. `more` are further arguments of redis-server."""

    def __init__(self, folder: Path, *more: str) -> None:
        self._folder = folder
        self.more = more
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        self.address = RedisAddress("127.0.0.1", self.port)

    def _run(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        ports = () if "--tls-port" in self.more else ("--port", str(self.port))
        command = ["redis-server", "--bind", "127.0.0.1", *ports, "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen([*command, *self.more], stdout=subprocess.DEVNULL)

    async def start(self) -> None:
        """Start it, and wait until it can be used."""
        self._run()
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError, RedisError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    if "--tls-port" not in self.more:
                        await self.do("PING")  # refused while it still reads its file
                    return
                await asyncio.sleep(0.01)

    def pause(self) -> None:
        """Let it not answer any more."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it. Without an append-only file its data is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def do(self, *command: str | int | bytes) -> Any:
        """Carry out a command and return its answer."""
        from redis.asyncio import Redis

        client = Redis(host="127.0.0.1", port=self.port)
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
        finally:
            await client.aclose()


@contextlib.asynccontextmanager
async def redis_server(folder: Path, *more: str) -> AsyncIterator[RedisServer]:
    """Run a server."""
    server = RedisServer(folder, *more)
    try:
        await server.start()
        yield server
    finally:
        server.kill()
