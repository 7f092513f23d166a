"""Trust on first use: how a server was started and what its tools said when they were first seen.

A change of either is held: every call asks, in any mode, until the person accepts the change.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from omni_tui.approvals.policy import Trust
from omni_tui.config.server_program import program_of
from omni_tui.config.spec import ServerSpec
from omni_tui.memory import PinnedTool, TrustStore
from omni_tui.servers.base import ToolDefinition


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(spec: ServerSpec) -> str:
    """Hash how a server is started or reached, with the names of secrets but without their values.

    The program is resolved to its real path, so that another program of the same name is a change.
    """
    if spec.inside is not None:
        return _digest(["memory", spec.name, str(getattr(spec.inside, "name", ""))])
    if spec.url:
        headers = {k.lower(): "" if k in spec.secret_headers else v for k, v in spec.headers.items()}
        signs_in = [spec.oauth.grant, spec.oauth.client_id, spec.oauth.issuer] if spec.oauth else None
        return _digest(["http", spec.url, headers, *([signs_in] if signs_in else [])])
    found = program_of(spec) or spec.command
    env = {name: "" if name in spec.secret_env else value for name, value in spec.env.items()}
    inherit = [sorted(spec.inherit)] if spec.inherit else []
    return _digest(["stdio", str(Path(found).resolve()), list(spec.args), spec.cwd, env, *inherit])


def definition_hash(tool: ToolDefinition) -> str:
    """Hash all that a tool's server says about it, its `_meta` included, exactly as it came."""
    return "2:" + _digest([*_said(tool), tool.only_as_task, tool.meta])


def former_hash(tool: ToolDefinition) -> str:
    """Hash a tool as earlier versions did, without `_meta`: their pins still count."""
    return _digest(_said(tool))


def _said(tool: ToolDefinition) -> list[Any]:
    return [
        tool.name,
        tool.title,
        tool.description,
        tool.input_schema,
        tool.output_schema,
        tool.annotations,
    ]


class Pins:
    """Compares servers and tools with their pins, and remembers what was accepted.

    Reads and writes the disk; the catalogue makes sure that only one thread does so at a time.
    """

    def __init__(self, store: TrustStore) -> None:
        self._store = store

    def server_trust(self, spec: ServerSpec) -> Trust:
        """Compare a server with its pin; one never seen before is pinned and counts as unchanged."""
        now = fingerprint(spec)
        pin = self._store.server(spec.name)
        if pin is None:
            self._store.pin_server(spec.name, now)
            return "unchanged"
        return "unchanged" if pin.fingerprint == now else "changed"

    def instructions_trust(self, server: str, instructions: str) -> Trust:
        """Compare a server's instructions with those it gave when it was first seen."""
        now = _digest(instructions)
        pinned = self._store.instructions(server)
        if not pinned:
            self._store.pin_instructions(server, now)
        return "unchanged" if pinned in ("", now) else "changed"

    def allowed(self, spec: ServerSpec) -> bool:
        """Whether the person allowed exactly this server to start."""
        pin = self._store.server(spec.name)
        return pin is not None and pin.allowed and pin.fingerprint == fingerprint(spec)

    def allow(self, spec: ServerSpec) -> None:
        """Remember that the person allowed this server to start, whatever instructions it will give."""
        self._store.allow(spec.name, fingerprint(spec))
        self._store.pin_instructions(spec.name, "")

    def tool_trust(
        self, server: str, hashes: dict[str, str], former: dict[str, str] | None = None
    ) -> dict[str, Trust]:
        """Compare a server's tools with their pins.

        The first listing of a server is pinned as a whole; a tool that appears later is `new`. A pin
        that fits the `former` hash of a tool is brought up to date and keeps its date.
        """
        pins = {tool: self._store.tool(server, tool) for tool in hashes}
        old = {
            tool: hashes[tool]
            for tool, pin in pins.items()
            if former is not None and pin is not None and pin.def_hash == former.get(tool)
        }
        if old:
            self._store.pin_tools(server, old, same=True)
            pins |= {tool: self._store.tool(server, tool) for tool in old}
        if hashes and not any(pins.values()):
            self._store.pin_tools(server, hashes)
            return dict.fromkeys(hashes, "unchanged")
        return {tool: self._compare(pins[tool], value) for tool, value in hashes.items()}

    def first_seen(self, server: str, tool: str) -> float | None:
        """Return when this definition was accepted, in Unix seconds."""
        pin = self._store.tool(server, tool)
        return pin.first_seen if pin else None

    def accept(self, spec: ServerSpec, hashes: dict[str, str], instructions: str = "") -> None:
        """Accept a server, what it says about its use, and these of its tools, as they are now."""
        self._store.pin_server(spec.name, fingerprint(spec))
        self._store.pin_instructions(spec.name, _digest(instructions))
        self._store.pin_tools(spec.name, hashes)

    def forget(self, servers: Iterable[str]) -> None:
        """Forget servers that were removed."""
        for name in servers:
            self._store.forget(name)

    @staticmethod
    def _compare(pin: PinnedTool | None, now: str) -> Trust:
        if pin is None:
            return "new"
        return "unchanged" if pin.def_hash == now else "changed"


def since(moment: float | None, now: float | None = None) -> str:
    """Say when something was first seen, for a card: `14:02` of today, or `3 Nov`."""
    if moment is None:
        return "just now"
    today = time.localtime(now if now is not None else time.time())
    return _since(moment, today[:3])


@lru_cache(256)
def _since(moment: float, today: tuple[int, int, int]) -> str:
    then = time.localtime(moment)
    if then[:3] == today:
        return time.strftime("%H:%M", then)
    text = time.strftime("%d %b", then).lstrip("0")
    return text if then.tm_year == today[0] else f"{text} {then.tm_year}"
