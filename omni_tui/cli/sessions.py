"""`sessions list`, `show`, `delete`, `backup` and `restore`."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

import msgspec

from omni_tui.cli import session_search
from omni_tui.cli.options import launch_options, open_vault
from omni_tui.cli.output import CliError, ExitStatus, print_json, print_note, print_result, table
from omni_tui.cli.printers import TextPrinter, print_event_json
from omni_tui.config.paths import find_paths
from omni_tui.memory import (
    RESTORED,
    Backup,
    BackupFailed,
    InstallationAudit,
    JournalBroken,
    JournalBusy,
    SavedSession,
    SessionList,
    Vault,
    VaultRefused,
    all_backups,
    back_up,
    delete_session,
    list_sessions,
    restore,
    session_path,
)
from omni_tui.memory.disk_trouble import in_words
from omni_tui.memory.redis import names_in_redis
from omni_tui.memory.session_files import anything_left, saved_ids
from omni_tui.memory.sqlite import NothingSaved
from omni_tui.protocol.events import SessionInfo


def sessions(arguments: argparse.Namespace) -> int:
    """Run one action."""
    actions = {
        "list": _list, "show": _show, "delete": _delete, "backup": _backup, "restore": _restore,
        "search": session_search.search, "rename": session_search.rename, "tag": session_search.tag,
    }  # fmt: skip
    return actions[arguments.action](
        arguments, find_paths(state_dir=launch_options(arguments).state_dir).state_dir
    )


def _list(arguments: argparse.Namespace, state: Path) -> int:
    """Print the saved sessions; return 1 if some cannot be read."""
    if arguments.redis:
        from omni_tui.cli.remote_sessions import list_in_redis

        return list_in_redis(arguments)
    there = (state / "sessions").is_dir()
    found = list_sessions(state, open_vault(state, "the saved sessions")) if there else SessionList([], {})
    listed = [info for info in found.sessions if session_search.has_tags(info, arguments.tag)]
    if arguments.json:
        print_json([msgspec.to_builtins(info) for info in listed])
    elif listed:
        print_result(table(("ID", "LAST USED", "EVENTS", "", "TITLE"), [_row(info) for info in listed]))
    elif found.sessions:
        print_result("no saved session has these tags")
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
    used = _moment(info.updated)
    pending = f"{info.open_calls} pending" if info.open_calls else ""
    tags = "".join(f" #{tag}" for tag in info.tags)
    return info.id, used, str(info.events), pending, f"{info.title}{tags}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _show(arguments: argparse.Namespace, state: Path) -> int:
    """Print a session, read from a copy: the session itself is not changed."""
    path = existing_session(arguments.id, state)
    saved = SavedSession(path, arguments.id, open_vault(state, "the saved sessions"))
    text = TextPrinter()
    try:
        for event in saved:
            if arguments.json:
                print_event_json(event)
            elif shown := text.saved(event):
                print_result(shown)
    except (JournalBusy, JournalBroken, OSError) as error:
        raise CliError("the session cannot be read", why=str(error)) from None
    if saved.unread:
        print_note(f"omni-tui: {saved.unread} saved events of this session cannot be read and are left out")
        return ExitStatus.FAILED
    return ExitStatus.DONE


def _delete(arguments: argparse.Namespace, state: Path) -> int:
    if arguments.redis:
        from omni_tui.cli.remote_sessions import delete_in_redis

        return delete_in_redis(arguments)
    existing_session(arguments.id, state)
    names = _names_in_redis(state, arguments.id)
    try:
        delete_session(state, arguments.id, _audit(state), _vault(state))
    except JournalBusy as error:
        raise CliError("nothing was deleted", why=str(error)) from None
    except OSError as error:
        raise CliError("the session could not be deleted completely", why=in_words(error)) from None
    print_result(f"deleted {arguments.id}")
    if not names:
        return ExitStatus.DONE
    from omni_tui.cli.remote_sessions import delete_mirrored

    return delete_mirrored(arguments, names)


def _names_in_redis(state: Path, session: str) -> tuple[str, ...]:
    """Return under which names a session is in Redis, none if it is not, or if that cannot be told."""
    try:
        return names_in_redis(state, session, Vault.open(state))
    except (JournalBusy, JournalBroken, VaultRefused, OSError):
        return ()


def _backup(arguments: argparse.Namespace, state: Path) -> int:
    """Back sessions up, all of them if none is named; return 1 if one could not be."""
    if arguments.list:
        return _list_backups(arguments, state)
    for session in arguments.ids:
        existing_session(session, state)
    vault = open_vault(state, "the saved sessions")
    made, failed = [], 0
    for session in arguments.ids or saved_ids(state)[::-1]:
        try:
            made.append(back_up(state, session, vault))
        except NothingSaved:
            continue
        except (BackupFailed, JournalBusy, JournalBroken, OSError) as error:
            failed += 1
            why = in_words(error) if isinstance(error, OSError) else error
            print_note(f"omni-tui: session {session} was not backed up: {why}")
    if arguments.json:
        print_json([_backup_json(each) for each in made])
    else:
        print_result(f"{len(made)} of {len(made) + failed} sessions backed up in {state / 'backups'}")
    return ExitStatus.FAILED if failed else ExitStatus.DONE


def _list_backups(arguments: argparse.Namespace, state: Path) -> int:
    try:
        found = [each for each in all_backups(state) if not arguments.ids or each.session in arguments.ids]
    except OSError as error:
        raise CliError("the backups cannot be read", why=in_words(error)) from None
    if arguments.json:
        print_json([_backup_json(each) for each in found])
    elif not found:
        print_result(f"there are no backups in {state / 'backups'}")
    else:
        rows = [(each.session, str(each.number), _moment(each.made), f"{each.size:,}") for each in found]
        print_result(table(("ID", "NUMBER", "MADE", "BYTES"), rows))
    return ExitStatus.DONE


def _backup_json(backup: Backup) -> dict[str, object]:
    return {
        "session": backup.session,
        "number": backup.number,
        "made": backup.made,
        "bytes": backup.size,
        "path": str(backup.path),
    }


def _restore(arguments: argparse.Namespace, state: Path) -> int:
    """Put a backup in the place of a session."""
    try:
        session_path(state, arguments.id)
    except ValueError as error:
        raise CliError(str(error), status=ExitStatus.USAGE) from None
    vault, number = open_vault(state, "the backups"), arguments.number
    if arguments.memory:
        from omni_tui.cli.plugin_memory import fetched_backup

        number = fetched_backup(arguments.id, arguments.memory, state)
    try:
        done = restore(state, arguments.id, vault, number)
        InstallationAudit(state, vault).add(
            RESTORED, arguments.id, actor="user", detail=f"backup {done.backup.number}"
        )
    except (BackupFailed, JournalBusy) as error:
        raise CliError(
            "nothing was restored", why=str(error), todo="See: omni-tui sessions backup --list"
        ) from None
    except OSError as error:
        raise CliError("the session could not be restored", why=in_words(error)) from None
    print_result(f"restored {arguments.id} from backup {done.backup.number}: {done.events} events")
    if done.lacks:
        print_note(f"omni-tui: {done.lacks} newer events are not in the backup")
    if done.kept:
        print_note(f"omni-tui: the former file is kept as {done.kept} until you delete the session")
    return ExitStatus.DONE


def _audit(state: Path) -> InstallationAudit | None:
    """Return the audit to note a deletion in; None without the key: a session can be deleted without it."""
    try:
        return InstallationAudit(state, Vault.open(state))
    except (VaultRefused, OSError):
        return None


def _vault(state: Path) -> Vault | None:
    """Return the keys, None without them: then the whole search index goes with the session."""
    try:
        return Vault.open(state)
    except (VaultRefused, OSError):
        return None


def existing_session(session: str, state: Path) -> Path:
    """Return the file of a session. Raises `CliError` if there is none."""
    try:
        path = session_path(state, session)
    except ValueError as error:
        raise CliError(str(error), status=ExitStatus.USAGE) from None
    if not anything_left(state, session):
        raise CliError(f"there is no session {session} in {state}", todo="See: omni-tui sessions list")
    return path
