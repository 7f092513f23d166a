"""The approval card: one item drawn, the keys that decide on it, and what of it was really painted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from textual import events, work
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual
from textual.widget import Widget

from omni_tui.face import actions
from omni_tui.face.approval.arming import Arming, Painted
from omni_tui.face.approval.card_body import CardBody, fit_card
from omni_tui.face.approval.pending_item import PendingItem
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import join_content, wrap

LARGE = 4_000
"""Characters of arguments beyond which an item is laid out in a thread, to keep the screen alive."""
_GAP = "   "


class ApprovalCard(Widget):
    """Draws one item and reports to `arming` what of it was really painted."""

    DEFAULT_CSS = """
    ApprovalCard { height: 1fr; width: 1fr; padding: 0 2; text-wrap: nowrap; text-overflow: clip; }
    """

    class Pressed(Message):
        """The mouse went down and up on the same armed key of the same item."""

        def __init__(self, action: str, painted: Painted) -> None:
            super().__init__()
            self.action = action
            self.painted = painted

    def __init__(
        self, arming: Arming, keys: Callable[[], list[Content]], empty: Callable[[], list[Content]]
    ):
        super().__init__(id="card")
        self.auto_links = False
        self.item: PendingItem | None = None
        self._arming = arming
        self._keys = keys
        self._empty = empty
        self._lines: list[Content] = []
        self._whole = False
        self._body: tuple[PendingItem, int, CardBody] | None = None
        self._coming: tuple[PendingItem, int] | None = None
        """What is being laid out in a thread, and for which width."""
        self._down: tuple[str, Painted] | None = None

    def show(self, item: PendingItem | None) -> None:
        """Show an item, or the lines for an empty card."""
        if item is not self.item:
            self._arming.paint(None)
        self.item = item
        self.rearrange()

    def rearrange(self) -> None:
        """Lay out again, because the item, the size or the keys changed."""
        width, height = self.size
        if width <= 0 or height <= 0:
            return
        if self.item is None:
            self._lines = [piece for line in self._empty() for piece in wrap(line, width)]
            self._whole = False
        else:
            body = self._laid_out(self.item, width)
            if body is None:
                words = f"Laying out {len(self.item.arguments):,} characters …"
                self._lines, self._whole = wrap(Content.styled(words, "$text-2"), width), False
            else:
                how = f"{shell_of(self).key(body.opens)} opens the full view"
                lines, fits = fit_card(body, self._keys(), (width, height), self._painted, how)
                self._lines, self._whole = lines, fits and self.item.complete
        self.refresh()

    def _laid_out(self, item: PendingItem, width: int) -> CardBody | None:
        """Return an item's parts at a width; None while a large one is being laid out."""
        if self._body is None or self._body[0] is not item or self._body[1] != width:
            if len(item.arguments) > LARGE:
                if self._coming is None or self._coming[0] is not item or self._coming[1] != width:
                    self._coming = (item, width)
                    self._lay_out(item, width)
                return None
            self._body = (item, width, item.body(width))
        return self._body[2]

    @work(group="card", exclusive=True, exit_on_error=False)
    async def _lay_out(self, item: PendingItem, width: int) -> None:
        body = await asyncio.to_thread(item.body, width)
        self._coming = None
        if item is self.item and width == self.size.width:
            self._body = (item, width, body)
            self._arming.paint(None)
            self.rearrange()

    def on_resize(self) -> None:
        """Lay out again."""
        self._arming.paint(None)
        self.rearrange()

    def on_show(self) -> None:
        """Start the quiet time again: it was not on the screen."""
        self._arming.paint(None)
        self.refresh()

    def on_hide(self) -> None:
        """Note that nothing is painted now."""
        self._arming.paint(None)

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        width = self.size.width
        if y >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        return self._drawn(self._lines[y])

    def _drawn(self, line: Content) -> Strip:
        return Visual.to_strips(self, line, self.size.width, 1, self.visual_style, pad=True)[0]

    def _painted(self, line: Content) -> bool:
        """Return whether the cells of a row hold all of a line."""
        return self._drawn(line).text.rstrip() == line.plain.rstrip()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw rows, and note what is now on the screen."""
        strips = super().render_lines(crop)
        if self.item is None:
            self._arming.paint(None)
        elif crop.height >= self.outer_size.height:
            place = self.region
            where = place.x, place.y, place.width, place.height
            self._arming.paint(Painted(self.item.key, self.item.digest, self._whole, where))
        return strips

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Remember what was under the mouse, if it counts."""
        action = self._action_at(event)
        painted = self._arming.painted
        armed = self._arming.armed or action != "approve"
        self._down = (action, painted) if action and painted is not None and armed else None

    def on_click(self, event: events.Click) -> None:
        """Act if the same key of the same item is still there."""
        down, self._down = self._down, None
        if down is not None and down == (self._action_at(event), self._arming.painted):
            self.post_message(self.Pressed(*down))

    @staticmethod
    def _action_at(event: events.MouseEvent) -> str:
        return str(event.style.meta.get("decide", ""))


def key_lines(item: PendingItem, key_of: Callable[[str], str], ready: str, width: int) -> list[Content]:
    """Return the rows of keys; `ready` is the style of accepting. A row that is too long is broken."""
    lines: list[Content] = []
    for row in item.keys:
        labels = [
            _key_label(key_of(name), label or actions.get(name).label, name, style or ready)
            for name, label, style in row
        ]
        lines += [join_content(_GAP, part) for part in _packed(labels, width)]
    return lines


def _packed(labels: list[Content], width: int) -> Iterator[list[Content]]:
    row: list[Content] = []
    for label in labels:
        used = sum(other.cell_length + len(_GAP) for other in row)
        if row and used + label.cell_length > width:
            yield row
            row = []
        row.append(label)
    yield row


def _key_label(key: str, label: str, action: str, style: str) -> Content:
    text = Content.assemble((key, f"bold {style}"), (f" {label}", "$text-2"))
    return text.stylize(Style.from_meta({"decide": action}))
