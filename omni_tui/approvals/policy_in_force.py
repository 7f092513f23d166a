"""The policy that counts in a session now: decisions of the modes, rules of all scopes, and their uses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from omni_tui.approvals.outside_data import OutsideData, Result
from omni_tui.approvals.policy import Decision
from omni_tui.policy import OutsideCheck, Rule, RuleSet, nothing_outside, unclear_outside
from omni_tui.protocol import Mode
from omni_tui.protocol.values import CallOrigin


class SharedRules(Protocol):
    """The rules of the files, which all sessions of an engine share.

    `generation` changes with the rules. `cautious`: the policy has mistakes, so no allow rule counts.
    `uses` says how often each rule was used, by `Rule.key`.
    """

    generation: int

    @property
    def cautious(self) -> bool:
        """Whether the policy has mistakes."""
        ...

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that count now."""
        ...

    @property
    def uses(self) -> Mapping[str, int]:
        """How often each rule was used."""
        ...

    def base(self, server: str) -> Mapping[Mode, Decision]:
        """Return what each mode does with the calls of a server that no rule decides on.

        As of when `rules` or `cautious` was read last.
        """
        ...

    def trusts(self, server: str) -> bool:
        """Whether the person trusts what a server returns."""
        ...

    def count(self, rules: Iterable[Rule]) -> None:
        """Count a use of these rules now."""
        ...

    async def save_uses(self) -> None:
        """Write the uses to disk. Raises `OSError`."""
        ...


class EarlierResults(Protocol):
    """What servers returned in a session until now."""

    async def read(self) -> Iterable[Result]:
        """Return all of it."""
        ...


class PolicyInForce:
    """What the gate of a session asks. `session_rules` are gone with the session.

    Results of servers are read from `earlier` when the first rule that asks for data from outside is in
    force, and noted as they come from then on; without such a rule nothing is read or kept.
    """

    def __init__(
        self,
        shared: SharedRules,
        session_rules: Iterable[Rule] = (),
        earlier: EarlierResults | None = None,
    ) -> None:
        self._shared = shared
        self._earlier = earlier
        self.changing = asyncio.Lock()
        """Held while the person's rules are changed, which takes a write: one change at a time."""
        self._preparing = asyncio.Lock()
        self._noting = False
        self._ready = False
        self._watches = False
        self._session_rules = {rule.id: rule for rule in session_rules}
        self._set = RuleSet()
        self._generation: int | None = None
        self._outside = OutsideData()

    @property
    def rules(self) -> RuleSet:
        """All rules that count now."""
        self._follow(self._shared.rules)
        return self._set

    def _follow(self, shared: tuple[Rule, ...]) -> None:
        """Build the set anew if rules of the files or of the session have changed."""
        if self._generation == self._shared.generation:
            return
        self._set = RuleSet((*shared, *self._session_rules.values()))
        if self._shared.cautious:
            self._set = self._set.without_allows()
        self._watches = any(rule.asks_outside for rule in self._set.rules)
        self._generation = self._shared.generation

    @property
    def uses(self) -> Mapping[str, int]:
        """How often each rule was used, by `Rule.key`."""
        return self._shared.uses

    @property
    def cautious(self) -> bool:
        """Whether the policy has mistakes: no allow rule counts, and every call is asked about."""
        return self._shared.cautious

    @property
    def session_rules(self) -> tuple[Rule, ...]:
        """The rules of this session."""
        return tuple(self._session_rules.values())

    def base(self, server: str) -> Mapping[Mode, Decision]:
        """Return what each mode does with the calls of a server that no rule decides on.

        As of when `rules` or `cautious` was read last.
        """
        return self._shared.base(server)

    def trusts(self, server: str) -> bool:
        """Whether the person trusts what a server claims and returns."""
        return self._shared.trusts(server)

    # --- data from outside ----------------------------------------------------------------------

    @property
    def watches_outside(self) -> bool:
        """Whether a rule asks for data from outside."""
        self._follow(self._shared.rules)
        return self._watches

    def remember_result(self, result: Result) -> None:
        """Note what a server returned, unless the person trusts the server."""
        if self._noting and not self.trusts(result.server):
            self._outside.add(result)

    def typed(self, words: str) -> None:
        """Note words of the person: they are not from outside, whoever returns them too."""
        if words:
            self._outside.typed(words)

    async def prepare(self) -> None:
        """Make ready all that rules look at. Call it before a decision; without it, much is unclear."""
        if not self.watches_outside:
            return
        async with self._preparing:
            if not self._ready:
                self._noting = True  # first: what comes while the earlier ones are read must not be missed
                for result in await self._earlier.read() if self._earlier is not None else ():
                    self.remember_result(result)
                self._ready = True
            while self._outside.step():  # noqa: ASYNC110 - others run in between
                await asyncio.sleep(0)

    def outside(self, call: CallOrigin) -> OutsideCheck:
        """Return what says which values of a call's arguments contain data from outside.

        By the rules of the files as of when `rules` was read last.
        """
        if self._generation != self._shared.generation:
            self._follow(self._shared.rules)
        if not self._watches:
            return nothing_outside
        return self._outside.in_call(call) if self._ready else unclear_outside

    def add(self, rule: Rule) -> None:
        """Let a rule count in this session."""
        self._session_rules[rule.id] = rule
        self._generation = None

    def revoke(self, rule: str) -> None:
        """Revoke a rule of this session."""
        self._session_rules.pop(rule, None)
        self._generation = None

    def used(self, rules: tuple[Rule, ...]) -> None:
        """Count a call that these rules allow: at the proposal, so that two calls never share one use."""
        self._shared.count(rules)

    async def save_uses(self, rules: tuple[Rule, ...]) -> None:
        """Put the uses on disk, if one of the rules is limited. Raises `OSError`."""
        if any(rule.max_uses for rule in rules):
            await self._shared.save_uses()
