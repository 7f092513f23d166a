"""A server as a child process in a session of its own, with messages as lines.

Ours and not the SDK's: it knows the process (exit code, group, reason of its exit), does not pass on
the engine's environment, and ends the process within three seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import threading

from omni_tui.config.server_environment import inherited_environment
from omni_tui.config.server_program import program_of
from omni_tui.config.spec import SOURCE_WORDS, ServerSpec
from omni_tui.servers import reaper
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure, suggest_log
from omni_tui.servers.processes import YIELD_RETRY_S, YIELD_TRIES, yield_process, yield_session
from omni_tui.servers.transports.base import Transport, TransportContext
from omni_tui.servers.transports.json_rpc import OpenRequests
from omni_tui.servers.transports.pipes import ErrorReader, FrameWriter, LineReader

STOP_STEP_S = 1.0
"""Seconds between the end of input, SIGTERM and SIGKILL when a server is stopped."""

_EXIT_GRACE = 0.25


def environment(spec: ServerSpec, marker: dict[str, str]) -> dict[str, str]:
    """Return the whole environment of a server's process."""
    return inherited_environment(spec, os.environ) | spec.env | marker


class ServerProcess:
    """A started process; `exited` is set at its end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.pid = process.pid
        self.exited = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._watch()

    async def wait(self, seconds: float) -> bool:
        """Wait for the exit; return whether it came in time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.exited.wait(), seconds)
        return self.exited.is_set()

    def signal_group(self, number: int) -> bool:
        """Signal the process and its group; return whether any process was left."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def _watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
            return
        self._loop.add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.process.wait()
        self.exited.set()

    def _wait_in_thread(self) -> None:
        self.process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.exited.set)


class StdioTransport(Transport):
    """Runs a server as a process.

    Entering raises `ConnectionFailed` if the program cannot be started. Leaving ends the process and
    all of its group: end of input, a second, SIGTERM, a second, SIGKILL; also if it is cancelled.
    """

    def __init__(self, spec: ServerSpec, context: TransportContext) -> None:
        self._spec = spec
        self._processes = context.processes
        self._server_log = context.log
        self._child: ServerProcess | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._yields = False
        self._death: int | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> tuple[LineReader, FrameWriter]:
        self._server_log.begin()
        # In a thread: on a busy machine, starting a program takes a tenth of a second.
        loop = asyncio.get_running_loop()
        starting = loop.run_in_executor(self._processes.threads, self._begin)
        try:
            self._attach(await asyncio.shield(starting))
        except asyncio.CancelledError:
            self._stopping = asyncio.create_task(self._abandon(starting), name=f"abandon {self._spec.name}")
            await asyncio.shield(self._stopping)
            raise
        return self._reader, self._writer

    def _begin(self) -> subprocess.Popen[bytes]:
        """Start the program and register it to be ended. Blocks; runs in a thread."""
        self._processes.prepare()
        process = self._spawn()
        yield_process(process.pid)
        self._yields = yield_session(process.pid)
        try:
            self._processes.register(process.pid)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # nobody would end it later
            process.wait()
            raise
        return process

    def _attach(self, process: subprocess.Popen[bytes]) -> ServerProcess:
        child = self._child = ServerProcess(process)
        self.pid = child.pid
        pipes = (child.process.stdin, child.process.stdout, child.process.stderr)
        stdin, stdout, stderr = (pipe.fileno() for pipe in pipes if pipe is not None)
        requests = OpenRequests()
        self._reader = LineReader(stdout, requests, self._note_odd)
        self._writer = FrameWriter(stdin, self._reader.finish, requests)
        self._errors = ErrorReader(stderr, self._server_log)
        self._watcher = asyncio.create_task(self._follow(child), name=f"exit of {self._spec.name}")
        return child

    def _note_odd(self, line: bytes, why: str) -> None:
        self.invalid_messages += 1
        self._server_log.odd(line, why)

    async def _abandon(self, starting: asyncio.Future[subprocess.Popen[bytes]]) -> None:
        """End a program as soon as it has started: nobody waits for it any more."""
        try:
            process = await starting
        except Exception:  # it did not start
            return
        await self._stop(self._attach(process))

    async def __aexit__(self, *_: object) -> None:
        # In a task of its own: the process must end even if this one is cancelled again.
        if self._child is not None and self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(self._child), name=f"stop {self._spec.name}")
        if self._stopping is not None:
            await asyncio.shield(self._stopping)

    def failure(self) -> ConnectionFailure | None:
        """Return why the connection ended, as far as the process shows; valid after leaving."""
        if self._child is None:
            return None
        if self._reader.fault:
            todo = f"The server is faulty. {suggest_log(self._spec.name)}"
            return ConnectionFailure(self._reader.fault, todo)
        if self._death is None:
            return None
        what = f"it exited with code {self._death}"
        if self._death < 0:
            what = f"it was ended by {_signal_name(-self._death)}"
        if words := self._server_log.exit_reason:
            what += f": {words}"
        return ConnectionFailure(what, suggest_log(self._spec.name))

    def _spawn(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [self._spec.command, *self._spec.args],
                # Exactly what the person was shown: by the name alone, the system would try the next folder
                # of PATH if the first holds something that it cannot run.
                executable=program_of(self._spec) or None,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=self._spec.cwd or None,
                env=environment(self._spec, self._processes.environment()),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ConnectionFailed(_why_not(self._spec, error)) from error

    async def _follow(self, child: ServerProcess) -> None:
        """End the stream when the process exits, even if a grandchild still holds the pipe."""
        tries = 0
        while not self._yields and tries < YIELD_TRIES and not await child.wait(YIELD_RETRY_S):
            self._yields = yield_session(child.pid)
            tries += 1
        await child.exited.wait()
        if self._stopping is None:
            self._death = child.process.returncode
        self._reader.drain()

    async def _stop(self, child: ServerProcess) -> None:
        process = child.process
        try:
            if self._reader.eof and await child.wait(_EXIT_GRACE):
                self._death = child.process.returncode
            await self._reader.aclose()
            self._writer.release()
            if process.stdin is not None:
                process.stdin.close()
            if not await child.wait(STOP_STEP_S) and child.signal_group(signal.SIGTERM):
                await child.wait(STOP_STEP_S)
            await self._end_group(child)
        finally:
            if self._watcher is not None:
                self._watcher.cancel()
            self._reader.release()
            self._errors.release()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    async def _end_group(self, child: ServerProcess) -> None:
        """End the rest of the group, and unregister it."""
        if child.exited.is_set() and not child.signal_group(0):
            await self._unregister(child)
            return
        if not child.exited.is_set():
            child.signal_group(signal.SIGKILL)
            await child.wait(STOP_STEP_S)
        group = {child.pid: 0}
        if await asyncio.to_thread(reaper.end_all, group, "", grace=0.0, term=STOP_STEP_S):
            await self._unregister(child)

    async def _unregister(self, child: ServerProcess) -> None:
        loop = asyncio.get_running_loop()
        try:
            ending = loop.run_in_executor(self._processes.threads, self._processes.unregister, child.pid)
        except RuntimeError:  # the thread pool is closed: this server ended late
            self._processes.unregister(child.pid)
        else:
            await ending


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _why_not(spec: ServerSpec, error: OSError | ValueError) -> ConnectionFailure:
    start, place = f"cannot start '{spec.command}'", SOURCE_WORDS[spec.source]
    if isinstance(error, ValueError):
        return ConnectionFailure(f"{start}: {error}", f"Correct the command in {place}.", lasting=True)
    if spec.cwd and error.filename == spec.cwd:
        what = f"{start}: no such folder: {spec.cwd}"
        return ConnectionFailure(what, f"Correct cwd in {place}.", lasting=True)
    reasons = {
        errno.ENOENT: "no such program; check command/PATH",
        errno.EACCES: "not permitted to run it; check that it is an executable file",
        errno.ENOEXEC: "not a program: it has no #! line and is no binary",
        errno.E2BIG: "its arguments and environment are too long",
        errno.EMFILE: "this process has too many files open",
        errno.EAGAIN: "the system allows no more processes",
    }
    why = reasons.get(error.errno or 0, error.strerror or str(error))
    lasting = error.errno not in (errno.EMFILE, errno.EAGAIN)
    todo = f"Correct the command in {place}, then reconnect."
    return ConnectionFailure(f"{start}: {why}", todo, lasting=lasting)
