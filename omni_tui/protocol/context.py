"""What a model gets besides the conversation: summaries, the built-in tools, the system prompt; its
window.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply, Event, Journalled
from omni_tui.protocol.text import SafeText

PartOfContext = Literal["system", "tools", "summary", "history", "results", "attachments"]


class ContextPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one part of a request costs, in tokens (an estimate)."""

    kind: PartOfContext
    tokens: int


class ShrunkResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result of which a request carries an excerpt. `size` is the whole's, in characters.

    `call` is the id under which the whole can be read, "" if it cannot.
    """

    call: str
    tool: SafeText
    size: int


class ContextChanged(Event):
    """What the request that is about to be sent carries. Tokens are estimates.

    `limit` is what requests keep to, `window` what the model takes, None where nobody knows; then the
    limit is `assumed`. `shrunk`
    names the last fifty of `shrunk_count`. `dropped` counts messages that are left out, `summarised`
    those of them that a summary stands for; `by_model` says who wrote it. `hits` are counts that were
    known from before, `misses` those that had to be made.
    """

    turn: str
    model: SafeText
    parts: tuple[ContextPart, ...]
    total: int
    limit: int | None = None
    window: int | None = None
    shrunk: tuple[ShrunkResult, ...] = ()
    shrunk_count: int = 0
    dropped: int = 0
    summarised: int = 0
    by_model: bool = False
    summary: SafeText = SafeText("")
    offered: int = 0
    tools: int = 0
    hits: int = 0
    misses: int = 0
    agent: str = "root"
    assumed: bool = False


class ContextSummarised(Journalled):
    """The first `upto` messages of an agent's history have a summary, which is used from now on.

    `mark` is a digest of them. Without `by_model` it was made by rules, for the `reason` given.
    """

    turn: str
    upto: int
    mark: str
    text: SafeText
    by_model: bool
    reason: SafeText = SafeText("")
    agent: str = "root"


class BuiltinToolCalled(Journalled, tag="meta_called"):
    """A model used a built-in tool. Nothing was sent to a server.

    `asked` is what it wanted, `answer` what it got, in a line each.
    """

    turn: str
    tool: Literal["find_tools", "read_result"]
    asked: SafeText
    answer: SafeText
    agent: str = "root"


class SystemChanged(Journalled):
    """The person's part of the system prompt from the next turn on, in this session.

    `text` is shown; `written` is the exact text if it differs.
    """

    text: SafeText
    written: str = ""

    @property
    def words(self) -> str:
        """The exact text, for the model."""
        return self.written or self.text


class SystemText(CommandReply):
    """The person's part of the system prompt, its source, and the whole prompt."""

    own: SafeText
    source: Literal["config", "session"]
    whole: SafeText


class ReadSystem(Command):
    """Ask for `SystemText`."""


class SetSystem(Command):
    """Replace the person's part of the system prompt, for this session."""

    text: str
