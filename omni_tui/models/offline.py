"""The built-in model without a language model: rules that match words to tools. No key, no network.

It calls the tools that the words name, asks where something is missing or unclear, quotes results, and
names the words that decided in its thoughts. Asked for a plan, it splits the request at "and" and "then".
The same conversation gives the same bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, NamedTuple

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
from omni_tui.models.attachments import without_attachments
from omni_tui.models.base import (
    TASK_FAILED,
    Message,
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
from omni_tui.protocol.events import Usage

_MAX_QUOTE = 4_000
_NO_TOOLS = "I match words to tools, but no tools are connected. Connect a server, or set a language model."
_FAILED = {
    "failed": "failed",
    "result_rejected": "ran, but its result breaks its own schema",
    "rejected": "was rejected by you",
    "denied": "was denied by policy",
    "withheld": "was not sent",
    "expired": "was not sent: the approval timed out",
    "cancelled": "was cancelled",
    "uncertain": "was cut off: it may or may not have run",
    "invalid": "was not made",
}


def quotes(results: Sequence[Message]) -> list[str]:
    """Quote each successful result, up to a limit."""
    out: list[str] = []
    for message in results:
        if message.status not in _FAILED:
            text = result_text(message)
            said = f":\n\n{_fenced(text)}" if text.strip() else " nothing."
            out.append(f"`{bare(message.name) or 'The tool'}` answered{said}")
    return out


def failures(results: Sequence[Message]) -> list[str]:
    """Return what became of each call that did not succeed, with its text."""
    out: list[str] = []
    for message in results:
        if message.status in _FAILED:
            text = result_text(message)
            said = f":\n\n{_fenced(text)}" if text.strip() else "."
            out.append(f"`{bare(message.name) or 'The call'}` {_FAILED[message.status]}{said}")
    return out


def _fenced(text: str) -> str:
    """Return a text as a code block that nothing in it can close."""
    if len(text) > _MAX_QUOTE:
        text = f"{text[:_MAX_QUOTE]}\n[{len(text) - _MAX_QUOTE} characters more in the whole result]"
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{'json' if isinstance(read_json(text), dict | list) else ''}\n{text}\n{fence}"


_RESULT = re.compile(r"\b(?:the|its|that) (?:result|answer|outcome)s?\b", re.IGNORECASE)
_FENCE = re.compile(r"^\s*(`{3,})", re.MULTILINE)
_MAX_PHASES, _MAX_IN_PHASE = 8, 8
_HOW = (
    "These are rules, not a language model: the request was split at its words “and” and “then”, "
    "and each part matched to a tool."
)


def plan_draft(system: str, messages: Sequence[Message]) -> str:
    """Return the plan as JSON, or an answer that says why there is none."""
    asked = [message.text for message in messages if message.role == "user"]
    last = asked[-1] if asked else ""
    if last.startswith("[failed:"):
        return _json(go_on="These are rules, not a language model: they have no other way.")
    is_reply = [message.role for message in messages[-2:]] == ["assistant", "user"]
    if is_reply and messages[-2].text.startswith('{"analysis"'):
        return _json(
            answer="I am rules, not a language model: I cannot plan anew from words. Edit the plan, or ask "
            "in other words."
        )
    return _planned(without_attachments(last), dict(_tools(system)))


def _tools(system: str) -> Iterator[tuple[str, ToolSpec]]:
    """Yield the key and spec of each tool in a planner's prompt, one JSON object a line."""
    for line in system.splitlines():
        if line.startswith('{"tool"') and (value := read_json(line)) is not None:
            key = str(value["tool"])
            server, _, name = key.partition("/")
            # Without arguments: the task asks for them.
            yield key, ToolSpec(f"{server}__{name}", str(value.get("does", "")), {"type": "object"})


def _planned(request: str, tools: dict[str, ToolSpec]) -> str:
    planner = RequestInterpreter(tuple(tools.values()))
    keys = {spec.name: key for key, spec in tools.items()}
    groups = planner.split(request)
    found: list[list[tuple[str, str]]] = []
    for group in groups:
        found.append([])
        for clause in group:
            step = planner.resolve(clause)
            if not isinstance(step, InterpretedCall):
                return _json(answer=_why_not(clause, step, tools))
            found[-1].append((clause, keys[step.tool.name]))
    numbers = itertools.count(1)
    phases = [[_task(f"n{next(numbers)}", clause, [tool]) for clause, tool in phase] for phase in found]
    chained = any(_RESULT.search(clause) for phase in found[1:] for clause, _ in phase)
    if chained or len(found) > _MAX_PHASES or max(map(len, found)) > _MAX_IN_PHASE:
        # One task, since its parts pass results on or are too many.
        used = list(dict.fromkeys(tool for phase in found for _, tool in phase))
        phases = [[_task("a", request, used)]]
    titled = [{"title": f"step {at}", "tasks": tasks} for at, tasks in enumerate(phases, 1)]
    return _json(analysis=_HOW, phases=titled)


def _task(ident: str, clause: str, tools: list[str]) -> dict[str, Any]:
    return {"id": ident, "title": _short(clause), "goal": clause, "tools": tools}


def _why_not(clause: str, step: object, tools: dict[str, ToolSpec]) -> str:
    if not tools:
        return _NO_TOOLS
    if isinstance(step, ClarifyingQuestion):
        return f"I cannot plan “{clause}”: {step.text}"
    named = ", ".join(f"`{key}`" for key in list(tools)[:8])
    return (
        f"I am rules, not a language model, and nothing here clearly does “{clause}”. There are for "
        f"example {named}. Name tools in your words, “A and B” for two tasks, “A, then B” for two phases."
    )


def _json(**value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# --- tasks and the report ---------------------------------------------------------------------


def report(messages: Sequence[Message]) -> str:
    """Return the report on a plan: the state and the result of each task."""
    records = read_json(messages[-1].text.partition("\n")[2]) if messages else None
    if records is None:
        return "The records of the tasks cannot be read."
    done = sum(record["state"] == "done" for record in records)
    parts = [f"{done} of {len(records)} {'task was' if len(records) == 1 else 'tasks were'} done."]
    for record in records:
        calls = f" ({', '.join(record['calls'])})" if record.get("calls") else ""
        told = record.get("result") or record.get("reason", "")
        parts.append(f"**{record['title']}**: {record['state']}{calls}\n\n{_closed(told)}".rstrip())
    return "\n\n".join(parts)


def _closed(text: str) -> str:
    open_ = ""
    for fence in _FENCE.findall(text):
        open_ = "" if open_ and len(fence) >= len(open_) else open_ or fence
    return f"{text}\n{open_}" if open_ else text


NAME = "offline"
LABEL = "offline rules - not a language model"

_MAX_CHUNKS = 80
_CHAIN = 6
_HELP = re.compile(
    r"\W*(?:help|hi|hello|hey|tools|\?|what can you do|what tools are there|commands)\W*", re.IGNORECASE
)


class _RuleReply(NamedTuple):
    thought: str = ""
    text: str = ""
    calls: tuple[InterpretedCall, ...] = ()


class OfflineModel:
    """Answers by rules, from the messages and tools of the request alone."""

    name = NAME
    label = LABEL

    def __init__(self) -> None:
        self._planner = RequestInterpreter(())

    def context_window(self) -> int | None:
        """Return None: there is no limit."""
        return None

    def forecast(self, request: ModelRequest) -> Forecast:
        """Return zero: rules use no tokens."""
        return Forecast(0, 0)

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        return estimate(request.messages)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer in small pieces, and let other tasks run between them."""
        say = self._decide(request)
        for piece in _pieces(say.thought):
            yield ThoughtPart(piece)
            await asyncio.sleep(0)
        for piece in _pieces(say.text):
            yield TextPart(piece)
            await asyncio.sleep(0)
        # Ids continue from the conversation: the same conversation gives the same ids.
        made = sum(len(message.calls) for message in request.messages)
        calls = tuple(
            ToolCall(f"offline_{made + at}", each.tool.name, json.dumps(each.arguments, ensure_ascii=False))
            for at, each in enumerate(say.calls, 1)
        )
        message = Message(role="assistant", text=say.text, calls=calls)
        usage = Usage(
            input=estimate(request.messages), output=estimate([message]), cost=0.0, estimated=True
        )
        yield Reply(message, "tool_calls" if calls else "stop", usage, label=LABEL)

    def _decide(self, request: ModelRequest) -> _RuleReply:
        system = next((m.text for m in request.messages if m.role == "system"), "")
        messages = [m for m in request.messages if m.role != "system"]
        if request.purpose == "plan":
            return _RuleReply(text=plan_draft(system, messages))
        if request.purpose == "report":
            return _RuleReply(text=report(messages))
        # Matching words would confuse the built-in tools with a server's.
        tools = tuple(tool for tool in request.tools if tool.name not in BUILTIN_TOOL_NAMES)
        if self._planner.tools != tools:
            self._planner = RequestInterpreter(tools)
        if request.purpose == "task":
            return _on_task(self._planner, messages)
        return decide(self._planner, messages)


def decide(planner: RequestInterpreter, messages: Sequence[Message]) -> _RuleReply:
    """Return the next answer of the rules in a conversation."""
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
        if left:
            failed.append("Not done after that: " + "; ".join(f"“{_short(one)}”" for one in left) + ".")
        return _RuleReply(text="\n\n".join((*quotes(results), *failed)))
    if answered is not None and not rounds:
        return _reply(planner, [answered], text)
    if not rounds and _HELP.fullmatch(text.strip()):
        return _RuleReply(text=_help(planner.tools))
    if answered is not None or len(rounds) >= len(groups):
        return _RuleReply(text="\n\n".join(quotes(results)))
    previous = result_text(results[-1]) if results else ""
    steps = [planner.resolve(clause, previous) for clause in groups[len(rounds)]]
    said = _reply(planner, steps, text)
    before = "\n\n".join(quotes(results))
    return said if said.calls or not before else _RuleReply(said.thought, f"{before}\n\n{said.text}")


def _on_task(planner: RequestInterpreter, messages: Sequence[Message]) -> _RuleReply:
    said = [message.text for message in messages if message.role == "user"]
    if len(said) > 1:
        first = said[1].partition("\n")[0].partition(": ")[2]
        return _RuleReply(text=f"{TASK_FAILED} {first} (The rules have no other way.)")
    say = decide(planner, messages)
    results = [message for message in messages if message.role == "tool"]
    if say.calls or (results and not failures(results)):
        return say
    return _RuleReply(say.thought, f"{TASK_FAILED} {say.text}")


# --- the conversation -------------------------------------------------------------------------


def _exchanges(messages: Sequence[Message]) -> list[tuple[str, list[Message]]]:
    """Return each message of the person with everything that followed it."""
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
    """Return the question that the last exchange left open, found by replaying the ones before it."""
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


def _reply(planner: RequestInterpreter, steps: Sequence[Interpretation], request: str) -> _RuleReply:
    """Turn steps into an answer: calls only if every step is a call."""
    reasons = (step.because for step in steps if not isinstance(step, NoMatchingTool))
    thought = "\n".join(filter(None, reasons))
    calls = tuple(step for step in steps if isinstance(step, InterpretedCall))
    if len(calls) == len(steps):
        return _RuleReply(thought, calls=calls)
    question = next((step for step in steps if isinstance(step, ClarifyingQuestion)), None)
    if question is not None:
        return _RuleReply(thought, question.text)
    unknown = next(step for step in steps if isinstance(step, NoMatchingTool))
    if unknown.problem:
        return _RuleReply(text=unknown.problem)
    thought, what = "No tool shares a word with the request.", "there are for example"
    if unknown.nearest:
        near = ", ".join(bare(tool.name) for tool in unknown.nearest)
        thought, what = f"No tool matches well enough. Nearest: {near}.", "nearest to it are"
    if not planner.tools:
        return _RuleReply(thought, _NO_TOOLS)
    lines = _tool_lines(unknown.nearest or planner.tools[:5])
    text = (
        f"I match words to tools, and nothing here clearly does “{_short(request)}”; {what}:\n\n{lines}\n\n"
        "Name a tool in your words, call it directly (`/call tool key=value`), or set a language model."
    )
    return _RuleReply(thought, text)


def _tool_lines(tools: Sequence[ToolSpec]) -> str:
    described = ((tool, tool.description.strip().partition("\n")[0][:120]) for tool in tools)
    return "\n".join(f"- `{signature(tool)}` {line}" for tool, line in described)


def _help(tools: Sequence[ToolSpec]) -> str:
    if not tools:
        return _NO_TOOLS
    lines = _tool_lines(tools[:12])
    more = f"\n- … and {len(tools) - 12} more" if len(tools) > 12 else ""
    return (
        "I am rules, not a language model: I match your words to the tools and quote what they answer.\n\n"
        f"{lines}{more}\n\nSay for example what to do in the tool's own words, “A, then B” for two steps, "
        "or call one directly: `/call tool key=value`."
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"


def _pieces(text: str) -> list[str]:
    """Cut a text into pieces of a few words; a long one into fewer, larger ones."""
    size = max(12, -(-len(text) // _MAX_CHUNKS))
    return [text[at : at + size] for at in range(0, len(text), size)]
