"""Trust on first use: how a server was started and what its tools said when they were first seen.

A change of either is held: every call asks, in any mode, until the person accepts the change.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from omni_tui.approvals.definition_text import definition_text, instructions_text, launch_text
from omni_tui.approvals.policy import Trust
from omni_tui.config.server_program import program_of
from omni_tui.config.spec import ServerSpec
from omni_tui.memory import AcceptedText, TrustStore
from omni_tui.protocol import JsonText
from omni_tui.security.text import exact_json
from omni_tui.servers.base import ToolDefinition

LAUNCH, INSTRUCTIONS, TOOL = "launch", "instructions", "tool "
"""Names of accepted texts; a tool's name follows the last."""


@dataclass(frozen=True, slots=True)
class TextChange:
    """A text as it was accepted (None if it was not kept) and as it is now, each a JSON string."""

    what: Literal["launch", "instructions", "definition"]
    trust: Trust
    former: str | None
    present: JsonText


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
    return "2:" + _digest([*_described(tool), tool.only_as_task, tool.meta])


def former_hash(tool: ToolDefinition) -> str:
    """Hash a tool as earlier versions did, without `_meta`: their pins still count."""
    return _digest(_described(tool))


def _described(tool: ToolDefinition) -> list[Any]:
    schemas = [tool.input_schema, tool.output_schema]
    return [tool.name, tool.title, tool.description, *schemas, tool.annotations]


def says_hash(instructions: str) -> str:
    """Hash what a server says about its use."""
    return _digest(instructions)


class Pins:
    """Compares servers and tools with their pins, and remembers what was accepted.

    Reads and writes the disk; the catalogue makes sure that only one thread does so at a time.
    """

    def __init__(self, store: TrustStore) -> None:
        self._store = store

    @property
    def unsaved(self) -> str:
        """Why what was accepted is not on disk, "" if it is."""
        return self._store.problem

    def is_first(self, server: str) -> bool:
        """Whether no tool of a server was ever pinned, so that its next listing will be as a whole."""
        return not self._store.has_tools(server)

    def server_trust(self, spec: ServerSpec, *, pin: bool = True) -> Trust:
        """Compare a server with its pin; one never seen before counts as unchanged, and is pinned.

        Without `pin` it is not pinned.
        """
        now = fingerprint(spec)
        pinned = self._store.server(spec.name)
        if pinned is not None and pinned.fingerprint != now:
            return "changed"
        if pinned is None:
            if not pin:
                return "unchanged"
            self._store.pin_server(spec.name, now)
        self._keep(spec.name, {LAUNCH: (now, partial(launch_text, spec))})
        return "unchanged"

    def instructions_trust(self, server: str, instructions: str, *, pin: bool = True) -> Trust:
        """Compare a server's instructions with those it gave when it was first seen.

        Those are pinned; without `pin` they are not.
        """
        now = says_hash(instructions)
        pinned = self._store.instructions(server)
        if pinned and pinned != now:
            return "changed"
        if not pinned:
            if not pin:
                return "unchanged"
            self._store.pin_instructions(server, now)
        self._keep(server, {INSTRUCTIONS: (now, partial(instructions_text, instructions))})
        return "unchanged"

    def allowed(self, spec: ServerSpec) -> bool:
        """Whether the person allowed exactly this server to start."""
        pin = self._store.server(spec.name)
        return pin is not None and pin.allowed and pin.fingerprint == fingerprint(spec)

    def allow(self, spec: ServerSpec, shown: str) -> bool:
        """Remember that the person allowed this server to start, whatever instructions it will give.

        `shown` is the fingerprint of what they saw; return False if it is another one now.
        """
        now = fingerprint(spec)
        if now != shown:
            return False
        self._store.allow(spec.name, now)
        self._store.pin_instructions(spec.name, "")
        self._keep(spec.name, {LAUNCH: (now, partial(launch_text, spec))})
        return True

    def tool_trust(
        self,
        server: str,
        hashes: dict[str, str],
        former: dict[str, str] | None = None,
        *,
        pin: bool = True,
    ) -> dict[str, Trust]:
        """Compare a server's tools with their pins.

        The first listing of a server is pinned as a whole, unless `pin` is false; a tool that appears
        later, or was not pinned then, is `new`. A pin that fits the `former` hash of a tool is brought up
        to date and keeps its date.
        """
        pins = {tool: self._store.tool(server, tool) for tool in hashes}
        old = {
            tool: hashes[tool]
            for tool, known in pins.items()
            if former is not None and known is not None and known.def_hash == former.get(tool)
        }
        if old:
            self._store.pin_tools(server, old, same=True)
            pins |= {tool: self._store.tool(server, tool) for tool in old}
        if pin and hashes and not any(pins.values()):
            self._store.pin_tools(server, hashes)
            return dict.fromkeys(hashes, "unchanged")
        trust: dict[str, Trust] = {}
        for tool, value in hashes.items():
            known = pins[tool]
            trust[tool] = "new" if known is None else "unchanged" if known.def_hash == value else "changed"
        return trust

    def keep_definitions(self, server: str, tools: Mapping[str, ToolDefinition]) -> None:
        """Keep what accepted tools say, by the hashes of their pins, to show later what has changed."""
        self._keep(
            server,
            {
                f"{TOOL}{tool.name}": (def_hash, partial(definition_text, tool))
                for def_hash, tool in tools.items()
            },
        )

    def _keep(self, server: str, wanted: Mapping[str, tuple[str, Callable[[], str]]]) -> None:
        texts = self._store.texts
        missing = texts.missing(server, {name: value for name, (value, _) in wanted.items()})
        texts.keep(
            server, {name: AcceptedText(wanted[name][0], exact_json(wanted[name][1]())) for name in missing}
        )

    def accepted_at(self, server: str, tool: str) -> tuple[float | None, bool]:
        """Return when a tool's definition was pinned (Unix seconds), and whether the person accepted it."""
        pin = self._store.tool(server, tool)
        return (pin.first_seen, pin.accepted) if pin else (None, False)

    def changes(
        self, spec: ServerSpec, instructions: str | None = None, tool: ToolDefinition | None = None
    ) -> tuple[TextChange, ...]:
        """Return what of a server, and of one of its tools, is not as it was accepted.

        `instructions` is None if the server has not said any in this run. A tool is always among them.
        """
        store, found = self._store, []
        pin = store.server(spec.name)
        if pin is not None and pin.fingerprint != fingerprint(spec):
            former = store.texts.find(spec.name, LAUNCH, pin.fingerprint)
            found.append(TextChange("launch", "changed", former, exact_json(launch_text(spec))))
        pinned = store.instructions(spec.name)
        if instructions is not None and pinned not in ("", says_hash(instructions)):
            former = store.texts.find(spec.name, INSTRUCTIONS, pinned)
            present = exact_json(instructions_text(instructions))
            found.append(TextChange("instructions", "changed", former, present))
        if tool is not None:
            found.append(self._tool_change(tool))
        return tuple(found)

    def _tool_change(self, tool: ToolDefinition) -> TextChange:
        pin, present = self._store.tool(tool.server, tool.name), exact_json(definition_text(tool))
        if pin is None or pin.def_hash in (definition_hash(tool), former_hash(tool)):
            return TextChange("definition", "new" if pin is None else "unchanged", None, present)
        former = self._store.texts.find(tool.server, f"{TOOL}{tool.name}", pin.def_hash)
        return TextChange("definition", "changed", former, present)

    def accept(
        self, spec: ServerSpec, tools: Mapping[str, ToolDefinition], instructions: str = "", *, shown: str
    ) -> bool:
        """Accept a server, what it says about its use, and tools by their hashes.

        `shown` is the fingerprint of the server as the person saw it; return False if it is another one
        now.
        """
        now, says = fingerprint(spec), says_hash(instructions)
        if now != shown:
            return False
        self._store.pin_server(spec.name, now)
        self._store.pin_instructions(spec.name, says)
        hashes = {tool.name: def_hash for def_hash, tool in tools.items()}
        self._store.pin_tools(spec.name, hashes, accepted=True)
        self._keep(
            spec.name,
            {
                LAUNCH: (now, partial(launch_text, spec)),
                INSTRUCTIONS: (says, partial(instructions_text, instructions)),
            },
        )
        self.keep_definitions(spec.name, tools)
        return True


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
