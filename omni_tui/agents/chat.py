"""How far the agent may go in one turn of a chat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from omni_tui.agents.turn_writer import TurnStopped
from omni_tui.models.base import Purpose
from omni_tui.models.budget import Budget
from omni_tui.models.message_history import RESULT_LIMIT
from omni_tui.resilience.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class ChatPolicy:
    """Limits and prompt of a turn.

    `max_steps`: model requests in one turn. `system_prompt`: the person's own words to the model,
    added to ours. `result_limit`: characters of one result the model gets. `instructions`: what
    servers say about themselves, by name. `offered`: tools in one request, of more the best matches;
    `pinned`: model names of tools that are always among them. `budget`: what may be used, None for no
    limit.

    `max_calls`: calls of one answer that are carried out; of the rest the model is told.

    For the agents of a plan: `system` is a whole system prompt in the place of ours, `purpose` what the
    answers are for, `spoken` whether
    the text of an answer is told as one, `scope` what a call of a tool that is not on offer is told,
    `admit` is asked before each request and raises `TurnStopped` where there may be no more.

    For autonomous turns: `goal` are words to the model that go before the person's, `max_seconds` how
    much work `admit` lets pass, for showing. `late` tells a cancelled turn whether its time was used.
    """

    max_steps: int = 25
    system_prompt: str = ""
    result_limit: int = RESULT_LIMIT
    instructions: Mapping[str, str] = field(default_factory=dict)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    offered: int = 40
    pinned: tuple[str, ...] = ()
    budget: Budget | None = None
    malformed_tries: int = 2
    same_calls: int = 3
    max_calls: int = 32
    max_rejections: int = 5
    stop_grace_s: float = 5.0
    system: str = ""
    purpose: Purpose = "answer"
    spoken: bool = True
    scope: str = ""
    admit: Callable[[], None] | None = None
    late: Callable[[], TurnStopped | None] | None = None
    goal: str = ""
    max_seconds: float = 0.0
