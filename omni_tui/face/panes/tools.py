"""The tools: a tree by server, and the best matches while something is typed into the filter."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static, Tree
from textual.widgets.option_list import Option

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.messages import OpenTool
from omni_tui.face.panes.base import Pane
from omni_tui.face.panes.tool_index import ToolIndex
from omni_tui.face.panes.tool_tree import Spot, ToolTree, tool_words
from omni_tui.face.results.history import CallHistory
from omni_tui.face.widgets.title import PaneTitle
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import ServerChanged, ToolSummary
from omni_tui.security.text import safe_line

DELAY = 0.06
"""Seconds without a key before the filter searches."""
actions.add(Action("tools_filter", "slash", "tools", "Find a tool by its name or description", "filter"))


class FilterLine(Input):
    """What is looked for. The arrows move in the matches while the keys stay here."""

    DEFAULT_CSS = """
    FilterLine { height: 1; margin-bottom: 1; background: transparent; color: $text-1; }
    FilterLine.-textual-compact { padding: 0 1 0 2; }
    FilterLine > .input--placeholder { color: $text-3; text-style: none; }
    """
    BINDINGS = [
        Binding("down", "move(1)", "next match", show=False),
        Binding("up", "move(-1)", "previous match", show=False),
        Binding("pagedown", "move(10)", "ten further", show=False),
        Binding("pageup", "move(-10)", "ten back", show=False),
        Binding("escape", "leave", "clear", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(placeholder="/ type to filter", compact=True, select_on_focus=False)
        self.cursor_blink = False

    @property
    def pane(self) -> ToolsPane:
        """The pane it belongs to."""
        assert isinstance(self.parent, ToolsPane)
        return self.parent

    def action_move(self, by: int) -> None:
        """Move the highlight in the matches, or go to the tree where nothing is typed."""
        self.pane.move(by)

    def action_leave(self) -> None:
        """Clear the filter and go back to the tree."""
        self.value = ""
        self.pane.show_tree()


class ToolsPane(Pane):
    """All tools of all servers. Posts `OpenTool` for the one that is chosen."""

    TITLE = "Tools"
    HELP = "Every tool of every server. `/` finds one by name or description, enter opens its form."
    BINDINGS = actions.bindings("tools")
    DEFAULT_CSS = """
    ToolsPane > OptionList { display: none; height: 1fr; border: none; background: transparent; }
    ToolsPane > OptionList { padding: 0 1 0 2; scrollbar-size-vertical: 1; }
    ToolsPane > OptionList > .option-list--option { padding: 0; }
    ToolsPane > OptionList > .option-list--option-highlighted { background: $cursor; color: $text-1; }
    ToolsPane > OptionList > .option-list--option-disabled { color: $text-3; }
    ToolsPane.-finding > OptionList { display: block; }
    ToolsPane.-finding > ToolTree, ToolsPane.-finding > #tools-empty { display: none; }
    ToolsPane > #tools-empty { height: auto; padding: 0 2; color: $text-3; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.index = ToolIndex()
        self.history = CallHistory()
        self._due = False
        self._wait: Timer | None = None
        self._found: tuple[ToolSummary, ...] = ()
        self._query = ""

    def compose(self) -> ComposeResult:
        """Title, filter, tree, matches, and what to do where there is nothing."""
        yield PaneTitle(self.TITLE)
        yield FilterLine()
        yield ToolTree(self.index)
        yield OptionList(markup=False)
        yield Static(id="tools-empty", markup=False)

    def on_mount(self) -> None:
        """Draw what was heard of before."""
        self._draw()

    @property
    def entrance(self) -> Widget:
        """What takes the keys when somebody comes here."""
        return self.query_one(FilterLine) if self._query else self.query_one(ToolTree)

    # --- events

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account; drawn with the next frame."""
        if self.index.apply(event):
            self.count = self.index.count
            self._draw_soon()
        elif not isinstance(event, ServerChanged):
            self.history.apply(event)

    def clear_session(self) -> None:
        """Forget the calls; servers and tools stay."""
        self.history.clear()

    def _draw_soon(self) -> None:
        if not self._due and self.is_attached:
            self._due = True
            self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        self._due = False
        changed, self.index.changed = self.index.changed, set()
        self.query_one(ToolTree).bring(changed)
        self.query_one(PaneTitle).count = self.index.count
        empty = self.query_one("#tools-empty", Static)
        empty.display = not self.index.count
        self.query_one(ToolTree).styles.height = "1fr" if self.index.count else "auto"
        empty.update(self._empty_words())
        if self._query:
            self._search()

    def _empty_words(self) -> Content:
        states = {server.state for server in self.index.servers.values()}
        if not states:
            words = "No server yet, so no tools. ctrl+p finds “add server” and “import servers”."
        elif "connecting" in states:
            words = "Tools appear here as their servers connect."
        else:
            words = "No server offers a tool. F2 shows how the servers are doing."
        return Content("\n" * bool(states) + words)

    # --- the tree

    def on_tree_node_selected(self, event: Tree.NodeSelected[Spot]) -> None:
        """Open a tool, or bring more of them."""
        event.stop()
        spot = event.node.data
        if spot is not None and spot.tool is not None:
            self.post_message(OpenTool(spot.server, spot.tool.name))
        elif spot is not None and spot.start:
            self.query_one(ToolTree).reach(event.node)

    def show_tree(self) -> None:
        """Go back from the matches to the tree."""
        self.query_one(ToolTree).focus()

    # --- the filter

    def action_tools_filter(self) -> None:
        """Go to the filter."""
        self.query_one(FilterLine).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search when no key came for a moment."""
        event.stop()
        if self._wait is not None:
            self._wait.stop()
        self._wait = self.set_timer(DELAY, self._search) if event.value.strip() else None
        if self._wait is None:
            self._query, self._found = "", ()
            self.remove_class("-finding")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Open the match under the highlight, searching first if a search is due."""
        event.stop()
        if self.query_one(FilterLine).value.strip() != self._query:
            self._search()
        matches = self.query_one(OptionList)
        if self._found:
            self._open(matches.highlighted or 0)

    def _search(self) -> None:
        query = self.query_one(FilterLine).value.strip()
        matches = self.query_one(OptionList)
        same = query == self._query
        at = matches.highlighted if same else None
        self._query = query
        found = self.index.find(query)
        self._found = found.tools
        room = max(self.size.width - 5, 12)
        options = [Option(_row(tool, room)) for tool in found.tools]
        if found.more:
            options.append(Option(Content(f"… {found.more:,} more: type to narrow"), disabled=True))
        elif not options:
            options.append(Option(Content("nothing matches · esc clears"), disabled=True))
        self.add_class("-finding")
        matches.set_options(options)
        if self._found:
            matches.highlighted = min(at or 0, len(self._found) - 1)

    def move(self, by: int) -> None:
        """Move the highlight in the matches, or go into the tree where there are none."""
        matches = self.query_one(OptionList)
        if not self._query:
            self.show_tree()
        elif self._found:
            at = (matches.highlighted or 0) + by
            matches.highlighted = max(0, min(at, len(self._found) - 1))

    @on(OptionList.OptionSelected)
    def _match_chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._open(event.option_index)

    def _open(self, place: int) -> None:
        if place < len(self._found):
            tool = self._found[place]
            self.post_message(OpenTool(tool.server, tool.name))

    def on_resize(self) -> None:
        """The marks stand at the right edge, wherever that is now."""
        if self._query:
            self._search()


def _row(tool: ToolSummary, room: int) -> Content:
    """Draw one match: name, server and, where there is room, the description; the mark at the right."""
    name, mark, look = tool_words(tool, room)
    left = Content.assemble(
        (name, "$text-1" if tool.exposed else "$text-3"),
        (f"  {safe_line(tool.server, limit=40)}", "$text-3"),
    )
    if room > 60 and tool.description:
        left += Content.styled("  " + " ".join(tool.description[:300].split()), "$text-3")
    left = left.truncate(max(room - len(mark) - 1, 4), ellipsis=True)
    gap = " " * max(room - left.cell_length - len(mark), 1)
    return left + Content.assemble(gap, (mark, "$fail" if look == "destroys" else "$waiting"))
