"""One configured server: its state, its owner task, and how its tools are called."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from omni_tui.config.server_display import display_command, display_digest
from omni_tui.config.spec import BUNDLE, SOURCE_WORDS, ServerSpec
from omni_tui.heavy_import import without_collections
from omni_tui.protocol.events import ServerChanged, ServerState
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line
from omni_tui.security.urls import shown_url
from omni_tui.servers.activity import Activity
from omni_tui.servers.added_transports import AddedTransports
from omni_tui.servers.auth import SignIns
from omni_tui.servers.base import CallError, Dispatch, RawResult
from omni_tui.servers.connect_strategy import ConnectStrategy, KnownTransportStore, TransportChoice
from omni_tui.servers.connection_failure import ConnectionFailure
from omni_tui.servers.listener import ServerListener, notify
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.processes import Processes
from omni_tui.servers.prompt_resource_types import PromptResourceError
from omni_tui.servers.reconnect import ReconnectBreaker, StartLimiter
from omni_tui.servers.task_types import ServerUnavailable
from omni_tui.servers.wire_log import WireLog

if TYPE_CHECKING:
    from omni_tui.servers.mcp_session import McpSession
    from omni_tui.servers.prompt_resource_client import PromptResourceClient
    from omni_tui.servers.server_listing import ServerListing
    from omni_tui.servers.subscriptions import ResourceSubscriptions
    from omni_tui.servers.task_client import TaskClient


_LEAVE_S = 3.5
"""Seconds for ending a connection before its owner is cancelled (the transports need three)."""
_LOG_PAUSE_S = 1.0
_NO_FAILURE = ConnectionFailure("")


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What all connections share; see `ServerRegistry`. `loading` is held while the SDK is imported."""

    authority: Callable[[Dispatch], bool]
    processes: Processes
    starts: StartLimiter
    loading: asyncio.Lock
    sign_ins: SignIns
    listener: ServerListener
    added: AddedTransports
    memory: KnownTransportStore | None = None


def _import_session() -> None:
    with without_collections():
        importlib.import_module("omni_tui.servers.mcp_session")
    for odd in ("\x1b", "\U0001f600\x1b"):  # the first text that is made safe compiles large tables
        safe_line(odd)


async def load_session(lock: asyncio.Lock) -> type[McpSession]:
    """Import the SDK in a thread, the first time: it takes a second of work.

    Under a lock: importing on the loop what a thread is importing would wait for it there.
    """
    async with lock:
        await asyncio.to_thread(_import_session)
    from omni_tui.servers import mcp_session

    return mcp_session.McpSession


class Connection:
    """A server of the configuration, connected or not.

    One owner task connects and reconnects; only that task enters and leaves the SDK's client. Calls
    run in their callers' tasks, so that cancelling one cancels nothing else.
    """

    def __init__(self, spec: ServerSpec, context: ConnectionContext) -> None:
        self.spec = spec
        self.digest = display_digest(spec)
        """What it is, as the person sees it: another server of the same name has another one."""
        self.log = ServerLogBuffer(self._on_log)
        self.wire = WireLog(self._report)
        self._context = context
        self.state: ServerState = "disabled"
        self._since = time.time()
        self._reason = _NO_FAILURE
        self._last_failure = _NO_FAILURE
        self._session: McpSession | None = None
        self._owner: asyncio.Task[None] | None = None
        self._breaker = ReconnectBreaker(restarts=spec.transport == "stdio")
        self._strategy = ConnectStrategy(context.memory)
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closed = False
        self._next_try: float | None = None
        self._listing: ServerListing | None = None
        self._activity = Activity(self._follow_activity)
        self._log_timer: asyncio.TimerHandle | None = None
        self._reported: ServerChanged | None = None
        self._subscribed: dict[str, None] = {}
        self._rest()

    # --- what it is --------------------------------------------------------------------------

    @property
    def instructions(self) -> str:
        """The server's instructions, as they came; "" if it has none or is not connected."""
        return self._session.instructions if self._session else ""

    @property
    def pid(self) -> int | None:
        """Process id of the server; None over HTTP and while none runs."""
        return self._session.transport.pid if self._session else None

    def announce(self) -> None:
        """Report a server that will not be started; any other reports itself when it starts."""
        if self.spec.problem or not (self.spec.allowed and self.spec.enabled):
            self._report()

    def describe(self) -> ServerChanged:
        """Return everything there is to show about it, safe to show."""
        spec, session, listing = self.spec, self._session, self._listing
        up = session is not None and session.ready
        return ServerChanged(
            name=spec.name,
            state=self.state,
            since=self._since,
            label=identifier(spec.name),
            transport=session.choice.transport if session else spec.transport,
            target=safe_line(_target(spec), limit=500),
            source=spec.source,
            reason=safe(self._reason.what, limit=1000),
            todo=safe(self._reason.todo, limit=500),
            protocol=session.protocol if session and up else "",
            server_version=session.version if session and up else safe_line(""),
            tools=len(listing.tools) if listing else 0,
            prompts=len(listing.others.prompts) if listing else 0,
            resources=len(listing.others.resources) if listing else 0,
            latency_ms=listing.latency_ms if listing else None,
            attempt=0 if up else self._breaker.attempt,
            next_try=self._next_try,
            breaker=self._breaker.state,
            log_lines=len(self.log),
            calls=self._activity.calls,
            wire=self.wire.on,
            odd=session.transport.invalid_messages if session else 0,
            digest=self.digest,
        )

    # --- what can be done with it -------------------------------------------------------------

    def start(self) -> None:
        """Connect, unless the server is disabled or not allowed."""
        if self._owner is None and not self._closed and self.spec.allowed and self.spec.enabled:
            self._owner = asyncio.create_task(self._own(), name=f"owner of {self.spec.name}")

    async def stop(self) -> None:
        """Disconnect and do not reconnect. At most 7 s, usually under 0.1 s."""
        async with self._turn:
            await self._stop("disabled")

    async def _stop(self, state: ServerState, why: str = "") -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            if self._session is not None and self._session.connected:
                self._session.leave()
            else:
                owner.cancel()
            self._wake.set()
            done, _ = await asyncio.wait((owner,), timeout=_LEAVE_S)
            if not done:
                owner.cancel()
                await asyncio.wait((owner,), timeout=_LEAVE_S)
        await self._strategy.settle()
        self._set(state, ConnectionFailure(why))

    async def disconnect(self) -> None:
        """Disconnect and disable the server, as the person asked."""
        async with self._turn:
            self.spec = dataclasses.replace(self.spec, enabled=False)
            await self._stop("disabled", "disconnected by you")
            self.log.note("disconnected by you")

    async def reconnect(self) -> None:
        """Connect again now, unless the server is not allowed; enables a disabled one."""
        async with self._turn:
            if not self.spec.allowed:
                return
            self.spec = dataclasses.replace(self.spec, enabled=True)
            self._breaker.reset()
            self._last_failure = _NO_FAILURE
            if self._owner is not None:
                await self._stop("connecting")
            self.start()

    async def allow(self) -> None:
        """Note the person's consent and connect."""
        self.spec = dataclasses.replace(self.spec, allowed=True)
        if self._owner is None:
            await self.reconnect()

    async def refresh(self) -> None:
        """Request all lists again. Raises `CallError` if not connected."""
        if self._session is None:
            raise CallError("not connected", sent=False)
        await self._session.relist()

    async def call_tool(
        self,
        dispatch: Dispatch,
        *,
        timeout: float,
        on_progress: Callable[[float, float | None, str], None] | None = None,
    ) -> RawResult:
        """Send a dispatched call once and return the server's result as it came.

        `timeout`: seconds without an answer or progress. `on_progress` gets progress, total and message
        (safe), at most ten times a second. Cancelling the awaiting task tells the server. Raises
        `CallError` (it says what is known of the outcome), `DispatchRefused` (nothing was sent), and
        `TaskStarted` if the server runs the call as a task.
        """
        session = self._session
        if session is None or not session.ready:
            why = f": {self._reason.what}" if self._reason.what else ""
            what = safe(f"{self.spec.name} is not connected{why}", limit=1000)
            raise CallError(what, sent=False, todo="Reconnect it, then call again.")
        with self._activity.call():
            return await session.call(dispatch, timeout, on_progress)

    @property
    def subscribed(self) -> tuple[str, ...]:
        """Addresses of the subscribed resources; they stay subscribed over reconnections."""
        return tuple(self._subscribed)

    def prompts_and_resources(self) -> tuple[PromptResourceClient, ResourceSubscriptions]:
        """Return the client and the subscriptions. Raises `PromptResourceError` if not connected."""
        session = self._session
        if session is None or (client := session.prompts_and_resources()) is None:
            raise PromptResourceError("it is not connected", "Reconnect it, then try again.")
        return client, session.subscriptions

    def tasks(self) -> TaskClient:
        """Return the client for tasks. Raises `ServerUnavailable` if not connected."""
        session = self._session
        if session is None or (client := session.tasks()) is None:
            raise ServerUnavailable(f"{self.spec.name} is not connected")
        return client

    async def answer_inputs(self, requests: dict[str, Any], call: str) -> dict[str, Any]:
        """Have the person answer what a running task asks. Raises `CallError`, also if not connected."""
        if self._session is None:
            raise CallError("it is not connected", sent=True)
        return await self._session.answer_inputs(requests, call)

    # --- the owner ----------------------------------------------------------------------------

    async def _own(self) -> None:
        """Connect, again and again, until it is stopped or until trying again is pointless."""
        me = asyncio.current_task()
        while self._owner is me:
            delay = await self._connect_and_serve()
            if self._owner is not me:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)

    async def _connect_and_serve(self) -> float | None:
        """Connect and stay connected; return the seconds until the next try, None for none."""
        if self.spec.problem:
            self._set("failed", self._misconfigured())
            return None
        self._next_try = None
        self._activity.begin()
        self._breaker.trying()
        last = self._last_failure
        again = dataclasses.replace(last, what=f"{last.what}; trying again") if last.what else _NO_FAILURE
        self._set("connecting", again)
        session_type = await load_session(self._context.loading)
        choice: TransportChoice | None = await self._strategy.begin(self.spec)
        if self._limit > self.spec.connect_timeout and not self._last_failure.what:
            self._set("connecting", ConnectionFailure(f"a first start may take up to {self._limit:g} s"))
        first: ConnectionFailure | None = None
        while choice is not None:
            session, error = await self._attempt(session_type, choice)
            failure, outcome = session.explain(error), session.outcome(error)
            if session.connected or self._owner is not asyncio.current_task():
                break
            if outcome == "absent":  # of two transports that are not there, the usual one's words count
                first = failure if first is None or choice.transport == "http" else first
                failure = first
            tried, choice = choice.transport, await self._strategy.after(choice, outcome)
            if choice is not None:
                self.log.note(f"not by {tried}: {failure.what}; trying {choice.transport}")
        return self._after(failure)

    @property
    def _limit(self) -> float:
        """Seconds that connecting may take now."""
        known = self._strategy.has_worked and self._breaker.attempt == 0
        return max(self.spec.connect_timeout, 0.0 if known else self.spec.first_start)

    async def _attempt(
        self, session_type: type[McpSession], choice: TransportChoice
    ) -> tuple[McpSession, BaseException | None]:
        """Connect over one transport and serve; return the session when it is over, and how it failed."""
        error: BaseException | None = None
        bearer_auth = await self._context.sign_ins.bearer_auth(self.spec)
        session = self._session = session_type(
            dataclasses.replace(self.spec, connect_timeout=self._limit),
            processes=self._context.processes,
            authority=self._context.authority,
            log=self.log,
            on_listing=self._on_listing,
            on_heartbeat=self._on_heartbeat,
            choice=choice,
            bearer_auth=bearer_auth,
            wire=self.wire,
            subscribed=self._subscribed,
            listener=self._context.listener,
            added=self._context.added,
        )
        try:
            async with self._context.starts.place() as give_back:

                def connected() -> None:
                    give_back()
                    self._last_failure = _NO_FAILURE
                    self._breaker.succeeded()
                    self._strategy.worked(choice, session.era)

                await session.run(connected)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling() > 0:
                raise
            error = cancelled  # the SDK's own: a failed request cancels the task that entered the client
        except Exception as failure:  # every failure ends in words on the server's row
            error = failure
        finally:
            self._session = None
            if self._listing is not None:
                self._listing = None
                notify(self._context.listener.tools_gone, self.spec.name)
        return session, error

    def _after(self, failure: ConnectionFailure) -> float | None:
        if self._owner is not asyncio.current_task():
            return None
        delay = self._breaker.failed(lasting=failure.lasting)
        if delay is None and not failure.lasting:
            todo = "It was restarted 3 times in 5 minutes: reconnect it to try again."
            failure = dataclasses.replace(failure, todo=todo)
        self._last_failure = failure
        self._next_try = time.time() + delay if delay is not None else None
        self.log.note(f"not connected: {failure.what}")
        self._save_log()
        self._set("needs_sign_in" if failure.sign_in else "failed", failure)
        return delay

    def _on_listing(self, listing: ServerListing) -> None:
        if self._listing is None and self._session is not None:
            many = len(listing.tools)
            tools = f"{many} tool{'' if many == 1 else 's'}"
            self.log.note(f"connected, protocol {self._session.protocol}, {tools}")
        self._listing = listing
        self._set_by_listing(listing)
        notify(self._context.listener.tools_listed, self.spec.name, list(listing.tools))
        notify(self._context.listener.prompts_and_resources_listed, self.spec.name, listing.others)

    def _set_by_listing(self, listing: ServerListing) -> None:
        if listing.failure:
            self._set("degraded", ConnectionFailure(listing.failure, "Refresh it, or look at its log."))
        else:
            self._set("active" if self._activity.busy else "idle", ConnectionFailure(listing.note))
            self._activity.look()  # a call before the reconnection may still count as recent

    def _on_heartbeat(self, failure: str, took_ms: float) -> None:
        """Degrade the server after a missed heartbeat, and take that back after an answer."""
        if self._session is None or self._listing is None:
            return
        if failure:
            self.log.note(f"missed a heartbeat: {failure}")
            todo = "Omni TUI asks again; after a second miss it reconnects."
            if self.spec.transport == "stdio":
                todo = "Omni TUI asks again. Reconnect it to restart it."
            self._set("degraded", ConnectionFailure(failure, todo))
        else:
            self._listing.latency_ms = took_ms
            self._set_by_listing(self._listing)

    # --- state --------------------------------------------------------------------------------

    def _rest(self) -> None:
        """Set the state of a server that is not started."""
        place = SOURCE_WORDS[self.spec.source]
        if self.spec.problem and self.spec.enabled:
            self.state, self._reason = "failed", self._misconfigured()
        elif not self.spec.allowed:
            todo = "Allow it if you trust where it comes from; it has not run."
            if self.spec.registry:
                place = "a bundle" if self.spec.registry.startswith(BUNDLE) else "the public registry"
            self.state, self._reason = "not_allowed", ConnectionFailure(f"comes from {place}", todo)
        elif not self.spec.enabled:
            self._reason = ConnectionFailure(f"disabled in {place}")
        else:
            self._reason = ConnectionFailure("not started")

    def _misconfigured(self) -> ConnectionFailure:
        todo = f"It is defined in {SOURCE_WORDS[self.spec.source]}."
        return ConnectionFailure(self.spec.problem, todo, lasting=True)

    def _follow_activity(self) -> None:
        """Show the server as active while a call runs and for a while after, then as idle."""
        if self.state in ("active", "idle"):
            self._set("active" if self._activity.busy else "idle", self._reason)
        else:
            self._report()

    def _set(self, state: ServerState, failure: ConnectionFailure = _NO_FAILURE) -> None:
        if state != self.state:
            self.state, self._since = state, time.time()
        self._reason = failure
        if state in ("disabled", "not_allowed"):
            self._next_try = None
        self._report()

    def _report(self) -> None:
        """Report the server if anything about it changed."""
        now = self.describe()
        if now != self._reported:
            self._reported = now
            notify(self._context.listener.server_changed, msgspec.structs.replace(now, ts=time.time()))

    def _on_log(self) -> None:
        """Report new lines of the log, at most once a second."""
        if self._log_timer is None:
            with contextlib.suppress(RuntimeError):  # no loop: only the configuration is looked at
                self._log_timer = asyncio.get_running_loop().call_later(
                    _LOG_PAUSE_S, self._report_new_lines
                )

    def _save_log(self) -> None:
        if lines := self.log.unsaved():
            notify(self._context.listener.log_written, self.spec.name, lines)

    def _report_new_lines(self) -> None:
        self._log_timer = None
        self._save_log()
        self._report()

    def close(self) -> None:
        """Cancel the timers and never start again."""
        self._closed = True
        self._save_log()
        self._activity.close()
        if self._log_timer is not None:
            self._log_timer.cancel()
            self._log_timer = None


def _target(spec: ServerSpec) -> str:
    if spec.transport == "memory":
        return "in this process"
    return display_command(spec) if spec.transport == "stdio" else shown_url(spec.url)
