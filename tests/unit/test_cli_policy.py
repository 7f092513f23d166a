"""`omni-tui policy`: what it prints, and its exit statuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omni_tui.cli.command_table import run_command
from omni_tui.cli.parser import parse
from omni_tui.config.load import load_config
from omni_tui.memory import TrustStore, Vault, check_audit, read_audit
from omni_tui.memory.adopted_rules import AdoptedRules
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.installation_audit import InstallationEntry
from omni_tui.memory.rule_uses import RuleUses
from omni_tui.memory.rules_file import RulesFile
from omni_tui.policy import RuleOrigin, rule_from_table
from omni_tui.protocol import LaunchOptions

CONFIG = """\
[servers.files]
command = "true"
[policy.servers.files]
auto = "deny"

[[policy.rule]]
id = "no-deletes"
decision = "deny"
server = "files"
tool = "delete_*"
message = "never"
[[policy.rule]]
id = "notes"
decision = "allow"
server = "files"
tool = "read_*"
args = [{ path = "/path", op = "path_within", value = "/srv/notes" }]
"""
PROJECT = """\
[[policy.rule]]
id = "theirs"
decision = "allow"
server = "files"
tool = "write_file"
[[policy.rule]]
id = "careful"
decision = "ask"
server = "*"
tool = "send_*"
"""

Policy = Callable[..., tuple[int, str, str]]


@pytest.fixture
def policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Policy:
    """Run `omni-tui policy` with a config, a rule from a card and a project; return status and output."""
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / ".omni-tui.toml").write_text(PROJECT)
    table = {"id": "card", "decision": "allow", "server": "gone", "tool": "t"}
    RulesFile(tmp_path / "rules.toml").add(rule_from_table(table, RuleOrigin()))

    def run(*words: str) -> tuple[int, str, str]:
        options = ["--config", str(tmp_path / "config.toml"), "--project", str(tmp_path)]
        status = run_command(parse(["policy", *words, *options, "--state-dir", str(tmp_path / "state")]))
        printed = capsys.readouterr()
        return status, printed.out.replace(str(tmp_path), "…"), printed.err.replace(str(tmp_path), "…")

    return run


def test_list_shows_every_rule_with_its_place(policy: Policy) -> None:
    status, out, err = policy("list")
    assert (status, err) == (0, "")
    lines = [line.split()[:5] for line in out.splitlines()[1:]]
    assert lines == [
        ["no-deletes", "deny", "active", "…/config.toml:6", "Denies"],
        ["notes", "allow", "active", "…/config.toml:12", "Allows"],
        ["card", "allow", "active", "…/rules.toml:4", "Allows"],
        ["careful", "ask", "active", "…/.omni-tui.toml:6", "Asks"],
        ["theirs", "allow", "proposed", "…/.omni-tui.toml:1", "Allows"],
    ]
    status, out, _ = policy("list", "--json")
    assert status == 0
    keys = {"id", "decision", "state", "scope", "file", "line", "made", "sentence", "does_nothing", "rule"}
    assert {frozenset(each) for each in json.loads(out)} == {frozenset(keys)}


def test_a_mistake_is_named_and_suspends_what_allows(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG + "[polcy]\n")
    status, out, err = policy("list")
    assert status == 2
    states = dict(line.split()[:3:2] for line in out.splitlines()[1:])
    assert states == {
        "no-deletes": "active",
        "notes": "suspended",
        "card": "suspended",
        "careful": "active",
        "theirs": "proposed",
    }
    assert "…/config.toml:18: the file has no key `polcy`" in err
    assert "no allow rule counts" in err


@pytest.mark.parametrize(
    ("words", "status", "decision", "rules"),
    [
        (["files", "read_x", "path=/srv/notes/a"], 0, "allow", ["notes"]),
        (
            ["files", "read_x", "--args", '{"path": "/srv/notes/a"}', "--mode", "auto"],
            0,
            "allow",
            ["notes"],
        ),
        (["files", "read_x", "path=/srv/notes/../a"], 3, "ask", []),
        (["files", "read_x", "path=5"], 3, "ask", []),
        (["files", "read_x", "path=/srv/notes/a", "--risk", "destructive"], 3, "ask", []),
        (["files", "delete_x"], 3, "deny", ["no-deletes"]),
        (["files", "write_file", "--mode", "auto"], 3, "deny", []),
        (["mail", "send_all", "--mode", "auto"], 3, "ask", ["careful"]),
        (["mail", "list", "--mode", "auto"], 0, "allow", []),
        (["mail", "wipe", "--mode", "auto"], 3, "ask", []),
        (["files", "write_file"], 3, "ask", []),
    ],
)
def test_what_would_be_decided(
    policy: Policy, words: list[str], status: int, decision: str, rules: list[str]
) -> None:
    found, out, err = policy("test", *words)
    assert (found, out.split(":")[0]) == (status, decision)
    assert ("there is no server mail" in err) == (words[0] == "mail")
    found, out, _ = policy("test", *words, "--json")
    printed: dict[str, Any] = json.loads(out)
    assert (found, printed["decision"]) == (status, decision)
    assert [each["id"] for each in printed["rules"]] == rules


def test_every_matching_rule_is_named_with_its_place(policy: Policy) -> None:
    _, out, _ = policy("test", "files", "delete_x")
    assert out.splitlines()[:2] == [
        "deny: the rule no-deletes",
        "mode chat, risk destructive; without a rule: ask",
    ]
    assert out.splitlines()[-1].split()[:3] == ["no-deletes", "deny", "…/config.toml:6"]
    assert policy("test", "files", "x")[1].splitlines()[-1] == "no rule matches"


@pytest.mark.parametrize(
    "words",
    [
        ["test", "files", "x", "--args", "{"],
        ["test", "files", "x", "path"],
        ["test", "files", "x", "--args", "[]"],
    ],
)
def test_arguments_that_are_none(policy: Policy, words: list[str]) -> None:
    assert policy(*words)[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ["policy"],
        ["policy", "test", "x"],
        ["policy", "explain"],
        ["policy", "lsit"],
        ["policy", "list", "x"],
    ],
)
def test_what_cannot_be_parsed(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(words)
    assert caught.value.code == 2


def test_explain_says_what_a_rule_does_and_where_it_stands(policy: Policy) -> None:
    status, out, _ = policy("explain", "no-deletes")
    assert status == 0
    assert out.splitlines()[:4] == [
        "Denies delete_* of files.",
        "It is yours, written in the file: …/config.toml:6",
        "State: active",
        "The model is told: never",
    ]
    assert 'tool = "delete_*"' in out
    assert "It does nothing: no configured server" in policy("explain", "card")[1]
    status, _, err = policy("explain", "note")
    assert (status, "Did you mean notes?" in err) == (1, True)


def test_lint_finds_what_does_nothing(policy: Policy, tmp_path: Path) -> None:
    status, out, _ = policy("lint")
    assert status == 1
    assert (
        out == "…/rules.toml:4: rule card does nothing: no configured server has a name that it matches\n"
    )
    policy("revoke", "card")
    assert policy("lint") == (0, "nothing found in 3 rules\n", "")
    (tmp_path / "config.toml").write_text(CONFIG + '[[policy.rule]]\nid = "x"\n')
    status, out, err = policy("lint", "--json")
    assert status == 2
    assert json.loads(out)["problems"][0]["where"].endswith("config.toml:18")
    assert "`decision` is missing" in err


def test_lint_knows_uses_and_the_names_and_trust_of_servers_without_an_engine(
    policy: Policy, tmp_path: Path
) -> None:
    policy("revoke", "card")
    rules = """
[[policy.rule]]
id = "reads"
decision = "allow"
server = "files"
risk_max = "read"
[[policy.rule]]
id = "slip"
decision = "deny"
server = "files"
tool = ["write_fiel", "move_file"]
[[policy.rule]]
id = "twice"
decision = "allow"
server = "files"
tool = "copy_file"
max_uses = 2
"""
    (tmp_path / "config.toml").write_text(CONFIG + rules)
    state = tmp_path / "state"
    vault = Vault(FoundKey("key file", bytes(32)))
    pins = TrustStore(state / "trust.json", vault)
    pins.pin_tools(
        "files", {name: "hash" for name in ("write_file", "move_file", "copy_file", "read_file")}
    )
    uses = RuleUses(state)
    for _ in range(2):
        uses.count(["user:twice"])
    uses.save()
    status, out, _ = policy("lint", "--json")
    assert status == 1
    assert [(each["id"], each["kind"], each["does_nothing"]) for each in json.loads(out)["findings"]] == [
        ("careful", "no_tool", True),
        ("no-deletes", "no_tool", True),
        ("reads", "untrusted", True),
        ("slip", "name", False),
        ("twice", "used_up", True),
    ]
    said = policy("lint")[1]
    assert "rule slip: no tool of its servers is called write_fiel; did you mean write_file?" in said
    assert "rule reads does nothing: `risk_max" in said
    assert "Note: no tool of its servers is called write_fiel" in policy("explain", "slip")[1]
    state.joinpath("trust.json").write_text("{")
    assert "write_fiel" not in policy("lint")[1]


def test_a_remark_of_lint_is_no_failure(policy: Policy, tmp_path: Path) -> None:
    policy("revoke", "card")
    more = '[[policy.rule]]\nid = "few"\ndecision = "deny"\nserver = "files"\nrisk_max = "write"\n'
    (tmp_path / "config.toml").write_text(CONFIG + more)
    status, out, _ = policy("lint")
    assert (status, out.count("\n")) == (0, 1)
    assert "rule few: with `risk_max" in out


def test_revoking_removes_a_rule_where_it_stands(policy: Policy, tmp_path: Path) -> None:
    assert policy("revoke", "card")[0] == 0
    assert RulesFile(tmp_path / "rules.toml").rules() == ()
    status, out, _ = policy("revoke", "notes", "--json")
    assert (status, json.loads(out)) == (
        0,
        {"revoked": "notes", "place": "…/config.toml:12", "not_audited": ""},
    )
    assert (tmp_path / "config.toml").read_text() == CONFIG[: CONFIG.index('[[policy.rule]]\nid = "notes"')]
    assert policy("revoke", "notes")[0] == 1


def test_each_revocation_is_in_the_audit_with_who_what_and_where(policy: Policy, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    options = LaunchOptions(config=str(file), project=str(tmp_path), state_dir=str(tmp_path / "state"))
    (proposal,) = load_config(options, {}).proposals
    AdoptedRules(tmp_path / "state").adopt(proposal)
    for rule in ("card", "notes", "no-deletes", "theirs"):
        assert policy("revoke", rule)[0] == 0
    found = [
        (each.action, each.actor, each.subject, each.place.rpartition("/")[2], len(each.detail))
        for each in read_audit(tmp_path / "state", Vault.open(tmp_path / "state", {}))
        if isinstance(each, InstallationEntry)
    ]
    assert found == [
        ("rule revoked", "user", "user:card", "rules.toml:4", 64),
        ("rule revoked", "user", "user:notes", "config.toml:12", 64),
        ("rule revoked", "user", "user:no-deletes", "config.toml:6", 64),
        ("rule revoked", "user", "project:theirs", ".omni-tui.toml:1", 64),
    ]
    assert policy("revoke", "card")[0] == 1
    assert check_audit(tmp_path / "state", Vault.open(tmp_path / "state", {})).faults == []


def test_an_audit_that_cannot_be_written_keeps_what_restricts_and_ends_what_allows(
    policy: Policy, tmp_path: Path
) -> None:
    audit = tmp_path / "state" / "audit.jsonl"
    audit.mkdir(parents=True)
    status, _, err = policy("revoke", "no-deletes")
    assert status == 1
    assert "the rule no-deletes was not removed" in err
    assert "no-deletes" in (tmp_path / "config.toml").read_text()
    status, out, err = policy("revoke", "card", "--json")
    assert status == 1
    assert "the audit does not tell it" in err
    assert "audit.jsonl" in json.loads(out)["not_audited"]
    assert RulesFile(tmp_path / "rules.toml").rules() == ()


def test_a_projects_rule_is_not_removed(policy: Policy, tmp_path: Path) -> None:
    status, _, err = policy("revoke", "careful")
    assert status == 1
    assert "Edit …/.omni-tui.toml:6" in err
    assert policy("revoke", "theirs")[0] == 1
    assert (tmp_path / ".omni-tui.toml").read_text() == PROJECT


def test_an_adopted_rule_counts_until_it_is_revoked_or_changed(policy: Policy, tmp_path: Path) -> None:
    options = LaunchOptions(
        config=str(tmp_path / "config.toml"), project=str(tmp_path), state_dir=str(tmp_path / "state")
    )
    (proposal,) = load_config(options, {}).proposals
    adopted = AdoptedRules(tmp_path / "state")
    adopted.adopt(proposal)
    assert policy("test", "files", "write_file")[0] == 0
    (tmp_path / ".omni-tui.toml").write_text(PROJECT.replace("write_file", "write_*"))
    assert policy("test", "files", "write_file")[0] == 3
    (tmp_path / ".omni-tui.toml").write_text(PROJECT)
    assert policy("revoke", "theirs")[0] == 0
    assert policy("test", "files", "write_file")[0] == 3
