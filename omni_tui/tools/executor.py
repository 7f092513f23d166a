"""The only place from which a tool call leaves the process. It takes a grant and nothing else.

The gate turns the grant into a dispatch (journalled, exact bytes); the tap of the connection lets one
frame with those bytes through. The result ends that attempt. A further attempt, with its own number and
grant, is made only if surely nothing ran or if the tool may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor as Pool
from dataclasses import dataclass
from typing import Literal

from omni_tui.approvals.gate import Gate
from omni_tui.approvals.grants import Grant, PolicyTightened
from omni_tui.memory import JournalBroken
from omni_tui.models.attachments import images_in
from omni_tui.models.base import Image
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.calls import AttemptFailed, AttemptRefused
from omni_tui.protocol.events import CallChanged, CallFinished, CallState, ContentPart
from omni_tui.security.schema_checker import SMALL, BadSchema, SchemaChecker
from omni_tui.security.text import safe
from omni_tui.servers import Connection, ServerRegistry
from omni_tui.servers.base import CallError, Dispatch, DispatchRefused, RawResult, TokenRenewed
from omni_tui.servers.task_types import ServerTask, TaskStarted
from omni_tui.tools.call_retries import CallRetries
from omni_tui.tools.catalogue import Catalogue
from omni_tui.tools.result_cache import CacheMark, ResultCache
from omni_tui.tools.results import encode_result, model_text, previews

logger = logging.getLogger(__name__)

MAX_CHECKED = 8 * 1024 * 1024
"""Results larger than this (bytes) are not checked against their output schema; it is said."""
MAX_REASON = 5_000
"""Characters of the reason of a failure that are journalled: all that the model is told of it."""

EndState = Literal["succeeded", "failed", "result_rejected"]
_FEW = 4
_HELD = "It waits for an approval."

ProgressCallback = Callable[[float, float | None, str], None]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How an attempt ended: its state, words for the model, and the reason of a failure.

    `call` is the call whose whole result the journal keeps, "" if there is none.
    """

    state: CallState
    text: str
    reason: str = ""
    call: str = ""
    did_not_run: bool = False
    """Whether the tool surely did not run, where the call failed."""
    note: str = ""
    """The host's word about it for the model."""
    images: tuple[Image, ...] = ()
    """The pictures of a result, for a model that takes them."""


class CallBecameTask(Exception):
    """A call was sent and now runs as a task at its server. Its outcome is not known yet."""

    def __init__(self, dispatch: Dispatch, task: ServerTask) -> None:
        super().__init__(f"call {dispatch.call} goes on as a task")
        self.dispatch = dispatch
        self.task = task


class ToolExecutor:
    """Executes granted calls.

    `back` waits until a tool's server that reconnects is there again; a further attempt waits for it.
    """

    def __init__(
        self,
        gate: Gate,
        schemas: SchemaChecker,
        pool: Pool,
        registry: ServerRegistry,
        catalogue: Catalogue,
        cache: ResultCache,
        back: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._gate = gate
        self._schemas = schemas
        self._pool = pool
        self._registry = registry
        self._catalogue = catalogue
        self._cache = cache
        self._back = back

    async def execute(
        self,
        grant: Grant,
        *,
        timeout: float,
        on_progress: ProgressCallback | None = None,
        retries: CallRetries,
    ) -> CallOutcome:
        """Redeem a grant, send its call, and journal how it ended. Raises `GrantRefused`.

        Raises `CallBecameTask` where the call goes on as a task: it has not ended then. "held" is no end:
        the tool or the policy has changed, and the call waits for the person again.

        Cancelling this task cancels the call at the server. What it did by then is unknown, and is
        journalled as such before the cancellation goes on.
        """
        while True:
            if (dispatch := await self._redeemed(grant)) is None:
                return CallOutcome("held", _HELD)
            started = time.perf_counter()
            mark = self._cache.began(self._gate.row(dispatch.call))
            try:
                result = await self._connection(dispatch).call_tool(
                    dispatch, timeout=timeout, on_progress=on_progress
                )
            except CallError as raised:
                error = raised
            except TaskStarted as began:
                raise CallBecameTask(dispatch, began.task) from None
            except DispatchRefused as refused:
                logger.error("the tap refused %s › %s: %s", dispatch.server, dispatch.tool, refused)
                unsent = CallError(str(refused), sent=False)
                return await asyncio.shield(self._failed(dispatch, unsent, started))
            except asyncio.CancelledError:
                await asyncio.shield(self._cut(dispatch, "it was cancelled while it ran"))
                raise
            except Exception:
                logger.exception("a call of %s › %s broke", dispatch.server, dispatch.tool)
                await self._cut(dispatch, "something went wrong inside Omni TUI; the log has the details")
                return _unknown("an internal error")
            else:
                return await asyncio.shield(self._answered(dispatch, result, started, mark))
            if (ended := await self._after(dispatch, error, started, retries)) is not None:
                return ended
            grant = self._gate.grant(dispatch.call)

    async def _redeemed(self, grant: Grant) -> Dispatch | None:
        """Use a grant up; None if the policy became stricter just now, and its call waits again."""
        try:
            return await self._gate.redeem(grant)
        except PolicyTightened:
            if not await asyncio.shield(self._gate.still_allowed(grant.call)):
                return None
        # It was loosened again at this very moment, or a result that came just then is compared by now.
        return await self._gate.redeem(self._gate.grant(grant.call))

    def _connection(self, dispatch: Dispatch) -> Connection:
        try:
            return self._registry.get(dispatch.server)
        except KeyError:
            raise CallError("the server is gone", sent=False) from None

    async def settle(self, dispatch: Dispatch, end: RawResult | CallError, began: float) -> CallOutcome:
        """Journal how a call ended that ran as a task. `began` is a value of `time.perf_counter`."""
        if isinstance(end, CallError):
            return await self._failed(dispatch, end, began)
        return await self._answered(dispatch, end, began)

    async def _after(
        self, dispatch: Dispatch, error: CallError, started: float, retries: CallRetries
    ) -> CallOutcome | None:
        """Prepare a further attempt after a pause, or return the outcome if there is none."""
        token = isinstance(error, TokenRenewed)
        most = 0 if token else retries.after(error)
        if not (token or most):
            return await asyncio.shield(self._failed(dispatch, error, started))
        elapsed = (time.perf_counter() - started) * 1000
        of = dispatch.attempt + most - retries.made
        if most:
            try:
                await retries.wait(dispatch.attempt, most, error.what)
                await self._back(dispatch.server, dispatch.tool)
            except asyncio.CancelledError:
                await asyncio.shield(self._stopped(dispatch, error))
                raise
        event: AttemptRefused | AttemptFailed
        if isinstance(error, TokenRenewed):
            event = AttemptRefused(
                call=dispatch.call,
                attempt=dispatch.attempt,
                status=error.status,
                elapsed_ms=elapsed,
                reason=safe(error.what),
            )
        else:
            event = AttemptFailed(
                call=dispatch.call,
                attempt=dispatch.attempt,
                of=of,
                cut=not error.did_not_run,
                elapsed_ms=elapsed,
                reason=safe(error.what, limit=1000),
            )
        return await self._again(dispatch, error, event, started)

    async def _again(
        self, dispatch: Dispatch, error: CallError, event: AttemptRefused | AttemptFailed, started: float
    ) -> CallOutcome | None:
        """Ask the gate for a further attempt; return the outcome if none can be sent now.

        If cancelled meanwhile, nothing of this attempt ran: the call ends as cancelled, or as uncertain if
        one before may have run.
        """
        step = asyncio.ensure_future(self._next(dispatch, error, event, started))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            before = "" if self._surely_unrun(dispatch, error) else "; the attempt before may have run"
            reason = f"cancelled before it was sent again{before}"
            await asyncio.shield(self._gate.withdraw(dispatch.call, decider="stop", reason=reason))
            raise

    async def _next(
        self, dispatch: Dispatch, error: CallError, event: AttemptRefused | AttemptFailed, started: float
    ) -> CallOutcome | None:
        try:
            if await self._gate.again(dispatch, event):
                return None
        except UserError:
            return await self._failed(dispatch, error, started)
        except JournalBroken as broken:
            return _unwritten(error.what, broken, ran=not self._surely_unrun(dispatch, error))
        return CallOutcome("held", _HELD, error.what)

    def _surely_unrun(self, dispatch: Dispatch, error: CallError) -> bool:
        """Whether neither the attempt that failed nor one before it can have run."""
        item = self._gate.item(dispatch.call)
        return error.did_not_run and not (item is not None and item.may_have_run)

    async def _stopped(self, dispatch: Dispatch, error: CallError) -> None:
        """Journal the end of a call that was cancelled while it waited for its next attempt."""
        if not self._surely_unrun(dispatch, error):
            await self._cut(dispatch, f"{error.what}; it was not tried again, because it was cancelled")
            return
        reason = f"cancelled before it was tried again; nothing ran: {error.what}"
        event = CallChanged(
            call=dispatch.call,
            state="cancelled",
            decider="stop",
            reason=safe(reason, limit=1000),
            attempt=dispatch.attempt,
        )
        await self._finish(dispatch, event, "cancelled", b"")

    async def _answered(
        self, dispatch: Dispatch, result: RawResult, started: float, mark: CacheMark | None = None
    ) -> CallOutcome:
        elapsed = (time.perf_counter() - started) * 1000
        if _is_small(result):
            stored, parts, text, images = _digest_result(result)
        else:
            loop = asyncio.get_running_loop()
            stored, parts, text, images = await loop.run_in_executor(self._pool, _digest_result, result)
        state: EndState = "failed" if result.is_error else "succeeded"
        reason = "" if result.is_error else await self._check(dispatch, result, len(stored))
        if reason:
            state = "result_rejected"
        event = CallFinished(
            call=dispatch.call,
            state=state,
            parts=parts,
            elapsed_ms=elapsed,
            size=len(stored),
            reason=safe(reason, limit=1000),
            attempt=dispatch.attempt,
        )
        if (broken := await self._finish(dispatch, event, state, stored)) is not None:
            return _unwritten(f"it ended as {state}", broken, ran=True)
        if state != "succeeded":
            return CallOutcome(state, text, reason, dispatch.call)
        self._cache.keep(mark, stored, parts, text)
        return CallOutcome(state, text, reason, dispatch.call, images=images)

    async def _check(self, dispatch: Dispatch, result: RawResult, size: int) -> str:
        """Return why a result does not fit the output schema of its tool, "" if it does."""
        tool = self._catalogue.get(dispatch.server, dispatch.tool)
        if tool is None or tool.definition.output_schema is None:
            return ""
        if not result.has_structured:
            return "the tool promises structured content and gave none"
        if size > MAX_CHECKED:
            logger.info("a result of %d bytes was not checked against its schema", size)
            return ""
        try:
            wrong = await self._schemas.check(
                tool.def_hash + "/out", tool.definition.output_schema, result.structured, size=size
            )
        except BadSchema as error:
            logger.info("output schema of %s › %s: %s", dispatch.server, dispatch.tool, error)
            return ""
        return f"the result breaks the tool's own schema: {wrong[0].what}" if wrong else ""

    async def _failed(self, dispatch: Dispatch, error: CallError, started: float) -> CallOutcome:
        if error.sent and not error.answered:
            await self._cut(dispatch, error.what)
            return _unknown(error.what)
        if error.did_not_run and not self._surely_unrun(dispatch, error):
            reason = f"{error.what}; an attempt before may have run"
            await self._cut(dispatch, reason)
            return _unknown(reason)
        event = CallFinished(
            call=dispatch.call,
            state="failed",
            parts=(),
            elapsed_ms=(time.perf_counter() - started) * 1000,
            size=0,
            reason=safe(error.what, limit=MAX_REASON),
            attempt=dispatch.attempt,
        )
        broken = await self._finish(dispatch, event, "failed", b"")
        if broken is not None and not error.did_not_run:
            return _unwritten("the server refused it", broken, ran=True)
        sent = "The server refused the call" if error.answered else "Nothing was sent"
        return CallOutcome("failed", f"{sent}: {error.what}", error.what, did_not_run=error.did_not_run)

    async def _cut(self, dispatch: Dispatch, reason: str) -> None:
        event: AnyEvent = CallChanged(
            call=dispatch.call,
            state="uncertain",
            decider="cut",
            reason=safe(reason, limit=MAX_REASON),
            attempt=dispatch.attempt,
        )
        await self._finish(dispatch, event, "uncertain", b"")

    async def _finish(
        self, dispatch: Dispatch, event: AnyEvent, state: CallState, stored: bytes
    ) -> JournalBroken | None:
        """Journal the end of a call. Return the error if that failed; the call has ended nevertheless."""
        try:
            await self._gate.finish(dispatch, event, state, stored)
        except JournalBroken as error:
            logger.error("the end of call %s (%s) could not be written: %s", dispatch.call, state, error)
            return error
        finally:
            self._cache.touched(dispatch.server, dispatch.tool)
        return None


def _unwritten(how: str, error: JournalBroken, *, ran: bool) -> CallOutcome:
    """Return the outcome of a sent call whose end is not on disk: after a restart it counts as unknown."""
    ends = "do not repeat it" if ran else "nothing of it ran"
    text = f"The call was sent ({how}), but its end could not be written down: {error}; {ends}."
    return CallOutcome("uncertain", text, str(error))


def _unknown(reason: str) -> CallOutcome:
    text = (
        f"Outcome unknown: {reason}. The call may or may not have run. "
        "Check with a tool that only reads; do not repeat it."
    )
    return CallOutcome("uncertain", text, reason)


def _is_small(result: RawResult) -> bool:
    """Whether reading a result is faster than handing it to a thread."""
    if result.has_structured or len(result.content) > _FEW:
        return False
    return all(len(str(block.get("text", ""))) <= SMALL and "data" not in block for block in result.content)


def _digest_result(
    result: RawResult,
) -> tuple[bytes, tuple[ContentPart, ...], str, tuple[Image, ...]]:
    return encode_result(result), previews(result), model_text(result), images_in(result.content)
