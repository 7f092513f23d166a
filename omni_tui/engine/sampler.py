"""Sampling: answers of the model for servers, within a budget of their own.

Source: MCP 2025-11-25, client/sampling.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from omni_tui.approvals.server_request_review import (
    InvalidServerRequest,
    cut_at,
    requested_tokens,
    sampling_messages,
)
from omni_tui.config.sections import SamplingSection
from omni_tui.engine.turn_modes import SessionSettings
from omni_tui.models.base import Model, ModelError, ModelRequest, Reply
from omni_tui.models.budget import Budget, BudgetExceeded, add_usage, forecast
from omni_tui.protocol.events import Usage
from omni_tui.resilience.retry import RetryPolicy, with_retries

logger = logging.getLogger(__name__)

LEAST = 16
"""Tokens of answer below which a request is refused."""

SamplingStop = Literal["endTurn", "stopSequence", "maxTokens"]


class SamplingModelFactory(Protocol):
    """Makes a model with other limits than the config's."""

    def __call__(
        self, name: str, *, max_tokens: int | None = None, temperature: float | None = None
    ) -> Model:
        """Return the model of a name. Raises `ModelError`."""
        ...


@dataclass(frozen=True, slots=True)
class SamplingAnswer:
    """An answer, the model that gave it, why it ended, and what it used."""

    text: str
    model: str
    stop: SamplingStop
    usage: Usage


class Sampler:
    """Has a model answer servers. `spent` counts the tokens of this session's sampling requests."""

    def __init__(
        self,
        settings: SamplingSection,
        session: SessionSettings,
        make: SamplingModelFactory,
        spending: Budget | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._settings = settings
        self._session = session
        self._make = make
        self._spending = spending
        self._retry = retry or RetryPolicy()
        self.spent = 0

    @property
    def name(self) -> str:
        """The model that would answer."""
        return self._settings.model or self._session.model

    @property
    def review(self) -> bool:
        """Whether the person sees an answer before the server gets it."""
        return self._settings.review

    @property
    def budget(self) -> str:
        """What is left to spend, in words."""
        limit = self._settings.session_tokens
        return f"{max(0, limit - self.spent):,} of {limit:,} tokens left for servers in this session"

    async def sample(self, body: dict[str, Any]) -> SamplingAnswer:
        """Return an answer to a sampling request.

        Raises `InvalidServerRequest` for a request that cannot be worked with or that the budget does not
        cover, `ModelError` where the model fails.
        """
        request = ModelRequest(sampling_messages(body), purpose="sampling")
        wanted = min(requested_tokens(body), self._settings.max_tokens)
        sent = self._make(self.name).count(request)
        left = self._settings.session_tokens - self.spent - sent
        if left < min(LEAST, wanted):
            raise InvalidServerRequest(
                f"the budget does not cover it: it would send {sent:,} tokens, and {self.budget}; "
                "raise session_tokens in the config's table sampling"
            )
        model = self._make(self.name, max_tokens=min(wanted, left), temperature=_temperature(body))

        lost = Usage()

        async def attempt(_: int) -> Reply:
            nonlocal lost
            try:
                return await _answer(model, request)
            except ModelError as error:
                lost = add_usage(lost, error.usage) if error.usage is not None else lost
                error.usage = lost if lost != Usage() else None
                raise

        hold = self._hold(model, request)
        try:
            reply = await with_retries(
                attempt, self._retry, lambda retry: logger.info("sampling: %s", retry.error.what)
            )
        except ModelError:
            self.spent += lost.input + lost.output
            raise
        finally:
            if self._spending is not None:
                self._spending.free(hold)
        used = add_usage(reply.usage, lost)
        self.spent += used.input + used.output
        text, stopped = cut_at(reply.message.text, body)
        stop: SamplingStop = "maxTokens" if reply.finish in ("length", "window") else "endTurn"
        return SamplingAnswer(text, model.name, "stopSequence" if stopped else stop, used)

    def _hold(self, model: Model, request: ModelRequest) -> int:
        """Reserve what it may use of the person's budgets. Raises `InvalidServerRequest`."""
        if self._spending is None:
            return 0
        try:
            return self._spending.hold("", model.name, forecast(model, request))
        except BudgetExceeded as over:
            raise InvalidServerRequest(f"{over.reason}; {over.todo}") from None


def _temperature(body: dict[str, Any]) -> float | None:
    value = body.get("temperature")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
        return None
    return float(value)


async def _answer(model: Model, request: ModelRequest) -> Reply:
    used: Usage | None = None
    stream = model.stream(request)
    try:
        async for event in stream:
            if isinstance(event, Reply):
                if event.complete:
                    return event
                used = event.usage
                break
    finally:
        await stream.aclose()
    raise ModelError("cut", "the answer ended before it was finished", todo="try again", usage=used)
