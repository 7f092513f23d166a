"""One connection to a server, from the handshake to the end of the transport.

Importing this module loads the SDK, which takes a second; `Connection` does that in a thread when the
first server starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Literal

import mcp_types as types
from mcp.client._transport import TransportStreams
from mcp.client.client import Client
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from omni_tui import __version__
from omni_tui.config.spec import ServerSpec
from omni_tui.protocol import SafeText
from omni_tui.security.text import safe_line
from omni_tui.servers.added_transports import AddedTransports
from omni_tui.servers.base import CallError, Dispatch, RawResult
from omni_tui.servers.call_results import STAND_INS, ProgressFn
from omni_tui.servers.connect_strategy import ConnectOutcome, Era, TransportChoice
from omni_tui.servers.connection_failure import (
    ConnectionFailed,
    ConnectionFailure,
    root_cause,
    suggest_log,
    suggest_longer_timeout,
)
from omni_tui.servers.dispatched_call import CallContext, DispatchedCall
from omni_tui.servers.heartbeat import Heartbeat, HeartbeatMissed, Ping
from omni_tui.servers.listener import ServerListener
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.processes import Processes
from omni_tui.servers.prompt_resource_client import PromptResourceClient
from omni_tui.servers.server_listing import (
    DEBOUNCE_S,
    RELIST_PAUSE_S,
    ServerListing,
    follow_list_changes,
    is_list_change,
    list_all,
)
from omni_tui.servers.server_redactor import ServerRedactor
from omni_tui.servers.server_request_responder import ServerRequestResponder, roots_callback
from omni_tui.servers.subscriptions import ResourceSubscriptions
from omni_tui.servers.tap import Tap
from omni_tui.servers.task_client import TaskClient, TasksExtension, only_as_tasks
from omni_tui.servers.timeouts import RequestTimeouts
from omni_tui.servers.transports.base import TransportContext
from omni_tui.servers.transports.factory import make
from omni_tui.servers.transports.json_rpc import error_words
from omni_tui.servers.wire_log import WireLog

if TYPE_CHECKING:
    from omni_tui.servers.auth.bearer_auth import BearerAuth

warnings.filterwarnings("ignore", category=MCPDeprecationWarning)
_log = logging.getLogger(__name__)
_SESSION_LOST = ConnectionFailure(
    "the server does not know this session any more, as after a restart", "Omni TUI reconnects it."
)
KNOWN_VERSIONS = (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS)
_NO_ANSWER = (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT)


class McpSession:
    """A connection to a server, from the handshake to the end of the transport.

    `on_listing` gets every listing; after the first, calls are possible. `on_heartbeat` gets "" and the
    milliseconds of each answered heartbeat, or why it was missed. `connected`: the handshake succeeded; it
    stays true when the connection is over.
    """

    def __init__(
        self,
        spec: ServerSpec,
        *,
        processes: Processes,
        authority: Callable[[Dispatch], bool],
        log: ServerLogBuffer,
        on_listing: Callable[[ServerListing], None],
        on_heartbeat: Callable[[str, float], None],
        choice: TransportChoice,
        bearer_auth: BearerAuth | None,
        wire: WireLog,
        subscribed: dict[str, None],
        listener: ServerListener,
        added: AddedTransports,
    ) -> None:
        self._spec = spec
        self._server_log = log
        self._on_listing = on_listing
        self._on_heartbeat = on_heartbeat
        self.choice = choice
        self._leaving = asyncio.Event()
        self._lost: ConnectionFailure | None = None
        self._client: Client | None = None
        self.connected = False
        self._listing_lock = asyncio.Lock()
        self._lists_changed = asyncio.Event()
        self._bearer_auth = bearer_auth
        if bearer_auth is not None:
            bearer_auth.on_needed = self.leave
            bearer_auth.on_resent = lambda: log.note("a request was sent again with a new token")
        self._timeouts = RequestTimeouts()
        self.subscriptions = ResourceSubscriptions(spec.name, subscribed, listener)
        secrets = ServerRedactor(spec, (lambda: bearer_auth.sent) if bearer_auth is not None else tuple)
        self._tap = Tap(spec.name, authority, self.leave, wire, secrets=secrets, on_odd=log.note)
        self._responder = ServerRequestResponder(
            spec.name,
            listener,
            self._timeouts,
            call=self._tap.sole_open_call,
            roots=roots_callback(spec.roots),
            samples=spec.sampling,
        )
        self.transport = make(
            choice.transport,
            spec,
            TransportContext(processes, log, self.leave, auth=bearer_auth, hide=secrets.hide),
            added,
        )
        self._tap.direct = not self.transport.web
        self._calls = CallContext(
            spec,
            self._tap,
            self.transport,
            bearer_auth,
            self._responder,
            self._timeouts,
            listener,
            self._note_loss,
            self._lists_changed.set,
        )
        self.protocol = ""
        self.version = SafeText("")
        self.instructions = ""

    @property
    def ready(self) -> bool:
        """Whether calls are possible."""
        return self._client is not None

    @property
    def era(self) -> Era:
        """The era of the agreed protocol version; valid once connected."""
        return "modern" if self.protocol in MODERN_PROTOCOL_VERSIONS else "legacy"

    def leave(self) -> None:
        """Have `run` end the connection and return. Harmless when it is over."""
        self._leaving.set()

    async def run(self, on_connected: Callable[[], None]) -> None:
        """Connect, list, and stay until `leave` or the end of the transport.

        Must run in one task: the SDK's client is entered and left here only. Raises whatever went
        wrong; `explain` puts it into words.
        """
        client = Client(
            self._guarded(),
            mode="legacy" if self.choice.legacy else "auto",
            message_handler=self._on_message,
            client_info=types.Implementation(name="omni-tui", version=__version__),
            cache=None,
            list_roots_callback=self._responder.roots,
            elicitation_callback=self._responder.elicitation,
            sampling_callback=self._responder.sampling,
            logging_callback=self._on_log,
            log_level=None if self._spec.log_level == "off" else self._spec.log_level,
            extensions=[TasksExtension()] if self._spec.tasks else None,
        )
        async with asyncio.timeout(self._spec.connect_timeout) as deadline, client:
            deadline.reschedule(None)
            self.connected = True
            self.protocol = client.protocol_version
            self._calls.modern = self.era == "modern"
            self.instructions = client.instructions or ""
            if info := client.server_info:
                self.version = safe_line(f"{info.name} {info.version}", limit=80)
            on_connected()
            await self._serve(client)

    async def relist(self) -> None:
        """Request all lists again. Raises `CallError` if not connected or the connection is cut."""
        client = self._client
        if client is None:
            raise CallError("not connected", sent=False)
        try:
            await self._list(client)
        except MCPError as error:
            self._note_loss()
            raise CallError("the connection was cut while listing", sent=False) from error

    async def _relist_after_changes(self) -> None:
        """List again after each change: soon, once for a burst, and at most every two seconds."""
        while True:
            await self._lists_changed.wait()
            await asyncio.sleep(DEBOUNCE_S)
            self._lists_changed.clear()
            await self.relist()
            await asyncio.sleep(RELIST_PAUSE_S)

    def prompts_and_resources(self) -> PromptResourceClient | None:
        """Return the client for prompts and resources, None if not connected."""
        if self._client is None:
            return None
        return PromptResourceClient(self._client, self._note_loss, self._timeouts)

    def tasks(self) -> TaskClient | None:
        """Return the client for tasks, None if not connected."""
        if self._client is None:
            return None
        return TaskClient(self._client, self._note_loss, modern=self.era == "modern")

    async def answer_inputs(self, requests: dict[str, Any], call: str) -> dict[str, Any]:
        """Return the answers to what a running task asks, as JSON."""
        answers = await self._responder.inputs(requests, call)
        return {
            key: answer.model_dump(mode="json", by_alias=True, exclude_none=True)
            for key, answer in answers.items()
        }

    async def call(self, dispatch: Dispatch, timeout: float, on_progress: ProgressFn | None) -> RawResult:
        """Send a dispatched call and return its result; see `Connection.call_tool`."""
        client = self._client
        if client is None:
            raise CallError("not connected", sent=False)
        return await DispatchedCall(self._calls, client, dispatch, timeout, on_progress).run()

    def _note_loss(self) -> bool:
        """Return whether the server lost our session, as after its restart; if so, end the connection."""
        if self.transport.session_lost:
            self._lost = _SESSION_LOST
            self.leave()
        return self.transport.session_lost

    def explain(self, error: BaseException | None) -> ConnectionFailure:
        """Return why the connection ended, in words; valid once `run` is over."""
        error = root_cause(error) if error is not None else None
        if isinstance(error, ConnectionFailed):
            return error.failure
        if self._bearer_auth is not None and (ended := self._bearer_auth.connection_failure()) is not None:
            return ended
        if self._lost is not None:
            return self._lost
        if isinstance(error, TimeoutError) and not self.connected:
            what = f"did not answer initialize within {self._spec.connect_timeout:g} s"
            return ConnectionFailure(what, suggest_longer_timeout(self._spec))
        failure = self._no_common_version(error) or self.transport.failure()
        if failure is not None:
            return failure
        if isinstance(error, MCPError) and error.code != types.CONNECTION_CLOSED:
            return ConnectionFailure(f"refuses to connect: {error_words(error.error, safe_line)}")
        if error is None or isinstance(error, MCPError | asyncio.CancelledError):
            return ConnectionFailure("it closed the connection", suggest_log(self._spec.name))
        if isinstance(error, ValidationError):
            what = f"breaks the protocol while connecting: {_invalid_fields(error)}"
            return ConnectionFailure(what, "The server is faulty.")
        _log.warning("the connection to %s failed", self._spec.name, exc_info=error)
        what = f"the connection failed: {safe_line(str(error) or type(error).__name__)}"
        return ConnectionFailure(what, "See the log file.")

    def _no_common_version(self, error: BaseException | None) -> ConnectionFailure | None:
        """Return the failure of a server that speaks none of our versions, else None."""
        theirs: list[str] = []
        if isinstance(error, RuntimeError) and not self.connected:
            theirs = [self._tap.version] if self._tap.version else []
        elif isinstance(error, MCPError) and isinstance(error.error.data, dict):
            supported = error.error.data.get("supported")
            if isinstance(supported, list):
                theirs = [each for each in supported if isinstance(each, str)][:10]
        if not any(theirs) or any(each in KNOWN_VERSIONS for each in theirs):
            return None
        what = f"speaks the protocol in version {safe_line(', '.join(theirs), limit=200)} only"
        ours = f"Omni TUI speaks {min(KNOWN_VERSIONS)} to {max(KNOWN_VERSIONS)}"
        return ConnectionFailure(f"{what}; {ours}", "Update the server, or Omni TUI.", lasting=True)

    def outcome(self, error: BaseException | None) -> ConnectOutcome:
        """Return what a failure to connect says of the transport; valid once `run` is over."""
        error = root_cause(error) if error is not None else None
        if self._bearer_auth is not None and self._bearer_auth.connection_failure() is not None:
            return "other"  # it is there, and asks for credentials
        if self.transport.absent():
            return "absent"
        if isinstance(error, TimeoutError):
            return "silent"
        if isinstance(error, MCPError) and error.code not in _NO_ANSWER:
            return "other" if error.message in STAND_INS else "refused"
        return "other" if self.transport.web else "silent"

    @contextlib.asynccontextmanager
    async def _guarded(self) -> AsyncIterator[TransportStreams]:
        async with self.transport as (read, write):
            yield self._tap.guard(read, write)

    async def _serve(self, client: Client) -> None:
        # Listen before listing, so that no change in between is missed.
        listening = asyncio.create_task(
            follow_list_changes(client, self._lists_changed.set, self._spec.list_timeout)
        )
        listing = asyncio.create_task(self._list(client))
        leaving = asyncio.create_task(self._leaving.wait())
        following = asyncio.create_task(self.subscriptions.run(client, self._spec.list_timeout))
        logging_level = asyncio.create_task(set_log_level(client, self._spec))
        tasks: list[asyncio.Task[None] | asyncio.Task[Literal[True]]] = [listening, listing, leaving]
        tasks += [following, logging_level]
        try:
            await asyncio.wait((listing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not listing.done():
                return
            try:
                await listing
            except MCPError:
                self._note_loss()
                raise
            tasks.append(asyncio.create_task(self._relist_after_changes()))
            if self._spec.heartbeat:
                tasks.append(
                    asyncio.create_task(self._watch(client), name=f"heartbeat of {self._spec.name}")
                )
            await leaving
        finally:
            self._client = None
            self._responder.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, client: Client) -> None:
        """Send heartbeats; end the connection when too many are missed."""
        program = not self.transport.web
        ping = Ping(client, program=program)

        async def send() -> None:
            try:
                await ping.send()
            except MCPError as error:
                if self._note_loss():
                    return
                if error.code in _NO_ANSWER or error.message in STAND_INS:
                    failure = self.transport.failure()
                    raise HeartbeatMissed(failure.what if failure else "") from error
            except (ValidationError, ValueError, RuntimeError) as error:
                _log.info("%s answered a heartbeat oddly: %s", self._spec.name, error)

        # A stopped program may continue, and a restart would lose its state; a silent host is reached again
        # over another socket.
        await Heartbeat(
            send, lambda: self._tap.quiet, self._on_heartbeat, self._spec.heartbeat, endless=program
        ).run()
        self._lost = ConnectionFailure("did not answer two heartbeats in a row", "Omni TUI reconnects it.")
        self.leave()

    async def _list(self, client: Client) -> None:
        async with self._listing_lock:
            listing = await list_all(client, self._tap, self._spec.name, self._spec.list_timeout)
            for left_out in listing.left_out:
                self._server_log.note(f"not used: {left_out}")
            if self._note_loss():
                raise CallError("the connection was cut while listing", sent=False)
            if self._spec.tasks and self.era == "legacy":
                self._calls.only_as_task = only_as_tasks(client, listing.tools)
            if not self._leaving.is_set():
                self._client = client
                self._on_listing(listing)

    async def _on_message(self, message: object) -> None:
        if is_list_change(message):
            self._lists_changed.set()
        elif isinstance(message, types.ResourceUpdatedNotification):
            self.subscriptions.updated(message.params.uri)
        elif isinstance(message, types.ElicitCompleteNotification):
            self._server_log.note("says that a page it asked to be visited is done")

    async def _on_log(self, params: types.LoggingMessageNotificationParams) -> None:
        self._server_log.note_message(params.level, params.logger or "", params.data)


async def set_log_level(client: Client, spec: ServerSpec) -> None:
    """Ask for logging messages (handshake versions); a refusal is only logged.

    The stateless version has no such request: there the level goes with every request.
    """
    modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
    if modern or spec.log_level == "off" or client.server_capabilities.logging is None:
        return
    request = types.SetLevelRequest(params=types.SetLevelRequestParams(level=spec.log_level))
    try:
        async with asyncio.timeout(spec.list_timeout):
            await client.session.send_request(request, types.EmptyResult)
    except (TimeoutError, MCPError, ValidationError, RuntimeError, ValueError) as error:
        _log.info("%s does not take a level for its log: %s", spec.name, error)


def _invalid_fields(error: ValidationError) -> SafeText:
    """Say which fields of a message are invalid, without the validator's own words."""
    found: dict[str, None] = {}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in fault["loc"]) or "it"
        found[f"{where} is {'missing' if fault['type'] == 'missing' else 'of the wrong kind'}"] = None
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return safe_line(", ".join(list(found)[:3]) + more, limit=300)
