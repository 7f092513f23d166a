"""A tool's description, risk and schemas."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from omni_tui.face.form.rows import clip
from omni_tui.face.results.parts import JsonLayoutError, indent_json
from omni_tui.face.risk import risk_chip, sure_risk
from omni_tui.face.widgets.long_text_view import Look
from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol.events import ToolDetails
from omni_tui.security.text import safe, safe_line

_PLAIN = {"read": ("reads only", "$text-3"), "unknown": ("may write", "$waiting")}
"""Risks that are no filled word on this screen, where they are known."""


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
    line = Content.assemble(
        ("◆ ", "$mine"), (safe_line(server, limit=60), "$text-2"), (" › ", "$text-3"),
        (name, "bold $text-1"), "   ",
    )  # fmt: skip
    if details is not None:
        chip = risk_chip(details.risk, server_trusted=details.server_trusted)
        known = sure_risk(details.risk, server_trusted=details.server_trusted) == details.risk
        line += Content.assemble(_PLAIN.get(details.risk, chip) if known else chip)
        if details.trust != "unchanged":
            line += Content.assemble("  ", (details.trust, "bold $waiting"))
        if details.server_changed:
            line += Content.assemble("  ", ("server changed", "bold $waiting"))
        if details.imitation:
            line += Content.assemble("  ", ("imitation", "bold $fail"))
    return line


def description_start(details: ToolDetails) -> Content:
    """Return the beginning of the description in quotes: these are the server's words."""
    text = " ".join(details.description.split())
    if not text:
        words = Content.styled("The server gives no description of this tool.", "$text-3")
    else:
        words = Content.styled(f"“{text}”", "$text-2")
    if details.not_checked:
        words = Content.styled("not fully checked, F8 shows why · ", "$waiting") + words
    if details.rules:
        words = Content.styled("rules deny it or ask about it, F8 shows them · ", "$waiting") + words
    if details.alike:
        words = Content.styled(f"{details.alike} · ", "$fail" if details.imitation else "$waiting") + words
    return words


def description_blocks(details: ToolDetails) -> Iterator[tuple[str, Look]]:
    """Yield all information about a tool as blocks of text with their looks."""
    if details.title:
        yield details.title, "text"
    yield f"“{details.description}”" if details.description else "(no description)", "head"
    if details.alike:
        yield "\nTOOLS OF THIS NAME", "dim"
        yield f"{details.label}: {details.alike}", "text"
        if details.imitation:
            yield "its name has characters that are not what they seem: no model gets it", "text"
    if details.rules:
        yield "\nRULES THAT DENY IT OR ASK ABOUT IT", "dim"
        yield "\n".join(details.rules), "text"
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
    try:
        return safe(indent_json(document), limit=400_000)
    except JsonLayoutError:
        return safe(document, limit=400_000)
