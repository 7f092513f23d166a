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
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.base import CallError, Dispatch, DispatchRefused, RawResult, TokenRenewed
from omni_tui.servers.call_results import (
    CONNECTION_CUT,
    MAX_ROUNDS,
    InputResponses,
    ProgressFn,
    ProgressThrottle,
    refused_call_error,
    result_of,
    session_lost_error,
)
from omni_tui.servers.listener import ServerListener
from omni_tui.servers.server_request_responder import ServerRequestResponder, requested_methods
from omni_tui.servers.tap import InFlightCall, Tap
from omni_tui.servers.task_client import augmentation, raise_if_task
from omni_tui.servers.timeouts import HARD_CAP_S, PausableTimeout, RequestTimeouts
from omni_tui.servers.transports.factory import Transport

if TYPE_CHECKING:
    from mcp.client.client import Client

    from omni_tui.servers.auth.bearer_auth import BearerAuth

_log = logging.getLogger(__name__)
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
        line: CallContext,
        client: Client,
        dispatch: Dispatch,
        timeout: float,
        on_progress: ProgressFn | None,
    ) -> None:
        self._line = line
        self._client = client
        self._dispatch = dispatch
        self._report = ProgressThrottle(on_progress) if on_progress else None
        self._patience = PausableTimeout(timeout, HARD_CAP_S)
        self._given = InputResponses()

    async def run(self) -> RawResult:
        """Send it, answer what the server asks, and return its result; see `Connection.call_tool`."""
        line = self._line
        with line.tap.open(self._dispatch) as opening:
            while True:
                answer = await self._round(opening)
                if line.modern and answer.get("resultType") == "input_required":
                    await self._asked(opening, answer)
                    continue
                asked = line.spec.tasks if line.modern else self._dispatch.tool in line.only_as_task
                raise_if_task(answer, modern=line.modern, asked=asked)
                return result_of(answer)

    async def _round(self, opening: InFlightCall) -> dict[str, Any]:
        """Send one frame and return its answer.

        A frame with answers whose token was refused, as after a long time of asking, is sent again
        once: the round before has not to be asked again. The first frame is the gate's to repeat.
        """
        try:
            return await self._frame(opening)
        except TokenRenewed:
            if not opening.rounds:
                raise
        self._line.tap.repeat(opening)
        await self._line.listener.input_round(self._dispatch, opening.rounds, ())
        try:
            return await self._frame(opening)
        except TokenRenewed as refused:  # not the gate's to repeat: it would begin with the first frame
            raise CallError(str(refused), sent=True, answered=True) from None

    async def _asked(self, opening: InFlightCall, answer: dict[str, Any]) -> None:
        """Have the person answer what a result asks for, and write down that the call goes on."""
        number = opening.rounds + 1
        if number > MAX_ROUNDS:
            what = f"the server asked for input more than {MAX_ROUNDS} times; the call was not gone on with"
            raise CallError(what, sent=True, answered=True)
        requests, state = answer.get("inputRequests"), answer.get("requestState")
        if not isinstance(state, str | None) or not (requests or state is not None):
            raise CallError("the server asks for input and does not say for which", sent=True)
        inputs: dict[str, Any] = {}
        if requests:
            inputs = await self._line.responder.inputs(requests, self._dispatch.call)
        else:
            await asyncio.sleep(min(0.05 * 2**opening.rounds, 2.0))
        self._line.tap.again(opening)
        await self._line.listener.input_round(self._dispatch, number, requested_methods(requests))
        self._given = InputResponses(inputs, state)

    async def _frame(self, opening: InFlightCall) -> dict[str, Any]:
        try:
            await self._send()
        except TimeoutError as error:
            raise self._silent(opening) from error
        except DispatchRefused:
            raise
        except (
            MCPError,
            ValidationError,
            RuntimeError,
            ValueError,
            OSError,
            anyio.BrokenResourceError,
        ) as error:
            if opening.answer is None:
                raise self._failed(opening, error) from error
        finally:
            if self._report is not None:
                self._report.flush()
        if opening.answer is None:
            raise CallError(CONNECTION_CUT, sent=True)
        return opening.answer

    async def _send(self) -> None:
        """Put the request on the wire as it is and wait for the answer, which the tap takes."""
        try:
            arguments = json.loads(self._dispatch.arguments)
        except ValueError as error:
            raise DispatchRefused("the approved arguments are no JSON") from error
        if not isinstance(arguments, dict):
            raise DispatchRefused("the approved arguments are no JSON object")
        request = types.CallToolRequest(
            params=types.CallToolRequestParams(
                name=self._dispatch.tool,
                arguments=arguments,
                input_responses=self._given.inputs or None,
                request_state=self._given.state,
                task=augmentation(self._dispatch, self._line.only_as_task),
            )
        )

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            self._patience.alive()
            if self._report is not None:
                self._report(progress, total, message)

        async with self._line.timeouts.limit(self._patience):
            await self._client.session.send_request(
                request, types.CallToolResult, progress_callback=progressed
            )

    # --- how it failed --------------------------------------------------------------------------

    def _silent(self, opening: InFlightCall) -> CallError:
        idle = f"{self._patience.idle:g} s"
        if not opening.passed and not opening.rounds:
            return CallError(f"could not be sent within {idle}", sent=False)
        silence = f"no answer and no progress for {idle}"
        if self._patience.capped:
            silence = f"it ran for more than {HARD_CAP_S / 60:.0f} minutes"
        what = f"{silence}; it was cancelled, but may or may not have run"
        return CallError(what, sent=True, todo="Check with the server before you call it again.")

    def _failed(self, opening: InFlightCall, error: Exception) -> CallError:
        """Return the error for a frame that got no result."""
        line = self._line
        if opening.unsent or not opening.passed:
            failure = line.transport.failure()
            what = failure.what if failure else "the connection is closed"
            return CallError(what, sent=opening.rounds > 0)
        if opening.forgotten:
            line.note_loss()
            return session_lost_error()
        if opening.refusal is None:
            if not isinstance(error, MCPError):
                _log.warning("a call of %s failed in the SDK: %r", line.spec.name, error)
            return CallError(
                CONNECTION_CUT, sent=True, todo="Check with the server before you call it again."
            )
        if opening.renewed:
            return TokenRenewed(opening.status)
        if line.bearer_auth is not None and opening.status in (401, 403):
            refused = line.bearer_auth.refusal_failure()
            if refused is not None:
                return CallError(refused.what, sent=True, answered=True, todo=refused.todo)
        code = opening.refusal.error.code
        if code in _STALE_CODES:
            line.stale()
        refusal = refused_call_error(opening, http=line.transport.web)
        if code == types.URL_ELICITATION_REQUIRED:
            refusal.todo = line.responder.ask_to_visit(opening.refusal.error, self._dispatch.call)
        return refusal
