"""What the readers of other programs' files share: typed values out of JSON that may hold anything."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from omni_tui.conversations.document import (
    MOST_ITEMS,
    FileCall,
    FileItem,
    FileMessage,
    FileNote,
    FilePart,
    FileSession,
    FileThought,
    SavedConversation,
    UnreadableFile,
    bounded_name,
    bounded_text,
    raw_json,
    raw_text,
)


def text_in(value: object) -> str:
    """Return a value if it is a text, "" otherwise."""
    return value if isinstance(value, str) else ""


def dict_in(value: object) -> dict[str, Any]:
    """Return a value if it is an object, an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def list_in(value: object) -> list[Any]:
    """Return a value if it is a list, an empty one otherwise."""
    return value if isinstance(value, list) else []


def moment_in(value: object) -> float:
    """Return a time in Unix seconds, from a number or a text of ISO 8601; 0 if it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e11 else float(value) / 1000  # milliseconds
    try:
        found = datetime.fromisoformat(text_in(value))
    except ValueError:
        return 0.0
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def json_in(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises `ValueError`, also for one that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class ItemCollector:
    """Collects the items of one conversation, numbers its turns, and brings results to their calls.

    `program` stands for the server of a tool that has none: it is the program's own.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self.items: list[FileItem] = []
        self._turn = 0
        self._calls: dict[str, int] = {}

    def _add(self, item: FileItem) -> None:
        if len(self.items) >= MOST_ITEMS:
            raise UnreadableFile(f"it has more than {MOST_ITEMS:,} entries")
        self.items.append(item)

    def user(self, text: str, ts: float = 0.0) -> None:
        """Add a message of the person, which begins a turn."""
        if text.strip():
            self._turn += 1
            self._add(FileMessage(role="user", text=bounded_text(text), turn=self._turn, ts=ts))

    def answer(self, text: str, ts: float = 0.0, agent: str = "root") -> None:
        """Add an answer."""
        if text.strip():
            self._add(
                FileMessage(role="assistant", text=bounded_text(text), turn=self._turn, ts=ts, agent=agent)
            )

    def thought(self, text: str, ts: float = 0.0, agent: str = "root") -> None:
        """Add a thought."""
        if text.strip():
            self._add(FileThought(text=bounded_text(text), turn=self._turn, ts=ts, agent=agent))

    def call(
        self,
        ident: str,
        server: str,
        tool: str,
        arguments: object,
        ts: float = 0.0,
        agent: str = "root",
    ) -> None:
        """Add a call; `arguments` is a value of JSON, or a text that should be JSON."""
        raw = raw_text(arguments) if isinstance(arguments, str) else raw_json(arguments)
        if ident:
            self._calls[ident] = len(self.items)
        self._add(
            FileCall(
                server=bounded_name(server) or self._program,
                tool=bounded_name(tool) or "unknown",
                state="unfinished",
                arguments=raw,
                turn=self._turn,
                ts=ts,
                agent=agent,
            )
        )

    def note(self, text: str, ts: float = 0.0) -> None:
        """Add what the program said itself."""
        if text.strip():
            self._add(FileNote(text=bounded_text(text), turn=self._turn, ts=ts))

    def knows(self, ident: str) -> bool:
        """Whether there is a call of that id."""
        return ident in self._calls

    def result(self, ident: str, parts: tuple[FilePart, ...], *, failed: bool = False) -> None:
        """Add the result of a call; the first counts. One of an unknown call is left out."""
        at = self._calls.get(ident)
        if at is None:
            return
        call = self.items[at]
        assert isinstance(call, FileCall)
        if call.state == "unfinished":
            self.items[at] = _ended(call, parts, failed=failed)

    def conversation(
        self, *, ident: str = "", title: str = "", model: str = "", created: float = 0.0
    ) -> SavedConversation:
        """Return what was collected."""
        session = FileSession(
            id=bounded_name(ident),
            title=bounded_name(title),
            model=bounded_name(model),
            created=created,
        )
        return SavedConversation(session=session, items=tuple(self.items))


def _ended(call: FileCall, parts: tuple[FilePart, ...], *, failed: bool) -> FileCall:
    return msgspec.structs.replace(call, state="failed" if failed else "succeeded", result=parts)


def text_part(text: str) -> FilePart:
    """Return a part of a result that is text."""
    return FilePart(text=bounded_text(text), size=len(text))


def server_and_tool(name: str) -> tuple[str, str]:
    """Return server and tool of a name such as `mcp__files__read`; "" for a tool without a server."""
    if name.startswith("mcp__"):
        server, found, tool = name.removeprefix("mcp__").partition("__")
        if found and server and tool:
            return server, tool
    return "", name
