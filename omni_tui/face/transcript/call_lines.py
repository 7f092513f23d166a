"""A call as lines: its tool, arguments, state and result."""

from __future__ import annotations

import json
from itertools import islice

from rich.cells import cell_len

from omni_tui.face.cells import fit, pad
from omni_tui.face.formats import counted, format_duration, format_size
from omni_tui.face.lines import (
    Line,
    Span,
    Spans,
    copied_text,
    row_with_end,
    single_span,
    spans_length,
    spans_width,
    wrap,
    wrap_beginning,
)
from omni_tui.face.transcript.call_summary import (
    arguments_line,
    arguments_of,
    first_rows,
    pretty,
    result_text,
)
from omni_tui.face.transcript.code import highlight
from omni_tui.face.transcript.item_types import CallItem
from omni_tui.protocol.deciders import outcome_words
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line

MAX_ROWS = 200
"""Most rows of an unfolded result. The full view shows the rest."""
_LONG_REASON = 30
_INDENT = "  "
CORNER, UNDER = single_span("  └ ", "result-mark"), single_span("    ")
"""What stands before a text below the first line of its item: on its first row, and on the others."""


def draw_call(item: CallItem, width: int, now: float) -> list[Line]:
    """Return the lines of a call, without the space above it."""
    return [*_head(item, width, now), *(_folded(item, width) if item.folded else _opened(item, width))]


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
        case "succeeded" if not item.elapsed_ms:  # loaded from a file that does not tell it
            return "✓ done", "done"
        case "succeeded":
            return f"✓ {format_duration(item.elapsed_ms / 1000)}", "done"
        case "failed" | "result_rejected":
            word = "failed" if item.state == "failed" else "result breaks its schema"
            return f"✗ {item.reason if item.reason and not _long_reason(item) else word}", "failed"
        case _:
            words = safe_line(outcome_words(item.state, item.decider), limit=60)
            if item.state == "uncertain":
                return f"? {words}", "waiting"
            return f"⊘ {words}", "failed" if item.state == "denied" else "state-quiet"


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
    left, inset = [Span("▶ ", "call-mark"), Span(name, "call-name"), Span(marks, "dim")], Span(_INDENT)
    room = width - 2 - cell_len(name) - cell_len(marks) - 2 - 3 - cell_len(state)
    arguments = arguments_line(item.arguments, max(room, width - 4))
    if not arguments.strip("{} "):
        arguments = ""
    if room >= min(14, cell_len(arguments)):
        middle = arguments_line(item.arguments, room) if arguments else ""
        left.append(Span(f"  {middle}" if middle else "", "arguments"))
        return [row_with_end(left, Span(state, role), width)._replace(target="fold")]
    if spans_width(left) + 2 + cell_len(state) <= width:
        lines = [row_with_end(left, Span(state, role), width)]
        state = ""
    else:
        lines = wrap(left[1:], width, first=(left[0],), rest=(inset,))
    if arguments:
        text = arguments_line(item.arguments, width - 2)
        lines.append(Line((inset, Span(text, "arguments")), 2, " "))
    if state:
        lines.append(Line((inset, Span(fit(state, width - 2), role)), 2, " "))
    return [line._replace(target="fold") for line in lines]


def _folded(item: CallItem, width: int) -> list[Line]:
    text, role = _summary(item)
    if not text:
        return []
    room = width - 4
    rows, left = first_rows(text, room)
    hint = f"+{left}" if left else ""
    if item.cut:
        hint = f"{format_size(item.result_size)} in all"
    lines = [
        Line((*(UNDER if number else CORNER), Span(row, role)), 4, target="fold")
        for number, row in enumerate(rows)
    ]
    if hint and lines:
        lead, last = lines[-1].spans
        spans = (lead, Span(fit(last.text, room - len(hint) - 2), role), Span(f"  {hint}", "dim"))
        lines[-1] = lines[-1]._replace(spans=spans, tail=len(hint) + 2)
    return lines


def _summary(item: CallItem) -> tuple[str, str]:
    if item.feedback:
        return f"“{item.feedback}”", "result"
    if item.parts:
        return result_text(item.parts), "failed-text" if item.state == "failed" else "result"
    if _long_reason(item):
        return item.reason, "failed-text" if item.state in ("failed", "result_rejected") else "result"
    return (item.message, "result") if item.running else ("", "")


def _opened(item: CallItem, width: int) -> list[Line]:
    lines = _arguments(item, width)
    reason = item.reason if item.state != "succeeded" else ""
    for text in filter(None, (item.fallback, reason, item.feedback)):
        lines += wrap_beginning([Span(text, "result")], MAX_ROWS, width, first=CORNER, rest=UNDER)
    if not item.parts:
        return lines
    text, language = pretty(result_text(item.parts))
    spans = highlight(text, language) if language else [Span(text, "result")]
    fill = "code" if language else ""
    hard = bool(language)
    shown = wrap(spans, width, first=CORNER, rest=UNDER, hard=hard, fill=fill, most=MAX_ROWS + 1)
    more = len(shown) > MAX_ROWS
    shown = shown[:MAX_ROWS]
    lines += shown
    if item.cut or more:
        left = spans_length(spans) - len(copied_text(shown))
        rest = f"{format_size(item.result_size)} in all" if item.cut else f"{left:,} more characters"
        hint = fit(f"    … {rest} · enter opens the full result", width)
        lines.append(Line((Span(hint, "hint"),), len(hint), target="open"))
    return lines


def _arguments(item: CallItem, width: int) -> list[Line]:
    values = arguments_of(item.arguments)
    margin = single_span(_INDENT)
    todo = " · a copies all"
    if values is None:
        spans = [Span(item.arguments, "arguments")]
        return wrap_beginning(spans, MAX_ROWS, width, first=margin, rest=margin, todo=todo)
    names = {key: safe_line(key, limit=40) for key in islice(values, MAX_ROWS)}
    column = min(16, max((cell_len(name) for name in names.values()), default=0))
    below = (Span(_INDENT + " " * (column + 2)),)
    lines: list[Line] = []
    for shown, (key, name) in enumerate(names.items()):
        room = MAX_ROWS - len(lines)
        if room <= 0:
            return [*lines, _more_arguments(len(values) - shown, width, todo)]
        label = Span(pad(fit(name, column), column) + "  ", "arguments")
        value = _value_spans(values[key])
        cut = wrap_beginning(value, room, width, first=(*margin, label), rest=below, todo=todo)
        lines += [cut[0]._replace(gutter=2), *cut[1:]]
    left = len(values) - len(names)
    return [*lines, _more_arguments(left, width, todo)] if left else lines


def _more_arguments(left: int, width: int, todo: str) -> Line:
    hint = fit(f"{_INDENT}… {counted(left, 'more argument')}{todo}", width)
    return Line((Span(hint, "hint"),), len(hint))


def _value_spans(value: object) -> Spans:
    if isinstance(value, str):
        return (Span(safe(value), "value"),)
    indent = 2 if value and isinstance(value, (list, dict)) else None
    coloured = highlight(safe(json.dumps(value, indent=indent, ensure_ascii=False)), "json")
    return tuple(Span(part, role.replace("code", "value", 1)) for part, role in coloured)
