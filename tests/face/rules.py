"""Rules as an engine sends them, for tests of the screens about rules."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.rules import (
    AddRule,
    AdoptRule,
    ProposeRules,
    ReadRule,
    ReadRules,
    RevokeRule,
    RuleAdded,
    RuleArgument,
    RuleDraft,
    RuleInfo,
    RuleRead,
    RuleRevoked,
    RulesProposed,
    RulesRead,
)
from tests.face.conftest import Face
from tests.face.scenario import NOW

FILE = "/home/ada/.config/omni-tui/rules.toml"
Width = Literal["exact", "fixed", "tool", "read_only"]
_SENTENCES: dict[Width, str] = {
    "exact": 'Allows edit_file of files called by an agent if `path` is "notes/deploy.md".',
    "fixed": 'Allows edit_file of files called by an agent if `path` is a path in "notes".',
    "tool": "Allows edit_file of files called by an agent unless the tool may destroy things.",
    "read_only": "Allows every tool of files called by an agent if the tool only reads.",
}


def toml_of(width: str, *more: str, scope: str = "session") -> str:
    lines = ("[[policy.rule]]", f'id = "files-{width}"', 'decision = "allow"', f"# for the {scope}", *more)
    return "\n".join(lines) + "\n"


def draft(width: Width, *more: str, scope: str = "session", **changes: object) -> RuleDraft:
    toml = toml_of(width, *more, scope=scope)
    fields: dict[str, object] = {
        "width": width, "sentence": SafeText(_SENTENCES[width]), "toml": SafeText(toml), "rule_toml": toml,
        "passes": True, "matched": 2, "past": 7, "file": SafeText(FILE if scope == "user" else ""),
    }  # fmt: skip
    return RuleDraft(**{**fields, **changes})  # type: ignore[arg-type]


def argument(name: str, value: object, how: str = "no", wider: str = "") -> RuleArgument:
    return RuleArgument(
        path=f"/{name}", label=SafeText(name), value=SafeText(json.dumps(value)), wider=SafeText(wider),
        fixed=how,  # type: ignore[arg-type]
    )  # fmt: skip


def rule(name: str, **changes: object) -> RuleInfo:
    fields: dict[str, object] = {
        "id": name, "scope": "user", "decision": "allow", "sentence": SafeText(f"Allows {name} of files."),
        "toml": SafeText(f'[[policy.rule]]\nid = "{name}"'), "place": SafeText("/home/ada/rules.toml:12"),
        "state": "active", "digest": f"digest-{name}", "created": NOW - 86_400 * 3,
    }  # fmt: skip
    return RuleInfo(**{**fields, **changes})  # type: ignore[arg-type]


class RuleEngine:
    """Answers the commands about rules, and keeps what it was told. `changes` are those of every draft."""

    def __init__(self, face: Face, *, releases: tuple[str, ...] = (), **changes: object) -> None:
        self.face = face
        self.releases = releases
        self.changes = changes
        self.more: tuple[str, ...] = ()
        self.rules: list[RuleInfo] = []
        self.texts: dict[str, str] = {}
        self.problems: tuple[SafeText, ...] = ()
        face.link.answers |= {
            ProposeRules: self._propose, AddRule: self._add, ReadRules: self._read,
            ReadRule: self._read_one, RevokeRule: self._revoke, AdoptRule: self._adopt,
        }  # fmt: skip

    def _propose(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, ProposeRules)
        how = command.fixed.get("/path", "wider"), command.fixed.get("/dryRun", "no")
        drafts = [
            draft(width, *self.more, *(how if width == "fixed" else ()), scope=command.scope,
                  releases=self.releases, **self.changes)
            for width in _SENTENCES
        ]  # fmt: skip
        arguments = (
            argument("path", "notes/deploy.md", how[0], "anything in notes"),
            argument("dryRun", False, how[1]),
        )
        return [RulesProposed(call=command.call, drafts=tuple(drafts), arguments=arguments)]

    def _add(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, AddRule)
        name = command.rule_toml.split('"')[1]
        added = RuleAdded(
            id=name, scope=command.scope, sentence=SafeText("Allows it."), rule_toml=command.rule_toml,
            call=command.call, allows=(command.call, *self.releases),
        )  # fmt: skip
        return [added, CommandDone(id=name)]

    def _read(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, ReadRules)
        words = command.query.casefold().split()
        fitting = [
            each for each in self.rules if all(word in f"{each.id} {each.sentence}" for word in words)
        ]
        page = tuple(fitting[command.after : command.after + 100])
        return [RulesRead(rules=page, total=len(fitting), problems=self.problems)]

    def _read_one(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, ReadRule)
        found = next(each for each in self.rules if each.id == command.id)
        text = self.texts.get(found.id, found.toml)
        return [RuleRead(rule=found, rule_toml=text, whole=not text.endswith("…"))]

    def _revoke(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, RevokeRule)
        self.rules = [each for each in self.rules if each.id != command.id]
        return [RuleRevoked(id=command.id, scope=command.scope), CommandDone(id=command.id)]

    def _adopt(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, AdoptRule)
        return [CommandDone(id=command.id)]
