"""Make a session of a conversation from a file. Nothing is sent, proposed or left open.

The messages of the model's history are made from the same items that the transcript shows: a file cannot
tell the model something that the person does not see.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from omni_tui.conversations.document import (
    LONGEST_NAME,
    FileCall,
    FileItem,
    FileMessage,
    FileNote,
    FilePart,
    FileThought,
    SavedConversation,
    UnreadableFile,
    bounded_name,
    bounded_text,
)
from omni_tui.conversations.from_journal import shown_part
from omni_tui.memory import Journal, JournalBroken, Vault, delete_session, new_session_id, session_path
from omni_tui.memory.disk_trouble import in_words
from omni_tui.memory.session_labels import LONGEST_TITLE, MOST_TAGS, LabelRefused, changed_tags
from omni_tui.models.base import Message, ToolCall
from omni_tui.models.message_history import missing_result, tool_message
from omni_tui.protocol import AnyEvent, Mode, SafeText
from omni_tui.protocol import events as e
from omni_tui.protocol.loaded import (
    PROGRAMS,
    CallContentLoaded,
    CallLoaded,
    FileSource,
    NoteLoaded,
    SessionLoaded,
)
from omni_tui.protocol.prompts_and_resources import AttachedResource
from omni_tui.protocol.values import ContentPart
from omni_tui.security.text import encodable, exact_json, safe, safe_json, safe_line

_LONGEST_WORDS = 150_000
"""Bytes, as JSON, of the exact text of a message of the person: it is sent to the face in one frame."""
_PREVIEW = 8_000
_PREVIEWS = 60_000
"""Characters of the previews of all parts of one result."""
_MOST_PARTS = 50
_TITLE = 48
"""Characters of a title made from the first message."""
_NAME = re.compile(r"[^A-Za-z0-9_-]")
_ANSWERED = ("succeeded", "failed", "result_rejected")
_BEGINNING = "loaded"
"""The turn of what belongs to no message of the person."""
_TOLD = {"unfinished": "uncertain"}


@dataclass(frozen=True, slots=True)
class LoadedConversation:
    """A session that was made from a file.

    `forgotten`: how many of its messages the model does not know, because it was made to forget them.
    """

    session: str
    title: str
    messages: int
    calls: int
    forgotten: int = 0


async def load_conversation(
    conversation: SavedConversation,
    state_dir: Path,
    vault: Vault,
    *,
    source: FileSource,
    file: str,
    mode: Mode,
    model: str,
) -> LoadedConversation:
    """Write a conversation into the journal of a new session, all of it or nothing, and close it.

    `mode` and `model` are those it goes on with; the file does not choose them. Raises `UnreadableFile`.
    """
    if not conversation.items:
        raise UnreadableFile("there is no message in it")
    session = new_session_id()
    made = _Events(conversation, source, mode, model)
    events = await asyncio.to_thread(lambda: list(made.all(file)))  # seconds for a long one
    try:
        journal = await Journal.open(session_path(state_dir, session), session, vault, _ignore)
        try:
            await journal.adopt(events)
        finally:
            with suppress(JournalBroken):
                await journal.close(clean=True)
    except (JournalBroken, OSError) as error:
        with suppress(OSError, JournalBroken):
            delete_session(state_dir, session, None, vault)
        why = in_words(error) if isinstance(error, OSError) else error
        raise UnreadableFile(f"the session could not be saved: {why}") from None
    title = next((event.title for event in reversed(events) if isinstance(event, e.SessionTitled)), "")
    return LoadedConversation(session, title, *_counts(conversation), made.forgotten)


def _ignore(_events: Sequence[AnyEvent]) -> None:
    """Nobody listens to a session before it is opened."""


def _counts(conversation: SavedConversation) -> tuple[int, int]:
    messages = sum(isinstance(item, FileMessage) for item in conversation.items)
    return messages, sum(isinstance(item, FileCall) for item in conversation.items)


class _Events:
    """The events of a loaded session, in order, each with a time."""

    def __init__(self, conversation: SavedConversation, source: FileSource, mode: Mode, model: str) -> None:
        self._conversation = conversation
        self._source = source
        self._mode = mode
        self._model = model
        self._now = time.time()
        self._ts = _moment(conversation.session.created, self._now) or self._now
        self._number = 0
        self._turns: dict[int, str] = {0: ""}
        """The turn that the last message with a number began; each message begins its own."""
        self._text = ""
        self._calls: list[tuple[ToolCall, FileCall]] = []
        self._turn = ""
        self._told = self._said = 0
        """Messages of the model's history, and of the transcript, that the model knows."""
        self._starts: dict[str, tuple[int, int]] = {}
        """Both before each message of the person that the model knows."""
        self.forgotten = 0

    def all(self, file: str) -> Iterator[AnyEvent]:
        session = self._conversation.session
        messages, calls = _counts(self._conversation)
        moments = (_moment(item.ts, self._now) for item in self._conversation.items)
        first = next(filter(None, moments), 0.0)
        self._ts = min(self._ts, first or self._ts)
        yield e.SessionOpened(
            title=safe("new session"), mode=self._mode, model=safe_line(self._model), ts=self._ts
        )
        yield e.SessionTitled(title=self._title(), ts=self._ts)
        if tags := _tags(session.tags):
            yield e.SessionTagged(tags=tags, ts=self._ts)
        yield self._about_file()
        for item in self._conversation.items:
            self._ts = max(self._ts, _moment(item.ts, self._now))
            yield from self._item(item)
        yield from self._answered()
        yield SessionLoaded(
            source=self._source,
            file=safe_line(file),
            origin=safe_line(session.id),
            model=safe_line(session.model),
            created=_moment(session.created, self._now),
            messages=messages,
            calls=calls,
            ts=self._ts,
        )

    def _title(self) -> SafeText:
        given, room = self._conversation.session.title, LONGEST_TITLE
        if not given.strip():
            room = _TITLE
            given = next(
                (
                    item.text
                    for item in self._conversation.items
                    if isinstance(item, FileMessage) and item.role == "user"
                ),
                "",
            )
        words = " ".join(given[: 10 * room].split())
        return safe_line(words[:room] or "loaded conversation", joined=True)

    def _item(self, item: FileItem) -> Iterator[AnyEvent]:
        turn = self._turns.get(item.turn, _BEGINNING)
        match item:
            case FileMessage(role="user"):
                yield from self._answered()
                turn = self._turns[item.turn] = self._next("turn")
                yield from self._user(item, turn)
            case FileMessage():
                yield from self._answer(item, turn)
            case FileThought():
                yield e.Thought(
                    turn=turn,
                    message=self._next("message"),
                    text=safe(bounded_text(item.text)),
                    agent=_agent(item.agent),
                    loaded=True,
                    ts=self._ts,
                )
            case FileCall():
                yield from self._call(item, turn)
            case FileNote():
                if item.forgets > 0 and (turn_forgotten := self._forgotten_turn(item.forgets)):
                    yield from self._answered()
                    yield from self._rewound(turn_forgotten)
                    return
                text = bounded_text(item.text, 64_000)
                yield NoteLoaded(
                    text=safe(text), warning=item.warning, turn=turn if item.turn else "", ts=self._ts
                )

    def _forgotten_turn(self, number: int) -> str:
        """Return the turn of the message that a rewind forgot first, "" if the model lacks it anyway.

        If the message was left out with the beginning of a long file, it forgot all until here.
        """
        turn = self._turns.get(number, "")
        if not turn and all(known > number for known in self._turns if known):
            turn = _BEGINNING
        return turn if turn in self._starts else ""

    def _rewound(self, turn: str) -> Iterator[AnyEvent]:
        """Forget a turn and what followed it."""
        told, said = self._starts[turn]
        yield e.SessionRewound(turn=turn, messages=self._told - told, ts=self._ts)
        self.forgotten += self._said - said
        self._told, self._said = told, said
        self._starts = {each: at for each, at in self._starts.items() if at[0] < told}
        if turn == _BEGINNING:
            yield self._about_file()

    def _about_file(self) -> AnyEvent:
        """Return what the model is told before all else."""
        self._starts[_BEGINNING] = self._told, self._said
        text = (
            f"[Omni TUI: this conversation was loaded from a file of {PROGRAMS[self._source]}. Its calls "
            "were made before, elsewhere, and none of them is open; what they returned may be out of date.]"
        )
        return self._model_message(Message(role="user", text=text), _BEGINNING)

    def _user(self, item: FileMessage, turn: str) -> Iterator[AnyEvent]:
        self._starts[turn] = self._told, self._said
        self._said += 1
        words = _words(item.text)
        shown = safe(words)
        yield e.UserMessage(
            turn=turn,
            text=shown,
            written=words if words != shown else "",
            attachments=tuple(
                AttachedResource(
                    server=safe_line(each.server),
                    label=safe_line(each.label),
                    address=safe_line(each.address, limit=500),
                )
                for each in item.attachments[:_MOST_PARTS]
            ),
            loaded=True,
            ts=self._ts,
        )
        lost = ", ".join(f"{each.server} › {each.label or each.address}" for each in item.attachments)
        note = f"\n\n[Omni TUI: attached, and not in the file: {lost[:2_000]}]" if lost else ""
        yield self._model_message(Message(role="user", text=encodable(words + note)), turn)

    def _answer(self, item: FileMessage, turn: str) -> Iterator[AnyEvent]:
        self._said += 1
        text, agent = bounded_text(item.text), _agent(item.agent)
        yield e.Answer(
            turn=turn,
            message=self._next("message"),
            text=safe(text),
            partial=item.partial,
            label=safe_line(item.label),
            agent=agent,
            loaded=True,
            ts=self._ts,
        )
        if agent == "root":
            yield from self._answered()
            self._text, self._turn = text, turn
        else:
            yield self._model_message(Message(role="assistant", text=text), turn, agent)

    def _call(self, item: FileCall, turn: str) -> Iterator[AnyEvent]:
        call = self._next("call")
        parts = item.result[:_MOST_PARTS]
        whole = msgspec.structs.replace(
            item,
            server=bounded_name(item.server),
            tool=bounded_name(item.tool),
            agent=_agent(item.agent),
            decider=bounded_name(item.decider),
            reason=bounded_text(item.reason, 4_000),
            feedback=bounded_text(item.feedback, 20_000),
            elapsed_ms=max(0.0, item.elapsed_ms) if math.isfinite(item.elapsed_ms) else 0.0,
            result=tuple(
                msgspec.structs.replace(
                    part,
                    text=bounded_text(part.text),
                    mime=bounded_name(part.mime),
                    uri=bounded_text(part.uri, 2_000),
                    size=min(max(part.size, 0), 1 << 50),
                )
                for part in parts
            ),
        )
        yield CallLoaded(
            call=call,
            server=safe_line(whole.server),
            tool=safe_line(whole.tool),
            label=safe_line(whole.tool),
            arguments=safe_json(msgspec.json.decode(whole.arguments), limit=_PREVIEW),
            state=whole.state,
            turn=turn,
            agent=whole.agent,
            origin=whole.origin,
            decider=safe_line(whole.decider),
            reason=safe(whole.reason),
            feedback=safe(whole.feedback),
            elapsed_ms=whole.elapsed_ms,
            parts=_previews(whole.result),
            size=sum(part.size or len(part.text) for part in whole.result),
            ts=self._ts,
        )
        yield CallContentLoaded(call=call, body_json=msgspec.json.encode(whole).decode(), ts=self._ts)
        if whole.agent == "root" and whole.origin == "agent":
            self._turn = self._turn or turn
            self._calls.append((_tool_call(whole, call), whole))

    def _answered(self) -> Iterator[AnyEvent]:
        """Yield the model's last message with its calls and their results, once all of it is known."""
        text, calls, turn = self._text, self._calls, self._turn or _BEGINNING
        self._text, self._calls, self._turn = "", [], ""
        if not text and not calls:
            return
        asked = tuple(call for call, _ in calls)
        yield self._model_message(Message(role="assistant", text=text, calls=asked), turn)
        for call, item in calls:
            yield self._model_message(_result_message(call, item), turn, call=call.id)

    def _model_message(
        self, message: Message, turn: str, agent: str = "root", call: str = ""
    ) -> e.ModelMessage:
        body = exact_json(msgspec.to_builtins(message))
        self._told += agent == "root"
        return e.ModelMessage(
            turn=turn, role=message.role, body_json=body, agent=agent, call=call, ts=self._ts
        )

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"loaded-{kind}-{self._number}"


def _moment(ts: float, now: float) -> float:
    """Return a time that a file tells, 0 if it cannot be one: a time to come would stop the clock."""
    return ts if math.isfinite(ts) and 0 < ts <= now else 0.0


def _agent(agent: str) -> str:
    return safe_line(agent, limit=LONGEST_NAME) or "root"


def _tags(tags: tuple[str, ...]) -> tuple[SafeText, ...]:
    """Return the tags that a session may have."""
    kept: tuple[SafeText, ...] = ()
    for tag in tags[:MOST_TAGS]:
        with suppress(LabelRefused):
            kept = changed_tags(kept, [tag], [])
    return kept


def _words(text: str) -> str:
    """Return a person's text, cut to what a frame can hold in its exact form."""
    words = bounded_text(text)
    limit = len(words)
    while len(msgspec.json.encode(words)) > _LONGEST_WORDS:
        limit = min(limit // 2, _LONGEST_WORDS)
        words = bounded_text(text, limit)
    return words


def _previews(parts: Sequence[FilePart]) -> tuple[ContentPart, ...]:
    """Return previews of the parts of a result that together fit a frame."""
    found, room = [], _PREVIEWS
    for number, part in enumerate(parts):
        limit = min(_PREVIEW, room)
        shown = shown_part(part) if part.kind not in ("image", "audio") else part.text
        text = safe(shown, limit=max(limit, 100))
        room = max(0, room - len(text))
        found.append(
            ContentPart(
                index=number,
                kind=part.kind,
                text=text,
                mime=safe_line(part.mime, limit=100),
                uri=safe_line(part.uri, limit=500),
                size=part.size or len(part.text),
                truncated=part.cut or len(shown) > limit,
            )
        )
    return tuple(found)


def _tool_call(item: FileCall, call: str) -> ToolCall:
    """Return a call as a model wrote it, under a name that every provider takes."""
    name = _NAME.sub("_", f"{item.server}__{item.tool}" if item.server else item.tool)[:64]
    return ToolCall(id=call, name=name or "unknown_tool", arguments=bytes(item.arguments).decode())


def _result_message(call: ToolCall, item: FileCall) -> Message:
    if item.state in _ANSWERED:
        text = "\n".join(map(shown_part, item.result)) or item.reason
        return tool_message(call, text, item.state)
    return missing_result(call, _TOLD.get(item.state, item.state))
