"""A tool's description, risk and schemas."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from omni_tui.face.form.rows import clip
from omni_tui.face.widgets.long_text_view import Look
from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol.events import ToolDetails
from omni_tui.security.text import safe, safe_line

_BADGES = {
    "write": (" WRITES ", "bold $on-colour on $waiting"),
    "destructive": (" DESTROYS ", "bold $on-colour on $fail"),
    "read": ("reads only", "$text-3"),
    "unknown": ("may write", "$waiting"),
}
_MAX_DEPTH = 100


class ToolDescription(Widget):
    """The beginning of a tool's description: three lines, or one in a low window."""

    DEFAULT_CSS = """
    ToolDescription { height: auto; padding: 0 1; }
    """

    said: reactive[Content] = reactive(Content(""), layout=True)

    def render(self) -> Content:
        """Draw as many lines as fit."""
        lines = clip(self.said, self.size.width or 60, 1 if self.screen.has_class("-low") else 3)
        return Content("\n").join(lines)


def tool_title(server: str, tool: str, details: ToolDetails | None) -> Content:
    """Return the title of the tool screen: server › tool, and its risk."""
    name = details.label if details is not None else safe_line(tool, limit=128)
    line = Content.assemble(("◆ ", "$mine"), (safe_line(server, limit=60), "$text-2"), (" › ", "$text-3"))
    return line + Content.assemble((name, "bold $text-1"), "   ") + _badge(details)


def _badge(details: ToolDetails | None) -> Content:
    if details is None:
        return Content("")
    marks = Content.assemble(_BADGES[details.risk])
    if details.trust != "unchanged":
        marks += Content.assemble("  ", (details.trust, "bold $waiting"))
    return marks


def description_start(details: ToolDetails) -> Content:
    """Return the beginning of the description in quotes: these are the server's words."""
    text = " ".join(details.description.split())
    if not text:
        words = Content.styled("The server gives no description of this tool.", "$text-3")
    else:
        words = Content.styled(f"“{text}”", "$text-2")
    if details.not_checked:
        return Content.assemble(("not fully checked, F8 shows why · ", "$waiting"), words)
    return words


def description_blocks(details: ToolDetails) -> Iterator[tuple[str, Look]]:
    """Yield all information about a tool as blocks of text with their looks."""
    if details.title:
        yield details.title, "text"
    yield f"“{details.description}”" if details.description else "(no description)", "head"
    if details.annotations:
        yield "\nTHE SERVER SAYS", "dim"
        yield "\n".join(details.annotations), "text"
    if details.not_checked:
        yield "\nNOT CHECKED BEFORE A CALL IS SENT", "dim"
        yield "\n".join(details.not_checked), "text"
    yield "\nINPUT SCHEMA", "dim"
    yield indented_json(details.input_schema_json), "json"
    if details.output_schema_json:
        yield "\nOUTPUT SCHEMA", "dim"
        yield indented_json(details.output_schema_json), "json"
    if details.model_name:
        yield f"\nname for models: {safe(details.model_name, limit=200)}", "dim"


def indented_json(document: JsonText) -> SafeText:
    """Return a JSON document indented, or as it is if it is nested too deep."""
    if document.count("{") + document.count("[") > _MAX_DEPTH and _depth(document) > _MAX_DEPTH:
        return safe(document, limit=400_000)
    try:
        return safe(msgspec.json.format(document, indent=2), limit=400_000)
    except (msgspec.DecodeError, RecursionError):
        return safe(document, limit=400_000)


def _depth(document: str) -> int:
    depth = deepest = 0
    for sign in document:
        depth += (sign in "[{") - (sign in "]}")
        deepest = max(deepest, depth)
    return deepest
