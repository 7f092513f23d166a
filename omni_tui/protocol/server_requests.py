"""Server requests: input by a form, a visit to a page, an answer of the model.

A request is shown in the approvals beside the calls; nothing is sent back before a decision. It exists only
while the server waits: a restart closes it.
Source: MCP 2025-11-25 and 2026-07-28, client features "Elicitation" and "Sampling".
"""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.base import Command, Journalled
from omni_tui.protocol.text import JsonText, SafeText

ServerRequestKind = Literal["form", "url", "sampling"]
ServerRequestStage = Literal[
    "asked",  # waits for the person
    "answering",  # sampling: the model is writing; it can still be declined
    "review",  # sampling: the model has answered; `content` is now the answer, and waits for the person
]
ServerRequestOutcome = Literal[
    "accepted",  # the answer was sent
    "declined",  # the server was told no
    "cancelled",  # the server was told that nobody decided
    "withdrawn",  # the server does not wait any more, or is gone
]
ServerRequestAction = Literal["accept", "decline", "cancel"]


class ServerRequestOpened(Journalled, tag="server_asked"):
    """A server asks something and waits. Sent again, with a new digest, at every edit and stage.

    `message` are the server's words; `content` is what belongs to them, safe and pretty: the fields of
    a form, the whole address, the messages for the model, or (stage `review`) the model's answer.
    `content_json` is the same, exact, if `complete`: the form's JSON Schema; `{"url": …}`; the
    sampling request in the words of the specification (`messages`, `systemPrompt`, `maxTokens`, …);
    `{"text": …}`. `differs` as in `ApprovalRequested`. `refused` says why it cannot be accepted; it can
    only be declined then. `call` is the call in whose course it is asked, "" where that is not known.
    `host` is the part of an address to look at first; `browser` says that one could be opened on the
    engine's machine. `model` and `budget` (sampling) say who would answer and what is left to spend.
    `expires` as in `ApprovalRequested`; 0 also while the model is answering.
    `former` is the digest of what the person edited or accepted, which led to this; "" if they did nothing.
    """

    ask: str
    server: str
    kind: ServerRequestKind
    stage: ServerRequestStage
    label: SafeText
    message: SafeText
    digest: str
    content: SafeText
    content_json: JsonText
    size: int
    complete: bool
    differs: bool
    why: tuple[SafeText, ...] = ()
    refused: SafeText = SafeText("")
    host: SafeText = SafeText("")
    browser: bool = False
    target: SafeText = SafeText("")
    transport: str = ""
    model: SafeText = SafeText("")
    budget: SafeText = SafeText("")
    call: str = ""
    edited: bool = False
    expires: float = 0.0
    former: str = ""


class ServerRequestClosed(Journalled, tag="ask_closed"):
    """A server request is closed. On disk before the answer is sent.

    `decider` is `user`, `policy`, `headless`, `timeout`, `server`, `restart`, `stop`, or "" if the server
    no longer waits; `answer` is what was sent, bounded. `shown` is the digest of what was shown last,
    `sent` the keyed digest of the whole answer, "" if none was sent.
    """

    ask: str
    outcome: ServerRequestOutcome
    decider: str
    reason: SafeText = SafeText("")
    answer: SafeText = SafeText("")
    shown: str = ""
    sent: str = ""


class AnswerServerRequest(Command, tag="answer_ask"):
    """Answer exactly what was shown. `content_json` are the values of a form, an object.

    Accepting a page opens it where there is a browser. Accepting a sampling request lets the model
    answer; accepting its review sends that answer. Values that do not fit, or that hold a known
    secret, are refused and the question goes on waiting.
    """

    ask: str
    digest: str
    action: ServerRequestAction
    content_json: JsonText = JsonText("{}")


class EditServerRequest(Command, tag="edit_ask"):
    """Replace the shown messages for the model, or its shown answer."""

    ask: str
    digest: str
    content_json: JsonText


class OpenServerRequestPage(Command, tag="open_ask_page"):
    """Open the address of a request in a browser on the engine's machine; the request stays pending."""

    ask: str
    digest: str
