"""What is wrong with rules that can be read: they do nothing, or less than they seem to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain
from typing import Literal

from omni_tui.policy.glob import composed, is_glob, matches_any, matches_glob
from omni_tui.policy.rule import RISK_ORDER, SEVERITY, CallFacts, Rule, RuleOrigin
from omni_tui.policy.rule_set import RuleSet

FindingKind = Literal[
    "expired", "used_up", "duplicate", "shadowed",
    "excluded",  # `except_tool` leaves out every tool that it names
    "no_server", "no_tool",
    "untrusted",  # it goes by claims of servers that are not trusted, and these do not count
    "name",  # one of its names matches nothing, others do
    "some_untrusted",  # as `untrusted`, for some of its servers
    "less_severe",  # it denies, but not the most dangerous calls
]  # fmt: skip
_REMARKS: frozenset[FindingKind] = frozenset(("some_untrusted", "less_severe"))
_NAMES = 3
"""Names that a finding lists."""


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """What is odd about a rule, in words. `other` is the rule that makes it needless."""

    rule: Rule
    kind: FindingKind
    text: str
    other: Rule | None = None

    @property
    def idle(self) -> bool:
        """Whether the rule does nothing at all."""
        return self.kind not in ("name", *_REMARKS)

    @property
    def is_mistake(self) -> bool:
        """Whether it can hardly be meant so. A pattern without a tool may stand there for one to come."""
        for_later = self.kind == "no_tool" and any(map(is_glob, self.rule.tool))
        return self.kind not in _REMARKS and not for_later


def check_rules(
    rules: Iterable[Rule],
    *,
    now: float = 0.0,
    uses: Mapping[str, int] | None = None,
    servers: Collection[str] | None = None,
    tools: Mapping[str, Collection[str]] | None = None,
    trusted: Collection[str] = (),
) -> tuple[RuleFinding, ...]:
    """Return what is found, in the order of the ids: why a rule does nothing, or what it does not do.

    `servers` are the configured servers, `tools` the known tools of each server of which they are known;
    None if not known. `trusted` are the servers whose claims count. `uses` says how often each rule was
    used, by `Rule.key`.
    """
    every = RuleSet(rules)
    facts = CallFacts("", "", now=now, uses=uses or {})
    live = RuleSet(rule for rule in every.rules if not rule.is_over(facts))
    known = _Known(servers, tools, frozenset(trusted))
    return tuple(chain.from_iterable(_found(rule, facts, live, known) for rule in every.rules))


class _Known:
    """Servers and tools as `check_rules` gets them. What rules of the same servers have is found once."""

    def __init__(
        self,
        servers: Collection[str] | None,
        tools: Mapping[str, Collection[str]] | None,
        trusted: frozenset[str],
    ) -> None:
        self.servers = servers
        self.trusted = trusted
        self._tools = tools
        self._of: dict[tuple[str, ...], frozenset[str] | None] = {}

    def servers_of(self, rule: Rule) -> list[str]:
        """Return the configured servers that a rule is about, in order."""
        return sorted(name for name in self.servers or () if matches_any(rule.server, name))

    def tools_of(self, rule: Rule) -> frozenset[str] | None:
        """Return the tools of a rule's servers, composed; None if those of one of them are not known."""
        if rule.server not in self._of:
            self._of[rule.server] = self._tools_of(self.servers_of(rule))
        return self._of[rule.server]

    def _tools_of(self, servers: Iterable[str]) -> frozenset[str] | None:
        if self.servers is None or self._tools is None or any(name not in self._tools for name in servers):
            return None
        return frozenset(composed(tool) for name in servers for tool in self._tools[name])


def _found(rule: Rule, facts: CallFacts, live: RuleSet, known: _Known) -> Iterator[RuleFinding]:
    idle = (
        _over(rule, facts)
        or _excluded(rule)
        or _needless(rule, live)
        or _unknown(rule, known)
        or _untrusted(rule, known)
    )
    if idle is not None:
        yield idle
    if idle is None or not idle.idle:
        yield from _unknown_names(rule, known)
        yield from _less_severe(rule)


def _over(rule: Rule, facts: CallFacts) -> RuleFinding | None:
    if not rule.is_over(facts):
        return None
    if rule.expires and facts.now >= rule.expires:
        return RuleFinding(rule, "expired", "it has expired")
    return RuleFinding(
        rule, "used_up", f"it has been used {facts.uses[rule.key]} times, which was its limit"
    )


def _needless(rule: Rule, live: RuleSet) -> RuleFinding | None:
    """Find a rule that decides the same or more severely whenever this one matches."""
    for other in live.about(_example(rule.server), _example(rule.tool)):
        if other is rule or not covers(other, rule):
            continue
        if _content(other) == _content(rule):
            if _place(other) < _place(rule):
                return RuleFinding(rule, "duplicate", f"it says the same as {_name(other)}", other)
            continue
        if other.decision == rule.decision and covers(rule, other) and _place(other) > _place(rule):
            continue  # each covers the other: only the later one is needless
        return RuleFinding(rule, "shadowed", f"{_name(other)} {other.decision}s all of it", other)
    return None


def _excluded(rule: Rule) -> RuleFinding | None:
    if all(any(_covers_glob(less, each) for less in rule.except_tool) for each in rule.tool):
        return RuleFinding(rule, "excluded", "`except_tool` leaves out every tool that it names")
    return None


def _unknown(rule: Rule, known: _Known) -> RuleFinding | None:
    if known.servers is not None and not known.servers_of(rule):
        hint = _meant(rule.server, known.servers)
        return RuleFinding(rule, "no_server", f"no configured server has a name that it matches{hint}")
    tools = known.tools_of(rule)
    if tools is None or any(
        matches_any(rule.tool, tool) and not matches_any(rule.except_tool, tool) for tool in tools
    ):
        return None
    hint = _meant(rule.tool, tools)
    return RuleFinding(rule, "no_tool", f"no tool of its servers has a name that it matches{hint}")


def _untrusted(rule: Rule, known: _Known) -> RuleFinding | None:
    """Find an allow rule for calls of low risk where the risk is never low for sure (`CallFacts.risk`)."""
    reach = known.servers_of(rule)
    unsure = [name for name in reach if name not in known.trusted]
    if rule.decision != "allow" or RISK_ORDER[rule.highest_risk] >= RISK_ORDER["unknown"] or not unsure:
        return None
    claims = f'`risk_max = "{rule.highest_risk}"` goes by what a server claims of its tools'
    if len(unsure) == len(reach):
        whose = f"{unsure[0]} is" if len(unsure) == 1 else "none of its servers is"
        words = f"{claims}, and {whose} not trusted"
        return RuleFinding(rule, "untrusted", f"{words}: trust it, or name the tools without `risk_max`")
    are = "is" if len(unsure) == 1 else "are"
    words = f"{claims}, so it matches no call of {_listed(unsure)}, which {are} not trusted"
    return RuleFinding(rule, "some_untrusted", words)


def _unknown_names(rule: Rule, known: _Known) -> Iterator[RuleFinding]:
    """Find single names of nothing: a slip of the pen goes unnoticed beside others that do."""
    tools = known.tools_of(rule)
    for what, names, there in (("server", rule.server, known.servers), ("tool", rule.tool, tools)):
        if there is None or len(names) < 2:
            continue
        for name in names:
            if not is_glob(name) and composed(name) not in there:
                whose = "configured server" if what == "server" else "tool of its servers"
                yield RuleFinding(rule, "name", f"no {whose} is called {name}{_meant((name,), there)}")


def _less_severe(rule: Rule) -> Iterator[RuleFinding]:
    if rule.decision == "deny" and rule.highest_risk != "destructive":
        words = f'with `risk_max = "{rule.highest_risk}"` it does not deny what may destroy things'
        yield RuleFinding(rule, "less_severe", f"{words}: `risk_max` is the highest risk that it covers")


def _meant(names: Iterable[str], known: Collection[str]) -> str:
    """Return a question for the nearest known name, "" if none is near."""
    near = [match for name in names for match in get_close_matches(name, known, 1)]
    return f"; did you mean {near[0]}?" if near else ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def covers(wide: Rule, narrow: Rule) -> bool:
    """Whether one rule is at least as severe, and certainly matches every call that another matches."""
    return (
        SEVERITY[wide.decision] >= SEVERITY[narrow.decision]
        and _covers_names(wide, narrow)
        and _covers_callers(wide, narrow)
        and _covers_arguments(wide, narrow)
        and not wide.max_uses
        and (not wide.expires or bool(narrow.expires and narrow.expires <= wide.expires))
    )


def _covers_names(wide: Rule, narrow: Rule) -> bool:
    excepted = all(
        any(_covers_glob(less, each) for less in narrow.except_tool)
        or not any(is_glob(tool) or matches_glob(each, tool) for tool in narrow.tool)
        for each in wide.except_tool
    )
    return excepted and _covers_globs(wide.server, narrow.server) and _covers_globs(wide.tool, narrow.tool)


def _covers_callers(wide: Rule, narrow: Rule) -> bool:
    return (
        _includes(wide.modes, narrow.modes)
        and _includes(wide.who, narrow.who)
        and (not wide.agents or (bool(narrow.agents) and _covers_globs(wide.agents, narrow.agents)))
        and (not wide.clients or (bool(narrow.clients) and _covers_globs(wide.clients, narrow.clients)))
        and RISK_ORDER[wide.highest_risk] >= RISK_ORDER[narrow.highest_risk]
    )


def _covers_arguments(wide: Rule, narrow: Rule) -> bool:
    same = wide.args == narrow.args and narrow.other_args == "none"
    return (
        (narrow.outside or not wide.outside)
        and all(each in narrow.args for each in wide.args)
        and (wide.other_args == "any" or same)
    )


def _includes(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    return not wide or (bool(narrow) and set(narrow) <= set(wide))


def _covers_globs(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    return all(any(_covers_glob(each, one) for each in wide) for one in narrow)


def _covers_glob(wide: str, narrow: str) -> bool:
    """Whether a glob certainly matches all that another one matches."""
    if composed(wide) == composed(narrow):
        return True
    # A star of the wide one takes stars and question marks of the narrow one as letters.
    return not ("?" in wide and "*" in narrow) and matches_glob(wide, narrow)


def _example(patterns: tuple[str, ...]) -> str:
    """Return a name that the first of some globs matches."""
    return patterns[0].replace("*", "").replace("?", "x")


def _content(rule: Rule) -> Rule:
    """Return what a rule does, without what it is called and where it stands."""
    return replace(rule, id="", message="", created=0.0, tests=(), origin=RuleOrigin())


def _place(rule: Rule) -> tuple[str, str, int]:
    return (rule.id, rule.origin.file, rule.origin.line)


def _name(rule: Rule) -> str:
    return f"the rule {rule.id} ({rule.origin.place})"
