"""Every setting of the config file: what counts now and why, and a line to change it."""

from __future__ import annotations

import json

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Static

from omni_tui.face.approval.visible import visible
from omni_tui.face.screens.filtered_list import FilteredListScreen
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import JsonText
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.settings import ReadSettings, SettingInfo, SettingsRead, WriteSetting

_WIDE = 90
_VALUE = 34
"""Columns of a value in a row, where there is room."""
_LONGEST = 4_000


class SettingRows(RowList):
    """One row for each setting."""

    def __init__(self) -> None:
        super().__init__(id="setting-rows")
        self.settings: dict[str, SettingInfo] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return name and value; when a change counts and the layer if there is room."""
        setting = self.settings[key]
        set_here = setting.layer != "default"
        mark = ("~ ", "bold $waiting") if setting.waits else ("● ", "$mine") if set_here else ("  ", "")
        right = Content.styled(f" {_counts(setting)} ", "$text-3")
        if width >= _WIDE:
            right = Content.styled(f"  {visible(setting.layer):<12}", "$text-2") + right
        room = max(10, width - right.cell_length - 3)
        name_room = max(8, room - _VALUE - 1) if room > _VALUE + 12 else room // 2
        name = fit_content(Content.styled(visible(setting.name), "$text-1"), name_room)
        value = fit_content(
            Content.styled(visible(_shown(setting)), "$text-1" if set_here else "$text-3"),
            room - name_room - 1,
        )
        gaps = Content(" " * (name_room - name.cell_length + 1))
        end = Content(" " * max(0, room - name_room - 1 - value.cell_length))
        return Content.assemble(" ", mark) + name + gaps + value + end + right


def _counts(setting: SettingInfo) -> str:
    return "live   " if setting.live else "restart"


def _shown(setting: SettingInfo) -> str:
    """Return the value in one line, as a file has it; what is not set as a dash."""
    return "–" if setting.value_json in ("null", '""') else str(setting.value_json)


def _editable(setting: SettingInfo) -> str:
    """Return the value as it stands in the line for editing: text without quotes."""
    text = setting.file_json or setting.value_json
    if setting.kind in ("text", "choice"):
        value = json.loads(text)
        return value if isinstance(value, str) else ""
    return "" if text == "null" else str(text)


def _as_json(setting: SettingInfo, text: str) -> str:
    """Return what was typed as JSON; "" takes the setting out of the file."""
    text = text.strip()
    if setting.kind in ("text", "choice"):
        return json.dumps(text) if text else ""
    return text.lower() if setting.kind == "switch" else text


class SettingsScreen(FilteredListScreen):
    """The settings with every word of a query."""

    AUTO_FOCUS = "SettingRows"
    HINT = "words of the name or the description"
    BINDINGS = [Binding("delete", "reset", "default")]

    def __init__(self, words: str = "") -> None:
        self.rows = SettingRows()
        super().__init__("SETTINGS", self.rows, words)
        self._every: tuple[SettingInfo, ...] = ()
        self._file = ""
        self._fixed = ""
        self._edited = ""
        """The name of the setting whose line is open, "" for none."""

    def body(self) -> ComposeResult:
        """Lay out filter, rows, the line for editing, and what the setting under the cursor does."""
        yield self.filter_line()
        yield self.rows
        yield self.empty_line()
        line = Input(id="setting-line", compact=True, max_length=_LONGEST)
        line.cursor_blink = False
        yield line
        yield Static(id="setting-detail", markup=False)

    def on_resize(self) -> None:
        """Draw in the new width."""
        self.draw()

    # --- reading

    def read(self, *, from_start: bool) -> None:
        """Read every setting; there are about a hundred."""
        self._read_all()

    @work(group="settings", exclusive=True, exit_on_error=False)
    async def _read_all(self, said: str = "") -> None:
        reply = await request(shell_of(self), ReadSettings(), self.say)
        if not isinstance(reply, SettingsRead):
            return
        self._every, self._file, self._fixed = reply.settings, reply.file, reply.fixed
        self.message = said or self._fixed
        words = self.words.lower().split()
        found = [
            each
            for each in reply.settings
            if all(word in f"{each.name} {each.description}".lower() for word in words)
        ]
        self.rows.settings = {each.name: each for each in found}
        self.total = len(found)
        self.fill([each.name for each in found])

    # --- the picture

    @property
    def setting(self) -> SettingInfo | None:
        """The setting under the cursor."""
        rows = self.rows
        return rows.settings.get(rows.selected) if rows.selected is not None else None

    def draw(self) -> None:
        """Draw the rows, the setting under the cursor, and the keys."""
        self.draw_list("There are no settings.", "No setting has all of these words.")
        setting = self.setting
        self.query_one("#setting-detail", Static).update(self._detail(setting) if setting else "")
        if self._edited:
            self.draw_keys(("enter", "write"), ("esc", "leave it"))
        elif setting is None or self._fixed:
            self.draw_keys()
        else:
            verb = "switch" if setting.kind == "switch" else "next" if setting.choices else "change"
            keys = [("enter", verb)]
            if setting.file_json:
                keys.append(("delete", "default"))
            self.draw_keys(*keys)

    def _detail(self, setting: SettingInfo) -> Content:
        counts = "now" if setting.live else "from the next start"
        lines = [Content.styled(visible(setting.description), "$text-1")]
        unset = setting.default_json in ("null", '""')
        about = ["not set by default" if unset else f"default {setting.default_json}"]
        if setting.choices:
            about.append(f"one of {', '.join(map(visible, setting.choices))}")
        if setting.limits:
            about.append(setting.limits)
        lines.append(Content.styled(" · ".join(about), "$text-2"))
        where = f" ({visible(setting.where)})" if setting.where else ""
        lines.append(Content.styled(f"from: {visible(setting.layer)}{where}", "$text-2"))
        if setting.waits:
            waits = f"your file says {visible(setting.file_json)}, which counts from the next start"
            lines.append(Content.styled(waits, "$waiting"))
        else:
            lines.append(
                Content.styled(f"a change counts {counts}; it is written to {self._file}", "$text-3")
            )
        return Content("\n").join(lines)

    # --- changing

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        setting = self.setting
        if setting is None or self._fixed:
            return
        now = setting.file_json or setting.value_json
        if setting.kind == "switch":
            self._write(setting, "false" if now == "true" else "true")
        elif setting.choices:
            choices = [json.dumps(each) for each in setting.choices]
            at = choices.index(now) + 1 if now in choices else 0
            self._write(setting, choices[at % len(choices)])
        else:
            self._edited = setting.name
            self.add_class("-editing")
            line = self.query_one("#setting-line", Input)
            line.value = _editable(setting)
            line.placeholder = f"{visible(setting.name)}: empty for the default"
            line.focus()
            self.message = ""
            self.draw()

    @on(Input.Changed, "#setting-line")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        event.prevent_default()

    @on(Input.Submitted, "#setting-line")
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        event.prevent_default()
        setting = self.rows.settings.get(self._edited)
        if setting is not None:
            self._write(setting, _as_json(setting, event.value))

    def action_reset(self) -> None:
        """Take the setting under the cursor out of the file."""
        if self.setting is not None and self.setting.file_json and not self._fixed:
            self._write(self.setting, "")

    @work(group="settings-write", exclusive=True, exit_on_error=False)
    async def _write(self, setting: SettingInfo, value: str) -> None:
        command = WriteSetting(name=setting.name, value_json=JsonText(value))
        reply = await request(shell_of(self), command, self.say)
        if isinstance(reply, CommandDone):
            self._close_line()
            self._read_all(str(reply.text))

    def _close_line(self) -> None:
        self._edited = ""
        self.remove_class("-editing")
        self.rows.focus()

    def action_back(self) -> None:
        """Leave the line, then the filter, then the screen."""
        if self._edited:
            self._close_line()
            self.message = ""
            self.draw()
        else:
            super().action_back()
