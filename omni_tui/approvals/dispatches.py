"""What may be on the wire now: grants that were used in the journal, and their dispatches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from omni_tui.approvals.grants import Grant, GrantRefused, PolicyTightened
from omni_tui.approvals.pending import PendingCall
from omni_tui.memory import CallMoved, GrantSpent, Journal, Transaction, call_table
from omni_tui.protocol.events import CallChanged, CallRound, CallState
from omni_tui.security.text import safe, safe_line
from omni_tui.servers.base import Dispatch


class Dispatches:
    """The open dispatches of one gate. The tap asks here before it lets a frame through."""

    def __init__(self, journal: Journal, permits: Callable[[PendingCall], bool]) -> None:
        """`permits` tells whether the policy of this moment still lets an approved call go."""
        self._journal = journal
        self._permits = permits
        self._open: set[Dispatch] = set()

    def __contains__(self, dispatch: object) -> bool:
        """Whether this very dispatch came from a redeemed grant and is not over."""
        return dispatch in self._open

    def at(self, server: str) -> bool:
        """Whether something may be on the wire to a server."""
        return any(dispatch.server == server for dispatch in self._open)

    def close(self, dispatch: Dispatch) -> None:
        """Let nothing more be sent under a dispatch. Its call may still run as a task at its server."""
        self._open.discard(dispatch)

    async def redeem(self, item: PendingCall, grant: Grant) -> Dispatch:
        """Journal `dispatching` and return what may be sent; see `Gate.redeem`."""
        writing = asyncio.ensure_future(self._consumed(item, grant))
        try:
            arguments = await asyncio.shield(writing)
        except asyncio.CancelledError:
            ending = asyncio.ensure_future(self._give_back(item, writing))
            while not ending.done():  # cancelled again, it still ends
                try:
                    await asyncio.shield(ending)
                except asyncio.CancelledError:
                    continue
            raise
        dispatch = Dispatch(grant.call, grant.attempt, item.row.server, item.row.tool, arguments)
        self._open.add(dispatch)
        return dispatch

    async def _consumed(self, item: PendingCall, grant: Grant) -> bytes:
        def consume(tx: Transaction) -> bytes:
            if item.written:
                call_table.move(tx, grant.call, "approved", expect=("approved",), nonce=grant.nonce)
            else:
                call_table.insert(tx, item.row)
            bound = grant.server_fp, grant.def_hash, grant.args_hash
            return call_table.consume(tx, grant.call, grant.attempt, grant.nonce, *bound)

        event = CallChanged(
            call=grant.call, state="dispatching", decider=item.row.decider, attempt=grant.attempt
        )
        # Nothing may come between this look and the place of the write in the journal: what tightens is
        # journalled too, and what stands behind it there must be allowed by it.
        if not self._permits(item):
            raise PolicyTightened("the mode or the rules became stricter meanwhile")
        try:
            arguments = await self._journal.commit(*item.unwritten, event, change=consume)
        except (GrantSpent, CallMoved) as error:
            raise GrantRefused(str(error)) from None
        if arguments is None:
            raise GrantRefused("the journal gave no arguments")
        item.row = replace(item.row, state="dispatching")
        item.written, item.unwritten = True, ()
        return arguments

    async def _give_back(self, item: PendingCall, writing: asyncio.Future[bytes]) -> None:
        """Wait for the write, and end the call if it succeeded. Raises what the journal raises."""
        await asyncio.wait([writing])
        if writing.cancelled() or writing.exception() is not None:
            return
        state: CallState = "uncertain" if item.may_have_run else "cancelled"
        reason = "cancelled before anything was sent"
        if item.may_have_run:
            reason = "cancelled before it was sent again; the attempt before may have run"
        event = CallChanged(
            call=item.row.call,
            state=state,
            decider="stop",
            reason=safe(reason),
            attempt=item.row.attempt,
        )
        await self._journal.commit(
            event,
            change=lambda tx: call_table.move(tx, item.row.call, state, expect=("dispatching",)),
        )
        item.row = replace(item.row, state=state)

    async def next_round(self, dispatch: Dispatch, number: int, asked: tuple[str, ...]) -> None:
        """Journal a further round of a dispatch. Raises `GrantRefused` for one that is over."""
        if dispatch not in self._open:
            raise GrantRefused("this call is over")
        await self._journal.commit(
            CallRound(
                call=dispatch.call,
                round=number,
                asked=tuple(safe_line(method, limit=80) for method in asked),
                attempt=dispatch.attempt,
            )
        )
