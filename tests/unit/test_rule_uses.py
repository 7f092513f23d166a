"""The uses of limited rules: whatever happens to their file, none is given back."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_tui.memory.rule_uses import FILE_NAME, RuleUses
from omni_tui.policy import Rule, RuleOrigin

FILE = Rule("r", "allow", max_uses=1, origin=RuleOrigin("user", made="file"))
LATER = Rule("r2", "allow", max_uses=1, created=4e9, origin=RuleOrigin("user"))
DENY = Rule("d", "deny", max_uses=1, origin=RuleOrigin("user"))


def of(session: str, made: float = 0.0) -> Rule:
    return Rule("r", "allow", max_uses=2, created=made, origin=RuleOrigin("session", session=session))


def opened(state: Path, *rules: Rule, new: bool = False) -> RuleUses:
    uses = RuleUses(state)
    uses.watch(rules, new=new)
    return uses


@pytest.mark.parametrize("way", ["damaged", "too new", "folder"])
def test_a_file_that_cannot_be_read_gives_no_use_back(tmp_path: Path, way: str) -> None:
    file = tmp_path / FILE_NAME
    if way == "folder":
        file.mkdir()
    else:
        file.write_text("{" if way == "damaged" else '{"rules": [1]}')
    for _ in range(3):  # at every later start too
        uses = opened(tmp_path, FILE, LATER, DENY, of("s"))
        assert uses.counts.get(FILE.key) == 1
        assert uses.counts.get(of("s").key) == 2
        assert uses.counts.get(LATER.key, 0) == uses.counts.get(DENY.key, 0) == 0
        assert uses.over == 2
    uses.count([LATER.key])
    if way == "folder":
        with pytest.raises(OSError, match="cannot be read"):
            uses.save()
        assert file.is_dir()
    else:
        uses.save()
        assert opened(tmp_path, FILE, LATER).counts == {FILE.key: 1, LATER.key: 1, of("s").key: 0}


def test_a_file_damaged_while_the_app_runs_gives_no_use_back(tmp_path: Path) -> None:
    uses = opened(tmp_path, FILE)
    uses.count(["user:other"])
    uses.save()
    assert uses.over == 0
    (tmp_path / FILE_NAME).write_text("{")
    uses.count(["user:other"])
    uses.save()
    assert (uses.counts[FILE.key], uses.counts["user:other"], uses.over) == (1, 2, 1)
    assert opened(tmp_path, FILE).counts[FILE.key] == 1


def test_a_marker_that_cannot_be_written_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / FILE_NAME).write_text("{")
    with monkeypatch.context() as patch:
        patch.setattr("omni_tui.memory.state_file.write_atomic", full)
        assert opened(tmp_path, FILE).counts[FILE.key] == 1
    assert opened(tmp_path, FILE).counts[FILE.key] == 1


def test_a_session_uses_up_its_own_rules_only(tmp_path: Path) -> None:
    uses = opened(tmp_path, of("a"), of("b"))
    uses.count([of("a").key])
    assert (uses.counts[of("a").key], uses.counts[of("b").key]) == (1, 0)


def test_uses_that_an_earlier_version_counted_still_count(tmp_path: Path) -> None:
    earlier = RuleUses(tmp_path)
    earlier.count(["session:r"])
    earlier.save()
    uses = opened(tmp_path, of("a"))
    uses.count([of("a").key])
    uses.save()
    fresh = opened(tmp_path, of("b"), new=True)
    assert (fresh.counts[of("a").key], fresh.counts[of("b").key]) == (2, 0)
