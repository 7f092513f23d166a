"""A call as lines: its tool, arguments, state and result."""

from __future__ import annotations

import json

from rich.cells import cell_len

from omni_tui.face.cells import fit, pad
from omni_tui.face.formats import format_duration, format_size
from omni_tui.face.lines import Line, Span, single_span, wrap
from omni_tui.face.transcript.call_summary import (
    arguments_line,
    arguments_of,
    first_rows,
    pretty,
    result_text,
)
from omni_tui.face.transcript.code import highlight
from omni_tui.face.transcript.item_types import CallItem
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line

MAX_ROWS = 200
"""Most rows of an unfolded result. The full view shows the rest."""
_LONG_REASON = 30
_INDENT = "  "


def draw_call(item: CallItem, width: int, now: float) -> list[Line]:
    """Return the lines of a call, without the space above it."""
    lines = _head(item, width, now)
    lines += _opened(item, width) if not item.folded else _folded(item, width)
    return lines


def has_body(item: CallItem) -> bool:
    """Return whether there is anything below the call's first line."""
    return not item.folded or bool(item.parts or item.feedback or _long_reason(item) or item.message)


def state_of(item: CallItem, now: float) -> tuple[str, str]:
    """Return the words and the role of a call's state."""
    match item.state:
        case "pending":
            return "◌ waiting for you", "waiting"
        case "held":
            return "◌ held for you", "waiting"
        case "proposed" | "approved":
            return "… approved, queued" if item.state == "approved" else "… proposed", "state-quiet"
        case "dispatching":
            passed = int(now - item.started)
            return f"… {_progress(item)}{format_duration(passed) if passed else 'running'}", "running"
        case "succeeded" if item.cached_s is not None:
            return f"✓ from the cache · {format_duration(item.cached_s)} old", "done"
        case "succeeded":
            return f"✓ {format_duration(item.elapsed_ms / 1000)}", "done"
        case "failed" | "result_rejected":
            word = "failed" if item.state == "failed" else "result breaks its schema"
            return f"✗ {item.reason if item.reason and not _long_reason(item) else word}", "failed"
        case "uncertain":
            return "? outcome unknown", "waiting"
        case "denied":
            return "⊘ denied by policy", "failed"
        case _:
            return f"⊘ {item.state}", "state-quiet"


def _progress(item: CallItem) -> str:
    if item.progress is None:
        return ""
    if item.total:
        return f"{min(100, max(0, round(100 * item.progress / item.total)))} %  "
    return f"{item.progress:g}  "


def _long_reason(item: CallItem) -> bool:
    return cell_len(item.reason) > _LONG_REASON or "\n" in item.reason


def _head(item: CallItem, width: int, now: float) -> list[Line]:
    """Return name, arguments and state on one line; in a narrow window each has its own."""
    state, role = state_of(item, now)
    name = f"{identifier(item.server, limit=40)} › {item.tool}"
    marks = "".join(
        f"  {word}"
        for word, on in (
            ("by hand", item.origin == "hand"),
            ("edited", item.edited),
            ("fallback", bool(item.fallback)),
            (item.agent, item.agent != "root"),
        )
        if on
    )
    if item.attempt > 1:
        marks += f"  attempt {item.attempt}"
    if item.round:
        marks += f"  round {item.round}"
    mark, inset = Span("▶ ", "call-mark"), Span(_INDENT)
    room = width - 2 - cell_len(name) - cell_len(marks) - 2 - 3 - cell_len(state)
    arguments = arguments_line(item.arguments, max(room, width - 4))
    if not arguments.strip("{} "):
        arguments = ""
    if room >= min(14, cell_len(arguments)):
        middle = arguments_line(item.arguments, room) if arguments else ""
        left = (
            mark,
            Span(name, "call-name"),
            Span(marks, "dim"),
            Span(f"  {middle}" if middle else "", "arguments"),
        )
        return [_row(left, Span(state, role), width)]
    lines: list[Line] = []
    if 2 + cell_len(name) + cell_len(marks) + 2 + cell_len(state) <= width:
        lines.append(_row((mark, Span(name, "call-name"), Span(marks, "dim")), Span(state, role), width))
        state = ""
    else:
        lines += wrap([Span(name, "call-name"), Span(marks, "dim")], width, first=(mark,), rest=(inset,))
    if arguments:
        text = arguments_line(item.arguments, width - 2)
        lines.append(Line((inset, Span(text, "arguments")), 2, " ", target="fold"))
    if state:
        lines.append(Line((inset, Span(fit(state, width - 2), role)), 2, " ", target="fold"))
    return [line._replace(target="fold") for line in lines]


def _row(left: tuple[Span, ...], right: Span, width: int) -> Line:
    used = sum(cell_len(span.text) for span in left) + cell_len(right.text)
    gap = Span(" " * max(1, width - used))
    spans = tuple(span for span in (*left, gap, right) if span.text)
    return Line(spans, gutter=2, target="fold")


def _folded(item: CallItem, width: int) -> list[Line]:
    text, role = _summary(item)
    if not text:
        return []
    room = width - 4
    rows, left = first_rows(text, room)
    hint = ""
    if item.cut:
        hint = f"{format_size(item.result_size)} in all"
    elif left:
        hint = f"+{left}"
    lines = []
    for number, row in enumerate(rows):
        lead = Span("  └ " if number == 0 else "    ", "result-mark")
        spans = [lead, Span(row, role)]
        tail = 0
        if hint and number == len(rows) - 1:
            spans[1] = Span(fit(row, room - len(hint) - 2), role)
            spans.append(Span(f"  {hint}", "dim"))
            tail = len(hint) + 2
        lines.append(Line(tuple(spans), 4, target="fold", tail=tail))
    return lines


def _summary(item: CallItem) -> tuple[str, str]:
    """Return the text below a folded call and its role."""
    if item.feedback:
        return f"“{item.feedback}”", "result"
    if item.parts:
        return result_text(item.parts), "failed-text" if item.state == "failed" else "result"
    if _long_reason(item):
        return item.reason, "failed-text" if item.state in ("failed", "result_rejected") else "result"
    return (item.message, "result") if item.running else ("", "")


def _opened(item: CallItem, width: int) -> list[Line]:
    """Return the arguments and the result, as far as the engine's preview goes."""
    lines = _arguments(item, width)
    for text in filter(
        None, (item.fallback, item.reason if item.state != "succeeded" else "", item.feedback)
    ):
        lines += wrap(
            [Span(text, "result")],
            width,
            first=single_span("  └ ", "result-mark"),
            rest=single_span("    "),
        )
    if not item.parts:
        return lines
    text, language = pretty(result_text(item.parts))
    spans = highlight(text, language) if language else [Span(text, "result")]
    shown = wrap(
        spans,
        width,
        first=single_span("  └ ", "result-mark"),
        rest=single_span("    "),
        hard=bool(language),
        fill="code" if language else "",
    )
    more = len(shown) - MAX_ROWS
    lines += shown[:MAX_ROWS]
    if item.cut or more > 0:
        rest = f"{format_size(item.result_size)} in all" if item.cut else f"{more} more rows"
        hint = fit(f"    … {rest} · enter opens the full result", width)
        lines.append(Line((Span(hint, "hint"),), len(hint), target="open"))
    return lines


def _bounded(lines: list[Line]) -> list[Line]:
    more = len(lines) - MAX_ROWS
    if more <= 0:
        return lines
    hint = f"{_INDENT}… {more} more rows · a copies all"
    return [*lines[:MAX_ROWS], Line((Span(hint, "hint"),), len(hint))]


def _arguments(item: CallItem, width: int) -> list[Line]:
    values = arguments_of(item.arguments)
    margin = single_span(_INDENT)
    if values is None:
        return _bounded(wrap([Span(item.arguments, "arguments")], width, first=margin, rest=margin))
    names = {key: safe_line(key, limit=40) for key in values}
    column = min(16, max((cell_len(name) for name in names.values()), default=0))
    lines: list[Line] = []
    for key, value in values.items():
        if isinstance(value, str):
            spans = [Span(safe(value), "value")]
        else:
            text = json.dumps(
                value, indent=2 if value and isinstance(value, (list, dict)) else None, ensure_ascii=False
            )
            spans = [
                Span(part, role.replace("code", "value", 1)) for part, role in highlight(safe(text), "json")
            ]
        label = Span(pad(fit(names[key], column), column) + "  ", "arguments")
        rest = (Span(_INDENT + " " * (column + 2)),)
        cut = wrap(spans, width, first=(Span(_INDENT), label), rest=rest)
        if cut:
            cut[0] = cut[0]._replace(gutter=2)
        lines += cut
    return _bounded(lines)
