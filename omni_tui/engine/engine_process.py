"""The engine's own process: starts with a socket and the launch options, ends with its last client.

`links.process` starts it with the number of its end of a socket pair, and the options as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import select
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec

from omni_tui.engine.clients import Client, EventBuffer
from omni_tui.engine.command_router import CommandRouter
from omni_tui.engine.core import Engine, StartFailed, open_engine
from omni_tui.links.frames import FrameTooLong, read_frame
from omni_tui.memory.secret_store import environment_with_secrets
from omni_tui.observability.logs import LogLevelName, set_up_logs
from omni_tui.protocol import (
    MAX_FRAME,
    AnyEvent,
    LaunchOptions,
    ProtocolError,
    decode_command,
    encode,
)
from omni_tui.protocol.commands import Goodbye
from omni_tui.protocol.events import CommandFailed, CommandReply, Notice
from omni_tui.security.files import open_own
from omni_tui.security.redaction import Redactor
from omni_tui.security.text import safe

logger = logging.getLogger(__name__)

_TOGETHER = 64 * 1024
"""Bytes of small events that are written to the client at once."""

FAULTS_FILE = "engine-faults.log"
"""Beside the log: what Python writes when it crashes."""
LEAVE_S = 4.5
"""Seconds from the client's end until every server's process group is ended, even if the loop hangs."""
_LAST_S = 1.5
"""Seconds that the process may take to end once the engine has."""


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
    watch = ExitWatchdog(channel)
    try:
        engine, client = await _start(options, outbox, watch)
    except _ClientGone:
        code = 1
    except StartFailed as error:
        logger.exception("the engine did not start")
        outbox.offer(Notice(level="error", what=safe("the engine did not start"), why=safe(str(error))))
        code = 1
    else:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
        commands = CommandRouter(engine, client)
        await _read_commands(reader, commands)
        watch.leaving()
        await commands.leave()
        watch.left()
    outbox.close()
    with contextlib.suppress(TimeoutError, ConnectionError):
        await asyncio.wait_for(pump, 1)
    writer.close()
    return code


class _ClientGone(Exception):
    """The client's process has ended before the first server was started."""


async def _start(options: LaunchOptions, outbox: EventBuffer, watch: ExitWatchdog) -> tuple[Engine, Client]:
    """Open the engine and start its servers. Raises `StartFailed`, `_ClientGone`."""
    loaded = await asyncio.to_thread(_load, options)
    redactor = Redactor(loaded.secrets)
    try:
        level: LogLevelName = "debug" if loaded.debug else loaded.config.log.level
        contents = loaded.config.log.contents
        log = set_up_logs(loaded.paths.log_dir, level=level, contents=contents, redact=redactor.redact)
        _tell_of_faults(loaded.paths.log_dir)
    except OSError as error:
        raise StartFailed(
            f"the log folder {loaded.paths.log_dir} cannot be used: {error.strerror}"
        ) from error
    engine = await open_engine(options, loaded, loaded.environ, redactor, log)
    client = await engine.attach(outbox)
    watch.engine = engine
    if watch.client_gone():
        # Servers that start now would outlive it by as long as their start takes.
        await engine.leave(client)
        raise _ClientGone
    await engine.start_servers()
    if not (options.headless or options.demo):
        engine.watch_config()
    return engine, client


def _tell_of_faults(folder: Path) -> None:
    """Have a crash of the interpreter itself write where each thread was. Raises `OSError`."""
    descriptor = open_own(folder / FAULTS_FILE)
    faulthandler.enable(os.fdopen(descriptor, "a"), all_threads=True)


def _load(options: LaunchOptions) -> Any:
    # Imported here: pydantic costs a third of a second, and the face's first frame waits for nobody.
    from omni_tui.config.load import load_config

    return load_config(options, environment_with_secrets(options, os.environ))


async def _pump(outbox: EventBuffer, writer: asyncio.StreamWriter) -> None:
    """Write events to the client. Only this task waits for a slow one."""
    try:
        async for batch in outbox.drain():
            waiting = bytearray()
            for number, event in enumerate(batch, 1):
                waiting += _frame_of(event)
                # Together where they are small: each writing wakes the client.
                if len(waiting) >= _TOGETHER or number == len(batch):
                    writer.write(bytes(waiting))
                    waiting.clear()
                    await writer.drain()
    except (ConnectionError, OSError):
        logger.info("the face is gone")


async def _read_commands(reader: asyncio.StreamReader, commands: CommandRouter) -> None:
    """Carry out every command in its own task; return when the client has gone.

    A frame that is no command is answered, and ends the connection if it was over-long.
    """
    tasks: set[asyncio.Future[None]] = set()
    while True:
        try:
            frame = await read_frame(reader)
            if not frame:
                break
            command = decode_command(frame)
        except ProtocolError as error:
            logger.warning("a bad frame: %s", error)
            commands.outbox.offer(
                CommandFailed(what=safe(f"the engine did not understand: {error}", limit=500))
            )
            if isinstance(error, FrameTooLong):
                break
            continue
        if isinstance(command, Goodbye):
            break
        task = asyncio.ensure_future(commands.handle(command))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def _frame_of(event: AnyEvent) -> bytes:
    """Return an event's frame; one that does not fit becomes a notice, never an exception."""
    try:
        return encode(event)
    except ProtocolError as error:
        logger.error("an event does not fit a frame: %s", error)
        words = safe("something was too large to show", limit=200)
        if isinstance(event, CommandReply):
            return encode(CommandFailed(request=event.request, what=words))
        return encode(Notice(level="warning", what=words, why=safe(str(error), limit=300)))


class ExitWatchdog:
    """A thread that ends the servers and the process if leaving takes too long or the loop hangs.

    A hung loop, or one that still starts, would not notice that the client has gone, so the thread looks
    itself, from the beginning: at the parent, and whether the other end of the channel is closed. `engine`
    is set once there is one; before that no server was started.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.engine: Engine | None = None
        self._parent = os.getppid()
        self._channel = select.poll()
        self._channel.register(channel.fileno(), 0)
        self._leaving = threading.Event()
        self._left = threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def client_gone(self) -> bool:
        """Whether the client's process has ended, or has closed its end of the channel."""
        closed = any(found & select.POLLHUP for _, found in self._channel.poll(0))
        return closed or os.getppid() != self._parent

    def leaving(self) -> None:
        """Start the clock: the client has gone."""
        self._leaving.set()

    def left(self) -> None:
        """Stop the clock: everything has ended in time."""
        self._left.set()

    def _watch(self) -> None:
        while not self._leaving.wait(0.5):
            if self.client_gone():
                break
        if not self._left.wait(LEAVE_S - 1.5):
            if self.engine is not None:
                self.engine.context.processes.kill_all(deadline=1.0)
            os._exit(1)
        # All is saved and ended. A thread that hangs, as in a library, must not keep the process.
        threading.Event().wait(_LAST_S)
        os._exit(0)
