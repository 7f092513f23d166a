"""The app's own rules, a rule in the person's file, and the adopted rules of a project on disk."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from omni_tui.config.config_file import ConfigEditError, remove_rule
from omni_tui.memory.adopted_rules import AdoptedRules
from omni_tui.memory.rules_file import RulesFile, RulesFileError
from omni_tui.policy import Rule, RuleError, RuleOrigin, rule_from_table


def rule(name: str = "r", **more: Any) -> Rule:
    table = {"id": name, "decision": "allow", "server": "files"} | more
    return rule_from_table(table, RuleOrigin("session"))


# --- rules.toml -------------------------------------------------------------------------------------------


def test_rules_are_added_read_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "config" / "rules.toml"
    file = RulesFile(path)
    assert file.rules() == ()
    assert not path.exists()
    hostile = '"""\n[[policy.rule]]\nid = "x"\n\x1b]0;\x07\u202e\\'
    first = file.add(rule("one", args=[{"path": "/a", "op": "eq", "value": hostile}], expires=2e9))
    second = file.add(rule("two", tool=["b", "c"]))
    assert RulesFile(path).rules() == (first, second)
    assert first.args[0].value == hostile
    assert (second.origin.scope, second.origin.made) == ("user", "card")
    assert path.read_text().splitlines()[second.origin.line - 1] == "[[policy.rule]]"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert file.remove("one")
    assert not file.remove("one")
    assert [each.id for each in file.rules()] == ["two"]
    assert file.remove("two")
    assert file.rules() == ()
    assert sorted(each.name for each in path.parent.iterdir()) == ["rules.lock", "rules.toml"]


def test_an_id_is_used_once_and_a_rule_that_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    file = RulesFile(tmp_path / "rules.toml")
    file.add(rule())
    with pytest.raises(RulesFileError, match="there is a rule r already"):
        file.add(rule())
    with pytest.raises(RulesFileError, match="there is a rule q already"):
        file.add(rule("q"), taken={"q"})
    with pytest.raises(RuleError):
        file.add(Rule("all", "allow"))
    assert [each.id for each in file.rules()] == ["r"]


def test_a_full_file_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni_tui.memory.rules_file.MOST_RULES", 1)
    file = RulesFile(tmp_path / "rules.toml")
    file.add(rule("one"))
    with pytest.raises(RulesFileError, match="is full"):
        file.add(rule("two"))
    assert [each.id for each in file.rules()] == ["one"]


def test_what_another_program_adds_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    files = [RulesFile(path) for _ in range(4)]

    def add(number: int) -> None:
        for turn in range(5):
            files[number].add(rule(f"r{number}-{turn}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(RulesFile(path).rules()) == 20


@pytest.mark.parametrize("text", ["[[policy.rule]\n", '[[policy.rule]]\nid = "x"\n', "[servers]\nx = 1\n"])
def test_a_file_that_cannot_be_used_is_kept_and_nothing_is_added(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(RulesFileError, match="every call is asked about") as caught:
        RulesFile(path).add(rule())
    assert "rules.toml.damaged" in str(caught.value)
    assert path.read_text() == text
    assert (tmp_path / "rules.toml.damaged").read_text() == text


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rules.toml"
    file = RulesFile(path)
    file.add(rule("one"))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RulesFileError, match="No space left"):
        file.add(rule("two"))
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rules.lock", "rules.toml"]


# --- the person's file ----------------------------------------------------------------------


CONFIG = """\
# mine
[policy]   # careful
auto = "ask"

[[policy.rule]]   # first
id = "a"
decision = "deny"

# about b
[[policy.rule]]
id = "b"
decision = "ask"
[[policy.rule.args]]
path = "/x"
op = "present"

[ui]
theme = "x"
"""


def test_removing_a_rule_keeps_every_other_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    assert remove_rule(path, "b")
    left = path.read_text()
    for line in ("# mine", "[policy]   # careful", "[[policy.rule]]   # first", 'id = "a"', 'theme = "x"'):
        assert line in left.splitlines()
    assert 'id = "b"' not in left
    assert not remove_rule(path, "b")
    assert path.read_text() == left
    assert remove_rule(path, "a")
    assert "rule" not in path.read_text()
    assert 'auto = "ask"' in path.read_text()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[[policy.rule]]\nid = "a"\ndecision = "deny"\n', ""),
        ('[policy]\nrule = [{id = "a", decision = "deny"}]\n', ""),
        ('[policy]\nrule = [{id = "a", decision = "deny"}, {id = "b", decision = "ask"}]\n', "b"),
        ('policy.rule = [{id = "a", decision = "deny"}]\n', ""),
        ('policy = {rule = [{id = "a", decision = "deny"}], auto = "ask"}\n', "auto"),
        ('[[policy.rule]]\nid = "a"\n[ui]\ntheme = "x"\n[[policy.rule]]\nid = "b"\n', "b"),
    ],
)
def test_however_it_is_laid_out_the_rule_is_gone_or_the_file_is_left_alone(
    tmp_path: Path, before: str, after: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(before)
    try:
        assert remove_rule(path, "a")
    except ConfigEditError as error:
        assert "edit it by hand" in str(error)  # noqa: PT017
        assert path.read_text() == before
    else:
        assert '"a"' not in path.read_text()
        assert after in path.read_text()


# --- adopted rules of projects ----------------------------------------------------------------------


def test_a_rule_is_adopted_as_it_is_and_for_its_file_only(tmp_path: Path) -> None:
    theirs = rule_from_table(
        {"id": "r", "decision": "allow", "server": "git"},
        RuleOrigin("project", "/p/.omni-tui.toml", 3, "file"),
    )
    adopted = AdoptedRules(tmp_path)
    assert adopted.hashes("/p/.omni-tui.toml") == frozenset()
    adopted.adopt(theirs)
    assert len(AdoptedRules(tmp_path).hashes("/p/.omni-tui.toml")) == 1
    assert AdoptedRules(tmp_path).hashes("/other/.omni-tui.toml") == frozenset()
    assert adopted.withdraw(theirs)
    assert not adopted.withdraw(theirs)
    assert adopted.hashes("/p/.omni-tui.toml") == frozenset()


def test_a_damaged_file_means_that_nothing_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "adopted.json").write_text("{")
    assert AdoptedRules(tmp_path).hashes("x") == frozenset()
