"""Sending an earlier message again, as it was or in other words: in a session that branches off there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from omni_tui.memory import (
    Branch,
    Journal,
    NoSuchMessage,
    branch_before,
    copy_branch_calls,
    new_session_id,
    session_path,
)
from omni_tui.models.base import Message
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.events import SessionBranched

if TYPE_CHECKING:
    from omni_tui.engine.core import Engine


async def branch_session(engine: Engine, turn: str, text: str, told: Callable[[], Awaitable[None]]) -> str:
    """Go another way from the message of a turn on; return the new session's id.

    `told` returns when the face has been told the new session; only then is anything sent in it.

    Raises `UserError`, and what opening a session raises.
    """
    source = engine.session
    if source.runner.running:
        raise UserError("a turn is running; stop it first (Esc)")
    try:
        found: Branch = await source.journal.run(lambda tx: branch_before(tx, turn))
    except NoSuchMessage as error:
        raise UserError(str(error)) from None
    session = new_session_id()
    path = session_path(engine.loaded.paths.state_dir, session)
    journal = await Journal.open(path, session, engine.vault, _ignore)
    try:
        began = SessionBranched(origin=source.journal.session, turn=turn)
        await journal.adopt([*found.events, began], lambda tx: copy_branch_calls(tx, found))
    finally:
        await journal.close(clean=True)
    await engine.switch_session(session)
    await told()
    runner = engine.session.runner
    if text.strip():
        await runner.send(text)
    else:
        shown = found.message
        exact = Message(role="user")
        if found.told is not None:
            exact = msgspec.json.decode(found.told.body_json, type=Message)
        await runner.send(shown.words, told=exact.text, attachments=shown.attachments, images=exact.images)
    return session


def _ignore(_events: Sequence[AnyEvent]) -> None:
    """Nobody listens to a session before it is opened."""
