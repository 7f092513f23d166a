"""Which allow rules of projects the person has adopted, by the hash of all that each says."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from omni_tui.memory.private_files import FileLock
from omni_tui.memory.state_file import StateFile
from omni_tui.policy import Rule, rule_digest

FILE_NAME = "adopted.json"


class AdoptedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was adopted: its id and file then, for the person, and when (Unix seconds)."""

    id: str = ""
    file: str = ""
    at: float = 0.0


class _Adopted(msgspec.Struct, kw_only=True):
    rules: dict[str, AdoptedRule] = {}


class AdoptedRules:
    """The adopted rules of one state folder. Losing the file means being asked again.

    A hash counts for the file it was adopted in only: another project may not borrow it.
    """

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE_NAME
        self._file = StateFile(self.path, _Adopted)

    def hashes(self, file: str) -> frozenset[str]:
        """Return the hashes of the rules that were adopted from a project's file."""
        return frozenset(
            key.partition(" ")[0] for key, each in self._file.read().rules.items() if each.file == file
        )

    def adopt(self, rule: Rule) -> None:
        """Adopt a project's allow rule exactly as it is. Raises `OSError`."""
        with self._file.lock, self._between_programs():
            found = self._file.read()
            adopted = AdoptedRule(id=rule.id, file=rule.origin.file, at=time.time())
            found.rules[_key(rule)] = adopted
            self._file.write(found)

    def withdraw(self, rule: Rule) -> bool:
        """Withdraw the adoption of a rule; return False if it was not adopted. Raises `OSError`."""
        with self._file.lock, self._between_programs():
            found = self._file.read()
            if found.rules.pop(_key(rule), None) is None:
                return False
            self._file.write(found)
            return True

    def _between_programs(self) -> FileLock:
        self._file.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self._file.path.with_suffix(".lock"))


def _key(rule: Rule) -> str:
    return f"{rule_digest(rule)} {rule.origin.file}"
