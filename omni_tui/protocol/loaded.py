"""A conversation that was loaded from a file: history, in which nothing waits and nothing is sent again.

Whoever wrote the file may be anybody, so all of it is data from outside, the messages of a person too.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from omni_tui.protocol.base import Command, Journalled
from omni_tui.protocol.text import SafeText
from omni_tui.protocol.values import ContentPart

FileSource = Literal["omni-tui", "omni-connect", "claude-code", "codex", "llm", "oterm"]
"""Whose file it is."""

PROGRAMS: dict[FileSource, str] = {
    "omni-tui": "Omni TUI",
    "omni-connect": "MCPOmni Connect",
    "claude-code": "Claude Code",
    "codex": "Codex",
    "llm": "llm",
    "oterm": "oterm",
}
"""The same in words."""

LoadedState = Literal[
    "succeeded",
    "failed",
    "result_rejected",
    "rejected",
    "denied",
    "withheld",
    "expired",
    "cancelled",
    "uncertain",
    "unfinished",  # it had not ended when the file was written; nobody waits for it here
]
"""How a loaded call had ended."""


class SessionLoaded(Journalled):
    """The session was made from a file: everything before this comes from there, and says `loaded`.

    `file` is its name without the folder, `origin` the session's id there, `model` the model that answered
    there, `created` when it began (Unix time, 0: not known).
    """

    source: FileSource
    file: SafeText
    origin: SafeText = SafeText("")
    model: SafeText = SafeText("")
    created: float = 0.0
    messages: int = 0
    calls: int = 0


class CallLoaded(Journalled):
    """A call that was made before the conversation was saved, by another session or program.

    It was never proposed here: no gate, statistics or rule counts it. `arguments`, `parts` and `size` are
    as in `CallProposed` and `CallFinished`.
    """

    call: str
    server: str
    tool: str
    label: SafeText
    arguments: SafeText
    state: LoadedState
    turn: str = ""
    agent: str = "root"
    origin: Literal["agent", "hand"] = "agent"
    decider: str = ""
    reason: SafeText = SafeText("")
    feedback: SafeText = SafeText("")
    elapsed_ms: float = 0.0
    parts: tuple[ContentPart, ...] = ()
    size: int = 0


class CallContentLoaded(Journalled):
    """The exact arguments and result of a loaded call, as in the file. Never leaves the engine."""

    public: ClassVar[bool] = False
    internal: ClassVar[bool] = True

    call: str
    body_json: str


class NoteLoaded(Journalled):
    """Something that the transcript of a loaded conversation told beside messages and calls."""

    text: SafeText
    warning: bool = False
    turn: str = ""


class SaveConversation(Command):
    """Save the session to a file; answered by `FileSaved`.

    Its suffix tells the format: .md, .html, .cast, else JSON. Without a `path` it is a new JSON file in the
    current folder.
    """

    path: str = ""
    overwrite: bool = False


class LoadConversation(Command):
    """Make a session of the conversation in a file and follow it. `CommandDone.id` is the new session."""

    path: str
