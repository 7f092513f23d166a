"""What it costs to prepare one request: `python -m tests.bench.context [ROUNDS]`.

A conversation of 10 to 10,000 messages grows by an answer with a call and its result; then the next
request is prepared. The naive way closes the whole history and counts all of it every time; ours does
so for what is new. Once in a window that holds everything, once in one that holds a part.
Milliseconds of processor time, medians; the ratios travel, the milliseconds do not.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from omni_tui.models.base import Message, ModelRequest, ToolCall, ToolSpec
from omni_tui.models.message_history import estimate, tool_message
from omni_tui.models.summary import digest
from omni_tui.models.window import Window
from tests.scripted_model import ScriptedModel, close_history

SYSTEM = Message(role="system", text="You work in Omni TUI. " * 60)
TOOLS = tuple(ToolSpec(f"demo__tool_{n}", "Does it. " * 20, {"type": "object"}) for n in range(40))
SIZES = (10, 100, 1_000, 10_000)


class Counter(ScriptedModel):
    """A model that counts as the real ones do, and is never asked."""

    def count(self, request: ModelRequest) -> int:
        """Estimate as `LiteLLMModel` does."""
        tools = sum(40 + (len(tool.description) + len(str(tool.parameters))) // 4 for tool in request.tools)
        return estimate(request.messages) + tools


def step(number: int) -> list[Message]:
    """Return an answer with a call, its result, and what the person says next."""
    call = ToolCall(f"call_{number}", "demo__tool_1", f'{{"path": "notes/{number}.md"}}')
    return [
        Message(role="assistant", text="I look that up.", calls=(call,)),
        tool_message(call, f"line {number} of the file\n" * 60, "succeeded", ref=f"c-{number:012x}"),
        Message(role="assistant", text=f"It says {number}. " * 10),
        Message(role="user", text=f"And what about {number + 1}?"),
    ]


def talk(size: int) -> list[Message]:
    """Return a conversation of about `size` messages."""
    messages = [Message(role="user", text="Read my notes.")]
    while len(messages) < size:
        messages += step(len(messages))
    return messages


def naive(model: Counter, history: tuple[Message, ...]) -> ModelRequest:
    """Close and count everything."""
    request = ModelRequest((SYSTEM, *close_history(history)), TOOLS)
    model.count(request)
    return request


def ours(model: Counter, window: Window, history: tuple[Message, ...]) -> ModelRequest:
    """Close and count what is new, and keep to the window."""
    window.update(model, history)
    tools = window.offering.choose(TOOLS, history, limit=40)
    fitted = window.fit(model, SYSTEM, tools)
    if fitted.missing:
        window.summarised(model, digest(fitted.missing), by_model=False)
        window.fit(model, SYSTEM, tools)
    return window.request(SYSTEM, tools)


def measure(size: int, model: Counter, rounds: int) -> tuple[float, float]:
    """Return the milliseconds of our way and of the naive one, for requests as a conversation grows."""
    window, messages = Window(), talk(size)
    ours(model, window, tuple(messages))
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        messages += step(1_000_000 + number)
        history = tuple(messages)
        ways: tuple[Callable[[], ModelRequest], ...] = (
            lambda: ours(model, window, history),  # noqa: B023
            lambda: naive(model, history),  # noqa: B023
        )
        for way, times in zip(ways, took, strict=True):
            started = time.process_time_ns()
            way()
            times.append((time.process_time_ns() - started) / 1e6)
    return statistics.median(took[0]), statistics.median(took[1])


def choosing(count: int, rounds: int) -> tuple[float, float]:
    """Return the milliseconds of the first choice out of `count` tools, and of the next ones."""
    tools = tuple(
        ToolSpec(f"s{n % 9}__tool_{n}", f"Reads the {n} thing and lists what it holds. " * 4, {})
        for n in range(count)
    )
    window, history = Window(), talk(100)
    took: list[float] = []
    for _ in range(rounds):
        started = time.process_time_ns()
        window.offering.choose(tools, history, limit=40)
        took.append((time.process_time_ns() - started) / 1e6)
    return took[0], statistics.median(took[1:])


def main() -> None:
    """Print the tables."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else 25
    for label, window in (("all of it fits", 100_000_000), ("a window of 32,000 tokens", 32_000)):
        print(f"{label}:")
        for size in SIZES:
            mine, control = measure(size, Counter(window=window), rounds)
            print(
                f"  {size:>6} messages: {mine:8.3f} ms a request, the naive way {control:8.3f} ms: "
                f"{mine / control:.3f} × of it"
            )
    for count in (100, 1_000, 10_000):
        first, then = choosing(count, rounds)
        print(f"40 of {count} tools: {then:.2f} ms a request ({first:.1f} the first time)")


if __name__ == "__main__":
    main()
