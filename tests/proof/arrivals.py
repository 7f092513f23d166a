"""Hold what arrived at recording servers against the audit, and against what the person agreed to."""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from omni_tui.memory.audit_check import check_audit
from omni_tui.memory.audit_table import AuditEntry, entries
from omni_tui.memory.crypto import Vault
from omni_tui.memory.saved_session import saved_copy
from omni_tui.memory.session_files import saved_ids, session_path
from omni_tui.memory.sqlite import NothingSaved
from omni_tui.tools.call_arguments import canonical
from tests.proof import said

_OVER = frozenset(
    (
        "rejected",
        "denied",
        "withheld",
        "cancelled",
        "expired",
        "asked",
        "pending",
        "held",
        "uncertain",
        "finished",
        "attempt failed",
    )
)
"""What ends an approval that was not used, and an attempt."""
_STRICT = ("ask-", "deny-")
"""How the ids of rules begin that let nothing through: all are about one tool, "put"."""

Frame = tuple[str, str, str]
"""A server, a tool, and the keyed hash of the exact arguments."""


@dataclass
class Tally:
    """What was counted, and what is wrong with it: one line for each fault."""

    sessions: int = 0
    arrived: int = 0
    rounds: int = 0
    granted: int = 0
    unsent: int = 0
    """Grants whose call never arrived: a kill came between, or the frame was refused."""
    further: int = 0
    entries: int = 0
    deciders: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    """How often each kind of audit entry was written."""
    faults: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add the figures of another folder."""
        self.sessions += other.sessions
        self.arrived += other.arrived
        self.rounds += other.rounds
        self.granted += other.granted
        self.unsent += other.unsent
        self.further += other.further
        self.entries += other.entries
        self.deciders += other.deciders
        self.actions += other.actions
        self.faults += other.faults


def lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines; the last may be torn by a kill."""
    if file.exists():
        for line in file.read_bytes().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def check_arrivals(folder: Path, *, random_runs: bool = True) -> Tally:
    """Check a folder in which nothing runs: each arrival has one grant, each grant a reason.

    Without `random_runs` nobody wrote down what the person agreed to.
    """
    state = folder / "state"
    vault = Vault.open(state, {})
    tally = Tally()
    report = check_audit(state, vault)
    tally.faults += [f"audit: {fault}" for fault in report.faults]
    tally.entries = report.entries
    agreed = _Agreed(folder, vault) if random_runs else None
    granted: dict[Frame, list[str]] = defaultdict(list)
    rounds: Counter[Frame] = Counter()
    for session in saved_ids(state):
        with contextlib.suppress(NothingSaved):  # killed while it was created
            with saved_copy(session_path(state, session), session, vault) as copy:
                audit = list(entries(copy.tx))
            _Session(session, agreed, granted, rounds, tally).check(audit)
            tally.sessions += 1
    _compare(folder, vault, granted, rounds, tally)
    if agreed is not None:
        _compare_made(granted, agreed, tally)
    return tally


class _Agreed:
    """What the person says that they agreed to, and which arguments were made up how often."""

    def __init__(self, folder: Path, vault: Vault) -> None:
        self.approved: set[tuple[str, Frame]] = set()
        self.by_hand: set[Frame] = set()
        self.rules: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.scopes: dict[str, set[str]] = defaultdict(set)
        self.made: Counter[str] = Counter()
        self.starts: list[float] = []
        for each in lines(folder / said.FILE):
            if "started" in each:
                self.starts.append(each["started"])
            elif "made" in each:
                self.made[_hash(vault, json.loads(each["made"]))] += 1
            elif "approved" in each:
                self.approved.add((each["approved"], _frame(vault, each, each["arguments"])))
            elif "by_hand" in each:
                with contextlib.suppress(TypeError, AttributeError):  # arguments that are no object
                    self.by_hand.add(_frame(vault, each, each["by_hand"]))
            else:
                rule = tomllib.loads(each["rule"])["policy"]["rule"][0]
                self.rules[rule["id"]].append(rule)
                self.scopes[rule["id"]].add(each["scope"])

    def restarted(self, after: float, before: float) -> bool:
        """Whether an engine was started between two times."""
        return any(after < start <= before for start in self.starts)

    def has_rule(self, name: str, entry: AuditEntry) -> bool:
        """Whether the person wanted an allow rule of this name for such a call."""
        return any(
            rule["decision"] == "allow"
            and _covers(rule.get("server"), entry.server)
            and _covers(rule.get("tool"), entry.tool)
            and entry.tool not in rule.get("except_tool", ())
            for rule in self.rules[name]
        )


def _covers(globs: str | list[str] | None, name: str) -> bool:
    patterns = [globs] if isinstance(globs, str) else globs
    return patterns is None or any(fnmatchcase(name, each) for each in patterns)


def _frame(vault: Vault, each: dict[str, Any], arguments: str) -> Frame:
    return each["server"], each["tool"], _hash(vault, json.loads(arguments))


def _hash(vault: Vault, arguments: dict[str, Any]) -> str:
    return vault.digest(canonical(arguments))


def _kind(entry: AuditEntry) -> str:
    """Return what an entry tells, without how many were decided on together and any words."""
    return entry.action.partition(" in a batch")[0].removesuffix(" with feedback")


class _Session:
    """The audit of one session, entry by entry."""

    def __init__(
        self,
        session: str,
        agreed: _Agreed | None,
        granted: dict[Frame, list[str]],
        rounds: Counter[Frame],
        tally: Tally,
    ) -> None:
        self._session = session
        self._agreed = agreed
        self._granted = granted
        self._rounds = rounds
        self._tally = tally
        self._mode = ""
        self._approved: dict[tuple[str, int], AuditEntry] = {}
        self._sent: set[tuple[str, int]] = set()
        self._failed: set[tuple[str, int]] = set()
        self._running: dict[str, int] = {}
        self._rules: set[str] = set()
        """The session's rules that hold now."""
        self._revoked: set[str] = set()

    def check(self, audit: list[AuditEntry]) -> None:
        """Go through the entries."""
        for entry in audit:
            self._tally.actions[_kind(entry)] += 1
            for wrong in self._entry(entry):
                where = f"session {self._session}, entry {entry.entry}, call {entry.subject}"
                self._tally.faults.append(f"{where}: {wrong}")

    def _entry(self, entry: AuditEntry) -> list[str]:
        key = (entry.subject, entry.attempt)
        match _kind(entry):
            case "mode" | "session opened":
                self._mode = entry.state
            case "rule added" | "rule revoked" if entry.state == "session":
                self._change_rules(entry)
            case "approved":
                self._approved[key] = entry
                if entry.attempt == 1 and entry.actor == "user" and self._holds("deny-", entry):
                    return ["it was approved although a rule denies it"]
            case "round":
                self._rounds[entry.server, entry.tool, entry.args_hash] += 1
                if self._running.get(entry.subject) != entry.attempt:
                    return ["a round of an attempt that does not run"]
            case "dispatching":
                return self._dispatching(entry, key)
            case action if action in _OVER:
                self._approved.pop(key, None)
                self._running.pop(entry.subject, None)
                if action == "attempt failed":
                    self._failed.add(key)
        return []

    def _change_rules(self, entry: AuditEntry) -> None:
        now, not_now = self._rules, self._revoked
        if entry.action == "rule revoked":
            now, not_now = not_now, now
        now.add(entry.subject)
        not_now.discard(entry.subject)

    def _dispatching(self, entry: AuditEntry, key: tuple[str, int]) -> list[str]:
        approved = self._approved.pop(key, None)
        found = self._wrong(entry, approved)
        if self._agreed is not None and (why := self._unexplained(entry, self._agreed)):
            found.append(why)
        if self._agreed and approved and self._agreed.restarted(approved.ts, entry.ts):
            found.append("it was sent under an approval of before a restart")
        if entry.actor not in ("user", "user (by hand)") and self._holds("", entry):
            found.append("a rule that asks or denies was passed over")
        self._sent.add(key)
        self._running[entry.subject] = entry.attempt
        self._granted[entry.server, entry.tool, entry.args_hash].append(entry.subject)
        self._tally.granted += 1
        self._tally.further += entry.attempt > 1
        self._tally.deciders[entry.actor.split(":")[0]] += 1
        return found

    def _holds(self, kind: str, entry: AuditEntry) -> bool:
        """Whether a strict rule of the session is about a call. Such a rule names one server's "put"."""
        return entry.tool == "put" and any(
            name.startswith(_STRICT) and name.startswith(kind) and self._is_about(name, entry)
            for name in self._rules
        )

    def _is_about(self, name: str, entry: AuditEntry) -> bool:
        assert self._agreed is not None
        return any(rule["server"] == entry.server for rule in self._agreed.rules[name])

    def _wrong(self, entry: AuditEntry, approved: AuditEntry | None) -> list[str]:
        """Return what is wrong with a use of a grant: it needs its own approval, of exactly this."""
        found = []
        before = (entry.subject, entry.attempt - 1)
        if (entry.subject, entry.attempt) in self._sent:
            found.append(f"attempt {entry.attempt} was granted twice")
        if approved is None:
            found.append("it was sent without an approval")
        elif _bound(approved) != _bound(entry):
            found.append("what was sent is not what was approved")
        if entry.attempt > 1 and (before not in self._sent or before not in self._failed):
            found.append(f"attempt {entry.attempt}, and the one before did not fail")
        return found

    def _unexplained(self, entry: AuditEntry, agreed: _Agreed) -> str:
        """Return why nothing that the person did explains that this was sent, "" if something does."""
        frame = (entry.server, entry.tool, entry.args_hash)
        match entry.actor:
            case "user":
                if (entry.subject, frame) not in agreed.approved:
                    return "the person did not approve these arguments of this call"
            case "user (by hand)":
                if frame not in agreed.by_hand:
                    return "the person did not make this call by hand"
            case "mode":
                if self._mode == "chat":
                    return "chat mode let it run"
                if entry.tool == "drop":
                    return f"{self._mode} mode let a destructive call run"
            case actor if actor.startswith("rule:"):
                return self._unruled(entry, actor.removeprefix("rule:"), agreed)
            case actor:
                return f"{actor!r} decided"
        return ""

    def _unruled(self, entry: AuditEntry, rule: str, agreed: _Agreed) -> str:
        if not agreed.has_rule(rule, entry):
            return f"there was no rule {rule} for it"
        if rule in self._revoked and agreed.scopes[rule] == {"session"}:
            return f"the rule {rule} had been revoked"
        return ""


def _bound(entry: AuditEntry) -> tuple[str, ...]:
    return entry.server, entry.tool, entry.server_fp, entry.def_hash, entry.args_hash


def _compare(
    folder: Path, vault: Vault, granted: dict[Frame, list[str]], rounds: Counter[Frame], tally: Tally
) -> None:
    arrived: Counter[Frame] = Counter()
    again: Counter[Frame] = Counter()
    for each in lines(folder / "arrived.jsonl"):
        frame = (each["server"], each["tool"], _hash(vault, each["arguments"]))
        (again if each["round"] else arrived)[frame] += 1
    tally.arrived, tally.rounds = arrived.total(), again.total()
    grants = Counter({frame: len(calls) for frame, calls in granted.items()})
    for frame, count in arrived.items():
        if count > grants[frame]:
            tally.faults.append(f"{_named(frame)} arrived {count} times, for {grants[frame]} grants")
    for frame, count in again.items():
        if count > rounds[frame]:
            tally.faults.append(f"{_named(frame)}: {count} rounds, of which {rounds[frame]} are known")
    tally.unsent = (grants - arrived).total()


def _compare_made(granted: dict[Frame, list[str]], agreed: _Agreed, tally: Tally) -> None:
    """Look for calls that nobody made: what was made up once is one call."""
    calls: dict[str, set[str]] = defaultdict(set)
    for (_server, _tool, arguments), subjects in granted.items():
        calls[arguments].update(subjects)
    for arguments, same in calls.items():
        if len(same) > agreed.made[arguments]:
            tally.faults.append(
                f"{len(same)} calls with {arguments[:12]}, which was made up "
                f"{agreed.made[arguments]} times: {', '.join(sorted(same))}"
            )


def _named(frame: Frame) -> str:
    server, tool, arguments = frame
    return f"{server} › {tool} {arguments[:12]}"
