"""Saved sessions: search in all of them, look into one, give it a title or tags, delete it."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText

TextRole = Literal["title", "you", "answer", "thought", "call", "result"]
"""Whose words were found."""


class SnippetPart(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a snippet; `hit`: it is what was searched for."""

    text: SafeText
    hit: bool = False


class TextPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a session a text is: a call, a message of an agent, else the message that began a turn."""

    turn: str = ""
    message: str = ""
    call: str = ""


class FoundSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session with hits, and one of them: its event `seq`, its time, and its words around the hit.

    `snippet` is empty for sessions far down, and where the text cannot be read.
    """

    session: str
    hits: int
    seq: int
    role: TextRole
    ts: float
    snippet: tuple[SnippetPart, ...] = ()
    place: TextPlace = TextPlace()


class SearchSessions(Command):
    """Ask for `SessionsFound`. A later search of the same client ends this one, which is then refused."""

    words: str
    limit: int = 200


class SessionsFound(CommandReply):
    """The sessions that have texts with all words.

    They are the best first, or if not `ranked` (there are too many) those with the newest hits. `total`
    counts texts. `left` is the number of sessions that are still being read: ask again. `unreadable` cannot
    be read. `searched`: the words that were looked for, without those that have no letter or digit.
    """

    sessions: tuple[FoundSession, ...]
    total: int = 0
    ranked: bool = True
    left: int = 0
    unreadable: int = 0
    searched: tuple[SafeText, ...] = ()


class PreviewSession(Command):
    """Ask for `SessionPreviewed`: the end of a session, or what is around event `seq`.

    With `words`, also where the session has them, as of the last search.
    """

    session: str
    seq: int = 0
    words: str = ""


class SessionPreviewed(CommandReply):
    """A part of the session in the header. `events` are journalled events, each encoded as in a frame.

    `first`: the part begins with the session; `last`: it ends with it. `hits` are the numbers of the events
    that have the words, `place` where event `at` is.
    """

    events: tuple[str, ...]
    first: bool = True
    last: bool = True
    hits: tuple[int, ...] = ()
    at: int = 0
    place: TextPlace = TextPlace()


class RenameSession(Command):
    """Give a session another title. One that is open elsewhere is refused."""

    session: str
    title: str


class TagSession(Command):
    """Add and remove tags of a session. One that is open elsewhere is refused."""

    session: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class DeleteSession(Command):
    """Delete a session for good. One that is open anywhere is refused. Only for a client with a person."""

    session: str
