"""What a card says of a server's question: a form to fill in, a page to visit, words for the model.

The server's own words are quoted and stand where a call's arguments stand, so that accepting needs
all of them on the screen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from textual.content import Content

from omni_tui.face.approval.argument_lines import argument_lines
from omni_tui.face.approval.card_body import LABEL, CardBody, hanging
from omni_tui.face.approval.sampling import request_lines
from omni_tui.face.approval.values import JsonObject, parse
from omni_tui.face.approval.visible import has_invisible, visible, visible_identifier
from omni_tui.face.form.schema import Field, read_schema
from omni_tui.face.overview import server_request_key
from omni_tui.face.widgets.lines_view import join_content, wrap, wrap_rows
from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol.server_requests import ServerRequestOpened
from omni_tui.security.text import safe_line

_CHIPS = {"form": "ASKS YOU", "url": "A PAGE", "sampling": "ASKS YOUR MODEL"}
_LABEL_LIMIT, _WHY_LIMIT = 120, 600
_NAMED = 8
"""Choices of a field that the card names."""
_FAR = re.compile(r" {24}|\n{5}| (\n|\Z)")
"""Space that hides something, or that is lost where words are wrapped: such a text is drawn exactly."""


@dataclass(frozen=True, slots=True)
class PendingRequestItem:
    """A question as an item of the queue. `course` names the call in whose course it came, if known."""

    event: ServerRequestOpened
    course: str = ""

    @property
    def call(self) -> str:
        """What the queue knows it by; no call is named so."""
        return server_request_key(self.event.ask)

    @property
    def digest(self) -> str:
        """Names exactly what is shown."""
        return self.event.digest

    @property
    def server(self) -> str:
        """Who asks."""
        return self.event.server

    @property
    def label(self) -> SafeText:
        """What it is, in a few words."""
        return safe_line(self.event.label, limit=_LABEL_LIMIT)

    @property
    def ts(self) -> float:
        """Since when it stands so, Unix time."""
        return self.event.ts

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""
        return self.event.complete

    @property
    def edited(self) -> bool:
        """Whether the person put something else in its place."""
        return self.event.edited

    @property
    def arguments(self) -> SafeText:
        """What belongs to the server's words, safe."""
        return self.event.content

    @property
    def arguments_json(self) -> JsonText:
        """The same, exact."""
        return self.event.content_json

    @property
    def kind(self) -> str:
        """What an answer to it takes: `form`, `url`, `sampling`, or `review` of what a model wrote."""
        return "review" if self.event.stage == "review" else self.event.kind


def headline(event: ServerRequestOpened) -> SafeText:
    """Return the beginning of the server's words on one line."""
    return safe_line(" ".join(event.message[:400].split()), limit=200)


def why_blocked(event: ServerRequestOpened) -> str:
    """Return why it cannot be accepted as it stands, "" if it can."""
    if event.refused:
        return safe_line(event.refused, limit=_WHY_LIMIT)
    if event.stage == "answering":
        return "the model is still writing; it can be declined"
    return "" if event.complete else "it is too long to be shown whole, so it can only be declined"


def page_url(event: ServerRequestOpened) -> str:
    """Return the exact address of a page, "" where it is not known."""
    pairs = parse(event.content_json) if event.kind == "url" and event.complete else None
    address = dict(pairs).get("url") if pairs else None
    return address if type(address) is str else ""


def copy_text(event: ServerRequestOpened) -> tuple[str, str]:
    """Return the text that copying a question copies, and what it is called."""
    if address := page_url(event):
        return address, "the address"
    if event.kind == "form":
        return event.message, "the question"
    what = "the model's answer" if event.stage == "review" else "the request"
    return (event.content_json if event.complete else event.content), what


def accept_label(event: ServerRequestOpened) -> str:
    """Return what accepting is called."""
    if event.stage == "review":
        return "send"
    return {"form": "fill in", "url": "agree", "sampling": "let it answer"}[event.kind]


def chip(event: ServerRequestOpened) -> Content:
    """Return the kind as a filled word, with what else must be known at a glance."""
    word = {"answering": "MODEL IS ANSWERING", "review": "MODEL'S ANSWER"}.get(
        event.stage, _CHIPS[event.kind]
    )
    parts = [Content.styled(f" {word} ", "bold $on-colour on $waiting")]
    if event.edited:
        parts.append(Content.styled(" EDITED ", "bold $on-colour on $mine"))
    return join_content(" ", parts)


def compose_body(item: PendingRequestItem, width: int) -> CardBody:
    """Draw the parts of a question's card."""
    event = item.event
    said = quoted_lines(event.message, width)
    drawn, verdict = _CONTENT[item.kind](event, width)
    said += [Content(""), *drawn] if said and drawn else drawn
    if event.refused:
        verdict = "it can only be declined"
    elif not event.complete:
        verdict = f"only the beginning is here; {event.size:,} bytes in all"
    style = "$text-2" if event.complete and not event.differs else "$waiting"
    more = "v shows the whole of it" if event.kind == "form" else "A opens the whole of it"
    return CardBody(
        _head(item, width),
        said,
        wrap(Content.styled(verdict, style), width),
        _origin(item, width),
        [],
        more,
    )


def quoted_lines(message: str, width: int) -> list[Content]:
    """Return the server's words, quoted as its own."""
    if not message.strip():
        return []
    text = f"“{visible(message, lines=True)}”"
    margin = Content.styled("says".ljust(LABEL), "$text-2")
    lines = [Content.styled(row, "$text-1") for row in wrap_rows(text, width - LABEL)]
    return [margin + lines[0], *(Content(" " * LABEL) + line for line in lines[1:])]


def _head(item: PendingRequestItem, width: int) -> list[Content]:
    event = item.event
    name = Content.styled(f"{visible_identifier(event.server)} › {visible(item.label)}", "bold $text-1")
    badge = chip(event)
    head = [name + Content("   ") + badge]
    if head[0].cell_length > width:
        head = [*wrap(name, width), *wrap(badge, width)]
    if item.course:
        head += wrap(Content.styled(f"in the course of {item.course}", "$text-2"), width)
    if event.refused:
        words = f"cannot be accepted: {safe_line(event.refused, limit=_WHY_LIMIT)}"
        head += wrap(Content.styled(words, "bold $fail"), width)
    for why in event.why[:8]:
        text = Content.assemble(("! ", "bold $waiting"), (safe_line(why, limit=_WHY_LIMIT), "$waiting"))
        head += wrap(text, width)
    return head


def _origin(item: PendingRequestItem, width: int) -> list[Content]:
    event = item.event
    text = Content.assemble(
        ("server".ljust(LABEL), "$text-2"),
        (visible_identifier(event.server), "$text-1"),
        (f"  {event.transport}" if event.transport else "", "$text-3"),
    )
    lines = hanging(text, width)
    if event.target:
        target = Content.assemble(("target".ljust(LABEL), "$text-2"), (visible(event.target), "$text-3"))
        lines += hanging(target, width)
    return lines


# --- what belongs to the words, by kind

Drawn = tuple[list[Content], str]


def _form(event: ServerRequestOpened, width: int) -> Drawn:
    """Draw the fields: name, type, whether it is required, what the server says of it."""
    if not event.complete:
        return _as_text(event, width), ""
    whole = read_schema(event.content_json)
    if whole.kind != "object":
        why = whole.why_raw or "its schema is no object with fields"
        head = Content.styled(
            f"no form can be made of it ({safe_line(why)}); it is answered in JSON", "$waiting"
        )
        return [*wrap(head, width), *_as_text(event, width)], "nothing is sent before you write it"
    fields = whole.fields
    column = min(max((len(field.label) for field in fields), default=0), 18) + 2
    lines = [line for field in fields for line in _field(field, column, width)]
    if whole.open:
        lines += wrap(Content.styled("and further values, as JSON", "$text-3"), width)
    required = sum(field.required for field in fields)
    count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}, {required} required"
    if not fields:
        return lines, "no values are asked for · nothing is sent before you agree"
    return lines, f"{count} · nothing is sent before you have filled it in"


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
    """Return the type in words; of a few choices, which they are."""
    chosen = field.item if field.kind == "array" else field
    if chosen.kind != "choice":
        return field.hint
    word = "some" if field.kind == "array" else "one"
    named = ", ".join(choice.label for choice in chosen.choices[:_NAMED])
    rest = f" and {len(chosen.choices) - _NAMED} more" if len(chosen.choices) > _NAMED else ""
    return f"{word} of: {named}{rest}"


def _page(event: ServerRequestOpened, width: int) -> Drawn:
    """Draw the host, and the whole address."""
    host = safe_line(event.host, limit=300) or "unknown"
    lines = hanging(Content.assemble(("host".ljust(LABEL), "$text-2"), (host, "bold $waiting")), width)
    if address := page_url(event):
        lines += argument_lines(JsonObject([("address", address)]), width)
    else:
        lines += _as_text(event, width)
    how = (
        "agreeing opens it in a browser"
        if event.browser
        else "no browser can be opened here: copy it with y and open it yourself, then agree"
    )
    return lines, f"the whole address is shown · nothing has been fetched · {how}"


def _sampling(event: ServerRequestOpened, width: int) -> Drawn:
    """Draw what would go to the model, and what it would cost."""
    lines: list[Content] = []
    for word, text in (("model", event.model), ("budget", event.budget)):
        if text:
            said = visible(safe_line(text, limit=300))
            lines += hanging(Content.assemble((word.ljust(LABEL), "$text-2"), (said, "$text-1")), width)
    pairs = parse(event.content_json) if event.complete else None
    lines += _as_text(event, width) if pairs is None else request_lines(pairs, width)
    if event.stage == "answering":
        return lines, "the model is writing its answer · you see it before the server does"
    seen = "all of it is shown, pictures and sounds by their size"
    return lines, f"{seen} · you see the model's answer before the server does"


def _review(event: ServerRequestOpened, width: int) -> Drawn:
    """Draw the model's answer."""
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
    return lines, "the whole answer is shown · it goes to the server exactly so"


def _as_text(event: ServerRequestOpened, width: int) -> list[Content]:
    text = visible(event.content, lines=True)
    return [Content.styled(row, "$text-1") for row in wrap_rows(text, width)]


_CONTENT = {"form": _form, "url": _page, "sampling": _sampling, "review": _review}
