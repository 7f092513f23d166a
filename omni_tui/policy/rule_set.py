"""All rules that count at one moment, and the decision they come to together.

The severest of all matching rules decides; the order of rules and of files means nothing. A base decision
counts unless an allow rule matches. So adding a deny or ask rule, or removing an allow rule, never lets
more through.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from omni_tui.policy.argument_index import ArgumentIndex
from omni_tui.policy.pattern_index import PatternIndex
from omni_tui.policy.rule import SEVERITY, CallFacts, Rule, RuleDecision

_REMEMBERED = 2_048
"""Tools whose rules are remembered."""
_FEW = 16
"""Rules for one tool that are tried one by one; more are looked up by an argument."""
_MOST_ENTRIES = 256
"""Entries of one rule in the index; one with more names is looked at for every call."""


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What the rules say to a call: `decision` is None if none matches. `rules` are all that match."""

    decision: RuleDecision | None
    rules: tuple[Rule, ...] = ()

    @property
    def deciding(self) -> tuple[Rule, ...]:
        """The rules that the decision comes from, by id."""
        return tuple(each for each in self.rules if each.decision == self.decision)

    def with_base(self, base: RuleDecision) -> RuleDecision:
        """Return the decision together with that of the mode: it counts unless an allow rule matches."""
        if self.decision is None:
            return base
        if any(each.decision == "allow" for each in self.rules):
            return self.decision
        return max(self.decision, base, key=lambda each: SEVERITY[each])


class RuleSet:
    """An immutable set of rules, with an index of the names of servers and tools."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = tuple(sorted(rules, key=_in_order))
        self._tools: PatternIndex[PatternIndex[Rule]] = PatternIndex()
        self._of_server: dict[str, PatternIndex[Rule]] = {}
        self._remembered: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._by_argument: dict[tuple[str, str], ArgumentIndex] = {}
        for rule in self.rules:
            self._add(rule)

    def _add(self, rule: Rule) -> None:
        many = len(rule.server) * len(rule.tool) > _MOST_ENTRIES
        for server in ("*",) if many else dict.fromkeys(rule.server):
            if server not in self._of_server:
                self._of_server[server] = PatternIndex()
                self._tools.add(server, self._of_server[server])
            for tool in ("*",) if many else dict.fromkeys(rule.tool):
                self._of_server[server].add(tool, rule)

    def about(self, server: str, tool: str) -> tuple[Rule, ...]:
        """Return the rules that name a tool, whatever else they ask for."""
        known = self._remembered.get((server, tool))
        if known is not None:
            return known
        near = {id(rule): rule for tools in self._tools.find(server) for rule in tools.find(tool)}
        rules = tuple(sorted((rule for rule in near.values() if rule.names(server, tool)), key=_in_order))
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
            self._by_argument.clear()
        self._remembered[(server, tool)] = rules
        if len(rules) > _FEW:
            self._by_argument[(server, tool)] = ArgumentIndex(rules)
        return rules

    def matches(self, facts: CallFacts) -> tuple[Rule, ...]:
        """Return all rules that match a call, in the order of their ids."""
        rules: Iterable[Rule] = self.about(facts.server, facts.tool)
        index = self._by_argument.get((facts.server, facts.tool))
        if index is not None:
            rules = sorted(index.find(facts.arguments), key=_in_order)
        return tuple(rule for rule in rules if rule.fits(facts))

    def decide(self, facts: CallFacts) -> RuleVerdict:
        """Return what the rules say to a call."""
        rules = self.matches(facts)
        decision = max((each.decision for each in rules), key=lambda each: SEVERITY[each], default=None)
        return RuleVerdict(decision, rules)

    def hiding(self, facts: CallFacts) -> tuple[Rule, ...]:
        """Return the deny rules that forbid a tool whatever its arguments: the model need not see it.

        `facts` says who would call; its arguments are not looked at.
        """
        return tuple(
            rule
            for rule in self.about(facts.server, facts.tool)
            if rule.decision == "deny" and not rule.args and not rule.outside and rule.fits_caller(facts)
        )

    def without_allows(self) -> RuleSet:
        """Return the rules of an unreadable policy: what denies or asks still holds."""
        return RuleSet(rule for rule in self.rules if rule.decision != "allow")


def _in_order(rule: Rule) -> tuple[str, str, str, int]:
    return (rule.id, rule.origin.scope, rule.origin.file, rule.origin.line)
