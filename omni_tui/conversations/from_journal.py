"""Make the conversation of a file from a session's journal: what a person saw, with the exact texts."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass
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
_PLACE = FileNote(text="")
"""Stands for what is known only when all was read."""
_STEP_EVENTS = 500
_STEP_SIZE = 1_000_000
"""Events, and characters, after which a step of reading ends: some ten milliseconds."""


def conversation_of(tx: Transaction, session: str, last: int = 0) -> SavedConversation:
    """Return what is saved of a session. `last` is the number of its last event, if that is known."""
    reader = ConversationReader(session, last)
    while reader.read_on(tx):
        pass
    return reader.conversation()


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


class ConversationReader:
    """Reads a session in steps, each short enough for others to use its journal in between.

    Call `read_on` with a transaction, each time another one if you like, until it returns False, then
    `conversation`, once. `last` is the number of the last event, if that is known; with `only` no later one
    is read.
    """

    def __init__(self, session: str, last: int = 0, *, only: bool = False) -> None:
        self._session = session
        self._last = last
        self._only = only
        self._read = 0
        self._unread = 0
        self._all_events = False
        self._items: list[FileItem] = []
        self._calls: dict[str, _Call] = {}
        self._ended: list[str] = []
        """Calls whose arguments and results are still to be read."""
        self._loaded: dict[str, FileCall] = {}
        self._loaded_places: list[tuple[int, CallLoaded, int]] = []
        self._answers: list[tuple[int, e.Answer]] = []
        self._exact: dict[tuple[str, str], deque[str]] = defaultdict(deque)
        self._turns: dict[str, int] = {}
        self._facts = FileSession(id=session)

    def read_on(self, tx: Transaction) -> bool:
        """Read the next part; return whether there is more."""
        if not self._all_events:
            self._read_events(tx)
            return True
        room = _STEP_SIZE
        while self._ended and room > 0:
            call = self._calls[self._ended.pop()]
            self._items[call.place] = made = self._call(tx, call)
            room -= _STEP_SIZE // _STEP_EVENTS + sum(len(part.text) for part in made.result)
        return bool(self._ended)

    def conversation(self) -> SavedConversation:
        """Return what was read."""
        for place, answer in self._answers:
            self._items[place] = self._answer(answer)
        for place, event, turn in self._loaded_places:
            self._items[place] = self._loaded_call(event, turn)
        items = self._items
        if (left := len(items) - MOST_ITEMS + 1) > 1:
            items[:left] = [FileNote(text=f"the first {left:,} entries are left out", warning=True)]
        facts = msgspec.structs.replace(self._facts, unread=self._unread)
        return SavedConversation(generator=f"Omni TUI {__version__}", session=facts, items=tuple(items))

    def _read_events(self, tx: Transaction) -> None:
        room = _STEP_SIZE
        for seq, event in saved_events(tx, self._read, self._last):
            if self._only and seq > self._last:
                break
            self._read = seq
            if isinstance(event, str):
                self._unread += 1
            else:
                self._facts = _followed(self._facts, event)
                self._take(event)
                room -= _STEP_SIZE // _STEP_EVENTS + _length(event)
            if room <= 0:
                return
        self._all_events = True
        self._ended = list(self._calls)

    def _take(self, event: AnyEvent) -> None:
        match event:
            case e.UserMessage():
                self._items.append(self._user(event))
            case e.Answer():
                self._answers.append((len(self._items), event))
                self._items.append(_PLACE)
                self._turn(event.turn)
            case e.ModelMessage():
                self._take_exact(event)
            case e.Thought():
                turn = self._turn(event.turn)
                self._items.append(FileThought(text=event.text, turn=turn, ts=event.ts, agent=event.agent))
            case CallLoaded():
                self._loaded_places.append((len(self._items), event, self._turn(event.turn)))
                self._items.append(_PLACE)
            case CallContentLoaded():
                self._loaded[event.call] = msgspec.json.decode(event.body_json, type=FileCall)
            case e.CallProposed() | e.CallChanged() | e.CallFinished():
                self._follow_call(event)
            case _:
                self._note(event)

    def _take_exact(self, event: e.ModelMessage) -> None:
        """Note the exact text of an answer; the answer that is shown comes before it or after it."""
        if event.role == "assistant":
            with suppress(ValueError, msgspec.MsgspecError):
                self._exact[event.turn, event.agent].append(decode_message(event.body_json).text)

    def _follow_call(self, event: e.CallProposed | e.CallChanged | e.CallFinished) -> None:
        call = self._calls.get(event.call)
        if isinstance(event, e.CallProposed):
            if call is None:
                self._calls[event.call] = _Call(event, self._turn(event.turn), place=len(self._items))
                self._items.append(_PLACE)
        elif call is not None:
            _move(call, event)

    def _note(self, event: AnyEvent) -> None:
        told = note_of(event)
        if told is not None:
            self._items.append(
                FileNote(
                    text=told.text,
                    warning=told.warning,
                    forgets=self._turns.get(event.turn, 0) if isinstance(event, e.SessionRewound) else 0,
                    turn=self._turn(told.turn),
                    ts=event.ts,
                )
            )

    def _turn(self, turn: str) -> int:
        """Return the number of a turn, 0 for none."""
        return self._turns.setdefault(turn, len(self._turns) + 1) if turn else 0

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

    def _answer(self, event: e.Answer) -> FileMessage:
        return FileMessage(
            role="assistant",
            text=bounded_text(_exact(event, self._exact[event.turn, event.agent])),
            turn=self._turn(event.turn),
            ts=event.ts,
            agent=event.agent,
            partial=event.partial,
            label=event.label,
        )

    def _call(self, tx: Transaction, call: _Call) -> FileCall:
        event = call.proposed
        try:
            row = call_table.load(tx, event.call)
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
            result=_result(tx, call.finished) if call.finished is not None else (),
        )

    def _loaded_call(self, event: CallLoaded, turn: int) -> FileCall:
        if (whole := self._loaded.get(event.call)) is not None:
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


def _result(tx: Transaction, event: e.CallFinished) -> tuple[FilePart, ...]:
    try:
        data = call_table.get_result(tx, event.call, event.attempt)
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


def _followed(facts: FileSession, event: AnyEvent) -> FileSession:
    """Return what a session is after an event; of a loaded one when it began there, and whose it was."""
    changed: dict[str, Any] = {} if facts.created else {"created": event.ts}
    match event:
        case e.SessionOpened():
            changed |= {"title": event.title, "model": event.model}
        case e.SessionTitled():
            changed["title"] = event.title
        case e.SessionTagged():
            changed["tags"] = event.tags
        case e.ModelChanged():
            changed["model"] = event.name
        case SessionLoaded():
            changed["loaded"] = FileOrigin(source=event.source, file=event.file, origin=event.origin)
            changed["created"] = event.created or facts.created or event.ts
            changed["model"] = event.model or facts.model
    return msgspec.structs.replace(facts, **changed) if changed else facts


def _length(event: AnyEvent) -> int:
    """Return about how many characters of an event are kept."""
    match event:
        case e.UserMessage() | e.Answer() | e.Thought():
            return len(event.text)
        case e.ModelMessage() | CallContentLoaded():
            return len(event.body_json)
        case e.CallFinished():
            return sum(len(part.text) for part in event.parts)
        case _:
            return 0


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
