"""The page of the events that `omni-tui run --json` prints, from the classes of `omni_tui.protocol`."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints

import msgspec

from omni_tui.protocol import AnyEvent
from omni_tui.protocol.base import VERSION, CommandReply, Event, snake
from tests.reference.types import field_notes, prose, structs, table, words

INTRODUCTION = f"""\
# Events of `--json`

`omni-tui run --json` prints one event a line, each a JSON object. These are all events there are. A new
version of Omni TUI may add events and fields: skip what you do not know. It never changes what a
field means without a new `v`.

Every event has these fields:

| field | type | meaning |
| --- | --- | --- |
| `type` | text | which event it is |
| `v` | whole number | version of the format, now {VERSION} |
| `seq` | whole number | number in the session's journal; 0 for an event that holds only for the moment |
| `ts` | number | when, in seconds since 1970 |
| `session` | text | id of the session |

Text from outside is safe to print: it holds no control, escape or invisible character. A field that ends in
`_json` holds a JSON document as text.
"""
_HEADER = frozenset({"v", "seq", "ts", "session"})


def public_events() -> list[type[Event]]:
    """Return the classes of the events that are printed, in the order of the protocol."""
    return [kind for kind in get_args(AnyEvent) if kind.public and not issubclass(kind, CommandReply)]


def page() -> str:
    """Return the page."""
    kinds = sorted(public_events(), key=_tag)
    values: dict[str, type[msgspec.Struct]] = {}
    parts = [INTRODUCTION, "## Events"]
    for kind in kinds:
        kept = "kept in the journal" if kind.journalled else "for the moment"
        parts.append(f"### `{_tag(kind)}`\n\n{prose(kind)}\n\n*{kept[0].upper()}{kept[1:]}.*")
        parts.append(_fields(kind, values))
    parts.append("## Values\n\nTables inside the events.")
    shown: set[str] = set()
    while left := sorted(set(values) - shown):
        shown.add(left[0])
        parts.append(f"### {left[0]}\n\n{prose(values[left[0]])}")
        parts.append(_fields(values[left[0]], values))
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _tag(kind: type[Event]) -> str:
    tag = kind.__struct_config__.tag
    return tag if isinstance(tag, str) else snake(kind.__name__)


def _fields(kind: type[msgspec.Struct], values: dict[str, type[msgspec.Struct]]) -> str:
    hints, notes = get_type_hints(kind), field_notes(kind)
    rows = []
    for field in msgspec.structs.fields(kind):
        if issubclass(kind, Event) and field.name in _HEADER:
            continue
        hint = hints[field.name]
        values.update({one.__name__: one for one in structs(hint)})
        null = ", or null" if type(None) in get_args(hint) else ""
        default = _default(field.default)
        rows.append((f"`{field.encode_name}`", words(hint) + null, default, notes.get(field.name, "")))
    return table(("field", "type", "default", "meaning"), rows) if rows else ""


def _default(value: Any) -> str:
    if value is msgspec.NODEFAULT or value in (None, "", (), []):
        return ""
    return f"`{json.dumps(value)}`"
