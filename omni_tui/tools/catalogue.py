"""The catalogue: all tools of the connected servers, with trust, risk and model name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from omni_tui.approvals.pins import (
    Pins,
    TextChange,
    definition_hash,
    fingerprint,
    former_hash,
    says_hash,
)
from omni_tui.approvals.policy import Trust
from omni_tui.approvals.risk import classify
from omni_tui.config.server_display import display_target
from omni_tui.config.spec import ServerSpec
from omni_tui.models.base import ToolSpec
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import Risk, ToolsListed, ToolSummary
from omni_tui.security.identifiers import identifier
from omni_tui.security.look_alikes import is_deceptive, skeletons
from omni_tui.security.text import safe, safe_line, strip_invisible
from omni_tui.servers.base import ToolDefinition
from omni_tui.tools.name_index import NameIndex
from omni_tui.tools.tool_names import model_name, nearest_names

FirstSight = Callable[[ServerSpec, int], Awaitable[bool]]
"""Whether the tools of a server may count as accepted since they are its first: server, and how many."""
PAGE = 100
_DESCRIPTION = 4096
_NAMED = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "dependentRequired", "dependencies", "required"}
)
"""Keywords that hold names of properties."""
_DEEPEST = 100
"""Levels of nesting beyond which nothing more is told."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool, with all that the gate, the model and the face need."""

    definition: ToolDefinition
    def_hash: str
    server_fp: str
    server_trust: Trust
    trust: Trust
    risk: Risk
    model_name: str
    first_seen: float | None = None
    """When this definition was accepted, in Unix seconds."""
    accepted: bool = False
    """Whether the person accepted this definition; else it was there when the server was first listed."""
    server_trusted: bool = False
    """Whether what its server claims of it counts; else `risk` is a claim where it is low."""
    target: str = ""
    """Where its server is started or reached, for showing; secrets are left out."""
    transport: str = ""
    says: str = ""
    """The hash of what its server says about its use."""

    @property
    def server(self) -> str:
        """The name of its server."""
        return self.definition.server

    @property
    def name(self) -> str:
        """Its exact name."""
        return self.definition.name

    def summary(self, names: NameIndex) -> ToolSummary:
        """Return the row that the face shows."""
        imitation = self.is_imitation(names)
        definition = self.definition
        return ToolSummary(
            server=definition.server,
            name=definition.name,
            label=identifier(definition.name),
            model_name=self.model_name,
            title=safe_line(definition.title, limit=128),
            description=safe_line(definition.description, limit=300, joined=True),
            risk=self.risk,
            server_trusted=self.server_trusted,
            trust=self.trust,
            exposed=not (self.held or imitation),
            alike=names.words(self.server, self.name),
            imitation=imitation,
        )

    def is_imitation(self, names: NameIndex) -> bool:
        """Whether its name passes for that of another tool, and the person has not accepted it."""
        unread = not self.accepted or self.trust != "unchanged"
        return unread and names.imitated(self.server, self.name) is not None

    @property
    def held(self) -> bool:
        """Whether its calls wait for the person because the tool or its server has changed."""
        return "changed" in (self.trust, self.server_trust)

    def spec(self) -> ToolSpec:
        """Return what a model is told.

        Invisible characters are left out. Of a changed tool only the names of its arguments are told:
        the new words could be instructions, and nobody has read them yet.
        """
        description, _ = strip_invisible(self.definition.description)
        parameters = self.definition.input_schema or {"type": "object", "properties": {}}
        if self.held:
            description = "(Its definition has changed; calls wait until the person has reviewed it.)"
            parameters = _wordless(parameters)
        parameters = visible_schema(parameters)
        return ToolSpec(
            name=self.model_name,
            description=description[:_DESCRIPTION],
            parameters=parameters,
            read_only=self.risk == "read",
            title="" if self.held else strip_invisible(self.definition.title)[0][:200],
            label=f"{identifier(self.server)} › {identifier(self.definition.name)}",
        )


class Catalogue:
    """The tools by server and name, replaced at every listing. `trusted` are the trusted servers."""

    def __init__(
        self,
        pins: Pins,
        pool: Executor,
        on_listed: Callable[[ToolsListed], None],
        trusted: Collection[str] = (),
    ) -> None:
        self._pins = pins
        self._pool = pool
        self._order = asyncio.Lock()
        self._on_listed = on_listed
        self._trusted = trusted
        self._tools: dict[str, dict[str, Tool]] = {}
        self._specs: dict[str, ServerSpec] = {}
        self._instructions: dict[str, str] = {}
        self._trust: dict[str, Trust] = {}
        self._by_model_name: dict[str, Tool] = {}
        self.names = NameIndex()
        self._generation = 0
        self._offer: tuple[ToolSpec, ...] | None = None
        self._chosen: Callable[[list[Tool]], list[Tool]] = list

    async def allow(self, spec: ServerSpec, shown: str) -> bool:
        """Remember that the person allowed a server to start, by the fingerprint that was shown.

        Return False if what it starts is something else now.
        """
        async with self._order:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, self._pins.allow, spec, shown
            )

    async def allowed(self, spec: ServerSpec) -> bool:
        """Whether the person allowed exactly this server to start."""
        async with self._order:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._pins.allowed, spec)

    @property
    def unsaved(self) -> str:
        """Why what was accepted is not on disk, "" if it is."""
        return self._pins.unsaved

    async def update(
        self,
        spec: ServerSpec,
        definitions: Iterable[ToolDefinition],
        instructions: str = "",
        first_sight: FirstSight | None = None,
    ) -> None:
        """Replace a server's tools with a new listing and tell the face.

        A change of the server's `instructions` is a change of the server. Pins are compared and written
        in the pool; listings are applied in call order. `first_sight` is asked before the tools of a server
        are pinned that never had any; without its yes nothing is pinned, and each tool counts as new.
        """
        definitions = list(definitions)
        async with self._order:
            loop = asyncio.get_running_loop()
            first = bool(definitions) and await loop.run_in_executor(
                self._pool, self._pins.is_first, spec.name
            )
            pinned = not first or first_sight is None or await first_sight(spec, len(definitions))
            trust, tools = await loop.run_in_executor(
                self._pool, self._build, spec, definitions, instructions, pinned
            )
            self._specs[spec.name] = spec
            self._instructions[spec.name] = instructions
            self._trust[spec.name] = trust
            self._tools[spec.name] = tools
            self._renamed(spec.name)

    def _build(
        self, spec: ServerSpec, definitions: list[ToolDefinition], instructions: str, pin: bool
    ) -> tuple[Trust, dict[str, Tool]]:
        listed = {definition.name: definition for definition in definitions}
        for name in listed:  # remembered: the loop asks for them again
            skeletons(name), is_deceptive(name)
        hashes = {name: definition_hash(definition) for name, definition in listed.items()}
        former = {name: former_hash(definition) for name, definition in listed.items()}
        says: Trust = self._pins.instructions_trust(spec.name, instructions, pin=pin)
        server_trust = self._pins.server_trust(spec, pin=pin)
        server_trust = "changed" if "changed" in (says, server_trust) else server_trust
        trust = self._pins.tool_trust(spec.name, hashes, former, pin=pin)
        server_fp, target, said = fingerprint(spec), display_target(spec), says_hash(instructions)
        known = {hashes[name]: listed[name] for name, state in trust.items() if state == "unchanged"}
        self._pins.keep_definitions(spec.name, known)
        pinned = {name: self._pins.accepted_at(spec.name, name) for name in listed}
        tools = {
            name: Tool(
                definition=definition,
                def_hash=hashes[name],
                server_fp=server_fp,
                says=said,
                server_trust=server_trust,
                trust=trust[name],
                risk=classify(name, definition.annotations),
                model_name=model_name(spec.name, name),
                first_seen=pinned[name][0],
                accepted=pinned[name][1],
                server_trusted=spec.name in self._trusted,
                target=target,
                transport=spec.transport,
            )
            for name, definition in listed.items()
        }
        return server_trust, tools

    def remove(self, server: str) -> None:
        """Forget a server's tools (it is gone, or was removed)."""
        self._trust.pop(server, None)
        if self._tools.pop(server, None) is not None:
            self._renamed(server)

    async def accept(self, server: str, tool: str, def_hash: str, server_fp: str, says: str) -> bool:
        """Accept a changed or new tool and its server as they were shown, by their hashes.

        What is otherwise now was not seen by the person and is not accepted: then False is returned.
        """
        async with self._order:
            found, spec = self.get(server, tool), self._specs.get(server)
            if found is None or spec is None:
                return False
            if (found.def_hash, found.server_fp, found.says) != (def_hash, server_fp, says):
                return False
            words = self._instructions.get(server, "")
            pins = partial(self._pins.accept, spec, {def_hash: found.definition}, words, shown=server_fp)
            if not await asyncio.get_running_loop().run_in_executor(self._pool, pins):
                return False
        if server in self._tools:
            await self.update(spec, [each.definition for each in self._tools[server].values()], words)
        return True

    async def changes(self, spec: ServerSpec, tool: str = "") -> tuple[TextChange, ...]:
        """Return what of a server is not as it was accepted, and how a tool compares, if one is named."""
        found = self.get(spec.name, tool) if tool else None
        says = self._instructions.get(spec.name)
        definition = found.definition if found is not None else None
        async with self._order:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, self._pins.changes, spec, says, definition
            )

    def get(self, server: str, tool: str) -> Tool | None:
        """Return a tool, None if it is not there (any more)."""
        return self._tools.get(server, {}).get(tool)

    def find(self, name: str) -> Tool | None:
        """Return the tool of a model name."""
        return self._by_model_name.get(name)

    def nearest(self, name: str) -> list[str]:
        """Return the model names most like a wrong one."""
        return nearest_names(name, self._by_model_name)

    def all(self) -> list[Tool]:
        """Return every tool, by server and name."""
        return [tool for tools in self._tools.values() for tool in tools.values()]

    def servers(self) -> list[str]:
        """Return the servers that have been listed."""
        return list(self._tools)

    def specs(self, chosen: Callable[[list[Tool]], list[Tool]] = list) -> tuple[ToolSpec, ...]:
        """Return the tools that a model may get, in a stable order (prompt caches depend on it).

        `chosen` filters them; one that passes for another is never among them. The objects stay the
        same until a listing changes, so that counts and indexes of them can be kept.
        """
        if self._offer is None or self._chosen != chosen:
            self._chosen = chosen
            self._offer = tuple(
                tool.spec()
                for tool in sorted(chosen(self.all()), key=lambda tool: tool.model_name)
                if not tool.is_imitation(self.names)
            )
        return self._offer

    def hashes(self, server: str) -> dict[str, str]:
        """Return the definition hash of each tool of a server."""
        return {name: tool.def_hash for name, tool in self._tools.get(server, {}).items()}

    def server_trust(self, server: str) -> Trust:
        """Return how a server compares with its pin; unchanged before its first listing."""
        return self._trust.get(server, "unchanged")

    def is_known_server(self, server: str) -> bool:
        """Whether a server was listed and has not changed since it was accepted."""
        return self._trust.get(server) == "unchanged"

    def announce(self, server: str) -> None:
        """Tell the faces a server's tools."""
        self._generation += 1
        for page in self.pages(server):
            self._on_listed(page)

    def pages(self, server: str) -> list[ToolsListed]:
        """Return a server's tools in pages that fit a frame."""
        rows = [tool.summary(self.names) for tool in self._tools.get(server, {}).values()]
        pages = [rows[start : start + PAGE] for start in range(0, len(rows), PAGE)] or [[]]
        return [
            ToolsListed(
                server=server,
                generation=self._generation,
                last=number == len(pages),
                tools=tuple(page),
            )
            for number, page in enumerate(pages, 1)
        ]

    def _renamed(self, server: str) -> None:
        """Take the names of a server's tools, and tell the faces all rows that say something else now."""
        touched = self.names.update(server, self._tools.get(server, {}))
        self._by_model_name = {}
        for tool in self.all():
            if not tool.is_imitation(self.names):
                self._by_model_name.setdefault(tool.model_name, tool)
        self._offer = None
        self.announce(server)
        for other in sorted({key[0] for key in touched}):
            self.announce(other)


def visible_schema(schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """Return a schema as a model may read it: without characters that nobody can see.

    Names of properties stay as they are: calls are made with them. Pins are of the schema as it came.
    """
    if depth > _DEEPEST:
        return {}
    return {strip_invisible(key)[0]: _within(key, value, depth + 1) for key, value in schema.items()}


def _within(key: str, value: Any, depth: int) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: _visible(one, depth) if isinstance(one, dict) else one for name, one in value.items()}
    return value if key in _NAMED and isinstance(value, list) else _visible(value, depth)


def _visible(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return strip_invisible(value)[0]
    if isinstance(value, dict):
        return visible_schema(value, depth)
    if isinstance(value, list):
        return [_visible(one, depth + 1) for one in value] if depth <= _DEEPEST else []
    return value


def _wordless(schema: Any) -> Any:
    if isinstance(schema, dict):
        words = ("description", "title", "examples", "$comment")
        return {
            key: _wordless(value)
            for key, value in schema.items()
            if key not in words or not isinstance(value, str | list)
        }
    return [_wordless(each) for each in schema] if isinstance(schema, list) else schema


def annotation_lines(annotations: dict[str, Any]) -> tuple[SafeText, ...]:
    """Return a tool's annotations in words. They are claims of the server."""
    words = {
        "readOnlyHint": ("only reads", "may change things"),
        "destructiveHint": ("may destroy", "does not destroy"),
        "idempotentHint": ("repeating it changes nothing more", "repeating it may do it twice"),
        "openWorldHint": ("reaches outside", "does not reach outside"),
    }
    claims = {key: annotations[key] for key in words if isinstance(annotations.get(key), bool)}
    return tuple(safe(words[key][0 if claim else 1]) for key, claim in claims.items())
