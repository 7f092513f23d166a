"""Run the app: an engine in its own process, and the face."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import msgspec

from omni_tui.cli.options import launch_options, temporary_state
from omni_tui.cli.output import CliError, ExitStatus
from omni_tui.config.paths import find_paths
from omni_tui.links import EngineProcess, spawn_engine
from omni_tui.protocol import LaunchOptions, Link

_LEAVE_S = 6.0


def app(arguments: argparse.Namespace) -> int:
    """Run the app until the person quits."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CliError(
            "the app needs a terminal",
            todo="Without one, use omni-tui run, servers, tools or call (see omni-tui --help).",
            status=ExitStatus.USAGE,
        )
    if not sys.stderr.isatty():  # Textual draws there; errors are in the log
        os.dup2(sys.stdout.fileno(), 2)
    with temporary_state(launch_options(arguments)) as options:
        status, demo = _run(options, arguments.theme)
    if not demo:
        return status
    with temporary_state(LaunchOptions(demo=True)) as options:
        return _run(options, arguments.theme)[0]


def _run(options: LaunchOptions, theme: str) -> tuple[int, bool]:
    """Return the exit status, and whether the person wants the demo instead."""
    paths = find_paths(config=options.config, state_dir=options.state_dir)
    engines = EngineStarter(options)
    try:
        if _processors() > 1:  # it connects while Textual loads; on one processor they would compete
            engines.start()
        from omni_tui.face.app import FaceOptions, OmniApp

        face = OmniApp(
            engines.connect,
            FaceOptions(
                theme=theme,
                config_path="" if options.demo and not options.config else str(paths.config_file),
                state_dir=str(paths.state_dir),
                themes_dir=str(paths.themes_dir),
            ),
        )
        face.run()
        return face.return_code or ExitStatus.DONE, face.wants_demo
    finally:
        engines.finish()


class EngineStarter:
    """Starts the engine of this face, and another one after it has ended."""

    def __init__(self, options: LaunchOptions) -> None:
        self._options = options
        self._next: EngineProcess | None = None
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start an engine now; the next `connect` takes it."""
        self._next = spawn_engine(self._options)
        self._all.append(self._next.process)

    async def connect(self) -> Link:
        """Return a link to the engine that was started, else to a new one."""
        if self._next is None:
            self.start()
        engine, self._next = self._next, None
        assert engine is not None
        # A restarted engine continues where the former one was cut off.
        self._options = msgspec.structs.replace(self._options, resume="auto", again=True)
        return await engine.link()

    def finish(self) -> None:
        """Wait until every engine has ended; kill those that do not end."""
        if self._next is not None:
            self._next.process.terminate()
        for process in self._all:
            try:
                process.wait(_LEAVE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
