"""The bottom bar of the tool screen: the keys that work here and now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.binding import ActiveBinding, Binding

from omni_tui.face.widgets.footer import KeyHint

ORDER = ("run", "other_side", "close", "about", "toggle_raw")
"""The screen's own keys, in the order of the bottom bar."""


def key_hints(
    active: Iterable[ActiveBinding], app: object, words: Mapping[str, str]
) -> tuple[KeyHint, ...]:
    """Return the keys to name, the widgets' own first. `words` replaces what some are called."""
    shown = [each.binding for each in active if each.binding.show and each.enabled and each.node is not app]
    first = [binding for binding in shown if binding.action in ORDER]
    first.sort(key=lambda binding: ORDER.index(binding.action))
    rest = [binding for binding in shown if binding.action not in ORDER]
    return tuple({binding.action: _hint(binding, words) for binding in [*rest, *first]}.values())


def _hint(binding: Binding, words: Mapping[str, str]) -> KeyHint:
    name = binding.action
    key = "]" if binding.key == "right_square_bracket" else binding.key
    return KeyHint(key, words.get(name, binding.description), f"screen.{name}" if name in ORDER else "")
