"""The tool-calling mode of a model: native, text or none. "auto" tries native and remembers text."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import msgspec

from omni_tui.config.spec import ToolCallingSetting
from omni_tui.models.base import (
    Message,
    Model,
    ModelError,
    ModelEvent,
    ModelRequest,
    Reply,
    TextPart,
    ToolSpec,
    WindowFinder,
)
from omni_tui.models.budget import Forecast, add_usage, forecast
from omni_tui.models.message_history import read_json
from omni_tui.models.quirks import ModelMemory, TransientModelMemory
from omni_tui.models.text_react import ActionBuffer, as_text, parse
from omni_tui.protocol.events import Usage

_MARKS = ("<tool_call", "<|tool_call", "<function=", "<function_calls>", "<|python_tag|>", "[TOOL_CALLS]")
_LEAK = re.compile("|".join(re.escape(mark) for mark in _MARKS))
_OPENINGS = (*_MARKS, "{", "[{", "```json", "```\n{")
_LONGEST_HELD = 4_000


class ToolModeModel:
    """A model that calls tools in native or text mode.

    `on_text` gets the model's name and the reason when the model turns out to need text mode.
    """

    def __init__(
        self,
        inner: Model,
        mode: ToolCallingSetting = "auto",
        memory: ModelMemory | None = None,
        *,
        key: str = "",
        on_text: Callable[[str, str], None] | None = None,
    ) -> None:
        self._inner = inner
        self.name = inner.name
        self.label = inner.label
        self._setting = mode
        self._memory = memory or TransientModelMemory()
        self._key = key or inner.name
        self._on_text = on_text or (lambda _name, _reason: None)

    @property
    def mode(self) -> ToolCallingSetting:
        """The mode of the next request."""
        if self._setting == "auto":
            return "text" if self._memory.is_text(self._key) else "native"
        return self._setting

    def context_window(self) -> int | None:
        """The context window in tokens."""
        return self._inner.context_window()

    async def look_up_window(self) -> None:
        """Look up the window, if the model can."""
        if isinstance(self._inner, WindowFinder):
            await self._inner.look_up_window()

    def assumed_window(self) -> int | None:
        """The context window, in tokens, to assume where it is unknown."""
        return self._inner.assumed_window() if isinstance(self._inner, WindowFinder) else None

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens, as it will be sent."""
        return self._inner.count(self._sent(request))

    def forecast(self, request: ModelRequest) -> Forecast:
        """Estimate a request's usage, as it will be sent."""
        return forecast(self._inner, self._sent(request))

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream one answer; calls that the model wrote as text become calls."""
        mode = self.mode
        if mode == "none" or (mode == "native" and (not request.tools or self._setting == "native")):
            source = self._inner.stream(self._sent(request))
        elif mode == "text":
            source = self._text(request, Usage())
        else:
            source = self._try_native(request)
        async with aclosing(source) as events:
            async for event in events:
                yield event

    def _sent(self, request: ModelRequest) -> ModelRequest:
        mode = self.mode
        return request if mode == "native" else as_text(request, offer=mode == "text")

    async def _try_native(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask in native mode; if the model turns out to need text mode, ask again in it at once."""
        trial = _Trial(request)
        try:
            async with aclosing(self._inner.stream(request)) as events:
                async for event in events:
                    for each in trial.take(event):
                        yield each
                    if trial.verdict:
                        break
        except ModelError as error:
            if error.kind != "tools":
                for each in trial.rest():
                    yield each
                raise
            trial.verdict = "its provider says that it takes no tools"
        if not trial.verdict:
            return
        self._memory.remember_text(self._key)
        self._on_text(self.name, trial.verdict)
        if trial.shown:
            raise ModelError(
                "cut",
                f"{self.name} wrote a call of a tool as text; nothing of it was run",
                todo="send again",
                usage=trial.used,
            )
        async with aclosing(self._text(request, trial.used)) as events:
            async for event in events:
                yield event

    async def _text(self, request: ModelRequest, used: Usage) -> AsyncGenerator[ModelEvent, None]:
        holder = ActionBuffer() if request.tools else None
        async with aclosing(self._inner.stream(as_text(request))) as events:
            async for event in events:
                if holder is not None and isinstance(event, TextPart):
                    if text := holder.add(event.text):
                        yield TextPart(text)
                elif isinstance(event, Reply):
                    reply = _read(event, request)
                    held = holder.rest() if holder is not None else ""
                    if held and (not reply.message.calls or reply.message.text):
                        yield TextPart(held)
                    yield msgspec.structs.replace(reply, usage=add_usage(reply.usage, used))
                else:
                    yield event


def _read(reply: Reply, request: ModelRequest) -> Reply:
    """Turn a finished answer that ends with an action into one with a call. Others stay as they are."""
    if not reply.complete or reply.finish != "stop" or not request.tools or reply.message.calls:
        return reply
    parsed = parse(reply.message.text, request.tools, _heard(request.messages))
    if parsed.call is None:
        return reply
    broken = bool(parsed.call.problem)
    message = Message(role="assistant", text=parsed.text if broken else "", calls=(parsed.call,))
    return msgspec.structs.replace(
        reply,
        message=message,
        finish="tool_calls",
        thought="\n\n".join(each for each in (reply.thought, "" if broken else parsed.text) if each),
    )


def _heard(messages: Sequence[Message]) -> list[str]:
    """Return the texts that servers may have written."""
    return [
        message.text
        for message in messages
        if message.role == "tool" or (message.role == "user" and "<attached_resource" in message.text)
    ]


# --- calls that leak into the text ------------------------------------------------------------


class _Trial:
    """Watches an answer in native mode. With a `verdict`, the model needs text mode; `used` is lost."""

    def __init__(self, request: ModelRequest) -> None:
        self._request = request
        self._held = ""
        self.verdict = ""
        self.shown = False
        self.used = Usage()

    def take(self, event: ModelEvent) -> list[ModelEvent]:
        """Take an event; return the events to pass on. Text that may be a call is held back."""
        if isinstance(event, TextPart):
            self._held += event.text
            start = self._held.lstrip()
            may_be = any(start.startswith(mark) or mark.startswith(start) for mark in _OPENINGS)
            if not self.shown and may_be and len(self._held) <= _LONGEST_HELD:
                return []
            self.shown = True
            return self.rest()
        if not isinstance(event, Reply):
            return [event]
        if _is_leak(event, self._request):
            self.verdict, self.used = "it wrote a call of a tool as text", event.usage
            return []
        return [*self.rest(), event]

    def rest(self) -> list[ModelEvent]:
        held, self._held = self._held, ""
        return [TextPart(held)] if held else []


def _is_leak(reply: Reply, request: ModelRequest) -> bool:
    if not reply.complete or reply.message.calls or reply.finish not in ("stop", "tool_calls"):
        return False
    text = leaked(reply.message.text, request.tools)
    return bool(text) and not any(text in message.text for message in request.messages[1:])


def leaked(text: str, tools: Sequence[ToolSpec]) -> str:
    """Return the part of an answer that is a call written as text, "" if there is none.

    Such a call is a mark that models are trained on, followed by a tool's name, or an answer that is one
    JSON object with a name and arguments.
    """
    names = {tool.name for tool in tools}
    if mark := _LEAK.search(text):
        behind = text[mark.start() :]
        if any(name in behind for name in names):
            return behind
    whole = text.strip()
    if whole.startswith("```") and whole.endswith("```"):
        whole = whole.removeprefix("```json").strip("`").strip()
    if not whole.startswith(("{", "[")):
        return ""
    value = read_json(whole)
    calls = value if isinstance(value, list) else [value]
    return whole if calls and all(_is_call(each, names) for each in calls) else ""


def _is_call(value: object, names: set[str]) -> bool:
    if not isinstance(value, dict):
        return False
    inner = value.get("function")
    value = inner if isinstance(inner, dict) else value
    name = value.get("name", value.get("action"))
    return isinstance(name, str) and name in names and not _ARGUMENTS.isdisjoint(value)


_ARGUMENTS = frozenset({"arguments", "parameters", "action_input"})
