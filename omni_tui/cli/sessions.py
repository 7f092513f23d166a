"""`sessions list`, `show` and `delete`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any

from omni_tui.cli.options import launch_options
from omni_tui.cli.output import CliError, ExitStatus, print_json, print_note, print_result, table
from omni_tui.cli.printers import JsonPrinter, TextPrinter
from omni_tui.config.paths import find_paths
from omni_tui.memory import (
    JournalBroken,
    JournalBusy,
    SavedSession,
    SessionList,
    UnsafePlace,
    Vault,
    VaultRefused,
    delete_session,
    list_sessions,
    session_path,
)
from omni_tui.protocol.events import SessionInfo


async def sessions(arguments: argparse.Namespace) -> int:
    """Run one action."""
    actions: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
        "list": _list,
        "show": _show,
        "delete": _delete,
    }
    return await actions[arguments.action](arguments)


def _state(arguments: argparse.Namespace) -> Path:
    return find_paths(state_dir=launch_options(arguments).state_dir).state_dir


async def _list(arguments: argparse.Namespace) -> int:
    """Print the saved sessions; return 1 if some cannot be read."""
    state = _state(arguments)
    there = (state / "sessions").is_dir()
    found = list_sessions(state, _vault(state)) if there else SessionList([], {})
    if arguments.json:
        print_json([_as_json(info) for info in found.sessions])
    elif found.sessions:
        print_result(
            table(("ID", "LAST USED", "EVENTS", "", "TITLE"), [_row(info) for info in found.sessions])
        )
    elif not found.unreadable:
        print_result(f"there are no saved sessions in {state}")
    if found.unreadable:
        print_note(
            f"omni-tui: {len(found.unreadable)} saved sessions cannot be read; they are kept as they are:"
        )
        for session, why in found.unreadable.items():
            print_note(f"  {session}: {why}")
        return ExitStatus.FAILED
    return ExitStatus.DONE


def _row(info: SessionInfo) -> tuple[str, ...]:
    return info.id, _when(info.updated), str(info.events), _open(info), info.title


def _vault(state: Path) -> Vault:
    try:
        vault = Vault.open(state)
    except (VaultRefused, UnsafePlace, OSError) as error:
        raise CliError("the saved sessions cannot be read", why=str(error)) from None
    if vault.missing:
        print_note(f"omni-tui: {vault.missing}")
    return vault


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
    return f"{info.open_calls} pending" if info.open_calls else ""


async def _show(arguments: argparse.Namespace) -> int:
    """Print a session, read from a copy: the session itself is not changed."""
    _must_exist(arguments)
    state = _state(arguments)
    saved = SavedSession(session_path(state, arguments.id), arguments.id, _vault(state))
    text, frames = TextPrinter(), JsonPrinter()
    try:
        for event in saved:
            if arguments.json:
                frames.print(event)
            elif shown := text.saved(event):
                print_result(shown)
    except (JournalBusy, JournalBroken, OSError) as error:
        raise CliError("the session cannot be read", why=str(error)) from None
    if saved.unread:
        print_note(f"omni-tui: {saved.unread} saved events of this session cannot be read and are left out")
        return ExitStatus.FAILED
    return ExitStatus.DONE


async def _delete(arguments: argparse.Namespace) -> int:
    _must_exist(arguments)
    try:
        delete_session(_state(arguments), arguments.id)
    except JournalBusy as error:
        raise CliError("nothing was deleted", why=str(error)) from None
    except (UnsafePlace, OSError) as error:
        raise CliError("the session could not be deleted completely", why=str(error)) from None
    print_result(f"deleted {arguments.id}")
    return ExitStatus.DONE


def _must_exist(arguments: argparse.Namespace) -> None:
    state = _state(arguments)
    try:
        exists = session_path(state, arguments.id).exists()
    except ValueError as error:
        raise CliError(str(error), status=ExitStatus.USAGE) from None
    if not exists:
        raise CliError(f"there is no session {arguments.id} in {state}", todo="See: omni-tui sessions list")
