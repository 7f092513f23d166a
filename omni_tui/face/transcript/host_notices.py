"""Notices about what Omni TUI did for a model: built-in tools, summaries, the system prompt, reports."""

from __future__ import annotations

from collections.abc import Sequence

from omni_tui.face.formats import counted
from omni_tui.face.transcript.item_types import NoticeItem
from omni_tui.protocol.context import BuiltinToolCalled, ContextSummarised, SystemChanged
from omni_tui.protocol.conversation import RunReport
from omni_tui.protocol.goals import ActionsProposed, GoalStated, GoalTracked
from omni_tui.protocol.loaded import PROGRAMS, SessionLoaded
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe_line

_WRONG = 12
_NAMES = 5
_STATES = {"succeeded": "done", "result_rejected": "ran, result rejected", "uncertain": "outcome unknown"}
_GOAL_STATES = {
    "open": "open",
    "reached": "reached",
    "not_reached": "not reached",
    "not_checked": "not checked",
}
_ACTIONS = 8
_GOAL = 200
_META = {"find_tools": "searched tools", "read_result": "read a stored result"}


HostEvent = (
    BuiltinToolCalled
    | ContextSummarised
    | SystemChanged
    | RunReport
    | ActionsProposed
    | GoalStated
    | GoalTracked
)


def host_notice(event: HostEvent) -> NoticeItem:
    """Return what happened, details, and further lines."""
    more: list[str] = []
    match event:
        case BuiltinToolCalled(tool=tool, asked=asked, answer=answer):
            what, why = f"{_META[tool]}: {asked}", f"{answer} · {tool}, built in, no server was called"
        case ContextSummarised(upto=upto, by_model=by_model, reason=reason, text=text):
            what = f"the first {upto:,} messages are summarised"
            why = "by the model" if by_model else f"by rules: {reason}"
            more = text.splitlines()[:12]
        case SystemChanged(text=text):
            what = "system prompt changed" if text else "your part of the system prompt was removed"
            why, more = "from the next message on", text.splitlines()[:6]
        case ActionsProposed(intent=intent, actions=actions):
            what = f"proposed: {counted(len(actions), 'action')}"
            why = intent
            more = [
                f"{number}. {each.label}  {each.arguments}".rstrip()
                for number, each in enumerate(actions[:_ACTIONS], 1)
            ]
            more += [f"and {len(actions) - _ACTIONS} more"] if len(actions) > _ACTIONS else []
        case GoalStated(goal=goal, parts=parts):
            what, why = f"goal: {safe_line(goal, limit=_GOAL)}", "in your words; checked at the end"
            more = [f"{number}. {part}" for number, part in enumerate(parts, 1)] if len(parts) > 1 else []
        case GoalTracked(parts=parts):
            what, why = f"the model on the goal: {counted(len(parts), 'part')}", "as it says; not checked"
            more = [f"{_GOAL_STATES[part.state]}: {part.text}" for part in parts]
        case RunReport():
            what, why, more = _report(event)
    return NoticeItem(ts=event.ts, what=what, why=why, more=tuple(more))


def _report(event: RunReport) -> tuple[str, str, list[str]]:
    """Return the report of a turn: its calls, then goal, failures and what is open."""
    ordered = sorted(event.states, key=lambda state: (state != "succeeded", state))
    counts = ", ".join(f"{event.states[state]} {_STATES.get(state, state)}" for state in ordered)
    total = sum(event.states.values())
    what = f"{counted(total, 'call')}: {counts}" if total else "no calls"
    names = {call.call: f"{identifier(call.server)} › {call.label}" for call in event.calls}
    whole = len(event.parts) == 1  # then the goal is its only part
    more = [f"goal: {safe_line(event.goal, limit=_GOAL)}"] if event.goal and not whole else []
    for part in event.parts:
        shown = ", ".join(dict.fromkeys(names[call] for call in part.calls if call in names))
        state = f"goal, {_GOAL_STATES[part.state]}" if whole else _GOAL_STATES[part.state]
        more.append(f"{state}: {part.text}" + (f"  ({shown})" if shown else ""))
    more += [
        f"{_STATES.get(call.state, call.state)}: {identifier(call.server)} › {call.label}"
        for call in event.calls
        if call.state != "succeeded"
    ][:_WRONG]
    more += [f"open: {words}" for words in event.open]
    return what, f"in {_span(event.elapsed_s)}, as the journal has it", more


def loaded_notice(event: SessionLoaded) -> NoticeItem:
    """Return the notice that all before it comes from a file."""
    what = f"all above was loaded from {event.file} ({PROGRAMS[event.source]})"
    counts = f"{counted(event.messages, 'message')}, {counted(event.calls, 'call')}"
    why = f"{counts}; it counts as data from outside, and nothing in it is sent again"
    return NoticeItem(ts=event.ts, what=what, why=why)


def missing_tools_notice(ts: float, servers: Sequence[str]) -> NoticeItem:
    """Return the notice that a model answered without the tools of some servers."""
    names = ", ".join(servers[:_NAMES])
    if len(servers) > _NAMES:
        names += f" and {len(servers) - _NAMES} more"
    one = len(servers) == 1
    return NoticeItem(
        ts=ts,
        level="warning",
        what=f"the model did not have the tools of {names}",
        why=f"{'it was' if one else 'they were'} still connecting",
        todo=f"send it again when {'it is' if one else 'they are'} connected",
    )


def _span(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"
