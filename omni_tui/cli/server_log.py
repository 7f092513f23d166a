"""`servers log NAME`: print the log of a server's last starts, without starting it."""

from __future__ import annotations

import argparse
import json
import time
from datetime import datetime
from pathlib import Path

from omni_tui.cli.options import load_configuration, open_vault
from omni_tui.cli.output import CliError, ExitStatus, nearest, print_json, print_note, print_result
from omni_tui.memory import LogEntry, ServerLogs
from omni_tui.memory.server_logs import FOLDER
from omni_tui.security.text import safe_line

_PAUSE_S = 0.25


def server_log(arguments: argparse.Namespace) -> int:
    """Print a server's log; with `--follow`, until Ctrl+C."""
    loaded = load_configuration(arguments)
    state = loaded.paths.state_dir
    known = {spec.name for spec in loaded.servers}
    logs = _logs(state)
    entries, broken = _read(logs, arguments.name, known)
    if broken:
        print_note(f"{broken} parts of this log cannot be read: sealed with another key, or damaged")
    if not entries and not arguments.follow:
        raise CliError(
            f"{arguments.name} has no log" if broken else f"{arguments.name} has no log yet",
            why="none of it can be read" if broken else f"it has written nothing in {state}",
            todo="" if broken else "Start it first: omni-tui servers",
        )
    _print(entries, as_json=arguments.json, one_by_one=arguments.follow)
    if arguments.follow:
        while logs is None:
            time.sleep(_PAUSE_S)
            logs = _logs(state)
        _follow(logs, arguments, entries)
    return ExitStatus.DONE


def _logs(state: Path) -> ServerLogs | None:
    """Return the saved logs, None if there are none: no key is made then. Raises `CliError`."""
    if not (state / FOLDER).is_dir():
        return None
    return ServerLogs(state, open_vault(state, "the server logs"))


def _read(logs: ServerLogs | None, name: str, known: set[str]) -> tuple[list[LogEntry], int]:
    if logs is not None:
        try:
            return logs.read(name)
        except FileNotFoundError:
            known = known | set(logs.names())
        except OSError as error:
            raise CliError(f"the log of {name} cannot be read", why=str(error)) from None
    if name not in known:
        what = f"there is no server named {name}, and no log"
        raise CliError(what, why=nearest(name, known), status=ExitStatus.USAGE)
    return [], 0


def _follow(logs: ServerLogs, arguments: argparse.Namespace, printed: list[LogEntry]) -> None:
    last = printed[-1].ts if printed else 0.0
    stamp: tuple[int, int] | None = None
    while True:
        now = logs.stamp(arguments.name)
        if now != stamp and now != (0, 0):
            entries, _ = logs.read(arguments.name, after=last)
            _print(entries, as_json=arguments.json, one_by_one=True)
            last = entries[-1].ts if entries else last
        stamp = now
        time.sleep(_PAUSE_S)


def _print(entries: list[LogEntry], *, as_json: bool, one_by_one: bool) -> None:
    if as_json and not one_by_one:
        print_json([_as_json(entry) for entry in entries])
        return
    for entry in entries:
        if as_json:
            print_result(json.dumps(_as_json(entry)))
        elif entry.start:
            print_result(
                f"--- started {datetime.fromtimestamp(entry.ts).strftime('%Y-%m-%d %H:%M:%S')} ---"
            )
        else:
            print_result(safe_line(entry.line, limit=4000))


def _as_json(entry: LogEntry) -> dict[str, object]:
    return {"ts": entry.ts, "start": entry.start, "line": safe_line(entry.line, limit=4000)}
