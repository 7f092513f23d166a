"""How often the person rejected a call in a turn: one that was rejected twice is not asked about again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from omni_tui.memory import CallRow

MOST = 2
"""Rejections of the same call in a turn after which the next one is rejected without asking."""
DECIDER = "repeat"
"""The decider of a call that was rejected without asking."""
REASON = "you rejected this very call twice in this turn"

_Key = tuple[str, str, str]


class RejectedCalls:
    """Counts rejections by server, tool and arguments, in the turn in which the last one was.

    All agents of a turn count together: a plan cannot ask again through another agent.
    """

    def __init__(self) -> None:
        self._turn = ""
        self._counts: Counter[_Key] = Counter()

    def note(self, row: CallRow) -> None:
        """Count a call of an agent that the person rejected."""
        if row.origin == "agent":
            self.recall(row.turn, [(row.server, row.tool, row.args_hash)])

    def recall(self, turn: str, rejected: Iterable[_Key]) -> None:
        """Count what was rejected in a turn; each is a server, a tool and the hash of the arguments."""
        if turn != self._turn:
            self._turn, self._counts = turn, Counter()
        self._counts.update(rejected)

    def too_often(self, row: CallRow) -> bool:
        """Whether a call was rejected so often in its turn that nobody is asked about it again."""
        key = (row.server, row.tool, row.args_hash)
        return row.origin == "agent" and row.turn == self._turn and self._counts[key] >= MOST
