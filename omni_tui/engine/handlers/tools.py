"""Commands about tools: describe one, check arguments, call it by hand; the cache and the counts."""

from __future__ import annotations

import time
from dataclasses import replace

from omni_tui.approvals.subject import Question, Subject
from omni_tui.engine.context import EngineContext
from omni_tui.engine.handlers.base import Handlers
from omni_tui.policy import SEVERITY, CallFacts, Rule, rule_sentence
from omni_tui.protocol import AnyEvent, JsonText, SafeText, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.call_stats import ClearCache, ReadStats, StatsRead
from omni_tui.protocol.events import (
    ArgumentsChecked,
    CommandDone,
    ConfirmNeeded,
    Problem,
    ToolDetails,
)
from omni_tui.protocol.rules import ReadToolRules, ToolRule, ToolRulesRead
from omni_tui.security.identifiers import identifier
from omni_tui.security.schema_checker import BadSchema
from omni_tui.security.text import exact_json, safe, safe_line
from omni_tui.tools.call_arguments import BadArguments, parse_arguments
from omni_tui.tools.catalogue import Tool, annotation_lines

_SCHEMA_LIMIT = 200_000
_FRAME = 150_000
"""Characters of tools with rules that are told at once."""
_RULES = 5
"""How many rules are named."""


class ToolHandlers(Handlers):
    """Describes, checks and calls tools."""

    async def _describe(self, command: c.DescribeTool) -> AnyEvent:
        tool = find_tool(self._context, command.server, command.tool)
        definition = tool.definition
        schema = exact_json(definition.input_schema)
        output = exact_json(definition.output_schema) if definition.output_schema else exact_json({})
        if len(schema) + len(output) > _SCHEMA_LIMIT:
            output = exact_json({})
        if len(schema) > _SCHEMA_LIMIT:
            schema = exact_json({"type": "object"})
        return ToolDetails(
            server=tool.server,
            tool=tool.name,
            label=identifier(tool.name),
            title=safe_line(definition.title, limit=128),
            description=safe(definition.description, limit=16_000),
            risk=tool.risk,
            server_trusted=tool.server_trusted,
            annotations=annotation_lines(definition.annotations),
            input_schema_json=schema,
            output_schema_json=output if definition.output_schema else JsonText(""),
            trust=tool.trust,
            model_name=tool.model_name,
            server_changed=tool.server_trust == "changed",
            alike=self._context.catalogue.names.words(tool.server, tool.name),
            imitation=tool.is_imitation(self._context.catalogue.names),
            rules=self._rules_about(tool),
            not_checked=await self._context.schemas.not_checked(tool.def_hash, definition.input_schema),
        )

    def _rules_about(self, tool: Tool) -> tuple[SafeText, ...]:
        """Say which rules deny this tool or ask about it, those first that do so whatever is sent."""
        rules = self._session.policy_in_force.rules.about(tool.server, tool.name)
        facts = CallFacts(tool.server, tool.name, now=time.time(), uses=self._context.rule_book.uses)
        found = [rule for rule in rules if rule.decision != "allow" and not rule.is_over(facts)]
        found.sort(key=lambda rule: (rule.decision != "deny", bool(rule.args) or rule.outside, rule.id))
        said = [
            safe(f'the rule "{rule.id}" ({rule.origin.place}): {rule_sentence(rule)}', limit=600)
            for rule in found[:_RULES]
        ]
        more = len(found) - len(said)
        return (*said, *((safe(f"and {more} more"),) if more else ()))

    async def _read_rules(self, _command: ReadToolRules) -> AnyEvent:
        rules, found, size, more = self._session.policy_in_force.rules, [], 0, 0
        now, uses = time.time(), self._context.rule_book.uses
        for tool in self._context.catalogue.all():
            facts = CallFacts(tool.server, tool.name, risk=tool.risk, now=now, uses=uses)
            deciding = [rule for rule in rules.about(tool.server, tool.name) if _decides(rule, facts)]
            strictest = max(deciding, key=_severity, default=None)
            if strictest is None or strictest.decision == "allow":
                continue
            size += len(tool.server.encode()) + len(tool.name.encode()) + len(strictest.id) + 60
            if size > _FRAME:
                more += 1
                continue
            mark = ToolRule(
                server=tool.server,
                tool=tool.name,
                decision=strictest.decision,
                rule=safe_line(strictest.id, limit=100),
            )
            found.append(mark)
        return ToolRulesRead(tools=tuple(found), more=more)

    async def _check(self, command: c.CheckArguments) -> AnyEvent:
        tool = find_tool(self._context, command.server, command.tool)
        try:
            value = parse_arguments(command.arguments_json)
            problems = await self._context.schemas.check(tool.def_hash, tool.definition.input_schema, value)
        except BadArguments as error:
            problems = (Problem(where=safe(""), what=safe(str(error))),)
        except BadSchema:
            problems = ()
        return ArgumentsChecked(problems=problems)

    async def _call(self, command: c.CallTool) -> AnyEvent:
        tool = find_tool(self._context, command.server, command.tool)
        calls = self._session.calls
        try:
            value = parse_arguments(command.arguments_json)
            unchecked = await calls.proposals.check(tool, value, len(command.arguments_json))
        except BadArguments as error:
            raise UserError(str(error)) from None
        confirms = command.digest if command.confirmed else ""
        hand = calls.proposals.by_hand(tool, value, confirms=confirms, unchecked=unchecked)
        question = await calls.question(hand)
        if question is None and self._client.headless and hand.subject.held:
            # Nobody looked at the change: a yes to it is none.
            question = await calls.question(replace(hand, proposal=replace(hand.proposal, confirms="")))
        if question is not None:
            return _confirm_needed(hand.subject, question, again=bool(confirms))
        return CommandDone(id=calls.start_by_hand(hand))

    async def _clear_cache(self, command: ClearCache) -> AnyEvent:
        if command.server:
            self._context.connection(command.server)
        dropped = self._context.cache.clear(command.server)
        results = "1 result was" if dropped == 1 else f"{dropped} results were"
        return CommandDone(text=safe(f"{results} dropped from the cache"))

    async def _read_stats(self, _command: ReadStats) -> AnyEvent:
        counts = self._session.feed.fold.counts
        return StatsRead(
            pool=self._context.pool.depth(),
            tools=counts.tool_rows(),
            cache_entries=len(self._context.cache),
            cache_hits=self._context.cache.hits,
            messages=counts.messages,
            answers=counts.answers,
            turns=dict(counts.turns),
            calls=dict(counts.calls),
            models=counts.model_rows(),
        )


def _confirm_needed(subject: Subject, question: Question, *, again: bool) -> ConfirmNeeded:
    """Return what a call by hand is asked about; `again`: a yes was for something else."""
    changed = ("something about this call changed after you were asked",) if again else ()
    return ConfirmNeeded(
        server=subject.server,
        tool=subject.tool,
        risk=subject.risk,
        why=tuple(safe(why, limit=1_000) for why in (*changed, *question.why)),
        digest=question.digest,
        held=question.held,
    )


def _decides(rule: Rule, facts: CallFacts) -> bool:
    """Whether a rule asks about a tool or denies it, whatever arguments are sent."""
    return rule.decision != "allow" and not (rule.args or rule.outside or rule.is_over(facts))


def _severity(rule: Rule) -> int:
    return SEVERITY[rule.decision]


def find_tool(context: EngineContext, server: str, name: str) -> Tool:
    """Return a tool. Raises `UserError` that says why it is not there."""
    tool = context.catalogue.get(server, name)
    if tool is not None:
        return tool
    state = context.connection(server).state
    if server not in context.catalogue.servers():
        if state in ("active", "idle", "degraded"):
            raise UserError(f"{server} has not listed its tools yet; try again when it has")
        raise UserError(f"{server} is not connected, so its tools are not known")
    raise UserError(f"{server} has no tool named {name}")
