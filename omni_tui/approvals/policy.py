"""The decision on a proposed call before anybody is asked: a pure function.

The config gives a base decision for each mode. Everything else can only make it stricter (allow → ask →
deny).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from omni_tui.protocol import Mode
from omni_tui.protocol.events import Risk

Decision = Literal["allow", "ask", "deny"]
Origin = Literal["agent", "hand"]
Trust = Literal["unchanged", "new", "changed"]

SEVERITY: dict[Decision, int] = {"allow": 0, "ask": 1, "deny": 2}

COVERS: dict[Mode, str] = {
    "chat": "every call is asked about",
    "auto": (
        "calls run unasked on servers you allowed whose definitions are unchanged; "
        "tools that may destroy are asked about"
    ),
    "orchestrator": "the plan is asked about first; then as in auto",
}


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """All that a decision may depend on.

    `mode` is the mode of the message that the turn answers, `now` the mode of this moment (None: the
    same). `loosened` says what the person allowed only after that message, "" if nothing that matters.
    """

    mode: Mode
    origin: Origin
    risk: Risk
    server_trust: Trust
    tool_trust: Trust
    confirmed: bool = False
    unchecked: str = ""
    """Why the arguments could not be checked against the schema; "" if they were."""
    unplanned: bool = False
    """Whether it stands in for a call of a plan's agent, which the approved plan gave other tools."""
    now: Mode | None = None
    loosened: str = ""


@dataclass(frozen=True, slots=True)
class Assessment:
    """A decision and its reasons for the person. `held`: a change must be accepted first.

    `mode` is the mode that decided, None for a call by hand.
    """

    decision: Decision
    decider: str
    why: tuple[str, ...] = field(default=())
    held: bool = False
    mode: Mode | None = None


def assess(base: dict[Mode, Decision], facts: DecisionFacts) -> Assessment:
    """Decide on a call. `base` is the config's decision for each mode.

    An agent's call is judged under the mode of its turn and under the mode of now; the stricter
    decision counts. A change of mode therefore tightens at once, and loosens only for later messages.
    """
    why: list[str] = []
    if facts.server_trust == "changed":
        what = "the way this server is started or reached, or what it says about its use,"
        why.append(f"{what} has changed since you last used it")
    if facts.tool_trust == "changed":
        why.append("the server has changed this tool's definition since you last used it")
    if facts.tool_trust == "new":
        why.append("the server did not have this tool when you first connected it")
    held = "changed" in (facts.server_trust, facts.tool_trust)
    if facts.unchecked:
        why.append(f"the arguments could not be checked: {facts.unchecked}")
    if facts.unplanned:
        why.append("the plan does not give this tool to this agent; it replaces another one")
    if facts.origin == "hand":
        return _by_hand(facts, why, held)
    if facts.loosened:
        why.append(facts.loosened)
    under_turn = _by_agent(base[facts.mode], facts.mode, facts, why, held)
    if facts.now is None or facts.now == facts.mode:
        return under_turn
    under_now = _by_agent(base[facts.now], facts.now, facts, [*why, *_without_plan(facts)], held)
    return max(under_turn, under_now, key=lambda each: SEVERITY[each.decision])


def _without_plan(facts: DecisionFacts) -> tuple[str, ...]:
    """Return why orchestrator mode asks about a call that belongs to no plan."""
    if facts.now != "orchestrator":
        return ()
    return ("orchestrator mode asks about a plan first, and this call belongs to none",)


def _by_hand(facts: DecisionFacts, why: list[str], held: bool) -> Assessment:
    """Decide on a call by hand: it is allowed, but what is dangerous or has changed is asked once more."""
    if facts.risk == "destructive":
        why.append("this tool may destroy things")
    if why and not facts.confirmed:
        return Assessment("ask", "user (by hand)", tuple(why), held)
    return Assessment("allow", "user (by hand)", tuple(why), held)


def _by_agent(base: Decision, mode: Mode, facts: DecisionFacts, found: list[str], held: bool) -> Assessment:
    why = list(found)
    if base == "deny":
        return Assessment("deny", "mode", (f"{mode} mode is set to deny every call",), held, mode)
    if base == "ask":
        why.append(f"{mode} mode asks for every call")
        return Assessment("ask", "mode", tuple(why), held, mode)
    if facts.risk == "destructive":
        why.append(f"this tool may destroy things, and {mode} mode asks before that")
    decision: Decision = "ask" if why else "allow"
    return Assessment(decision, "mode", tuple(why), held, mode)
