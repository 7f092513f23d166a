"""What is found in rules that do nothing, and what is proposed for a call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_tui.approvals.risk import sure_risk
from omni_tui.policy import (
    ArgumentCondition,
    CallFacts,
    Rule,
    RuleOrigin,
    argument_choices,
    check_rules,
    draft_rules,
    rule_from_table,
    rule_table,
)
from omni_tui.protocol.values import Risk


def rule(name: str, decision: str = "ask", *, scope: Any = "user", **more: Any) -> Rule:
    table = {"id": name, "decision": decision, "server": "files"} | more
    return rule_from_table(table, RuleOrigin(scope, "/c/config.toml", 3, "file"))


def found(*rules: Rule, **facts: Any) -> list[tuple[str, str, str]]:
    """Return each finding: the rule, what is wrong, and the rule that makes it needless."""
    findings = check_rules(rules, **facts)
    return [(each.rule.id, each.kind, each.other.id if each.other else "") for each in findings]


CONDITION = {"path": "/x", "op": "eq", "value": 1}


@pytest.mark.parametrize(
    ("narrow", "wide", "shadowed"),
    [
        ({"tool": "a"}, {}, True),
        ({"tool": "a"}, {"decision": "deny"}, True),
        ({"tool": "a"}, {"decision": "allow"}, False),
        ({"tool": "get_a*"}, {"tool": "get_*"}, True),
        ({"tool": "get_*", "modes": "auto"}, {"tool": "get_?"}, False),
        ({"tool": ["a", "b"]}, {"tool": ["b", "c", "a"]}, True),
        ({"tool": ["a", "b"]}, {"tool": ["b", "c"]}, False),
        ({"tool": "a"}, {"except_tool": "a"}, False),
        ({"tool": "a"}, {"except_tool": "b"}, True),
        ({"tool": "a*"}, {"except_tool": "b"}, False),
        ({"tool": "a*", "except_tool": "b*"}, {"except_tool": "b"}, True),
        ({"tool": "a", "modes": "auto"}, {"modes": ["auto", "chat"]}, True),
        ({"tool": "a"}, {"modes": ["auto", "chat"]}, False),
        ({"tool": "a", "agents": "root/x"}, {"agents": "root/*"}, True),
        ({"tool": "a", "agents": "*"}, {"agents": "root/*"}, False),
        ({"tool": "a"}, {"who": "agent"}, False),
        ({"tool": "a", "args": [CONDITION]}, {}, True),
        ({"tool": "a", "args": [CONDITION]}, {"args": [CONDITION]}, True),
        ({"tool": "a"}, {"args": [CONDITION]}, False),
        ({"tool": "a", "outside": True}, {}, True),
        ({"tool": "a"}, {"outside": True}, False),
        ({"tool": "a"}, {"expires": 2_000}, False),
        ({"tool": "a", "expires": 1_500}, {"expires": 2_000}, True),
        ({"tool": "a", "decision": "allow", "risk_max": "destructive"}, {"decision": "allow"}, False),
        ({"tool": "a", "decision": "allow", "other_args": "none"}, {"decision": "allow"}, True),
        ({"tool": "a", "decision": "allow"}, {"decision": "allow", "max_uses": 2}, False),
    ],
)
def test_shadowed_rules(narrow: dict[str, Any], wide: dict[str, Any], shadowed: bool) -> None:
    rules = rule("z-narrow", **narrow), rule("a-wide", **wide)
    assert found(*rules, now=1_000.0) == ([("z-narrow", "shadowed", "a-wide")] if shadowed else [])
    assert found(*reversed(rules), now=1_000.0) == found(*rules, now=1_000.0)


def test_of_two_rules_that_say_the_same_the_later_one_is_needless() -> None:
    same = rule("b", message="no", scope="project"), rule("a")
    assert found(*same) == [("b", "duplicate", "a")]
    assert found(rule("a", tool=["x", "y"]), rule("b", tool=["y", "x"])) == [("b", "shadowed", "a")]


def test_expired_and_used_up_rules() -> None:
    rules = rule("old", expires=5.0), rule("used", "allow", tool="a", max_uses=2), rule("live", tool="b")
    assert found(*rules, now=6.0, uses={"user:used": 2}) == [
        ("old", "expired", ""),
        ("used", "used_up", ""),
    ]
    assert found(*rules, now=4.0, uses={"user:used": 1}) == []


def test_rules_for_nothing_that_is_known() -> None:
    rules = (
        rule("a", server="git"),
        rule("b", tool="red_file"),
        rule("c", tool="read_*", except_tool="read_f*"),
    )
    assert found(*rules) == []
    assert found(*rules, servers=["files"]) == [("a", "no_server", "")]
    listed = {"files": ["read_file"]}
    every = [("a", "no_server", ""), ("b", "no_tool", ""), ("c", "no_tool", "")]
    assert found(*rules, servers=["files"], tools=listed) == every
    assert found(*rules, servers=["files"], tools={}) == [("a", "no_server", "")]


def test_a_rule_whose_exceptions_leave_nothing_never_matches() -> None:
    assert found(rule("a", tool=["x", "y_*"], except_tool=["x", "y*"])) == [("a", "excluded", "")]
    assert found(rule("a", tool=["x", "z"], except_tool=["x", "y*"])) == []


@pytest.mark.parametrize(
    ("decision", "risk_max", "server", "trusted", "kinds"),
    [
        ("allow", "read", "files", [], ["untrusted"]),
        ("allow", "write", "files", ["git"], ["untrusted"]),
        ("allow", "read", "files", ["files"], []),
        ("allow", "unknown", "files", [], []),
        ("allow", "", "files", [], []),
        ("allow", "destructive", "files", [], []),
        ("allow", "read", ["files", "git"], ["files"], ["some_untrusted"]),
        ("allow", "read", ["files", "git"], [], ["untrusted"]),
        ("allow", "read", ["files", "git"], ["files", "git"], []),
        ("ask", "read", "files", [], []),
        ("deny", "write", "files", ["files"], ["less_severe"]),
        ("deny", "", "files", [], []),
    ],
)
def test_claims_that_do_not_count(
    decision: str, risk_max: str, server: str | list[str], trusted: list[str], kinds: list[str]
) -> None:
    more: dict[str, Any] = {"risk_max": risk_max} if risk_max else {}
    known = rule("r", decision, **{"server": server} | more)
    findings = check_rules([known], servers=["files", "git"], trusted=trusted)
    assert [each.kind for each in findings] == kinds
    assert [each.idle for each in findings] == [kind == "untrusted" for kind in kinds]
    # What is said is what a call meets.
    for name in ("files", "git"):
        sure: Risk = sure_risk("read", trusted=name in trusted)
        matches = known.matches(CallFacts(name, "x", risk=sure, claimed="read"))
        never = "untrusted" in kinds or ("some_untrusted" in kinds and name not in trusted)
        assert matches == (known.names(name, "x") and not never)


def test_a_slip_in_one_of_several_names_is_noticed() -> None:
    rules = rule("a", server=["files", "gti"]), rule("b", "deny", tool=["delete_fiel", "read_*"])
    listed = {"files": ["read_file", "delete_file"], "git": ["log"]}
    findings = check_rules(rules, servers=["files", "git"], tools=listed)
    assert [(each.rule.id, each.kind, each.idle, each.is_mistake) for each in findings] == [
        ("a", "name", False, True),
        ("b", "name", False, True),
    ]
    assert [each.text for each in findings] == [
        "no configured server is called gti; did you mean git?",
        "no tool of its servers is called delete_fiel; did you mean delete_file?",
    ]
    assert found(*rules, servers=["files", "git"], tools={"files": []}) == [
        ("a", "no_tool", ""),
        ("b", "no_tool", ""),
    ]
    later = check_rules([rule("c", tool="send_*")], servers=["files"], tools=listed)
    assert [(each.kind, each.is_mistake) for each in later] == [("no_tool", False)]
    (one,) = check_rules([rule("c", tool="red_file")], servers=["files"], tools=listed)
    assert one.text.endswith("that it matches; did you mean read_file?")


def test_many_rules_are_checked_in_one_go() -> None:
    rules = [rule(f"r{number:04}", tool=f"t{number}_*") for number in range(2_000)]
    assert found(*rules, rule("z", tool="t7_x")) == [("z", "shadowed", "r0007")]


# --- proposals ----------------------------------------------------------------------------------------


def call(tool: str = "read_file", **more: Any) -> CallFacts:
    facts: dict[str, Any] = {"server": "files", "tool": tool, "risk": "read", "now": 1_000.0}
    return CallFacts(**facts | more)


def proposed(facts: CallFacts) -> dict[str, dict[str, Any]]:
    """Return the proposed rules as tables, without what all of them have."""
    common = {"decision": "allow", "server": "files", "who": ["agent"]}
    tables: dict[str, dict[str, Any]] = {each.width: rule_table(each.rule) for each in draft_rules(facts)}
    for table in tables.values():
        assert {key: table.pop(key) for key in common} == common
        table.pop("created")
    return tables


def test_proposals_from_narrow_to_wide(tmp_path: Path) -> None:
    path = f"{tmp_path}/notes/a.md"
    arguments = {"path": path, "url": "https://x.org/a", "limit": 5, "text": "long\ntext"}
    assert proposed(call(arguments=arguments)) == {
        "exact": {
            "id": "files-read_file",
            "tool": "read_file",
            "args": [{"path": f"/{key}", "op": "eq", "value": value} for key, value in arguments.items()],
            "other_args": "none",
        },
        "fixed": {
            "id": "files-read_file",
            "tool": "read_file",
            "args": [
                {"path": "/path", "op": "path_within", "value": f"{tmp_path}/notes"},
                {"path": "/url", "op": "host_in", "value": ["x.org"]},
                {"path": "/limit", "op": "eq", "value": 5},
            ],
        },
        "tool": {"id": "files-read_file", "tool": "read_file"},
        "read_only": {"id": "files-read", "risk_max": "read"},
    }


def test_a_destructive_tool_is_allowed_only_with_its_arguments_and_by_name() -> None:
    tables = proposed(call("delete_file", risk="destructive", arguments={"force": True}))
    assert list(tables) == ["exact", "fixed"]
    assert {table["risk_max"] for table in tables.values()} == {"destructive"}


def test_a_call_without_arguments() -> None:
    assert proposed(call(risk="write")) == {
        "exact": {"id": "files-read_file", "tool": "read_file", "other_args": "none"},
        "tool": {"id": "files-read_file", "tool": "read_file"},
    }


def test_a_rule_from_a_clients_call_is_for_that_client() -> None:
    first = draft_rules(
        call(who="gateway", client="editor"), taken=["files-read_file", "files-read_file-2"]
    )[0]
    assert (first.rule.who, first.rule.clients, first.rule.id) == (
        ("gateway",),
        ("editor",),
        "files-read_file-3",
    )


@pytest.mark.parametrize("name", ["rm*", "what?"])
def test_nothing_is_proposed_for_a_name_that_would_be_a_glob(name: str) -> None:
    assert draft_rules(call(name)) == ()


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/etc", ""),
        ("/etc/passwd", ""),
        ("~/a", ""),
        ("/a/../etc/x", ""),
        ("/usr/lib/x", "/usr/lib"),
        ("a/b", ""),
    ],
)
def test_the_folder_of_a_path_is_proposed_if_it_is_not_too_high(path: str, folder: str) -> None:
    (choice,) = argument_choices({"path": path})
    assert choice.usual.value == (folder or path)


def test_nulls_and_nested_arguments() -> None:
    arguments = {"a": {"b": None, "c": [1, None]}, "d/e": "x"}
    exact = draft_rules(call(arguments=arguments))[0].rule
    assert [each.path for each in exact.args] == ["/a/b", "/a/c/0", "/a/c/1", "/d~1e"]
    assert exact.matches(call(arguments=arguments))
    assert not exact.matches(call(arguments={"a": {"b": None, "c": [1, None, None]}, "d/e": "x"}))
    wider = replace(exact, args=(ArgumentCondition("/d~1e", "present"),))
    assert rule_table(wider)["args"] == [{"path": "/d~1e", "op": "present"}]
