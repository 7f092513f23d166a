"""The client's end of the link to an engine in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

import omni_tui
from omni_tui.links.frames import read_frame
from omni_tui.protocol import (
    MAX_FRAME,
    AnyCommand,
    AnyEvent,
    LaunchOptions,
    LinkClosed,
    ProtocolError,
    decode_event,
    encode,
)
from omni_tui.protocol.commands import Goodbye

LEAVE_S = 6.0

_HOME = str(Path(omni_tui.__file__).parent.parent)
_HOST = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from omni_tui.engine.engine_process import main; sys.exit(main(sys.argv[2:]))"
)
"""Starts the engine of this very package. `python -m` would first look in the folder the app runs in,
where a project may have a module of any name."""


class EngineProcess:
    """A started engine. `link()` connects to it once an event loop runs."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.process = process
        self._channel = channel

    async def link(self) -> ProcessLink:
        """Return the link to this engine."""
        self._channel.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=self._channel, limit=MAX_FRAME)
        return ProcessLink(self.process, reader, writer)


def spawn_engine(options: LaunchOptions) -> EngineProcess:
    """Start an engine process and return at once.

    It gets a terminal session of its own, so that Ctrl+C, Ctrl+Z and hang-up reach only the face;
    its standard streams lead nowhere, so that no library can write on the screen. It ends when its
    end of the channel reads the end of file, however this process ends.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in (ours, theirs):
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_FRAME * 2)
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    argument = msgspec.json.encode(options).decode()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _HOST, _HOME, str(theirs.fileno()), argument],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
    finally:
        theirs.close()
    return EngineProcess(process, ours)


class ProcessLink:
    """A `Link` over a socket pair."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._left = False

    @property
    def pid(self) -> int:
        """The engine's process id."""
        return self._process.pid

    def send(self, command: AnyCommand) -> None:
        """Queue a command; never blocks."""
        if self._writer.is_closing():
            raise LinkClosed("the engine has stopped")
        self._writer.write(encode(command))

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Yield events until the engine ends; raises `LinkClosed` unless we left on purpose."""
        while True:
            try:
                frame = await read_frame(self._reader)
                if not frame:
                    break
                event = decode_event(frame)
            except ProtocolError as error:
                self._writer.close()
                raise LinkClosed(
                    f"the engine sent something this face does not understand: {error}"
                ) from error
            yield event
        if not self._left:
            raise LinkClosed(await self._last_words())

    async def close(self) -> None:
        """Say goodbye and wait until the engine has ended; end it after 6 s."""
        if self._left:
            return
        self._left = True
        with contextlib.suppress(LinkClosed, ProtocolError, OSError):
            self.send(Goodbye())
            await asyncio.wait_for(self._writer.drain(), 1)
            self._writer.write_eof()
        try:
            await asyncio.wait_for(asyncio.to_thread(self._process.wait, LEAVE_S), LEAVE_S + 1)
        except (TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._writer.close()

    async def _last_words(self) -> str:
        with contextlib.suppress(TimeoutError, subprocess.TimeoutExpired):
            await asyncio.wait_for(asyncio.to_thread(self._process.wait, 2), 3)
        code = self._process.returncode
        if code is None:
            return "the engine closed its end of the connection"
        if code < 0:
            return f"the engine was ended by signal {-code}"
        return f"the engine ended with exit code {code}"
