"""Notices about what Omni TUI did for a model: built-in tools, summaries, the system prompt, reports."""

from __future__ import annotations

from collections.abc import Sequence

from omni_tui.protocol import AnyEvent
from omni_tui.protocol.context import BuiltinToolCalled, ContextSummarised, SystemChanged
from omni_tui.protocol.conversation import RunReport
from omni_tui.security.identifiers import identifier

_WRONG = 12
_NAMES = 5
_STATES = {"succeeded": "done", "result_rejected": "ran, result rejected", "uncertain": "outcome unknown"}
_META = {"find_tools": "searched tools", "read_result": "read a stored result"}


def host_notice(event: AnyEvent) -> tuple[str, str, tuple[str, ...]]:
    """Return what happened, details, and further lines."""
    match event:
        case BuiltinToolCalled(tool=tool, asked=asked, answer=answer):
            return f"{_META[tool]}: {asked}", f"{answer} · {tool}, built in, no server was called", ()
        case ContextSummarised(upto=upto, by_model=by_model, reason=reason, text=text):
            who = "by the model" if by_model else f"by rules: {reason}"
            return f"the first {upto:,} messages are summarised", who, tuple(text.splitlines()[:12])
        case SystemChanged(text=text):
            what = "system prompt changed" if text else "your part of the system prompt was removed"
            return what, "from the next message on", tuple(text.splitlines()[:6])
        case RunReport(states=states, calls=calls):
            made = sum(states.values())
            what = f"{made} call{'s' if made != 1 else ''}: {_states(states)}"
            wrong = [call for call in calls if call.state != "succeeded"]
            lines = [
                f"{_STATES.get(call.state, call.state)}: {identifier(call.server)} › {call.label}"
                for call in wrong
            ]
            return what, f"in {_span(event.elapsed_s)}, as the journal has it", tuple(lines[:_WRONG])
        case _:
            raise TypeError(f"no words for {type(event).__name__}")


def missing_tools_notice(servers: Sequence[str]) -> tuple[str, str, str]:
    """Return what, why and what to do if a model answered without the tools of some servers."""
    names = ", ".join(servers[:_NAMES])
    if len(servers) > _NAMES:
        names += f" and {len(servers) - _NAMES} more"
    one = len(servers) == 1
    return (
        f"the model did not have the tools of {names}",
        f"{'it was' if one else 'they were'} still connecting",
        f"send it again when {'it is' if one else 'they are'} connected (F2)",
    )


def _states(states: dict[str, int]) -> str:
    ordered = sorted(states, key=lambda state: (state != "succeeded", state))
    return ", ".join(f"{states[state]} {_STATES.get(state, state)}" for state in ordered)


def _span(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"
