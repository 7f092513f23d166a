"""`servers search`: search the public registry, without an engine and without starting anything."""

from __future__ import annotations

import argparse
import os
from typing import Any

from omni_tui.cli.options import launch_options
from omni_tui.cli.output import CliError, ExitStatus, print_json, print_note, print_result
from omni_tui.config.load import load_config
from omni_tui.public_registry import (
    RegistryClient,
    RegistryError,
    RegistryServer,
    launch_label,
    questions,
)
from omni_tui.security.text import safe_line

_MOST = 300


async def search(arguments: argparse.Namespace) -> int:
    """Print the servers with every word; return 1 if there are none."""
    loaded = load_config(launch_options(arguments), os.environ)
    limit = arguments.limit
    if not 1 <= limit <= _MOST:
        raise CliError(f"--limit must be from 1 to {_MOST}", status=ExitStatus.USAGE)
    registry = RegistryClient(loaded.config.registry.url)
    found: dict[str, RegistryServer] = {}
    cursor, more = "", True
    while more and len(found) < limit:
        try:
            page = await registry.search(" ".join(arguments.words), cursor)
        except RegistryError as error:
            raise CliError(error.what, todo=error.todo) from None
        for problem in page.problems:
            print_note(f"left out: {problem}")
        found |= {server.name: server for server in page.servers}
        cursor, more = page.cursor, bool(page.cursor)
    servers = list(found.values())[:limit]
    more = more or len(found) > limit
    if arguments.json:
        print_json([_as_json(server) for server in servers])
    for server in servers if not arguments.json else ():
        _print(server)
    if not servers:
        print_note(f"no server of {registry.address} has these words")
        return ExitStatus.FAILED
    if not arguments.json:
        print_note("To add one: start omni-tui and write /find WORDS. Nothing was started or added.")
    if more:
        print_note("There are more; use further words, or --limit.")
    return ExitStatus.DONE


def _runs(server: RegistryServer) -> list[dict[str, Any]]:
    """Return what each package or address would run, and what it asks for."""
    rows: list[dict[str, Any]] = []
    for launch in server.launches:
        try:
            asked = [question.label for question in questions(launch) if question.asked.required]
            rows.append(
                {"kind": launch.kind, "runs": launch_label(launch), "needs": asked, "refused": None}
            )
        except RegistryError as error:
            rows.append({"kind": launch.kind, "runs": None, "needs": [], "refused": error.what})
    return rows


def _as_json(server: RegistryServer) -> dict[str, Any]:
    return {
        "name": server.name,
        "version": server.version,
        "title": server.title,
        "description": server.description,
        "status": server.status,
        "repository": server.repository,
        "launches": _runs(server),
    }


def _line(text: str, limit: int = 400) -> str:
    return str(safe_line(text, limit=limit))


def _print(server: RegistryServer) -> None:
    status = (
        "" if server.status == "active" else f"  [{server.status}] {_line(server.status_message)}".rstrip()
    )
    print_result(f"{server.name} {_line(server.version, 60)}{status}")
    if server.description:
        print_result(f"    {_line(server.description)}")
    if server.repository:
        print_result(f"    from {_line(server.repository)}")
    for row in _runs(server):
        if row["refused"]:
            print_result(f"    {_line(row['kind'], 40)}: cannot be added: {_line(row['refused'])}")
            continue
        needs = f"  (needs {', '.join(_line(each, 80) for each in row['needs'])})" if row["needs"] else ""
        print_result(f"    {_line(row['kind'], 40)}: {_line(row['runs'], 2_000)}{needs}")
    if not server.launches:
        print_result("    it names no package and no address")
