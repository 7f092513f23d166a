"""The top bar: session, mode, model, usage, and how many items are pending."""

from __future__ import annotations

import time

from textual.content import Content
from textual.widget import Widget

from omni_tui.face.formats import short_money, short_number
from omni_tui.face.memory_words import MANY_BEHIND, memory_words
from omni_tui.face.overview import Overview
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.protocol.memory import MemoryChanged
from omni_tui.security.text import safe_line

_BLOCKS = 8
_STAYS = 7
"""Pieces of this weight and more stay, and the title is cut instead: the mode, the model."""
_TITLE = 16
"""Cells that the left part may be cut to."""
_MODE_STYLE = {
    "chat": "bold $on-colour on $running",
    "auto": "bold $on-colour on $waiting",
    "orchestrator": "bold $on-colour on $mine",
}


class StatusBar(Widget):
    """One line; the lightest pieces go first when it gets narrow."""

    DEFAULT_CSS = """
    StatusBar { height: 1; width: 1fr; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="status")
        self.auto_links = False
        self._overview = Overview()
        self._shown: Content | None = None

    def show(self, overview: Overview) -> None:
        """Redraw if anything on the line changed."""
        self._overview = overview
        if self._compose_line() != self._shown:
            self.refresh()

    def render(self) -> Content:
        """Return the line."""
        self._shown = self._compose_line()
        return self._shown

    def _compose_line(self) -> Content:
        width = self.size.width
        left = left_part(self._overview, wide=width >= 100)
        parts = right_parts(self._overview, wide=width >= 100)
        gap = Content("  " if width < 100 else "   ")
        while True:
            right = gap.join(text for _weight, text in parts)
            room = width - left.cell_length - right.cell_length
            lightest = min(parts, key=lambda part: part[0])
            stays = lightest[0] >= _STAYS and right.cell_length + _TITLE <= width
            if room >= 2 or len(parts) <= 1 or stays:
                break
            parts.remove(lightest)
        if room < 2:
            left = fit_content(left, width - right.cell_length - 2)
            room = max(1, width - left.cell_length - right.cell_length)
        return left + Content(" " * room) + right


def left_part(overview: Overview, *, wide: bool) -> Content:
    """Return name, title of the session and when it was opened."""
    parts: list[tuple[str, str]] = [("◆ ", "$mine"), ("omni", "bold $mine")]
    if overview.title:
        parts.append((f"  {safe_line(overview.title, joined=True)}", "$text-2"))
    if wide and overview.branched:
        origin = f"from {overview.branched}" if overview.branched != overview.title else "off"
        parts.append((f" · branched {origin}", "$text-3"))
    if wide and overview.opened:
        hour = time.strftime("%H:%M", time.localtime(overview.opened))
        parts.append((f" · {hour}", "$text-2"))
    if overview.ready is not None and overview.ready.demo:
        parts.append(("  demo", "$text-3"))
    return Content.assemble(*parts)


def right_parts(overview: Overview, *, wide: bool) -> list[tuple[int, Content]]:
    """Return the pieces at the right in order, each with its weight."""
    if overview.ready is None:
        return [(9, Content.styled("starting the engine …", "$text-2"))]
    parts: list[tuple[int, Content]] = [
        (8, Content.styled(f" {overview.mode.upper()} ", _MODE_STYLE.get(overview.mode, "bold")))
    ]
    if overview.model:
        parts.append((7, Content.styled(safe_line(overview.model.rsplit("/", 1)[-1]), "$text-1")))
    if overview.stand_in:
        parts.append((9, Content.styled(f"→ {overview.stand_in.rsplit('/', 1)[-1]}", "$waiting")))
    if overview.label:
        parts.append((6, Content.styled(safe_line(overview.label, joined=True), "$waiting")))
    if overview.step and overview.mode == "auto":
        parts.append((3, Content.styled(f"step {overview.step}" if wide else overview.step, "$text-2")))
    if overview.plan.id and overview.plan.total:
        parts.append((6, _plan_progress(overview, wide=wide)))
    if overview.context is not None:
        parts.append((4, _context(overview.context, wide=wide)))
    parts += _spent(overview, wide=wide)
    return parts + _attention(overview, wide=wide)


def _attention(overview: Overview, *, wide: bool) -> list[tuple[int, Content]]:
    """Return what the person may have to act on."""
    parts: list[tuple[int, Content]] = []
    if elsewhere := overview.waiting_elsewhere():
        parts.append((9, Content.styled(elsewhere, "$waiting")))
    if overview.memory is not None:
        parts.append(_memory(overview.memory, wide=wide))
    if overview.pending:
        count = len(overview.pending)
        parts.append((10, Content.styled(f" {count} to approve ", "bold $on-colour on $waiting")))
    return parts


def _memory(memory: MemoryChanged, *, wide: bool) -> tuple[int, Content]:
    """Return how far the session is mirrored to Redis; what is wrong stays when it gets narrow."""
    text = memory_words(memory, wide=wide)
    if memory.word in ("off", "connecting") or (memory.word == "on" and memory.behind < MANY_BEHIND):
        return 4, Content.styled(text, "$text-3")
    return 9, Content.styled(text, "$waiting")


def _spent(overview: Overview, *, wide: bool) -> list[tuple[int, Content]]:
    """Return the usage of the session, and of the day if it is more; nearly used budgets stand out."""
    parts: list[tuple[int, Content]] = []
    spending = overview.spending
    about = "~" if overview.estimated else ""
    if overview.tokens and wide:
        limit = spending.session_tokens_limit if spending else 0
        of = f"/{short_number(limit)}" if limit else ""
        style = _near(overview.tokens, limit, "$text-2")
        parts.append((2, Content.styled(f"{about}{short_number(overview.tokens)}{of} tok", style)))
    if overview.cost is not None and (paid := short_money(overview.cost, unpriced=overview.unpriced)):
        limit_cost = spending.session_cost_limit if spending else 0.0
        of = f"/${limit_cost:g}" if limit_cost else ""
        style = _near(overview.cost, limit_cost, "$text-1")
        parts.append((5, Content.styled(f"{paid}{of}", style)))
    if spending is not None and wide and spending.day_tokens > overview.tokens:
        money = short_money(spending.day_cost, unpriced=spending.unpriced > 0) if spending.day_cost else ""
        money = money or f"{short_number(spending.day_tokens)} tok"
        limit, used = spending.day_tokens_limit, spending.day_tokens
        style = _near(spending.day_cost, spending.day_cost_limit, _near(used, limit, "$text-3"))
        parts.append((1, Content.styled(f"{money} today", style)))
    return parts


def _near(used: float, limit: float, otherwise: str) -> str:
    return "$waiting" if limit and used >= 0.8 * limit else otherwise


def _plan_progress(overview: Overview, *, wide: bool) -> Content:
    plan = overview.plan
    done = f"{plan.done}/{plan.total}"
    if not wide:
        return Content.styled(f"◐{plan.running} {done}", "$running")
    return Content.styled(f"◐ {plan.running} running · {done} tasks", "$running")


def _context(share: float, *, wide: bool) -> Content:
    share = max(0.0, min(1.0, share))
    style = "$fail" if share >= 0.9 else "$waiting" if share >= 0.75 else "$text-2"
    if not wide:
        return Content.styled(f"{share:.0%}", style)
    filled = round(share * _BLOCKS)
    return Content.assemble(
        ("ctx ", "$text-3"),
        ("▰" * filled, "$text-1" if style == "$text-2" else style),
        ("▱" * (_BLOCKS - filled), "$text-3"),
        (f" {share:.0%}", style),
    )
