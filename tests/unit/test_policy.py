"""Base decisions per mode, and what may raise them. Nothing lowers a decision."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from omni_tui.approvals.policy import Decision, DecisionFacts, assess
from omni_tui.approvals.risk import classify, sure_risk
from omni_tui.policy import (
    RISK_ORDER,
    ArgumentCondition,
    CallFacts,
    OutsideCheck,
    Rule,
    RuleOrigin,
    RuleSet,
    everything_outside,
    unclear_outside,
)
from omni_tui.protocol import Mode
from omni_tui.protocol.events import Risk

BASE: dict[Mode, Decision] = {"chat": "ask", "auto": "allow", "orchestrator": "allow"}
QUIET = DecisionFacts(
    mode="auto", origin="agent", risk="read", server_trust="unchanged", tool_trust="unchanged"
)
ORDER = {"allow": 0, "ask": 1, "deny": 2}


def test_chat_asks_for_every_call() -> None:
    assessment = assess(BASE, replace(QUIET, mode="chat"))
    assert assessment.decision == "ask"
    assert assessment.why == ("chat mode asks for every call",)


def test_auto_allows_unchanged_tools_that_do_not_destroy() -> None:
    risks: tuple[Risk, ...] = ("read", "write", "unknown")
    assert {assess(BASE, replace(QUIET, risk=risk)).decision for risk in risks} == {"allow"}


@pytest.mark.parametrize(
    "change",
    [
        {"risk": "destructive"},
        {"server_trust": "changed"},
        {"tool_trust": "changed"},
        {"tool_trust": "new"},
        {"unchecked": "the schema is too deep"},
    ],
)
def test_auto_asks_where_something_weighs_against_it(change: dict[str, str]) -> None:
    assessment = assess(BASE, replace(QUIET, **change))  # type: ignore[arg-type]
    assert assessment.decision == "ask"
    assert assessment.why


@pytest.mark.parametrize(
    ("outside", "given", "words"),
    [
        (everything_outside, ["eve"], "any"),
        (unclear_outside, ["eve"], "may"),
        (everything_outside, "eve", "may"),
    ],
)
def test_the_reason_says_what_was_found_of_data_from_outside_and_no_more(
    outside: OutsideCheck, given: Any, words: str
) -> None:
    theirs = "data of an untrusted server that you did not type"
    told = {
        "any": f"an element of `to` contains {theirs} and the arguments contain {theirs}",
        "may": f"an element of `to` may contain {theirs} and the arguments may contain {theirs}",
    }[words]
    rule = Rule(
        "r", "ask", args=(ArgumentCondition("/to/*", "outside"),), outside=True, origin=RuleOrigin()
    )
    call = CallFacts("s", "t", {"to": given}, outside=outside)
    assessment = assess(BASE, replace(QUIET, call=call), RuleSet([rule]))
    assert assessment.why == (f'the rule "r" asks about it (this session), because {told}',)


def test_a_changed_definition_is_held() -> None:
    assert assess(BASE, replace(QUIET, tool_trust="changed")).held
    assert assess(BASE, replace(QUIET, server_trust="changed")).held
    assert not assess(BASE, replace(QUIET, tool_trust="new")).held


def test_deny_stands_whatever_else_is_true() -> None:
    base: dict[Mode, Decision] = {**BASE, "auto": "deny"}
    assert assess(base, QUIET).decision == "deny"


def test_a_call_by_hand_is_itself_the_decision() -> None:
    assessment = assess(BASE, replace(QUIET, origin="hand", mode="chat"))
    assert (assessment.decision, assessment.decider) == ("allow", "user (by hand)")


def test_a_destructive_call_by_hand_asks_once_more() -> None:
    facts = replace(QUIET, origin="hand", risk="destructive")
    assert assess(BASE, facts).decision == "ask"
    assert assess(BASE, replace(facts, confirmed=True)).decision == "allow"


def test_what_weighs_against_a_call_never_lowers_its_decision() -> None:
    modes: tuple[Mode, ...] = ("chat", "auto", "orchestrator")
    decisions: tuple[Decision, ...] = ("allow", "ask", "deny")
    for mode, decision in product(modes, decisions):
        base: dict[Mode, Decision] = {**BASE, mode: decision}
        quiet = assess(base, replace(QUIET, mode=mode))
        for risk, server, tool in product(
            ("read", "write", "unknown", "destructive"),
            ("unchanged", "changed"),
            ("unchanged", "new", "changed"),
        ):
            facts = replace(QUIET, mode=mode, risk=risk, server_trust=server, tool_trust=tool)  # type: ignore[arg-type]
            assert ORDER[assess(base, facts).decision] >= ORDER[quiet.decision]


@pytest.mark.parametrize(
    ("name", "annotations", "risk"),
    [
        ("read_file", {"readOnlyHint": True}, "read"),
        ("write_file", {"readOnlyHint": False, "destructiveHint": False}, "write"),
        ("write_file", {"destructiveHint": True}, "destructive"),
        ("anything", {}, "unknown"),
        ("anything", {"readOnlyHint": "yes"}, "unknown"),
        ("delete_tree", {"readOnlyHint": True}, "destructive"),
        ("dropTable", {"readOnlyHint": True}, "destructive"),
        ("drop_db", {"readOnlyHint": True, "destructiveHint": False}, "destructive"),
        ("backdrop", {"readOnlyHint": True}, "read"),
        ("read", {"readOnlyHint": True, "destructiveHint": True}, "destructive"),
    ],
)
def test_risk_is_what_the_server_says_unless_the_name_says_worse(
    name: str, annotations: dict[str, object], risk: Risk
) -> None:
    assert classify(name, annotations) == risk


def test_a22_a_claim_of_an_untrusted_server_never_lowers_the_risk() -> None:
    for name, claims in (("drop_db", {"readOnlyHint": True}), ("query", {"readOnlyHint": True}), ("q", {})):
        for more in ({}, {"destructiveHint": True}, {"destructiveHint": False}):
            silent, claimed = classify(name, {}), classify(name, claims | more)
            assert RISK_ORDER[sure_risk(claimed, trusted=False)] >= RISK_ORDER[silent]
            assert sure_risk(claimed, trusted=True) == claimed
    assert sure_risk(classify("query", {"readOnlyHint": True}), trusted=False) == "unknown"
    assert sure_risk(classify("drop_db", {"readOnlyHint": True}), trusted=True) == "destructive"


def test_of_the_mode_of_the_turn_and_the_mode_of_now_the_severer_counts() -> None:
    modes: tuple[Mode, ...] = ("chat", "auto", "orchestrator")
    decisions: tuple[Decision, ...] = ("allow", "ask", "deny")
    for mode, now, first, second in product(modes, modes, decisions, decisions):
        base: dict[Mode, Decision] = {**BASE, mode: first}
        base[now] = second
        both = assess(base, replace(QUIET, mode=mode, now=now))
        for one in (mode, now):
            assert ORDER[both.decision] >= ORDER[assess(base, replace(QUIET, mode=one)).decision]
        assert both.mode in (mode, now)


def test_a_turn_without_a_plan_is_asked_about_once_the_mode_plans() -> None:
    assessment = assess(BASE, replace(QUIET, mode="auto", now="orchestrator"))
    assert (assessment.decision, assessment.mode) == ("ask", "orchestrator")
    assert assess(BASE, replace(QUIET, mode="orchestrator", now="auto")).decision == "allow"


def test_what_was_allowed_after_the_message_is_asked_about() -> None:
    assert assess(BASE, replace(QUIET, loosened="you allowed it later")).decision == "ask"
