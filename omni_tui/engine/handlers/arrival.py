"""What a client is sent when it arrives: who the engine is, the state of everything, the journal."""

from __future__ import annotations

import time

from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.engine.handlers.prompts_and_resources import subscriptions_event
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import ConfigProblems, ReplayDone

_PAGE = 500
_ASKS_WITHIN_S = 1.0
"""Seconds in which a client should ask for a session's events; after that they are sent unasked."""


class ArrivalHandlers(Handlers):
    """Hello and replay. Both answer with events instead of a reply."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {c.Hello: self._hello, c.Replay: self._replay}

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
        await replay(self._engine, self._client, command.cursor, command.request)
        for notice in (*self._engine.notices, *session.notices):
            outbox.offer(notice)

    async def _replay(self, command: c.Replay) -> None:
        await replay(self._engine, self._client, command.after, command.request)


async def caught_up(engine: Engine, client: Client) -> None:
    """Return when a client has its whole session; a client that does not ask for it gets it unasked.

    Nothing is begun for a client that would not show it.
    """
    while not await client.outbox.told(_ASKS_WITHIN_S):
        await replay(engine, client, 0, 0)


async def replay(engine: Engine, client: Client, after: int, request: int) -> None:
    """Send the journalled events after a cursor; from then on they come as they happen."""
    outbox = client.outbox
    async with outbox.replay:
        outbox.begin_replay()
        session = engine.session(client)
        while (page := await session.journal.read(after, _PAGE)) or outbox.skipped > after:
            await outbox.room()
            if client.session != session.journal.session:
                return  # it follows another session by now, and asks for that one's events
            for event in page:
                outbox.replayed(event)
            after = page[-1].seq if page else outbox.skipped
        outbox.end_replay(after)
        outbox.replayed(ReplayDone(request=request, head=after))
