"""The engine's own process: starts with a socket and the launch options, ends with its last client.

`links.process` starts it with the number of its end of a socket pair, and the options as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from typing import Any

import msgspec

from omni_tui.engine.clients import Client, EventBuffer
from omni_tui.engine.command_router import CommandRouter
from omni_tui.engine.core import Engine, StartFailed, open_engine
from omni_tui.links.serve import frame_of, read_commands
from omni_tui.observability.logs import set_up_logs
from omni_tui.protocol import MAX_FRAME, LaunchOptions
from omni_tui.protocol.events import Notice
from omni_tui.security.redaction import Redactor
from omni_tui.security.text import safe

logger = logging.getLogger(__name__)

LEAVE_S = 4.5
"""Seconds from the client's end until every server's process group is ended, even if the loop hangs."""


def main(arguments: list[str]) -> int:
    """Run one engine until its client goes away."""
    channel = socket.socket(fileno=int(arguments[0]))
    options = msgspec.json.decode(arguments[1], type=LaunchOptions)
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    return asyncio.run(_serve(channel, options))


async def _serve(channel: socket.socket, options: LaunchOptions) -> int:
    channel.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=channel, limit=MAX_FRAME)
    outbox = EventBuffer()
    pump = asyncio.create_task(_pump(outbox, writer))
    code = 0
    try:
        engine, client = await _start(options, outbox)
    except StartFailed as error:
        logger.exception("the engine did not start")
        outbox.offer(Notice(level="error", what=safe("the engine did not start"), why=safe(str(error))))
        code = 1
    else:
        watch = ExitWatchdog(engine)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
        commands = CommandRouter(engine, client)
        await read_commands(reader, commands.handle, outbox)
        watch.leaving()
        await commands.leave()
        watch.left()
    outbox.close()
    with contextlib.suppress(TimeoutError, ConnectionError):
        await asyncio.wait_for(pump, 1)
    writer.close()
    return code


async def _start(options: LaunchOptions, outbox: EventBuffer) -> tuple[Engine, Client]:
    loaded = await asyncio.to_thread(_load, options)
    redactor = Redactor(loaded.secrets)
    try:
        set_up_logs(loaded.paths.log_dir, debug=loaded.debug, redact=redactor.redact)
    except OSError as error:
        raise StartFailed(
            f"the log folder {loaded.paths.log_dir} cannot be used: {error.strerror}"
        ) from error
    engine = await open_engine(options, loaded, dict(os.environ), redactor)
    client = await engine.attach(outbox)
    await engine.start_servers()
    return engine, client


def _load(options: LaunchOptions) -> Any:
    # Imported here: pydantic costs a third of a second, and the face's first frame waits for nobody.
    from omni_tui.config.load import load_config

    return load_config(options, os.environ)


async def _pump(outbox: EventBuffer, writer: asyncio.StreamWriter) -> None:
    """Write events to the client. Only this task waits for a slow one."""
    try:
        async for batch in outbox.drain():
            for event in batch:
                writer.write(frame_of(event))
                await writer.drain()
    except (ConnectionError, OSError):
        logger.info("the face is gone")


class ExitWatchdog:
    """A thread that ends the servers and the process if leaving takes too long or the loop hangs.

    A hung loop would not notice that the client has gone, so the thread watches the parent itself.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._leaving = threading.Event()
        self._left = threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def leaving(self) -> None:
        """Start the clock: the client has gone."""
        self._leaving.set()

    def left(self) -> None:
        """Stop the clock: everything has ended in time."""
        self._left.set()

    def _watch(self) -> None:
        parent = os.getppid()
        while not self._leaving.wait(0.5):
            if os.getppid() != parent:
                break
        if not self._left.wait(LEAVE_S - 1.5):
            self._engine.context.processes.kill_all(deadline=1.0)
            os._exit(1)
