"""A JSON value as a tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from omni_tui.face.form.exact_json import Json, JsonNumber
from omni_tui.security.text import safe_line

CHILDREN = 200
"""Children shown at first; "… more" unfolds the rest."""
_MAX_TEXT = 500


@dataclass(frozen=True, slots=True)
class JsonNode:
    """The value of a tree node. `start` > 0: the rest of its children from there on."""

    key: str
    value: Json
    start: int = 0


class JsonTree(Tree[JsonNode]):
    """Shows one JSON value; its first levels are unfolded."""

    DEFAULT_CSS = """
    JsonTree { height: 1fr; padding: 0 1; background: transparent; scrollbar-size-vertical: 1; }
    JsonTree > .json--key { color: $text-2; }
    JsonTree > .json--text { color: $text-1; }
    JsonTree > .json--value { color: $running; }
    JsonTree > .json--count { color: $text-3; }
    JsonTree > .tree--guides, JsonTree > .tree--guides-hover { color: $text-3; }
    JsonTree > .tree--guides-selected { color: $text-3; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"json--key", "json--text", "json--value", "json--count"}
    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "

    def __init__(self) -> None:
        super().__init__(Text(""), data=JsonNode("", None))

    def on_mount(self) -> None:
        """Hide the root; its children are at the left edge."""
        self.show_root = False
        self.guide_depth = 3

    def show(self, value: Json) -> None:
        """Show another value."""
        self.clear()
        data = JsonNode("", value)
        if not isinstance(value, (dict, list)):
            self.root.add_leaf(Text(""), data)
            return
        self.root.data = data
        self.root.expand()
        self._fill(self.root)
        for node in islice(self.root.children, 20):
            if node.data is not None and _size(node.data.value) <= 20:
                node.expand()

    def _fill(self, node: TreeNode[JsonNode]) -> None:
        if node.data is None or node.children:
            return
        data = node.data
        for key, value in islice(_children(data.value), data.start, data.start + CHILDREN):
            made = JsonNode(key, value)
            if isinstance(value, (dict, list)) and value:
                node.add(Text(""), made)
            else:
                node.add_leaf(Text(""), made)
        if data.start + CHILDREN < _size(data.value):
            node.add(Text(""), JsonNode("", data.value, data.start + CHILDREN))

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[JsonNode]) -> None:
        """Add the children of a node when it is unfolded for the first time."""
        event.stop()
        self._fill(event.node)

    def render_label(self, node: TreeNode[JsonNode], base_style: Style, style: Style) -> Text:
        """Draw one node: its key, then its value or size."""
        data = node.data
        if data is None:
            return Text("", style=base_style)
        sign = ("▾ " if node.is_expanded else "▸ ") if node.allow_expand else "  "
        parts = [(sign, self._look("count"))]
        if data.start:
            left = _size(data.value) - data.start
            parts.append((f"… {left:,} more", self._look("count")))
        else:
            if data.key:
                parts.append((safe_line(data.key, limit=120) + "  ", self._look("key")))
            parts.append(self._value(data.value))
        return Text.assemble(*((text, base_style + look + style) for text, look in parts))

    def _value(self, value: Json) -> tuple[str, Style]:
        if isinstance(value, dict):
            return f"{{{len(value):,}}}", self._look("count")
        if isinstance(value, list):
            return f"[{len(value):,}]", self._look("count")
        if isinstance(value, str):
            return safe_line(value, limit=_MAX_TEXT, joined=True) if value else '""', self._look("text")
        if isinstance(value, JsonNumber):
            return value.text[:_MAX_TEXT], self._look("value")
        return {None: "null", True: "true", False: "false"}[value], self._look("value")

    def _look(self, name: str) -> Style:
        return self.get_component_rich_style(f"json--{name}", partial=True)


def _children(value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        yield from ((key if key else '""', item) for key, item in value.items())
    elif isinstance(value, list):
        yield from ((str(number), item) for number, item in enumerate(value))


def _size(value: Json) -> int:
    return len(value) if isinstance(value, (dict, list)) else 0
