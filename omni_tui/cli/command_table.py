"""Run the function of each command; imports only what the command needs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from omni_tui.cli.output import CliError, ExitStatus, print_note

log = logging.getLogger(__name__)


def run_command(arguments: argparse.Namespace) -> int:
    """Run a command and return its exit status. A failure is one message, never a traceback."""
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        _check_current_folder()
        return _COMMANDS[arguments.command](arguments)
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


def _app(arguments: argparse.Namespace) -> int:
    # Imports create no garbage, and collecting costs a tenth of the start. The face starts the collector
    # with its first frame.
    gc.disable()
    try:
        from omni_tui.cli.app import app

        return app(arguments)
    finally:
        gc.enable()


def _run(arguments: argparse.Namespace) -> int:
    from omni_tui.cli.run import run

    return _awaited(run(arguments))


def _headless(arguments: argparse.Namespace) -> int:
    if arguments.command == "servers" and arguments.action == "log":
        from omni_tui.cli.server_log import server_log

        return server_log(arguments)
    from omni_tui.cli import headless

    commands: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
        "servers": headless.servers,
        "tools": headless.tools,
        "call": headless.call,
    }
    return _awaited(commands[arguments.command](arguments))


def _config(arguments: argparse.Namespace) -> int:
    from omni_tui.cli.configuration import config

    return config(arguments)


def _sessions(arguments: argparse.Namespace) -> int:
    from omni_tui.cli.sessions import sessions

    return _awaited(sessions(arguments))


def _doctor(arguments: argparse.Namespace) -> int:
    from omni_tui.cli.doctor import doctor

    return doctor(arguments)


def _awaited(work: Coroutine[Any, Any, int]) -> int:
    return asyncio.run(work)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "app": _app,
    "demo": _app,
    "run": _run,
    "servers": _headless,
    "tools": _headless,
    "call": _headless,
    "config": _config,
    "sessions": _sessions,
    "doctor": _doctor,
}
