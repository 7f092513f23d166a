"""One call on the wire: its frame, the rounds in which the server asks for input, and how it failed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.base import CHECK_FIRST, CallError, Dispatch, DispatchRefused, RawResult, TokenRenewed
from omni_tui.servers.call_results import (
    CONNECTION_CUT,
    MAX_ROUNDS,
    ProgressFn,
    ProgressThrottle,
    refused_call_error,
    result_of,
)
from omni_tui.servers.listener import ServerListener
from omni_tui.servers.server_request_responder import ServerRequestResponder, requested_methods
from omni_tui.servers.tap import InFlightCall, Tap
from omni_tui.servers.task_client import AS_TASK, raise_if_task
from omni_tui.servers.timeouts import HARD_CAP_S, PausableTimeout, RequestTimeouts
from omni_tui.servers.transports.base import Transport

if TYPE_CHECKING:
    from omni_tui.servers.auth.bearer_auth import BearerAuth

_log = logging.getLogger(__name__)
_FAILURES = (MCPError, ValidationError, RuntimeError, ValueError, OSError, anyio.BrokenResourceError)
_STALE_CODES = (types.HEADER_MISMATCH, types.METHOD_NOT_FOUND, types.INVALID_PARAMS)


@dataclass(slots=True)
class CallContext:
    """What the calls of one connection share. `modern` and `only_as_task` are known once it is connected.

    `note_loss` gives the connection up where the server forgot us; `stale` has it listed again.
    """

    spec: ServerSpec
    tap: Tap
    transport: Transport
    bearer_auth: BearerAuth | None
    responder: ServerRequestResponder
    timeouts: RequestTimeouts
    listener: ServerListener
    note_loss: Callable[[], bool]
    stale: Callable[[], None]
    modern: bool = False
    only_as_task: frozenset[str] = frozenset()


class DispatchedCall:
    """One dispatched call, from its first frame to its result."""

    def __init__(
        self,
        context: CallContext,
        client: Client,
        dispatch: Dispatch,
        timeout: float,
        on_progress: ProgressFn | None,
    ) -> None:
        self._context = context
        self._client = client
        self._dispatch = dispatch
        self._report = ProgressThrottle(on_progress) if on_progress else None
        self._timeout = PausableTimeout(timeout, HARD_CAP_S)
        self._inputs: dict[str, Any] = {}
        self._state: str | None = None

    async def run(self) -> RawResult:
        """Send it, answer what the server asks, and return its result; see `Connection.call_tool`.

        The first frame is sent once: a further attempt is the gate's to make. A frame with answers whose
        token was refused, as after a long time of asking, is sent again once, so that nothing is asked
        twice.
        """
        context, repeated = self._context, False
        with context.tap.open(self._dispatch) as call:
            while True:
                try:
                    answer = await self._frame(call)
                except TokenRenewed as refused:
                    if not call.rounds:
                        raise
                    if repeated:
                        raise CallError(str(refused), sent=True, answered=True) from None
                    repeated = True
                    context.tap.repeat(call)
                    await context.listener.input_round(self._dispatch, call.rounds, ())
                    continue
                if context.modern and answer.get("resultType") == "input_required":
                    repeated = False
                    await self._answer(call, answer)
                    continue
                augmented = self._dispatch.tool in context.only_as_task
                asked = context.spec.tasks if context.modern else augmented
                raise_if_task(answer, modern=context.modern, asked=asked)
                return result_of(answer)

    async def _answer(self, call: InFlightCall, answer: dict[str, Any]) -> None:
        """Have the person answer what a result asks for, and record that the call continues."""
        number = call.rounds + 1
        if number > MAX_ROUNDS:
            what = f"the server asked for input more than {MAX_ROUNDS} times; the call was not continued"
            raise CallError(what, sent=True, answered=True)
        requests, state = answer.get("inputRequests"), answer.get("requestState")
        if not isinstance(state, str | None) or not (requests or state is not None):
            raise CallError("the server asks for input and does not say for which", sent=True)
        inputs: dict[str, Any] = {}
        if requests:
            inputs = await self._context.responder.inputs(requests, self._dispatch.call)
        else:
            await asyncio.sleep(min(0.05 * 2**call.rounds, 2.0))
        self._context.tap.again(call)
        await self._context.listener.input_round(self._dispatch, number, requested_methods(requests))
        self._inputs, self._state = inputs, state

    async def _frame(self, call: InFlightCall) -> dict[str, Any]:
        """Send one frame exactly as approved, and return the answer, which the tap takes off the wire."""
        try:
            request = self._request()
            async with self._context.timeouts.limit(self._timeout):
                await self._client.session.send_request(
                    request, types.CallToolResult, progress_callback=self._progressed
                )
        except TimeoutError as error:
            raise self._timed_out(call) from error
        except DispatchRefused:
            raise
        except _FAILURES as error:
            if call.answer is None:
                raise self._failed(call, error) from error
        finally:
            if self._report is not None:
                self._report.flush()
        if call.answer is None:
            raise CallError(CONNECTION_CUT, sent=True)
        return call.answer

    def _request(self) -> types.CallToolRequest:
        try:
            arguments = json.loads(self._dispatch.arguments)
        except ValueError as error:
            raise DispatchRefused("the approved arguments are no JSON") from error
        if not isinstance(arguments, dict):
            raise DispatchRefused("the approved arguments are no JSON object")
        return types.CallToolRequest(
            params=types.CallToolRequestParams(
                name=self._dispatch.tool,
                arguments=arguments,
                input_responses=self._inputs or None,
                request_state=self._state,
                task=AS_TASK if self._dispatch.tool in self._context.only_as_task else None,
            )
        )

    async def _progressed(self, progress: float, total: float | None, message: str | None) -> None:
        self._timeout.alive()
        if self._report is not None:
            self._report(progress, total, message)

    # --- how it failed --------------------------------------------------------------------------

    def _timed_out(self, call: InFlightCall) -> CallError:
        idle = f"{self._timeout.idle:g} s"
        if not call.passed and not call.rounds:
            return CallError(f"could not be sent within {idle}", sent=False)
        silence = f"no answer and no progress for {idle}"
        if self._timeout.capped:
            silence = f"it ran for more than {HARD_CAP_S / 60:.0f} minutes"
        what = f"{silence}; it was cancelled, but may or may not have run"
        return CallError(what, sent=True, todo=CHECK_FIRST)

    def _failed(self, call: InFlightCall, error: Exception) -> CallError:
        """Return the error for a frame that got no result."""
        context = self._context
        if call.unsent or not call.passed:
            failure = context.transport.failure()
            what = failure.what if failure else "the connection is closed"
            return CallError(what, sent=call.rounds > 0)
        if call.session_lost:
            context.note_loss()
            what = "the server has forgotten this session, as after a restart; nothing was run"
            todo = "It is reconnected; call again then."
            return CallError(what, sent=True, answered=True, todo=todo, refused=True)
        if call.refusal is None:
            if not isinstance(error, MCPError):
                _log.warning("a call of %s failed in the SDK: %r", context.spec.name, error)
            return CallError(CONNECTION_CUT, sent=True, todo=CHECK_FIRST)
        if call.renewed:
            return TokenRenewed(call.status)
        if context.bearer_auth is not None and call.status in (401, 403):
            refused = context.bearer_auth.refusal_failure()
            if refused is not None:
                return CallError(refused.what, sent=True, answered=True, todo=refused.todo)
        code = call.refusal.error.code
        if code in _STALE_CODES:
            context.stale()
        refusal = refused_call_error(call, http=context.transport.web)
        if code == types.URL_ELICITATION_REQUIRED:
            refusal.todo = context.responder.ask_to_visit(call.refusal.error, self._dispatch.call)
        return refusal
