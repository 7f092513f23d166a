"""Make the conversation of a file from a session's journal: what a person saw, with the exact texts."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import msgspec

from omni_tui import __version__
from omni_tui.conversations.document import (
    MOST_ITEMS,
    FileAttachment,
    FileCall,
    FileItem,
    FileMessage,
    FileNote,
    FileOrigin,
    FilePart,
    FileSession,
    FileThought,
    SavedConversation,
    bounded_name,
    bounded_text,
    raw_text,
)
from omni_tui.conversations.notes import note_of
from omni_tui.memory import SealBroken, Transaction, call_table
from omni_tui.memory.saved_session import saved_events
from omni_tui.models.message_history import decode_message
from omni_tui.protocol import AnyEvent, ProtocolError, decode_event
from omni_tui.protocol import events as e
from omni_tui.protocol.loaded import (
    CallContentLoaded,
    CallLoaded,
    LoadedState,
    SessionLoaded,
)
from omni_tui.security.text import safe
from omni_tui.tools.results import STRUCTURED, StoredResult, part_text, previews

_STATES = frozenset(get_args(LoadedState))
_TEXTS = ("text", "structured", "link")


def conversation_of(tx: Transaction, session: str, last: int = 0) -> SavedConversation:
    """Return what is saved of a session. `last` is the number of its last event, if that is known."""
    maker = _Maker(tx, session)
    events: list[AnyEvent] = []
    unread = 0
    for _, event in saved_events(tx, last=last):
        if isinstance(event, str):
            unread += 1
        else:
            events.append(event)
    return maker.make(events, unread)


@dataclass(slots=True)
class _Call:
    """A call while its events are read."""

    proposed: e.CallProposed
    turn: int
    state: str = "unfinished"
    decider: str = ""
    reason: str = ""
    feedback: str = ""
    elapsed_ms: float = 0.0
    finished: e.CallFinished | None = None
    place: int = 0


@dataclass(slots=True)
class _Maker:
    """Folds events into items."""

    tx: Transaction
    session: str
    items: list[FileItem] = field(default_factory=list)
    calls: dict[str, _Call] = field(default_factory=dict)
    loaded: dict[str, FileCall] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)

    def make(self, events: list[AnyEvent], unread: int) -> SavedConversation:
        exact = _exact_answers(events)
        for event in events:
            if isinstance(event, CallContentLoaded):
                self.loaded[event.call] = msgspec.json.decode(event.body_json, type=FileCall)
        for event in events:
            self._take(event, exact)
        for call in self.calls.values():
            self.items[call.place] = self._call(call)
        if (left := len(self.items) - MOST_ITEMS + 1) > 1:
            self.items[:left] = [FileNote(text=f"the first {left:,} entries are left out", warning=True)]
        return SavedConversation(
            generator=f"Omni TUI {__version__}",
            session=_facts(self.session, events, unread),
            items=tuple(self.items),
        )

    def _take(self, event: AnyEvent, exact: dict[tuple[str, str], deque[str]]) -> None:
        match event:
            case e.UserMessage():
                self.items.append(self._user(event))
            case e.Answer():
                self.items.append(self._answer(event, _exact(event, exact[event.turn, event.agent])))
            case e.Thought():
                turn = self._turn(event.turn)
                self.items.append(FileThought(text=event.text, turn=turn, ts=event.ts, agent=event.agent))
            case CallLoaded():
                self.items.append(self._loaded(event))
            case e.CallProposed() | e.CallChanged() | e.CallFinished():
                self._follow_call(event)
            case _:
                self._note(event)

    def _follow_call(self, event: e.CallProposed | e.CallChanged | e.CallFinished) -> None:
        call = self.calls.get(event.call)
        if isinstance(event, e.CallProposed):
            if call is None:
                self.calls[event.call] = _Call(event, self._turn(event.turn), place=len(self.items))
                self.items.append(FileNote(text=""))  # its place, taken when its end is known
        elif call is not None:
            _move(call, event)

    def _note(self, event: AnyEvent) -> None:
        told = note_of(event)
        if told is not None:
            self.items.append(
                FileNote(text=told.text, warning=told.warning, turn=self._turn(told.turn), ts=event.ts)
            )

    def _turn(self, turn: str) -> int:
        """Return the number of a turn, 0 for none."""
        return self.turns.setdefault(turn, len(self.turns) + 1) if turn else 0

    def _user(self, event: e.UserMessage) -> FileMessage:
        return FileMessage(
            role="user",
            text=bounded_text(event.words),
            turn=self._turn(event.turn),
            ts=event.ts,
            attachments=tuple(
                FileAttachment(each.server, each.label, each.address) for each in event.attachments
            ),
        )

    def _answer(self, event: e.Answer, text: str) -> FileMessage:
        return FileMessage(
            role="assistant",
            text=bounded_text(text),
            turn=self._turn(event.turn),
            ts=event.ts,
            agent=event.agent,
            partial=event.partial,
            label=event.label,
        )

    def _call(self, call: _Call) -> FileCall:
        event = call.proposed
        try:
            row = call_table.load(self.tx, event.call)
        except SealBroken:
            row = None
        return FileCall(
            server=bounded_name(event.server),
            tool=bounded_name(event.tool),
            arguments=raw_text(row.args if row is not None else str(event.arguments)),
            state=cast("LoadedState", call.state if call.state in _STATES else "unfinished"),
            turn=call.turn,
            ts=event.ts,
            agent=event.agent,
            origin=event.origin,
            decider=bounded_name(call.decider),
            reason=call.reason,
            feedback=call.feedback,
            elapsed_ms=call.elapsed_ms,
            result=self._result(call.finished) if call.finished is not None else (),
        )

    def _result(self, event: e.CallFinished) -> tuple[FilePart, ...]:
        try:
            data = call_table.get_result(self.tx, event.call, event.attempt)
            if data:
                return file_parts(StoredResult.load(data))
        except (SealBroken, ValueError, KeyError, TypeError, AttributeError):
            pass
        return tuple(
            FilePart(
                kind=part.kind,
                text=part.text,
                mime=part.mime,
                uri=part.uri,
                size=part.size,
                cut=part.truncated,
            )
            for part in event.parts
        )

    def _loaded(self, event: CallLoaded) -> FileCall:
        turn = self._turn(event.turn)
        if (whole := self.loaded.get(event.call)) is not None:
            return msgspec.structs.replace(whole, turn=turn, ts=event.ts)
        return FileCall(
            server=event.server,
            tool=event.tool,
            arguments=raw_text(str(event.arguments)),
            state=event.state,
            turn=turn,
            ts=event.ts,
            agent=event.agent,
            reason=event.reason,
        )


def _facts(session: str, events: list[AnyEvent], unread: int) -> FileSession:
    """Return what a session is; of a loaded one when it began there, and whose it was."""
    title, model = "", ""
    tags: tuple[str, ...] = ()
    created = events[0].ts if events else 0.0
    loaded: FileOrigin | None = None
    for event in events:
        match event:
            case e.SessionOpened():
                title, model = event.title, event.model
            case e.SessionTitled():
                title = event.title
            case e.SessionTagged():
                tags = event.tags
            case e.ModelChanged():
                model = event.name
            case SessionLoaded():
                loaded = FileOrigin(source=event.source, file=event.file, origin=event.origin)
                created, model = event.created or created, event.model or model
    return FileSession(
        id=session, title=title, tags=tags, created=created, model=model, unread=unread, loaded=loaded
    )


def _move(call: _Call, event: e.CallChanged | e.CallFinished) -> None:
    call.reason = event.reason
    if isinstance(event, e.CallFinished):
        call.state, call.finished, call.elapsed_ms = event.state, event, event.elapsed_ms
    else:
        call.state, call.decider = event.state, event.decider or call.decider
        call.feedback = event.feedback or call.feedback


def file_parts(result: StoredResult) -> tuple[FilePart, ...]:
    """Return the parts of a stored result: texts whole, of others their size and kind."""
    parts = []
    for shown in previews(result.raw()):
        text = ""
        if shown.kind in _TEXTS or (shown.kind == "resource" and _inner_text(result, shown.index)):
            index = STRUCTURED if shown.kind == "structured" else shown.index
            text = bounded_text(part_text(result, index)[0])
        parts.append(
            FilePart(
                kind=shown.kind,
                text=text,
                mime=shown.mime,
                uri=shown.uri,
                size=shown.size,
            )
        )
    return tuple(parts)


def _inner_text(result: StoredResult, index: int) -> str:
    inner: Any = result.content[index].get("resource")
    return str(inner.get("text", "")) if isinstance(inner, dict) else ""


def _exact_answers(events: list[AnyEvent]) -> dict[tuple[str, str], deque[str]]:
    """Return the exact texts of the answers of each agent of each turn, in order."""
    texts: dict[tuple[str, str], deque[str]] = defaultdict(deque)
    for event in events:
        if isinstance(event, e.ModelMessage) and event.role == "assistant":
            try:
                message = decode_message(event.body_json)
            except (ValueError, msgspec.MsgspecError):
                continue
            texts[event.turn, event.agent].append(message.text)
    return texts


def _exact(answer: e.Answer, texts: deque[str]) -> str:
    """Return the text that an answer shows, exact if that is certain: nothing else may be told as shown."""
    for number, text in enumerate(texts):
        if safe(text) == answer.text:
            for _ in range(number + 1):
                texts.popleft()
            return text
    return answer.text


def content_of_loaded(tx: Transaction, call: str) -> str:
    """Return the content of a call that was loaded from a file, "" if there is none."""
    kind = str(CallContentLoaded.__struct_config__.tag)
    found = tx.execute("SELECT seq, body FROM events WHERE type = ? AND call = ?", (kind, call)).fetchone()
    if found is None:
        return ""
    try:
        event = decode_event(tx.open(found[1], f"events/{found[0]}/body"))
    except (SealBroken, ProtocolError):
        return ""
    return event.body_json if isinstance(event, CallContentLoaded) else ""


def text_of_call(body_json: str) -> str:
    """Return all that a loaded call holds, to compare with it: arguments, results, and words about it."""
    call = msgspec.json.decode(body_json, type=FileCall)
    results = (part.text for part in call.result)
    return "\n".join([bytes(call.arguments).decode(), *results, call.reason, call.feedback])


def arguments_of_call(body_json: str) -> bytes:
    """Return the exact arguments of a loaded call, as JSON."""
    return bytes(msgspec.json.decode(body_json, type=FileCall).arguments)


def result_of_call(body_json: str) -> bytes:
    """Return the result of a loaded call as a stored result, b"" for none. Only texts are whole."""
    parts = msgspec.json.decode(body_json, type=FileCall).result
    content = [{"type": "text", "text": shown_part(part)} for part in parts]
    return json.dumps({"content": content, "is_error": False}).encode() if content else b""


def shown_part(part: FilePart) -> str:
    """Return the text of a part, or what it was."""
    if part.text:
        return part.text
    if part.kind == "text" and not part.size:
        return ""
    facts = ", ".join(filter(None, (part.kind, part.mime, part.uri, f"{part.size:,} bytes")))
    return f"[{facts}; not in the file]"
