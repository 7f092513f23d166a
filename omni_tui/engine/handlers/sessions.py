"""Commands about sessions and what is said in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from omni_tui.approvals.policy import COVERS
from omni_tui.engine.conversation import conversation_from
from omni_tui.engine.handlers.arrival import caught_up
from omni_tui.engine.handlers.base import Handlers
from omni_tui.engine.handlers.prompts_and_resources import read_attachments
from omni_tui.engine.live_session import LiveSession
from omni_tui.memory import (
    Branch,
    Journal,
    NoSuchMessage,
    branch_before,
    copy_branch_calls,
    fork_all,
    new_session_id,
    session_path,
)
from omni_tui.models.attachments import with_attachments
from omni_tui.models.base import Message
from omni_tui.policy import rule_sentence, rule_toml
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.commands import ForkSession, RewindSession
from omni_tui.protocol.events import CommandDone, ModeChanged, SessionBranched, TurnEnded
from omni_tui.protocol.rules import RuleAdded, RuleRevoked
from omni_tui.security.text import safe


class SessionHandlers(Handlers):
    """Sending, stopping and continuing turns; modes; new, opened, rewound and copied sessions."""

    async def _send(self, command: c.SendMessage) -> AnyEvent:
        if not command.text.strip():
            raise UserError("an empty message was not sent")
        runner = self._session.runner
        if not command.attachments:
            return CommandDone(id=await runner.send(command.text))
        limit = self._context.loaded.config.tools.result_limit
        quoted, shown = await read_attachments(self._context, command.attachments, limit)
        told = with_attachments(command.text, quoted, limit)
        images = tuple(image for one in quoted for image in one.images)
        turn = await runner.send(command.text, told=told, attachments=shown, images=images)
        return CommandDone(id=turn)

    async def _stop(self, _command: c.StopRun) -> AnyEvent:
        stopped = await self._session.runner.stop()
        return CommandDone(text=safe("stopped" if stopped else "nothing was running"))

    async def _continue(self, _command: c.ContinueRun) -> AnyEvent:
        await self._session.runner.continue_turn()
        return CommandDone()

    async def _send_now(self, _command: c.SendNow) -> AnyEvent:
        self._session.startup_wait.send_at_once()
        self._session.pauses.skip()
        return CommandDone()

    async def _set_mode(self, command: c.SetMode) -> AnyEvent:
        session = self._session
        if self._client.headless and session.attended and self._engine.loosens(session, command.mode):
            raise UserError(f"a person follows this session, so only they can set {command.mode} mode")
        words = COVERS[command.mode]
        await session.set_mode(command.mode, words)
        runs = session.runner.mode
        if runs is not None and runs != command.mode:
            words += f"; what was sent before stays in {runs} mode, and gets no freer by this change"
        return CommandDone(text=safe(words))

    async def _new_session(self, _command: c.NewSession) -> AnyEvent:
        await self._engine.switch(self._client)
        return CommandDone()

    async def _open_session(self, command: c.OpenSession) -> AnyEvent:
        await self._engine.switch(self._client, command.session)
        return CommandDone()

    # --- rewind, fork, edit and resend ----------------------------------------------------------

    async def _rewind(self, command: RewindSession) -> AnyEvent:
        """Have the model forget a message and what followed it."""
        session = await self._idle_session()
        count = await session.runner.rewind(command.turn)
        words = (
            f"the model has forgotten that message and what followed it ({count} of its messages); "
            "nothing that was done is undone, and the session keeps all of it"
        )
        return CommandDone(text=safe(words))

    async def _fork(self, _command: ForkSession) -> AnyEvent:
        """Copy the session as it is, and go on in the copy. What is open in it is closed in the copy."""
        source = await self._idle_session()
        found: Branch = await source.journal.run(fork_all)
        copied = conversation_from(found.events)
        left = [*([copied.unfinished] if copied.unfinished else []), *copied.queued]
        session = await self._copied(source, found, left)
        return CommandDone(id=session, text=safe("this is a copy; the former session stays as it is"))

    async def _idle_session(self) -> LiveSession:
        """Return the session. Raises `UserError` while a turn runs in it."""
        if not await self._session.runner.is_idle():
            raise UserError("a turn is running; stop it first")
        return self._session

    async def _copied(self, source: LiveSession, found: Branch, left: Iterable[str]) -> str:
        """Write a branch into a new session, end the turns `left` in it, and open it. Return its id."""
        session = new_session_id()
        path = session_path(self._context.loaded.paths.state_dir, session)
        journal = await Journal.open(path, session, self._context.vault, _ignore)
        try:
            turn = "" if found.message is None else found.message.turn
            began = SessionBranched(origin=source.journal.session, turn=turn)
            why = safe("it was not over when this session was copied; it can go on in the other one")
            ended = [TurnEnded(turn=each, status="stopped", reason=why) for each in left]
            events = [*_without_rules(found.events), *ended, *_rules_and_mode(source), began]
            await journal.adopt(events, lambda tx: copy_branch_calls(tx, found))
        finally:
            await journal.close(clean=True)
        await self._engine.switch(self._client, session)
        return session

    async def _branch(self, command: c.BranchSession) -> AnyEvent:
        """Send an earlier message again, as it was or edited, in a new session that branches off there."""
        source = await self._idle_session()
        try:
            found: Branch = await source.journal.run(lambda tx: branch_before(tx, command.turn))
        except NoSuchMessage as error:
            raise UserError(str(error)) from None
        former = found.message
        if former is not None and former.loaded and command.text.strip() in ("", former.words.strip()):
            raise UserError("this message was loaded from a file; change it to send it as your own")
        session = await self._copied(source, found, ())
        # Nothing is sent before the client shows the new session.
        await caught_up(self._engine, self._client)
        runner, shown = self._session.runner, found.message
        if command.text.strip() or shown is None:
            await runner.send(command.text)
        else:
            exact = Message(role="user")
            if found.model_message is not None:
                exact = msgspec.json.decode(found.model_message.body_json, type=Message)
            await runner.send(
                shown.words, told=exact.text, attachments=shown.attachments, images=exact.images
            )
        return CommandDone(
            id=session, text=safe("this goes on in a session of its own; the former one stays")
        )


def _ignore(_events: Sequence[AnyEvent]) -> None:
    """Nobody listens to a session before it is opened."""


def _without_rules(events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
    return (event for event in events if not isinstance(event, RuleAdded | RuleRevoked))


def _rules_and_mode(source: LiveSession) -> Iterator[AnyEvent]:
    """Yield the session's rules and mode of now: a branch revives nothing that was revoked or tightened.

    An allow rule with so many uses stays behind: each session would have all of them.
    """
    for rule in source.policy_in_force.session_rules:
        if rule.decision == "allow" and rule.max_uses:
            continue
        sentence = safe(rule_sentence(rule), limit=2_000)
        yield RuleAdded(id=rule.id, scope="session", sentence=sentence, rule_toml=rule_toml(rule))
    yield ModeChanged(mode=source.settings.mode, covers=safe(COVERS[source.settings.mode]))
