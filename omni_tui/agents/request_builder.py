"""Builds a request: the tools, the part of the history that fits, a summary of the rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from omni_tui.agents.system_prompt import system_prompt
from omni_tui.agents.turn_limits import TurnSettings
from omni_tui.agents.turn_writer import TurnWriter
from omni_tui.models.base import (
    Message,
    Model,
    ModelError,
    ModelRequest,
    Reply,
    TextPart,
    ToolSpec,
    WindowFinder,
)
from omni_tui.models.budget import BudgetExceeded, forecast
from omni_tui.models.builtin_tool_specs import READ_RESULT, TRACK_GOAL
from omni_tui.models.message_history import estimate
from omni_tui.models.summary import LONGEST, clean, digest, summary_request
from omni_tui.models.window import FittedRequest
from omni_tui.protocol.context import ContextChanged, ContextPart, ContextSummarised, ShrunkResult
from omni_tui.protocol.events import AnyEvent, Notice, Usage, UsageChanged
from omni_tui.security.text import safe, safe_line

logger = logging.getLogger(__name__)

SUMMARY_S = 60.0
_MANY = 500
_ASK_LIMIT = 48_000
_ASK_LEAST = 1_000
_ASK_SHARE = 0.6


class RequestBuilder:
    """Builds the requests of one turn of an agent."""

    def __init__(self, writer: TurnWriter, settings: TurnSettings) -> None:
        self._writer = writer
        self._settings = settings
        words = settings.system or system_prompt(
            settings.system_prompt, settings.instructions, goal=settings.goal
        )
        self._system = Message(role="system", text=words)
        self.window = writer.host.window(writer.agent)

    async def request(self, model: Model, tools: tuple[ToolSpec, ...]) -> ModelRequest:
        """Return the next request, and show what it contains. Raises `ModelError`."""
        if isinstance(model, WindowFinder):
            await model.look_up_window()
        window, history = self.window, self._writer.host.history()
        window.update(model, history)
        offered = await self._offered(model, tools, history)
        fitted = window.fit(model, self._system, offered)
        if fitted.missing:
            await self._summarise(model, fitted.missing)
            fitted = window.fit(model, self._system, offered)
        self._writer.host.live(self._contents(model, fitted, len(offered), len(tools)))
        return window.request(self._system, offered, self._settings.purpose)

    async def _offered(
        self, model: Model, tools: tuple[ToolSpec, ...], history: Sequence[Message]
    ) -> tuple[ToolSpec, ...]:
        window, offering = self.window, self.window.offering
        if len(tools) > self._settings.offered and offering.index.fresh(tools) > _MANY:
            # Reading thousands of descriptions would block the event loop.
            await asyncio.to_thread(offering.index.update, tools)
        limit = window.limit(model)
        offered = offering.choose(
            tools,
            history,
            limit=self._settings.offered,
            pinned=self._settings.pinned,
            room=limit // 2 if limit is not None else None,
            cost=lambda tool: window.cost(model, tool),
        )
        if self._settings.goal and offered:
            offered = (*offered, TRACK_GOAL)
        return (*offered, READ_RESULT) if window.readable else offered

    # --- summaries ------------------------------------------------------------------------------

    async def _summarise(self, model: Model, missing: list[Message]) -> None:
        """Summarise what is left out, by the model or else by rules, and journal the summary."""
        before = self.window.summary()
        earlier = before.text if before is not None else ""
        what = (
            f"Summarising {len(missing)} older messages, so that the conversation fits the model's window."
        )
        self._writer.host.live(Notice(level="info", what=safe(what)))
        text, usage, reason = await self._ask(model, missing, earlier)
        by_model = not reason
        # Shown and journalled exactly as the model gets it.
        summary = self.window.summarised(model, safe(text or digest(missing, earlier)), by_model=by_model)
        turn, agent = self._writer.turn, self._writer.agent
        events: list[AnyEvent] = [
            ContextSummarised(
                turn=turn,
                upto=summary.upto,
                mark=summary.mark,
                text=safe(summary.text),
                by_model=by_model,
                reason=safe_line(reason, limit=400),
                agent=agent,
            )
        ]
        if usage is not None:
            name = safe_line(model.name)
            events.append(UsageChanged(turn=turn, usage=usage, agent=agent, model=name))
        await self._writer.commit(*events)

    async def _ask(
        self, model: Model, missing: list[Message], earlier: str
    ) -> tuple[str, Usage | None, str]:
        """Return the model's summary, what it used, and why there is none."""
        limit = self.window.limit(model)
        room = min(_ASK_LIMIT, limit * 2) if limit is not None else _ASK_LIMIT
        request = summary_request(missing, earlier, room)
        while limit is not None and room > _ASK_LEAST and model.count(request) > limit * _ASK_SHARE:
            room //= 2  # Some scripts have fewer than four characters to a token.
            request = summary_request(missing, earlier, room)
        budget, hold = self._settings.budget, 0
        if budget is not None:
            try:
                hold = budget.hold(self._writer.turn, model.name, forecast(model, request))
            except BudgetExceeded as over:
                return "", None, over.reason
        try:
            return await self._hear(model, request)
        finally:
            if budget is not None:
                budget.free(hold)

    async def _hear(self, model: Model, request: ModelRequest) -> tuple[str, Usage | None, str]:
        """Read a summary from the model, up to its limits of time and length."""
        stream = model.stream(request)
        parts: list[str] = []
        usage: Usage | None = None
        reason = ""
        try:
            async with asyncio.timeout(SUMMARY_S):
                async for event in stream:
                    if isinstance(event, TextPart):
                        parts.append(event.text)
                    elif isinstance(event, Reply):
                        parts, usage = [event.message.text], event.usage
                        reason = "" if event.complete else "the summary ended before it was finished"
                    if sum(map(len, parts)) > LONGEST:
                        break
        except ModelError as error:
            reason, usage = error.what, error.usage or usage
        except TimeoutError:
            reason = f"the model did not finish within {SUMMARY_S:.0f} seconds"
        except Exception as error:
            logger.exception("the model %s broke while it summarised", model.name)
            reason = f"the model broke: {type(error).__name__}"
        finally:
            await stream.aclose()
        text = "" if reason else clean("".join(parts))
        if usage is None and parts:
            # It broke off; its text was paid for nevertheless.
            said = estimate([Message("assistant", "".join(parts))])
            usage = Usage(input=estimate(request.messages), output=said, estimated=True)
        return text, usage, reason or ("" if text else "the model's summary was empty")

    # --- what is shown --------------------------------------------------------------------------

    def _contents(self, model: Model, fitted: FittedRequest, offered: int, tools: int) -> ContextChanged:
        summary = self.window.used()
        return ContextChanged(
            turn=self._writer.turn,
            agent=self._writer.agent,
            model=safe_line(model.name),
            parts=tuple(ContextPart(kind=kind, tokens=tokens) for kind, tokens in fitted.tokens.items()),
            total=fitted.total,
            limit=fitted.limit,
            window=model.context_window(),
            shrunk=tuple(
                ShrunkResult(call=each.ref, tool=safe_line(each.name, limit=128), size=each.size)
                for each in fitted.shrunk[-50:]
            ),
            shrunk_count=len(fitted.shrunk),
            dropped=fitted.dropped,
            summarised=summary.upto if summary is not None else 0,
            by_model=summary is not None and summary.by_model,
            summary=safe(summary.text, limit=8_000) if summary is not None else safe(""),
            offered=offered,
            tools=tools,
            hits=fitted.hits,
            misses=fitted.misses,
            assumed=fitted.assumed,
        )
