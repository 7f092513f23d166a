"""The items of a transcript as lines. Knows nothing of colours or the screen."""

from __future__ import annotations

from rich.cells import cell_len

from omni_tui.face.cells import fit
from omni_tui.face.lines import BLANK, Line, Span, Spans, copied_text, single_span, wrap
from omni_tui.face.transcript.call_lines import draw_call, has_body
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
from omni_tui.face.transcript.markdown import markdown
from omni_tui.face.transcript.plan_lines import draw_tree
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line

MEASURE = 108
"""Widest line in cells. Longer ones are hard to read."""
USER_ROWS = 12
THOUGHT_ROWS = 6
MAX_TEXT_ROWS = 4_000
MAX_REQUEST_ROWS = 200
_USER_PREVIEW = 4_000
_SIDE = "  "


def draw_item(item: AnyItem, before: AnyItem | None, width: int, now: float) -> list[Line]:
    """Return an item's lines with a blank one above, none if it is hidden. `before` is the item above."""
    if item.hidden:
        return []
    width = max(8, min(width, MEASURE))
    match item:
        case UserItem():
            lines = _user(item, width)
        case TextItem(kind="thought"):
            lines = _thought(item, width)
        case TextItem():
            lines = _answer(item, width)
        case CallItem():
            lines = draw_call(item, width, now)
        case PlanItem() | PhaseItem() | TaskItem():
            lines = draw_tree(item, width, now, draw_item)
        case _:
            lines = _quiet(item, width, now)
    if before is None or not lines or _close(item, before):
        return lines
    return [BLANK, *lines]


def _quiet(
    item: ServerRequestItem | NoticeItem | EndItem | RetryItem, width: int, now: float
) -> list[Line]:
    """Return the lines of a server request or a notice."""
    match item:
        case ServerRequestItem():
            return _request(item, width)
        case NoticeItem():
            return _notice(item, width)
        case EndItem():
            return _end(item, width)
        case RetryItem():
            return _retry(item, width, now)


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
    "queued": ("◌ queued for the model · esc takes it back", "waiting"),
    "parked": ("◌ queued behind the parked turn · /continue resumes it", "waiting"),
    "untold": ("■ not sent to the model", "dim"),
}


def _user(item: UserItem, width: int) -> list[Line]:
    bar = single_span("▌ ", "user-bar user")
    text = item.text.rstrip("\n")
    folded = item.folded and (len(text) > _USER_PREVIEW or text.count("\n") >= USER_ROWS)
    lines = wrap(
        [Span(text[:_USER_PREVIEW] if folded else text, "user")], width, first=bar, rest=bar, fill="user"
    )
    lines = _limit(lines, USER_ROWS if item.folded else MAX_TEXT_ROWS, text, bar, item.folded, "user")
    for attached in item.attachments:
        cut = ", cut for the model" if attached.truncated else ""
        words = f"▤ {identifier(attached.server)} › {attached.label} · {attached.size:,} characters{cut}"
        lines += wrap([Span(words, "user-bar user")], width, first=bar, rest=bar, fill="user")
    if item.stage:
        words, role = _STAGES[item.stage]
        lines += wrap([Span(words, role)], width, first=single_span(_SIDE), rest=single_span(_SIDE))
    return lines


def _limit(
    lines: list[Line], rows: int, text: str, lead: Spans, folded: bool, fill: str = ""
) -> list[Line]:
    """Keep the first rows and add a hint how much is left out."""
    if len(lines) <= rows + 1 and sum(len(line.text) for line in lines) >= len(text) * 0.9:
        return lines
    kept = lines[:rows]
    size = f"{max(1, len(text) - len(copied_text(kept)) - 1):,} more characters"
    hint = f"… {size} · space expands" if folded else f"… {size} · y copies all"
    return [
        *kept,
        Line((*lead, Span(hint, f"{fill} hint".strip())), len(hint) + 2, fill=fill, target="fold"),
    ]


def _thought(item: TextItem, width: int) -> list[Line]:
    text = item.source.strip()
    mark, rest = single_span("✻ ", "thought-mark"), single_span(_SIDE)
    if item.stream is not None:  # show its end
        lines = wrap([Span(text[-THOUGHT_ROWS * width :], "thought")], width, first=mark, rest=rest)
        return lines if len(lines) <= THOUGHT_ROWS else _restart(lines[-THOUGHT_ROWS:], mark)
    long = item.folded and len(text) > THOUGHT_ROWS * width * 2
    lines = wrap(
        [Span(text[: THOUGHT_ROWS * width * 2] if long else text, "thought")], width, first=mark, rest=rest
    )
    lines = [line._replace(target="fold") for line in lines]
    return _limit(lines, THOUGHT_ROWS if item.folded else MAX_TEXT_ROWS, text, rest, item.folded)


def _restart(lines: list[Line], mark: Spans) -> list[Line]:
    first = lines[0]
    return [first._replace(spans=(*mark, *first.spans[1:])), *lines[1:]]


def _answer(item: TextItem, width: int) -> list[Line]:
    if item.stream is not None:
        return item.stream.lines(width, len(_SIDE))
    lines = markdown(item.text.strip("\n"), width, indent=len(_SIDE))[:MAX_TEXT_ROWS]
    for note, role in ((item.partial and "… cut off here", "waiting"), (item.label, "dim")):
        if note:
            lines += wrap([Span(note, role)], width, first=single_span(_SIDE), rest=single_span(_SIDE))
    return lines


_NOTICES = {"info": ("·", "dim"), "warning": ("!", "waiting"), "error": ("✗", "failed")}


def _notice(item: NoticeItem, width: int) -> list[Line]:
    mark, role = _NOTICES[item.level]
    first, rest = single_span(f"{mark} ", role), single_span(_SIDE)
    spans = [Span(item.what, role)]
    if item.why:
        spans.append(Span(f" · {item.why}", "dim"))
    lines = wrap(spans, width, first=first, rest=rest)
    for text in (*item.more, item.todo):
        if text:
            lines += wrap([Span(text, "dim")], width, first=rest, rest=rest)
    return lines


_ENDS = {
    "stopped": ("■ stopped", "state-quiet"),
    "limit": ("■ limit reached", "waiting"),
    "failed": ("✗ failed", "failed"),
    "parked": ("■ parked", "waiting"),
    "done": ("✓ done", "done"),
}


def _end(item: EndItem, width: int) -> list[Line]:
    word, role = _ENDS[item.status]
    spans = [Span(word[2:], role)]
    if item.reason:
        spans.append(Span(f" · {item.reason}", "dim"))
    lines = wrap(spans, width, first=single_span(word[:2], role), rest=single_span(_SIDE))
    if item.todo:
        lines += wrap([Span(item.todo, "dim")], width, first=single_span(_SIDE), rest=single_span(_SIDE))
    return lines


def _retry(item: RetryItem, width: int, now: float) -> list[Line]:
    left = max(0, round(item.due - now))
    when = f"retry in {left} s" if left else "retrying"
    text = f"{when} · attempt {item.attempt} of {item.of}"
    spans = [Span(text, "waiting"), Span(f" · {item.reason}" if item.reason else "", "dim")]
    return wrap(spans, width, first=single_span("↻ ", "waiting"), rest=single_span(_SIDE))


# --- server requests

_OUTCOMES = {
    "accepted": ("✓ answered", "done"),
    "declined": ("⊘ declined", "state-quiet"),
    "cancelled": ("⊘ cancelled", "state-quiet"),
    "withdrawn": ("⊘ withdrawn", "state-quiet"),
}
_BY = {"": "", "user": "", "policy": " by policy", "headless": ": nobody there to ask",
       "restart": " by a restart", "stop": ": stopped", "server": " by the server"}  # fmt: skip


def _request_state(item: ServerRequestItem) -> tuple[str, str]:
    """Return the words and the role of a server request's state."""
    if item.outcome:
        word, role = _OUTCOMES[item.outcome]
        return word + _BY.get(item.decider, f" by {safe_line(item.decider, limit=30)}"), role
    return {
        "asked": ("◌ waiting for you", "waiting"),
        "answering": ("… the model is answering", "running"),
        "review": ("◌ its answer waits for you", "waiting"),
    }[item.stage]


def _request(item: ServerRequestItem, width: int) -> list[Line]:
    """Return the lines of a server request: who asks what, its outcome and the answer."""
    state, role = _request_state(item)
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
    mark = single_span("  └ ", "result-mark")
    lines = wrap([Span(text, role)], width, first=mark, rest=single_span("    "))
    more = len(lines) - MAX_REQUEST_ROWS
    if more <= 0:
        return lines
    hint = fit(f"    … {more} more rows", width)
    return [*lines[:MAX_REQUEST_ROWS], Line((Span(hint, "hint"),), len(hint))]
