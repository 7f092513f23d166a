"""Rules as tables: what is refused, what they match, and what they come to together."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
import tomli_w

from omni_tui.policy import (
    CallFacts,
    Rule,
    RuleError,
    RuleOrigin,
    RuleSet,
    everything_outside,
    nothing_outside,
    rule_digest,
    rule_from_table,
    rule_sentence,
    rule_table,
    rule_toml,
    unclear_outside,
)
from omni_tui.policy.argument_index import ArgumentIndex
from omni_tui.policy.rule_table import RULE_KEYS

HERE = RuleOrigin("user", "/c/config.toml", 7, "file")


def rule(text: str = "", **more: Any) -> Rule:
    """Read a rule; by default it allows everything of the server `files`."""
    table = {"id": "r", "decision": "allow", "server": "files"} | tomllib.loads(text) | more
    return rule_from_table({key: value for key, value in table.items() if value is not None}, HERE)


def call(tool: str = "read_file", **more: Any) -> CallFacts:
    facts: dict[str, Any] = {"server": "files", "tool": tool, "now": 1_000.0}
    return CallFacts(**facts | more)


# --- reading ----------------------------------------------------------------------------------------------

CONDITION = {"path": "/x", "op": "eq", "value": 1}

VALUE = ("args", 0, "value")
DEEP: Any = 1
for _ in range(5_000):
    DEEP = {"a": DEEP}

REFUSED: dict[str, tuple[dict[str, Any], tuple[str | int, ...], str]] = {
    "unknown key": ({"decison": "ask"}, ("decison",), "did you mean `decision`?"),
    "a key of the program": ({"origin": {}}, ("origin",), ""),
    "no id": ({"id": None}, (), "`id` is missing"),
    "an id with a space": ({"id": "a b"}, ("id",), ""),
    "an id with an escape": ({"id": "a\x1b[2J"}, ("id",), ""),
    "a long id": ({"id": "a" * 65}, ("id",), ""),
    "no decision": ({"decision": None}, (), "`decision` is missing"),
    "a wrong decision": ({"decision": "alow"}, ("decision",), 'did you mean "allow"?'),
    "empty tools": ({"tool": []}, ("tool",), "empty list"),
    "an empty tool": ({"tool": [""]}, ("tool",), ""),
    "a tool that is a number": ({"tool": 5}, ("tool",), ""),
    "empty modes": ({"modes": []}, ("modes",), "empty list"),
    "an unknown mode": ({"modes": ["atuo"]}, ("modes",), 'did you mean "auto"?'),
    "an unknown asker": ({"who": "me"}, ("who",), ""),
    "empty agents": ({"agents": []}, ("agents",), "empty list"),
    "an unknown risk": ({"risk_max": "all"}, ("risk_max",), ""),
    "allow every server": ({"server": "*"}, ("server",), "any server"),
    "allow every server among others": ({"server": ["files", "*"]}, ("server",), "any server"),
    "allow every server in other words": ({"server": "?*"}, ("server",), "any server"),
    "allow without a server": ({"server": None}, (), "any server"),
    "empty conditions": ({"args": []}, ("args",), "empty list"),
    "a condition without a path": ({"args": [{"op": "eq", "value": 1}]}, ("args", 0), "`path` is missing"),
    "no pointer": ({"args": [CONDITION, {**CONDITION, "path": "x"}]}, ("args", 1, "path"), '"/owner"'),
    "a bad escape": ({"args": [{**CONDITION, "path": "/a~2"}]}, ("args", 0, "path"), ""),
    "an unknown operator": ({"args": [{**CONDITION, "op": "equals"}]}, ("args", 0, "op"), ""),
    "an unknown key of a condition": ({"args": [{**CONDITION, "val": 1}]}, ("args", 0, "val"), "`value`"),
    "no value": ({"args": [{"path": "/x", "op": "eq"}]}, VALUE, "is needed"),
    "a value of what has none": ({"args": [{**CONDITION, "op": "outside"}]}, VALUE, ""),
    "a needless value": ({"args": [{**CONDITION, "op": "present"}]}, VALUE, ""),
    "a date": ({"args": [{**CONDITION, "value": datetime.now(UTC)}]}, VALUE, "JSON"),
    "not a number": ({"args": [{**CONDITION, "value": float("nan")}]}, VALUE, "JSON"),
    "a deep value": ({"args": [{**CONDITION, "value": DEEP}]}, VALUE, "deep"),
    "a test of dates": (
        {"tests": [{"match": True, "args": {"a": datetime.now(UTC)}}]},
        ("tests", 0, "args"),
        "JSON",
    ),
    "a deep test": ({"tests": [{"match": True, "args": {"a": DEEP}}]}, ("tests", 0, "args"), "nested"),
    "a range of text": ({"args": [{**CONDITION, "op": "lt", "value": "5"}]}, VALUE, ""),
    "in nothing": ({"args": [{**CONDITION, "op": "in", "value": []}]}, VALUE, ""),
    "in one": ({"args": [{**CONDITION, "op": "in", "value": "a"}]}, VALUE, ""),
    "an empty prefix": ({"args": [{**CONDITION, "op": "prefix", "value": ""}]}, VALUE, ""),
    "a negative length": (
        {"args": [{**CONDITION, "op": "max_length", "value": -1}]},
        ("args", 0, "value"),
        "",
    ),
    "an unknown type": ({"args": [{**CONDITION, "op": "type", "value": "int"}]}, VALUE, ""),
    "a relative folder": (
        {"args": [{**CONDITION, "op": "path_within", "value": "notes"}]},
        ("args", 0, "value"),
        "absolute",
    ),
    "a URL as a host": (
        {"args": [{**CONDITION, "op": "host_in", "value": "https://x.com"}]},
        ("args", 0, "value"),
        "host",
    ),
    "a host with a user": (
        {"args": [{**CONDITION, "op": "host_in", "value": "a@x.com"}]},
        ("args", 0, "value"),
        "host",
    ),
    "a broken regex": ({"args": [{**CONDITION, "op": "regex", "value": "(a"}]}, VALUE, ""),
    "a regex out of its brackets": (
        {"args": [{**CONDITION, "op": "regex", "value": "a)|(b"}]},
        ("args", 0, "value"),
        "",
    ),
    "a regex that looks ahead": (
        {"args": [{**CONDITION, "op": "regex", "value": "(?=a)a"}]},
        ("args", 0, "value"),
        "linear",
    ),
    "a back reference": (
        {"args": [{**CONDITION, "op": "regex", "value": "(a)\\1"}]},
        ("args", 0, "value"),
        "linear",
    ),
    "a huge regex": (
        {"args": [{**CONDITION, "op": "regex", "value": "((a{99}){99}){99}"}]},
        ("args", 0, "value"),
        "",
    ),
    "a long regex": (
        {"args": [{**CONDITION, "op": "regex", "value": "a" * 201}]},
        ("args", 0, "value"),
        "",
    ),
    "a date without zone": ({"expires": datetime(2027, 1, 1)}, ("expires",), "zone"),
    "a day": ({"expires": datetime(2027, 1, 1).date()}, ("expires",), "zone"),
    "an endless time": ({"expires": 10**400}, ("expires",), ""),
    "no uses": ({"max_uses": 0}, ("max_uses",), ""),
    "true uses": ({"max_uses": True}, ("max_uses",), ""),
    "outside as text": ({"outside": "true"}, ("outside",), ""),
    "a deny rule that wears out": ({"decision": "deny", "max_uses": 3}, ("max_uses",), ""),
    "a deny rule with a way around": ({"decision": "deny", "other_args": "none"}, ("other_args",), ""),
    "a message of an allow rule": ({"message": "no"}, ("message",), ""),
    "clients of others": ({"who": "agent", "clients": "x"}, ("clients",), "gateway"),
    "a test without answer": ({"tests": [{"args": {}}]}, ("tests", 0), "`match` is missing"),
    "a test with an unknown key": ({"tests": [{"match": True, "arg": {}}]}, ("tests", 0, "arg"), "`args`"),
    "a test that fails": (
        {
            "args": [CONDITION],
            "tests": [{"args": {"x": 1}, "match": True}, {"args": {"x": 1}, "match": False}],
        },
        ("tests", 1),
        "test 2",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    change, key, words = REFUSED[name]
    with pytest.raises(RuleError) as caught:
        rule(**change)
    assert caught.value.key == key
    assert words in f"{caught.value.what}; {caught.value.todo}"


def test_a_rule_is_written_as_it_was_read() -> None:
    text = """
        id = "gh-read"
        decision = "allow"
        server = ["github", "gh-*"]
        tool = ["get_*", "list_*"]
        except_tool = "get_secret*"
        modes = ["auto", "orchestrator"]
        agents = "root/*"
        who = ["agent", "gateway"]
        clients = ["editor*"]
        risk_max = "read"
        other_args = "none"
        outside = true
        expires = 2036-12-31T00:00:00Z
        max_uses = 50
        created = 2026-11-29T01:02:03Z
        args = [
          { path = "/owner", op = "in", value = ["my-org", 5] },
          { path = "/repo", op = "present" },
          { path = "/deep/*/x", op = "eq", value = { a = [true, 1.5] } },
        ]
        tests = [
          { args = { owner = "my-org", repo = "x", deep = [{x = { a = [true, 1.5] } }] }, match = true },
          { args = { owner = "evil" }, match = false },
          { server = "gitlab", match = false },
          { mode = "chat", match = false },
          { risk = "write", match = false },
          { tool = "get_secrets", match = false },
          { client = "other", match = false },
          { outside = false, match = false },
        ]
    """
    read = rule(text)
    assert read.max_uses == 50
    assert read.expires == datetime(2036, 12, 31, tzinfo=UTC).timestamp()
    table = rule_table(read)
    again = rule_from_table(tomllib.loads(tomli_w.dumps(table)), HERE)
    assert again == read
    (written,) = tomllib.loads(rule_toml(read))["policy"]["rule"]
    assert rule_from_table(written, HERE) == read
    assert set(table) == set(RULE_KEYS) - {"message"}
    assert rule_digest(again) == rule_digest(read)
    assert rule_digest(rule()) != rule_digest(rule(tool="a"))


def test_the_hash_is_of_what_it_says_and_not_of_where_it_stands() -> None:
    table = {"id": "r", "decision": "deny", "server": "a"}
    one, other = (rule_from_table(table, RuleOrigin("project", "x", line)) for line in (1, 2))
    assert rule_digest(one) == rule_digest(other)
    changed = rule_from_table(table | {"tool": "b"}, RuleOrigin("project", "x", 1))
    assert rule_digest(one) != rule_digest(changed)


# --- matching ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "facts", "matches"),
    [
        ({}, {}, True),
        ({}, {"server": "Files"}, False),
        ({"server": "f*"}, {}, True),
        ({"server": ["x", "fil?s"]}, {}, True),
        ({"server": "files_read"}, {"server": "files", "tool": "read"}, False),
        ({"tool": ["write_*"]}, {}, False),
        ({"except_tool": "read_*"}, {}, False),
        ({"tool": "read_*", "except_tool": ["*secret*"]}, {"tool": "read_secrets"}, False),
        ({"tool": "caf\u00e9"}, {"tool": "cafe\u0301"}, True),
        ({"modes": "auto"}, {}, False),
        ({"modes": ["auto", "chat"]}, {}, True),
        ({"agents": "root"}, {"agent": "root/phase1/a"}, False),
        ({"agents": "root/*"}, {"agent": "root/phase1/a"}, True),
        ({"who": "agent"}, {"who": "hand"}, False),
        ({"clients": "ed*"}, {"who": "gateway", "client": "editor"}, True),
        ({"clients": "ed*"}, {"who": "gateway", "client": "other"}, False),
        ({"clients": "ed*"}, {"who": "agent", "client": "editor"}, False),
        ({"clients": "*"}, {"who": "agent"}, False),
        ({}, {"risk": "destructive"}, False),
        ({"risk_max": "destructive"}, {"risk": "destructive"}, True),
        ({"risk_max": "read"}, {"risk": "write"}, False),
        ({"risk_max": "write"}, {"risk": "unknown"}, False),
        ({"decision": "ask"}, {"risk": "destructive"}, True),
        ({"decision": "deny", "risk_max": "write"}, {"risk": "destructive"}, False),
        ({"risk_max": "read"}, {"risk": "read", "claimed": "read"}, True),
        ({"risk_max": "read"}, {"risk": "unknown", "claimed": "read"}, False),
        ({"risk_max": "write"}, {"risk": "unknown", "claimed": "write"}, False),
        ({"decision": "ask", "risk_max": "read"}, {"risk": "unknown", "claimed": "read"}, True),
        ({"decision": "deny", "risk_max": "write"}, {"risk": "unknown", "claimed": "read"}, True),
        ({"decision": "deny", "risk_max": "read"}, {"risk": "unknown", "claimed": "write"}, False),
        ({"outside": True}, {}, False),
        ({"outside": True}, {"outside": everything_outside}, True),
        ({"outside": True}, {"outside": unclear_outside}, False),
        ({"outside": True, "decision": "ask"}, {"outside": unclear_outside}, True),
        ({"outside": True, "decision": "deny"}, {"outside": nothing_outside}, False),
        ({"expires": 1_000}, {}, False),
        ({"expires": 1_001}, {}, True),
        ({"max_uses": 2}, {"uses": {"user:r": 1}}, True),
        ({"max_uses": 2}, {"uses": {"user:r": 2}}, False),
        ({"max_uses": 2}, {"uses": {"session:r": 2}}, True),
        ({"other_args": "none"}, {}, True),
        ({"other_args": "none"}, {"arguments": {"a": None}}, False),
    ],
)
def test_what_a_rule_matches(table: dict[str, Any], facts: dict[str, Any], matches: bool) -> None:
    read = rule(**table)
    assert read.matches(call(**facts)) is matches
    assert RuleSet([read]).matches(call(**facts)) == ((read,) if matches else ())


@pytest.mark.parametrize(
    ("arguments", "matches"),
    [
        ({"a": {"b": 1}}, True),
        ({"a": {"b": 1, "c": 2}}, False),
        ({"a": {"b": 1, "c": {}}}, False),
        ({"a": {"b": 1}, "d": []}, False),
        ({"a": {"b": 1}, "l": [1, 2, {"x": 3}]}, False),
        ({"a": {"b": 1}, "l": [1]}, True),
        ({"a": {"b": 1}, "l": [1, 1]}, True),
        ({"a": {"b": 1}, "l": []}, False),
    ],
)
def test_no_other_argument_hides_in_a_named_one(arguments: dict[str, Any], matches: bool) -> None:
    args = [{"path": "/a/b", "op": "eq", "value": 1}]
    if "l" in arguments:
        args.append({"path": "/l/*", "op": "eq", "value": 1})
    assert rule(args=args, other_args="none").matches(call(arguments=arguments)) is matches


# --- together ----------------------------------------------------------------------------------------


def named(decision: str, name: str, **more: Any) -> Rule:
    return rule(decision=decision, id=name, **more)


def test_the_severest_of_all_matching_rules_decides() -> None:
    allow, ask, deny = (
        named("allow", "a"),
        named("ask", "b", tool="read_*"),
        named("deny", "c", tool="*_file"),
    )
    everything = RuleSet([deny, allow, ask])
    verdict = everything.decide(call())
    assert (verdict.decision, verdict.rules, verdict.deciding) == ("deny", (allow, ask, deny), (deny,))
    assert everything.decide(call("read_x")).decision == "ask"
    assert everything.decide(call("x")).decision == "allow"
    assert everything.decide(call(server="other")).decision is None
    assert everything.without_allows().rules == (ask, deny)


def test_the_base_counts_unless_an_allow_rule_matches() -> None:
    allow, ask = named("allow", "a"), named("ask", "b")
    assert RuleSet([]).decide(call()).with_base("deny") == "deny"
    assert RuleSet([ask]).decide(call()).with_base("allow") == "ask"
    assert RuleSet([ask]).decide(call()).with_base("deny") == "deny"
    assert RuleSet([allow]).decide(call()).with_base("deny") == "allow"
    assert RuleSet([allow, ask]).decide(call()).with_base("deny") == "ask"


@pytest.mark.parametrize(
    ("table", "hides"),
    [
        ({}, True),
        ({"decision": "ask"}, False),
        ({"tool": "write_*"}, False),
        ({"args": [CONDITION]}, False),
        ({"outside": True}, False),
        ({"modes": "auto"}, False),
        ({"expires": 1.0}, False),
        ({"who": "hand"}, False),
    ],
)
def test_what_hides_a_tool_from_the_model(table: dict[str, Any], hides: bool) -> None:
    read = rule(**{"decision": "deny"} | table)
    assert RuleSet([read]).hiding(call()) == ((read,) if hides else ())


def many(count: int) -> list[Rule]:
    """Return rules of many kinds, each for one of its own tools."""
    made = []
    for number in range(count):
        server, tool = f"server{number % 50}", f"tool_{number}_x"
        patterns = {
            0: ("*er*", tool),
            1: (server, f"tool_{number}_*"),
            2: (f"{server}*", f"*_{number}_x"),
            3: ([server, "other"], [tool, "t"]),
        }
        of_server, of_tool = patterns.get(number % 10, (server, tool))
        made.append(named("deny", f"r{number}", server=of_server, tool=of_tool))
    return made


def test_of_5000_rules_few_are_looked_at_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    examined = 0
    names = Rule.names

    def counted(self: Rule, server: str, tool: str) -> bool:
        nonlocal examined
        examined += 1
        return names(self, server, tool)

    monkeypatch.setattr(Rule, "names", counted)
    rules = RuleSet(many(5_000))
    for number in range(5_000):
        found = rules.about(f"server{number % 50}", f"tool_{number}_x")
        assert [each.id for each in found] == [f"r{number}"]
    assert examined < 20_000
    assert len(rules.about("other", "t")) == 500
    assert rules.about("other", "t") is rules.about("other", "t")


def test_of_5000_rules_for_one_tool_few_are_tried() -> None:
    rules = [
        rule(
            id=f"r{number}",
            decision="deny" if number % 2 else "allow",
            args=[{"path": "/path", "op": "in", "value": [f"/{number}", "/all"]}],
        )
        for number in range(5_000)
    ]
    every = RuleSet(rules)
    assert every.matches(call(arguments={"path": "/7"})) == (rules[7],)
    assert every.matches(call(arguments={"path": "/8"})) == (rules[8],)
    assert len(every.matches(call(arguments={"path": "/all"}))) == 5_000
    assert every.matches(call(arguments={"path": "/x"})) == ()
    assert every.matches(call(arguments={})) == ()
    assert {each.decision for each in every.matches(call(arguments={"path": 7}))} == {"deny"}
    index = ArgumentIndex(rules)
    assert list(index.find({"path": "/7"})) == [rules[7]]


def test_a_rule_with_many_names_is_found_by_each() -> None:
    tools = [f"t{number}" for number in range(900)]
    read = rule(decision="ask", server=[f"s{number}" for number in range(900)], tool=tools)
    assert RuleSet([read]).about("s899", "t1") == (read,)
    assert RuleSet([read]).about("s900", "t1") == ()


def test_a_test_of_a_rule_says_what_is_from_outside() -> None:
    args = [{"path": "/to", "op": "outside"}, {"path": "/to", "op": "ne", "value": "me"}]
    tests = [
        {"args": {"to": "x"}, "outside": True, "match": True},
        {"args": {"to": "x"}, "outside": False, "match": False},
        {"args": {"to": "me"}, "outside": True, "match": False},
        {"args": {"to": "x"}, "match": True},
    ]
    read = rule(decision="ask", args=args, tests=tests)
    assert read.asks_outside
    with pytest.raises(RuleError):
        rule(decision="ask", args=args, tests=[{**tests[1], "match": True}])


def test_one_sentence_says_what_a_rule_does() -> None:
    told = rule_sentence(
        rule(
            tool=["read_*", "list"],
            except_tool="read_secret",
            modes=["auto"],
            who="agent",
            risk_max="read",
            args=[
                {"path": "/path", "op": "path_within", "value": "~/notes"},
                {"path": "/n/*", "op": "le", "value": 5},
            ],
            other_args="none",
            max_uses=1,
            expires=1_900_000_000,
        )
    )
    assert told == (
        "Allows read_* or list (except read_secret) of files in auto mode called by an agent if its server "
        'is trusted and says that the tool only reads if `path` is a path in "~/notes" and every element '
        "of `n` is at most 5 and there is no other argument at most 1 time until 2030-03-17 17:46 UTC."
    )
    told = rule_sentence(rule(decision="ask", outside=True, args=[{"path": "/to/*", "op": "outside"}]))
    assert told == (
        "Asks about every tool of files if any element of `to` contains data of an untrusted server that "
        "you did not type if the arguments contain data of an untrusted server that you did not type."
    )
    assert rule_sentence(rule(decision="deny")) == "Denies every tool of files."
    assert rule_sentence(rule()) == "Allows every tool of files unless the tool may destroy things."
