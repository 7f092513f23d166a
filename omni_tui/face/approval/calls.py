"""What a card says of a call: what would happen, how grave it is, why you are asked, what is sent."""

from __future__ import annotations

from textual.content import Content

from omni_tui.face.approval.blocks import argument_lines
from omni_tui.face.approval.body import Body, hanging
from omni_tui.face.approval.values import parse
from omni_tui.face.widgets.lines import joined, wrap
from omni_tui.protocol.events import ApprovalRequested
from omni_tui.security.text import safe

RISKS = {
    "read": ("READS", "bold $on-colour on $done"),
    "write": ("WRITES", "bold $on-colour on $waiting"),
    "destructive": ("DESTROYS", "bold $on-colour on $fail"),
    "unknown": ("UNKNOWN", "bold $on-colour on $text-2"),
}


def chip(item: ApprovalRequested) -> Content:
    """Return the risk as a filled word, with what else must be known at a glance."""
    word, style = RISKS[item.risk]
    parts = [Content.styled(f" {word} ", style)]
    if item.held:
        parts.append(Content.styled(" HELD ", "bold $on-colour on $fail"))
    if item.edited:
        parts.append(Content.styled(" EDITED ", "bold $on-colour on $mine"))
    if item.restored:
        parts.append(Content.styled("asked again after a restart", "$text-2"))
    return joined(" ", parts)


def compose_body(item: ApprovalRequested, width: int) -> Body:
    """Draw the parts of a card."""
    name = Content.styled(f"{safe(item.server, lines=False)} › {item.label}", "bold $text-1")
    badge = chip(item)
    head = [name + Content("   ") + badge]
    if head[0].cell_length > width:
        head = [*wrap(name, width), badge]
    for number, why in enumerate(item.why or ("nothing allows it",)):
        lead = "asked because " if number == 0 else "and because "
        head += wrap(Content.styled(f"{lead}{why}", "$text-2"), width)
    arguments = parse(item.arguments_json) if item.complete else None
    if arguments is not None:
        drawn = argument_lines(arguments, width)
        drawn = drawn or [Content.styled("no arguments", "$text-3")]
        verdict = _verdict(item, len(arguments))
    else:
        rows = item.arguments.split("\n")
        drawn = [piece for row in rows for piece in wrap(Content.styled(row, "$text-1"), width)]
        verdict = Content.styled(f"only the beginning is shown; {item.size:,} bytes in all", "$waiting")
    return Body(head, drawn, wrap(verdict, width), _origin(item, width), _says(item, width))


def _verdict(item: ApprovalRequested, count: int) -> Content:
    every = "the one argument is shown" if count == 1 else f"all {count} arguments shown"
    if count == 0:
        every = "it takes no arguments"
    if item.differs:
        words = "some characters do not show: they stand as <U+…>, and as sent below"
        return Content.assemble((f"{every} · ", "$text-2"), (words, "$waiting"))
    return Content.styled(f"{every} · sent exactly so", "$text-2")


def _origin(item: ApprovalRequested, width: int) -> list[Content]:
    text = Content.assemble(
        ("server".ljust(9), "$text-2"),
        (safe(item.server, lines=False), "$text-1"),
        (f"  {item.transport} · {item.trust}" if item.trust else f"  {item.transport}", "$text-3"),
    )
    lines = hanging(text, width)
    if item.target:
        lines += hanging(Content.assemble(("target".ljust(9), "$text-2"), (item.target, "$text-3")), width)
    if item.agent not in ("", "root"):
        who = Content.assemble(("asked by".ljust(9), "$text-2"), (safe(item.agent, lines=False), "$text-1"))
        lines += hanging(who, width)
    return lines


def _says(item: ApprovalRequested, width: int) -> list[Content]:
    text = " ".join(item.description.split())
    if not text:
        return []
    if len(text) > 400:
        text = text[:400] + f"… ({len(text) - 400} more characters)"
    return hanging(Content.assemble(("says".ljust(9), "$text-2"), (f"“{text}”", "$text-2")), width)
