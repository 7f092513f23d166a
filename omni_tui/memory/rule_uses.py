"""How often each rule of the policy was used, and when last: a small file that several engines share."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from omni_tui.memory.private_files import FileLock, private_dir
from omni_tui.memory.state_file import StateFile
from omni_tui.policy import Rule

logger = logging.getLogger(__name__)

FILE_NAME = "rule-uses.json"
LARGEST_FILE = 16 * 1024 * 1024
"""In bytes: more than the uses of all rules that the files can hold."""


class RuleUse(msgspec.Struct, frozen=True, kw_only=True):
    """The uses of one rule. `last` in Unix seconds."""

    count: int = 0
    last: float = 0.0


class _Uses(msgspec.Struct, kw_only=True):
    """`lost`: when uses before were lost last, in Unix seconds, 0 if never."""

    rules: dict[str, RuleUse] = {}
    lost: float = 0.0


class RuleUses:
    """The uses by the rules' keys. `counts` has those of this engine at once, those of others from a save
    on.

    If the file is damaged, nobody knows how often a rule was used: allow rules with `max_uses` that were
    made before count as used up, `over` of them. That is kept in the new file.
    """

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / FILE_NAME, _Uses, LARGEST_FILE)
        self._limited: dict[str, Rule] = {}
        self._unsaved: dict[str, RuleUse] = {}
        found = self._file.read()
        self._known = found.rules
        self._lost = time.time() if self._file.lost else found.lost
        self.counts = {key: use.count for key, use in self._known.items()}
        if self._file.lost == "set aside":
            try:
                self.save()
            except OSError:
                logger.exception("%s cannot be written", self._file.path)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def over(self) -> int:
        """How many allow rules count as used up since their uses are lost."""
        return sum(rule.created <= self._lost for rule in self._limited.values()) if self._lost else 0

    def watch(self, rules: Iterable[Rule], *, new: bool = False) -> None:
        """Take note of the rules whose uses are limited, before they count. `new`: made just now."""
        for rule in rules:
            if rule.decision != "allow" or not rule.max_uses:
                continue
            self._limited[rule.key] = rule
            if rule.origin.session and rule.key not in self.counts:
                # Earlier versions counted the rules of all sessions together.
                before = None if new else self._known.get(f"{rule.origin.scope}:{rule.id}")
                self._unsaved[rule.key] = before or RuleUse()
            self.counts[rule.key] = max(self.counts.get(rule.key, 0), self._counted(rule.key))

    def _counted(self, key: str) -> int:
        known, fresh = self._known.get(key, RuleUse()), self._unsaved.get(key, RuleUse())
        rule = self._limited.get(key)
        least = rule.max_uses if rule is not None and self._lost and rule.created <= self._lost else 0
        return max(known.count + fresh.count, least)

    def count(self, keys: Iterable[str]) -> None:
        """Count a use of each rule now."""
        for key in keys:
            fresh = self._unsaved.get(key, RuleUse())
            self._unsaved[key] = RuleUse(count=fresh.count + 1, last=time.time())
            self.counts[key] = self.counts.get(key, 0) + 1

    def last(self, key: str) -> float | None:
        """Return when a rule was used last, in Unix seconds, None if never."""
        found = self._unsaved.get(key) or self._known.get(key)
        return (found.last or None) if found else None

    def save(self) -> None:
        """Add what was counted here to the file. Blocks; raises `OSError`, also if it cannot be read."""
        private_dir(self._file.path.parent)
        with self._file.lock, FileLock(self._file.path.with_suffix(".lock")):
            fresh, self._unsaved = self._unsaved, {}
            if not fresh and self._file.lost != "set aside":
                return
            try:
                found = self._file.read()
                if self._file.lost == "unreadable":
                    raise OSError(f"{self._file.path} cannot be read, so it is left as it is")
                if self._file.lost:
                    found.rules, found.lost = dict(self._known), time.time()
                for key, use in fresh.items():
                    before = found.rules.get(key, RuleUse())
                    found.rules[key] = RuleUse(count=before.count + use.count, last=use.last)
                self._file.write(found)
            except OSError:
                self._unsaved = fresh
                raise
            self._known, self._lost = found.rules, found.lost
            self._file.lost = ""
            for key in [*found.rules, *self._limited]:
                self.counts[key] = self._counted(key)
