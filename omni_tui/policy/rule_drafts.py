"""Rules that a person may want after looking at a call, the narrowest first.

Every draft matches the call it is made from; whether the call then passes is for the whole policy
to say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omni_tui.policy.argument_condition import ArgumentCondition
from omni_tui.policy.file_paths import is_within
from omni_tui.policy.hosts import host_for_rule
from omni_tui.policy.rule import CallFacts, Rule, RuleOrigin, leaf_places
from omni_tui.policy.rule_table import RuleError, rule_from_table, rule_table
from omni_tui.protocol.rules import RuleWidth

_LONGEST_FIXED = 80
"""Characters of a text that is fixed unasked; a longer one is content rather than a choice."""
_SHALLOWEST = 2
"""Parts that a folder must have to be drafted: `/home` would be too much."""


@dataclass(frozen=True, slots=True)
class ArgumentChoice:
    """One argument of a call that a rule may fix.

    `exact` wants its very value, `wider` its folder or its host (None if there is nothing wider).
    `ticked`: whether it is fixed unless the person says otherwise.
    """

    exact: ArgumentCondition
    wider: ArgumentCondition | None
    ticked: bool

    @property
    def usual(self) -> ArgumentCondition:
        """The condition that is drafted first."""
        return self.wider or self.exact


@dataclass(frozen=True, slots=True)
class DraftedRule:
    """A rule that would match a call, and how wide it is."""

    width: RuleWidth
    rule: Rule


def draft_rules(
    facts: CallFacts,
    taken: Collection[str] = (),
    fixed: Sequence[ArgumentCondition] | None = None,
) -> tuple[DraftedRule, ...]:
    """Return allow rules for a call, the narrowest first. `taken` are the ids that are used already.

    `fixed` are the conditions of the rule that fixes some arguments, None for the usual ones.
    A rule for a tool that may destroy things says so, and always fixes the arguments. Rules hold for who
    called: a rule made from an agent's call does nothing for clients of the gateway.
    """
    base = _for_caller(facts, taken)
    made = [DraftedRule("exact", replace(base, args=tuple(_exact(facts.arguments)), other_args="none"))]
    if fixed is None:
        fixed = [choice.usual for choice in argument_choices(facts.arguments) if choice.ticked]
    if fixed:
        made.append(DraftedRule("fixed", replace(base, args=tuple(fixed))))
    if facts.risk != "destructive":
        made.append(DraftedRule("tool", base))
    if facts.risk == "read":
        every = replace(base, id=_free_id(f"{facts.server}-read", taken), tool=("*",), risk_max="read")
        made.append(DraftedRule("read_only", every))
    return tuple(each for each in made if _works(each.rule, facts))


def argument_choices(arguments: Mapping[str, Any]) -> tuple[ArgumentChoice, ...]:
    """Return what a rule may fix: every value of a call's arguments that contains no other."""
    return tuple(_choice(place, _at(arguments, place)) for place in leaf_places(arguments))


def _for_caller(facts: CallFacts, taken: Collection[str]) -> Rule:
    return Rule(
        id=_free_id(f"{facts.server}-{facts.tool}", taken),
        decision="allow",
        server=(facts.server,),
        tool=(facts.tool,),
        who=(facts.who,),
        clients=(facts.client,) if facts.who == "gateway" and facts.client else (),
        risk_max="destructive" if facts.risk == "destructive" else "",
        created=facts.now,
        origin=RuleOrigin("session", made="card"),
    )


def _works(rule: Rule, facts: CallFacts) -> bool:
    """Whether a rule can be written down and read again, and then matches."""
    if "*" in facts.server + facts.tool + facts.client or "?" in facts.server + facts.tool + facts.client:
        return False  # a glob cannot say it
    try:
        return rule_from_table(rule_table(rule), rule.origin).matches(facts)
    except RuleError:
        return False


def _free_id(wanted: str, taken: Collection[str]) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", wanted).strip("-._")[:56] or "rule"
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _exact(arguments: Mapping[str, Any]) -> Iterator[ArgumentCondition]:
    """Yield conditions that only these arguments meet, if no other argument is allowed."""
    for key, value in arguments.items():
        if _has_null(value):  # TOML has no null
            yield from (_leaf((key, *place), _at(value, place)) for place in leaf_places(value))
            if value is None:
                yield _leaf((key,), None)
        else:
            yield _leaf((key,), value)


def _choice(place: tuple[str | int, ...], value: Any) -> ArgumentChoice:
    exact = _leaf(place, value)
    wider = _wider(exact.path, value) if isinstance(value, str) else None
    short = not isinstance(value, str) or (len(value) <= _LONGEST_FIXED and "\n" not in value)
    return ArgumentChoice(exact, wider, ticked=wider is not None or short)


def _leaf(place: Sequence[str | int], value: Any) -> ArgumentCondition:
    if value is None:
        return ArgumentCondition(_pointer(place), "type", "null")
    return ArgumentCondition(_pointer(place), "eq", value)


def _wider(path: str, value: str) -> ArgumentCondition | None:
    host = host_for_rule(value)
    if host:
        return ArgumentCondition(path, "host_in", (host,))
    folder = _folder(value)
    return ArgumentCondition(path, "path_within", folder) if folder else None


def _folder(path: str) -> str:
    """Return the folder of a path, or itself if it is one; "" for no path, and for one that is too high."""
    if not path.startswith(("/", "~/")) or "\n" in path:
        return ""
    plain = os.path.normpath(path)
    try:
        folder = plain if os.path.isdir(os.path.expanduser(plain)) else os.path.dirname(plain)
    except ValueError:
        return ""
    home = os.path.expanduser("~")
    full = os.path.expanduser(folder)
    deep = len([part for part in full.split("/") if part]) >= _SHALLOWEST
    return folder if deep and full != home and is_within(path, (folder,)) else ""


def _pointer(place: Sequence[str | int]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place)


def _at(value: Any, place: Sequence[str | int]) -> Any:
    for part in place:
        value = value[part]
    return value


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_null, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_null, value))
    return value is None
