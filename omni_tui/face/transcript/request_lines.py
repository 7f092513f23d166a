"""Questions of servers in the transcript: how they are folded in, and their quiet lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from omni_tui.face.cells import fit
from omni_tui.face.lines import Line, Span, single_span, wrap
from omni_tui.face.overview import server_request_key
from omni_tui.face.transcript.item_types import CallItem, ServerRequestItem
from omni_tui.protocol.events import CallRound
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line

if TYPE_CHECKING:
    from omni_tui.face.transcript.fold import Fold

MAX_ROWS = 200
_MESSAGE_LIMIT = 64_000
_WORDS = {
    "accepted": ("✓ answered", "done"),
    "declined": ("⊘ declined", "state-quiet"),
    "cancelled": ("⊘ cancelled", "state-quiet"),
    "withdrawn": ("⊘ withdrawn", "state-quiet"),
}
_BY = {"": "", "user": "", "policy": " by policy", "headless": ": nobody there to ask",
       "restart": " by a restart", "stop": ": stopped", "server": " by the server"}  # fmt: skip


# --- folding


def on_asked(fold: Fold, event: ServerRequestOpened) -> None:
    """Take a question into account, or what has become of it since."""
    index = fold.find(server_request_key(event.ask))
    if index is None:
        index = fold.add(ServerRequestItem(ts=event.ts, ask=event.ask), server_request_key(event.ask))
    item = fold.items[index]
    assert isinstance(item, ServerRequestItem)
    item.server, item.label, item.stage, item.outcome = event.server, event.label, event.stage, ""
    item.message = safe(event.message, limit=_MESSAGE_LIMIT)
    fold.waiting.add(index)
    fold.touch(index)


def on_closed(fold: Fold, event: ServerRequestClosed) -> None:
    """Take the end of a question into account."""
    index = fold.find(server_request_key(event.ask))
    if index is None:
        return
    item = fold.items[index]
    assert isinstance(item, ServerRequestItem)
    item.outcome, item.decider = event.outcome, event.decider
    item.reason, item.answer = event.reason, event.answer
    fold.waiting.discard(index)
    fold.touch(index)


def on_round(fold: Fold, event: CallRound) -> None:
    """A call goes on after its server got the input it had asked for."""
    index = fold.find_call(event.call)
    item = fold.items[index] if index is not None else None
    if index is not None and isinstance(item, CallItem):
        item.round, item.attempt = event.round, event.attempt
        asked = ", ".join(safe_line(method, limit=60) for method in event.asked[:4])
        what = f" ({asked})" if asked else ""
        item.message = f"asked for input, answered, goes on · round {event.round}{what}"
        fold.touch(index)


# --- drawing


def state_of(item: ServerRequestItem) -> tuple[str, str]:
    """Return the words and the role of a question's state."""
    if item.outcome:
        word, role = _WORDS[item.outcome]
        return word + _BY.get(item.decider, f" by {safe_line(item.decider, limit=30)}"), role
    return {
        "asked": ("◌ waiting for you", "waiting"),
        "answering": ("… the model is answering", "running"),
        "review": ("◌ its answer waits for you", "waiting"),
    }[item.stage]


def draw_request(item: ServerRequestItem, width: int) -> list[Line]:
    """Return the lines of a question: who asks what, how it ended, what was answered."""
    state, role = state_of(item)
    name = f"{identifier(item.server, limit=40)} › {safe_line(item.label, limit=80)}"
    said = " ".join(item.message[:400].split())
    room = width - 2 - cell_len(name) - 2 - 3 - cell_len(state)
    if room < -4:
        lines = wrap(
            [Span(name, "call-name")], width, first=single_span("? ", "waiting"), rest=single_span("  ")
        )
        lines.append(Line((Span("  "), Span(fit(state, width - 2), role)), 2))
    else:
        words = f"  {fit(said, room)}" if said and item.folded and room >= 8 else ""
        gap = " " * max(1, width - 2 - cell_len(name) - cell_len(words) - cell_len(state))
        spans = (Span("? ", "waiting"), Span(name, "call-name"), Span(words, "arguments"), Span(gap))
        lines = [Line((*(span for span in spans if span.text), Span(state, role)), gutter=2)]
    if not item.folded and item.message:
        lines += _below(item.message, width, "arguments")
    for text in (item.reason, item.answer):
        if text.strip():
            shown = (
                safe(text)
                if not item.folded
                else fit(safe_line(" ".join(text[:800].split()), joined=True), width - 4)
            )
            lines += _below(shown, width, "result")
    return [line._replace(target="fold") for line in lines]


def _below(text: str, width: int, role: str) -> list[Line]:
    lines = wrap(
        [Span(text, role)], width, first=single_span("  └ ", "result-mark"), rest=single_span("    ")
    )
    more = len(lines) - MAX_ROWS
    if more <= 0:
        return lines
    hint = fit(f"    … {more} more rows", width)
    return [*lines[:MAX_ROWS], Line((Span(hint, "hint"),), len(hint))]
