"""The tools that a model is told of in one session: those of the catalogue, without what a rule denies."""

from __future__ import annotations

import time

from omni_tui.approvals.policy_in_force import PolicyInForce
from omni_tui.engine.context import EngineContext
from omni_tui.models.base import ToolSpec
from omni_tui.policy import CallFacts, RuleSet
from omni_tui.protocol import Mode


class OfferedTools:
    """Keeps the same objects until a listing, a rule or the mode changes, so that counts of them hold."""

    def __init__(self, context: EngineContext, policy: PolicyInForce) -> None:
        self._context = context
        self._policy = policy
        self._made_of: tuple[tuple[ToolSpec, ...], RuleSet, Mode] | None = None
        self._offered: tuple[ToolSpec, ...] = ()

    def under(self, mode: Mode) -> tuple[ToolSpec, ...]:
        """Return the tools for a turn in `mode`."""
        specs = self._context.catalogue.specs(self._context.routes.offered)
        rules = self._policy.rules
        if not any(rule.decision == "deny" and not rule.args for rule in rules.rules):
            return specs
        made_of = (specs, rules, mode)
        if self._made_of is None or any(
            one is not other for one, other in zip(self._made_of, made_of, strict=True)
        ):
            self._offered = tuple(spec for spec in specs if not self._is_hidden(spec, rules, mode))
            self._made_of = made_of
        return self._offered

    def _is_hidden(self, spec: ToolSpec, rules: RuleSet, mode: Mode) -> bool:
        tool = self._context.catalogue.find(spec.name)
        if tool is None:
            return False
        facts = CallFacts(
            server=tool.server,
            tool=tool.name,
            mode=mode,
            risk=tool.risk,
            now=time.time(),
            uses=self._policy.uses,
        )
        return bool(rules.hiding(facts))
