"""`sessions list`, `show` and `delete`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any

from omni_tui.cli.driver import engine
from omni_tui.cli.failures import Exit, Failure
from omni_tui.cli.options import launch_options
from omni_tui.cli.output import say, say_json, table
from omni_tui.cli.tellers import JsonTeller, TextTeller
from omni_tui.config.paths import find_paths
from omni_tui.memory import (
    JournalBusy,
    PlaceRefused,
    Vault,
    VaultRefused,
    delete_session,
    list_sessions,
    session_path,
)
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import SessionInfo


async def sessions(arguments: argparse.Namespace) -> int:
    """Run one of the three."""
    actions: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
        "list": _list,
        "show": _show,
        "delete": _delete,
    }
    return await actions[arguments.action](arguments)


def _state(arguments: argparse.Namespace) -> Path:
    return find_paths(state_dir=launch_options(arguments).state_dir).state_dir


async def _list(arguments: argparse.Namespace) -> int:
    state = _state(arguments)
    found = _saved(state) if (state / "sessions").is_dir() else []
    if arguments.json:
        say_json([_as_json(info) for info in found])
    elif found:
        rows = [(info.id, _when(info.updated), str(info.events), _open(info), info.title) for info in found]
        say(table(("ID", "LAST USED", "EVENTS", "", "TITLE"), rows))
    else:
        say(f"no sessions are saved in {state}")
    return Exit.DONE


def _saved(state: Path) -> list[SessionInfo]:
    try:
        return list_sessions(state, Vault.open(state))
    except (VaultRefused, PlaceRefused, OSError) as error:
        raise Failure("the saved sessions cannot be read", why=str(error)) from None


def _as_json(info: SessionInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "title": info.title,
        "created": info.created,
        "updated": info.updated,
        "events": info.events,
        "open_calls": info.open_calls,
    }


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M")


def _open(info: SessionInfo) -> str:
    return f"{info.open_calls} undecided" if info.open_calls else ""


async def _show(arguments: argparse.Namespace) -> int:
    _must_exist(arguments)
    teller = TextTeller()

    def heard(event: AnyEvent) -> None:
        if not event.journalled:
            return
        if arguments.json:
            JsonTeller().tell(event)
        elif text := teller.told(event):
            say(text)

    options = launch_options(arguments, headless=True, connect=False, resume=arguments.id)
    async with engine(options, heard):
        pass  # the engine has told all of it by the time it is ready
    return Exit.DONE


async def _delete(arguments: argparse.Namespace) -> int:
    _must_exist(arguments)
    try:
        delete_session(_state(arguments), arguments.id)
    except JournalBusy as error:
        raise Failure("nothing was deleted", why=str(error)) from None
    except (PlaceRefused, OSError) as error:
        raise Failure("the session could not be deleted whole", why=str(error)) from None
    say(f"deleted {arguments.id}")
    return Exit.DONE


def _must_exist(arguments: argparse.Namespace) -> None:
    state = _state(arguments)
    try:
        exists = session_path(state, arguments.id).exists()
    except ValueError as error:
        raise Failure(str(error), status=Exit.USAGE) from None
    if not exists:
        raise Failure(f"no session {arguments.id} is saved in {state}", todo="See: omni-tui sessions list")
