"""Properties of all sets of rules: order means nothing, and what restricts never loosens."""

from __future__ import annotations

import random
import tomllib
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from omni_tui.policy import (
    SEVERITY,
    ArgumentCondition,
    CallFacts,
    Rule,
    RuleOrigin,
    RuleScope,
    RuleSet,
    covers,
    draft_rules,
    everything_outside,
    nothing_outside,
    rule_from_table,
    rule_table,
    rule_toml,
    unclear_outside,
)
from omni_tui.policy.argument_condition import OPERATORS, Operator
from omni_tui.policy.argument_index import ArgumentIndex
from omni_tui.policy.rule import RISK_ORDER, RuleDecision
from omni_tui.policy.rule_table import ASKERS, DECISIONS, MODES, RuleError
from tests.lengths import examples

NAMES = st.sampled_from(["a", "ab", "abc", "b", "é", "e\u0301"])
PATTERNS = st.sampled_from(["*", "a*", "?", "a?", "ab", "*b*", "abc", "é", "b"])
SOME_PATTERNS = st.lists(PATTERNS, max_size=2).map(tuple)
TEXTS = ["a", "ab", "/a", "https://a"]
KEYS = st.sampled_from(["a", "b", "*"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-2, 2)
    | st.sampled_from(["a", "ab", "/a", "https://a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "*"]), inner, max_size=3)
    ),
    max_leaves=6,
)
VALUES: dict[Operator, Any] = {
    "eq": JSON.filter(lambda value: value is not None),
    "ne": st.integers(-1, 1),
    "in": st.just(("a", 1)),
    "not_in": st.just(("a", True)),
    "prefix": st.just("a"),
    "glob": PATTERNS,
    "regex": st.just("a+b?"),
    "lt": st.integers(-1, 1),
    "le": st.floats(-1, 1),
    "gt": st.integers(-1, 1),
    "ge": st.integers(-1, 1),
    "max_length": st.integers(0, 2),
    "type": st.sampled_from(["string", "null", "array"]),
    "present": st.none(),
    "outside": st.none(),
    "absent": st.none(),
    "path_within": st.just("/a"),
    "host_in": st.just("a"),
}
SCOPES: tuple[RuleScope, ...] = ("user", "project", "session")
PATHS = st.sampled_from(["/a", "/b", "/a/b", "/a/*", "/a/0", "/*", "/a/*/b"])


@st.composite
def conditions(draw: st.DrawFn) -> ArgumentCondition:
    op = draw(st.sampled_from(OPERATORS))
    return ArgumentCondition(draw(PATHS), op, draw(VALUES[op]))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    decision: RuleDecision = draw(st.sampled_from(DECISIONS))
    return Rule(
        id=draw(st.sampled_from(["a", "b", "c"])),
        decision=decision,
        server=draw(SOME_PATTERNS) or ("*",),
        tool=draw(SOME_PATTERNS) or ("*",),
        except_tool=draw(SOME_PATTERNS),
        modes=tuple(draw(st.lists(st.sampled_from(MODES), max_size=2))),
        agents=draw(SOME_PATTERNS),
        who=tuple(draw(st.lists(st.sampled_from(ASKERS), max_size=3))),
        clients=draw(st.sampled_from([(), ("a*",)])),
        risk_max=draw(st.sampled_from(["", "", *RISK_ORDER])),
        args=tuple(draw(st.lists(conditions(), max_size=2))),
        other_args=draw(st.sampled_from(["any", "none"])) if decision == "allow" else "any",
        outside=draw(st.booleans()),
        expires=draw(st.sampled_from([0.0, 5.0, 15.0])),
        max_uses=draw(st.sampled_from([0, 0, 1, 3])) if decision == "allow" else 0,
        origin=RuleOrigin(
            draw(st.sampled_from(["user", "project", "session"])), draw(st.sampled_from(["", "f", "g"]))
        ),
    )


@st.composite
def calls(draw: st.DrawFn) -> CallFacts:
    return CallFacts(
        server=draw(NAMES),
        tool=draw(NAMES),
        arguments=draw(st.dictionaries(st.sampled_from(["a", "b", "*"]), JSON, max_size=3)),
        mode=draw(st.sampled_from(MODES)),
        agent=draw(NAMES),
        who=draw(st.sampled_from(ASKERS)),
        client=draw(NAMES),
        risk=draw(st.sampled_from(list(RISK_ORDER))),
        claimed=draw(st.sampled_from([None, *RISK_ORDER])),
        outside=draw(st.sampled_from([nothing_outside, unclear_outside, everything_outside])),
        now=10.0,
        uses={"user:a": 1, "session:b": 5},
    )


BASES = st.sampled_from(DECISIONS)


def decided(given_rules: list[Rule], facts: CallFacts, base: RuleDecision) -> int:
    return SEVERITY[RuleSet(given_rules).decide(facts).with_base(base)]


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(rules(), max_size=8), calls(), st.randoms(use_true_random=False))
def test_the_order_of_rules_and_files_means_nothing(
    some: list[Rule], facts: CallFacts, chance: random.Random
) -> None:
    shuffled = chance.sample(some, len(some))
    one, other = RuleSet(some).decide(facts), RuleSet(shuffled).decide(facts)
    assert one.decision == other.decision
    assert sorted(map(repr, one.rules)) == sorted(map(repr, other.rules))


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(rules(), max_size=8), calls())
def test_the_index_finds_what_a_walk_through_all_rules_finds(some: list[Rule], facts: CallFacts) -> None:
    found = RuleSet(some).matches(facts)
    assert sorted(map(repr, found)) == sorted(repr(each) for each in some if each.matches(facts))


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(rules(), max_size=8), calls())
def test_the_index_of_arguments_finds_the_same(some: list[Rule], facts: CallFacts) -> None:
    found = {id(each) for each in ArgumentIndex(some).find(facts.arguments)}
    assert found >= {id(each) for each in some if each.fits(facts)}


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(rules(), max_size=6), rules(), calls(), BASES)
def test_adding_a_deny_or_ask_rule_never_loosens(
    some: list[Rule], more: Rule, facts: CallFacts, base: RuleDecision
) -> None:
    severity = decided([*some, more], facts, base)
    if more.decision != "allow":
        assert severity >= decided(some, facts, base)
    else:  # the same said of an allow rule that is removed
        assert severity <= decided(some, facts, base)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(rules(), max_size=6), calls(), BASES, BASES)
def test_a_stricter_base_never_loosens(
    some: list[Rule], facts: CallFacts, one: RuleDecision, other: RuleDecision
) -> None:
    low, high = sorted((one, other), key=lambda each: SEVERITY[each])
    assert decided(some, facts, low) <= decided(some, facts, high)


@settings(max_examples=examples(300), deadline=None)
@given(conditions(), st.dictionaries(st.sampled_from(["a", "b", "*"]), JSON, max_size=3))
def test_an_allow_rule_never_matches_where_a_deny_rule_would_not(
    condition: ArgumentCondition, arguments: dict[str, Any]
) -> None:
    if condition.matches(arguments, allowing=True):
        assert condition.matches(arguments, allowing=False)


@settings(max_examples=examples(300), deadline=None)
@given(rules(), rules(), calls())
def test_a_rule_that_covers_another_matches_all_its_calls(
    wide: Rule, narrow: Rule, facts: CallFacts
) -> None:
    if covers(wide, narrow) and narrow.matches(facts):
        assert wide.matches(facts)
        assert SEVERITY[wide.decision] >= SEVERITY[narrow.decision]


@settings(max_examples=examples(300), deadline=None)
@given(rules(), calls())
def test_a_rule_covers_its_own_narrower_forms(rule: Rule, facts: CallFacts) -> None:
    wide = replace(rule, other_args="any", max_uses=0)
    assert covers(wide, rule)
    assert covers(replace(wide, args=(), modes=()), rule)


@settings(max_examples=examples(300), deadline=None)
@given(rules())
def test_a_rule_that_can_be_read_is_written_as_it_was(rule: Rule) -> None:
    table = rule_table(rule)
    try:
        read = rule_from_table(table, rule.origin)
    except RuleError:
        return
    assert rule_table(read) == table
    assert (
        rule_table(rule_from_table(tomllib.loads(rule_toml(read))["policy"]["rule"][0], rule.origin))
        == table
    )
    assert repr(rule_from_table(rule_table(read), rule.origin)) == repr(read)


@settings(max_examples=examples(300), deadline=None)
@given(calls())
def test_every_proposed_rule_matches_its_call_and_the_narrowest_nothing_else(facts: CallFacts) -> None:
    proposals = draft_rules(facts, taken={"a-a"})
    for each in proposals:
        assert each.rule.matches(facts)
        assert each.rule.decision == "allow"
        assert not each.rule.matches(replace(facts, server="other"))
    widths = [each.width for each in proposals]
    assert widths == sorted(widths, key=["exact", "fixed", "tool", "read_only"].index)
    if "exact" in widths:
        exact = proposals[0].rule
        assert not exact.matches(replace(facts, arguments={**facts.arguments, "more": 1}))
        for key in facts.arguments:
            fewer = {name: value for name, value in facts.arguments.items() if name != key}
            assert not exact.matches(replace(facts, arguments=fewer))
            changed = {**facts.arguments, key: "something else"}
            assert not exact.matches(replace(facts, arguments=changed))
    if facts.risk == "destructive":
        assert not {"tool", "read_only"} & set(widths)
