"""What a client is sent when it arrives: who the engine is, the state of everything, the journal."""

from __future__ import annotations

import asyncio
import contextlib
import time

from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.handlers.base import Handlers
from omni_tui.engine.handlers.prompts_and_resources import subscriptions_event
from omni_tui.engine.live_session import LiveSession
from omni_tui.protocol import UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import ConfigProblems, EarlierLeftOut, ReplayDone

_PAGE = 500
_NEAR = 1_000
"""Events before the end of a journal in which a message is looked for to begin with."""
_ASKS_WITHIN_S = 1.0
"""Seconds in which a client should ask for a session's events; after that they are sent unasked."""


class ArrivalHandlers(Handlers):
    """Hello and replay. Both answer with events instead of a reply."""

    async def _hello(self, command: c.Hello) -> None:
        context, session, outbox = self._context, self._session, self._client.outbox
        outbox.offer(session.ready())
        outbox.offer(context.models.spending(session.budget))
        if context.loaded.serious:
            outbox.offer(ConfigProblems(problems=context.loaded.serious, ts=time.time()))
        for server in self._engine.servers.states():
            outbox.offer(server)
        for sign_in in context.registry.sign_ins.snapshot():
            outbox.offer(sign_in)
        for name in context.catalogue.servers():
            for page in context.catalogue.pages(name):
                outbox.offer(page)
        for name in context.prompts_and_resources.servers():
            for lists in context.prompts_and_resources.pages(name):
                outbox.offer(lists)
            outbox.offer(subscriptions_event(context, name))
        if (carried := session.runner.memo.context) is not None:
            outbox.offer(carried)
        await replay(self._engine, self._client, command.cursor, command.request, tail=command.tail)
        for notice in (*self._engine.notices, *session.notices, *session.memory.state()):
            outbox.offer(notice)

    async def _replay(self, command: c.Replay) -> None:
        await replay(self._engine, self._client, command.after, command.request, tail=command.tail)


async def caught_up(engine: Engine, client: Client) -> None:
    """Return when a client has its whole session; a client that does not ask for it gets it unasked.

    Nothing is begun for a client that would not show it. Raises `UserError` if it follows another session
    by then.
    """
    session, whole = client.session, client.outbox.caught_up
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(whole.wait(), _ASKS_WITHIN_S)
        if whole.is_set():
            break
        await replay(engine, client, 0, 0)
    if client.session != session:
        raise UserError("another session was opened meanwhile; nothing was sent")


async def replay(engine: Engine, client: Client, after: int, request: int, *, tail: int = 0) -> None:
    """Send the journalled events after a cursor; from then on they come as they happen.

    `tail` as in the command `Replay`.
    """
    outbox = client.outbox
    async with outbox.replay:
        outbox.begin_replay()
        session = engine.session(client)
        begins = await _begin_of_tail(session, after, tail)
        if begins:
            for event in await session.journal.read_these(session.feed.fold.counting(begins)):
                if event.seq > after:
                    outbox.replayed(event)
            client.tell(_left_out(session, begins))
            after = begins - 1
        while True:
            skipped = outbox.skipped
            page = await session.journal.read(after, _PAGE)
            if not page and outbox.skipped == skipped:
                break  # what was left to this replay before the read was on disk by then
            await outbox.room()
            if client.session != session.journal.session:
                return  # it follows another session by now, and asks for that one's events
            for event in page:
                outbox.replayed(event)
                after = event.seq
        if client.session != session.journal.session:
            return
        after = max(after, outbox.skipped)
        outbox.end_replay(after)
        if begins:
            client.tell(_left_out(session, begins))
        outbox.replayed(ReplayDone(request=request, head=after))


async def _begin_of_tail(session: LiveSession, after: int, tail: int) -> int:
    """Return the number of the first event of the end of a journal, 0 if all after a cursor is sent.

    It begins with a message of the person, or with the turn that runs, if they are near.
    """
    fold = session.feed.fold
    begins = fold.seq - tail
    if not tail or begins - after <= tail:  # it is not worth while
        return 0
    running = [turn.seq for turn in fold.turns.values() if not turn.over]
    begins = max(begins - tail, min([begins, *running]))
    near = (begins - _NEAR, begins)
    (found,) = await session.journal.run(
        lambda tx: tx.execute(
            "SELECT max(seq) FROM events WHERE seq > ? AND seq <= ? AND type = 'user_message'", near
        ).fetchone()
    )
    return int(found or begins)


def _left_out(session: LiveSession, begins: int) -> EarlierLeftOut:
    spent = session.feed.fold.spent
    return EarlierLeftOut(
        begins=begins,
        tokens=spent.tokens,
        cost=spent.cost if spent.cost or not spent.unpriced else None,
        estimated=spent.estimated,
        unpriced=spent.unpriced > 0,
    )
