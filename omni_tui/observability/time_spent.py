"""Where the time of a trace went: each moment counts once, for the kind of work that was busy then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from omni_tui.protocol import SafeText
from omni_tui.protocol.traces import SpanKind, TimeKind, TimeSpent, TraceSpan

_OF: dict[SpanKind, TimeKind] = {
    "server": "server",
    "model": "model",
    "approval": "person",
    "input": "person",
    "connecting": "connecting",
    "pause": "pause",
    "away": "away",
    "queue": "queue",
}
"""What the spans without parts count for. The others only hold such spans together."""
_ORDER: tuple[TimeKind, ...] = get_args(TimeKind)


def time_spent(spans: Sequence[TraceSpan], began: float, ended: float) -> tuple[TimeSpent, ...]:
    """Return the seconds from `began` to `ended` by kind, most first; what is nobody's is `own`.

    A span that lasts (`ended` is 0) lasts until `ended`.
    """
    edges: list[tuple[float, int, TimeKind]] = []
    names: dict[TimeKind, Counter[SafeText]] = {}
    for span in spans:
        kind = _OF.get(span.kind)
        if kind is None:
            continue
        start, end = max(span.began, began), min(span.ended or ended, ended)
        if end > start:
            edges += ((start, 1, kind), (end, -1, kind))
            # In microseconds: a counter counts whole numbers.
            names.setdefault(kind, Counter())[span.name] += round((end - start) * 1e6)
    totals = _swept(sorted(edges), began, ended)
    found = [
        TimeSpent(kind=kind, seconds=seconds, name=names[kind].most_common(1)[0][0])
        if kind in names
        else TimeSpent(kind=kind, seconds=seconds)
        for kind, seconds in totals.items()
        if seconds > 0
    ]
    return tuple(sorted(found, key=_most))


def _swept(
    edges: Iterable[tuple[float, int, TimeKind]], began: float, ended: float
) -> dict[TimeKind, float]:
    totals: dict[TimeKind, float] = dict.fromkeys(_ORDER, 0.0)
    busy: Counter[TimeKind] = Counter()
    at = began
    for moment, step, kind in edges:
        totals[_now(busy)] += moment - at
        busy[kind] += step
        at = moment
    totals[_now(busy)] += max(0.0, ended - at)
    return totals


def _now(busy: Counter[TimeKind]) -> TimeKind:
    return next((kind for kind in _ORDER if busy[kind] > 0), "own")


def _most(spent: TimeSpent) -> tuple[float, int]:
    return -spent.seconds, _ORDER.index(spent.kind)
