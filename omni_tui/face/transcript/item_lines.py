"""The items of a transcript as lines. Knows nothing of colours or the screen."""

from __future__ import annotations

from functools import partial

from rich.cells import cell_len

from omni_tui.face.cells import fit
from omni_tui.face.lines import (
    BLANK,
    Line,
    Span,
    Spans,
    copied_text,
    row_with_end,
    single_span,
    spans_length,
    wrap,
    wrap_beginning,
)
from omni_tui.face.transcript.call_lines import CORNER, MAX_ROWS, UNDER, draw_call, has_body
from omni_tui.face.transcript.item_types import (
    AnyItem,
    CallItem,
    EndItem,
    NoticeItem,
    PhaseItem,
    PlanItem,
    RetryItem,
    ServerRequestItem,
    TaskItem,
    TextItem,
    UserItem,
)
from omni_tui.face.transcript.long_texts import LayOut, lay_out_now
from omni_tui.face.transcript.markdown import markdown
from omni_tui.face.transcript.plan_lines import draw_tree
from omni_tui.protocol.deciders import decided_by
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line

MEASURE = 108
"""Widest line in cells. Longer ones are hard to read."""
USER_ROWS = 12
THOUGHT_ROWS = 6
MAX_TEXT_ROWS = 4_000
_SIDE = single_span("  ")


def draw_item(
    item: AnyItem, before: AnyItem | None, width: int, now: float, lay_out: LayOut = lay_out_now
) -> list[Line]:
    """Return an item's lines with a blank one above, none if it is hidden. `before` is the item above.

    `lay_out` makes the lines of its texts; for a long one they may stand in for those that come later.
    """
    if item.hidden:
        return []
    width = max(8, min(width, MEASURE))
    match item:
        case UserItem():
            lines = _user(item, width, lay_out)
        case TextItem(kind="thought"):
            lines = _thought(item, width, lay_out)
        case TextItem():
            lines = _answer(item, width, lay_out)
        case CallItem():
            lines = draw_call(item, width, now)
        case PlanItem() | PhaseItem() | TaskItem():
            lines = draw_tree(item, width, now, partial(draw_item, lay_out=lay_out))
        case ServerRequestItem():
            lines = _request(item, width)
        case _:
            lines = _notice(item, width, now)
    if before is None or not lines or _close(item, before):
        return lines
    return [BLANK, *lines]


def _close(item: AnyItem, before: AnyItem) -> bool:
    """Return whether no blank line is needed: within a plan, and between calls with nothing below them."""
    if isinstance(item, PhaseItem | TaskItem):
        return isinstance(before, PlanItem | PhaseItem | TaskItem)
    return isinstance(item, CallItem) and isinstance(before, CallItem) and not has_body(before)


def estimate_rows(item: AnyItem, width: int) -> int:
    """Guess how many rows an item takes without drawing it."""
    if item.hidden:
        return 0
    width = max(8, min(width, MEASURE) - 2)
    match item:
        case UserItem():
            return 1 + min(_rows(item.text, width), USER_ROWS) + len(item.attachments)
        case TextItem(kind="thought"):
            return 1 + min(_rows(item.source, width), THOUGHT_ROWS)
        case TextItem():
            return 1 + _rows(item.source, width)
        case CallItem():
            return 3 if item.parts or item.feedback else 1
        case PhaseItem():
            return 1
        case _:
            return 2


def _rows(text: str, width: int) -> int:
    return text.count("\n") + len(text) // width + 1


_STAGES = {
    "queued": ("◌ queued for the model{mode} · esc takes it back", "waiting"),
    "parked": ("◌ queued behind the parked turn{mode} · /continue resumes it", "waiting"),
    "untold": ("■ not sent to the model", "dim"),
}


def _user(item: UserItem, width: int, lay_out: LayOut) -> list[Line]:
    bar = single_span("▌ ", "user-bar user")
    layout = partial(_said, role="user", first=bar, rest=bar, width=width, folded=item.folded, fill="user")
    lines = list(_shown(item.text.rstrip("\n"), item.folded, layout, width, lay_out))
    for attached in item.attachments:
        cut = ", cut for the model" if attached.truncated else ""
        words = f"▤ {identifier(attached.server)} › {attached.label} · {attached.size:,} characters{cut}"
        lines += wrap([Span(words, "user-bar user")], width, first=bar, rest=bar, fill="user")
    if item.stage:
        words, role = _STAGES[item.stage]
        words = words.format(mode=f", to run in {item.mode} mode" if item.mode else "")
        lines += _beside(words, role, width)
    return lines


def _beside(text: str, role: str, width: int) -> list[Line]:
    return wrap([Span(text, role)], width, first=_SIDE, rest=_SIDE)


def _shown(text: str, folded: bool, layout: partial[list[Line]], width: int, lay_out: LayOut) -> list[Line]:
    """Lay out a text; at once if it is folded, since that looks at its beginning only."""
    return layout(text) if folded else lay_out(text, layout, width, None)


def _said(
    text: str, *, role: str, first: Spans, rest: Spans, width: int, folded: bool, fill: str = ""
) -> list[Line]:
    """Return a text as it is, its first rows if it is folded, and how much is left out."""
    most = MAX_TEXT_ROWS if not folded else USER_ROWS if fill else THOUGHT_ROWS
    lines = wrap([Span(text, role)], width, first=first, rest=rest, fill=fill, most=most + 2)
    if len(lines) <= most + 1:
        return lines
    kept = lines[:most]
    size = f"{max(1, len(text) - len(copied_text(kept)) - 1):,} more characters"
    hint = f"… {size} · space expands" if folded else f"… {size} · y copies all"
    spans = (*rest, Span(hint, f"{fill} hint".strip()))
    return [*kept, Line(spans, len(hint) + 2, fill=fill, target="fold")]


def _thought(item: TextItem, width: int, lay_out: LayOut) -> list[Line]:
    text = item.source.strip()
    mark = single_span("✻ ", "thought-mark")
    if item.stream is not None:  # show its end
        lines = wrap([Span(text[-THOUGHT_ROWS * width :], "thought")], width, first=mark, rest=_SIDE)
        if len(lines) <= THOUGHT_ROWS:
            return lines
        first, *others = lines[-THOUGHT_ROWS:]
        return [first._replace(spans=(*mark, *first.spans[1:])), *others]
    layout = partial(_said, role="thought", first=mark, rest=_SIDE, width=width, folded=item.folded)
    lines = _shown(text, item.folded, layout, width, lay_out)
    return [line._replace(target="fold") for line in lines]


def _answer(item: TextItem, width: int, lay_out: LayOut) -> list[Line]:
    indent = spans_length(_SIDE)
    if item.stream is not None:
        return item.stream.lines(width, indent)
    former = item.streamed.lines(width, indent) if item.streamed is not None else None
    layout = partial(_answered, width=width, indent=indent)
    lines = list(lay_out(item.text.strip("\n"), layout, width, former))
    if item.partial:
        lines += _beside("… cut off here", "waiting", width)
    return lines + (_beside(item.label, "dim", width) if item.label else [])


def _answered(text: str, *, width: int, indent: int) -> list[Line]:
    lines = markdown(text, width, indent=indent, most=MAX_TEXT_ROWS + 1)
    if len(lines) <= MAX_TEXT_ROWS:
        return lines
    hint = fit(f"{' ' * indent}… the rest of {len(text):,} characters is not shown · y copies all", width)
    return [*lines[:MAX_TEXT_ROWS], Line((Span(hint, "hint"),), len(hint))]


_NOTICES = {"info": ("· ", "dim"), "warning": ("! ", "waiting"), "error": ("✗ ", "failed")}
_ENDS = {
    "stopped": ("■ ", "stopped", "state-quiet"),
    "limit": ("■ ", "limit reached", "waiting"),
    "failed": ("✗ ", "failed", "failed"),
    "parked": ("■ ", "parked", "waiting"),
    "done": ("✓ ", "done", "done"),
}


def _notice(item: NoticeItem | EndItem | RetryItem, width: int, now: float) -> list[Line]:
    """Return the lines of a notice: a mark, what happened and why, and further lines below."""
    match item:
        case NoticeItem():
            mark, role = _NOTICES[item.level]
            what, why, more = item.what, item.why, (*item.more, item.todo)
        case EndItem():
            mark, what, role = _ENDS[item.status]
            why, more = item.reason, (item.todo,)
        case RetryItem():
            left = max(0, round(item.due - now))
            when = f"retry in {left} s" if left else "retrying"
            mark, what, role = "↻ ", f"{when} · attempt {item.attempt} of {item.of}", "waiting"
            why, more = item.reason, ()
    spans = (Span(what, role), *single_span(why and f" · {why}", "dim"))
    lines = wrap_beginning(spans, MAX_ROWS, width, first=single_span(mark, role), rest=_SIDE)
    for text in filter(None, more):
        lines += wrap_beginning([Span(text, "dim")], MAX_ROWS, width, first=_SIDE, rest=_SIDE)
    return lines


# --- server requests

_OUTCOMES = {
    "accepted": ("✓ answered", "done"),
    "declined": ("⊘ declined", "state-quiet"),
    "cancelled": ("⊘ cancelled", "state-quiet"),
    "withdrawn": ("⊘ withdrawn", "state-quiet"),
}
_REQUEST_STAGES = {
    "asked": ("◌ waiting for you", "waiting"),
    "answering": ("… the model is answering", "running"),
    "review": ("◌ its answer waits for you", "waiting"),
}


def _request(item: ServerRequestItem, width: int) -> list[Line]:
    state, role = _OUTCOMES[item.outcome] if item.outcome else _REQUEST_STAGES[item.stage]
    if item.outcome:
        state += safe_line(decided_by(item.decider), limit=60)
    name = f"{identifier(item.server, limit=40)} › {safe_line(item.label, limit=80)}"
    mark = single_span("? ", "waiting")
    said = " ".join(item.message[:400].split())
    room = width - 2 - cell_len(name) - 2 - 3 - cell_len(state)
    if room < -4:
        lines = wrap([Span(name, "call-name")], width, first=mark, rest=_SIDE)
        lines.append(Line((*_SIDE, Span(fit(state, width - 2), role)), 2))
    else:
        words = f"  {fit(said, room)}" if said and item.folded and room >= 8 else ""
        left = (*mark, Span(name, "call-name"), Span(words, "arguments"))
        lines = [row_with_end(left, Span(state, role), width)]
    below = [(item.message, "arguments")] if not item.folded else []
    for text in filter(str.strip, (item.reason, item.answer)):
        shown: str = safe(text)
        if item.folded:
            shown = fit(safe_line(" ".join(text[:800].split()), joined=True), width - 4)
        below.append((shown, "result"))
    for text, role in below:
        if text:
            lines += wrap_beginning([Span(text, role)], MAX_ROWS, width, first=CORNER, rest=UNDER)
    return [line._replace(target="fold") for line in lines]
