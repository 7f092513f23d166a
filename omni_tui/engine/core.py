"""The engine: the servers of a person, the clients that use them, and their sessions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Mapping
from functools import partial

from omni_tui.approvals.pins import Pins
from omni_tui.approvals.policy import COVERS
from omni_tui.approvals.rule_book import RuleBook
from omni_tui.config.load import LoadedConfig
from omni_tui.engine.background import BackgroundTasks, MeteredPool
from omni_tui.engine.clients import Client, Clients, EventBuffer
from omni_tui.engine.config_in_force import ConfigInForce
from omni_tui.engine.consents import Consents
from omni_tui.engine.context import EngineContext, UnsavedSettings
from omni_tui.engine.files import FileOpener, sweep_opened
from omni_tui.engine.live_session import LiveSession, OpenSessions, open_live_session
from omni_tui.engine.model_service import ModelService
from omni_tui.engine.plugins import EnginePlugins
from omni_tui.engine.prompt_texts import PromptTexts
from omni_tui.engine.redis_memory import RedisMemory
from omni_tui.engine.server_stores import RedactedCredentials
from omni_tui.engine.servers import EngineServers
from omni_tui.engine.session_feed import SessionFeed
from omni_tui.engine.session_search import SessionSearch
from omni_tui.engine.turn_modes import SessionSettings
from omni_tui.memory import (
    InstallationAudit,
    Journal,
    JournalBroken,
    JournalBusy,
    ServerLogs,
    TrustStore,
    Vault,
    delete_unused,
    last_unclean,
    new_session_id,
    session_path,
)
from omni_tui.memory.disk_trouble import in_words
from omni_tui.memory.retention import GRACE
from omni_tui.memory.session_files import sweep_left_behind
from omni_tui.memory.sqlite import is_there
from omni_tui.memory.trust import TRUST_FILE
from omni_tui.models.budget import BudgetLimits
from omni_tui.observability.logs import EngineLog
from omni_tui.observability.metrics import Metrics
from omni_tui.observability.telemetry import Telemetry, TelemetrySettings
from omni_tui.plugins.plugin_models import PluginModels
from omni_tui.protocol import LaunchOptions, Mode, UserError
from omni_tui.protocol.events import Notice
from omni_tui.security.redaction import Redactor
from omni_tui.security.schema_checker import SchemaChecker
from omni_tui.security.text import safe
from omni_tui.servers import Processes, sweep_leases
from omni_tui.servers.added_transports import AddedTransports
from omni_tui.tools.tool_settings import ToolRoutes, ToolSettings
from omni_tui.tools.write_order import ConcurrencyLimits

logger = logging.getLogger(__name__)

POOL = 8
_COPY_S = 1.0
"""Seconds that the end of the engine waits for copies of sessions in the memories of plugins."""
_SWITCH_S = 1.0
"""Seconds that the end of the engine waits for a session that is being opened."""


class StartFailed(Exception):
    """The engine or a session cannot start; the text says what, why and what to do."""


async def open_engine(
    options: LaunchOptions,
    loaded: LoadedConfig,
    environ: Mapping[str, str],
    redactor: Redactor | None = None,
    log: EngineLog | None = None,
) -> Engine:
    """Open the state folder and return an engine that knows its servers and has started none of them.

    Attach a client, then call `start_servers`. `log` is told of all events. Raises `StartFailed`.
    """
    state = loaded.paths.state_dir
    loop = asyncio.get_running_loop()
    pool = MeteredPool(POOL, thread_name_prefix="omni-pool")
    first_start = not (state / "sessions").exists()
    try:
        vault = await loop.run_in_executor(pool, Vault.open, state)
        trust = await loop.run_in_executor(pool, TrustStore, state / TRUST_FILE, vault)
    except OSError as error:
        raise StartFailed(f"the state folder {state} cannot be used: {error.strerror or error}") from error
    except Exception as error:
        logger.exception("the key store or the state folder cannot be opened")
        raise StartFailed(f"the state folder {state} cannot be opened: {error}") from error
    await loop.run_in_executor(pool, sweep_leases, state)
    await loop.run_in_executor(pool, sweep_opened, state)
    clients, tasks, sessions = Clients(), BackgroundTasks(), OpenSessions()
    plugin_models, transports = PluginModels(), AddedTransports()
    models = ModelService(loaded, environ, clients.tell, plugin_models)
    await loop.run_in_executor(pool, models.days.flush)
    redactor, tool_settings = redactor or Redactor(loaded.secrets), ToolSettings(loaded.config.tools)
    processes = Processes(state, uuid.uuid4().hex)
    logs = ServerLogs(state, vault, redactor.redact)
    consents = Consents(InstallationAudit(state, vault), pool)
    servers = EngineServers(
        pins=Pins(trust),
        tool_settings=tool_settings,
        store=RedactedCredentials(state / "credentials.json", vault, redactor),
        known_transports=state / "ways.json",
        processes=processes,
        logs=logs,
        pool=pool,
        tasks=tasks,
        clients=clients,
        sessions=sessions,
        trusted=loaded.config.policy.trusted_servers,
        consents=consents,
        transports=transports,
        log=log,
    )
    metrics = Metrics()
    telemetry = Telemetry(_telemetry_settings(loaded, redactor), metrics)
    await loop.run_in_executor(pool, telemetry.start)
    plugins = EnginePlugins(
        state,
        models=plugin_models,
        transports=transports,
        servers=servers,
        clients=clients,
        tasks=tasks,
        pool=pool,
        consents=consents,
        vault=vault,
    )
    await plugins.open()
    context = EngineContext(
        options=options,
        config=ConfigInForce(loaded),
        environ=dict(environ),
        pool=pool,
        vault=vault,
        consents=consents,
        rule_book=await loop.run_in_executor(
            pool, partial(RuleBook, loaded, pool, clients.tell, demo=options.demo)
        ),
        redactor=redactor,
        tasks=tasks,
        clients=clients,
        models=models,
        processes=processes,
        server_logs=logs,
        registry=servers.registry,
        catalogue=servers.catalogue,
        tool_settings=tool_settings,
        routes=ToolRoutes(tool_settings, servers.catalogue.get),
        schemas=SchemaChecker(pool),
        limits=ConcurrencyLimits(tool_settings),
        cache=servers.cache,
        prompts_and_resources=servers.prompts_and_resources,
        prompt_texts=PromptTexts(),
        unsaved=UnsavedSettings(),
        opener=FileOpener(state, environ),
        redis=RedisMemory(loaded, vault),
        metrics=metrics,
        telemetry=telemetry,
        log=log,
    )
    for spec in loaded.servers:
        await servers.add(spec)
    notices = _odd_things(context, trust, first_start=first_start)
    await loop.run_in_executor(pool, sweep_left_behind, loaded.paths.state_dir)
    notices += await loop.run_in_executor(pool, _unused_sessions, context)
    return Engine(context, servers, sessions, plugins, notices=notices)


def _telemetry_settings(loaded: LoadedConfig, redactor: Redactor) -> TelemetrySettings:
    """Return what the config asks to be exported."""
    asked = loaded.config.telemetry
    return TelemetrySettings(
        otlp="" if loaded.telemetry_problem else asked.otlp,
        headers=loaded.telemetry_headers,
        prometheus_port=asked.prometheus_port,
        contents=asked.contents,
        redact=redactor.redact,
    )


class Engine:
    """One engine: its clients, and the sessions they follow. Made by `open_engine`."""

    def __init__(
        self,
        context: EngineContext,
        servers: EngineServers,
        sessions: OpenSessions,
        plugins: EnginePlugins,
        notices: list[Notice],
    ) -> None:
        self.context = context
        self.servers = servers
        self.sessions = sessions
        self.plugins = plugins
        self.notices = notices
        self.search = SessionSearch(context.loaded.paths.state_dir, context.vault, sessions)
        self._switching = asyncio.Lock()
        self._stopping = False

    # --- lifecycle ------------------------------------------------------------------------------

    async def start_servers(self) -> None:
        """Let the configured servers connect, load plugins, and have Redis catch up; waits for none."""
        self.context.redis.catch_up(self.sessions.__contains__)
        # A command without a screen asks for servers and models at once.
        await self.plugins.start(wait=self.context.options.headless)
        if self.context.options.connect == "all":
            await self.context.registry.start(self.context.options.only)

    def watch_config(self) -> None:
        """Use changes of the config files from now on, as far as they can count while the app runs."""
        watching = self.context.config.watch(self.context, self.servers)
        self.context.tasks.spawn(watching, "watching the config files")

    async def stop(self) -> None:
        """Park what runs, end every server within 5 s, close the journals."""
        if self._stopping:
            return
        self._stopping = True
        context = self.context
        closing = [self._close(session) for session in self.sessions.values()]
        # Side by side: a Redis that does not answer must not use up the time that leaving may take.
        others = (context.redis.let_go(), self.plugins.stop())
        await asyncio.gather(*closing, context.registry.stop(), *others, return_exceptions=True)
        with contextlib.suppress(TimeoutError):  # a session that is being opened now is closed again
            async with asyncio.timeout(_SWITCH_S), self._switching:
                pass
        try:
            await self.search.close()
        except Exception:
            logger.exception("the search could not be closed")
        context.tasks.cancel()
        await asyncio.gather(
            asyncio.to_thread(context.processes.close), asyncio.to_thread(context.telemetry.close)
        )
        await asyncio.to_thread(context.server_logs.close)
        await asyncio.to_thread(context.models.days.flush)
        context.pool.shutdown(wait=False, cancel_futures=True)

    # --- clients --------------------------------------------------------------------------------

    async def attach(self, outbox: EventBuffer, options: LaunchOptions | None = None) -> Client:
        """Attach a client, with the session that its options name; by default those of the launch.

        Of the options, `resume`, `again`, `mode`, `model` and `headless` belong to a client.
        Raises `StartFailed`.
        """
        options = options or self.context.options
        limits = self.context.models.limits
        async with self._switching:
            session = await self._first_session(options, limits)
            ident = session.journal.session
            try:
                await self._apply_flags(options, session)
                self._check_running()
            except BaseException:
                await self._release(ident)
                raise
            client = Client(outbox, ident, limits, headless=options.headless)
            self.context.clients.append(client)
            self._attend(session)
        return client

    async def leave(self, client: Client) -> None:
        """Detach a client and end what belonged to it alone; the engine ends with its last client."""
        clients = self.context.clients
        if client not in clients:
            return
        clients.remove(client)
        client.outbox.close()
        if not clients:
            await self.stop()
            return
        if clients.following(client.session) and (live := self.sessions.get(client.session)) is not None:
            self._attend(live)  # at once: the switch of another client may take a while
        async with self._switching:
            await self._release(client.session)

    def session(self, client: Client) -> LiveSession:
        """Return the session that a client follows, or followed. Raises `UserError` once it is closed."""
        if client.session not in self.sessions:
            raise UserError("this client has left")
        return self.sessions[client.session]

    async def switch(self, client: Client, session: str = "") -> None:
        """Have a client follow another session, a new one for "". Raises `StartFailed`.

        A session that cannot be opened changes nothing.
        """
        async with self._switching:
            former = client.session
            if client not in self.context.clients:
                raise StartFailed("this client has left")
            if session == former:
                raise StartFailed("that session is open already")
            mode = self._stricter_mode(self.sessions[former])
            opened = await self._opened(
                session,
                SessionSettings(mode, self.context.loaded.config.model.name),
                client.limits,
                attended=not client.headless,
            )
            try:
                ready = opened.ready()
            except BaseException:
                await self._release(opened.journal.session)
                raise
            client.follow(opened.journal.session)
            self._attend(opened)
            client.tell(ready)
            client.tell(self.context.models.spending(opened.budget))
            for event in opened.memory.state():
                client.tell(event)
            for notice in opened.notices:
                client.tell(notice)
            await self._release(former)

    # --- sessions -------------------------------------------------------------------------------

    async def _first_session(self, options: LaunchOptions, limits: BudgetLimits) -> LiveSession:
        """Open a client's first session. One that was found, not named, must not stand in the way."""
        config, attended = self.context.loaded.config, not options.headless
        settings, trouble = SessionSettings(config.agent.mode, config.model.name), ""
        if options.resume not in ("auto", "new"):
            return await self._opened(
                options.resume, settings, limits, attended=attended, again=options.again
            )
        state = self.context.loaded.paths.state_dir
        found = await asyncio.to_thread(last_unclean, state) if options.resume == "auto" else None
        if found is not None and found not in self.sessions:
            try:
                return await self._opened(found, settings, limits, attended=attended)
            except StartFailed as error:
                logger.exception("session %s is passed over", found)
                trouble = str(error)
        session = await self._opened("", settings, limits, attended=attended)
        if trouble:
            session.notices.append(
                _warning("the last session could not be opened; this is a new one", trouble)
            )
        return session

    async def _opened(
        self,
        session: str,
        settings: SessionSettings,
        limits: BudgetLimits,
        *,
        attended: bool,
        again: bool = False,
    ) -> LiveSession:
        """Return a session, open already or opened now, a new one for "".

        With `again` one that was lost with its engine before anything was said in it is new. Raises
        `StartFailed`; then nothing has changed.
        """
        self._check_running()
        new, session = not session, session or new_session_id()
        if session in self.sessions:
            return self.sessions[session]
        feed = SessionFeed(self.context, session, limits)
        try:
            path = session_path(self.context.loaded.paths.state_dir, session)
            new = new or (again and not await asyncio.to_thread(is_there, path))
            if not new and not await asyncio.to_thread(is_there, path):
                raise StartFailed(
                    f"there is no such session: {session}; `omni-tui sessions list` shows those there are"
                )
            await self.context.redis.let_go(session)
            journal = await Journal.open(
                path, session, self.context.vault, feed.committed, feed.failed, draft=new
            )
        except (JournalBusy, JournalBroken, ValueError) as error:
            raise StartFailed(f"the session {session} cannot be opened: {error}") from error
        except OSError as error:
            raise StartFailed(f"the session {session} cannot be opened: {in_words(error)}") from error
        try:
            live = await open_live_session(self.context, journal, feed, settings, attended=attended)
        except (JournalBroken, ValueError, OSError) as error:
            with contextlib.suppress(JournalBroken):
                await journal.close(clean=False)
            raise StartFailed(f"the session {session} cannot be opened: {error}") from error
        if journal.damage:
            live.notices.append(_warning(f"{journal.damage}."))
        if damaged := journal.damaged:
            live.notices.append(
                _warning(f"{damaged} saved events of this session cannot be read and are left out")
            )
        if live.tightened:
            live.notices.append(_warning(live.tightened))
        try:
            self._check_running()
        except StartFailed:
            await self._close(live)
            raise
        self.sessions[session] = live
        return live

    async def _apply_flags(self, options: LaunchOptions, session: LiveSession) -> None:
        """Set a resumed session to what the command line says, and journal it.

        The config has the flags, judged already. What a face shows is what the journal tells: a mode
        that held and was not written there would be another than the one on the screen.
        """
        config, settings = self.context.loaded.config, session.settings
        if options.again:
            return
        if options.model and settings.model != config.model.name:
            await session.set_model(config.model.name)
        if options.mode and settings.mode != config.agent.mode:
            if options.headless and session.attended and self.loosens(session, config.agent.mode):
                raise StartFailed(
                    f"a person follows that session, so only they can set {config.agent.mode} mode"
                )
            await session.set_mode(config.agent.mode, COVERS[config.agent.mode])

    def _stricter_mode(self, former: LiveSession) -> Mode:
        """Return the mode of a new session: the configured one, unless the person has tightened it here."""
        order = self.context.mode_order(former.policy_in_force.rules.rules)
        return order.strictest(self.context.loaded.config.agent.mode, former.settings.mode)

    def loosens(self, session: LiveSession, mode: Mode) -> bool:
        """Return whether a session might ask less in another mode."""
        order = self.context.mode_order(session.policy_in_force.rules.rules)
        return order.is_looser(mode, session.settings.mode)

    def _attend(self, session: LiveSession) -> None:
        followers = self.context.clients.following(session.journal.session)
        session.attend(any(not client.headless for client in followers))

    async def _release(self, session: str) -> None:
        """Close a session that no client follows any more."""
        live = self.sessions.get(session)
        if live is None:
            return
        if self.context.clients.following(session):
            self._attend(live)
            return
        try:
            await self._close(live)
        finally:
            self.sessions.pop(session, None)

    def _check_running(self) -> None:
        if self._stopping:
            raise StartFailed("the engine is ending")

    async def _close(self, session: LiveSession) -> None:
        try:
            await session.close()
        except JournalBroken:
            logger.exception("the journal of %s could not be closed", session.journal.session)
            return
        copy = self.plugins.copy_session(session.journal.session)
        if not self._stopping:
            self.context.tasks.spawn(copy, "copy of a session")
            return
        with contextlib.suppress(TimeoutError):  # the next start copies it
            await asyncio.wait_for(copy, _COPY_S)


def _warning(what: str, why: str = "") -> Notice:
    return Notice(level="warning", what=safe(what, limit=1000), why=safe(why, limit=1000), ts=time.time())


def _unused_sessions(context: EngineContext) -> list[Notice]:
    """Delete or announce what `[memory] keep_days` no longer keeps, and say so. Not without a face."""
    days, state = context.loaded.config.memory.keep_days, context.loaded.paths.state_dir
    if context.options.headless or context.options.demo or not days:
        return []
    try:
        audit = InstallationAudit(state, context.vault)
        done = delete_unused(state, context.vault, days, audit, context.redis.note_deletion)
    except OSError as error:
        return [_warning("sessions that were not used for long are kept", str(error))]
    notices = []
    if done.deleted:
        notices.append(
            _warning(
                f"{done.deleted} sessions were deleted: nobody used them for {days} days and {GRACE} more"
            )
        )
    if done.announced:
        when = time.strftime("%Y-%m-%d", time.localtime(done.first))
        why = f"[memory] keep_days is {days}; open a session to keep it, or change the setting"
        notices.append(
            _warning(f"{done.announced} unused sessions will be deleted, the first on {when}", why)
        )
    return notices


def _odd_things(context: EngineContext, trust: TrustStore, *, first_start: bool) -> list[Notice]:
    """Return what every client should be told of the state folder and the config when it arrives."""
    options, vault = context.options, context.vault
    notices = []
    # Once, at the first start; the app shows it in its empty conversation and `doctor` always does. The
    # demo's folder is thrown away.
    if options.headless and vault.warning and first_start and not options.demo:
        notices.append(_warning(vault.warning))
    if vault.missing:
        notices.append(_warning(vault.missing))
    if trust.problem:
        notices.append(_warning(trust.problem))
    notices += [_warning(problem) for problem in context.telemetry.problems]
    if (lost := context.rule_book.lost_uses()) is not None:
        notices.append(lost)
    return notices + [_warning(f"{note.where}: {note.what}") for note in context.loaded.notes]
