"""Reads plans strictly from what a model or a person wrote, and checks them against the tools.

The ids of tasks in a draft are the writer's; the ids and agent paths of a plan are ours.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from omni_tui.agents.plan import Plan, PlannableTools, PlannedPhase, PlannedTask
from omni_tui.models.text_react import fenced_blocks
from omni_tui.security.text import strip_invisible

MAX_PHASES = 8
MAX_IN_PHASE = 32
MAX_TASKS = 40
MAX_TITLE = 200
MAX_TEXT = 4_000
MAX_DRAFT = 200_000
"""Longest draft that is read at all, in characters."""
MAX_PLAN = 60_000
"""Longest plan, in characters of its exact JSON: with what is shown of it, it must fit a frame."""

_PLAN_KEYS = {"analysis", "phases"}
_PHASE_KEYS = {"title", "tasks"}
_TASK_KEYS = {"id", "title", "goal", "servers", "tools", "after"}
_ANSWERS = {"phases", "answer", "go_on"}
_FENCES = ("", "json", "json5", "jsonc")
_THINKING = re.compile(r"\s*<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_START = re.compile(r'\{\s*"')
_MAX_STARTS = 60
_MAX_PROBLEMS = 12


class InvalidPlan(Exception):
    """A draft that is no valid plan. `problems` tell the model or the person what to correct."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems[:_MAX_PROBLEMS]))
        self.problems = problems[:_MAX_PROBLEMS]


@dataclass(frozen=True, slots=True)
class DirectAnswer:
    """The model's answer where nothing needs to be planned."""

    text: str


@dataclass(frozen=True, slots=True)
class ContinuePlan:
    """The model's decision to continue a plan although a task failed."""

    why: str


@dataclass(frozen=True, slots=True)
class PlanConstraints:
    """What a draft is checked against.

    `offer`: the tools. `done`: ids of the tasks that are done, on which tasks may depend. `phases`,
    `tasks`: how many of each this turn had before.
    """

    offer: PlannableTools
    done: frozenset[str] = frozenset()
    phases: int = 0
    tasks: int = 0


def read_draft(
    text: str, scope: PlanConstraints, *, again: bool = False
) -> Plan | DirectAnswer | ContinuePlan:
    """Read a model's answer to the request for a plan. `again`: it may also continue the former plan.

    Raises `InvalidPlan`.
    """
    value = _object(text)
    keys = set(value)
    if keys <= {"analysis", "answer"} and "answer" in keys and not again:
        return DirectAnswer(_text(value["answer"], "answer", 20_000))
    if keys <= {"analysis", "go_on"} and "go_on" in keys and again:
        return ContinuePlan(_text(value["go_on"], "go_on", MAX_TEXT))
    return _plan(value, scope)


def read_plan(text: str, scope: PlanConstraints) -> Plan:
    """Read a plan that a person edited. Raises `InvalidPlan`."""
    return _plan(_object(text), scope)


# --- JSON -------------------------------------------------------------------------------------


def _object(text: str) -> dict[str, Any]:
    """Return the only object in a text: the whole text, or one in prose, in a fence or after thinking.

    Raises `InvalidPlan` if there is none or more than one.
    """
    if len(text) > MAX_DRAFT:
        raise InvalidPlan(f"it is longer than {MAX_DRAFT} characters")
    try:
        return _strict(text)
    except InvalidPlan as error:
        fenced: list[str] = []
        for part in _parts(text):
            fenced = [each.body for each in fenced_blocks(part) if each.closed and each.info in _FENCES]
            for found in (list(_decoded(fenced)), list(_embedded(part))):
                if any(each != found[0] for each in found):
                    raise InvalidPlan(
                        f"there are {len(found)} different answers in it; answer with one JSON object"
                    ) from None
                if found:
                    return found[0]
        if len(fenced) == 1:
            return _strict(fenced[0])
        raise error


def _strict(body: str) -> dict[str, Any]:
    try:
        value = json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise InvalidPlan("it is nested too deeply") from None
    except ValueError as error:
        raise InvalidPlan(f"it is not one JSON object: {error}") from None
    if not isinstance(value, dict):
        raise InvalidPlan("it is JSON, but not an object")
    return value


def _parts(text: str) -> Iterator[str]:
    """Yield the parts of a text that may be the answer: after the thinking, then the whole text."""
    opening = _THINKING.match(text)
    endings = [match.end() for match in _THOUGHT.finditer(text)]
    if endings:
        yield text[endings[-1] :]
        if opening and endings[0] != endings[-1]:
            yield text[endings[0] :]
    # A goal may contain a closing tag too.
    if not opening:
        yield text


def _decoded(bodies: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects among these texts that are an answer."""
    for body in bodies:
        with contextlib.suppress(InvalidPlan):
            if (value := _strict(body)).keys() & _ANSWERS:
                yield value


def _embedded(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost objects in a text that are an answer."""
    decode = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant).raw_decode
    at = 0
    for _ in range(_MAX_STARTS):
        start = _START.search(text, at)
        if start is None:
            return
        try:
            value, at = decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.end()
            continue
        if isinstance(value, dict) and value.keys() & _ANSWERS:
            yield value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is there twice")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# --- judging ----------------------------------------------------------------------------------


def _plan(value: dict[str, Any], scope: PlanConstraints) -> Plan:
    problems = list(_form_problems(value))
    if problems:
        raise InvalidPlan(*problems)
    analysis = _clean(value["analysis"])
    drafts = [task for phase in value["phases"] for task in phase["tasks"]]
    names = [str(task.get("id") or "").strip() or f"#{at}" for at, task in enumerate(drafts, 1)]
    problems = [
        *_size_problems(analysis, value["phases"], drafts),
        *_text_problems(drafts),
        *_name_problems(names, scope),
        *_tool_problems(drafts, names, scope),
        *_order_problems(value["phases"], names, scope),
    ]
    if problems:
        raise InvalidPlan(*problems)
    plan = Plan(analysis, tuple(_numbered(value["phases"], names, scope)))
    if len(plan.to_json()) > MAX_PLAN:
        raise InvalidPlan(f"the whole plan is longer than {MAX_PLAN} characters; say less in each goal")
    return plan


def _form_problems(value: dict[str, Any]) -> Iterator[str]:
    yield from _keys(value, _PLAN_KEYS, "the plan")
    if not isinstance(value.get("analysis"), str):
        yield "`analysis` must be a text"
    phases = value.get("phases")
    if not isinstance(phases, list):
        yield "`phases` must be a list"
        return
    for number, phase in enumerate(phases, 1):
        where = f"phase {number}"
        if not isinstance(phase, dict):
            yield f"{where} must be an object"
            continue
        yield from _keys(phase, _PHASE_KEYS, where)
        if not isinstance(phase.get("title"), str):
            yield f"`title` of {where} must be a text"
        if not isinstance(phase.get("tasks"), list):
            yield f"`tasks` of {where} must be a list"
            continue
        for at, task in enumerate(phase["tasks"], 1):
            yield from _task_form(task, f"task {at} of {where}")


def _task_form(task: Any, where: str) -> Iterator[str]:
    if not isinstance(task, dict):
        yield f"{where} must be an object"
        return
    yield from _keys(task, _TASK_KEYS, where)
    for key in ("title", "goal"):
        if not isinstance(task.get(key), str):
            yield f"`{key}` of {where} must be a text"
    if not isinstance(task.get("id", ""), str):
        yield f"`id` of {where} must be a text"
    for key in ("servers", "tools", "after"):
        names = task.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            yield f"`{key}` of {where} must be a list of texts"


def _keys(value: dict[str, Any], known: set[str], where: str) -> Iterator[str]:
    for key in list(value.keys() - known)[:3]:
        yield f"{where} has a key {json.dumps(key[:40])} that means nothing here"


def _size_problems(analysis: str, phases: list[Any], drafts: list[Any]) -> Iterator[str]:
    if not drafts or not all(phase["tasks"] for phase in phases):
        yield "a plan needs a task, and so does each of its phases"
    if len(analysis) > MAX_TEXT:
        yield f"`analysis` is longer than {MAX_TEXT} characters"
    if len(phases) > MAX_PHASES:
        yield f"there are {len(phases)} phases; {MAX_PHASES} at most"
    if len(drafts) > MAX_TASKS:
        yield f"there are {len(drafts)} tasks; {MAX_TASKS} at most"
    for number, phase in enumerate(phases, 1):
        if len(phase["tasks"]) > MAX_IN_PHASE:
            yield f"phase {number} has {len(phase['tasks'])} tasks; {MAX_IN_PHASE} at most"
        if not 0 < len(_clean(phase["title"])) <= MAX_TITLE:
            yield f"the title of phase {number} must have 1 to {MAX_TITLE} characters"


def _text_problems(drafts: list[Any]) -> Iterator[str]:
    for at, task in enumerate(drafts, 1):
        for key, limit in (("title", MAX_TITLE), ("goal", MAX_TEXT)):
            if not 0 < len(_clean(task[key])) <= limit:
                yield f"`{key}` of task {at} must have 1 to {limit} characters"


def _name_problems(names: list[str], scope: PlanConstraints) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"more than one task has the id {json.dumps(name[:40])}"
    for name in sorted(set(names) & scope.done):
        yield f"the id {json.dumps(name)} is that of a task which is done; take another"


def _tool_problems(drafts: list[Any], names: list[str], scope: PlanConstraints) -> Iterator[str]:
    servers = {tool.server for tool in scope.offer.values()}
    for task, name in zip(drafts, names, strict=True):
        for tool in task.get("tools", []):
            if tool not in scope.offer:
                near = difflib.get_close_matches(tool[:200], list(scope.offer), n=2, cutoff=0.5)
                hint = f"; nearest: {', '.join(near)}" if near else ""
                yield f"task {name[:40]}: there is no tool {json.dumps(tool[:120])}{hint}"
        reached = {scope.offer[tool].server for tool in task.get("tools", []) if tool in scope.offer}
        for server in dict.fromkeys(task.get("servers", [])):
            if server not in servers:
                yield f"task {name[:40]}: there is no server {json.dumps(server[:120])}"
            elif server not in reached:
                yield f"task {name[:40]}: the server {json.dumps(server[:120])} is named, but no tool of it"


def _order_problems(phases: list[Any], names: list[str], scope: PlanConstraints) -> Iterator[str]:
    """Return the tasks that depend on a task that is missing, later, or depends on them."""
    place: dict[str, int] = {}
    after: dict[str, list[str]] = {}
    left = iter(names)
    for number, phase in enumerate(phases):
        for task in phase["tasks"]:
            name = next(left)
            place[name], after[name] = number, list(task.get("after", []))
    for name, before in after.items():
        for other in before:
            if other in scope.done:
                continue
            if other not in place:
                yield f"task {name[:40]} comes after {json.dumps(other[:40])}, which is no task"
            elif place[other] > place[name]:
                yield f"task {name[:40]} comes after {other[:40]}, which is in a later phase"
    circle = find_cycle(after)
    if circle:
        yield "tasks wait for each other: " + " after ".join(name[:40] for name in circle)


def find_cycle(after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return names that depend on each other in a circle, the first one again at the end; () if none do."""
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return ()


# --- numbering --------------------------------------------------------------------------------


def _numbered(phases: list[Any], names: list[str], scope: PlanConstraints) -> Iterator[PlannedPhase]:
    ids = {name: f"t{scope.tasks + at}" for at, name in enumerate(names, 1)}
    left = iter(names)
    for number, phase in enumerate(phases, scope.phases + 1):
        tasks = tuple(_task(task, ids[next(left)], f"p{number}", ids, scope) for task in phase["tasks"])
        yield PlannedPhase(f"p{number}", _clean(phase["title"]), tasks)


def _task(
    draft: Mapping[str, Any], ident: str, phase: str, ids: Mapping[str, str], scope: PlanConstraints
) -> PlannedTask:
    tools = tuple(dict.fromkeys(draft.get("tools", [])))
    return PlannedTask(
        id=ident,
        agent=f"root/{phase}/{ident}",
        title=_clean(draft["title"]),
        goal=_clean(draft["goal"]),
        servers=tuple(dict.fromkeys(scope.offer[tool].server for tool in tools)),
        tools=tools,
        after=tuple(dict.fromkeys(ids.get(other, other) for other in draft.get("after", []))),
    )


def _clean(text: str) -> str:
    return strip_invisible(text)[0].strip()


def _text(value: Any, key: str, limit: int) -> str:
    if not isinstance(value, str) or not _clean(value):
        raise InvalidPlan(f"`{key}` must be a text")
    if len(value) > limit:
        raise InvalidPlan(f"`{key}` is longer than {limit} characters")
    return _clean(value)
