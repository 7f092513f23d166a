"""The catalogue: all tools of the connected servers, with trust, risk and model name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from omni_tui.approvals.pins import Pins, definition_hash, fingerprint, former_hash
from omni_tui.approvals.policy import Trust
from omni_tui.approvals.risk import classify
from omni_tui.config.server_display import display_target
from omni_tui.config.spec import ServerSpec
from omni_tui.models.base import ToolSpec
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import Risk, ToolsListed, ToolSummary
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line, strip_invisible
from omni_tui.servers.base import ToolDefinition
from omni_tui.tools.tool_names import ToolNameMap, model_name

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
    target: str = ""
    """Where its server is started or reached, for showing; secrets are left out."""
    transport: str = ""

    @property
    def server(self) -> str:
        """The name of its server."""
        return self.definition.server

    @property
    def name(self) -> str:
        """Its exact name."""
        return self.definition.name

    def summary(self) -> ToolSummary:
        """Return the row that the face shows."""
        definition = self.definition
        return ToolSummary(
            server=definition.server,
            name=definition.name,
            label=identifier(definition.name),
            model_name=self.model_name,
            title=safe_line(definition.title, limit=128),
            description=safe_line(definition.description, limit=300, joined=True),
            risk=self.risk,
            trust=self.trust,
            exposed=not self.held,
        )

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
    """The tools by server and name, replaced at every listing."""

    def __init__(self, pins: Pins, pool: Executor, on_listed: Callable[[ToolsListed], None]) -> None:
        self._pins = pins
        self._pool = pool
        self._order = asyncio.Lock()
        self._on_listed = on_listed
        self._tools: dict[str, dict[str, Tool]] = {}
        self._specs: dict[str, ServerSpec] = {}
        self._instructions: dict[str, str] = {}
        self._trust: dict[str, Trust] = {}
        self._names = ToolNameMap()
        self._generation = 0
        self._offer: tuple[ToolSpec, ...] | None = None
        self._chosen: Callable[[list[Tool]], list[Tool]] = list

    async def allow(self, spec: ServerSpec) -> None:
        """Remember that the person allowed exactly this server to start."""
        async with self._order:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._pins.allow, spec)

    async def allowed(self, spec: ServerSpec) -> bool:
        """Whether the person allowed exactly this server to start."""
        async with self._order:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._pins.allowed, spec)

    async def update(
        self, spec: ServerSpec, definitions: Iterable[ToolDefinition], instructions: str = ""
    ) -> None:
        """Replace a server's tools with a new listing and tell the face.

        A change of the server's `instructions` is a change of the server. Pins are compared and written
        in the pool; listings are applied in call order.
        """
        definitions = list(definitions)
        async with self._order:
            loop = asyncio.get_running_loop()
            trust, tools = await loop.run_in_executor(
                self._pool, self._build, spec, definitions, instructions
            )
            self._specs[spec.name] = spec
            self._instructions[spec.name] = instructions
            self._trust[spec.name] = trust
            self._tools[spec.name] = tools
            self._renamed()
            self.announce(spec.name)

    def _build(
        self, spec: ServerSpec, definitions: list[ToolDefinition], instructions: str
    ) -> tuple[Trust, dict[str, Tool]]:
        listed = {definition.name: definition for definition in definitions}
        hashes = {name: definition_hash(definition) for name, definition in listed.items()}
        former = {name: former_hash(definition) for name, definition in listed.items()}
        says: Trust = self._pins.instructions_trust(spec.name, instructions)
        server_trust = self._pins.server_trust(spec)
        server_trust = "changed" if "changed" in (says, server_trust) else server_trust
        trust = self._pins.tool_trust(spec.name, hashes, former)
        server_fp, target = fingerprint(spec), display_target(spec)
        tools = {
            name: Tool(
                definition=definition,
                def_hash=hashes[name],
                server_fp=server_fp,
                server_trust=server_trust,
                trust=trust[name],
                risk=classify(name, definition.annotations),
                model_name=model_name(spec.name, name),
                first_seen=self._pins.first_seen(spec.name, name),
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
            self._renamed()
            self.announce(server)

    async def accept(self, server: str, tool: str, def_hash: str) -> None:
        """Accept a changed or new tool as it was shown, and its server as it is now.

        A newer definition was not seen by the person and is not accepted.
        """
        found = self.get(server, tool)
        spec = self._specs.get(server)
        if found is None or spec is None or found.def_hash != def_hash:
            return
        loop = asyncio.get_running_loop()
        says = self._instructions.get(server, "")
        async with self._order:
            await loop.run_in_executor(self._pool, self._pins.accept, spec, {tool: found.def_hash}, says)
        await self.update(spec, [each.definition for each in self._tools[server].values()], says)

    def get(self, server: str, tool: str) -> Tool | None:
        """Return a tool, None if it is not there (any more)."""
        return self._tools.get(server, {}).get(tool)

    def find(self, name: str) -> Tool | None:
        """Return the tool of a model name."""
        pair = self._names.pair(name)
        return self.get(*pair) if pair else None

    def nearest(self, name: str) -> list[str]:
        """Return the model names most like a wrong one."""
        return self._names.nearest(name)

    def all(self) -> list[Tool]:
        """Return every tool, by server and name."""
        return [tool for tools in self._tools.values() for tool in tools.values()]

    def servers(self) -> list[str]:
        """Return the servers that have been listed."""
        return list(self._tools)

    def specs(self, chosen: Callable[[list[Tool]], list[Tool]] = list) -> tuple[ToolSpec, ...]:
        """Return the tools that a model may get, in a stable order (prompt caches depend on it).

        `chosen` filters them. The objects stay the same until a listing changes, so that counts and
        indexes of them can be kept.
        """
        if self._offer is None or self._chosen != chosen:
            self._chosen = chosen
            self._offer = tuple(
                tool.spec() for tool in sorted(chosen(self.all()), key=lambda tool: tool.model_name)
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
        rows = [tool.summary() for tool in self._tools.get(server, {}).values()]
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

    def _renamed(self) -> None:
        self._names = ToolNameMap((tool.server, tool.name) for tool in self.all())
        self._offer = None


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
