"""Commands about the rules of the policy: list, propose from a call, add, revoke, adopt."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Literal

import msgspec

from omni_tui.approvals.pending import PendingCall
from omni_tui.approvals.policy import assess
from omni_tui.approvals.risk import sure_risk
from omni_tui.approvals.rule_book import MISTAKES
from omni_tui.config.config_file import ConfigEditError
from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.handlers.base import Handlers
from omni_tui.memory import call_table
from omni_tui.memory.call_table import CallRow
from omni_tui.memory.rules_file import RulesFileError
from omni_tui.policy import (
    ArgumentChoice,
    ArgumentCondition,
    CallFacts,
    DraftedRule,
    Rule,
    RuleError,
    RuleFinding,
    RuleOrigin,
    RuleSet,
    argument_choices,
    check_rules,
    draft_rules,
    rule_digest,
    rule_from_table,
    rule_sentence,
    rule_toml,
)
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.rules import (
    AddRule,
    AdoptRule,
    HowFixed,
    NewRuleScope,
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
from omni_tui.security.text import safe, safe_json, safe_line

_PAGE = 100
_PAST = 1_000
"""Calls of the session that a draft is tried on."""
_ELSEWHERE = 300
"""Calls of other sessions that a draft is tried on."""
_LONGEST = 64 * 1024
"""Characters of a rule's text."""
_LONGEST_LISTED = 400
"""Characters of a rule's text in a list of rules."""
_PAGE_BYTES = 160 * 1024
_LONGEST_PIECE = 100
"""Characters of an argument's name or value in the list of what can be fixed."""
_MOST_BYTES = 48 * 1024
"""Bytes, as JSON, of a rule's text that is sent whole; two of them and all else fit a frame."""

RuleState = Literal["active", "proposed", "suspended"]


class RuleHandlers(Handlers):
    """Shows and changes rules. Only a client with a person may change them."""

    def __init__(self, engine: Engine, client: Client) -> None:
        super().__init__(engine, client)
        self._drafting: tuple[str, str, float] = ("", "", 0.0)
        """Call and digest that rules are made from, and since when: drafts asked for again are the same."""
        self._elsewhere: list[CallFacts] = []
        """Calls of other sessions to the server of that call."""

    # --- listing --------------------------------------------------------------------------------

    async def _read(self, command: ReadRules) -> AnyEvent:
        infos = await self._in_pool(self._listed, self._session.policy_in_force.rules.rules)
        words = command.query.casefold().split()
        fitting = [each for each in infos if all(word in _searched(each) for word in words)]
        wrong: list[str] = [each.what for each in self._context.loaded.problems]
        if broken := self._context.rule_book.broken:
            wrong.append(broken)
        problems = tuple(safe(each, limit=500) for each in wrong)
        page = _fitting_a_frame(fitting[max(0, command.after) :][:_PAGE])
        return RulesRead(rules=page, total=len(fitting), problems=problems)

    def _listed(self, counting: tuple[Rule, ...]) -> list[RuleInfo]:
        """Describe every rule. Thousands of them take a second: this runs in the pool."""
        book, catalogue = self._context.rule_book, self._context.catalogue
        findings = check_rules(
            counting,
            now=time.time(),
            uses=dict(book.uses),
            servers=frozenset(self._context.registry.names()),
            tools={server: frozenset(catalogue.hashes(server)) for server in list(catalogue.servers())},
            trusted=[server for server in self._context.registry.names() if book.trusts(server)],
        )
        found: dict[str, list[RuleFinding]] = {}
        for each in findings:
            found.setdefault(each.rule.key, []).append(each)
        infos = [self._info(rule, found.get(rule.key, ())) for rule in counting]
        infos += [self._info(rule, state="proposed") for rule in book.proposals]
        infos += [self._info(rule, state="suspended") for rule in self._context.loaded.suspended]
        return infos

    def _info(
        self,
        rule: Rule,
        found: Sequence[RuleFinding] = (),
        *,
        state: RuleState = "active",
    ) -> RuleInfo:
        book = self._context.rule_book
        over = any(each.kind in ("expired", "used_up") for each in found)
        return RuleInfo(
            id=rule.id,
            scope=rule.origin.scope,
            decision=rule.decision,
            sentence=safe(rule_sentence(rule), limit=2_000),
            toml=safe(rule_toml(rule), limit=_LONGEST_LISTED),
            place=safe_line(rule.origin.place),
            state="over" if over else state,
            digest=rule_digest(rule),
            made=rule.origin.made,
            created=rule.created,
            uses=book.uses.get(rule.key, 0),
            max_uses=rule.max_uses,
            last_used=book.last_used(rule),
            notes=tuple(safe(each.text, limit=500) for each in found),
            fixed=safe(_why_fixed(rule)),
        )

    async def _read_one(self, command: ReadRule) -> AnyEvent:
        by_state: dict[RuleState, Iterable[Rule]] = {
            "active": self._session.policy_in_force.rules.rules,
            "proposed": self._context.rule_book.proposals,
            "suspended": self._context.loaded.suspended,
        }
        rule, state = _named_with_state(by_state, command.id, command.scope)
        text = rule_toml(rule)
        whole = _fits(text)
        return RuleRead(
            rule=self._info(rule, state=state),
            rule_toml=text if whole else text[: _MOST_BYTES // 6],
            whole=whole,
        )

    # --- from a call ----------------------------------------------------------------------------

    def _waiting(self, call: str, digest: str) -> PendingCall:
        item = self._session.gate.item(call)
        if item is None or not item.waits or item.digest != digest:
            raise UserError("this call does not wait any more, or changed after it was shown")
        return item

    def _facts(self, item: PendingCall) -> CallFacts:
        return self._session.gate.facts(item.proposal, item.card.subject, item.mode)

    async def _propose(self, command: ProposeRules) -> AnyEvent:
        item = self._waiting(command.call, command.digest)
        if self._drafting[:2] != (item.id, item.digest):
            others = await self._engine.search.past_calls(
                item.card.subject.server, _ELSEWHERE, without=self._session.journal.session
            )
            self._elsewhere = await self._in_pool(_parsed, [(row, self._past_facts(row)) for row in others])
            self._drafting = (item.id, item.digest, float(int(time.time())))
        facts = replace(self._facts(item), now=self._drafting[2])
        choices = argument_choices(facts.arguments)
        how = {each.exact.path: command.fixed.get(each.exact.path, _usual(each)) for each in choices}
        conditions = [
            condition
            for each in choices
            if (condition := _condition(each, how[each.exact.path])) is not None
        ]
        taken = {rule.id for rule in self._session.policy_in_force.rules.rules}
        rows = await self._session.journal.run(lambda tx: call_table.recent(tx, _PAST))
        past = await self._in_pool(_parsed, [(row, self._past_facts(row)) for row in rows])
        drafts = [
            self._draft(drafted, item, past, command.scope)
            for drafted in draft_rules(facts, taken, conditions)
            if _fits(rule_toml(drafted.rule))
        ]
        arguments = tuple(
            RuleArgument(
                path=each.exact.path,
                label=safe_line(each.exact.path.removeprefix("/"), limit=_LONGEST_PIECE),
                value=safe_json(each.exact.value, limit=_LONGEST_PIECE),
                wider=safe_line(_wider_words(each), limit=_LONGEST_PIECE),
                fixed=how[each.exact.path],
            )
            for each in choices[:_PAGE]
        )
        return RulesProposed(call=item.id, drafts=tuple(drafts), arguments=arguments)

    def _draft(
        self,
        drafted: DraftedRule,
        item: PendingCall,
        past: Sequence[CallFacts],
        scope: NewRuleScope,
    ) -> RuleDraft:
        rule = drafted.rule
        rules = self._with(rule)
        hindrance = self._hindrance(rules, item)
        matched = [each for each in past if rule.matches(each)]
        elsewhere = [each for each in self._elsewhere if rule.matches(each)]
        file = str(self._context.loaded.paths.rules_file) if scope == "user" else ""
        return RuleDraft(
            width=drafted.width,
            sentence=safe(rule_sentence(rule), limit=2_000),
            toml=safe(rule_toml(rule), limit=_LONGEST_LISTED),
            rule_toml=rule_toml(rule),
            passes=not hindrance,
            hindrance=safe(hindrance, limit=500),
            matched=len(matched),
            past=len(past),
            matched_elsewhere=len(elsewhere),
            elsewhere=len(self._elsewhere),
            destructive=sum(each.risk == "destructive" for each in (*matched, *elsewhere)),
            releases=tuple(
                each.id
                for each in self._session.gate.waiting()
                if each.id != item.id and not self._hindrance(rules, each)
            ),
            file=safe_line(file, limit=500),
        )

    def _past_facts(self, row: CallRow) -> CallFacts:
        """Return what rules may look at of a call of the past, as far as the tool is known now."""
        subject = self._context.subject(row.server, row.tool)
        claimed = subject.risk if subject is not None else "unknown"
        return CallFacts(
            server=row.server,
            tool=row.tool,
            mode=self._session.settings.mode,
            agent=row.agent,
            who=row.origin,
            risk=sure_risk(claimed, trusted=self._session.policy_in_force.trusts(row.server)),
            claimed=claimed,
            server_cwd=subject.cwd if subject is not None else "",
        )

    def _with(self, rule: Rule) -> RuleSet:
        """Return the rules that would count with one more."""
        policy = self._session.policy_in_force
        rules = RuleSet((*policy.rules.rules, rule))
        return rules.without_allows() if policy.cautious else rules

    def _hindrance(self, rules: RuleSet, item: PendingCall) -> str:
        """Return why a pending call would still not be allowed under some rules, "" if it would."""
        session, subject = self._session, item.card.subject
        facts = session.gate.decision_facts(item.proposal, subject, item.mode)
        assessment = assess(session.policy_in_force.base(subject.server), facts, rules)
        if assessment.decision == "allow":
            return ""
        return "; ".join(assessment.why) or "it would still be asked about"

    async def _add(self, command: AddRule) -> AnyEvent:
        self._check_person()
        item = self._waiting(command.call, command.digest)
        rule = _rule(command.rule_toml)
        if rule.decision == "allow" and not rule.matches(self._facts(item)):
            raise UserError("this rule does not match the call it was made from")
        async with self._session.policy_in_force.changing:
            if command.scope == "user":
                self._check_no_secret(rule)
                rule = await self._saved(rule)
                await self._journal_added(rule, item)
            else:
                await self._add_to_session(rule, item)
        return CommandDone(id=rule.id)

    async def _add_to_session(self, rule: Rule, item: PendingCall) -> None:
        """Let a rule hold in this session: one that restricts before it is journalled, others after that.

        What the journal lets go after its entry must be allowed by it, and nothing may be let go by a rule
        that no audit on the disk tells of.
        """
        policy, session = self._session.policy_in_force, self._session.journal.session
        if rule.id in {each.id for each in policy.session_rules}:
            raise UserError(f"there is a rule {rule.id} already; give the new one another id")
        if rule.decision == "allow" and policy.cautious:
            raise UserError(MISTAKES)
        rule = replace(rule, origin=replace(rule.origin, session=session))
        self._context.rule_book.watch_uses([rule], new=True)
        if rule.decision != "allow":
            policy.add(rule)
        await self._journal_added(rule, item)
        if rule.decision == "allow":
            policy.add(rule)

    async def _journal_added(self, rule: Rule, item: PendingCall) -> None:
        """Journal a rule made from a pending call, with the pending calls that would pass with it."""
        rules = self._with(rule)
        await self._session.journal.commit(
            RuleAdded(
                id=rule.id,
                scope=rule.origin.scope,
                sentence=safe(rule_sentence(rule), limit=2_000),
                rule_toml=rule_toml(rule),
                place=safe_line(rule.origin.place),
                call=item.id,
                allows=tuple(
                    each.id for each in self._session.gate.waiting() if not self._hindrance(rules, each)
                ),
            )
        )

    async def _saved(self, rule: Rule) -> Rule:
        """Write a rule into the app's own file, and into the audit before it; return it with its place."""
        written = replace(rule, origin=replace(rule.origin, scope="user"))
        async with self._audited("rule added", written, str(self._context.loaded.paths.rules_file)):
            try:
                return await self._context.rule_book.add(rule)
            except (RulesFileError, RuleError) as error:
                raise UserError(str(error)) from None

    def _audited(self, action: str, rule: Rule, place: str) -> AbstractAsyncContextManager[None]:
        """Write into the installation's audit what is done about a rule, before it is done."""
        return self._context.consents.before(
            action,
            rule.key,
            detail=rule_digest(rule),
            place=place,
            session=self._session.journal.session,
        )

    def _check_no_secret(self, rule: Rule) -> None:
        """Refuse what would write a secret into a file. A rule of the session is sealed with it."""
        for condition in rule.args:
            name = condition.keys[-1] if condition.keys else ""
            values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
            hidden = [self._context.redactor.redact_value(each, name) for each in values]
            if all(before == after for before, after in zip(values, hidden, strict=True)):
                continue
            raise UserError(
                "this rule would write a secret of yours into a file; "
                "leave that argument open, or let the rule hold for this session only"
            )

    # --- revoking -------------------------------------------------------------------------------

    async def _revoke(self, command: RevokeRule) -> AnyEvent:
        self._check_person()
        async with self._session.policy_in_force.changing:
            counting = self._session.policy_in_force.rules.rules
            rule = _named(counting, command.id, command.scope, command.digest)
            if why := _why_fixed(rule):
                raise UserError(why)
            await self._revoked(rule)
        return CommandDone(id=rule.id)

    async def _revoked(self, rule: Rule) -> None:
        """Revoke a rule: one that allows before it is journalled, one that restricts after that."""
        policy, commit = self._session.policy_in_force, self._session.journal.commit
        revoked = RuleRevoked(id=rule.id, scope=rule.origin.scope, place=safe_line(rule.origin.place))
        tightens = rule.decision == "allow"
        if rule.origin.scope == "session":
            if tightens:
                policy.revoke(rule.id)
            await commit(revoked)
            policy.revoke(rule.id)
        elif tightens:
            await self._removed(rule)
            try:
                await commit(revoked)
            finally:  # the rule is gone from its file, whether or not the session can tell it
                await self._context.consents.note(
                    "rule revoked",
                    rule.key,
                    done=f"the rule {rule.id} is revoked",
                    detail=rule_digest(rule),
                    place=rule.origin.place,
                    session=self._session.journal.session,
                )
        else:
            async with self._audited("rule revoked", rule, rule.origin.place):
                await self._removed(rule)
            await commit(revoked)

    async def _removed(self, rule: Rule) -> None:
        """Remove a rule from its file, or withdraw that it was adopted. Raises `UserError`."""
        try:
            await self._context.rule_book.revoke(rule)
        except (RulesFileError, ConfigEditError, OSError) as error:
            raise UserError(str(error)) from None

    async def _adopt(self, command: AdoptRule) -> AnyEvent:
        self._check_person()
        rule = _named(self._context.rule_book.proposals, command.id, "project", command.digest)
        async with self._audited("rule adopted", rule, rule.origin.place):
            try:
                await self._context.rule_book.adopt(rule)
            except OSError as error:
                raise UserError(f"it cannot be saved that you adopted this rule: {error}") from None
        await self._session.journal.commit(
            RuleAdded(
                id=rule.id,
                scope="project",
                sentence=safe(rule_sentence(rule), limit=2_000),
                rule_toml=rule_toml(rule),
                place=safe_line(rule.origin.place),
            )
        )
        return CommandDone(id=rule.id)


def _searched(info: RuleInfo) -> str:
    words = (info.id, info.decision, info.state, info.scope, info.sentence, info.place, info.toml)
    return " ".join(words).casefold()


def _fitting_a_frame(infos: list[RuleInfo]) -> tuple[RuleInfo, ...]:
    """Return as many of some rules as can be sent together, at least one."""
    size = 0
    for count, info in enumerate(infos):
        size += len(msgspec.json.encode(info))
        if size > _PAGE_BYTES and count:
            return tuple(infos[:count])
    return tuple(infos)


def _parsed(past: Iterable[tuple[CallRow, CallFacts]]) -> list[CallFacts]:
    """Add their arguments to calls of the past; they may be large."""
    return [replace(facts, arguments=json.loads(row.args)) for row, facts in past]


def _fits(text: str) -> bool:
    """Whether a rule's text can be sent whole; what cannot be shown whole is not offered."""
    return len(text) <= _LONGEST and len(json.dumps(text)) <= _MOST_BYTES


def _rule(text: str) -> Rule:
    """Read a rule that a client sends. Raises `UserError`."""
    if len(text) > _LONGEST:
        raise UserError(f"a rule has at most {_LONGEST:,} characters")
    try:
        (table,) = tomllib.loads(text)["policy"]["rule"]
        return rule_from_table({"created": time.time(), **table}, RuleOrigin("session", made="card"))
    except RuleError as error:
        raise UserError(f"this rule cannot be used: {error.what}") from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"this is not one rule: {error}") from None


def _named_with_state(
    by_state: Mapping[RuleState, Iterable[Rule]], name: str, scope: str
) -> tuple[Rule, RuleState]:
    """Return a rule by its id and scope, with its state. Raises `UserError`."""
    for state, rules in by_state.items():
        for rule in rules:
            if (rule.id, rule.origin.scope) == (name, scope):
                return rule, state
    raise UserError(f"there is no rule {name} any more")


def _named(rules: Iterable[Rule], name: str, scope: str, digest: str) -> Rule:
    for rule in rules:
        if (rule.id, rule.origin.scope) == (name, scope):
            if rule_digest(rule) != digest:
                raise UserError(f"the rule {name} changed after it was shown; look at it again")
            return rule
    raise UserError(f"there is no rule {name} any more")


def _why_fixed(rule: Rule) -> str:
    """Return why a rule cannot be revoked here, "" if it can."""
    if rule.origin.scope == "project" and rule.decision != "allow":
        return f"it is the project's, which may restrict: change it in {rule.origin.place}"
    return ""


def _usual(choice: ArgumentChoice) -> HowFixed:
    if not choice.ticked:
        return "no"
    return "wider" if choice.wider is not None else "exact"


def _condition(choice: ArgumentChoice, how: HowFixed) -> ArgumentCondition | None:
    if how == "no":
        return None
    return choice.wider if how == "wider" and choice.wider is not None else choice.exact


def _wider_words(choice: ArgumentChoice) -> str:
    """Say what else can be fixed of an argument: its folder or its host."""
    if choice.wider is None:
        return ""
    value = choice.wider.value
    if choice.wider.op == "path_within":
        return f"anything in {value}"
    return f"any address at {', '.join(map(str, value))}" if isinstance(value, tuple) else str(value)
