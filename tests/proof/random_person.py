"""A person who decides, edits, changes modes and rules, stops and calls by hand, all at random."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar, cast

import msgspec

from omni_tui.protocol import AnyCommand, AnyEvent, JsonText, Mode
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import plan as p
from omni_tui.protocol.conversation import Steered
from omni_tui.protocol.rules import (
    AddRule,
    ProposeRules,
    ReadRules,
    RevokeRule,
    RulesProposed,
    RulesRead,
)
from omni_tui.protocol.server_requests import (
    AnswerServerRequest,
    ServerRequestClosed,
    ServerRequestOpened,
)
from omni_tui.protocol.trust import AcceptTool, ChangeRead, ReadChange
from tests.proof.random_model import SERVERS, TOOLS, RandomArguments
from tests.proof.said import Said

MODES: tuple[Mode, ...] = ("chat", "auto", "orchestrator")
E = TypeVar("E")
TICKS = 30
"""Things that a person does in a run before they stop what still runs."""


class Sends(Protocol):
    """A client's end of a link."""

    def send(self, command: AnyCommand) -> None:
        """Send a command."""


class Running(Protocol):
    """A running engine, in this process or another one, as a client of it sees it."""

    @property
    def link(self) -> Sends:
        """The client's end of the link."""

    @property
    def seen(self) -> list[AnyEvent]:
        """Everything that the engine has said."""

    @property
    def session_id(self) -> str:
        """The session that the client follows."""

    async def ask(self, command: AnyCommand) -> AnyEvent:
        """Send a command and return its reply."""

    async def until(self, kind: type[E], matches: Callable[[E], bool] = ..., *, after: int = 0) -> E:
        """Return the first event of a kind that matches, seen already or yet to come."""


class RandomPerson:
    """Somebody at a client of a running engine; in `folder` the servers find out what they offer."""

    def __init__(
        self,
        running: Running,
        chance: random.Random,
        arguments: RandomArguments,
        said: Said,
        folder: Path,
    ) -> None:
        self._running = running
        self._chance = chance
        self._arguments = arguments
        self._said = said
        self._folder = folder
        self._read = 0
        self._turns: set[str] = set()
        self._over: set[str] = set()
        self._uncertain: list[str] = []
        self._calls: dict[str, e.ApprovalRequested] = {}
        self._stale: list[e.ApprovalRequested] = []
        self._plans: dict[str, p.PlanProposed] = {}
        self._asks: dict[str, ServerRequestOpened] = {}
        self._changed: set[tuple[str, str]] = set()
        self._rules = 0
        self._sessions: list[str] = []

    # --- what is there --------------------------------------------------------------------------

    def _look(self) -> None:
        """Take note of what the engine has told since."""
        seen, self._read = self._running.seen[self._read :], len(self._running.seen)
        for event in seen:
            match event:
                case e.TurnStarted():
                    self._turns.add(event.turn)
                case e.TurnEnded():
                    self._turns.discard(event.turn)
                    self._over.add(event.turn)
                case Steered():
                    self._over.add(event.by)
                case e.ToolsListed():
                    for tool in event.tools:
                        known = self._changed.discard if tool.trust == "unchanged" else self._changed.add
                        known((tool.server, tool.name))
                case _:
                    self._note_item(event)

    def _note_item(self, event: AnyEvent) -> None:
        match event:
            case e.ApprovalRequested():
                if (before := self._calls.get(event.call)) is not None:
                    self._stale = [*self._stale[-5:], before]
                self._calls[event.call] = event
            case e.CallChanged() if event.state not in ("pending", "held"):
                self._calls.pop(event.call, None)
                if event.state == "uncertain":
                    self._uncertain.append(event.call)
            case p.PlanProposed():
                self._plans[event.plan] = event
            case p.PlanDecided() | p.PlanEnded():
                self._plans.pop(event.plan, None)
            case ServerRequestOpened():
                self._asks[event.ask] = event
            case ServerRequestClosed():
                self._asks.pop(event.ask, None)
            case _:
                pass

    async def _ask(self, command: AnyCommand) -> AnyEvent:
        return await self._running.ask(command)

    # --- one run --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send a message, and be a nuisance until its turn is over."""
        self._look()
        if self._turns or self._calls:
            await self._leftovers()
        elif self._chance.random() < 0.15:
            await self._other_session()
        done = await self._ask(c.SendMessage(text="go on"))
        sent = done.id if isinstance(done, e.CommandDone) else ""
        for _ in range(TICKS):
            self._look()
            if sent in self._over:
                return
            await self._one_thing()
            await self._news()
        known = self._read
        await self._ask(c.StopRun())
        self._look()
        if sent and sent not in self._over:
            await self._running.until(e.Event, lambda event: _ends(event, sent), after=known)

    async def _other_session(self) -> None:
        """Begin a new session, or open one of before."""
        self._sessions.append(self._running.session_id)
        former = self._chance.choice(self._sessions)
        new: AnyCommand = c.NewSession() if self._chance.random() < 0.7 else c.OpenSession(session=former)
        if isinstance(await self._ask(new), e.CommandDone):
            self._calls, self._plans, self._asks, self._stale = {}, {}, {}, []
            self._running.link.send(c.Replay(after=0))

    async def _leftovers(self) -> None:
        """Do something with what was left open before a crash."""
        kind = self._chance.random()
        if kind < 0.7:
            await self._ask(c.ContinueRun())
        elif kind < 0.8:
            await self._one_thing()
        # else: the next message ends it

    async def _news(self) -> None:
        """Wait until the engine says something, not for long."""
        known = len(self._running.seen)
        for _ in range(self._chance.choice((1, 3, 10, 200))):
            await asyncio.sleep(0)
            if len(self._running.seen) > known:
                return
        await asyncio.sleep(0.002)

    async def _one_thing(self) -> None:
        roll = self._chance.random()
        if roll < 0.12:
            await self._unasked()
        elif self._changed and roll < 0.2:
            await self._accept(*self._chance.choice(sorted(self._changed)))
        elif len(self._calls) > 1 and roll < 0.25:
            marked = list(self._calls.values())
            await asyncio.gather(*(self._decide(shown, batch=len(marked)) for shown in marked))
        elif self._asks and roll < 0.6:
            await self._reply(self._chance.choice(list(self._asks.values())))
        elif self._plans and roll < 0.7:
            await self._decide_plan(self._chance.choice(list(self._plans.values())))
        elif self._calls:
            await self._with(self._chance.choice(list(self._calls.values())))

    async def _unasked(self) -> None:
        """Do something that nothing waits for."""
        roll = self._chance.random()
        if roll < 0.3:
            await self._ask(c.SetMode(mode=self._chance.choice(MODES)))
        elif roll < 0.55:
            await self._by_hand()
        elif roll < 0.65:
            await self._ask(c.StopRun())
        elif roll < 0.8:
            await self._revoke()
        elif roll < 0.85:
            await self._change_tools()
        elif roll < 0.92 and self._stale:
            await self._decide(self._chance.choice(self._stale))
        elif self._uncertain:
            happened = self._chance.random() < 0.5
            await self._ask(c.SettleCall(call=self._chance.choice(self._uncertain), happened=happened))

    async def _with(self, shown: e.ApprovalRequested) -> None:
        roll = self._chance.random()
        if roll < 0.5:
            await self._decide(shown)
        elif roll < 0.6:
            await asyncio.gather(*(self._decide(shown) for _ in range(self._chance.choice((2, 5)))))
        elif roll < 0.8:
            edited = JsonText(self._arguments.make())
            await self._ask(c.EditCall(call=shown.call, digest=shown.digest, arguments_json=edited))
        elif roll < 0.85:
            await self._ask(c.CancelCall(call=shown.call))
        elif roll < 0.9:
            both = asyncio.gather(self._decide(shown), self._ask(c.StopRun()))
            await both
        else:
            await self._add_rule(shown)

    # --- deciding -------------------------------------------------------------------------------

    async def _decide(self, shown: e.ApprovalRequested, *, batch: int = 0) -> None:
        verdict = self._chance.choice(("approve", "approve", "approve", "reject", "defer"))
        if verdict == "approve":
            self._said.approves(shown)
        await self._ask(
            c.DecideCall(
                call=shown.call,
                digest=shown.digest,
                verdict=cast(c.Verdict, verdict),
                feedback="not so" if self._chance.random() < 0.3 else "",
                stop=verdict == "reject" and self._chance.random() < 0.1,
                batch=batch,
            )
        )

    async def _decide_plan(self, shown: p.PlanProposed) -> None:
        approve = self._chance.random() < 0.8
        await self._ask(
            p.DecidePlan(plan=shown.plan, digest=shown.digest, verdict="approve" if approve else "reject")
        )

    async def _reply(self, shown: ServerRequestOpened) -> None:
        action = self._chance.choice(("accept", "accept", "decline", "cancel"))
        await self._ask(
            AnswerServerRequest(
                ask=shown.ask,
                digest=shown.digest,
                action=action,  # type: ignore[arg-type]
                content_json=JsonText('{"name":"Ada"}'),
            )
        )

    async def _by_hand(self) -> None:
        text, server, tool = (
            self._arguments.make(),
            self._chance.choice(SERVERS),
            self._chance.choice(TOOLS),
        )
        self._said.by_hand(server, tool, text)
        call = c.CallTool(server=server, tool=tool, arguments_json=JsonText(text))
        asked = await self._ask(call)
        if isinstance(asked, e.ConfirmNeeded) and self._chance.random() < 0.7:
            await self._ask(msgspec.structs.replace(call, confirmed=True, digest=asked.digest))

    # --- what the servers offer -----------------------------------------------------------------

    async def _change_tools(self) -> None:
        """Have a server describe its tools in another way from now on, or as before."""
        server = self._chance.choice(SERVERS)
        words = self._chance.choice(("as it was", "as it was", "another", "a third"))
        (self._folder / f"version-{server}").write_text(words)
        await self._ask(c.RefreshServer(server=server))

    async def _accept(self, server: str, tool: str) -> None:
        change = await self._ask(ReadChange(server=server, tool=tool))
        if isinstance(change, ChangeRead):
            await self._ask(AcceptTool(server=server, tool=tool, digest=change.digest))

    # --- rules ----------------------------------------------------------------------------------

    async def _add_rule(self, shown: e.ApprovalRequested) -> None:
        scope = self._chance.choice(("session", "session", "session", "user"))
        self._rules += 1
        if self._chance.random() < 0.3:
            word = self._chance.choice(("ask", "deny"))
            name = f"{word}-{self._arguments.name}-{self._rules}"
            about = f'server = "{shown.server}"\ntool = "put"\n'
            rule = f'[[policy.rule]]\nid = "{name}"\ndecision = "{word}"\n{about}'
        else:
            found = await self._ask(
                ProposeRules(call=shown.call, digest=shown.digest, scope=scope)  # type: ignore[arg-type]
            )
            if not isinstance(found, RulesProposed) or not found.drafts:
                return
            rule = self._chance.choice(found.drafts).rule_toml
        self._said.rule(rule, scope)
        await self._ask(
            AddRule(call=shown.call, digest=shown.digest, rule_toml=rule, scope=scope)  # type: ignore[arg-type]
        )

    async def _revoke(self) -> None:
        found = await self._ask(ReadRules())
        if isinstance(found, RulesRead) and found.rules:
            # The older the rule, the likelier: not many of them are to pile up.
            for rule in found.rules[: self._chance.choice((1, 2, 8))]:
                await self._ask(RevokeRule(id=rule.id, scope=rule.scope, digest=rule.digest))


def _ends(event: e.Event, turn: str) -> bool:
    """Whether a message's turn is over, or it was told to the turn that ran already."""
    if isinstance(event, Steered):
        return event.by == turn
    return isinstance(event, e.TurnEnded) and event.turn == turn
