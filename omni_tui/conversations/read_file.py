"""Read the conversations of a file, whoever's it is. The file is only read, and nothing is kept open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from omni_tui.conversations.claude_code import from_claude_code, is_claude_code
from omni_tui.conversations.codex import from_codex, is_codex
from omni_tui.conversations.document import SavedConversation, UnreadableFile
from omni_tui.conversations.foreign import json_in
from omni_tui.conversations.foreign_database import MAGIC, foreign_database
from omni_tui.conversations.json_file import from_json, is_own
from omni_tui.conversations.llm_database import from_llm, is_llm
from omni_tui.conversations.omni_connect import from_history, from_lines, is_lines, read_json
from omni_tui.conversations.oterm_database import from_oterm, is_oterm
from omni_tui.protocol.loaded import FileSource
from omni_tui.security.files import NotRegularFile, open_regular

LARGEST = 64 * 1024 * 1024
"""Bytes of a file of text. A database may be larger."""
_MOST_VALUES = 6_000_000
"""Values of a JSON document, about: each costs up to a hundred bytes of memory."""
_LOOKED_AT = 50
"""Lines that may come before one that tells whose transcript it is."""


@dataclass(frozen=True, slots=True)
class FoundConversations:
    """What a file holds, oldest first."""

    source: FileSource
    conversations: tuple[SavedConversation, ...]


def read_conversations(path: Path) -> FoundConversations:
    """Read a file. Blocks, for a large one for seconds. Raises `UnreadableFile`."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            first = file.read(len(MAGIC))
            if first == MAGIC:
                return _of_database(path)
            if size > LARGEST:
                raise UnreadableFile(
                    f"it is too large: {size / 1e6:,.0f} MB; at most {LARGEST / 1e6:,.0f} MB are read"
                )
            data = first + file.read(LARGEST + 1 - len(first))
    except NotRegularFile as error:
        raise UnreadableFile(str(error.strerror)) from None
    except OSError as error:
        raise UnreadableFile((error.strerror or str(error)).lower()) from None
    except ValueError as error:  # a zero byte in its name
        raise UnreadableFile(str(error)) from None
    if len(data) > LARGEST:
        raise UnreadableFile(f"it is too large; at most {LARGEST / 1e6:,.0f} MB are read")
    return _of_text(data.removeprefix(b"\xef\xbb\xbf"))


def _of_database(path: Path) -> FoundConversations:
    with foreign_database(path) as database:
        if is_llm(database):
            return _found("llm", from_llm(database))
        if is_oterm(database):
            return _found("oterm", from_oterm(database))
    raise UnreadableFile("it is a database, but not one of llm or oterm")


def _found(source: FileSource, conversations: list[SavedConversation]) -> FoundConversations:
    kept = tuple(each for each in conversations if each.items)
    if not kept:
        raise UnreadableFile("there is no message in it")
    return FoundConversations(source, kept)


def _of_text(data: bytes) -> FoundConversations:
    text = _decoded(data)
    try:
        if is_own(data):
            return FoundConversations("omni-tui", (from_json(data),))
    except RecursionError:
        raise UnreadableFile("it is nested too deeply") from None
    except msgspec.DecodeError:
        pass  # not one JSON document, or one with half characters
    if (source := _transcript_source(text)) is not None:
        lines = _lines(text)
        return _found(source, [from_codex(lines) if source == "codex" else from_claude_code(lines)])
    if is_lines(text):
        return _found("omni-connect", from_lines(text))
    if text.lstrip()[:1] in ("[", "{"):
        return _found("omni-connect", from_history(read_json(text)))
    raise UnreadableFile("it is no conversation that Omni TUI knows")


def _decoded(data: bytes) -> str:
    """Return a file's text. Raises `UnreadableFile` for one that is no text, or a flood of values."""
    if not data.strip():
        raise UnreadableFile("it is empty")
    if b"\x00" in data:
        raise UnreadableFile(f"it is not text: byte {data.index(0):,} is zero")
    if data.count(b",") + data.count(b"[") + data.count(b"{") > _MOST_VALUES:
        raise UnreadableFile("it holds too many values")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"it is not UTF-8: byte {error.start:,} cannot be read") from None


def _transcript_source(text: str) -> FileSource | None:
    """Return whose transcript of lines of JSON it is, None if it is none."""
    for number, line in enumerate(_raw_lines(text)):
        if number >= _LOOKED_AT or not line.startswith("{"):
            return None
        try:
            value = json_in(line)
        except ValueError:
            return None
        if isinstance(value, dict) and is_codex(value):
            return "codex"
        if isinstance(value, dict) and is_claude_code(value):
            return "claude-code"
    return None


def _raw_lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if line := text[start:end].strip():
            yield line
        start = end + 1


def _lines(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a transcript. Its last line may be cut off: the program may still write it."""
    number = 0
    broken = ""
    for number, line in enumerate(_raw_lines(text), 1):
        if broken:
            raise UnreadableFile(broken)
        try:
            value = json_in(line)
        except ValueError as error:
            broken = f"it is damaged: line {number:,}: {error}"
            continue
        if isinstance(value, dict):
            yield value
