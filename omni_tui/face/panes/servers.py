"""The servers: the state of each in a row, details of the one under the cursor, and signing in."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.widgets import Static

from omni_tui.face import actions
from omni_tui.face.clock import Clock
from omni_tui.face.formats import counted
from omni_tui.face.messages import CopyText, RunAction, ShowServerLog
from omni_tui.face.panes.base import Pane
from omni_tui.face.server_signs import SERVER_SIGNS
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.face.widgets.rows import RowList
from omni_tui.face.widgets.title import PaneTitle
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.commands import DisconnectServer, ReconnectServer, RefreshServer
from omni_tui.protocol.events import EngineReady, ServerChanged, ServerRemoved
from omni_tui.protocol.signin import CancelSignIn, OpenSignInPage, SignIn, SignInChanged, SignOut

_UP = ("active", "idle", "degraded")
_SIGNING_IN = ("starting", "waiting")
"""Phases of a sign-in that goes on."""


class ServerRows(RowList):
    """One row a server."""

    def __init__(self, servers: dict[str, ServerChanged]) -> None:
        super().__init__(id="server-rows")
        self.servers = servers
        self.clock: Clock | None = None
        self._drawn: dict[str, tuple[tuple[object, ...], Strip]] = {}
        self._width = 0

    @property
    def _time(self) -> float:
        return self.clock.time() if self.clock is not None else 0.0

    @property
    def _column(self) -> int:
        names = max((len(server.label) for server in self.servers.values()), default=0)
        return min(max(names + 2, 10), self.size.width // 2)

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return glyph, name and state, milliseconds at the right edge."""
        server, column = self.servers[key], self._column
        glyph, colour = SERVER_SIGNS[server.state]
        name = fit_content(Content(server.label), column - 1)
        left = Content.assemble((f" {glyph} ", colour), name.stylize("$text-1"))
        left = left.extend_right(column + 3 - left.cell_length)
        words, right = _words(server, self._time)
        room = width - left.cell_length - right.cell_length - 1
        if server.state in _UP and words.cell_length > room - 1:  # the count says more than the time
            room, right = width - left.cell_length - 1, Content("")
        words = fit_content(words, room - 1)
        gap = " " * max(1, room - words.cell_length)
        return left + words + (Content(gap) + right if right else Content(""))

    def redraw(self, names: set[str]) -> None:
        """Redraw these rows with the next frame; all of them if the names need another width."""
        column, self._width = self._width, self._column
        if column != self._width:
            self.refresh()
            return
        top = round(self.scroll_offset.y)
        lines = [index - top for index, key in enumerate(self.keys) if key in names]
        if seen := [Region(0, y, self.size.width, 1) for y in lines if 0 <= y < self.size.height]:
            self.refresh(*seen)

    def render_line(self, y: int) -> Strip:
        """Draw one row, or return the strip drawn before if it would look the same."""
        index = y + round(self.scroll_offset.y)
        if index >= len(self.keys) or self.text_selection is not None:
            return super().render_line(y)
        key = self.keys[index]
        server = self.servers[key]
        second = int(self._time) if server.next_try is not None else 0
        looks = (server, self.size.width, self._column, second, key == self.selected, self.has_focus)
        drawn = self._drawn.get(key)
        if drawn is None or drawn[0] != (*looks, y, self.visual_style):
            drawn = self._drawn[key] = ((*looks, y, self.visual_style), super().render_line(y))
        return drawn[1]


def _words(server: ServerChanged, now: float) -> tuple[Content, Content]:
    """Return the words about a server's state, and those at the right edge."""
    if server.state in ("active", "idle"):
        count = Content.styled(counted(server.tools, "tool"), "$text-2")
        if server.odd:
            return count, Content.styled(f"{server.odd:,} odd", "$waiting")
        latency = "" if server.latency_ms is None else f"{server.latency_ms:.0f} ms"
        return count, Content.styled(latency, "$text-2")
    said = {
        "connecting": (f"connecting … {server.reason}".rstrip(), "$text-2"),
        "needs_sign_in": ("sign-in needed", "$waiting"),
        "not_allowed": ("y to allow", "$waiting"),
        "degraded": (server.reason or "slow to answer", "$waiting"),
        "failed": (server.reason or "failed", "$fail"),
        "disabled": ("disabled", "$text-3"),
    }
    words = Content.styled(*said[server.state])
    if server.next_try is not None and server.state == "failed":
        wait = max(0, round(server.next_try - now))
        return words, Content.styled(f"↻ {wait}s", "$text-3")
    return words, Content("")


def _is_broken(server: ServerChanged) -> bool:
    """Return whether a server has failed, also while it is retried: its row must not jump."""
    return server.state == "failed" or (server.state == "connecting" and server.attempt > 0)


class ServersPane(Pane):
    """The servers of this session and what to do about them."""

    TITLE = "Servers"
    HELP = (
        "Every server with its state. No server starts before you allow it: {server_allow} shows the "
        "program, its arguments and variables, and {approve} there allows it."
    )
    BINDINGS = actions.bindings("servers")

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.servers: dict[str, ServerChanged] = {}
        self.sign_ins: dict[str, SignInChanged] = {}
        self._news: set[str] = set()
        self._wanted = ""
        self._is_ready = False
        self._drawing = NextFrameCall(self, self._redraw)

    def compose(self) -> ComposeResult:
        """Yield title, rows, and details of the chosen server."""
        yield PaneTitle(self.TITLE)
        yield ServerRows(self.servers)
        yield Static(id="server-empty", markup=False)
        yield Static(id="server-details", markup=False)

    def on_mount(self) -> None:
        """Set up the ticker that counts the seconds to the next retry."""
        self._rows.clock = shell_of(self).clock
        self._ticker = self.set_interval(1.0, self._tick, pause=True)
        self._redraw()

    @property
    def _rows(self) -> ServerRows:
        return self.query_one(ServerRows)

    @property
    def chosen(self) -> ServerChanged | None:
        """The server under the cursor."""
        key = self._rows.selected
        return None if key is None else self.servers.get(key)

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account; it is drawn with the next frame."""
        if isinstance(event, ServerChanged):
            self.servers[event.name] = event
            self._news.add(event.name)
        elif isinstance(event, ServerRemoved):
            self.servers.pop(event.name, None)
            self.sign_ins.pop(event.name, None)
        elif isinstance(event, SignInChanged):
            self.sign_ins[event.server] = event
        elif isinstance(event, EngineReady):
            self._is_ready = True
        else:
            return
        if not self.is_mounted or not self.children:
            return
        if isinstance(event, ServerRemoved):  # a row of nobody must not be drawn
            self._redraw()
        else:
            self._drawing.ask()

    def _redraw(self) -> None:
        self._drawing.done()
        rows, news = self._rows, self._news
        self._news = set()
        rows.redraw(news)
        keys = sorted(rows.servers, key=lambda name: not _is_broken(rows.servers[name]))
        if rows.keys != keys:
            rows.set_keys(keys)
        if rows.selected is None and rows.keys and self.has_focus_within:
            rows.select(rows.keys[0])
        if self._wanted in rows.keys:
            rows.select(self._wanted)
            self._wanted = ""
        self.count = len(rows.servers)
        title = self.query_one(PaneTitle)
        title.count = self.count
        title.failed = sum(_is_broken(server) for server in rows.servers.values())
        self.set_class(not rows.servers, "-empty")
        waits = any(s.next_try is not None and s.state == "failed" for s in rows.servers.values())
        (self._ticker.resume if waits else self._ticker.pause)()
        if not rows.servers:
            words = Content.styled("Waiting for the engine …", "$text-2")
            if self._is_ready:
                words = Content.assemble(
                    ("No servers yet.\nPress ", "$text-2"), ("n", "bold $text-1"),
                    (" to add a server", "$text-2"),
                )  # fmt: skip
            self.query_one("#server-empty", Static).update(words)
        self._show_details()
        self.refresh_bindings()

    def select_server(self, server: str) -> None:
        """Put the cursor on a server, as soon as it has a row."""
        self._wanted = server
        self._redraw()

    def _tick(self) -> None:
        self._rows.redraw({name for name, one in self.servers.items() if one.next_try is not None})
        if self.chosen is not None and self.chosen.breaker == "open":
            self._show_details()

    @on(RowList.Moved)
    def _show_details(self) -> None:
        server = self.chosen
        details = self.query_one("#server-details", Static)
        details.set_class(server is None, "-none")
        if server is not None:
            details.update(_details(server, self.sign_in, shell_of(self).clock.time()))
        self.refresh_bindings()

    @on(RowList.Chosen)
    def _open(self) -> None:
        self.action_server_log()

    def on_descendant_focus(self) -> None:
        """Choose the first server if none is chosen."""
        if self._rows.selected is None and self._rows.keys:
            self._rows.select(self._rows.keys[0])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what works with the chosen server."""
        if not action.startswith("server_") or action == "server_add":
            return True
        server = self.chosen
        if server is None:
            return False
        allowed = {
            "server_allow": server.state == "not_allowed",
            "server_connect": server.state in ("failed", "disabled", "needs_sign_in", "degraded"),
            "server_disconnect": server.state in (*_UP, "connecting"),
            "server_refresh": server.state in _UP,
            **self._sign_in_actions(),
            "server_restart": server.state not in ("disabled", "not_allowed"),
            "server_edit": server.source not in ("demo", "plugin"),
            "server_switch": server.state != "not_allowed",
            "server_offers": bool(server.prompts or server.resources),
        }
        return allowed.get(action, True)

    def action_server_log(self) -> None:
        """Show what the chosen server wrote."""
        if self.chosen is not None:
            self.post_message(ShowServerLog(self.chosen.name))

    def action_server_connect(self) -> None:
        """Connect now."""
        if self.chosen is not None:
            self.port.send(ReconnectServer(server=self.chosen.name))

    def action_server_disconnect(self) -> None:
        """End the connection."""
        if self.chosen is not None:
            self.port.send(DisconnectServer(server=self.chosen.name))

    def action_server_refresh(self) -> None:
        """List the tools again."""
        if self.chosen is not None:
            self.port.send(RefreshServer(server=self.chosen.name))

    def action_server_offers(self) -> None:
        """Browse the prompts and resources of the chosen server."""
        if self.chosen is not None:
            kind = "resources" if self.chosen.resources else "prompts"
            self.post_message(RunAction(kind, self.chosen.name))

    def action_server_allow(self) -> None:
        """Show what the chosen server would start; the person allows it there."""
        if self.chosen is not None:
            from omni_tui.face.screens.trust import TrustServerScreen

            shell = shell_of(self)
            shell.show(TrustServerScreen(self.chosen.name, shell.clock, shell.stillness))

    def action_server_edit(self) -> None:
        """Open the form with the chosen server's settings."""
        self._run("edit_server")

    def action_server_switch(self) -> None:
        """Disable the chosen server, or enable it again."""
        if self.chosen is not None:
            self._run("enable_server" if self.chosen.state == "disabled" else "disable_server")

    def action_server_restart(self) -> None:
        """End the chosen server and start it again."""
        self._run("restart_server")

    def action_server_wire(self) -> None:
        """Show the wire log of the chosen server."""
        self._run("wire")

    def _run(self, name: str) -> None:
        if self.chosen is not None:
            self.post_message(RunAction(name, self.chosen.name))

    def action_server_add(self) -> None:
        """Open the form for a new server."""
        self.post_message(RunAction("add_server"))

    def action_server_remove(self) -> None:
        """Ask whether to remove the chosen server."""
        self._run("remove_server")

    # --- signing in

    @property
    def sign_in(self) -> SignInChanged | None:
        """The state of the chosen server's sign-in."""
        return None if self.chosen is None else self.sign_ins.get(self.chosen.name)

    def _sign_in_actions(self) -> dict[str, bool]:
        """Return which of the sign-in actions work with the chosen server."""
        known = self.sign_in
        phase = "none" if known is None else known.phase
        needed = self.chosen is not None and self.chosen.state == "needs_sign_in"
        return {
            "server_sign_in": needed or phase in ("needed", *_SIGNING_IN),
            "server_copy_sign_in": phase == "waiting",
            "server_open_sign_in": known is not None and known.browser,
            "server_cancel_sign_in": phase in _SIGNING_IN,
            "server_sign_out": known is not None and phase != "none",
        }

    def action_server_sign_in(self) -> None:
        """Start to sign in, unless that goes on already, and show it."""
        from omni_tui.face.screens.signin import SignInScreen

        server, known = self.chosen, self.sign_in
        if server is None:
            return
        if known is None or known.phase not in _SIGNING_IN:
            self.port.send(SignIn(server=server.name))
        shell_of(self).show(SignInScreen(server.name, server.label, known))

    def action_server_copy_sign_in(self) -> None:
        """Copy the address of the sign-in page."""
        if self.sign_in is not None and self.sign_in.url:
            self.post_message(CopyText(self.sign_in.url, "the address of the sign-in page"))

    def action_server_open_sign_in(self) -> None:
        """Open the sign-in page in a browser, on the engine's machine."""
        if self.chosen is not None and self.sign_in is not None:
            self.port.send(OpenSignInPage(server=self.chosen.name, url=self.sign_in.url))

    def action_server_cancel_sign_in(self) -> None:
        """Cancel the sign-in."""
        if self.chosen is not None:
            self.port.send(CancelSignIn(server=self.chosen.name))

    def action_server_sign_out(self) -> None:
        """Ask whether to sign out."""
        server = self.chosen
        if server is None:
            return
        name = server.name

        def answered(yes: bool | None) -> None:
            if yes:
                self.port.send(SignOut(server=name))

        detail = "Its tokens are deleted here and, if it supports that, revoked there; it is disconnected."
        shell_of(self).confirm(f"Sign out of {name}?", detail, "sign out", answered)


def _tried_again(server: ServerChanged, now: float) -> str:
    """Return when a failing server is retried."""
    failures = f"it failed {server.attempt} times in a row" if server.attempt > 1 else "it failed"
    if server.breaker == "half_open":
        return f"{failures}; retrying now"
    if server.next_try is None:
        return "not retried automatically"
    wait = max(0, round(server.next_try - now))
    return f"{failures}; next retry in {wait} s"


def _details(server: ServerChanged, sign_in: SignInChanged | None, now: float) -> Content:
    lines = [Content.styled(f"{server.transport} · {server.target}", "$text-2")]
    era = " · ".join(part for part in (server.protocol, server.server_version) if part)
    more = [
        counted(n, what) for n, what in ((server.prompts, "prompt"), (server.resources, "resource")) if n
    ]
    if era or more:
        lines.append(Content.styled(" · ".join([*([era] if era else []), *more]), "$text-3"))
    if server.odd:
        lines.append(
            Content.styled(f"{counted(server.odd, 'odd message')} from it: see its log", "$waiting")
        )
    if server.wire:
        lines.append(Content.styled("its messages are logged · w shows them", "$waiting"))
    if server.trust != "unchanged":
        word = "new here" if server.trust == "new" else "changed since you last saw it"
        lines.append(Content.styled(word, "$waiting"))
    if server.reason:
        lines.append(Content.styled(server.reason, "$fail" if server.state == "failed" else "$waiting"))
    if server.todo:
        lines.append(Content.styled(server.todo, "$text-2"))
    if server.breaker != "closed":
        lines.append(Content.styled(_tried_again(server, now), "$text-3"))
    lines += _sign_in_lines(sign_in)
    return Content("\n").join(lines)


def _sign_in_lines(known: SignInChanged | None) -> list[Content]:
    """Return the lines about a sign-in for the details of a server."""
    if known is None or known.phase == "none":
        return []
    if known.phase == "signed_in":
        rights = f" · {known.scopes}" if known.scopes else ""
        return [Content.styled(f"signed in{rights}", "$text-3")]
    lines = []
    if known.phase == "starting":
        lines.append(Content.styled("looking for the sign-in page …", "$text-2"))
    elif known.phase == "waiting":
        lines.append(Content.assemble(("sign in at ", "$text-2"), (known.host, "bold $waiting")))
        lines.append(Content.styled("s shows the address, u copies it, g cancels", "$text-3"))
    elif known.more:
        lines.append(Content.styled(f"asks for more rights: {known.scopes}", "$waiting"))
        lines.append(Content.styled("s to grant them", "$text-2"))
    if known.reason:
        lines.append(Content.styled(known.reason, "$waiting"))
    return lines
