"""The state of everything, and of each connection, to be read at leisure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from textual.content import Content

from omni_tui.face.formats import counted
from omni_tui.face.memory_words import memory_sentence
from omni_tui.face.overview import Overview
from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.server_signs import SERVER_SIGNS
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import wrap
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.call_stats import ModelUse, StatsRead
from omni_tui.protocol.events import ModeChanged, ModelChanged, ServerChanged, ServerRemoved, TurnEnded
from omni_tui.protocol.memory import MemoryChanged
from omni_tui.protocol.models import Spending
from omni_tui.security.identifiers import identifier

_NAME = 12


class StatusScreen(LinesScreen):
    """Mode, model, servers, session, memory, budget, paths."""

    def __init__(self) -> None:
        super().__init__("STATUS")

    def apply(self, event: AnyEvent) -> None:
        """Follow what changes."""
        if isinstance(
            event, ModeChanged | ModelChanged | ServerChanged | MemoryChanged | Spending | TurnEnded
        ):
            self.draw()

    def draw(self) -> None:
        """Show the state of now."""
        self.view.show(status_lines(shell_of(self).overview, self.size.width - 4))
        self.foot(key_line(("esc", "back"), words="/connections shows each server"))


class ConnectionsScreen(LinesScreen):
    """Each server: its state, how it is reached, what it offers, and what is wrong with it."""

    def __init__(self) -> None:
        super().__init__("CONNECTIONS")

    def apply(self, event: AnyEvent) -> None:
        """Follow the servers."""
        if isinstance(event, ServerChanged | ServerRemoved):
            self.draw()

    def draw(self) -> None:
        """Show the servers of now."""
        servers = shell_of(self).overview.servers
        self.view.show(
            line for server in servers.values() for line in connection_lines(server, self.size.width - 4)
        )
        if not servers:
            self.view.show(
                [Content.styled("No servers. /add adds one, /find searches for one.", "$text-2")]
            )
        key = shell_of(self).key("show_servers")
        self.foot(key_line(("esc", "back"), words=f"{key} goes to the servers" if key else ""))


class ModelUsageScreen(LinesScreen):
    """What each model used in this session, and what is left of the budgets."""

    def __init__(self, stats: StatsRead) -> None:
        super().__init__("MODEL USAGE")
        self._stats = stats

    def draw(self) -> None:
        """Show the usage."""
        from omni_tui.face.screens.stats import use_words

        models: tuple[ModelUse, ...] = self._stats.models
        lines = [Content.styled(use_words(use), "$text-1") for use in models]
        lines = lines or [Content.styled("No model was asked in this session yet.", "$text-2")]
        spent = Content.styled(shell_of(self).overview.spending_summary(), "$text-2")
        self.view.show([*lines, Content(""), *wrap(spent, self.size.width - 4)])
        self.foot(key_line(("esc", "back"), words="/stats shows the calls, /budget sets a limit"))


def status_lines(overview: Overview, width: int) -> Iterator[Content]:
    """Yield what is so now, one fact after the other."""
    ready = overview.ready
    opened = time.strftime("%H:%M", time.localtime(overview.opened)) if overview.opened else "now"
    model = overview.label or overview.model
    if overview.stand_in:
        model = f"{model}; {overview.stand_in} answers in its place in this turn"
    states = Counter(server.state.replace("_", " ") for server in overview.servers.values())
    servers = ", ".join(f"{count} {state}" for state, count in states.most_common()) or "none"
    pending = len(overview.pending)
    facts = [
        ("mode", overview.mode),
        ("model", model),
        ("servers", servers),
        ("tools", f"{sum(overview.tools.values()):,}"),
        ("waits", f"{counted(pending, 'item')} in the approvals" if pending else "nothing"),
        ("turn", f"running, step {overview.step}" if overview.running else "none runs"),
        ("session", f"{overview.title or 'untitled'}, since {opened}"),
        ("memory", memory_sentence(overview.memory)),
        ("budget", overview.spending_summary()),
    ]
    if overview.context is not None:
        facts.insert(2, ("context", f"{overview.context:.0%} of the window used"))
    if ready is not None:
        facts += [
            ("encryption", ready.encryption),
            ("config", ready.config_path),
            ("log", ready.log_path),
            ("version", ready.version),
        ]
    for name, words in facts:
        yield from _fact(name, words, width)


def connection_lines(server: ServerChanged, width: int) -> Iterator[Content]:
    """Yield one server's lines."""
    sign, colour = SERVER_SIGNS[server.state]
    latency = "" if server.latency_ms is None else f"{server.latency_ms:.0f} ms"
    how = " · ".join(
        filter(None, (server.state.replace("_", " "), server.transport, server.protocol, latency))
    )
    yield Content.assemble(
        (f"{sign} ", colour), (identifier(server.name), "bold $text-1"), (f"  {how}", "$text-2")
    )
    offers = ", ".join(
        counted(number, what)
        for number, what in (
            (server.tools, "tool"),
            (server.prompts, "prompt"),
            (server.resources, "resource"),
        )
        if number
    )
    for name, words in (
        ("reached by", server.target),
        ("offers", offers),
        ("why", server.reason),
        ("to do", server.todo),
    ):
        if words:
            yield from _fact(name, words, width)
    yield Content("")


def _fact(name: str, words: str, width: int) -> Iterator[Content]:
    pieces = wrap(Content.styled(words, "$text-1"), max(10, width - _NAME))
    for number, piece in enumerate(pieces):
        head = f"{name:<{_NAME}}" if not number else " " * _NAME
        yield Content.styled(head, "$text-3") + piece
