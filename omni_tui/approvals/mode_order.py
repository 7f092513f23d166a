"""Which of two modes asks less, as the config and the rules have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce

from omni_tui.approvals.policy import Decision
from omni_tui.policy import SEVERITY, Rule
from omni_tui.protocol import Mode

_USUAL: tuple[Mode, ...] = ("chat", "orchestrator", "auto")
"""The strictest first, where each of two modes lets something pass that the other does not."""


class ModeOrder:
    """Compares modes. `bases` are the decisions of each mode, for all servers that have their own."""

    def __init__(self, bases: Iterable[Mapping[Mode, Decision]], rules: Iterable[Rule]) -> None:
        self._bases = tuple(bases)
        self._rules = tuple(rule for rule in rules if rule.modes)

    def is_looser(self, mode: Mode, than: Mode) -> bool:
        """Whether some call might pass in a mode that would be asked about or denied in the other."""
        if (than, mode) == ("orchestrator", "auto"):  # without a plan
            return True
        return any(SEVERITY[base[mode]] < SEVERITY[base[than]] for base in self._bases) or any(
            mode in rule.modes and than not in rule.modes
            if rule.decision == "allow"
            else than in rule.modes and mode not in rule.modes
            for rule in self._rules
        )

    def strictest(self, *modes: Mode) -> Mode:
        """Return the strictest of some modes, the first of those that are alike."""
        return reduce(self._stricter, modes)

    def _stricter(self, one: Mode, other: Mode) -> Mode:
        looser, stricter = self.is_looser(one, other), self.is_looser(other, one)
        if looser and stricter:
            return min(one, other, key=_USUAL.index)
        return other if looser else one
