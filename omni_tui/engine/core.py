"""The engine: owns every server, every task and the session; takes commands, gives events."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import time
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from omni_tui.agents import ChatPolicy, PlanPolicy
from omni_tui.approvals import COVERS, Decision, Pins
from omni_tui.approvals.policy import SEVERITY
from omni_tui.config.load import LoadedConfig
from omni_tui.config.sections import SamplingSection
from omni_tui.engine.fanout import EventBroadcaster
from omni_tui.engine.file_opener import sweep_opened
from omni_tui.engine.known_transports_file import KnownTransportsFile
from omni_tui.engine.live_session import LiveSession, SessionSettings
from omni_tui.engine.model_service import ModelService
from omni_tui.engine.pool import MeteredPool
from omni_tui.engine.prompt_resource_cache import LABEL, PromptResourceCache
from omni_tui.engine.redacted_credentials import RedactedCredentials
from omni_tui.engine.startup_wait import StartupWait
from omni_tui.engine.welcome import engine_ready
from omni_tui.memory import (
    Credentials,
    Journal,
    JournalBroken,
    JournalBusy,
    ServerLogs,
    TrustStore,
    Vault,
    last_unclean,
    new_session_id,
    session_path,
)
from omni_tui.models.base import Model
from omni_tui.models.budget import Budget
from omni_tui.observability.tool_stats import ToolStats
from omni_tui.protocol import AnyEvent, Event, LaunchOptions, Mode
from omni_tui.protocol.events import (
    JournalFailed,
    JournalHead,
    Notice,
    ServerChanged,
    ServerRemoved,
    ToolsListed,
    UsageChanged,
)
from omni_tui.protocol.prompts_and_resources import ResourceUpdated
from omni_tui.security.redaction import Redactor
from omni_tui.security.text import safe, safe_line
from omni_tui.servers import (
    Connection,
    Dispatch,
    Processes,
    PromptsAndResources,
    ServerRegistry,
    ToolDefinition,
    sweep_leases,
)
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer
from omni_tui.tools import Catalogue, ResultCache, SchemaChecker, ToolRoutes, ToolRules
from omni_tui.tools.tool_names import model_name

logger = logging.getLogger(__name__)

POOL = 8
_HEAD_S = 0.5
"""How long after something was written the faces are told how far the journal has come."""


class StartFailed(Exception):
    """The engine cannot start; the text says what, why and what to do."""


class Engine:
    """One engine of one person: servers, catalogue, and a live session."""

    def __init__(self, options: LaunchOptions, loaded: LoadedConfig, environ: Mapping[str, str]) -> None:
        self.options = options
        self.loaded = loaded
        self.headless = options.headless
        self.log_path = str(loaded.paths.log_dir / "engine.log")
        self.pool = MeteredPool(POOL, thread_name_prefix="omni-pool")
        self.executions = ToolStats()
        self.schemas = SchemaChecker(self.pool)
        self.rules = ToolRules(loaded.config.tools)
        self.fanout = EventBroadcaster()
        self.shelf = PromptResourceCache()
        self.environ = environ
        self.redactor = Redactor(loaded.secrets)
        self.models = ModelService(loaded, environ, self.live)
        self.vault: Vault
        self.catalogue: Catalogue
        self.cache: ResultCache
        self.routes: ToolRoutes
        self.registry: ServerRegistry
        self.server_logs: ServerLogs
        self.gathering: StartupWait
        self.session: LiveSession
        self.processes: Processes
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server_trust: dict[str, str] = {}
        self._stopping = False
        self._frozen = False
        self._first_start = False
        self._head: AnyEvent | None = None
        self._head_due = False
        self.notices: list[Notice] = []

    # --- lifecycle ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the vault, the session and the registry; servers then connect by themselves.

        Raises `StartFailed`.
        """
        state = self.loaded.paths.state_dir
        loop = asyncio.get_running_loop()
        self._first_start = not (state / "sessions").exists()
        try:
            self.vault = await loop.run_in_executor(self.pool, Vault.open, state)
            store = await loop.run_in_executor(self.pool, TrustStore, state / "trust.json", self.vault)
        except OSError as error:
            raise StartFailed(
                f"the state folder {state} cannot be used: {error.strerror or error}"
            ) from error
        except Exception as error:
            logger.exception("the key store or the state folder cannot be opened")
            raise StartFailed(f"the state folder {state} cannot be opened: {error}") from error
        await loop.run_in_executor(self.pool, sweep_leases, state)
        await loop.run_in_executor(self.pool, sweep_opened, state)
        await loop.run_in_executor(self.pool, self.models.days.flush)
        self.catalogue = Catalogue(Pins(store), self.pool, self._on_listed)
        self.routes = ToolRoutes(self.rules, self.catalogue.get)
        self.cache = ResultCache(self.rules, self.catalogue.get, self.allowed)
        engine_id = uuid.uuid4().hex
        self.processes = Processes(state, engine_id)
        self.server_logs = ServerLogs(state, self.vault, self.redactor.redact)
        self.registry = ServerRegistry(
            authority=self._authority,
            processes=self.processes,
            listener=self,
            memory=KnownTransportsFile(state / "ways.json"),
            store=RedactedCredentials(Credentials(state / "credentials.json", self.vault), self.redactor),
        )
        self.gathering = StartupWait(self.registry, self.catalogue)
        self.session = await self._resume_or_begin()
        await self._flags_win()
        for spec in self.loaded.servers:
            allowed = spec.allowed or await self.catalogue.allowed(spec)
            self.registry.add(dataclasses.replace(spec, allowed=allowed))
        if self.options.connect == "all":
            await self.registry.start(self.options.only)
        self._say_what_is_odd(store)

    async def stop(self) -> None:
        """Park what runs, end every server within 5 s, close the journal."""
        if self._stopping:
            return
        self._stopping = True
        await asyncio.gather(self._close_session(), self.registry.stop(), return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.to_thread(self.processes.close)
        await asyncio.to_thread(self.server_logs.close)
        await asyncio.to_thread(self.models.days.flush)
        self.pool.shutdown(wait=False, cancel_futures=True)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Own a task until it ends; what it raises goes to the log."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s broke", task.get_name(), exc_info=error)

    # --- sessions -------------------------------------------------------------------------------

    def _first_session(self) -> tuple[str, bool]:
        """Return the session to begin with, and whether it is a new one."""
        resume = self.options.resume
        if resume not in ("auto", "new"):
            return resume, False
        found = last_unclean(self.loaded.paths.state_dir) if resume == "auto" else None
        return (found, False) if found else (new_session_id(), True)

    async def _resume_or_begin(self) -> LiveSession:
        """Open the first session; one that was only found, not named, must not stand in the way."""
        session, new = self._first_session()
        try:
            return await self._open_session(session, new=new)
        except StartFailed as error:
            if self.options.resume != "auto":
                raise
            logger.exception("session %s is passed over", session)
            self._notify("the last session could not be opened; this is a new one", str(error))
            return await self._open_session(new_session_id(), new=True)

    async def _open_session(self, session: str, *, new: bool = False) -> LiveSession:
        return await self._live_session(await self._open_journal(session, new=new))

    async def _open_journal(self, session: str, *, new: bool) -> Journal:
        """Open a session's journal, or begin one. Raises `StartFailed`; then nothing has changed."""
        try:
            path = session_path(self.loaded.paths.state_dir, session)
            if not new and not await asyncio.to_thread(path.exists):
                raise StartFailed(
                    f"there is no such session: {session}; `omni-tui sessions list` shows those there are"
                )
            return await Journal.open(path, session, self.vault, self._committed, self._journal_failed)
        except (JournalBusy, JournalBroken, ValueError, OSError) as error:
            raise StartFailed(f"the session {session} cannot be opened: {error}") from error

    def _stricter_mode(self) -> Mode:
        """Return the mode of a new session: the configured one, unless the person has tightened it here."""
        configured, now = self.loaded.config.agent.mode, self.session.settings.mode
        base = self.base_decisions()
        return now if SEVERITY[base[now]] > SEVERITY[base[configured]] else configured

    async def _live_session(self, journal: Journal, mode: Mode | None = None) -> LiveSession:
        """Return the live session of a journal; a new one begins in `mode`, else as configured.

        Raises `StartFailed`; the journal is closed then.
        """
        config = self.loaded.config
        try:
            live = LiveSession(self, journal, SessionSettings(mode or config.agent.mode, config.model.name))
            await live.start()
        except (JournalBroken, ValueError, OSError) as error:
            with contextlib.suppress(JournalBroken):
                await journal.close(clean=False)
            raise StartFailed(f"the session {journal.session} cannot be opened: {error}") from error
        self._say_what_is_lost(journal)
        return live

    async def _flags_win(self) -> None:
        """Set the session that is resumed at the start to what the command line says, and journal it.

        The config has the flags, judged already. What a face shows is what the journal tells: a mode
        that held and was not written there would be another than the one on the screen.
        """
        config, settings = self.loaded.config, self.session.settings
        if self.options.again:
            return
        if self.options.model and settings.model != config.model.name:
            await self.session.set_model(config.model.name)
        if self.options.mode and settings.mode != config.agent.mode:
            await self.session.set_mode(config.agent.mode, COVERS[config.agent.mode])

    async def _close_session(self) -> None:
        try:
            await self.session.close()
        except JournalBroken:
            logger.exception("the journal could not be closed")

    async def switch_session(self, session: str = "") -> None:
        """Close the session and open another (a new one for ""). Raises `StartFailed`.

        One that cannot be opened is refused before anything of the former has ended. If it breaks while
        it is read, the former is opened again: there always is a session.
        """
        former, said, mode = self.session.journal.session, len(self.notices), self._stricter_mode()
        if session == former:
            raise StartFailed("that session is open already")
        journal = await self._open_journal(session or new_session_id(), new=not session)
        await self._close_session()
        self.fanout.another_session()
        try:
            self.session = await self._live_session(journal, mode)
        except StartFailed:
            self.session = await self._open_session(former)
            raise
        finally:
            self.live(engine_ready(self))
            self.live(self.models.spending(self.session.budget))
            for notice in self.notices[said:]:
                self.live(notice)

    # --- what a session needs (Surroundings) ----------------------------------------------------

    def base_decisions(self) -> dict[Mode, Decision]:
        """What each mode does when nothing else decides, from the config."""
        policy = self.loaded.config.policy
        return {"chat": policy.chat, "auto": policy.auto, "orchestrator": policy.of_plans}

    def policy(self) -> ChatPolicy:
        """Limits and prompt of a turn."""
        agent, tools = self.loaded.config.agent, self.loaded.config.tools
        instructions = {
            name: text
            for name in self.registry.names()
            # Of a changed server nothing is said that nobody has looked at yet.
            if (text := self.registry.get(name).instructions) and self.catalogue.is_known_server(name)
        }
        return ChatPolicy(
            max_steps=agent.max_steps,
            system_prompt=agent.system_prompt,
            result_limit=tools.result_limit,
            instructions=instructions,
            offered=tools.offered,
            pinned=tuple(model_name(*pair.split("/", 1)) for pair in tools.pinned),
            budget=self.session.budget,
        )

    def plan_policy(self) -> PlanPolicy:
        """How plans are handled, from the config."""
        agent = self.loaded.config.agent
        return PlanPolicy(
            plan=self.loaded.config.policy.plan,
            calls=self.loaded.config.policy.of_plans,
            parallel=agent.parallel,
            max_requests=agent.max_requests,
            max_minutes=agent.max_minutes,
        )

    def connection(self, server: str) -> Connection:
        """Return a server's connection. Raises `KeyError`."""
        return self.registry.get(server)

    def make_model(
        self, name: str, *, max_tokens: int | None = None, temperature: float | None = None
    ) -> Model:
        """Return the model of a name, with its settings where no others are given."""
        return self.models.make(name, max_tokens=max_tokens, temperature=temperature)

    def chain(self, model: Model) -> Model:
        """Return a model with its fallbacks behind it."""
        return self.models.chain(model, lambda name: self.make_model(name))

    def budget(self) -> Budget:
        """Return the budgets of a new session."""
        return self.models.budget()

    def sampling(self) -> SamplingSection:
        """What servers may have the model answer, from the config."""
        return self.loaded.config.sampling

    def digest(self, data: bytes) -> str:
        """Keyed digest of this installation."""
        return self.vault.digest(data)

    def allowed(self, server: str) -> bool:
        """Whether the person allowed a server to start."""
        try:
            return self.registry.get(server).spec.allowed
        except KeyError:
            return False

    def call_timeout(self, server: str) -> float:
        """Seconds without progress after which a call is given up."""
        try:
            return self.registry.get(server).spec.call_timeout
        except KeyError:
            return 120.0

    def live(self, event: Event) -> None:
        """Tell the faces something that is true for the moment."""
        session = self.session.journal.session if hasattr(self, "session") else ""
        self.fanout.publish(
            msgspec.structs.replace(event, ts=event.ts or time.time(), session=event.session or session)
        )

    # --- callbacks ------------------------------------------------------------------------------

    def _committed(self, events: Sequence[AnyEvent]) -> None:
        self.executions.take(events)
        used = False
        for event in events:
            self.fanout.publish(event)
            if event.public:
                self._head = event
                self._tell_head_soon()
            if isinstance(event, UsageChanged) and hasattr(self, "session"):
                self.session.budget.count(event.turn, event.usage)
                used = True
        if used:
            # At once: who listens to the end of a turn only must have heard it.
            self.live(self.models.spending(self.session.budget))
            self.spawn(self._spent(), "the day's usage")

    def _tell_head_soon(self) -> None:
        """Say how far the journal has come, so that a face that missed something can ask for it."""
        if not self._head_due:
            self._head_due = True
            asyncio.get_running_loop().call_later(_HEAD_S, self._tell_head)

    def _tell_head(self) -> None:
        self._head_due = False
        if self._head is not None and not self._stopping:
            self.live(JournalHead(head=self._head.seq, session=self._head.session))

    async def _spent(self) -> None:
        """Bring what was used to the day's file, and tell the faces."""
        await asyncio.get_running_loop().run_in_executor(self.pool, self.models.days.flush)
        self.live(self.models.spending(self.session.budget))

    def _journal_failed(self, why: str) -> None:
        self.live(JournalFailed(what=safe(why, limit=1000)))

    def _authority(self, dispatch: Dispatch) -> bool:
        return self.session.gate.is_open(dispatch)

    # --- what the servers report (ServerListener) --------------------------------------------------

    @property
    def answers_requests(self) -> bool:
        """Whether somebody can answer server requests."""
        return not self.headless

    async def server_request(self, request: ServerRequest) -> ServerRequestAnswer:
        """Have the person answer a server request."""
        self.cache.clear(request.server)  # a result that depends on an answer fits no other call
        return await self.session.asks.ask(request)

    async def input_round(self, dispatch: Dispatch, number: int, methods: tuple[str, ...]) -> None:
        """Journal that a call continues with answers."""
        await self.session.gate.dispatches.goes_on(dispatch, number, methods)

    def log_written(self, server: str, lines: list[bytes | None]) -> None:
        """Store lines of a server's log."""
        self.server_logs.add(server, lines)

    def server_changed(self, event: Event) -> None:
        """Send a server's new state to the clients."""
        if isinstance(event, ServerChanged):
            event = self.with_trust(event)
        elif isinstance(event, ServerRemoved):
            self.catalogue.remove(event.name)
        self.live(event)

    def with_trust(self, event: ServerChanged) -> ServerChanged:
        """Return a server's state with what is known of its trust."""
        trust = self._server_trust.get(event.name, "unchanged")
        return msgspec.structs.replace(event, trust=trust)

    def tools_listed(self, server: str, tools: list[ToolDefinition]) -> None:
        """Put a server's tools into the catalogue."""
        self.spawn(self._listed(server, tools), f"tools of {server}")

    async def _listed(self, server: str, definitions: list[ToolDefinition]) -> None:
        connection = self.registry.get(server)
        await self.catalogue.update(connection.spec, definitions, connection.instructions)
        self.cache.listed(server, self.catalogue.hashes(server))

    def _on_listed(self, page: ToolsListed) -> None:
        if page.last and not self._frozen:
            # The SDK's modules are there to stay: a full collection would walk them for 50 ms.
            self._frozen = True
            gc.freeze()
        self.live(page)
        if page.last:
            self.spawn(self.session.listed(page.server), f"waiting calls of {page.server}")
        trust = self.catalogue.server_trust(page.server)
        if page.last and trust != self._server_trust.get(page.server, "unchanged"):
            self._server_trust[page.server] = trust
            for event in self.registry.snapshot():
                if event.name == page.server:
                    self.live(self.with_trust(event))

    def tools_gone(self, server: str) -> None:
        """Forget what a server listed."""
        self.catalogue.remove(server)
        self.cache.clear(server)  # it may come back started anew, or for another account
        for page in self.shelf.remove(server):
            self.live(page)

    def prompts_and_resources_listed(self, server: str, lists: PromptsAndResources) -> None:
        """Keep a server's prompts and resources and send them to the clients."""
        for page in self.shelf.update(server, lists):
            self.live(page)

    def resource_updated(self, server: str, uri: str) -> None:
        """Tell the clients that a subscribed resource has changed."""
        listed = self.shelf.resource(server, uri)
        label = safe_line(listed.name if listed is not None else uri, limit=LABEL)
        self.live(ResourceUpdated(server=server, uri=uri, label=label))

    def _notify(self, what: str, why: str = "") -> None:
        """Keep what every face should be told when it arrives."""
        self.notices.append(
            Notice(level="warning", what=safe(what, limit=1000), why=safe(why, limit=1000), ts=time.time())
        )

    def _say_what_is_odd(self, store: TrustStore) -> None:
        # Said once, at the first start; the app shows it in its empty conversation and `doctor` says it
        # always. The demo's folder is thrown away.
        if self.headless and self.vault.warning and self._first_start and not self.options.demo:
            self._notify(self.vault.warning)
        if self.vault.missing:
            self._notify(self.vault.missing)
        if store.problem:
            self._notify(store.problem)
        for note in self.loaded.notes:
            self._notify(f"{note.where}: {note.what}")

    def _say_what_is_lost(self, journal: Journal) -> None:
        if journal.damage:
            self._notify(f"{journal.damage}.")
        if damaged := journal.damaged:
            self._notify(f"{damaged} saved events of this session cannot be read and are left out")
