"""What a card says of a call: what would happen, how grave it is, why you are asked, what is sent."""

from __future__ import annotations

from textual.content import Content

from omni_tui.face.approval.argument_lines import argument_blocks
from omni_tui.face.approval.card_body import CardBody, hanging
from omni_tui.face.approval.values import JsonObject, parse, shows_differently
from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.face.widgets.lines_view import fold, join_content, wrap
from omni_tui.protocol.events import ApprovalRequested

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
    return join_content(" ", parts)


def compose_body(item: ApprovalRequested, width: int) -> CardBody:
    """Draw the parts of a card."""
    name = Content.styled(
        f"{visible_identifier(item.server)} › {visible_identifier(item.label)}", "bold $text-1"
    )
    badge = chip(item)
    head = [name + Content("   ") + badge]
    if head[0].cell_length > width:
        head = [*wrap(name, width), *wrap(badge, width)]
    for number, why in enumerate(item.why or ("nothing allows it",)):
        lead = _asked(item) if number == 0 else "and because "
        head += wrap(Content.styled(f"{lead}{visible(why)}", "$text-2"), width)
    arguments = parse(item.arguments_json) if item.complete else None
    if arguments is not None:
        blocks = argument_blocks(arguments, width)
        drawn = [line for block in blocks for line in block.lines]
        drawn = drawn or [Content.styled("no arguments", "$text-3")]
        verdict = _verdict(arguments)
        counts = [(len(block.lines), block.arguments) for block in blocks]
    else:
        drawn, verdict, counts = _as_text(item, width), _verdict_of_text(item), []
    says = _says(item, width)
    return CardBody(head, drawn, wrap(verdict, width), _origin(item, width), says, blocks=counts)


def _asked(item: ApprovalRequested) -> str:
    """Say under which mode it waits, where that is known."""
    return f"waits in {item.mode} mode, asked because " if item.mode else "asked because "


def _as_text(item: ApprovalRequested, width: int) -> list[Content]:
    """Draw what cannot be taken apart: the exact text if all of it is here, else its beginning."""
    text = item.arguments_json if item.complete else item.arguments
    rows = (Content.styled(visible(row), "$text-1") for row in text.split("\n"))
    return [piece for row in rows for piece in fold(row, width)]


def _verdict_of_text(item: ApprovalRequested) -> Content:
    if item.complete:
        return Content.styled("all of it is shown, as the text that is sent", "$text-2")
    return Content.styled(f"only the beginning is shown; {item.size:,} bytes in all", "$waiting")


def _verdict(arguments: JsonObject) -> Content:
    count = len(arguments)
    every = "the one argument is shown" if count == 1 else f"all {count} arguments shown"
    if count == 0:
        every = "it takes no arguments"
    if shows_differently(arguments):
        words = "some characters do not show: they stand as <U+…>, and as sent below"
        return Content.assemble((f"{every} · ", "$text-2"), (words, "$waiting"))
    return Content.styled(f"{every} · sent exactly so", "$text-2")


def _origin(item: ApprovalRequested, width: int) -> list[Content]:
    text = Content.assemble(
        ("server".ljust(9), "$text-2"),
        (visible_identifier(item.server), "$text-1"),
        (visible(f"  {item.transport} · {item.trust}" if item.trust else f"  {item.transport}"), "$text-3"),
    )
    lines = hanging(text, width)
    if item.target:
        lines += hanging(
            Content.assemble(("target".ljust(9), "$text-2"), (visible(item.target), "$text-3")), width
        )
    if item.agent not in ("", "root"):
        who = Content.assemble(("asked by".ljust(9), "$text-2"), (visible(item.agent), "$text-1"))
        lines += hanging(who, width)
    return lines


def _says(item: ApprovalRequested, width: int) -> list[Content]:
    text: str = visible(" ".join(item.description.split()))
    if not text:
        return []
    if len(text) > 400:
        text = text[:400] + f"… ({len(text) - 400} more characters)"
    return hanging(Content.assemble(("says".ljust(9), "$text-2"), (f"“{text}”", "$text-2")), width)
