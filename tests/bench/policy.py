"""A decision among 5,000 rules. Run: `python -m tests.bench.policy`.

Prints milliseconds (of this thread's time) of a decision on a tool that was not decided on before, for
rules with whole names, for globs that begin or end with letters, and for globs that do neither; and of one
among 5,000 rules for the same tool, each for another argument. Beside it a walk through all rules (the
control). Budget: p95 < 5 ms.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from omni_tui.policy import ArgumentCondition, CallFacts, Rule, RuleSet

RULES = 5_000
CALLS = 100
BUDGET = 5.0
PATTERNS: dict[str, tuple[str, str]] = {
    "whole names": ("server{0}", "tool_{0}"),
    "globs with a start": ("server{0}*", "tool_{0}*"),
    "globs with an end": ("*server{0}", "*tool_{0}"),
    "globs with neither": ("files", "*ool_{0}*"),
}


def rules(server: str, tool: str) -> list[Rule]:
    """Return rules for one tool each."""
    return [
        Rule(f"r{number}", "deny", server=(server.format(number),), tool=(tool.format(number),))
        for number in range(RULES)
    ]


def for_one_tool() -> list[Rule]:
    """Return rules for one tool, each for another value of an argument."""
    return [
        Rule(
            f"r{number}", "allow", server=("files",), tool=("read",), args=(_is(number),), other_args="none"
        )
        for number in range(RULES)
    ]


def _is(number: int) -> ArgumentCondition:
    return ArgumentCondition("/path", "eq", f"/srv/{number}")


def calls_of(server: str) -> list[CallFacts]:
    """Return calls of different tools."""
    numbers = range(0, RULES, RULES // CALLS)
    return [CallFacts(server.format(number).replace("*", ""), f"tool_{number}") for number in numbers]


def timed(decide: Callable[[CallFacts], object], calls: list[CallFacts]) -> list[float]:
    """Return milliseconds of decisions."""
    found = []
    for facts in calls:
        start = time.thread_time()
        decide(facts)
        found.append((time.thread_time() - start) * 1000)
    return found


def p95(values: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def main() -> None:
    """Print the figures; exit with 1 if one is over its budget."""
    over = False
    cases = {name: (rules(*patterns), calls_of(patterns[0])) for name, patterns in PATTERNS.items()}
    numbers = range(0, RULES, RULES // CALLS)
    reads = [CallFacts("files", "read", {"path": f"/srv/{number}"}) for number in numbers]
    cases["rules for one tool"] = (for_one_tool(), reads)
    for name, (every, calls) in cases.items():
        start = time.thread_time()
        indexed = RuleSet(every)
        made = (time.thread_time() - start) * 1000
        times = timed(indexed.decide, calls)

        def walk(facts: CallFacts, every: list[Rule] = every) -> list[Rule]:
            return [rule for rule in every if rule.matches(facts)]

        control = statistics.median(timed(walk, calls[:10]))
        over = over or p95(times) >= BUDGET
        print(
            f"{name:20} p95 {p95(times):8.3f} ms   median {statistics.median(times):8.3f} ms   "
            f"all rules one by one {control:8.3f} ms   index made in {made:6.0f} ms"
        )
    print(f"budget: p95 < {BUDGET:g} ms: {'MISSED' if over else 'held'}")
    sys.exit(over)


if __name__ == "__main__":
    main()
