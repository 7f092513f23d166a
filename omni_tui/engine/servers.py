"""The servers of an engine: what they offer, how far they are trusted, and what they report."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Collection
from pathlib import Path

import msgspec

from omni_tui.approvals.pins import Pins
from omni_tui.config.server_display import display_target
from omni_tui.config.spec import ServerSpec
from omni_tui.engine.background import BackgroundTasks, MeteredPool
from omni_tui.engine.clients import Clients
from omni_tui.engine.consents import Consents, NotAudited
from omni_tui.engine.live_session import OpenSessions
from omni_tui.engine.prompt_resource_cache import LABEL, PromptResourceCache
from omni_tui.engine.server_stores import KnownTransportsFile
from omni_tui.memory import ServerLogs
from omni_tui.observability.logs import EngineLog
from omni_tui.protocol import Event
from omni_tui.protocol.events import Notice, ServerChanged, ServerRemoved, ToolsListed
from omni_tui.protocol.prompts_and_resources import ResourceUpdated
from omni_tui.security.text import safe, safe_line
from omni_tui.servers import Dispatch, Processes, PromptsAndResources, ServerRegistry, ToolDefinition
from omni_tui.servers.added_transports import AddedTransports
from omni_tui.servers.auth import SignInStore
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer
from omni_tui.tools.catalogue import Catalogue
from omni_tui.tools.result_cache import ResultCache
from omni_tui.tools.tool_settings import ToolSettings


class EngineServers:
    """All servers of one engine; the `ServerListener` of their registry."""

    def __init__(
        self,
        *,
        pins: Pins,
        tool_settings: ToolSettings,
        store: SignInStore,
        known_transports: Path,
        processes: Processes,
        logs: ServerLogs,
        pool: MeteredPool,
        tasks: BackgroundTasks,
        clients: Clients,
        sessions: OpenSessions,
        trusted: Collection[str],
        consents: Consents,
        transports: AddedTransports,
        log: EngineLog | None = None,
    ) -> None:
        self._log = log
        self._consents = consents
        self._clients = clients
        self._sessions = sessions
        self._tasks = tasks
        self._logs = logs
        self._trust: dict[str, str] = {}
        self._frozen = False
        self.catalogue = Catalogue(pins, pool, self._page_listed, trusted)
        self.prompts_and_resources = PromptResourceCache()
        self.registry = ServerRegistry(
            authority=sessions.is_open,
            processes=processes,
            listener=self,
            memory=KnownTransportsFile(known_transports),
            store=store,
            added=transports,
        )
        self.cache = ResultCache(tool_settings, self.catalogue.get, self.registry.is_allowed)

    def states(self) -> list[ServerChanged]:
        """Return the state of every server, with its trust."""
        return [self._with_trust(event) for event in self.registry.snapshot()]

    async def add(self, spec: ServerSpec) -> None:
        """Add a configured server, allowed if the person allowed it before."""
        allowed = spec.allowed or await self.catalogue.allowed(spec)
        self.registry.add(dataclasses.replace(spec, allowed=allowed))

    def _with_trust(self, event: ServerChanged) -> ServerChanged:
        return msgspec.structs.replace(event, trust=self._trust.get(event.name, "unchanged"))

    def _page_listed(self, page: ToolsListed) -> None:
        if page.last and not self._frozen:
            # The SDK's modules are there to stay: a full collection would walk them for 50 ms.
            self._frozen = True
            gc.freeze()
        self._clients.tell(page)
        if not page.last:
            return
        self._tasks.spawn(self._sessions.tools_listed(page.server), f"waiting calls of {page.server}")
        trust = self.catalogue.server_trust(page.server)
        if trust != self._trust.get(page.server, "unchanged"):
            self._trust[page.server] = trust
            for event in self.states():
                if event.name == page.server:
                    self._clients.tell(event)

    async def _update_catalogue(self, server: str, definitions: list[ToolDefinition]) -> None:
        connection = self.registry.get(server)
        spec = connection.spec
        await self.catalogue.update(spec, definitions, connection.instructions, self._at_first_sight)
        self.cache.listed(server, self.catalogue.hashes(server))

    async def _at_first_sight(self, spec: ServerSpec, tools: int) -> bool:
        """Note in the audit that a server's tools count as accepted, since they are the first of it.

        Return False if that failed: what cannot be audited is not accepted.
        """
        try:
            await self._consents.note(
                "definitions accepted",
                spec.name,
                actor="first sight",
                detail=f"{tools} tools",
                place=display_target(spec),
            )
        except NotAudited as error:
            what = safe(f"the tools of {spec.name} are not accepted at first sight; each asks")
            self._clients.tell(Notice(level="warning", what=what, why=safe(str(error), limit=1_000)))
            return False
        return True

    # --- ServerListener -------------------------------------------------------------------------

    @property
    def answers_requests(self) -> bool:
        """Whether somebody can answer server requests."""
        return self._clients.attended

    async def server_request(self, request: ServerRequest) -> ServerRequestAnswer:
        """Have a person answer a server request."""
        self.cache.clear(request.server)  # a result that depends on an answer fits no other call
        return await self._sessions.server_request(request)

    async def input_round(self, dispatch: Dispatch, number: int, methods: tuple[str, ...]) -> None:
        """Journal that a call continues with answers."""
        await self._sessions.input_round(dispatch, number, methods)

    def log_written(self, server: str, lines: list[bytes | None]) -> None:
        """Store lines of a server's log."""
        self._logs.add(server, lines)

    def server_changed(self, event: Event) -> None:
        """Tell the clients a server's new state."""
        if isinstance(event, ServerChanged):
            event = self._with_trust(event)
        elif isinstance(event, ServerRemoved):
            self.catalogue.remove(event.name)
        if self._log is not None:
            self._log.take("", (event,))
        self._clients.tell(event)

    def tools_listed(self, server: str, tools: list[ToolDefinition]) -> None:
        """Put a server's tools into the catalogue."""
        self._tasks.spawn(self._update_catalogue(server, tools), f"tools of {server}")

    def tools_gone(self, server: str) -> None:
        """Forget what a server listed."""
        self.catalogue.remove(server)
        self.cache.clear(server)  # it may come back started anew, or for another account
        for page in self.prompts_and_resources.remove(server):
            self._clients.tell(page)

    def prompts_and_resources_listed(self, server: str, lists: PromptsAndResources) -> None:
        """Keep a server's prompts and resources and tell the clients."""
        for page in self.prompts_and_resources.update(server, lists):
            self._clients.tell(page)

    def resource_updated(self, server: str, uri: str) -> None:
        """Tell the clients that a subscribed resource has changed."""
        listed = self.prompts_and_resources.resource(server, uri)
        label = safe_line(listed.name if listed is not None else uri, limit=LABEL)
        self._clients.tell(ResourceUpdated(server=server, uri=uri, label=label))
