"""One configured server: its state, its owner task, and how its tools are called."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from omni_tui.config.server_display import display_command
from omni_tui.config.spec import SOURCE_WORDS, ServerSpec
from omni_tui.loading import without_collections
from omni_tui.protocol.events import ServerChanged, ServerState
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line
from omni_tui.servers.activity import Activity
from omni_tui.servers.auth import SignIns
from omni_tui.servers.base import CallError, Dispatch, RawResult
from omni_tui.servers.connect_strategy import ConnectStrategy, KnownTransportStore, TransportChoice
from omni_tui.servers.health import ConnectBreaker, ConnectionFailure, ReconnectBackoff, StartLimiter
from omni_tui.servers.listener import ServerListener, notify
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.processes import Processes
from omni_tui.servers.prompt_resource_types import PromptResourceError
from omni_tui.servers.server_urls import shown_url
from omni_tui.servers.task_types import ServerUnavailable, TaskClient
from omni_tui.servers.wire_log import WireLog

if TYPE_CHECKING:
    from omni_tui.servers import mcp_session as live
    from omni_tui.servers.prompt_resource_client import PromptResourceClient
    from omni_tui.servers.server_listing import ServerListing
    from omni_tui.servers.subscriptions import ResourceSubscriptions


def server_changed_event(
    spec: ServerSpec,
    state: ServerState,
    since: float,
    trouble: ConnectionFailure,
    session: live.McpSession | None,
    offer: ServerListing | None,
    breaker: ConnectBreaker,
    *,
    next_try: float | None,
    log_lines: int,
    calls: int,
    wire: bool,
) -> ServerChanged:
    """Return the event that tells of a server; `offer` is None while its tools cannot be called."""
    up = session is not None and session.ready
    return ServerChanged(
        name=spec.name,
        state=state,
        since=since,
        label=identifier(spec.name),
        transport=session.way.transport if session else spec.transport,
        target=safe_line(_target(spec), limit=500),
        source=spec.source,
        reason=safe(trouble.what, limit=1000),
        todo=safe(trouble.todo, limit=500),
        protocol=session.protocol if session and up else "",
        server_version=session.version if session and up else safe_line(""),
        tools=len(offer.tools) if offer else 0,
        prompts=len(offer.others.prompts) if offer else 0,
        resources=len(offer.others.resources) if offer else 0,
        latency_ms=offer.latency_ms if offer else None,
        attempt=0 if up else breaker.attempt,
        next_try=next_try,
        breaker=breaker.state,
        log_lines=log_lines,
        calls=calls,
        wire=wire,
        odd=session.junk if session else 0,
    )


def _target(spec: ServerSpec) -> str:
    if spec.transport == "memory":
        return "in this process"
    if spec.transport == "stdio":
        return display_command(spec)
    return shown_url(spec.url)


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What a connection needs of the world around it; see `Registry`."""

    authority: Callable[[Dispatch], bool]
    processes: Processes
    gate: StartLimiter
    loading: asyncio.Lock
    sign_ins: SignIns
    listener: ServerListener
    memory: KnownTransportStore | None = None


def cancelled_by_us() -> bool:
    """Return whether the running task was cancelled from outside, not by the SDK."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _import_session() -> None:
    with without_collections():
        importlib.import_module("omni_tui.servers.mcp_session")
    for odd in ("\x1b", "\U0001f600\x1b"):  # the first text that is made safe compiles large tables
        safe_line(odd)


async def load_session(lock: asyncio.Lock) -> type[live.McpSession]:
    """Import the SDK in a thread, the first time: it takes a second of work.

    Under a lock, since importing on the loop what a thread is importing would wait for it there.
    """
    async with lock:
        await asyncio.to_thread(_import_session)
    from omni_tui.servers.mcp_session import McpSession

    return McpSession


_log = logging.getLogger(__name__)

_LEAVE = 3.5
"""Seconds that ending a connection may take before its owner is cancelled (the transports need three)."""
_LOG_PAUSE = 1.0
_NO_TROUBLE = ConnectionFailure("")


class Connection:
    """A server of the configuration, connected or not.

    One owner task runs all of its lives; only that task enters and leaves the SDK's client. Calls
    run in their callers' tasks, so that cancelling one cancels nothing else.
    """

    def __init__(self, spec: ServerSpec, around: ConnectionContext) -> None:
        self.spec = spec
        self.log = ServerLogBuffer(self._on_log)
        self.wire = WireLog(self._tell)
        self._around = around
        self._state: ServerState = "disabled"
        self._since = time.time()
        self._trouble = _NO_TROUBLE
        self._failure = _NO_TROUBLE
        self._session: live.McpSession | None = None
        self._owner: asyncio.Task[None] | None = None
        self._breaker = ConnectBreaker(ReconnectBackoff(restarts=spec.transport == "stdio"))
        self._approach = ConnectStrategy(around.memory)
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closed = False
        self._next_try: float | None = None
        self._offer: ServerListing | None = None
        self._listed = False
        self._activity = Activity(self._follow_activity)
        self._log_timer: asyncio.TimerHandle | None = None
        self._told: ServerChanged | None = None
        self._followed: dict[str, None] = {}
        self._rest()

    # --- what it is --------------------------------------------------------------------------

    @property
    def state(self) -> ServerState:
        """Its state now."""
        return self._state

    @property
    def instructions(self) -> str:
        """What the server says about its use, as it came; "" if nothing or not connected."""
        return self._session.instructions if self._session else ""

    @property
    def pid(self) -> int | None:
        """Process id of the server; None over HTTP and while none runs."""
        return self._session.pid if self._session else None

    @property
    def junk(self) -> int:
        """Lines on its standard output that were no messages, in this life."""
        return self._session.junk if self._session else 0

    def announce(self) -> None:
        """Tell of a server that will not be started; any other tells of itself when it is."""
        if self.spec.problem or not (self.spec.allowed and self.spec.enabled):
            self._tell()

    def describe(self) -> ServerChanged:
        """Return everything there is to show about it."""
        return server_changed_event(
            self.spec,
            self._state,
            self._since,
            self._trouble,
            self._session,
            self._offer if self._listed else None,
            self._breaker,
            next_try=self._next_try,
            log_lines=len(self.log),
            calls=self._activity.calls,
            wire=self.wire.on,
        )

    # --- what can be done with it -------------------------------------------------------------

    def start(self) -> None:
        """Connect, if it may: a server that is off or not allowed stays so."""
        if self._owner is None and not self._closed and self.spec.allowed and self.spec.enabled:
            self._owner = asyncio.create_task(self._own(), name=f"owner of {self.spec.name}")

    async def stop(self) -> None:
        """End the connection and do not try again by itself. At most 7 s, as a rule under 0.1 s."""
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
            done, _ = await asyncio.wait((owner,), timeout=_LEAVE)
            if not done:
                owner.cancel()
                await asyncio.wait((owner,), timeout=_LEAVE)
        await self._approach.settle()
        self._set(state, ConnectionFailure(why))

    async def disconnect(self) -> None:
        """End the connection because the person says so."""
        async with self._turn:
            self.spec = dataclasses.replace(self.spec, enabled=False)
            await self._stop("disabled", "disconnected by you")
            self.log.note("disconnected by you")

    async def reconnect(self) -> None:
        """Connect anew now, whatever was before; a server that is not allowed stays so."""
        async with self._turn:
            if not self.spec.allowed:
                return
            self.spec = dataclasses.replace(self.spec, enabled=True)
            self._breaker.reset()
            self._failure = _NO_TROUBLE
            if self._owner is not None:
                await self._stop("connecting")
            self.start()

    async def allow(self) -> None:
        """Note the person's consent, and connect."""
        self.spec = dataclasses.replace(self.spec, allowed=True)
        if self._owner is None:
            await self.reconnect()

    async def refresh(self) -> None:
        """List everything again now. Raises `CallError` if it is not connected."""
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
        """Send the call of a dispatch, once, and return the server's result as it came.

        `timeout` is in seconds without an answer or progress. `on_progress` gets progress, total and
        message (safe), at most ten times a second. Cancelling the awaiting task tells the server.
        Raises `CallError` (see there what is known of the outcome), `DispatchRefused` (nothing was
        sent), and `TaskStarted` where the call goes on as a task.
        """
        session = self._session
        if session is None or not session.ready:
            what = f"{self.spec.name} is not connected" + (
                f": {self._trouble.what}" if self._trouble.what else ""
            )
            raise CallError(safe(what, limit=1000), sent=False, todo="Reconnect it, then call again.")
        with self._activity.call():
            return await session.call(dispatch, timeout, on_progress)

    @property
    def followed(self) -> tuple[str, ...]:
        """Addresses of the resources whose changes are followed, across reconnections."""
        return tuple(self._followed)

    def verbs(self) -> tuple[PromptResourceClient, ResourceSubscriptions]:
        """Return what else can be asked of the server now.

        Raises `PromptResourceError` if it is not connected.
        """
        session = self._session
        if session is None or (verbs := session.verbs()) is None:
            raise PromptResourceError("it is not connected", "Reconnect it, then try again.")
        return verbs, session.follower

    def tasks(self) -> TaskClient:
        """Return what can be asked about tasks now.

        Raises `ServerUnavailable` while it is not connected.
        """
        session = self._session
        if session is None or (verbs := session.tasks()) is None:
            raise ServerUnavailable(f"{self.spec.name} is not connected")
        return verbs

    async def answer_inputs(self, requests: dict[str, Any], call: str) -> dict[str, Any]:
        """Have the person answer what the server asks in the course of a call; see `Answering.inputs`.

        Raises `CallError`, also while it is not connected.
        """
        if self._session is None:
            raise CallError("it is not connected", sent=True)
        return await self._session.answer_inputs(requests, call)

    # --- the owner ----------------------------------------------------------------------------

    async def _own(self) -> None:
        """Live one life after the other, until told to stop or until trying again is pointless."""
        me = asyncio.current_task()
        while self._owner is me:
            delay = await self._live()
            if self._owner is not me:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)

    async def _live(self) -> float | None:
        """Connect, serve, and return how long to wait before the next time (None: not by itself)."""
        if self.spec.problem:
            self._set("failed", self._misconfigured())
            return None
        self._next_try = None
        self._activity.begin()
        self._breaker.trying()
        self._set("connecting", self._again())
        session_type = await load_session(self._around.loading)
        way: TransportChoice | None = await self._approach.begin(self.spec)
        if self._limit > self.spec.connect_timeout and not self._failure.what:
            self._set("connecting", ConnectionFailure(f"a first start may take up to {self._limit:g} s"))
        first: ConnectionFailure | None = None
        while way is not None:
            session, error = await self._attempt(session_type, way)
            trouble, verdict = session.explain(error), session.verdict(error)
            if session.connected or self._owner is not asyncio.current_task():
                break
            if verdict == "absent":  # of two transports that are not there, the usual one's words count
                first = trouble if first is None or way.transport == "http" else first
                trouble = first
            tried, way = way, await self._approach.after(way, verdict)
            if way is not None:
                self.log.note(f"not by {tried.transport}: {trouble.what}; trying {way.transport}")
        return self._after(trouble)

    @property
    def _limit(self) -> float:
        """Seconds that connecting may take now."""
        known = self._approach.has_worked and self._breaker.attempt == 0
        first = 0.0 if known else self.spec.first_start
        return max(self.spec.connect_timeout, first)

    def _again(self) -> ConnectionFailure:
        """Return what is said while it is tried again: how the last try ended."""
        if not self._failure.what:
            return _NO_TROUBLE
        return dataclasses.replace(self._failure, what=f"{self._failure.what}; being tried again")

    async def _attempt(
        self, session_type: type[live.McpSession], way: TransportChoice
    ) -> tuple[live.McpSession, BaseException | None]:
        """Connect in one way, and serve; return the session when it is over, and what it failed of."""
        error: BaseException | None = None
        gatekeeper = await self._around.sign_ins.gatekeeper(self.spec)
        session = self._session = session_type(
            dataclasses.replace(self.spec, connect_timeout=self._limit),
            processes=self._around.processes,
            authority=self._around.authority,
            log=self.log,
            on_offer=self._on_offer,
            on_beat=self._on_beat,
            way=way,
            gatekeeper=gatekeeper,
            wire=self.wire,
            followed=self._followed,
            listener=self._around.listener,
        )
        try:
            async with self._around.gate.place() as give_back:

                def connected() -> None:
                    give_back()
                    self._failure = _NO_TROUBLE
                    self._breaker.succeeded()
                    self._approach.worked(way, session.era)

                await session.run(connected)
        except asyncio.CancelledError as cancelled:
            if cancelled_by_us():
                raise
            error = cancelled  # the SDK's own: a failed request cancels the task that entered the client
        except Exception as failure:  # every way to fail ends in words on the server's row
            error = failure
        finally:
            self._end_life()
        return session, error

    def _after(self, trouble: ConnectionFailure) -> float | None:
        if self._owner is not asyncio.current_task():
            return None
        delay = self._breaker.failed(lasting=trouble.lasting)
        if delay is None and not trouble.lasting:
            todo = "It was started again 3 times in 5 minutes: now only by hand (reconnect)."
            trouble = dataclasses.replace(trouble, todo=todo)
        self._failure = trouble
        self._next_try = time.time() + delay if delay is not None else None
        self.log.note(f"not connected: {trouble.what}")
        self._save_log()
        self._set("needs_sign_in" if trouble.sign_in else "failed", trouble)
        return delay

    def _end_life(self) -> None:
        self._session = None
        self._offer = None
        if self._listed:
            self._listed = False
            notify(self._around.listener.tools_gone, self.spec.name)

    def _on_offer(self, offer: ServerListing) -> None:
        if not self._listed and self._session is not None:
            self.log.note(f"connected, protocol {self._session.protocol}, {len(offer.tools)} tools")
        self._offer, self._listed = offer, True
        self._set_by_offer(offer)
        notify(self._around.listener.tools_listed, self.spec.name, list(offer.tools))
        notify(self._around.listener.prompts_and_resources_listed, self.spec.name, offer.others)

    def _set_by_offer(self, offer: ServerListing) -> None:
        if offer.trouble:
            self._set("degraded", ConnectionFailure(offer.trouble, "Refresh it, or look at its log."))
        else:
            self._set(self._busy_state(), ConnectionFailure(offer.note))
            self._activity.look()  # a call of the life before may still count as recent

    def _on_beat(self, words: str, took_ms: float) -> None:
        """Follow the heartbeat: a missed one degrades the server, an answered one mends it."""
        if self._session is None or self._offer is None:
            return
        if words:
            self.log.note(f"missed a heartbeat: {words}")
            todo = "It is asked again; after a second miss it is reconnected."
            if self.spec.transport == "stdio":
                todo = "It is asked again. Reconnect it to start it anew."
            self._set("degraded", ConnectionFailure(words, todo))
        else:
            self._offer.latency_ms = took_ms
            self._set_by_offer(self._offer)

    # --- state --------------------------------------------------------------------------------

    def _rest(self) -> None:
        """Take the state of a server that is not started."""
        if self.spec.problem and self.spec.enabled:
            self._state, self._trouble = "failed", self._misconfigured()
        elif not self.spec.allowed:
            todo = "Allow it if you trust where it comes from; nothing of it has run."
            self._state, self._trouble = (
                "not_allowed",
                ConnectionFailure(f"comes from {SOURCE_WORDS[self.spec.source]}", todo),
            )
        elif not self.spec.enabled:
            self._state, self._trouble = (
                "disabled",
                ConnectionFailure(f"switched off in {SOURCE_WORDS[self.spec.source]}"),
            )
        else:
            self._state, self._trouble = "disabled", ConnectionFailure("not started")

    def _misconfigured(self) -> ConnectionFailure:
        todo = f"It is defined in {SOURCE_WORDS[self.spec.source]}."
        return ConnectionFailure(self.spec.problem, todo, lasting=True)

    def _busy_state(self) -> ServerState:
        return "active" if self._activity.busy else "idle"

    def _follow_activity(self) -> None:
        """Follow the calls: active while one runs and for a while after, then idle."""
        if self._state in ("active", "idle"):
            self._set(self._busy_state(), self._trouble)
        else:
            self._tell()

    def _set(self, state: ServerState, trouble: ConnectionFailure = _NO_TROUBLE) -> None:
        if state != self._state:
            self._state, self._since = state, time.time()
        self._trouble = trouble
        if state in ("disabled", "not_allowed"):
            self._next_try = None
        self._tell()

    def _tell(self) -> None:
        """Send the event if anything in it changed."""
        now = self.describe()
        if now != self._told:
            self._told = now
            notify(self._around.listener.server_changed, msgspec.structs.replace(now, ts=time.time()))

    def _on_log(self) -> None:
        """Tell of a grown log at most once a second."""
        if self._log_timer is None:
            with contextlib.suppress(RuntimeError):  # no loop: somebody only looks at the configuration
                self._log_timer = asyncio.get_running_loop().call_later(_LOG_PAUSE, self._tell_of_log)

    def _save_log(self) -> None:
        if lines := self.log.unsaved():
            notify(self._around.listener.log_written, self.spec.name, lines)

    def _tell_of_log(self) -> None:
        self._log_timer = None
        self._save_log()
        self._tell()

    def close(self) -> None:
        """Cancel the timers and never start again: the connection is not used any more."""
        self._closed = True
        self._save_log()
        self._activity.close()
        if self._log_timer is not None:
            self._log_timer.cancel()
            self._log_timer = None
