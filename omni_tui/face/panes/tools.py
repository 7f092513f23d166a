"""The tools: a tree by server, and the best matches while something is typed into the filter."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static, Tree

from omni_tui.face import actions
from omni_tui.face.cells import fit
from omni_tui.face.messages import OpenTool
from omni_tui.face.panes.base import Pane
from omni_tui.face.panes.tool_index import ToolIndex
from omni_tui.face.panes.tool_tree import ToolTree, ToolTreeItem, tool_row_parts
from omni_tui.face.results.call_history import CallHistory
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.face.widgets.rows import RowList
from omni_tui.face.widgets.title import PaneTitle
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import EngineReady, ServerChanged, ToolsListed, ToolSummary
from omni_tui.protocol.rules import ReadToolRules, RuleAdded, RuleRevoked, ToolRulesRead
from omni_tui.security.identifiers import identifier

DELAY = 0.05
"""Seconds between two keys below which the filter waits for the last key before it searches."""


RULES_AFTER = 0.2
"""Seconds after a listing or a new rule before the rules about tools are asked for."""
_log = logging.getLogger(__name__)


def _not_known(why: str) -> None:
    _log.info("the rules about tools are not known: %s", why)


class FilterInput(Input):
    """The filter. The arrows move in the matches while the focus stays here."""

    DEFAULT_CSS = """
    FilterInput { height: 1; margin-bottom: 1; background: transparent; color: $text-1; }
    FilterInput.-textual-compact { padding: 0 1 0 2; }
    FilterInput > .input--placeholder { color: $text-3; text-style: none; }
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

    def on_key(self, event: events.Key) -> None:
        """Ignore `/` in the empty filter: the person is there already."""
        if event.key == "slash" and not self.value:
            event.stop()
            event.prevent_default()

    def action_move(self, by: int) -> None:
        """Move in the matches, or go to the tree if nothing is typed."""
        self.pane.move(by)

    def action_leave(self) -> None:
        """Clear the filter and go back to the tree."""
        self.value = ""
        self.pane.show_tree()


class ToolRows(RowList):
    """The matches, drawn when they become visible. The first is selected."""

    DEFAULT_CSS = """
    ToolRows > .match--name { color: $text-1; }
    ToolRows > .match--off { color: $text-3; }
    ToolRows > .match--writes { color: $waiting; }
    ToolRows > .match--destroys { color: $fail; }
    ToolRows > .match--cursor { background: $cursor; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "match--name", "match--off", "match--writes", "match--destroys", "match--cursor",
    }  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._tools: dict[str, ToolSummary] = {}

    def show(self, tools: tuple[ToolSummary, ...], *, keep: bool) -> None:
        """Show other matches; with `keep` the cursor stays on its tool if it still matches."""
        self._tools = {f"{tool.server}\n{tool.name}": tool for tool in tools}
        if not keep:
            self.selected = None
        self.keys = list(self._tools)
        if self.selected not in self._tools:
            self.selected = None
        # Not `set_keys`, which lays out again: the height does not follow the number of rows here.
        self.virtual_size = Size(self.size.width, len(self.keys))
        self.refresh()
        if self.selected is None and self.keys:
            self.select(self.keys[0])

    def tool(self, key: str | None) -> ToolSummary | None:
        """Return the tool of a row, None if there is none."""
        return self._tools.get(key or "")

    def render_line(self, y: int) -> Strip:
        """Draw one match: name, server, description if there is room; the mark at the right.

        Drawn from segments: a screen full of `Content` costs ten milliseconds more for every key.
        """
        index = y + round(self.scroll_offset.y)
        width = self.size.width
        base = self.rich_style
        if index >= len(self.keys):
            return Strip.blank(width, base)
        key = self.keys[index]
        if key == self.selected:
            base += self._look("cursor")
        tool = self._tools[key]
        room = max(width - 4, 12)
        name, mark, look = tool_row_parts(tool, room)
        cells = max(room - len(mark) - 1, 4)
        name, server = fit_names(name, identifier(tool.server, limit=40), cells)
        said = " ".join(tool.description[:300].split()) if room > 60 else ""
        left = Strip(
            [
                Segment(name, base + self._look("name" if tool.exposed else "off")),
                Segment(f"  {server}  {said}".rstrip(), base + self._look("off")),
            ]
        )
        if left.cell_length > cells:
            left = Strip([*left.crop(0, cells - 1), Segment("…", base + self._look("off"))])
        pad = Segment("  ", base)
        strips = Strip([pad]), left.extend_cell_length(room - len(mark), base)
        return Strip.join([*strips, Strip([Segment(mark, base + self._look(look)), pad])])

    def _look(self, name: str) -> Style:
        return self.get_component_rich_style(f"match--{name}", partial=True)


def fit_names(name: str, server: str, cells: int) -> tuple[str, str]:
    """Return a tool's name and its server's, cut to fit; something of each is left."""
    least = min(cell_len(server), max(cells // 3, 4))
    name = fit(name, max(cells - least - 2, 4))
    return name, fit(server, max(cells - cell_len(name) - 2, 4))


class ToolsPane(Pane):
    """All tools of all servers. Posts `OpenTool` for the chosen one."""

    TITLE = "Tools"
    HELP = (
        "Every tool of every server. {tools_filter} finds one by name or description, enter opens its "
        "form. “writes?” is what a server that you do not trust claims."
    )
    BINDINGS = actions.bindings("tools")
    DEFAULT_CSS = """
    ToolsPane > ToolRows, ToolsPane > #tools-more { display: none; background: transparent; }
    ToolsPane > ToolRows { height: 1fr; }
    ToolsPane > #tools-more { height: 1; padding: 0 2; color: $text-3; }
    ToolsPane.-finding > ToolRows, ToolsPane.-finding > #tools-more { display: block; }
    ToolsPane.-finding.-none > ToolRows { display: none; }
    ToolsPane.-finding > ToolTree, ToolsPane.-finding > #tools-empty { display: none; }
    ToolsPane > #tools-empty { height: auto; padding: 0 2; color: $text-3; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.index = ToolIndex()
        self.history = CallHistory()
        self._drawing = NextFrameCall(self, self._draw)
        self._wait: Timer | None = None
        self._typed = 0.0
        self._query = ""
        self._said: Content | None = Content("")
        self._is_ready = False

    def compose(self) -> ComposeResult:
        """Yield title, filter, tree, matches, and the words for an empty pane."""
        yield PaneTitle(self.TITLE)
        yield FilterInput()
        yield ToolTree(self.index)
        yield ToolRows()
        yield Static(id="tools-more", markup=False)
        yield Static(id="tools-empty", markup=False)

    def on_mount(self) -> None:
        """Draw what the events so far say."""
        self._draw()
        if self.index.count:
            self._ask_rules()

    @property
    def entrance(self) -> Widget:
        """The filter if it is in use, else the tree."""
        return self.query_one(FilterInput) if self._query else self.query_one(ToolTree)

    # --- events

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account; it is drawn with the next frame."""
        if self.index.apply(event):
            self.count = self.index.count
            self._drawing.ask()
            if isinstance(event, ToolsListed) and self.is_attached:
                self._ask_rules()
        elif isinstance(event, RuleAdded | RuleRevoked) and self.is_attached:
            self._ask_rules()
        elif isinstance(event, EngineReady):
            self._is_ready = True
            self._drawing.ask()
        elif not isinstance(event, ServerChanged):
            self.history.apply(event)

    @work(group="rules", exclusive=True, exit_on_error=False)
    async def _ask_rules(self) -> None:
        """Learn which tools a rule denies or asks about, once after a burst of listings."""
        await asyncio.sleep(RULES_AFTER)
        reply = await request(shell_of(self), ReadToolRules(), _not_known)
        if isinstance(reply, ToolRulesRead) and self.index.apply(reply):
            self._drawing.ask()

    def engine_stopped(self) -> None:
        """Forget listings that were cut off."""
        self.index.engine_stopped()

    def clear_session(self) -> None:
        """Forget the calls; servers and tools stay."""
        self.history.clear()

    def _draw(self) -> None:
        self._drawing.done()
        changed, self.index.changed = self.index.changed, set()
        self.query_one(ToolTree).bring(changed)
        self.query_one(PaneTitle).count = self.index.count
        words = None if self.index.count else self._empty_words()
        if words != self._said:  # an update lays out the screen, even one that changes nothing
            self._said = words
            empty = self.query_one("#tools-empty", Static)
            empty.display = words is not None
            self.query_one(ToolTree).styles.height = "auto" if words is not None else "1fr"
            empty.update(words or "")
        if self._query:
            self._search()

    def _empty_words(self) -> Content:
        states = {server.state for server in self.index.servers.values()}
        if not (states or self._is_ready):
            words = "Waiting for the engine …"
        elif not states:
            palette = shell_of(self).key("palette", spelled=True)
            words = f"No server yet, so no tools. {palette} finds “add server” and “import servers”."
        elif "connecting" in states:
            words = "Tools appear here as their servers connect."
        else:
            servers = shell_of(self).key("show_servers")
            words = f"No server offers a tool. {servers} shows how the servers are doing."
        return Content("\n" * bool(states) + words)

    # --- the tree

    def on_tree_node_selected(self, event: Tree.NodeSelected[ToolTreeItem]) -> None:
        """Open a tool, or add the next tools."""
        event.stop()
        spot = event.node.data
        if spot is not None and spot.tool is not None:
            self.post_message(OpenTool(spot.server, spot.tool.name))
        elif spot is not None and spot.start:
            self.query_one(ToolTree).reach(event.node)

    def show_tree(self) -> None:
        """Go back from the matches to the tree."""
        self.screen.set_focus(self.query_one(ToolTree))

    # --- the filter

    def action_tools_filter(self) -> None:
        """Go to the filter."""
        self.screen.set_focus(self.query_one(FilterInput))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search at once after a pause; during fast typing, when it stops."""
        event.stop()
        now, before = monotonic(), self._typed
        self._typed = now
        if self._wait is not None:
            self._wait.stop()
            self._wait = None
        if not event.value.strip():
            self._query = ""
            self.remove_class("-finding")
        elif now - before > DELAY:
            self._search()
        else:
            self._wait = self.set_timer(DELAY, self._search)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Open the highlighted match, after a search that is due."""
        event.stop()
        self._catch_up()
        self._open(self.query_one(ToolRows).selected)

    def _catch_up(self) -> None:
        """Search now if a search is due: a key acts on what was typed before it."""
        value = self.query_one(FilterInput).value.strip()
        if value and value != self._query:
            self._search()

    def _search(self) -> None:
        query = self.query_one(FilterInput).value.strip()
        matches = self.query_one(ToolRows)
        same = query == self._query
        self._query = query
        found = self.index.find(query)
        matches.show(found.tools, keep=same)
        words = "" if found.tools else "nothing matches · esc clears"
        if found.more:
            words = f"… {found.more:,} more: type to narrow"
        self.query_one("#tools-more", Static).update(Content(words), layout=False)
        self.set_class(not found.tools, "-none")
        self.add_class("-finding")

    def move(self, by: int) -> None:
        """Move in the matches, or go to the tree if there are none."""
        self._catch_up()
        if self._query:
            self.query_one(ToolRows).action_move(by)
        else:
            self.show_tree()

    @on(RowList.Chosen)
    def _match_chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self._open(event.key)

    def _open(self, key: str | None) -> None:
        tool = self.query_one(ToolRows).tool(key)
        if tool is not None:
            self.post_message(OpenTool(tool.server, tool.name))
