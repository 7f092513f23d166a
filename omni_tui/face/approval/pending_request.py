"""A server request that waits for the person: an elicitation (form or URL) or sampling.

The server's own words are quoted where a call has its arguments, so that accepting needs all of them
on the screen. Source: MCP 2025-11-25, client features.
"""

from __future__ import annotations

import re
from functools import cached_property

from textual.content import Content

from omni_tui.face.approval.argument_lines import argument_lines
from omni_tui.face.approval.card_body import CardBody, head_lines, labelled, labelled_rows
from omni_tui.face.approval.pending_item import PLAIN, DecisionKey, KeyRows, PendingItem, PersonVerdict
from omni_tui.face.approval.values import JsonLiteral, JsonObject, JsonValue, OwnLabel, parse, spell
from omni_tui.face.approval.visible import has_invisible, visible, visible_identifier
from omni_tui.face.form.schema import Field, read_schema
from omni_tui.face.formats import counted
from omni_tui.face.overview import server_request_key
from omni_tui.face.widgets.lines_view import join_content, wrap, wrap_rows
from omni_tui.protocol import AnyCommand, AnyEvent, JsonText, SafeText
from omni_tui.protocol.server_requests import (
    AnswerServerRequest,
    EditServerRequest,
    OpenServerRequestPage,
    ServerRequestAction,
    ServerRequestClosed,
    ServerRequestOpened,
)
from omni_tui.security.text import safe_line

_CHIPS = {"form": "ASKS YOU", "url": "A PAGE", "sampling": "ASKS YOUR MODEL"}
_STAGE_CHIPS = {"answering": "MODEL IS ANSWERING", "review": "MODEL'S ANSWER"}
_ACCEPT = {"form": "fill in", "url": "agree", "sampling": "let it answer", "review": "send"}
_ACTIONS: dict[PersonVerdict, ServerRequestAction] = {
    "approve": "accept",
    "reject": "decline",
    "cancel": "cancel",
}
_LABEL_LIMIT, _WHY_LIMIT = 120, 600
_NAMED = 8
"""Choices of a field that the card names."""
_FAR = re.compile(r" {24}|\n{5}| (\n|\Z)")
"""Space that hides something, or that is lost where words are wrapped: such a text is drawn exactly."""
_LIMITS = {"maxTokens": "most tokens", "temperature": "temperature", "stopSequences": "stops at"}
_BINARY = ("image", "audio")
_ROLES = ("user", "assistant")
Drawn = tuple[list[Content], str]
"""What came with the server's words, drawn, and what the card says of it."""


class PendingRequestItem(PendingItem):
    """A server request in the queue. `during` names the call during which it came, if known."""

    noun = "request"
    unanswered = "then the server is told that nobody decided"
    from_server = True
    reject_label = "decline"
    exact_label = "exactly as it came"
    done = {"approve": "answered", "reject": "declined", "cancel": "cancelled", "defer": "deferred"}
    why_not_in_batch = "a server request is answered by itself"

    def __init__(self, event: ServerRequestOpened, during: str = "") -> None:
        super().__init__(server_request_key(event.ask), event)
        self.server, self.label = event.server, safe_line(event.label, limit=_LABEL_LIMIT)
        self.arguments, self.arguments_json = event.content, event.content_json
        self.complete = event.complete
        self.event = event
        self.during = during
        self.kind = "review" if event.stage == "review" else event.kind
        self.accept_label = _ACCEPT[self.kind]
        self.why_blocked = _why_blocked(event)
        self.form = self if event.kind == "form" else None

    @property
    def edit_title(self) -> str:
        """What the editor says it edits."""
        return f"edit {'the answer to' if self.kind == 'review' else 'the request of'} {self.name}"

    @cached_property
    def headline(self) -> SafeText:
        """The beginning of the server's words."""
        return safe_line(" ".join(self.event.message[:400].split()), limit=200)

    @property
    def copy_text(self) -> tuple[str, str]:
        """The address, the server's words, the request to the model or the model's answer."""
        if address := _page_url(self.event):
            return address, "the address"
        if self.form is not None:
            return self.event.message, "the message"
        what = "the model's answer" if self.kind == "review" else "the request"
        return (self.arguments_json if self.complete else self.arguments), what

    @property
    def keys(self) -> KeyRows:
        """The keys of the card, by rows."""
        first: list[DecisionKey] = [("reject", self.reject_label, "$fail"), ("cancel_ask", "", PLAIN)]
        second: list[DecisionKey] = [("later", "", PLAIN), ("view_call", "", PLAIN)]
        if not self.why_blocked:
            first.insert(0, ("approve", self.accept_label, ""))
            if self.event.kind == "sampling":
                second.insert(0, ("edit_call", "", PLAIN))
        if self.event.kind == "url":
            second.insert(0, ("copy_call", "copy", PLAIN))
            if self.event.browser:
                second.insert(0, ("open_page", "open first", PLAIN))
        return tuple(first), tuple(second)

    def chip(self) -> Content:
        """Draw its kind."""
        word = _STAGE_CHIPS.get(self.event.stage, _CHIPS[self.event.kind])
        parts = [Content.styled(f" {word} ", "bold $on-colour on $waiting")]
        if self.edited:
            parts.append(Content.styled(" EDITED ", "bold $on-colour on $mine"))
        return join_content(" ", parts)

    def body(self, width: int) -> CardBody:
        """Draw the parts of its card."""
        event = self.event
        lines = quoted_lines(event.message, width)
        drawn, verdict = _DRAWN[self.kind](event, width)
        lines += [Content(""), *drawn] if lines and drawn else drawn
        if event.refused:
            verdict = "it can only be declined"
        elif not event.complete:
            verdict = f"only the beginning is shown; {event.size:,} bytes in all"
        style = "$text-2" if event.complete and not event.differs else "$waiting"
        opens = "view_call" if self.form is not None else "approve"
        said = wrap(Content.styled(verdict, style), width)
        return CardBody(self._head(width), lines, said, self._origin(width), [], opens)

    def full_view(self, width: int) -> list[Content]:
        """Draw all of it, with what is to be known about it first."""
        head = self._head(width)[1:]
        return [*head, *([Content("")] if head else []), *super().full_view(width)]

    def _head(self, width: int) -> list[Content]:
        event = self.event
        head = head_lines(Content.styled(self.name, "bold $text-1"), self.chip(), width)
        if self.during:
            head += wrap(Content.styled(f"during {self.during}", "$text-2"), width)
        if event.refused:
            words = f"cannot be accepted: {safe_line(event.refused, limit=_WHY_LIMIT)}"
            head += wrap(Content.styled(words, "bold $fail"), width)
        for why in event.why[:8]:
            text = Content.assemble(("! ", "bold $waiting"), (safe_line(why, limit=_WHY_LIMIT), "$waiting"))
            head += wrap(text, width)
        return head + self.deadline_lines(width)

    def _origin(self, width: int) -> list[Content]:
        event = self.event
        how = (f"  {event.transport}" if event.transport else "", "$text-3")
        lines = labelled("server", (visible_identifier(event.server), "$text-1"), how, width=width)
        if event.target:
            lines += labelled("target", (visible(event.target), "$text-3"), width=width)
        return lines

    def changed_by(self, event: AnyEvent) -> bool:
        """Whether after this event it is not what it was, or no longer waits."""
        match event:
            case ServerRequestOpened(ask=ask, digest=digest):
                return ask == self.event.ask and digest != self.digest
            case ServerRequestClosed(ask=ask):
                return ask == self.event.ask
            case _:
                return False

    def decision(self, digest: str, verdict: PersonVerdict, feedback: str) -> AnyCommand | None:
        """Return the command of a decision; the server is not told of deferring."""
        if (action := _ACTIONS.get(verdict)) is None:
            return None
        return AnswerServerRequest(ask=self.event.ask, digest=digest, action=action)

    def edit(self, content: JsonText) -> AnyCommand:
        """Return the command that puts another request or answer in its place."""
        return EditServerRequest(ask=self.event.ask, digest=self.digest, content_json=content)

    def open_page(self) -> AnyCommand | None:
        """Return the command that opens its page where the engine runs; it goes on waiting."""
        if self.event.kind != "url":
            return None
        return OpenServerRequestPage(ask=self.event.ask, digest=self.digest)


def quoted_lines(message: str, width: int) -> list[Content]:
    """Return the server's words, quoted as its own."""
    if not message.strip():
        return []
    return labelled_rows("says", f"“{visible(message, lines=True)}”", width)


def _why_blocked(event: ServerRequestOpened) -> str:
    if event.refused:
        return safe_line(event.refused, limit=_WHY_LIMIT)
    if event.stage == "answering":
        return "the model is still writing; you can only decline it"
    return "" if event.complete else "it is too long to be shown whole, so it can only be declined"


def _page_url(event: ServerRequestOpened) -> str:
    pairs = parse(event.content_json) if event.kind == "url" and event.complete else None
    address = dict(pairs).get("url") if pairs else None
    return address if type(address) is str else ""


def _form(event: ServerRequestOpened, width: int) -> Drawn:
    if not event.complete:
        return _as_text(event, width), ""
    whole = read_schema(event.content_json)
    if whole.kind != "object":
        why = whole.why_raw or "its schema has no fields"
        head = Content.styled(f"its schema makes no form ({safe_line(why)}); answer in JSON", "$waiting")
        return [*wrap(head, width), *_as_text(event, width)], "nothing is sent before you write it"
    fields = whole.fields
    column = min(max((len(field.label) for field in fields), default=0), 18) + 2
    lines = [line for field in fields for line in _field(field, column, width)]
    if whole.open:
        lines += wrap(Content.styled("and more values, as JSON", "$text-3"), width)
    required = sum(field.required for field in fields)
    if not fields:
        return lines, "it needs no values · nothing is sent before you agree"
    count = f"{counted(len(fields), 'field')}, {required} required"
    return lines, f"{count} · nothing is sent before you fill it in"


def _field(field: Field, column: int, width: int) -> list[Content]:
    name = Content.styled(visible(field.label), "bold $text-1")
    mark = (" · required", "$waiting") if field.required else ("", "")
    gap = " " * max(1, column - name.cell_length)
    lines = wrap(Content.assemble(name, gap, (visible(_hint(field)), "$text-2"), mark), width)
    if field.about:
        about = Content.styled(f"“{visible(field.about)}”", "$text-3")
        lines += [Content("  ") + piece for piece in wrap(about, width - 2)]
    return lines


def _hint(field: Field) -> str:
    """Return the type in words, with the choices where they are few."""
    chosen = field.item if field.kind == "array" else field
    if chosen.kind != "choice":
        return field.hint
    word = "some" if field.kind == "array" else "one"
    named = ", ".join(choice.label for choice in chosen.choices[:_NAMED])
    rest = f" and {len(chosen.choices) - _NAMED} more" if len(chosen.choices) > _NAMED else ""
    return f"{word} of: {named}{rest}"


def _page(event: ServerRequestOpened, width: int) -> Drawn:
    host = safe_line(event.host, limit=300) or "unknown"
    lines = labelled("host", (host, "bold $waiting"), width=width)
    if address := _page_url(event):
        lines += argument_lines(JsonObject([("address", address)]), width)
    else:
        lines += _as_text(event, width)
    how = "agreeing opens it in a browser"
    if not event.browser:
        how = "no browser can be opened here: copy it and open it yourself, then agree"
    return lines, f"the whole address is shown · nothing has been fetched · {how}"


def _sampling(event: ServerRequestOpened, width: int) -> Drawn:
    lines: list[Content] = []
    for label, text in (("model", event.model), ("budget", event.budget)):
        if text:
            words = visible(safe_line(text, limit=300))
            lines += labelled(label, (words, "$text-1"), width=width)
    pairs = parse(event.content_json) if event.complete else None
    lines += _as_text(event, width) if pairs is None else _request_lines(pairs, width)
    if event.stage == "answering":
        return lines, "the model is writing its answer · you see it before the server does"
    seen = "all of it is shown, images and audio by their size"
    return lines, f"{seen} · you see the model's answer before the server does"


def _review(event: ServerRequestOpened, width: int) -> Drawn:
    head = f"{safe_line(event.model, limit=200) or 'the model'} answers"
    lines = wrap(Content.styled(head, "$text-2"), width)
    pairs = parse(event.content_json) if event.complete else None
    text = pairs[0][1] if pairs and [key for key, _value in pairs] == ["text"] else None
    if pairs is None:
        lines += _as_text(event, width)
    elif type(text) is str and text.strip() and not has_invisible(text) and not _FAR.search(text):
        lines += [Content.styled(row, "$text-1") for row in wrap_rows(text, width)]
    else:
        lines += argument_lines(pairs, width)
    return lines, "the whole answer is shown · it goes to the server exactly as shown"


def _as_text(event: ServerRequestOpened, width: int) -> list[Content]:
    text = visible(event.content, lines=True)
    return [Content.styled(row, "$text-1") for row in wrap_rows(text, width)]


def _request_lines(request: JsonObject, width: int) -> list[Content]:
    known = (*_LIMITS, "systemPrompt", "messages")
    limits = JsonObject((OwnLabel(_LIMITS[key]), value) for key, value in request if key in _LIMITS)
    rest = JsonObject((key, value) for key, value in request if key not in known)
    lines = [*argument_lines(limits, width), *argument_lines(rest, width)]
    prompts = [JsonObject([("system", value)]) for key, value in request if key == "systemPrompt"]
    messages = [_messages(value) for key, value in request if key == "messages"]
    for pairs in filter(None, (*prompts, *messages)):
        lines += [Content(""), *argument_lines(pairs, width)]
    return lines


def _messages(value: JsonValue) -> JsonObject:
    """Return each piece of each message under its number and role."""
    if isinstance(value, str | JsonObject):
        return JsonObject([("messages", value)])
    found = JsonObject()
    for number, message in enumerate(value, 1):
        table = dict(message) if isinstance(message, JsonObject) else {}
        role, content = table.get("role", ""), table.get("content", "")
        if not isinstance(role, str) or len(message) != 2 or set(table) != {"role", "content"}:
            found.append((OwnLabel(f"{number} message"), message))
            continue
        name = f"{number} {role}"
        name = OwnLabel(name) if role in _ROLES else name
        pieces = [content] if isinstance(content, str | JsonObject) else content
        found.extend((name, _piece(piece)) for piece in pieces)
        if not pieces:
            found.append((name, content))
    return found


def _piece(piece: JsonValue) -> JsonValue:
    """Return a text as it is, an image or audio as its kind and size, anything else whole."""
    if not isinstance(piece, JsonObject):
        return piece
    table = dict(piece)
    kind, text, data = table.get("type"), table.get("text"), table.get("data")
    if kind == "text" and type(text) is str and len(piece) == len(table) == 2:
        return text
    if kind in _BINARY and type(data) is str and len(piece) == len(table):
        rest = JsonObject((key, value) for key, value in piece if key not in ("type", "data"))
        return JsonLiteral(f"{kind}, {len(data):,} characters of base64, {spell(rest)}")
    return piece


_DRAWN = {"form": _form, "url": _page, "sampling": _sampling, "review": _review}
