"""Commands of `omni-tui` without a screen, and what they print."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from omni_tui import links
from omni_tui.__main__ import main
from omni_tui.config.load import load_config
from omni_tui.engine.clients import EventBuffer
from omni_tui.engine.command_router import CommandRouter
from omni_tui.engine.core import StartFailed, open_engine
from omni_tui.protocol import LaunchOptions, Link, LinkClosed
from tests.engine.local_link import LocalLink
from tests.lengths import LONG

Done = subprocess.CompletedProcess[str]


def program(*words: str, env: Mapping[str, str] | None = None) -> Done:
    """Run a command as a person does: a process of its own, with an engine in another."""
    return subprocess.run(
        [sys.executable, "-m", "omni_tui", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env=None if env is None else dict(env),
        check=False,
    )


def command(*words: str, env: Mapping[str, str] | None = None) -> Done:
    """Run a command; in a short run with its engine in this process, which saves a second of a processor.

    All of it is real but the two processes, the umask of the engine and its log.
    """
    return program(*words, env=env) if LONG else _here(words, env)


def _here(words: tuple[str, ...], env: Mapping[str, str] | None) -> Done:
    said, noted = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        open(os.devnull) as nothing,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(noted),
    ):
        patch.setattr(sys, "stdin", nothing)
        patch.setattr(links, "start_engine", _engine_here)
        for name in () if env is None else [name for name in os.environ if name not in env]:
            patch.delenv(name)
        for name, value in ({} if env is None else env).items():
            patch.setenv(name, value)
        try:
            status = main(words)
        except SystemExit as left:  # the parser does not know the words
            status = left.code if isinstance(left.code, int) else 1
    return subprocess.CompletedProcess(list(words), status, said.getvalue(), noted.getvalue())


async def _engine_here(options: LaunchOptions) -> Link:
    loaded = await asyncio.to_thread(load_config, options, os.environ)
    try:
        engine = await open_engine(options, loaded, dict(os.environ))
    except StartFailed as error:
        raise LinkClosed(str(error)) from error
    client = await engine.attach(EventBuffer())
    await engine.start_servers()
    return LocalLink(CommandRouter(engine, client))
