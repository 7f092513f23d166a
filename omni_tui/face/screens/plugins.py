"""The plugins of this installation: what each is and provides; checked, switched on and off here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content, wrap_rows
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.plugins import (
    CheckPlugin,
    DisablePlugin,
    EnablePlugin,
    ListPlugins,
    PluginChecked,
    PluginLine,
    PluginsChanged,
    PluginsListed,
    PluginWord,
)

_SIGNS: dict[PluginWord, tuple[str, str, str]] = {
    "on": ("●", "$done", "on"),
    "loading": ("◌", "$running", "loading"),
    "off": ("○", "$text-3", "off"),
    "faulty": ("✗", "$fail", "switched off"),
    "changed": ("!", "$waiting", "changed"),
    "gone": ("!", "$waiting", "not installed"),
    "bad": ("✗", "$fail", "cannot be used"),
}
_RIGHTS = "A plugin runs with the app's own rights: it can read your files and your keys."
_NONE = "No plugins are installed. In a shell: omni-tui plugins install WHAT, or plugins new NAME."
_LABEL = 13
_READING = "reading …"
_ROWS = 3
"""Rows of the longest fact that are shown: a summary is one line, and a reason says enough in three."""


class PluginRows(RowList):
    """One row for each plugin."""

    def __init__(self) -> None:
        super().__init__(id="plugin-rows")
        self.plugins: dict[str, PluginLine] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return sign, name and what it provides; version and state."""
        plugin = self.plugins[key]
        sign, colour, word = _SIGNS[plugin.word]
        right = Content.assemble((f" {visible(plugin.version)}", "$text-3"), (f" {word} ", colour))
        room = max(8, width - right.cell_length)
        left = Content.assemble(" ", (sign, colour), "  ", (visible_identifier(plugin.label), "$text-1"))
        what = ", ".join(map(visible, plugin.provides)) or visible(plugin.summary)
        left = fit_content(left + Content.styled(f"  {what}", "$text-2"), room)
        return left + Content(" " * max(0, width - left.cell_length - right.cell_length)) + right


class PluginsScreen(TitledScreen[None]):
    """The list, and below it the plugin under the cursor."""

    AUTO_FOCUS = "PluginRows"
    BINDINGS: ClassVar = [
        Binding("escape,q", "back", "back"),
        Binding("e", "enable", "enable"),
        Binding("d", "disable", "disable"),
        Binding("c", "check", "check"),
        Binding("r", "refresh_list", "refresh"),
    ]

    def __init__(self) -> None:
        super().__init__("PLUGINS")
        self.rows = PluginRows()
        self.message = _READING
        self._note = ""
        self._busy = False

    def body(self) -> ComposeResult:
        """Lay out the rows, the words if there are none, and the plugin under the cursor."""
        yield self.rows
        yield Static(id="list-empty", markup=False)
        yield Static(id="plugin-detail", markup=False)

    @property
    def plugin(self) -> PluginLine | None:
        """The plugin under the cursor."""
        return self.rows.plugins.get(self.rows.selected) if self.rows.selected is not None else None

    def on_mount(self) -> None:
        """Ask for the list."""
        self._read_list()
        self.draw()

    def on_resize(self) -> None:
        """Draw in the new width."""
        self.draw()

    def apply(self, event: AnyEvent) -> None:
        """Read again when a plugin was switched."""
        if isinstance(event, PluginsChanged):
            self._read_list()

    def action_refresh_list(self) -> None:
        """Look again for what is installed."""
        self._read_list()

    @work(group="plugins", exclusive=True, exit_on_error=False)
    async def _read_list(self) -> None:
        reply = await request(shell_of(self), ListPlugins(), self.say)
        if not isinstance(reply, PluginsListed):
            return
        if self.message == _READING:
            self.message = ""
        self._note = reply.note
        rows = self.rows
        rows.plugins = {plugin.name: plugin for plugin in reply.plugins}
        rows.set_keys(list(rows.plugins))
        if rows.selected is None and rows.keys:
            rows.select(rows.keys[0])
        self.draw()

    # --- the keys

    @on(RowList.Moved)
    def _moved(self) -> None:
        self.draw()

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        plugin = self.plugin
        if plugin is not None and plugin.word not in ("on", "loading"):
            self.action_enable()

    def action_check(self) -> None:
        """Check the plugin under the cursor."""
        if self.plugin is not None and not self._busy:
            self._check(self.plugin, to_enable=False)

    def action_enable(self) -> None:
        """Check the plugin under the cursor; if it is good, ask, and enable it."""
        plugin = self.plugin
        if plugin is None or self._busy:
            return
        if plugin.word in ("on", "loading"):
            self.say(f"{visible_identifier(plugin.label)} is on already")
        else:
            self._check(plugin, to_enable=True)

    def action_disable(self) -> None:
        """Disable the plugin under the cursor."""
        plugin = self.plugin
        if plugin is not None and not self._busy:
            self._switch(DisablePlugin(name=plugin.name))

    @work(group="plugin-check", exit_on_error=False)
    async def _check(self, plugin: PluginLine, *, to_enable: bool) -> None:
        self._begin(f"checking {visible_identifier(plugin.label)} …")
        reply = await request(shell_of(self), CheckPlugin(name=plugin.name), self._failed)
        self._busy = False
        if not isinstance(reply, PluginChecked) or not self.is_attached:
            return
        self.rows.plugins[plugin.name] = reply.plugin
        name = visible_identifier(plugin.label)
        if reply.problem:
            self.say(f"{name}: {visible(reply.problem)}")
        elif not to_enable:
            self.say(f"{name} passes its check")
        else:
            self.say("")
            detail = " ".join(_consent(reply.plugin))
            then = partial(self._answered, reply.plugin)
            shell_of(self).confirm(f"Enable the plugin {name}?", detail, "enable", then)

    def _answered(self, plugin: PluginLine, yes: bool | None) -> None:
        if yes:
            self._switch(EnablePlugin(name=plugin.name, version=plugin.version))

    @work(group="plugin-switch", exit_on_error=False)
    async def _switch(self, command: EnablePlugin | DisablePlugin) -> None:
        self._begin("enabling …" if isinstance(command, EnablePlugin) else "disabling …")
        reply = await request(shell_of(self), command, self._failed)
        self._busy = False
        if isinstance(reply, CommandDone) and self.is_attached:
            self.say(visible(reply.text))

    def _begin(self, words: str) -> None:
        self._busy = True
        self.say(words)

    def _failed(self, words: str) -> None:
        self._busy = False
        if self.is_attached:
            self.say(words)

    # --- the picture

    def say(self, words: str) -> None:
        """Say something below the list."""
        self.message = words
        self.draw()

    def draw(self) -> None:
        """Bring everything up to date."""
        rows, plugin = self.rows, self.plugin
        rows.refresh()
        title = Content.assemble(("PLUGINS", "bold $mine"), (f" {len(rows.keys):,}", "$text-3"))
        self.query_one("#screen-title", Static).update(title)
        self.set_class(not rows.keys, "-empty")
        empty = "" if rows.keys else self.message or _NONE
        self.query_one("#list-empty", Static).update(Content.styled(empty, "$text-2"))
        width = max(20, self.size.width - 4)
        said: list[Content] = []
        for words in filter(None, (self._note, self.message if rows.keys else "")):
            said += [Content.styled(row, "$waiting") for row in wrap_rows(words, width)[:_ROWS]]
        facts = list(_facts(plugin, width)) if plugin is not None else []
        # Of a small screen what was said last gets the room.
        lines = [*facts[: max(2, self.size.height * 2 // 5 - 2 - len(said))], *said]
        self.query_one("#plugin-detail", Static).update(Content("\n").join(lines))
        keys = []
        if plugin is not None:
            on = plugin.word in ("on", "loading")
            keys = [("d", "disable") if on else ("e", "enable"), ("c", "check")]
        self.foot(key_line(*keys, ("r", "refresh"), ("esc", "back")))


def _consent(plugin: PluginLine) -> Iterator[str]:
    """Yield what a person must know before a plugin is enabled."""
    yield f"{visible(plugin.summary)} ({visible(plugin.package)} {visible(plugin.version)})."
    yield f"It provides: {', '.join(map(visible, plugin.provides))}."
    yield f"It says it needs: {', '.join(map(visible, plugin.permissions)) or 'nothing'}."
    yield _RIGHTS


def _facts(plugin: PluginLine, width: int) -> Iterator[Content]:
    pairs = {
        "summary": visible(plugin.summary),
        "provides": ", ".join(map(visible, plugin.provides)),
        "permissions": ", ".join(map(visible, plugin.permissions)) if plugin.summary else "",
        "package": f"{visible(plugin.package)} {visible(plugin.version)}".strip(),
        "reason": visible(plugin.reason),
    }
    if not plugin.summary:
        pairs["summary"] = "not checked yet (c checks it)"
    elif not plugin.permissions:
        pairs["permissions"] = "none declared"
    for name, value in pairs.items():
        if value:
            first, *rest = wrap_rows(value, max(10, width - _LABEL))[:_ROWS]
            style = "$fail" if name == "reason" else "$text-1"
            yield Content.assemble((name.ljust(_LABEL), "$text-2"), (first, style))
            yield from (Content.styled(" " * _LABEL + row, style) for row in rest)
