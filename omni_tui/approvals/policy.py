"""The decision on a proposed call before anybody is asked: a pure function.

The severest of all matching rules decides; where none allows, the config's decision for the mode holds
too. Everything else can only make that stricter (allow → ask → deny).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from omni_tui.policy import SEVERITY, CallFacts, Rule, RuleSet, RuleVerdict, outside_words
from omni_tui.protocol import Mode
from omni_tui.protocol.events import Risk

Decision = Literal["allow", "ask", "deny"]
Origin = Literal["agent", "hand"]
Trust = Literal["unchanged", "new", "changed"]

NO_RULES = RuleSet()

COVERS: dict[Mode, str] = {
    "chat": "every call is asked about",
    "auto": (
        "calls run unasked on servers you allowed whose definitions are unchanged; "
        "tools that may destroy are asked about"
    ),
    "orchestrator": "the plan is asked about first; then as in auto",
}


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """All that a decision may depend on.

    `mode` is the mode of the message that the turn answers, `now` the mode of this moment (None: the
    same). `loosened` says what the person allowed only after that message, "" if nothing that matters.
    """

    mode: Mode
    origin: Origin
    risk: Risk
    server_trust: Trust
    tool_trust: Trust
    confirmed: bool = False
    unchecked: str = ""
    """Why the arguments could not be checked against the schema; "" if they were."""
    unplanned: bool = False
    """Whether it stands in for a call of a plan's agent, which the approved plan gave other tools."""
    now: Mode | None = None
    loosened: str = ""
    cautious: bool = False
    """Whether the policy has mistakes: then every call is asked about."""
    imitation: bool = False
    """Whether the tool's name passes for that of another by characters that are not what they seem."""
    call: CallFacts = field(default_factory=partial(CallFacts, "", ""))
    """What rules may look at."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """A decision and its reasons for the person. `held`: a change must be accepted first.

    `mode` is the mode that decided, None for a call by hand.
    """

    decision: Decision
    decider: str
    why: tuple[str, ...] = field(default=())
    held: bool = False
    mode: Mode | None = None
    rules: tuple[Rule, ...] = ()
    """The rules that decided, by id."""


def assess(base: Mapping[Mode, Decision], facts: DecisionFacts, rules: RuleSet = NO_RULES) -> Assessment:
    """Decide on a call. `base` is the decision of each mode for a call that no rule allows.

    An agent's call is judged under the mode of its turn and under the mode of now; the stricter
    decision counts. A change of mode therefore tightens at once, and loosens only for later messages.
    """
    why = _concerns(facts)
    held = "changed" in (facts.server_trust, facts.tool_trust)
    if facts.origin == "hand":
        return _by_hand(facts, rules, why, held)
    if facts.loosened:
        why.append(facts.loosened)
    under_turn = _by_agent(base, facts.mode, facts, rules, why, held)
    if facts.now is None or facts.now == facts.mode:
        return under_turn
    under_now = _by_agent(base, facts.now, facts, rules, [*why, *_without_plan(facts)], held)
    if under_turn.decision == under_now.decision == "allow":
        # Each needs its own rules: all of them are used.
        return replace(under_turn, rules=tuple(dict.fromkeys((*under_turn.rules, *under_now.rules))))
    return max(under_turn, under_now, key=lambda each: SEVERITY[each.decision])


def _concerns(facts: DecisionFacts) -> list[str]:
    """Return why a call must be looked at, whatever mode and rules say."""
    why: list[str] = []
    if facts.cautious:
        why.append("the policy has mistakes, so every call is asked about")
    if facts.server_trust == "changed":
        what = "the way this server is started or reached, or what it says about its use,"
        why.append(f"{what} has changed since you last used it")
    if facts.tool_trust == "changed":
        why.append("the server has changed this tool's definition since you last used it")
    if facts.tool_trust == "new":
        why.append("the server did not have this tool when you first connected it")
    if facts.imitation:
        why.append("its name passes for that of another tool, with characters that are not what they seem")
    if facts.unchecked:
        why.append(f"the arguments could not be checked: {facts.unchecked}")
    if facts.unplanned:
        why.append("the plan does not give this tool to this agent; it replaces another one")
    return why


def _without_plan(facts: DecisionFacts) -> tuple[str, ...]:
    """Return why orchestrator mode asks about a call that belongs to no plan."""
    if facts.now != "orchestrator":
        return ()
    return ("orchestrator mode asks about a plan first, and this call belongs to none",)


def _by_hand(facts: DecisionFacts, rules: RuleSet, why: list[str], held: bool) -> Assessment:
    """Decide on a call by hand: it is allowed, but what is dangerous or has changed is asked once more.

    A rule that denies counts; one that asks is a reason to ask once more.
    """
    verdict = rules.decide(facts.call)
    if verdict.decision == "deny":
        return _denied(verdict, held, None)
    if verdict.decision == "ask":
        why += _asking(verdict, facts.call)
    if facts.risk == "destructive":
        why.append("this tool may destroy things")
    if why and not facts.confirmed:
        return Assessment("ask", "user (by hand)", tuple(why), held)
    return Assessment("allow", "user (by hand)", tuple(why), held)


def _by_agent(
    base: Mapping[Mode, Decision],
    mode: Mode,
    facts: DecisionFacts,
    rules: RuleSet,
    found: list[str],
    held: bool,
) -> Assessment:
    verdict = rules.decide(replace(facts.call, mode=mode))
    decision = verdict.with_base(base[mode])
    if decision == "deny":
        if verdict.decision == "deny":
            return _denied(verdict, held, mode)
        return Assessment("deny", "mode", (f"{mode} mode is set to deny every call",), held, mode)
    why = list(found)
    allowing = tuple(each for each in verdict.rules if each.decision == "allow")
    decider = rule_decider(allowing[0]) if allowing else "mode"
    if decision == "ask":
        by_rule = verdict.decision == "ask"
        why += _asking(verdict, facts.call) if by_rule else [f"{mode} mode asks for every call"]
        decider = rule_decider(verdict.deciding[0]) if by_rule else "mode"
        return Assessment("ask", decider, tuple(why), held, mode, verdict.deciding if by_rule else ())
    if facts.risk == "destructive" and not allowing:
        why.append(f"this tool may destroy things, and {mode} mode asks before that")
    return Assessment("ask" if why else "allow", decider, tuple(why), held, mode, allowing)


def _denied(verdict: RuleVerdict, held: bool, mode: Mode | None) -> Assessment:
    rule = verdict.deciding[0]
    words = rule.message or f'the rule "{rule.id}" denies it'
    return Assessment("deny", rule_decider(rule), (words,), held, mode, verdict.deciding)


def _asking(verdict: RuleVerdict, call: CallFacts) -> list[str]:
    return [_asks(rule, call) for rule in verdict.deciding]


def _asks(rule: Rule, call: CallFacts) -> str:
    words = outside_words(rule, sure=rule.is_surely_outside(call))
    because = f", because {words}" if words else ""
    return f'the rule "{rule.id}" asks about it ({rule.origin.place}){because}'


_BY_RULE = "rule:"


def rule_decider(rule: Rule) -> str:
    """Return how a rule is named as the decider of a call."""
    return f"{_BY_RULE}{rule.id}"


def is_of_policy(decider: str) -> bool:
    """Whether a decider is a mode or a rule, whose decision ends when it changes, and not the person."""
    return decider == "mode" or decider.startswith(_BY_RULE)
