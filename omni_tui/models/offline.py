"""The built-in model without a language model: rules that match words to tools. No key, no network.

It calls the tools that the words name, asks where something is missing or unclear, quotes results, and
names the words that decided in its thoughts. Asked for a plan, it splits the request at "and" and "then".
The same conversation gives the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
from omni_tui.models.message_history import estimate, result_text
from omni_tui.protocol.events import Usage

_MAX_QUOTE = 4_000
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
        if message.status in _FAILED:
            continue
        text, name = result_text(message), bare(message.name) or "The tool"
        out.append(
            f"`{name}` answered:\n\n{_fenced(text)}" if text.strip() else f"`{name}` answered nothing."
        )
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
    return f"{fence}{'json' if _is_json(text) else ''}\n{text}\n{fence}"


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


_TITLE = 80
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
    if messages and messages[-1].role == "user" and _is_reply(messages):
        return _json(
            answer="I am rules, not a language model: I cannot plan anew from words. Edit the plan, or ask "
            "in other words."
        )
    return _planned(without_attachments(last), dict(_tools(system)))


def _is_reply(messages: Sequence[Message]) -> bool:
    """Whether the last message answers a plan of the rules."""
    before = messages[-2] if len(messages) > 1 else None
    return before is not None and before.role == "assistant" and before.text.startswith('{"analysis"')


def _tools(system: str) -> Iterator[tuple[str, ToolSpec]]:
    """Yield the key and spec of each tool in a planner's prompt, one JSON object a line."""
    for line in system.splitlines():
        if not line.startswith('{"tool"'):
            continue
        try:
            value = json.loads(line)
        except ValueError:
            continue
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
    if _chained(found) or len(found) > _MAX_PHASES or max(map(len, found)) > _MAX_IN_PHASE:
        # One task, since its parts pass results on or are too many.
        used = list(dict.fromkeys(tool for phase in found for _, tool in phase))
        return _draft([[_task("a", request, used)]])
    numbers = iter(range(1, 100))
    return _draft(
        [[_task(f"n{next(numbers)}", clause, [tool]) for clause, tool in phase] for phase in found]
    )


def _chained(found: Sequence[Sequence[tuple[str, str]]]) -> bool:
    return any(_RESULT.search(clause) for phase in found[1:] for clause, _ in phase)


def _task(ident: str, clause: str, tools: list[str]) -> dict[str, Any]:
    line = " ".join(clause.split())
    title = line if len(line) <= _TITLE else line[: _TITLE - 1] + "…"
    return {"id": ident, "title": title, "goal": clause, "tools": tools}


def _draft(phases: list[list[dict[str, Any]]]) -> str:
    titled = [{"title": f"step {at}", "tasks": tasks} for at, tasks in enumerate(phases, 1)]
    return _json(analysis=_HOW, phases=titled)


def _why_not(clause: str, step: object, tools: dict[str, ToolSpec]) -> str:
    if not tools:
        return (
            "I match words to tools, and no tools are connected. Connect a server, or set a language model."
        )
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


def second_try(messages: Sequence[Message]) -> str:
    """Return the answer to a task that is tried again, "" if it is not: the rules cannot do better."""
    said = [message.text for message in messages if message.role == "user"]
    if len(said) < 2:
        return ""
    first = said[1].partition("\n")[0].partition(": ")[2]
    return f"{TASK_FAILED} {first} (The rules have no other way.)"


def report(messages: Sequence[Message]) -> str:
    """Return the report on a plan: the state and the result of each task."""
    text = messages[-1].text if messages else ""
    try:
        records = json.loads(text.partition("\n")[2])
    except ValueError:
        return "The records of the tasks cannot be read."
    done = sum(record["state"] == "done" for record in records)
    parts = [f"{done} of {len(records)} {'task was' if len(records) == 1 else 'tasks were'} done."]
    for record in records:
        calls = f" ({', '.join(record['calls'])})" if record.get("calls") else ""
        told = record.get("result") or record.get("reason", "")
        parts.append(f"**{record['title']}**: {record['state']}{calls}\n\n{_closed(told)}".rstrip())
    return "\n\n".join(parts)


def _closed(text: str) -> str:
    """Close a code block that was cut off."""
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


@dataclass(frozen=True, slots=True)
class _RuleReply:
    """An answer of the rules: thought, text and calls."""

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
        yield _reply(request, say)

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
    """Return the next answer on a task of a plan; it says if the task failed."""
    if again := second_try(messages):
        return _RuleReply(text=again)
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


def _told(planner: RequestInterpreter, steps: Sequence[Interpretation], request: str) -> _RuleReply:
    """Turn steps into an answer: calls only if every step is a call."""
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


def _reply(request: ModelRequest, say: _RuleReply) -> Reply:
    # Ids continue from the conversation: the same conversation gives the same ids.
    made = sum(len(message.calls) for message in request.messages)
    calls = tuple(
        ToolCall(f"offline_{made + at}", each.tool.name, json.dumps(each.arguments, ensure_ascii=False))
        for at, each in enumerate(say.calls, 1)
    )
    message = Message(role="assistant", text=say.text, calls=calls)
    usage = Usage(input=estimate(request.messages), output=estimate([message]), cost=0.0, estimated=True)
    return Reply(message, "tool_calls" if calls else "stop", usage, label=LABEL)
