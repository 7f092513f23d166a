"""The events of a turn: messages, thoughts, answers, steps, usage, and the report."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from omni_tui.protocol.base import Event, Journalled
from omni_tui.protocol.goals import GoalPart
from omni_tui.protocol.prompts_and_resources import AttachedResource
from omni_tui.protocol.text import JsonText, SafeText
from omni_tui.protocol.values import Mode, TurnLimit, TurnStatus, Usage


class PromptPassage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a message that a prompt of a server put there: characters `start` to `end` of its words."""

    server: str
    start: int
    end: int


class UserMessage(Journalled):
    """A message of the person, on disk before anything is done about it.

    `text` is shown; `written` is the exact text if it differs (a tab, a control). `mode` is the mode of its
    turn. If `loaded`, it comes from a file: it began no turn, and the person did not type it. What is
    `from_prompts` they did not type either.
    """

    turn: str
    text: SafeText
    attachments: tuple[AttachedResource, ...] = ()
    mode: Mode | None = None
    written: str = ""
    loaded: bool = False
    from_prompts: tuple[PromptPassage, ...] = ()

    @property
    def words(self) -> str:
        """The exact text, for the model and for editing."""
        return self.written or self.text


class Steered(Journalled):
    """The model got a message that was sent during a turn; that message (`by`) has no turn of its own."""

    turn: str
    by: str


class TurnStarted(Journalled):
    """The agent begins to work on a message."""

    turn: str
    mode: Mode
    model: SafeText
    agent: str = "root"


class AwaitingTools(Event):
    """A message waits for connecting servers, at most until `until` (Unix seconds).

    Sent again when the servers change; without servers when the wait is over.
    """

    turn: str
    servers: tuple[SafeText, ...]
    until: float


class ThoughtDelta(Event):
    """More of a thought that is being streamed."""

    turn: str
    message: str
    text: SafeText
    agent: str = "root"


class Thought(Journalled):
    """A whole thought; replaces its deltas. `loaded`: it comes from a file."""

    turn: str
    message: str
    text: SafeText
    agent: str = "root"
    loaded: bool = False


class AnswerDelta(Event):
    """More of an answer that is being streamed."""

    turn: str
    message: str
    text: SafeText
    agent: str = "root"


class Answer(Journalled):
    """A whole answer in Markdown; replaces its deltas. `partial`: the stream broke or was stopped.

    `loaded`: it comes from a file.
    """

    turn: str
    message: str
    text: SafeText
    partial: bool = False
    label: SafeText = SafeText("")
    agent: str = "root"
    loaded: bool = False


class Retrying(Event):
    """A model request failed and will be sent again."""

    turn: str
    attempt: int
    of: int
    delay_s: float
    reason: SafeText
    agent: str = "root"


class UsageChanged(Journalled):
    """What one model request used. Panes sum these. `context` is the share of the window in use, 0 to 1.

    `model` is "" in journals of earlier versions. `began` is when it was sent, as Unix time, and `first_ms`
    the milliseconds until something of the answer came; 0 where that is not known.
    """

    turn: str
    usage: Usage
    context: float | None = None
    agent: str = "root"
    model: SafeText = SafeText("")
    began: float = 0.0
    first_ms: float = 0.0


class ModelRequestFailed(Journalled):
    """A model request failed. It may be sent again, or another model may be asked.

    `began` is when it was sent, as Unix time; `kind` is that of the error.
    """

    turn: str
    model: SafeText
    began: float
    elapsed_ms: float
    kind: str
    reason: SafeText = SafeText("")
    agent: str = "root"


class TurnEnded(Journalled):
    """The turn ended (or was parked).

    `limit`: which limit was reached, if that is the status. `missing`: servers whose tools the model did
    not have. `connecting_s`: the seconds that it waited for servers to connect.
    """

    turn: str
    status: TurnStatus
    reason: SafeText = SafeText("")
    todo: SafeText = SafeText("")
    steps: int = 0
    limit: TurnLimit = ""
    missing: tuple[SafeText, ...] = ()
    connecting_s: float = 0.0


class ModelMessage(Journalled):
    """One message of the model's history, exact, for the next request. Never leaves the engine.

    `role` is system, user, assistant or tool; `body_json` is the provider-neutral message.
    """

    public: ClassVar[bool] = False
    internal: ClassVar[bool] = True

    turn: str
    role: str
    body_json: JsonText
    call: str = ""
    agent: str = "root"


class StepTaken(Event):
    """An agent asks its model for the next step: how much of the turn's limits is used.

    Times are in seconds; `max_s` is 0 where time has no limit.
    """

    turn: str
    step: int
    max_steps: int
    elapsed_s: float
    max_s: float = 0.0
    agent: str = "root"


class ReportedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a turn and what became of it (a state of `CallChanged` or `CallFinished`)."""

    call: str
    server: str
    label: SafeText
    state: str


class RunReport(Journalled):
    """What a turn of auto or orchestrator did, from the journal: every call, not what a model says of it.

    `states` counts all calls by their state; `calls` are at most 200 of them, those that did not succeed
    first. `elapsed_s` is of this stretch of the turn. `goal` is in the person's words; each of its `parts`
    is reached, not reached or not checked. `open`: what is left, in a line each.
    """

    turn: str
    states: dict[str, int]
    calls: tuple[ReportedCall, ...]
    elapsed_s: float
    tokens: int = 0
    cost: float | None = None
    goal: SafeText = SafeText("")
    parts: tuple[GoalPart, ...] = ()
    open: tuple[SafeText, ...] = ()
