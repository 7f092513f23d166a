"""Which tools have names that can be mistaken for each other, on whichever servers they are."""

from __future__ import annotations

from collections.abc import Iterable

from omni_tui.protocol import SafeText
from omni_tui.security.identifiers import identifier
from omni_tui.security.look_alikes import imitates, is_deceptive, skeletons
from omni_tui.security.text import safe
from omni_tui.tools.tool_names import ToolKey

MANY = 3
"""Other tools that are named; of more it is only said that there are many."""


class NameIndex:
    """The names of all tools by what they look like."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}
        self._groups: dict[str, dict[ToolKey, None]] = {}

    def update(self, server: str, names: Iterable[str]) -> set[ToolKey]:
        """Take the names of a server's tools; return other servers' tools whose `words` may change."""
        before, after = self._names.get(server, frozenset()), frozenset(names)
        touched: set[ToolKey] = set()
        for name in before - after:
            for skeleton in skeletons(name):
                group = self._groups[skeleton]
                group.pop((server, name), None)
                touched.update(group if len(group) <= MANY + 1 else ())
                if not group:
                    del self._groups[skeleton]
        for name in sorted(after - before):
            for skeleton in skeletons(name):
                group = self._groups.setdefault(skeleton, {})
                group[(server, name)] = None
                touched.update(group if len(group) <= MANY + 2 else ())
        if after:
            self._names[server] = after
        else:
            self._names.pop(server, None)
        return {key for key in touched if key[0] != server}

    def others(self, server: str, name: str) -> list[ToolKey]:
        """Return the tools whose name is the same or looks like it, the first to come first."""
        found: dict[ToolKey, None] = {}
        for skeleton in sorted(skeletons(name)):
            found.update(self._groups.get(skeleton, {}))
        found.pop((server, name), None)
        return list(found)

    def imitated(self, server: str, name: str) -> ToolKey | None:
        """Return a tool that this one passes itself off as, by characters that are not what they seem."""
        if not is_deceptive(name):
            return None
        return next((key for key in self.others(server, name) if imitates(name, key[1])), None)

    def words(self, server: str, name: str) -> SafeText:
        """Say which other tools have this name or one that looks like it; "" if none has."""
        others = self.others(server, name)
        same = [key for key in others if key[1] == name]
        alike = [key for key in others if key[1] != name]
        words = []
        if alike:
            few = len(others) <= MANY
            shown = [f"{identifier(other, limit=40)} › {identifier(tool)}" for other, tool in alike[:MANY]]
            words.append("looks like " + (", ".join(shown) if few else "many other tools"))
        if same:
            names = ", ".join(identifier(other, limit=40) for other, _ in same)
            words.append("also on " + (names if len(others) <= MANY else "many servers"))
        return safe(" · ".join(words), limit=240, joined=False)
