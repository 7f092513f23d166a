"""The saved sessions: found by what was said in them, looked into, resumed, renamed, tagged and deleted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.content import Content
from textual.strip import Strip
from textual.timer import Timer
from textual.widgets import Input, Static

from omni_tui.face.approval.visible import visible
from omni_tui.face.formats import counted
from omni_tui.face.lines import Line
from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.transcript import TranscriptView
from omni_tui.face.widgets.block_view import overlay
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyCommand, ProtocolError, decode_event
from omni_tui.protocol.commands import ListSessions
from omni_tui.protocol.events import CommandDone, SessionInfo, SessionsListed
from omni_tui.protocol.session_search import (
    DeleteSession,
    FoundSession,
    PreviewSession,
    RenameSession,
    SearchSessions,
    SessionPreviewed,
    SessionsFound,
    SnippetPart,
    TagSession,
    TextPlace,
)

_WIDE = 100
"""Columns from which the preview is beside the list."""
_AGAIN_S = 0.4
"""Seconds until a search is repeated while sessions are still being read."""
_SOON_S = 0.08
"""Seconds of rest before a session under the cursor is looked into."""
_BEFORE = 14
"""Characters of a snippet before its first hit, in a row."""
_STATES = {
    "closed": ("  ", "$text-3"), "unfinished": ("◌ ", "$waiting"),
    "open": ("● ", "$mine"), "running": ("▶ ", "$running"),
}  # fmt: skip
_STATE_WORDS = {
    "closed": "", "unfinished": "left unfinished", "open": "open in another omni-tui",
    "running": "a turn runs in it",
}  # fmt: skip
_ROLES = {
    "title": "title", "you": "you", "answer": "answer", "thought": "thought", "call": "call",
    "result": "result",
}  # fmt: skip
_DELETED = (
    "Its messages, answers, calls, results and audit are erased for good, its words in the search index "
    "too. What its calls did stays done."
)


@dataclass(frozen=True, slots=True)
class ResumeSession:
    """The session to open, and where in it; `here`: it is the one on the screen already."""

    session: str
    place: TextPlace | None = None


class SessionRows(RowList):
    """One row for each session."""

    def __init__(self) -> None:
        super().__init__(id="session-rows")
        self.sessions: dict[str, SessionInfo] = {}
        self.found: dict[str, FoundSession] = {}
        """The hits of the search, by session."""
        self.current = ""
        """The session on the screen below."""
        self.now = 0.0

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return state, title, tags and where it was found; hits or open calls, and when it was used."""
        info, found = self.sessions[key], self.found.get(key)
        mark = _STATES[info.state]
        if info.id == self.current:
            mark = ("● ", "$done")
        right = Content.styled(f" {_when(info.updated, self.now)} ", "$text-3")
        if found is not None:
            right = Content.styled(f" {counted(found.hits, 'hit')}", "$mine") + right
        elif info.open_calls:
            right = Content.styled(f" {counted(info.open_calls, 'open call')}", "$waiting") + right
        if right.cell_length > width // 2:
            right = Content("")
        room = max(8, width - right.cell_length - 1)
        left = Content.styled(visible(info.title) or "untitled", "$text-1")
        if found is not None and found.snippet and found.role != "title":
            left = fit_content(left, max(12, room * 2 // 5)) + Content("  ") + snippet_line(found.snippet)
        else:
            left += Content.styled("".join(f" #{visible(tag)}" for tag in info.tags), "$running")
        left = Content.assemble(" ", mark) + left
        left = fit_content(left, room)
        return left + Content(" " * max(1, width - left.cell_length - right.cell_length)) + right


class PreviewView(TranscriptView, can_focus=False):
    """A part of another session's transcript, to read only. The text with the hit is marked."""

    def __init__(self) -> None:
        super().__init__(id="session-preview")
        self.can_focus = False

    def decorate(self, strip: Strip, row: Line, index: int, inner: int) -> Strip:
        """Mark the text with the hit."""
        if index == self.cursor and row.spans:
            strip = overlay(strip, self.look("cursor"), 0, strip.cell_length)
        return super().decorate(strip, row, index, inner)

    def on_click(self) -> None:  # type: ignore[override]
        """Do nothing: what could be opened belongs to another session."""

    def show_part(self, part: SessionPreviewed) -> None:
        """Show a part of a session, at the hit or at its end."""
        self.clear()
        for text in part.events:
            try:
                self.apply(decode_event(text.encode()))
            except ProtocolError:
                continue  # of a later version
        self.flush()
        if part.at and self.show_text(part.place):
            return
        self.action_scroll_end()


class SessionsScreen(TitledScreen[ResumeSession]):
    """Every saved session, last used first, or those in which the words are found. Its result opens one."""

    AUTO_FOCUS = "SessionRows"
    BINDINGS: ClassVar = [
        Binding("escape,q", "back", "back"),
        Binding("slash", "search", "search"),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "scroll(-1)", show=False),
        Binding("pagedown,space", "scroll(1)", show=False),
        Binding("n", "hit(1)", "next hit"),
        Binding("N,p", "hit(-1)", "previous hit"),
        Binding("r", "edit('title')", "rename"),
        Binding("t", "edit('tags')", "tags"),
        Binding("d,delete", "delete", "delete"),
        Binding("ctrl+l", "refresh_list", "refresh"),
    ]

    def __init__(self, words: str = "") -> None:
        super().__init__("SESSIONS")
        self._words = words
        self._all: list[SessionInfo] = []
        self._reply: SessionsFound | None = None
        self._unreadable = 0
        self._message = "reading …"
        self._trouble = ""
        self._asked = 0
        self._looked = 0
        self._soon: Timer | None = None
        self._again: Timer | None = None
        self._editing: Literal["", "title", "tags"] = ""
        self._preview: SessionPreviewed | None = None

    def body(self) -> ComposeResult:
        """Lay out the search, the rows with the preview beside or below them, and the line to edit."""
        hint = "/ words in messages, answers, calls and results · #tag"
        line = Input(self._words, placeholder=hint, id="sessions-search", compact=True)
        line.cursor_blink = False
        yield line
        with Container(id="sessions-body"):
            yield SessionRows()
            yield Static(id="sessions-empty", markup=False)
            with Vertical(id="sessions-side"):
                yield Static(id="session-facts", markup=False)
                yield PreviewView()
        edit = Input(id="session-edit", compact=True, select_on_focus=False)
        edit.cursor_blink = False
        yield edit

    @property
    def rows(self) -> SessionRows:
        """The list."""
        return self.query_one(SessionRows)

    @property
    def preview(self) -> PreviewView:
        """The transcript beside the list."""
        return self.query_one(PreviewView)

    @property
    def info(self) -> SessionInfo | None:
        """The session under the cursor."""
        rows = self.rows
        return rows.sessions.get(rows.selected) if rows.selected is not None else None

    def on_mount(self) -> None:
        """Read the list."""
        self._arrange()
        ready = shell_of(self).overview.ready
        self.rows.current = ready.session if ready is not None else ""
        if self._words:
            self.action_search()
        self._read_list()

    def on_resize(self) -> None:
        """Put the preview where there is room."""
        self._arrange()
        self._draw()

    def _arrange(self) -> None:
        self.set_class(self.size.width >= _WIDE, "-wide")
        self.set_class(self.size.height < 22, "-low")

    @property
    def _is_closing(self) -> bool:
        """Whether a reply came too late: the parts of the screen are gone."""
        return not self.query(SessionRows)

    # --- the list

    @work(group="sessions", exclusive=True, exit_on_error=False)
    async def _read_list(self, keep: str = "") -> None:
        """Read all pages of the list; the cursor stays on `keep` if that is still there."""
        shell = shell_of(self)
        infos: dict[str, SessionInfo] = {}
        total = 1
        while len(infos) < total:
            reply = await request(shell, ListSessions(after=len(infos)), self._say)
            if not isinstance(reply, SessionsListed) or not reply.sessions:
                if not isinstance(reply, SessionsListed):
                    return
                self._unreadable = reply.unreadable
                break
            infos |= {info.id: info for info in reply.sessions}
            total, self._unreadable = reply.total, reply.unreadable
        if self._is_closing:
            return
        self._all, self._message = list(infos.values()), ""
        self.rows.sessions = infos
        self._fill(keep)
        if self._search_words:
            self._search_now()

    def action_refresh_list(self) -> None:
        """Read the list again."""
        self._read_list(self.rows.selected or "")

    def _fill(self, keep: str = "") -> None:
        """Show the sessions that fit the search."""
        rows, reply = self.rows, self._reply
        rows.now = shell_of(self).clock.time()
        if reply is None or not self._search_words:
            rows.found = {}
            wanted = [info.id for info in self._all]
        else:
            rows.found = {found.session: found for found in reply.sessions}
            wanted = [found.session for found in reply.sessions if found.session in rows.sessions]
        tags = self._tags
        keys = [key for key in wanted if _has_tags(rows.sessions[key], tags)]
        before, at = rows.selected, rows.keys.index(rows.selected) if rows.selected in rows.keys else 0
        rows.set_keys(keys)
        if keep in keys:
            rows.select(keep)
        elif rows.selected is None and keys:
            rows.select(keys[min(at, len(keys) - 1)])
        if rows.selected == before:
            self._look_soon()
        rows.refresh()
        self._draw()

    # --- the search

    @property
    def _tags(self) -> list[str]:
        return [word[1:].casefold() for word in self._words.split() if word.startswith("#")]

    @property
    def _search_words(self) -> str:
        return " ".join(word for word in self._words.split() if not word.startswith("#"))

    def action_search(self) -> None:
        """Type what to search for."""
        self.query_one("#sessions-search", Input).focus()

    @on(Input.Changed, "#sessions-search")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._words:
            self._words = event.value
            if not self._search_words:
                self._reply = None
                self._asked += 1
                self.rows.selected = None
                self._fill()
            else:
                self._search_now()

    def _search_now(self) -> None:
        if self._again is not None:
            self._again.stop()
        self._asked += 1
        self._search(self._asked, self._search_words)

    @work(group="search", exit_on_error=False)
    async def _search(self, number: int, words: str) -> None:
        """Search; what a later search has overtaken is dropped, its refusal too."""
        trouble: list[str] = []
        reply = await request(shell_of(self), SearchSessions(words=words), trouble.append)
        if number != self._asked or self._is_closing:
            return
        if not isinstance(reply, SessionsFound):
            self._say(" ".join(trouble))
            return
        again = self._reply is not None and number > 1 and self._same(reply)
        self._reply, self._trouble = reply, ""
        if not again:
            self.rows.selected = None
        self._fill()
        if reply.left:
            self._again = self.set_timer(_AGAIN_S, self._search_now)
        if any(found.session not in self.rows.sessions for found in reply.sessions):
            self._reload_once(words)

    def _same(self, reply: SessionsFound) -> bool:
        assert self._reply is not None
        return [each.session for each in reply.sessions] == [each.session for each in self._reply.sessions]

    def _reload_once(self, words: str) -> None:
        """Read the list again for a session that began since; once for each search."""
        if self._reloaded != words:
            self._reloaded = words
            self._read_list(self.rows.selected or "")

    _reloaded = ""

    @on(Input.Submitted, "#sessions-search")
    def _search_done(self, event: Input.Submitted) -> None:
        event.stop()
        self._resume()

    # --- the preview

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        if isinstance(event, RowList.Chosen):
            return
        event.stop()
        self._message = ""
        self._draw()
        self._look_soon()

    def _look_soon(self, seq: int = 0) -> None:
        if self._soon is not None:
            self._soon.stop()
        self._looked += 1
        number = self._looked
        self._soon = self.set_timer(_SOON_S, partial(self._look, number, seq))

    @work(group="preview", exit_on_error=False)
    async def _look(self, number: int, seq: int) -> None:
        """Look into the session under the cursor."""
        info = self.info
        if info is None:
            self._preview = None
            self.preview.clear()
            return
        found = self.rows.found.get(info.id)
        trouble: list[str] = []
        command = PreviewSession(
            session=info.id, words=self._search_words, seq=seq or (found.seq if found is not None else 0)
        )
        reply = await request(shell_of(self), command, trouble.append)
        if number != self._looked or self._is_closing:
            return
        if isinstance(reply, SessionPreviewed):
            self._trouble = ""
            self._preview = reply
            self.preview.show_part(reply)
        else:
            self._trouble, self._preview = " ".join(trouble), None
            self.preview.clear()
        self._draw()

    def action_hit(self, step: int) -> None:
        """Go to the next or the previous hit in this session."""
        part = self._preview
        if part is None or not part.hits:
            return
        if step > 0:
            further = [seq for seq in part.hits if seq > part.at] or [part.hits[0]]
            self._look_soon(further[0])
        else:
            further = [seq for seq in part.hits if seq < part.at] or [part.hits[-1]]
            self._look_soon(further[-1])

    def action_scroll(self, step: int) -> None:
        """Scroll the preview."""
        (self.preview.action_page_down if step > 0 else self.preview.action_page_up)()

    def action_move(self, step: int) -> None:
        """Move the cursor of the list while words are typed."""
        if self._editing:
            return
        self.rows.action_move(step)

    # --- resuming

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self._resume()

    def _resume(self) -> None:
        info, part = self.info, self._preview
        if info is None:
            return
        if info.state in ("open", "running") and not info.here:
            self._say("it is open in another omni-tui; close it there, then resume it here")
            return
        found = self.rows.found.get(info.id)
        place = found.place if found is not None else TextPlace()
        if part is not None and part.session == info.id and part.at:
            place = part.place
        self.dismiss(ResumeSession(info.id, place if place != TextPlace() else None))

    # --- titles and tags

    def action_edit(self, what: Literal["title", "tags"]) -> None:
        """Edit the title or the tags of the session under the cursor."""
        info = self.info
        if info is None:
            return
        line = self.query_one("#session-edit", Input)
        self._editing, self._message = what, ""
        line.value = info.title if what == "title" else " ".join(info.tags)
        line.placeholder = "a title" if what == "title" else "tags: words with spaces between them"
        line.cursor_position = len(line.value)
        self.add_class("-editing")
        line.focus()
        self._draw()

    @on(Input.Changed, "#session-edit")
    def _edited(self, event: Input.Changed) -> None:
        event.stop()

    @on(Input.Submitted, "#session-edit")
    def _edit_done(self, event: Input.Submitted) -> None:
        event.stop()
        info, what = self.info, self._editing
        if info is not None and what == "title" and event.value != info.title:
            self._change(RenameSession(session=info.id, title=event.value), info.id)
        elif info is not None and what == "tags":
            wanted = [word.removeprefix("#") for word in event.value.split()]
            kept = {word.casefold() for word in wanted}
            gone = tuple(tag for tag in info.tags if tag.casefold() not in kept)
            if gone or {tag.casefold() for tag in info.tags} != kept:
                self._change(TagSession(session=info.id, add=tuple(wanted), remove=gone), info.id)
        self._leave_edit()

    def _leave_edit(self) -> None:
        self._editing = ""
        self.remove_class("-editing")
        self.rows.focus()
        self._draw()

    @work(group="change", exit_on_error=False)
    async def _change(self, command: AnyCommand, keep: str) -> None:
        """Send a change; read the list again, with the cursor on `keep`."""
        reply = await request(shell_of(self), command, self._say)
        if isinstance(reply, CommandDone):
            self._trouble = reply.text if isinstance(command, DeleteSession) else ""
            self._read_list(keep)

    # --- deleting

    def action_delete(self) -> None:
        """Delete the session under the cursor, after a question that says what is erased."""
        info = self.info
        if info is None:
            return
        title = visible(info.title) or "untitled"
        shown = title if len(title) <= 60 else title[:59] + "…"
        detail = f"{counted(info.events, 'event')}, last used {_when(info.updated, 0.0)}. {_DELETED}"

        def answered(yes: bool | None) -> None:
            if yes:
                self._change(DeleteSession(session=info.id), "")

        shell_of(self).confirm(f"Delete the session “{shown}”?", detail, "delete it", answered)

    # --- the picture

    def _draw(self) -> None:
        rows = self.rows
        self.set_class(not rows.keys, "-empty")
        number = (
            f" {len(rows.keys):,} of {len(self._all):,}" if self._words.strip() else f" {len(self._all):,}"
        )
        title = Content.assemble(("SESSIONS", "bold $mine"), (number, "$text-3"))
        if (reply := self._reply) is not None and self._search_words:
            title += Content.styled(f" · {_found_words(reply)}", "$text-3")
        if self._unreadable:
            words = f" · {self._unreadable} more cannot be read (omni-tui sessions list says why)"
            title += Content.styled(words, "$waiting")
        self.query_one("#screen-title", Static).update(title)
        if not rows.keys:
            self.query_one("#sessions-empty", Static).update(
                Content.styled(self._message or self._nothing(), "$text-2")
            )
        self._draw_facts()
        self._draw_keys()

    def _nothing(self) -> str:
        if self._reply is not None and self._search_words and not self._reply.searched:
            return "A search needs letters or digits."
        if self._reply is not None and self._reply.left:
            return "Reading the sessions for the first time …"
        if self._words.strip():
            return "No text in any session has all of these words."
        return "There are no saved sessions yet."

    def _draw_facts(self) -> None:
        info, part = self.info, self._preview
        if info is None:
            self.query_one("#session-facts", Static).update("")
            return
        width = max(10, self.query_one("#sessions-side").size.width - 4)
        words = [counted(info.events, "event"), *(f"#{visible(tag)}" for tag in info.tags)]
        words += [f"used {_when(info.updated, 0.0)}", f"began {_when(info.created, 0.0)}"]
        state = "open here" if info.here else _STATE_WORDS[info.state]
        first = Content.styled(visible(info.title) or "untitled", "bold $text-1")
        lines = [fit_content(first, width)]
        second = Content.styled(" · ".join(words), "$text-3")
        if state:
            second = Content.styled(f"{state} · ", "$waiting") + second
        lines.append(fit_content(second, width))
        if part is not None and part.session == info.id and part.hits:
            at = part.hits.index(part.at) + 1 if part.at in part.hits else 0
            hits = f"hit {at} of {len(part.hits)}" if at else counted(len(part.hits), "hit")
            role = self.rows.found.get(info.id)
            told = f" · {_ROLES[role.role]}" if role is not None and part.at == role.seq else ""
            lines.append(Content.styled(f"{hits}{told}", "$mine"))
        if self._trouble:
            lines.append(fit_content(Content.styled(self._trouble, "$fail"), width))
        self.query_one("#session-facts", Static).update(Content("\n").join(lines))

    def _draw_keys(self) -> None:
        if self._editing:
            line = key_line(("enter", "save"), ("esc", "cancel"))
        elif self.query_one("#sessions-search", Input).has_focus:
            line = key_line(("enter", "resume"), ("↑↓", "choose"), ("tab", "list"), ("esc", "clear"))
        else:
            keys = [("/", "search")]
            if self.info is not None:
                keys += [("enter", "resume"), ("r", "rename"), ("t", "tags"), ("d", "delete")]
                if self._preview is not None and self._preview.hits:
                    keys.append(("n N", "hits"))
            line = key_line(*keys, ("esc", "back"))
        if self._message and self.rows.keys:
            line = Content.styled(f"{self._message}   ", "$waiting") + line
        self.foot(line)

    def on_descendant_focus(self) -> None:
        """Show the keys of what has the focus."""
        self._draw_keys()

    def _say(self, words: str) -> None:
        self._message = words
        self._draw()

    def action_back(self) -> None:
        """Leave the line that is edited, or the search, or close the screen."""
        line = self.query_one("#sessions-search", Input)
        if self._editing:
            self._leave_edit()
        elif line.has_focus or line.value:
            line.value = ""
            self.rows.focus()
        else:
            self.dismiss(None)


def snippet_line(parts: Sequence[SnippetPart]) -> Content:
    """Return a snippet with its hits marked, the first of them near its beginning."""
    pieces = [(visible(part.text), "bold $mine" if part.hit else "$text-2") for part in parts]
    first = next((at for at, part in enumerate(parts) if part.hit), 0)
    before = "".join(text for text, _style in pieces[:first])
    if len(before) > _BEFORE:
        before = "…" + before[1 - _BEFORE :]
    return Content.assemble((before, "$text-2"), *pieces[first:])


def _found_words(reply: SessionsFound) -> str:
    words = counted(reply.total, "hit") if reply.ranked else f"{reply.total:,} hits, the newest first"
    if reply.left:
        words += f", {counted(reply.left, 'session')} still being read"
    if reply.unreadable:
        words += f", {reply.unreadable} cannot be searched"
    return words


def _has_tags(info: SessionInfo, wanted: Sequence[str]) -> bool:
    """Whether a session has tags that begin with each of these words."""
    tags = [tag.casefold() for tag in info.tags]
    return all(any(tag.startswith(word) for tag in tags) for word in wanted)


def _when(moment: float, now: float) -> str:
    """Return a date; the time of today and the year of another are shown if `now` is not 0."""
    then = time.localtime(moment)
    if now and time.localtime(now)[:3] == then[:3]:
        return time.strftime("%H:%M", then)
    if now and time.localtime(now)[0] == then[0]:
        return time.strftime("%d %b", then)
    return time.strftime("%Y-%m-%d" if now else "%Y-%m-%d %H:%M", then)
