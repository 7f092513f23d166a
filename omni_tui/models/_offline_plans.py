"""The built-in rules where a plan is asked for: they split a request at "and" and "then", and say so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from omni_tui.models._request_interpreter import ClarifyingQuestion, InterpretedCall, RequestInterpreter
from omni_tui.models.attachments import without_attachments
from omni_tui.models.base import TASK_FAILED, Message, ToolSpec

_TITLE = 80
_RESULT = re.compile(r"\b(?:the|its|that) (?:result|answer|outcome)s?\b", re.IGNORECASE)
_FENCE = re.compile(r"^\s*(`{3,})", re.MULTILINE)
_MAX_PHASES, _MAX_IN_PHASE = 8, 8
_HOW = (
    "These are rules, not a language model: the request was split at its words “and” and “then”, "
    "and each part matched to a tool."
)


def plan_draft(system: str, messages: Sequence[Message]) -> str:
    """Return what the rules answer when they are asked for a plan: a plan, or words why there is none."""
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
    """Whether the last thing said to the rules is about a draft of theirs."""
    before = messages[-2] if len(messages) > 1 else None
    return before is not None and before.role == "assistant" and before.text.startswith('{"analysis"')


def _tools(system: str) -> Iterator[tuple[str, ToolSpec]]:
    """Yield the tools of a planner's prompt by their keys; a JSON object stands for each on its line."""
    for line in system.splitlines():
        if not line.startswith('{"tool"'):
            continue
        try:
            value = json.loads(line)
        except ValueError:
            continue
        key = str(value["tool"])
        server, _, name = key.partition("/")
        # Without arguments: whether they are all given is seen when the task is worked on.
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
        # One task: its parts hand results on, or are too many.
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
    """Return what is said when a task is tried again, "" if it is not: the rules have one way only."""
    said = [message.text for message in messages if message.role == "user"]
    if len(said) < 2:
        return ""
    first = said[1].partition("\n")[0].partition(": ")[2]
    return f"{TASK_FAILED} {first} (The rules have no other way.)"


def report(messages: Sequence[Message]) -> str:
    """Return the report of records: what became of each task, and its result as it was told."""
    text = messages[-1].text if messages else ""
    try:
        records = json.loads(text.partition("\n")[2])
    except ValueError:
        return "The records of the tasks cannot be read."
    done = sum(record["state"] == "done" for record in records)
    parts = [f"{done} of {len(records)} tasks were done."]
    for record in records:
        calls = f" ({', '.join(record['calls'])})" if record.get("calls") else ""
        told = record.get("result") or record.get("reason", "")
        parts.append(f"**{record['title']}**: {record['state']}{calls}\n\n{_closed(told)}".rstrip())
    return "\n\n".join(parts)


def _closed(text: str) -> str:
    """Close a code block that was cut, so that it does not take in what follows."""
    open_ = ""
    for fence in _FENCE.findall(text):
        open_ = "" if open_ and len(fence) >= len(open_) else open_ or fence
    return f"{text}\n{open_}" if open_ else text
