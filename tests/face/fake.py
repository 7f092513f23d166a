"""An engine that is a script: a `Link` that records commands and says what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

import msgspec

from omni_tui.protocol import (
    AnyCommand,
    AnyEvent,
    Command,
    CommandReply,
    Journalled,
    JsonText,
    LinkClosed,
    SafeText,
)
from omni_tui.protocol.commands import (
    CheckArguments,
    DecideCall,
    EditCall,
    Hello,
    ListSessions,
    ReadArguments,
    ReadServerLog,
    Replay,
    StopRun,
)
from omni_tui.protocol.events import (
    ApprovalRequested,
    ArgumentsChecked,
    CallChanged,
    CallState,
    CommandDone,
    CommandFailed,
    EngineReady,
    ReplayDone,
    ServerLogRead,
    SessionsListed,
    TextPage,
    TurnEnded,
)
from omni_tui.security.text import safe

_C = TypeVar("_C", bound=Command)
Answer = Callable[[AnyCommand], "Iterable[AnyEvent]"]
_STATES: dict[str, CallState] = {"approve": "approved", "reject": "rejected"}


class FakeClock:
    """A clock that moves when told to. `monotonic` and `time` move together."""

    def __init__(self, start: float) -> None:
        self._start = start
        self.passed = 0.0

    def time(self) -> float:
        return self._start + self.passed

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    def arrived(self, stamp: float) -> float:
        return self.monotonic()

    def advance(self, seconds: float) -> None:
        self.passed += seconds


class FakeLink:
    """The face's end of an engine that does not exist.

    `commands` holds everything the face sent. With `auto` it answers like a well-behaved engine;
    `answers[CommandType] = fn` replaces the answer to one command (return [] to stay silent).
    """

    def __init__(self, events: Iterable[AnyEvent] = (), *, auto: bool = True, now: float = 0.0) -> None:
        self.commands: list[AnyCommand] = []
        self.answers: dict[type[Command], Answer] = {}
        self.journal: list[AnyEvent] = []
        self.live: list[AnyEvent] = []
        self.ready: EngineReady | None = None
        self.closed = False
        self.now = now
        self._auto = auto
        self._queue: asyncio.Queue[AnyEvent | LinkClosed | None] = asyncio.Queue()
        for event in events:
            self._keep(self._stamp(event))

    # --- the Link protocol

    def send(self, command: AnyCommand) -> None:
        """Record a command and, if there is one, queue its answer."""
        if self.closed:
            raise LinkClosed("the engine is gone")
        self.commands.append(command)
        answer = self.answers.get(type(command)) or (self._answer if self._auto else None)
        if answer is None:
            return
        for event in answer(command):
            if isinstance(event, CommandReply):
                self.emit(msgspec.structs.replace(event, request=command.request))
            else:
                self.emit(event)

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Yield what was emitted, until `crash` or `close`."""
        while (item := await self._queue.get()) is not None:
            if isinstance(item, LinkClosed):
                raise item
            yield item

    async def close(self) -> None:
        """End the stream of events."""
        self.closed = True
        self._queue.put_nowait(None)

    # --- for tests

    def emit(self, *events: AnyEvent) -> None:
        """Send events to the face; those for the journal get their number and are kept for replay."""
        for event in events:
            stamped = self._stamp(event)
            if not isinstance(stamped, CommandReply):
                self._keep(stamped)
            self._queue.put_nowait(stamped)

    def crash(self, reason: str = "it was killed (signal 9)") -> None:
        """Be gone, unasked."""
        self.closed = True
        self._queue.put_nowait(LinkClosed(reason))

    def sent(self, kind: type[_C]) -> list[_C]:
        """Return the commands of one type, in order."""
        return [command for command in self.commands if isinstance(command, kind)]

    def refuse(self, kind: type[Command], what: str, why: str = "", todo: str = "") -> None:
        """From now on answer commands of one type with `CommandFailed`."""
        failure = CommandFailed(what=SafeText(what), why=SafeText(why), todo=SafeText(todo))
        self.answers[kind] = lambda _command: [failure]

    def _stamp(self, event: AnyEvent) -> AnyEvent:
        changes: dict[str, object] = {}
        if isinstance(event, Journalled) and event.seq == 0:
            changes["seq"] = len(self.journal) + 1
        if event.ts == 0.0:
            changes["ts"] = self.now
        return msgspec.structs.replace(event, **changes) if changes else event

    def _keep(self, event: AnyEvent) -> None:
        if isinstance(event, EngineReady):
            self.ready = event
        elif isinstance(event, Journalled):
            self.journal.append(event)
        else:
            self.live.append(event)

    def _answer(self, command: AnyCommand) -> Iterable[AnyEvent]:
        match command:
            case Hello(cursor=cursor):
                self._hello(cursor)
                return []
            case Replay(after=after):
                self._replay(after)
                return [ReplayDone(head=len(self.journal))]
            case DecideCall(call=call, verdict=verdict, feedback=feedback):
                state = _STATES.get(verdict)
                done: list[AnyEvent] = [CommandDone()]
                if state is not None:
                    done.append(
                        CallChanged(call=call, state=state, decider="user", feedback=safe(feedback))
                    )
                return done
            case EditCall(call=call, arguments_json=arguments):
                return [CommandDone(), *self._edited(call, arguments)]
            case ReadArguments(call=call, offset=offset, limit=limit):
                whole = safe("".join(a.arguments for a in self._approvals(call)[-1:]), limit=10_000_000)
                text = SafeText(whole[offset : offset + limit])
                return [TextPage(call=call, part=0, offset=offset, total=len(whole), text=text)]
            case CheckArguments():
                return [ArgumentsChecked(problems=())]
            case ReadServerLog(server=server):
                return [ServerLogRead(server=server, lines=(SafeText(f"{server}: listening"),))]
            case ListSessions():
                return [SessionsListed(sessions=())]
            case _:
                stopped = [TurnEnded(turn="t1", status="stopped")] if isinstance(command, StopRun) else []
                return [CommandDone(), *stopped]

    def _hello(self, cursor: int) -> None:
        if self.ready is not None:
            self._queue.put_nowait(self.ready)
        for event in self.live:
            self._queue.put_nowait(event)
        self._replay(cursor)
        self._queue.put_nowait(ReplayDone(head=len(self.journal)))

    def _replay(self, after: int) -> None:
        for event in self.journal:
            if event.seq > after:
                self._queue.put_nowait(event)

    def _approvals(self, call: str) -> list[ApprovalRequested]:
        return [e for e in self.journal if isinstance(e, ApprovalRequested) and e.call == call]

    def _edited(self, call: str, arguments: JsonText) -> list[AnyEvent]:
        return [
            msgspec.structs.replace(
                old, arguments_json=arguments, arguments=safe(arguments), digest=old.digest + "+",
                edited=True, seq=0, ts=0.0, size=len(arguments),
            )
            for old in self._approvals(call)[-1:]
        ]  # fmt: skip
