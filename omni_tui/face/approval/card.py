"""The approval card: what would happen, how grave it is, why you are asked, exactly what is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual
from textual.widget import Widget

from omni_tui.face.approval.arming import Arming, Painted
from omni_tui.face.approval.blocks import argument_lines
from omni_tui.face.approval.values import parse
from omni_tui.face.widgets.lines import wrap
from omni_tui.protocol.events import ApprovalRequested
from omni_tui.security.text import safe

RISKS = {
    "read": ("READS", "bold $on-colour on $done"),
    "write": ("WRITES", "bold $on-colour on $waiting"),
    "destructive": ("DESTROYS", "bold $on-colour on $fail"),
    "unknown": ("UNKNOWN", "bold $on-colour on $text-2"),
}
_BLANK = Content("")


@dataclass(frozen=True, slots=True)
class Body:
    """The parts of a card at one width."""

    head: list[Content]
    arguments: list[Content]
    verdict: list[Content]
    origin: list[Content]
    says: list[Content]


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
    return Content(" ").join(parts)


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
    lines = _hanging(text, width)
    if item.target:
        lines += _hanging(Content.assemble(("target".ljust(9), "$text-2"), (item.target, "$text-3")), width)
    if item.agent not in ("", "root"):
        who = Content.assemble(("asked by".ljust(9), "$text-2"), (safe(item.agent, lines=False), "$text-1"))
        lines += _hanging(who, width)
    return lines


def _says(item: ApprovalRequested, width: int) -> list[Content]:
    text = " ".join(item.description.split())
    if not text:
        return []
    if len(text) > 400:
        text = text[:400] + f"… ({len(text) - 400} more characters)"
    return _hanging(Content.assemble(("says".ljust(9), "$text-2"), (f"“{text}”", "$text-2")), width)


def _hanging(text: Content, width: int) -> list[Content]:
    first, *_rest = wrap(text, width)
    remains = text[len(first.plain) :]
    if not remains:
        return [first]
    if remains.plain.startswith(" "):
        remains = remains[1:]
    return [first, *(Content(" " * 9) + piece for piece in wrap(remains, width - 9))]


def arrange(body: Body, keys: list[Content], height: int) -> tuple[list[Content], bool]:
    """Fit a card into `height` lines; False if some of the arguments had to be left out.

    What is said about the server goes first, then the air, and the arguments last of all.
    """
    says = [*body.origin, *body.says]
    attempts: list[list[list[Content]]] = [
        [
            body.head,
            [_BLANK],
            body.arguments,
            [_BLANK, *body.verdict, _BLANK],
            says,
            [_BLANK, _BLANK],
            keys,
        ],
        [body.head, [_BLANK], body.arguments, [_BLANK, *body.verdict, _BLANK], body.origin, [_BLANK], keys],
        [body.head, [_BLANK], body.arguments, body.verdict, body.origin[:1], [_BLANK], keys],
        [body.head, body.arguments, body.verdict, keys],
    ]
    for attempt in attempts:
        lines = [line for part in attempt for line in part]
        if len(lines) <= height:
            return lines, True
    room = max(0, height - len(body.head) - len(keys) - 1)
    left = len(body.arguments) - room
    more = Content.styled(f"… {left} more lines: A opens the whole of it", "$waiting")
    return [*body.head, *body.arguments[:room], more, *keys][:height], False


class Card(Widget):
    """Draws one item and reports to `arming` what of it has really been painted."""

    DEFAULT_CSS = """
    Card { height: 1fr; width: 1fr; padding: 0 2; }
    """

    class Pressed(Message):
        """The mouse went down and up on the same armed word of the same item."""

        def __init__(self, action: str, painted: Painted) -> None:
            super().__init__()
            self.action = action
            self.painted = painted

    def __init__(
        self, arming: Arming, keys: Callable[[], list[Content]], empty: Callable[[], list[Content]]
    ):
        super().__init__(id="card")
        self.auto_links = False
        self.item: ApprovalRequested | None = None
        self._arming = arming
        self._keys = keys
        self._empty = empty
        self._lines: list[Content] = []
        self._whole = False
        self._body: tuple[ApprovalRequested, int, Body] | None = None
        self._down: tuple[str, Painted] | None = None

    def show(self, item: ApprovalRequested | None) -> None:
        """Show an item, or what to do when there is none."""
        if item is not self.item:
            self._arming.paint(None)
        self.item = item
        self.rearrange()

    def rearrange(self) -> None:
        """Lay out again: the item, the size or the keys changed."""
        width, height = self.size
        if width <= 0 or height <= 0:
            return
        if self.item is None:
            self._lines, self._whole = self._empty(), False
        else:
            if self._body is None or self._body[0] is not self.item or self._body[1] != width:
                self._body = (self.item, width, compose_body(self.item, width))
            lines, fits = arrange(self._body[2], self._keys(), height)
            self._lines, self._whole = lines, fits and self.item.complete
        self.refresh()

    def on_resize(self) -> None:
        """Another size is another picture."""
        self._arming.paint(None)
        self.rearrange()

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        width = self.size.width
        if y >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        return Visual.to_strips(self, self._lines[y], width, 1, self.visual_style, pad=True)[0]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw rows, and note what is now on the screen."""
        strips = super().render_lines(crop)
        if self.item is None:
            self._arming.paint(None)
        elif crop.height >= self.outer_size.height:
            self._arming.paint(Painted(self.item.call, self.item.digest, self._whole))
        return strips

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Remember what was under the mouse, if it counts."""
        action = self._action_at(event)
        painted = self._arming.painted
        armed = self._arming.armed or action != "approve"
        self._down = (action, painted) if action and painted is not None and armed else None

    def on_click(self, event: events.Click) -> None:
        """Act if the same word of the same item is still there."""
        down, self._down = self._down, None
        if down is not None and down == (self._action_at(event), self._arming.painted):
            self.post_message(self.Pressed(*down))

    @staticmethod
    def _action_at(event: events.MouseEvent) -> str:
        meta = event.style.meta
        return str(meta.get("decide", ""))


def key_word(key: str, label: str, action: str, style: str) -> Content:
    """Return a key with its word; a click on it does the same."""
    text = Content.assemble((key, f"bold {style}"), (f" {label}", "$text-2"))
    return text.stylize(Style.from_meta({"decide": action}))
