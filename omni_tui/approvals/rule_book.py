"""The rules of the files, with their uses: what all sessions of an engine share, and how it is changed."""

from __future__ import annotations

import logging
import os
from asyncio import get_running_loop
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Literal

from omni_tui.approvals.policy import Decision
from omni_tui.config.config_file import remove_rule
from omni_tui.config.layers import read_layer
from omni_tui.config.load import LoadedConfig
from omni_tui.config.sections import stricter
from omni_tui.memory.adopted_rules import AdoptedRules
from omni_tui.memory.rule_uses import RuleUses
from omni_tui.memory.rules_file import RulesFile, RulesFileError
from omni_tui.policy import Rule, rule_digest
from omni_tui.protocol import Mode, UserError
from omni_tui.protocol.events import Notice
from omni_tui.security.text import safe

logger = logging.getLogger(__name__)

MISTAKES = "the policy has mistakes, so no rule can be added; omni-tui policy lint names them"

Version = tuple[int, int, int] | None
"""What changes when a file is written, None if there is none."""


class RuleBook:
    """The rules of the person's file, of the app's own file and of the project.

    `proposals` are the project's allow rules that were not adopted. `broken` says why the app's own file
    cannot be used since a change of another program, "" if it can; then its rules count as they stood, but
    no allow rule does. `tell` is told when that begins and when it ends. Every method that writes may raise
    `OSError` and `RulesFileError`, and changes nothing then.
    """

    def __init__(
        self, loaded: LoadedConfig, pool: Executor, tell: Callable[[Notice], None], *, demo: bool
    ) -> None:
        """Read what was adopted and used before; blocks."""
        state = loaded.paths.state_dir
        self._policy = loaded.config.policy
        self._file = RulesFile(loaded.paths.rules_file)
        self._adopted = AdoptedRules(state)
        self._pool = pool
        self._tell = tell
        self._demo = demo
        self._uses = RuleUses(state)
        self.generation = 0
        self.broken = ""
        self._mistaken = loaded.cautious
        file = str(loaded.paths.project_file or "")
        known = self._adopted.hashes(file) if file else frozenset()
        self._rules = {rule.key: rule for rule in loaded.rules_with(known)}
        self._uses.watch(self._rules.values())
        self.proposals = tuple(rule for rule in loaded.proposals if rule.key not in self._rules)
        self._base: dict[str, dict[Mode, Decision]] = {}
        self._watched = (loaded.paths.rules_file, loaded.paths.config_file, self._adopted.path)
        self._names = tuple(map(str, self._watched))
        self._seen = self._versions()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that count now. Another program's changes of the files count at once."""
        self._look_again()
        return tuple(self._rules.values())

    @property
    def cautious(self) -> bool:
        """Whether the policy has mistakes: no allow rule counts, and every call is asked about."""
        self._look_again()
        return self._is_cautious

    @property
    def _is_cautious(self) -> bool:
        return self._mistaken or bool(self.broken)

    def _look_again(self) -> None:
        """Read the files again that have changed since. Called in the event loop only.

        Of the person's config only rules that were removed count: the rest is read at the next start.
        """
        if self._demo or (now := self._versions()) == self._seen:
            return
        before, self._seen = self._seen, now
        rules = dict(self._rules)
        if now[1] != before[1]:
            rules = self._without_removed(rules)
        if now[2] != before[2]:
            rules = {key: rule for key, rule in rules.items() if self._is_adopted(rule)}
        was_broken = self.broken
        if now[0] != before[0]:
            try:
                rules, self.broken = self._with_card_rules(rules), ""
            except RulesFileError as error:
                self.broken = str(error)
        self._rules = rules
        self._uses.watch(rules.values())
        self._base.clear()
        self.generation += 1
        if bool(self.broken) != bool(was_broken):
            self._say_whether_broken()

    def _with_card_rules(self, rules: dict[str, Rule]) -> dict[str, Rule]:
        """Return the rules with those that the app's own file has now. Raises `RulesFileError`."""
        found = {key: rule for key, rule in rules.items() if rule.origin.made != "card"}
        for rule in self._file.rules():
            if rule.key in found:
                raise RulesFileError(
                    f"{self._file.path} and your config file both have a rule {rule.id}; rename one"
                )
            found[rule.key] = rule
        return found

    def _say_whether_broken(self) -> None:
        if self.broken:
            logger.warning("no allow rule counts any more: %s", self.broken)
            what, why = "no allow rule counts any more, and every call is asked about", self.broken
        elif self._mistaken:
            return
        else:
            what, why = f"{self._file.path.name} can be used again, and so its rules count again", ""
        level: Literal["info", "warning"] = "warning" if self.broken else "info"
        self._tell(Notice(level=level, what=safe(what), why=safe(why, limit=1_000)))

    def _without_removed(self, rules: dict[str, Rule]) -> dict[str, Rule]:
        """Return the rules without those that left the person's config; a broken file changes nothing."""
        layer = read_layer(self._watched[1], required=False)
        if layer.problems:
            return rules
        left = {rule.id for rule in layer.rules}
        own = ("user", "file")
        return {
            key: rule
            for key, rule in rules.items()
            if (rule.origin.scope, rule.origin.made) != own or rule.id in left
        }

    def _is_adopted(self, rule: Rule) -> bool:
        """Whether a rule needs no adoption, or has it."""
        if rule.origin.scope != "project" or rule.decision != "allow":
            return True
        return rule_digest(rule) in self._adopted.hashes(rule.origin.file)

    def _versions(self) -> tuple[Version, ...]:
        return tuple(map(_version, self._names))

    @property
    def uses(self) -> Mapping[str, int]:
        """How often each rule was used, by `Rule.key`."""
        return self._uses.counts

    def last_used(self, rule: Rule) -> float | None:
        """Return when a rule was used last, in Unix seconds, None if never."""
        return self._uses.last(rule.key)

    def base(self, server: str) -> Mapping[Mode, Decision]:
        """Return what each mode does with the calls of a server that no rule decides on.

        As the files were when `rules` or `cautious` was read last: who decides reads these first.
        """
        least: Decision = "ask" if self._is_cautious else "allow"
        if server not in self._base:
            decisions = self._policy.decisions_for(server)
            self._base[server] = {mode: stricter(each, least) for mode, each in decisions.items()}
        return self._base[server]

    def trusts(self, server: str) -> bool:
        """Whether the person trusts what a server returns."""
        return server in self._policy.servers and self._policy.servers[server].trusted

    def watch_uses(self, rules: Iterable[Rule], *, new: bool) -> None:
        """Take note of rules of a session whose uses are limited, before they count."""
        self._uses.watch(rules, new=new)

    def lost_uses(self) -> Notice | None:
        """Return what the person should know of uses that are lost, None if nothing."""
        if not (over := self._uses.over):
            return None
        path = self._uses.path
        what = f"{path} was damaged, so allow rules with max_uses count as used up ({over})"
        todo = f"make them anew, or delete {path.name} and {path.name}.damaged to count from 0 again"
        return Notice(level="warning", what=safe(what, limit=1_000), todo=safe(todo))

    def count(self, rules: Iterable[Rule]) -> None:
        """Count a use of these rules now."""
        self._uses.count(rule.key for rule in rules)

    async def save_uses(self) -> None:
        """Write the uses to disk."""
        before = self._uses.over
        await get_running_loop().run_in_executor(self._pool, self._uses.save)
        if self._uses.over > before and (lost := self.lost_uses()):
            self._tell(lost)

    async def add(self, rule: Rule) -> Rule:
        """Write a rule into the app's own file; return it with its place."""
        if self._demo:
            raise UserError("the demo keeps no rules for good; make it for this session")
        if self.cautious:
            raise UserError(MISTAKES)
        taken = {each.id for each in self._rules.values() if each.origin.scope == "user"}
        saved = await get_running_loop().run_in_executor(self._pool, self._file.add, rule, taken)
        self._uses.watch([saved])
        self._rules[saved.key] = saved
        self.generation += 1
        self._look_again()  # another program may have changed the file just before
        return saved

    async def revoke(self, rule: Rule) -> None:
        """Remove a rule from its file, or withdraw the adoption of a project's."""
        loop = get_running_loop()
        if rule.origin.scope == "project":
            await loop.run_in_executor(self._pool, self._adopted.withdraw, rule)
            self.proposals = (*self.proposals, rule)
        elif rule.origin.made == "card":
            await loop.run_in_executor(self._pool, self._file.remove, rule.id)
        else:
            await loop.run_in_executor(self._pool, remove_rule, Path(rule.origin.file), rule.id)
        self._rules.pop(rule.key, None)
        self.generation += 1
        self._look_again()

    async def adopt(self, rule: Rule) -> None:
        """Let an allow rule of the project count."""
        await get_running_loop().run_in_executor(self._pool, self._adopted.adopt, rule)
        self.proposals = tuple(each for each in self.proposals if each.key != rule.key)
        self._uses.watch([rule])
        self._rules[rule.key] = rule
        self.generation += 1


def _version(path: str) -> Version:
    """Return what changes when a file is written, None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
