"""`omni-tui policy`: show, try, check and remove rules, without an engine."""

from __future__ import annotations

import argparse
import difflib
import time
from collections.abc import Callable, Sequence
from typing import Any

from omni_tui.approvals.risk import classify
from omni_tui.cli.options import load_configuration
from omni_tui.cli.output import CliError, ExitStatus, print_json, print_note, print_result, table
from omni_tui.cli.tool_arguments import read_arguments
from omni_tui.config.config_file import ConfigEditError, remove_rule
from omni_tui.config.load import LoadedConfig
from omni_tui.memory import UNDONE, InstallationAudit, Vault, VaultRefused
from omni_tui.memory.adopted_rules import AdoptedRules
from omni_tui.memory.rule_uses import RuleUses
from omni_tui.memory.rules_file import RulesFile, RulesFileError
from omni_tui.memory.trust import TRUST_FILE, seen_tools
from omni_tui.policy import (
    CallFacts,
    Rule,
    RuleDecision,
    RuleSet,
    RuleVerdict,
    check_rules,
    everything_outside,
    nothing_outside,
    rule_digest,
    rule_sentence,
    rule_table,
    rule_toml,
)

_SOURCES = {"user": "yours", "project": "the project's", "session": "this session's"}


class _Policy:
    """The policy of one start: its rules, and the proposals of a project with what was adopted of them."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self.loaded = loaded
        self.adoptions = AdoptedRules(loaded.paths.state_dir)
        self.adopted = self.adoptions.hashes(str(loaded.paths.project_file))
        self.rules = loaded.rules_with(self.adopted)
        self.servers = frozenset(spec.name for spec in loaded.servers)
        state = loaded.paths.state_dir
        uses = RuleUses(state)
        uses.watch(self.rules)
        self.findings = check_rules(
            self.rules,
            now=time.time(),
            uses=uses.counts,
            servers=self.servers,
            tools=seen_tools(state / TRUST_FILE),
            trusted=loaded.config.policy.trusted_servers,
        )
        self._on = {id(rule) for rule in self.rules}
        self._idle = {id(each.rule): each for each in self.findings if each.idle}

    @property
    def every(self) -> tuple[Rule, ...]:
        """All rules, also those that do not count."""
        others = (*self.loaded.suspended, *self.loaded.proposals)
        return (*self.rules, *(rule for rule in others if id(rule) not in self._on))

    def state(self, rule: Rule) -> str:
        """Return whether a rule counts, in a word or two."""
        if id(rule) not in self._on:
            is_proposal = rule.origin.scope == "project" and rule_digest(rule) not in self.adopted
            return "proposed" if is_proposal else "suspended"
        found = self._idle.get(id(rule))
        return {"expired": "expired", "used_up": "used up"}.get(found.kind, "active") if found else "active"

    def named(self, rule_id: str) -> list[Rule]:
        """Return the rules with an id. Raises `CliError` if there is none."""
        found = [rule for rule in self.every if rule.id == rule_id]
        if found:
            return found
        near = difflib.get_close_matches(rule_id, [rule.id for rule in self.every], n=1)
        hint = f"Did you mean {near[0]}?" if near else "See: omni-tui policy list"
        raise CliError(f"there is no rule {rule_id}", todo=hint)

    def remark(self, rule: Rule) -> str:
        """Return why a rule does nothing, "" if it does something."""
        found = self._idle.get(id(rule))
        return found.text if found else ""

    def notes(self, rule: Rule) -> list[str]:
        """Return what else is odd about a rule."""
        return [each.text for each in self.findings if each.rule is rule and not each.idle]


def policy(arguments: argparse.Namespace) -> int:
    """Run one action."""
    actions: dict[str, Callable[[_Policy, argparse.Namespace], int]] = {
        "list": _list,
        "test": _test,
        "explain": _explain,
        "lint": _lint,
        "revoke": _revoke,
    }
    return actions[arguments.action](_Policy(load_configuration(arguments)), arguments)


def _status(known: _Policy, status: ExitStatus) -> ExitStatus:
    """Return an exit status; mistakes in the configuration are named, and win."""
    if not known.loaded.cautious:
        return status
    for each in known.loaded.problems:
        print_note(f"{each.where}: {each.what}")
    print_note("until this is corrected, no allow rule counts and every call is asked about")
    return ExitStatus.USAGE


def _list(known: _Policy, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json([_rule_json(known, rule) for rule in known.every])
    elif known.every:
        rows = [
            (rule.id, rule.decision, known.state(rule), rule.origin.place, rule_sentence(rule))
            for rule in known.every
        ]
        print_result(table(("ID", "DECISION", "STATE", "FROM", "WHAT IT DOES"), rows))
    else:
        print_note("there are no rules; the mode decides on every call")
    return _status(known, ExitStatus.DONE)


def _rule_json(known: _Policy, rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "decision": rule.decision,
        "state": known.state(rule),
        "scope": rule.origin.scope,
        "file": rule.origin.file,
        "line": rule.origin.line,
        "made": rule.origin.made,
        "sentence": rule_sentence(rule),
        "does_nothing": known.remark(rule),
        "rule": _json_table(rule),
    }


def _json_table(rule: Rule) -> dict[str, Any]:
    """Return a rule's table; its times as text."""
    found = rule_table(rule)
    return found | {key: found[key].isoformat() for key in ("expires", "created") if key in found}


def _test(known: _Policy, arguments: argparse.Namespace) -> int:
    facts = CallFacts(
        server=arguments.server,
        tool=arguments.tool,
        arguments=read_arguments(arguments.pairs, arguments.args, {}),
        mode=known.loaded.config.agent.mode,
        agent=arguments.agent,
        who="gateway" if arguments.client else arguments.who,
        client=arguments.client,
        risk=arguments.risk or classify(arguments.tool, {}),
        outside=everything_outside if arguments.outside else nothing_outside,
        now=time.time(),
    )
    verdict = RuleSet(known.rules).decide(facts)
    base: RuleDecision = known.loaded.config.policy.decisions_for(facts.server)[facts.mode]
    decision, why = _decided(facts, verdict, base)
    if arguments.json:
        print_json(
            {
                "decision": decision,
                "why": why,
                "mode": facts.mode,
                "risk": facts.risk,
                "base": base,
                "rules": [_rule_json(known, rule) for rule in verdict.rules],
            }
        )
    else:
        print_result(f"{decision}: {why}")
        print_result(f"mode {facts.mode}, risk {facts.risk}; without a rule: {base}")
        _print_rules(verdict.rules)
    if facts.server not in known.servers:
        print_note(f"there is no server {facts.server} in the configuration")
    return _status(known, ExitStatus.DONE if decision == "allow" else ExitStatus.WITHHELD)


def _decided(facts: CallFacts, verdict: RuleVerdict, base: RuleDecision) -> tuple[RuleDecision, str]:
    """Return the decision on a call and what it comes from.

    Whether the server, the definition or the schema object is not looked at here.
    """
    decision = verdict.with_base(base)
    if decision == verdict.decision:
        names = ", ".join(rule.id for rule in verdict.deciding)
        return decision, f"{'rules' if len(verdict.deciding) > 1 else 'the rule'} {names}"
    if decision == "allow" and facts.risk == "destructive":
        return "ask", f"the tool may destroy things, and {facts.mode} mode asks before that"
    return decision, f"{facts.mode} mode, since no allow rule matches"


def _print_rules(rules: Sequence[Rule]) -> None:
    if not rules:
        print_result("no rule matches")
        return
    rows = [(rule.id, rule.decision, rule.origin.place, rule_sentence(rule)) for rule in rules]
    print_result()
    print_result(table(("MATCHING RULE", "DECISION", "FROM", "WHAT IT DOES"), rows))


def _explain(known: _Policy, arguments: argparse.Namespace) -> int:
    found = known.named(arguments.id)
    if arguments.json:
        print_json([_rule_json(known, rule) for rule in found])
        return _status(known, ExitStatus.DONE)
    for number, rule in enumerate(found):
        if number:
            print_result()
        made = "made from a card" if rule.origin.made == "card" else "written in the file"
        print_result(rule_sentence(rule))
        print_result(f"It is {_SOURCES[rule.origin.scope]}, {made}: {rule.origin.place}")
        print_result(f"State: {known.state(rule)}")
        if remark := known.remark(rule):
            print_result(f"It does nothing: {remark}.")
        for note in known.notes(rule):
            print_result(f"Note: {note}.")
        if rule.message:
            print_result(f"The model is told: {rule.message}")
        print_result()
        print_result(rule_toml(rule), end="")
    return _status(known, ExitStatus.DONE)


def _lint(known: _Policy, arguments: argparse.Namespace) -> int:
    problems = known.loaded.problems
    if arguments.json:
        print_json(
            {
                "problems": [
                    {"where": each.where, "what": each.what, "todo": each.todo} for each in problems
                ],
                "findings": [
                    {
                        "id": each.rule.id,
                        "place": each.rule.origin.place,
                        "kind": each.kind,
                        "does_nothing": each.idle,
                        "text": each.text,
                        "other": each.other.id if each.other else "",
                    }
                    for each in known.findings
                ],
            }
        )
    else:
        for each in known.findings:
            nothing = " does nothing" if each.idle else ""
            print_result(f"{each.rule.origin.place}: rule {each.rule.id}{nothing}: {each.text}")
        if not known.findings and not problems:
            count = len(known.rules)
            print_result(f"nothing found in {count} rule{'' if count == 1 else 's'}")
    return _status(
        known, ExitStatus.FAILED if any(each.is_mistake for each in known.findings) else ExitStatus.DONE
    )


def _revoke(known: _Policy, arguments: argparse.Namespace) -> int:
    """Remove a rule, and write that into the audit.

    One that restricts is not removed without it. An allow rule is: then the status is 1.
    """
    rule = min(known.named(arguments.id), key=_theirs)
    first = rule.decision != "allow"
    if first and (unwritten := _note(known, "rule revoked", rule)):
        raise CliError(f"the rule {rule.id} was not removed", why=unwritten)
    try:
        _remove(known, rule)
    except CliError as error:
        if first:
            _note(known, UNDONE, rule, f"rule revoked: {error}")
        raise
    unwritten = "" if first else _note(known, "rule revoked", rule)
    if arguments.json:
        print_json({"revoked": rule.id, "place": rule.origin.place, "not_audited": unwritten})
    else:
        print_result(
            f"revoked {rule.id} ({rule.origin.place}); calls that were not sent yet are decided again"
        )
    if unwritten:
        print_note(f"omni-tui: the rule is revoked, but the audit does not tell it: {unwritten}")
        return ExitStatus.FAILED
    return ExitStatus.DONE


def _note(known: _Policy, action: str, rule: Rule, detail: str = "") -> str:
    """Write an entry about a rule into the installation's audit; return why it could not be, or ""."""
    state = known.loaded.paths.state_dir
    try:
        InstallationAudit(state, Vault.open(state)).add(
            action,
            rule.key,
            actor="user",
            detail=detail or rule_digest(rule),
            place=rule.origin.place,
        )
    except (VaultRefused, OSError) as error:
        return str(error)
    return ""


def _remove(known: _Policy, rule: Rule) -> None:
    """Remove a rule where it stands. Raises `CliError`."""
    paths = known.loaded.paths
    try:
        if _theirs(rule):
            done = _withdraw(known, rule)
        elif rule.origin.file == str(paths.rules_file):
            done = RulesFile(paths.rules_file).remove(rule.id)
        else:
            done = remove_rule(paths.config_file, rule.id)
    except (ConfigEditError, RulesFileError) as error:
        raise CliError(f"the rule {rule.id} was not removed", why=str(error)) from error
    except OSError as error:
        raise CliError(f"the rule {rule.id} was not removed", why=error.strerror or str(error)) from error
    if not done:
        raise CliError(f"the rule {rule.id} is gone already")


def _theirs(rule: Rule) -> bool:
    return rule.origin.scope != "user"


def _withdraw(known: _Policy, rule: Rule) -> bool:
    """Withdraw the adoption of a project's rule. Raises `CliError` for one that needs none."""
    if rule.decision == "allow":
        if known.adoptions.withdraw(rule):
            return True
        raise CliError(f"the rule {rule.id} was never adopted, so it allows nothing")
    raise CliError(
        f"the rule {rule.id} is the project's",
        why="it restricts what you allow, and only the project's file can lift that",
        todo=f"Edit {rule.origin.place}, or start with another --project.",
    )
