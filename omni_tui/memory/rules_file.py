"""The app's own `rules.toml`: rules made from a card, beside the person's config file.

It is read again before each change and replaced as a whole, under a lock, since another omni-tui may have
written it. A file that cannot be read is copied aside and left alone: until it is repaired, every call is
asked about, and nothing is added to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from omni_tui.config.layers import LARGEST_RULES_FILE, read_rules_file
from omni_tui.config.policy_rules import MOST_RULES
from omni_tui.memory.private_files import FileLock, write_atomic
from omni_tui.policy import Rule, RuleOrigin, rule_from_table, rule_table, rule_toml

_HEAD = (
    "# Rules that you made in Omni TUI. The app rewrites this file; your comments in it are lost.\n"
    "# `omni-tui policy list` shows every rule, `omni-tui policy revoke ID` removes one.\n\n"
)


class RulesFileError(Exception):
    """The rules were not changed; the text says why and what to do."""


class RulesFile:
    """The rules in one `rules.toml`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules as they are now. Raises `RulesFileError`."""
        layer = read_rules_file(self.path)
        if layer.problems:
            first = layer.problems[0]
            kept = self._keep_copy()
            raise RulesFileError(
                f"{self.path} cannot be used: {first.what} ({first.where}). Until it is repaired every "
                f"call is asked about, and no rule can be saved. {kept}Correct the file, or delete it."
            )
        return layer.rules

    def add(self, rule: Rule, taken: Collection[str] = ()) -> Rule:
        """Save a rule for good, and return it as it was saved. `taken` are the ids in the person's file.

        Raises `RulesFileError`, also if another rule has its id, and `RuleError` for a rule that could not
        be read again.
        """
        saved = rule_from_table(rule_table(rule), RuleOrigin("user", str(self.path), 0, "card"))

        def change(rules: Sequence[Rule]) -> list[Rule]:
            if rule.id in taken or any(each.id == rule.id for each in rules):
                raise RulesFileError(f"there is a rule {rule.id} already; give the new one another id")
            return [*rules, saved]

        return next(each for each in self._change(change) if each.id == rule.id)

    def remove(self, rule_id: str) -> bool:
        """Remove a rule; return False if there is none. Raises `RulesFileError`."""
        found = False

        def change(rules: Sequence[Rule]) -> list[Rule]:
            nonlocal found
            left = [each for each in rules if each.id != rule_id]
            found = len(left) < len(rules)
            return left

        self._change(change)
        return found

    def _change(self, change: Callable[[Sequence[Rule]], list[Rule]]) -> tuple[Rule, ...]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")):
                before = self.rules()
                after = change(before)
                if list(before) != after:
                    text = _HEAD + "\n".join(map(rule_toml, after))
                    data = text.encode()
                    if len(data) > LARGEST_RULES_FILE or len(after) > MOST_RULES:
                        raise RulesFileError(f"{self.path} is full; revoke rules that you do not need")
                    write_atomic(self.path, data)
                return self.rules()
        except OSError as error:
            why = error.strerror or str(error)
            raise RulesFileError(
                f"{self.path} cannot be written: {why}; check the folder's rights"
            ) from error

    def _keep_copy(self) -> str:
        """Keep a copy of a file that cannot be used, under the name that is returned."""
        aside = self.path.with_name(f"{self.path.name}.damaged")
        with contextlib.suppress(OSError):
            write_atomic(aside, self.path.read_bytes())
            return f"A copy is kept as {aside.name}. "
        return ""
