"""`sessions list --redis` and `sessions resume`: sessions that lie in Redis."""

from __future__ import annotations

import argparse
import asyncio
from datetime import datetime
from pathlib import Path

import msgspec

from omni_tui.cli.options import launch_options, load_configuration, open_vault
from omni_tui.cli.output import CliError, ExitStatus, print_json, print_note, print_result, table
from omni_tui.config.paths import find_paths
from omni_tui.config.redis_address import RedisAddress
from omni_tui.memory import Sealer, Vault, session_path
from omni_tui.memory.redis import (
    ANYBODY,
    FetchRefused,
    KeyRefused,
    MemoryKeys,
    RedisTrouble,
    RemoteSession,
    delete_remote,
    fetch_remarks,
    fetch_session,
    list_remote,
)


def list_in_redis(arguments: argparse.Namespace) -> int:
    """Print the sessions in Redis; return 1 if some cannot be read."""
    address, sealers, state, _vault = _redis(arguments)
    try:
        found = asyncio.run(list_remote(address, sealers))
    except RedisTrouble as trouble:
        raise _unreachable(address, trouble) from None
    readable = [each for each in found if each.info is not None]
    if arguments.json:
        print_json([{"id": each.id, **msgspec.to_builtins(each.info)} for each in readable])
    elif readable:
        print_result(
            table(("ID", "LAST USED", "EVENTS", "WHERE", "TITLE"), [_row(each, state) for each in readable])
        )
    elif not found:
        print_result(f"there are no sessions in {address}")
    for each in found:
        if each.info is None:
            print_note(f"omni-tui: session {each.id}: {each.why}")
    return ExitStatus.DONE if len(readable) == len(found) else ExitStatus.FAILED


def _row(session: RemoteSession, state: Path) -> tuple[str, ...]:
    info = session.info
    assert info is not None
    used = datetime.fromtimestamp(info.updated).strftime("%Y-%m-%d %H:%M")
    where = info.machine + (", open" if info.open else "")
    try:
        here = session_path(state, session.id).exists()
    except ValueError:
        here = False
    return session.id, used, str(session.events), where + (" (also here)" if here else ""), info.title


def resume(arguments: argparse.Namespace) -> int:
    """Fetch a session from Redis; nothing is sent to any server."""
    address, sealers, state, vault = _redis(arguments)
    try:
        work = fetch_session(address, sealers, arguments.id, state, vault, copy=arguments.copy)
        report = asyncio.run(work)
    except RedisTrouble as trouble:
        raise _unreachable(address, trouble) from None
    except FetchRefused as refused:
        raise CliError("the session was not fetched", why=str(refused)) from None
    except ValueError as error:
        raise CliError(str(error), status=ExitStatus.USAGE) from None
    except OSError as error:
        raise CliError("the session could not be saved here", why=error.strerror or str(error)) from None
    print_result(f"fetched {_count(report.new, 'event')}; the session has {report.events} here now")
    for line in fetch_remarks(report, taken=not arguments.copy):
        print_note(f"omni-tui: {line}")
    print_result(f"go on with it: omni-tui --session {report.session}")
    return ExitStatus.DONE


def delete_in_redis(arguments: argparse.Namespace) -> int:
    """Delete a session from Redis, whoever has it; those on machines stay."""
    address = _address(arguments)
    try:
        asyncio.run(delete_remote(address, arguments.id, (ANYBODY,)))
    except RedisTrouble as trouble:
        raise _unreachable(address, trouble) from None
    print_result(f"deleted {arguments.id} from {address}; a machine that has it open sends it again")
    return ExitStatus.DONE


def delete_mirrored(arguments: argparse.Namespace, names: tuple[str, ...]) -> int:
    """Delete from Redis what a deleted session wrote there; return 1 if it is there still."""
    address = _address(arguments)
    try:
        gone = asyncio.run(delete_remote(address, arguments.id, names))
    except RedisTrouble as trouble:
        todo = f"When it can be used: omni-tui sessions delete --redis {arguments.id}"
        raise CliError(f"the session is still in Redis ({address})", why=str(trouble), todo=todo) from None
    print_result(f"deleted it from {address} too" if gone else "in Redis it stays: another machine has it")
    return ExitStatus.DONE


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _redis(arguments: argparse.Namespace) -> tuple[RedisAddress, dict[str, Sealer], Path, Vault]:
    """Return where Redis is, the keys of its sessions, and the state folder here. Raises `CliError`."""
    address = _address(arguments)
    state = find_paths(state_dir=launch_options(arguments).state_dir).state_dir
    vault = open_vault(state, "the saved sessions", make=True)
    try:
        return address, MemoryKeys(state, vault).sealers(), state, vault
    except KeyRefused as error:
        raise CliError(str(error)) from None


def _address(arguments: argparse.Namespace) -> RedisAddress:
    """Return where Redis is. Raises `CliError`."""
    loaded = load_configuration(arguments)
    if loaded.redis is None:
        raise CliError("it is not known where Redis is", why=loaded.redis_problem)
    return loaded.redis


def _unreachable(address: RedisAddress, trouble: RedisTrouble) -> CliError:
    todo = f"{trouble.todo[:1].upper()}{trouble.todo[1:]}." if trouble.todo else ""
    return CliError(f"Redis cannot be used ({address})", why=str(trouble), todo=todo)
