"""Keys: the `[keys]` table of the config, checked, and how keys are written on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from string import Formatter, punctuation

import msgspec
from textual.keys import Keys, _character_to_key

from omni_tui.face import actions
from omni_tui.face.key_names import show_key

_APPROVING = frozenset({"approve", "approve_marked"})
_NEVER = frozenset({"enter", "return", "space", "tab", "escape", "ctrl+m", "ctrl+i", "ctrl+j", "newline"})
_MODIFIERS = frozenset({"ctrl", "alt", "shift", "meta", "super", "hyper"})


class KeyProblem(msgspec.Struct, frozen=True):
    """One line of `[keys]` that cannot be used."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"[keys] {self.name}: {self.why}"


def check_keys(table: Mapping[str, str]) -> tuple[dict[str, str], list[KeyProblem]]:
    """Return the keymap for `App.set_keymap`, and what is wrong with the other lines."""
    keymap: dict[str, str] = {}
    problems: list[KeyProblem] = []
    for name, text in table.items():
        keys = [key.strip() for key in text.split(",") if key.strip()]
        action = actions.named(name)
        why = _no_action(name) if action is None else _refusal(action, keys)
        if action is None or why:
            problems.append(KeyProblem(name, why))
        else:
            keymap[action.name] = ",".join(keys)
    return keymap, problems


def key_conflicts(keymap: Mapping[str, str]) -> list[KeyProblem]:
    """Return the keys of a keymap that another action has too, in the same pane or everywhere."""
    problems = []
    for name, keys in keymap.items():
        action = actions.get(name)
        for key in map(_canonical, keys.split(",")):
            for other in actions.all_actions():
                if other is action or not _meet(action, other):
                    continue
                if key in map(_canonical, other.keys_now(keymap).split(",")):
                    why = f"{key} is also the key of {other.name}, so one of the two does nothing"
                    problems.append(KeyProblem(name, why))
    return problems


def _meet(one: actions.Action, other: actions.Action) -> bool:
    """Whether both can be asked for at the same place."""
    return one.where == other.where or "app" in (one.where, other.where)


def _canonical(key: str) -> str:
    key = key.strip()
    return _character_to_key(key) if len(key) == 1 and not key.isalnum() else key


def is_key(text: str) -> bool:
    """Return whether this names a key, with or without modifiers: `A`, `f5`, `ctrl+x`, `alt+enter`."""
    plus = text == "+" or text.endswith("++")
    *modifiers, last = text.removesuffix("+").split("+") if plus else text.split("+")
    if plus:
        modifiers, last = [one for one in (*modifiers, last) if one], "+"
    known = (len(last) == 1 and last.isprintable()) or last in _named_keys()
    return known and set(modifiers) <= _MODIFIERS


@cache
def _named_keys() -> frozenset[str]:
    plain = {key.value.rpartition("+")[2] for key in Keys if not key.value.startswith("<")}
    return frozenset(plain | {_character_to_key(character) for character in punctuation})


def may_approve(key: str) -> bool:
    """Return False for keys that are pressed by habit: Enter, Space, arrows, unshifted letters."""
    if key in _NEVER:
        return False
    if len(key) == 1:
        return key.isupper()
    return key.startswith(("ctrl+", "alt+", "shift+f")) or (key[0] == "f" and key[1:].isdigit())


def key_of(name: str, keymap: Mapping[str, str], *, spelled: bool = False) -> str:
    """Return the first key of an action under a keymap, as a person writes it; see `show_key`."""
    return show_key(actions.get(name).keys_now(keymap), spelled=spelled)


def with_keys(text: str, keymap: Mapping[str, str]) -> str:
    """Return a text of ours with the keys of actions where it has their names in braces."""
    names = {name for _before, name, *_rest in Formatter().parse(text) if name}
    return text.format(**{name: key_of(name, keymap, spelled=True) for name in names})


def _no_action(name: str) -> str:
    near = get_close_matches(name, [action.name for action in actions.all_actions()], 1)
    return "there is no such action" + (f"; did you mean {near[0]}?" if near else "")


def _refusal(action: actions.Action, keys: list[str]) -> str:
    if not keys:
        return "names no key"
    if unknown := next((key for key in keys if not is_key(key)), ""):
        near = get_close_matches(unknown, _named_keys(), 1)
        return f"there is no key {unknown}" + (f"; did you mean {near[0]}?" if near else "")
    if not action.keys:
        return "this action has no key of its own; it is in the palette"
    bad = next((key for key in keys if action.name in _APPROVING and not may_approve(key)), "")
    if bad:
        return f"{bad} is pressed by habit and so may never approve; use a capital, ctrl+… or F8 to F12"
    return ""
