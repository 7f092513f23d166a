"""The tree of servers and their tools. A server's tools are added when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.cache import LRUCache
from textual.geometry import Size
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from omni_tui.face.cells import fit
from omni_tui.face.panes.tool_index import ToolIndex
from omni_tui.face.risk import is_claim
from omni_tui.face.widgets.scrollbar import CalmScrolling
from omni_tui.protocol.events import ToolSummary
from omni_tui.security.text import safe_line

CHUNK = 100
"""Tools of one server that are added to the tree at once."""
_OPEN_UP_TO = 40
_KEPT = 2_000
"""Drawn lines that are kept: a server that comes and goes moves the lines below it."""

_STATES = {
    "connecting": "connecting",
    "needs_sign_in": "signed out",
    "not_allowed": "not allowed yet",
    "degraded": "slow",
    "failed": "failed",
    "disabled": "disabled",
}
_ALIKE = "name shared"
"""Stands for the words about other tools of the name, where they have no room."""
_RULES = {"deny": "denied", "ask": "asks"}
_RISKS = {"write": "writes", "destructive": "destroys"}


@dataclass(frozen=True, slots=True)
class ToolTreeItem:
    """What a tree node stands for: a server, one of its tools, or the tools from `start` on."""

    server: str
    tool: ToolSummary | None = None
    start: int = 0


class ToolTree(CalmScrolling, Tree[ToolTreeItem]):
    """Servers with their tools, which are added some at a time."""

    DEFAULT_CSS = """
    ToolTree { height: 1fr; padding: 0 1 0 2; background: transparent; scrollbar-size-vertical: 1; }
    ToolTree { overflow-x: hidden; }
    ToolTree > .tools--name { color: $text-1; }
    ToolTree > .tools--off { color: $text-3; }
    ToolTree > .tools--writes { color: $waiting; }
    ToolTree > .tools--destroys { color: $fail; }
    ToolTree > .tree--cursor, ToolTree > .tree--highlight-line { background: transparent; }
    ToolTree:focus > .tree--cursor { background: $cursor; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tools--name",
        "tools--off",
        "tools--writes",
        "tools--destroys",
    }

    virtual_size: Reactive[Size] = Reactive(Size(0, 0))
    """The size of all lines; with a fixed height a change needs no new layout."""

    def __init__(self, index: ToolIndex) -> None:
        super().__init__(Text(""))
        self._index = index
        self._heads: dict[str, TreeNode[ToolTreeItem]] = {}
        self._bringing = self._stale = False
        self._room = 8
        self._strips: LRUCache[tuple[object, ...], Strip] = LRUCache(_KEPT)

    def on_mount(self) -> None:
        """Draw servers at the left edge, tools indented."""
        self.show_root = False
        self.show_guides = False
        self.guide_depth = 2
        self.root.expand()

    def bring(self, changed: set[str]) -> None:
        """Redraw these servers; the cursor stays on its tool."""
        spot = self.cursor_node.data if self.cursor_node is not None else None
        known = self._index.names
        self._bringing, replaced = True, set()
        for name in [*(name for name in known if name in changed), *changed.difference(known)]:
            if self._same_tools(name):
                self._heads[name].refresh()
            else:
                replaced.add(name)
                self._bring(name)
        self._bringing = False
        if self._stale:
            self._invalidate()
        if spot is not None and spot.server in replaced:
            self._return_to(spot)

    def _same_tools(self, name: str) -> bool:
        """Return whether a server's node has its tools already: then only its state changed."""
        node, tools = self._heads.get(name), self._index.tools(name)
        if node is None or name not in self._index or bool(node.children) != bool(tools):
            return False
        spots = [child.data for child in node.children if child.data is not None]
        shown = [spot.tool for spot in spots if spot.tool is not None]
        more = spots[-1].start if spots else 0
        return shown == tools[: len(shown)] and (more or len(tools)) == len(shown)

    def _invalidate(self) -> None:
        """Forget the lines; only once during `bring`, though every node asks for it."""
        self._stale = self._bringing
        if self._bringing:
            return
        self._clear_line_cache()
        self._updates += 1
        self.root._reset()
        self.refresh(layout=self._grows)

    @property
    def _grows(self) -> bool:
        """Whether its height follows its lines: if there are no tools, words stand below it."""
        height = self.styles.height
        return height is None or height.is_auto

    def watch_virtual_size(self, size: Size) -> None:
        """Update the scroll bar, and the layout only if the height follows the lines."""
        if self._grows:
            self.refresh(layout=True)
        elif self.is_attached:
            self._scroll_update(size)

    def get_label_width(self, node: TreeNode[ToolTreeItem]) -> int:
        """Return the width of the tree for every label: drawing them all to measure is slow."""
        return self._room

    def _bring(self, name: str) -> None:
        node = self._heads.get(name)
        if name not in self._index:
            if node is not None:
                self._heads.pop(name).remove()
            return
        count = len(self._index.tools(name))
        fresh = node is None or not node.children
        if node is None:
            node = self._heads[name] = self.root.add(Text(""), ToolTreeItem(name))
        was_open = node.is_expanded
        node.allow_expand = count > 0
        if node.children:
            node.remove_children()
        if count and (was_open or (fresh and count <= _OPEN_UP_TO)):
            self._add_tools(node, 0)
            if not was_open:
                node.expand()
        elif not count and was_open:
            node.collapse()
        node.refresh()

    def _return_to(self, spot: ToolTreeItem) -> None:
        node = self._heads.get(spot.server)
        wanted = spot.tool.name if spot.tool is not None else None
        for child in node.children if node is not None else ():
            tool = child.data.tool if child.data is not None else None
            if tool is not None and tool.name == wanted:
                node = child
                break
        if node is not None:
            self.call_after_refresh(self.move_cursor, node)

    def _add_tools(self, node: TreeNode[ToolTreeItem], start: int) -> None:
        if node.data is None:
            return
        server = node.data.server
        tools = self._index.tools(server)
        for tool in tools[start : start + CHUNK]:
            node.add_leaf(Text(""), ToolTreeItem(server, tool))
        if start + CHUNK < len(tools):
            node.add_leaf(Text(""), ToolTreeItem(server, start=start + CHUNK))

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[ToolTreeItem]) -> None:
        """Add a server's tools when it opens for the first time."""
        event.stop()
        if event.node is not self.root and not event.node.children:
            self._add_tools(event.node, 0)

    def on_resize(self) -> None:
        """Move the marks to the new right edge."""
        self._room = max(self.scrollable_content_region.width, 8)
        self._invalidate()

    def reach(self, node: TreeNode[ToolTreeItem]) -> None:
        """Replace "… more" by the next tools."""
        parent, spot = node.parent, node.data
        if parent is None or spot is None:
            return
        line = node.line
        node.remove()
        self._add_tools(parent, spot.start)
        self.call_after_refresh(setattr, self, "cursor_line", line)

    def notify_style_update(self) -> None:
        """Forget the drawn lines: the colours changed."""
        self._strips.clear()
        super().notify_style_update()

    def _render_line(self, y: int, x1: int, x2: int, base_style: Style) -> Strip:
        """Draw a line, or return the strip drawn before if it would look the same."""
        lines = self._tree_lines
        if y >= len(lines):
            return super()._render_line(y, x1, x2, base_style)
        node = lines[y].node
        # A line is kept by its width, which may change before the event tells it.
        self._room = max(self.scrollable_content_region.width, 8)
        hovered = self.hover_line >= 0 and any(one._hover for one in lines[y].path)
        marks = (y == self.cursor_line, y == self.hover_line, hovered, self._pseudo_class_state)
        looks = (y, node.id, x1, x2, base_style, self._room, *marks, *self._words(node))
        strip = self._strips.get(looks)
        if strip is None:
            strip = self._strips[looks] = super()._render_line(y, x1, x2, base_style)
        return strip

    def _words(self, node: TreeNode[ToolTreeItem]) -> tuple[object, ...]:
        """Return everything that a label shows."""
        spot = node.data
        if spot is None or spot.tool is not None:
            return (spot,)
        server = self._index.servers.get(spot.server)
        news = (server.state, server.label) if server is not None else ()
        return spot, len(self._index.tools(spot.server)), node.is_expanded, bool(node.children), *news

    def render_label(self, node: TreeNode[ToolTreeItem], base_style: Style, style: Style) -> Text:
        """Draw a server with its state, or a tool with its risk, at the right edge."""
        spot = node.data
        if spot is None or not self.is_attached:
            return Text("")
        if spot.tool is None and spot.start:
            left = len(self._index.tools(spot.server)) - spot.start
            return Text(f"  … {left:,} more", self._look("off") + style)
        room = max(self._room - (2 if spot.tool is not None else 0), 8)
        if spot.tool is not None:
            name, mark, look = tool_row_parts(spot.tool, room)
            name_look = "name" if spot.tool.exposed else "off"
            return self._line("  " + name, name_look, mark, look, room, style)
        server = self._index.servers.get(spot.server)
        state = _STATES.get(server.state, "") if server is not None else ""
        sign = "▾ " if node.is_expanded and node.children else "▸ "
        label = server.label if server is not None else safe_line(spot.server, limit=60)
        return self._line(sign + label, "off" if state else "name", state, "off", room, style)

    def _line(
        self, left: str, left_look: str, right: str, right_look: str, room: int, style: Style
    ) -> Text:
        name = Text(fit(left, max(room - len(right) - 1, 4)), self._look(left_look) + style, no_wrap=True)
        name.pad_right(max(room - name.cell_len - len(right), 1))
        return name + Text(right, self._look(right_look) + style)

    def _look(self, name: str) -> Style:
        return self.get_component_rich_style(f"tools--{name}", partial=True)


def tool_row_parts(tool: ToolSummary, room: int) -> tuple[str, str, str]:
    """Return a tool's name, the mark at its right and the mark's look, for a row of `room` cells.

    What an untrusted server claims has a question mark; that a tool only reads is not claimed here at all.
    """
    risk = _RISKS.get(tool.risk, "")
    shown = f"{risk}?" if risk and is_claim(tool.risk, server_trusted=tool.server_trusted) else risk
    first: str = "imitation" if tool.imitation else tool.trust if tool.trust != "unchanged" else ""
    look = "destroys" if tool.imitation else risk or "writes"
    if not tool.imitation and tool.rule:
        word = _RULES[tool.rule]
        first, look = f"{word} {first}".strip(), "destroys" if tool.rule == "deny" else look
    if not first and tool.alike:
        first = tool.alike if len(tool.alike) + len(tool.label) + 4 <= room else _ALIKE
        look = risk or "off"
    both = f"{first} {shown}".strip()
    return tool.label, both if len(both) + len(tool.label) + 4 <= room else first or both, look
