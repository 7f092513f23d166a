"""Who or what decides, in words: the one table for transcript, command line, audit and screens.

A decider is a short code in events and audit entries, such as `user`, `mode` or `rule:ID`.
"""

from __future__ import annotations

_RULE = "rule:"
_DOERS = {
    "user": "you",
    "user (by hand)": "you, by hand",
    "hand": "you, by hand",
    "policy": "policy",
    "mode": "the mode",
    "gate": "the gate",
    "agent": "the agent",
    "model": "the model",
    "server": "the server",
    "cache": "the cache",
    "restart": "a restart",
    "branch": "branching off",
    "first sight": "first sight",
}
"""Those that did it: the words follow "by"."""
_REASONS = {
    "headless": "nobody there to ask",
    "timeout": "timed out",
    "repeat": "as twice before",
    "stop": "stopped",
    "cut": "cut off",
}
"""What it came to by itself: the words follow the outcome."""
_WHOLE = {
    ("expired", "timeout"): "timed out",
    ("expired", ""): "timed out",
    ("rejected", "repeat"): "rejected, as twice before",
    ("denied", ""): "denied by policy",
}
_UNKNOWN = "outcome unknown"
"""Outcomes whose words say already what it came from."""


def decider_words(decider: str) -> str:
    """Return who or what a decider is; "" for none. The words of a rule are not safe to show yet."""
    if decider.startswith(_RULE):
        return f"rule {decider.removeprefix(_RULE)}"
    return _DOERS.get(decider) or _REASONS.get(decider) or decider


def decided_by(decider: str) -> str:
    """Return what follows the word for an outcome, such as ` by the mode` or `: timed out`.

    "" for the person, to whom it is said, and where nothing is known.
    """
    if decider in ("", "user"):
        return ""
    words = decider_words(decider)
    return f": {words}" if decider in _REASONS else f" by {words}"


def outcome_words(outcome: str, decider: str) -> str:
    """Return an outcome without a result, such as `rejected`, with what it came from."""
    if outcome == "uncertain":
        return _UNKNOWN
    return _WHOLE.get((outcome, decider)) or outcome.replace("_", " ") + decided_by(decider)
