"""Run the function of each command; imports only what the command needs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import logging
import os
import sys

from omni_tui.cli.output import CliError, ExitStatus, print_note

log = logging.getLogger(__name__)


def run_command(arguments: argparse.Namespace) -> int:
    """Run a command and return its exit status. A failure is one message, never a traceback."""
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        _check_current_folder()
        return _run(arguments)
    except CliError as failure:
        print_note(f"omni-tui: {failure}")
        return failure.status
    except KeyboardInterrupt:
        return ExitStatus.CANCELLED
    except BrokenPipeError:  # the reader of the output has closed it
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.FAILED
    except Exception as error:
        log.exception("%s broke", arguments.command)
        print_note(f"omni-tui: internal error: {type(error).__name__}: {error}")
        print_note("Run it again with --debug and read the log (omni-tui config path prints its folder).")
        return ExitStatus.FAILED


def _check_current_folder() -> None:
    """Raise `CliError` if the current folder was deleted: files and servers cannot be found from it."""
    try:
        os.getcwd()
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        raise CliError(
            "the current folder was deleted" if gone else "the current folder cannot be used",
            why="" if gone else error.strerror or str(error),
            todo="Change to an existing folder (cd), then start again.",
            status=ExitStatus.USAGE,
        ) from None


_FUNCTIONS = {
    "app": "app:app",
    "demo": "app:app",
    "run": "run:run",
    "servers": "headless:servers",
    "servers log": "server_log:server_log",
    "servers search": "server_search:search",
    "tools": "headless:tools",
    "call": "headless:call",
    "config": "configuration:config",
    "config import": "host_imports:import_servers",
    "policy": "policy:policy",
    "sessions": "sessions:sessions",
    "sessions key": "session_keys:session_key",
    "sessions export": "conversation_files:export",
    "sessions import": "conversation_files:import_file",
    "sessions resume": "remote_sessions:resume",
    "audit": "audit:audit",
    "doctor": "doctor:doctor",
    "plugins": "plugins:plugins",
    "completion": "completion:completion",
}
"""The module in `omni_tui.cli` and the function of each command; a coroutine function is awaited."""


def _run(arguments: argparse.Namespace) -> int:
    command = arguments.command
    if command in ("servers", "sessions", "config") and f"{command} {arguments.action}" in _FUNCTIONS:
        command = f"{command} {arguments.action}"
    if command in ("app", "demo"):
        # Imports create no garbage, and collecting costs a tenth of the start. The face starts the
        # collector with its first frame.
        gc.disable()
    try:
        module, _, function = _FUNCTIONS[command].partition(":")
        status = getattr(importlib.import_module(f"omni_tui.cli.{module}"), function)(arguments)
        return int(asyncio.run(status) if asyncio.iscoroutine(status) else status)
    finally:
        gc.enable()
