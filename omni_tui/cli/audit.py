"""`omni-tui audit`: check the audit, or print all of it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import msgspec

from omni_tui.cli.options import launch_options, open_vault
from omni_tui.cli.output import CliError, ExitStatus, print_json, print_note, print_result
from omni_tui.cli.sessions import existing_session
from omni_tui.config.paths import find_paths
from omni_tui.memory import Vault, check_audit, read_audit
from omni_tui.protocol.deciders import decider_words


def audit(arguments: argparse.Namespace) -> int:
    """Run one action."""
    state = find_paths(state_dir=launch_options(arguments).state_dir).state_dir
    if arguments.id:
        existing_session(arguments.id, state)
    act = _verify if arguments.action == "verify" else _export
    return act(arguments, state, open_vault(state, "the audit"))


def _verify(arguments: argparse.Namespace, state: Path, vault: Vault) -> int:
    """Check the chains; return 1 and name the first bad entry of each if something was changed."""
    try:
        report = check_audit(state, vault, arguments.id)
    except OSError as error:
        raise CliError("the audit cannot be read", why=str(error)) from None
    if arguments.json:
        print_json(asdict(report))
        return ExitStatus.FAILED if report.faults else ExitStatus.DONE
    for fault in report.faults:
        print_result(f"broken: {fault}")
    for remark in report.remarks:
        print_note(f"note: {remark}")
    for left_out in report.unchecked:
        print_note(f"not checked: {left_out}")
    entries = _count(report.entries, "entry", "entries")
    verdict = f"{len(report.faults)} broken" if report.faults else "nothing was changed"
    if report.unchecked:
        verdict += f", {len(report.unchecked)} not checked"
    print_result(f"{entries} of {_count(report.sessions, 'session', 'sessions')} checked: {verdict}")
    return ExitStatus.FAILED if report.faults else ExitStatus.DONE


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _export(arguments: argparse.Namespace, state: Path, vault: Vault) -> int:
    """Print every entry as one line of JSON; return 1 if something cannot be read."""
    unread = 0
    for entry in read_audit(state, vault, arguments.id):
        if isinstance(entry, str):
            unread += 1
            print_note(f"omni-tui: {entry}")
        else:
            # ASCII only: nothing in it can control a terminal.
            print_result(json.dumps(msgspec.to_builtins(entry) | {"by": decider_words(entry.actor)}))
    return ExitStatus.FAILED if unread else ExitStatus.DONE
