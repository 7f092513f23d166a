"""What a face is told when it arrives: who the engine is, the state of everything, then the journal."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from omni_tui import __version__
from omni_tui.engine.fanout import EventBuffer
from omni_tui.engine.prompt_resource_handlers import subscriptions_event
from omni_tui.protocol.events import ConfigProblems, EngineReady, ReplayDone
from omni_tui.security.text import safe_line

if TYPE_CHECKING:
    from omni_tui.engine.core import Engine

_PAGE = 500
_ASKS_WITHIN_S = 1.0
"""How long a face has to ask for a session's events before they are sent to it unasked."""


def engine_ready(engine: Engine) -> EngineReady:
    """Say who an engine is and what it is set to."""
    session, paths = engine.session, engine.loaded.paths
    model = session.model()
    return EngineReady(
        version=__version__,
        pid=os.getpid(),
        session=session.journal.session,
        ts=time.time(),
        head=session.journal.head,
        log_path=engine.log_path,
        state_dir=str(paths.state_dir),
        config_path=str(paths.config_file),
        first_run=engine.loaded.first_run and not engine.registry.names(),
        encryption=safe_line(engine.vault.kind),
        mode=session.settings.mode,
        model=safe_line(model.name),
        model_label=safe_line(model.label),
        resumed=session.resumed,
        demo=engine.options.demo,
    )


async def welcome(engine: Engine, outbox: EventBuffer, cursor: int, request: int) -> None:
    """Tell a face the state of everything, then the journal after its cursor."""
    outbox.offer(engine_ready(engine))
    outbox.offer(engine.models.spending(engine.session.budget))
    if engine.loaded.serious:
        outbox.offer(ConfigProblems(problems=engine.loaded.serious, ts=time.time()))
    for server in engine.registry.snapshot():
        outbox.offer(engine.with_trust(server))
    for sign_in in engine.registry.sign_ins.snapshot():
        outbox.offer(sign_in)
    for name in engine.catalogue.servers():
        for page in engine.catalogue.pages(name):
            outbox.offer(page)
    for name in engine.shelf.servers():
        for offers in engine.shelf.pages(name):
            outbox.offer(offers)
        outbox.offer(subscriptions_event(engine, name))
    if (context := engine.session.runner.memo.context) is not None:
        outbox.offer(context)
    await replay(engine, outbox, cursor, request)


async def caught_up(engine: Engine, outbox: EventBuffer) -> None:
    """Return when a face has been told the whole session.

    Nothing is begun for a face that would not show it: one that does not ask is told unasked.
    """
    while not await outbox.told(_ASKS_WITHIN_S):
        await replay(engine, outbox, 0, 0)


async def replay(engine: Engine, outbox: EventBuffer, after: int, request: int) -> None:
    """Send the journalled events after a cursor; from then on they come as they happen."""
    async with outbox.replay:
        outbox.begin_replay()
        journal = engine.session.journal
        while (page := await journal.read(after, _PAGE)) or outbox.skipped > after:
            await outbox.room()
            for event in page:
                outbox.replayed(event)
            after = page[-1].seq if page else outbox.skipped
        outbox.end_replay(after)
        outbox.replayed(ReplayDone(request=request, head=after))
