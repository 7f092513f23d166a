"""A rule of the policy, and what it may look at in a call.

A rule matches if everything it names fits: it has no priority, and its place in a file means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from omni_tui.policy.argument_condition import (
    ArgumentCondition,
    OutsideCheck,
    Truth,
    everything_outside,
    nothing_outside,
)
from omni_tui.policy.glob import is_glob, matches_any
from omni_tui.protocol.rules import RuleScope
from omni_tui.protocol.values import Mode, Risk

RuleDecision = Literal["allow", "ask", "deny"]
Asker = Literal["agent", "hand", "gateway", "operator"]

SEVERITY: dict[RuleDecision, int] = {"allow": 0, "ask": 1, "deny": 2}
RISK_ORDER: dict[Risk, int] = {"read": 0, "write": 1, "unknown": 2, "destructive": 3}


@dataclass(frozen=True, slots=True)
class RuleOrigin:
    """Where a rule stands. `made`: written in a file by the person, or from a card by the app.

    `session` is the id of the session whose rule it is, "" for a rule of a file.
    """

    scope: RuleScope = "session"
    file: str = ""
    line: int = 0
    made: Literal["file", "card"] = "card"
    session: str = ""

    @property
    def place(self) -> str:
        """The file and line, or the session."""
        if not self.file:
            return "this session"
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class CallFacts:
    """All that a rule may look at in one call.

    `arguments` is parsed JSON. `agent` is the path that the host gave to the agent, `client` the name that
    a gateway's client claims. `outside` says which values of the arguments contain data from outside.
    `server_cwd` is where the server's relative paths start, "" if unknown. `now` is in Unix seconds; `uses`
    says how often each rule was used, by `Rule.key`. `claimed` is the risk that the server claims, None if
    that is `risk`: the claims of a server that is not trusted can only raise `risk`.
    """

    server: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    mode: Mode = "chat"
    agent: str = "root"
    who: Asker = "agent"
    client: str = ""
    risk: Risk = "unknown"
    claimed: Risk | None = None
    outside: OutsideCheck = nothing_outside
    server_cwd: str = ""
    now: float = 0.0
    uses: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A call that a rule must match, or must not. What is None is not looked at."""

    match: bool
    args: Mapping[str, Any] | None = None
    server: str | None = None
    tool: str | None = None
    mode: Mode | None = None
    agent: str | None = None
    who: Asker | None = None
    client: str | None = None
    risk: Risk | None = None
    outside: bool | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. An empty tuple means any; times are Unix seconds, 0 is never.

    `server`, `tool`, `except_tool`, `agents` and `clients` are globs. `risk_max` "" is the default: an
    allow rule covers every risk but `destructive`, another rule every risk. With `other_args` "none" a
    call with an argument that no condition names does not match. `outside`: only calls whose arguments
    contain data from outside. `max_uses` 0 is no limit. `message` is told to the model when
    the rule denies.
    """

    id: str
    decision: RuleDecision
    server: tuple[str, ...] = ("*",)
    tool: tuple[str, ...] = ("*",)
    except_tool: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()
    agents: tuple[str, ...] = ()
    who: tuple[Asker, ...] = ()
    clients: tuple[str, ...] = ()
    risk_max: Risk | Literal[""] = ""
    args: tuple[ArgumentCondition, ...] = ()
    other_args: Literal["any", "none"] = "any"
    outside: bool = False
    expires: float = 0.0
    max_uses: int = 0
    message: str = ""
    created: float = 0.0
    tests: tuple[RuleTest, ...] = ()
    origin: RuleOrigin = RuleOrigin()

    @property
    def key(self) -> str:
        """What its uses are counted under: an id is unique in a scope only, or in a session."""
        return ":".join(filter(None, (self.origin.scope, self.origin.session, self.id)))

    @property
    def highest_risk(self) -> Risk:
        """The highest risk that it covers."""
        return self.risk_max or ("unknown" if self.decision == "allow" else "destructive")

    @property
    def asks_outside(self) -> bool:
        """Whether it looks for data from outside."""
        return self.outside or any(each.op == "outside" for each in self.args)

    @property
    def is_for_one_tool(self) -> bool:
        """Whether it names exactly one tool of one server."""
        return len(self.server) == len(self.tool) == 1 and not is_glob(self.server[0] + self.tool[0])

    def names(self, server: str, tool: str) -> bool:
        """Whether it is about a tool at all."""
        return (
            matches_any(self.server, server)
            and matches_any(self.tool, tool)
            and not matches_any(self.except_tool, tool)
        )

    def is_over(self, facts: CallFacts) -> bool:
        """Whether it has expired or is used up."""
        expired = bool(self.expires) and facts.now >= self.expires
        return expired or (bool(self.max_uses) and facts.uses.get(self.key, 0) >= self.max_uses)

    def matches(self, facts: CallFacts) -> bool:
        """Whether it decides on a call."""
        return self.names(facts.server, facts.tool) and self.fits(facts)

    def fits(self, facts: CallFacts) -> bool:
        """Whether everything but the names of server and tool fits."""
        return self.fits_caller(facts) and self._fits_arguments(facts)

    def fits_caller(self, facts: CallFacts) -> bool:
        """Whether everything but names and arguments fits."""
        return (
            (not self.modes or facts.mode in self.modes)
            and (not self.agents or matches_any(self.agents, facts.agent))
            and (not self.who or facts.who in self.who)
            and self._fits_client(facts)
            and self._fits_risk(facts)
            and not self.is_over(facts)
        )

    def is_surely_outside(self, facts: CallFacts) -> bool:
        """Whether all the data from outside that it looks for was found: it matches what is unclear too."""

        def surely(value: Any) -> Truth:
            return Truth.of(facts.outside(value) is Truth.HOLDS)

        return (not self.outside or surely(facts.arguments) is Truth.HOLDS) and all(
            each.matches(facts.arguments, allowing=False, outside=surely)
            and each.matches(facts.arguments, allowing=True, outside=everything_outside)
            for each in self.args
            if each.op == "outside"
        )

    def _fits_risk(self, facts: CallFacts) -> bool:
        """Whether it covers the risk: to allow, the risk for sure; to ask or deny, also the claimed one."""
        most = RISK_ORDER[self.highest_risk]
        if self.decision != "allow" and facts.claimed and RISK_ORDER[facts.claimed] <= most:
            return True
        return RISK_ORDER[facts.risk] <= most

    def _fits_client(self, facts: CallFacts) -> bool:
        return not self.clients or (facts.who == "gateway" and matches_any(self.clients, facts.client))

    def _fits_arguments(self, facts: CallFacts) -> bool:
        """Whether the conditions on arguments are met; those that take long to find out come last."""
        allowing = self.decision == "allow"
        return (
            (self.other_args == "any" or self._covers_all(facts.arguments))
            and all(
                each.matches(
                    facts.arguments, allowing=allowing, cwd=facts.server_cwd, outside=facts.outside
                )
                for each in (sorted(self.args, key=_takes_long) if len(self.args) > 1 else self.args)
            )
            and (not self.outside or facts.outside(facts.arguments).counts(allowing=allowing))
        )

    def _covers_all(self, arguments: Mapping[str, Any]) -> bool:
        return all(any(each.covers(place) for each in self.args) for place in leaf_places(arguments))


def _takes_long(condition: ArgumentCondition) -> bool:
    return condition.op == "outside"


def leaf_places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every value that contains no other (an empty list is one, except at the top)."""
    if isinstance(value, Mapping):
        members: Iterator[tuple[str | int, Any]] = iter(value.items())
    elif isinstance(value, list | tuple):
        members = iter(enumerate(value))
    else:
        members = iter(())
    empty = True
    for key, member in members:
        empty = False
        yield from leaf_places(member, (*place, key))
    if empty and place:
        yield place
