"""The model without a model: rules that match words, and say so. No key, no network, no guessing.

It calls what the words name, asks where something is missing or unclear, quotes results, and tells
in its thoughts which words decided. The same conversation gives the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from omni_tui.models import _offline_plans as orchestrating
from omni_tui.models._request_interpreter import (
    ClarifyingQuestion,
    Interpretation,
    InterpretedCall,
    NoMatchingTool,
    RequestInterpreter,
    bare,
    declines,
    signature,
)
from omni_tui.models._result_quotes import failures, quotes
from omni_tui.models.attachments import without_attachments
from omni_tui.models.base import (
    TASK_FAILED,
    Message,
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
from omni_tui.protocol.events import Usage

NAME = "offline"
LABEL = "offline rules - not a language model"

_MAX_CHUNKS = 80
_CHAIN = 6
_HELP = re.compile(
    r"\W*(?:help|hi|hello|hey|tools|\?|what can you do|what tools are there|commands)\W*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _RuleReply:
    """What is answered: a true thought, a text, calls."""

    thought: str = ""
    text: str = ""
    calls: tuple[InterpretedCall, ...] = ()


class OfflineModel:
    """Answers by rules. `request.tools` is all it knows of the world."""

    def __init__(self) -> None:
        self._planner = RequestInterpreter(())

    @property
    def name(self) -> str:
        """The name it is chosen by."""
        return NAME

    @property
    def label(self) -> str:
        """What must be said about it wherever it speaks."""
        return LABEL

    def context_window(self) -> int | None:
        """No limit."""
        return None

    def forecast(self, request: ModelRequest) -> Forecast:
        """Rules use nothing that a budget is about."""
        return Forecast(0, 0)

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        return estimate(request.messages)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer in small pieces, yielding to the loop between them."""
        say = self._decide(request)
        for piece in _pieces(say.thought):
            yield ThoughtPart(piece)
            await asyncio.sleep(0)
        for piece in _pieces(say.text):
            yield TextPart(piece)
            await asyncio.sleep(0)
        yield _reply(request, say)

    def _decide(self, request: ModelRequest) -> _RuleReply:
        system = next((m.text for m in request.messages if m.role == "system"), "")
        messages = [m for m in request.messages if m.role != "system"]
        if request.purpose == "plan":
            return _RuleReply(text=orchestrating.plan_draft(system, messages))
        if request.purpose == "report":
            return _RuleReply(text=orchestrating.report(messages))
        # Rules that match words would take the host's own tools for a server's.
        tools = tuple(tool for tool in request.tools if tool.name not in BUILTIN_TOOL_NAMES)
        if self._planner.tools != tools:
            self._planner = RequestInterpreter(tools)
        if request.purpose == "task":
            return _on_task(self._planner, messages)
        return decide(self._planner, messages)


def decide(planner: RequestInterpreter, messages: Sequence[Message]) -> _RuleReply:
    """Return what the rules say next in a conversation."""
    exchanges = _exchanges(messages)
    if not exchanges:
        return _RuleReply(text="Say what you want to do.")
    text, tail = exchanges[-1]
    pending = _pending(planner, exchanges[-_CHAIN:-1])
    rounds = [message for message in tail if message.role == "assistant" and message.calls]
    if pending is not None and declines(text):
        return _RuleReply(text="Fine. Nothing was done.")
    answered = planner.answer(pending, text) if pending is not None else None
    groups = planner.split(text)
    results = [message for message in tail if message.role == "tool"]
    if rounds and (failed := failures(results)):
        left = [clause for group in groups[len(rounds) :] for clause in group] if answered is None else []
        return _RuleReply(text="\n\n".join((*quotes(results), *failed, *_left(left))))
    if answered is not None:
        return _RuleReply(text="\n\n".join(quotes(results))) if rounds else _told(planner, [answered], text)
    if not rounds and _HELP.fullmatch(text.strip()):
        return _RuleReply(text=_help(planner.tools))
    if len(rounds) >= len(groups):
        return _RuleReply(text="\n\n".join(quotes(results)))
    previous = result_text(results[-1]) if results else ""
    steps = [planner.resolve(clause, previous) for clause in groups[len(rounds)]]
    said = _told(planner, steps, text)
    before = "\n\n".join(quotes(results))
    return said if said.calls or not before else _RuleReply(said.thought, f"{before}\n\n{said.text}")


def _on_task(planner: RequestInterpreter, messages: Sequence[Message]) -> _RuleReply:
    """Return what the rules say next on a task of a plan; whoever reads it is told if it failed."""
    if again := orchestrating.second_try(messages):
        return _RuleReply(text=again)
    say = decide(planner, messages)
    results = [message for message in messages if message.role == "tool"]
    if say.calls or (results and not failures(results)):
        return say
    return _RuleReply(say.thought, f"{TASK_FAILED} {say.text}")


# --- the conversation -------------------------------------------------------------------------


def _exchanges(messages: Sequence[Message]) -> list[tuple[str, list[Message]]]:
    """Return what the person said, each with everything that followed it."""
    found: list[tuple[str, list[Message]]] = []
    for message in messages:
        if message.role == "user":
            found.append((without_attachments(message.text), []))
        elif found:
            found[-1][1].append(message)
    return found


def _pending(
    planner: RequestInterpreter, before: Sequence[tuple[str, list[Message]]]
) -> ClarifyingQuestion | None:
    """Work out which question the last exchange left open, by going through the ones before it again."""
    pending: ClarifyingQuestion | None = None
    for text, tail in before:
        step = planner.answer(pending, text) if pending is not None and not declines(text) else None
        rounds = sum(message.role == "assistant" and bool(message.calls) for message in tail)
        if step is None:
            groups = planner.split(text)
            unresolved = groups[rounds] if rounds < len(groups) else ()
            steps: list[Interpretation] = [planner.resolve(clause) for clause in unresolved]
        else:
            steps = [step] if not rounds else []
        pending = next((each for each in steps if isinstance(each, ClarifyingQuestion)), None)
    return pending


# --- words ------------------------------------------------------------------------------------


def _told(planner: RequestInterpreter, steps: Sequence[Interpretation], request: str) -> _RuleReply:
    """Say what steps come to: calls only if every one of them is a call."""
    thoughts: list[str] = []
    for step in steps:
        if isinstance(step, InterpretedCall | ClarifyingQuestion) and step.because:
            thoughts.append(step.because)
    thought = "\n".join(thoughts)
    calls = tuple(step for step in steps if isinstance(step, InterpretedCall))
    if len(calls) == len(steps):
        return _RuleReply(thought, calls=calls)
    question = next((step for step in steps if isinstance(step, ClarifyingQuestion)), None)
    if question is not None:
        return _RuleReply(thought, question.text)
    unknown = next(step for step in steps if isinstance(step, NoMatchingTool))
    return _RuleReply(_no_match(unknown), _decline(planner.tools, unknown, request))


def _no_match(unknown: NoMatchingTool) -> str:
    if unknown.problem:
        return ""
    near = ", ".join(bare(tool.name) for tool in unknown.nearest)
    return (
        f"No tool matches well enough. Nearest: {near}."
        if near
        else "No tool shares a word with the request."
    )


def _decline(tools: Sequence[ToolSpec], unknown: NoMatchingTool, request: str) -> str:
    if unknown.problem:
        return unknown.problem
    if not tools:
        return (
            "I match words to tools, and no tools are connected. Connect a server, or set a language model."
        )
    shown = unknown.nearest or tuple(tools[:5])
    lines = "\n".join(f"- `{signature(tool)}` {_first_line(tool)}" for tool in shown)
    what = "nearest to it are" if unknown.nearest else "there are for example"
    return (
        f"I match words to tools, and nothing here clearly does “{_short(request)}”; {what}:\n\n{lines}\n\n"
        "Name a tool in your words, call it directly (`/call tool key=value`), or set a language model."
    )


def _help(tools: Sequence[ToolSpec]) -> str:
    if not tools:
        return (
            "I match words to tools, but no tools are connected. Connect a server, or set a language model."
        )
    lines = "\n".join(f"- `{signature(tool)}` {_first_line(tool)}" for tool in tools[:12])
    more = f"\n- … and {len(tools) - 12} more" if len(tools) > 12 else ""
    return (
        "I am rules, not a language model: I match your words to the tools and quote what they answer.\n\n"
        f"{lines}{more}\n\nSay for example what to do in the tool's own words, “A, then B” for two steps, "
        "or call one directly: `/call tool key=value`."
    )


def _left(clauses: Sequence[str]) -> list[str]:
    return (
        ["Not done after that: " + "; ".join(f"“{_short(clause)}”" for clause in clauses) + "."]
        if clauses
        else []
    )


def _first_line(tool: ToolSpec) -> str:
    return tool.description.strip().partition("\n")[0][:120]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"


# --- the stream -------------------------------------------------------------------------------


def _pieces(text: str) -> list[str]:
    """Cut a text into pieces of a few words; a long one into fewer, larger ones."""
    size = max(12, -(-len(text) // _MAX_CHUNKS))
    return [text[at : at + size] for at in range(0, len(text), size)]


def _reply(request: ModelRequest, say: _RuleReply) -> ModelReply:
    # Ids count on from the conversation, so that the same conversation gives the same ids.
    made = sum(len(message.calls) for message in request.messages)
    calls = tuple(
        ToolCall(f"offline_{made + at}", each.tool.name, json.dumps(each.arguments, ensure_ascii=False))
        for at, each in enumerate(say.calls, 1)
    )
    message = Message(role="assistant", text=say.text, calls=calls)
    usage = Usage(input=estimate(request.messages), output=estimate([message]), cost=0.0, estimated=True)
    return ModelReply(message, "tool_calls" if calls else "stop", usage, label=LABEL)
