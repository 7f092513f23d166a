"""The risk of a tool in words: what is known of it, told apart from what its server only claims.

A server that is not trusted can raise the risk of a tool and never lower it: that a tool only reads, or
writes without destroying, is then a claim.
"""

from __future__ import annotations

from omni_tui.protocol.values import Risk

_CLAIMS: dict[Risk, str] = {"read": "claims: reads only", "write": "claims: writes"}
_WORDS: dict[Risk, str] = {
    "read": "reads",
    "write": "writes",
    "destructive": "destroys",
    "unknown": "unknown",
}
_STYLES: dict[Risk, str] = {
    "read": "$done",
    "write": "$waiting",
    "destructive": "$fail",
    "unknown": "$text-2",
}


def is_claim(risk: Risk, *, server_trusted: bool) -> bool:
    """Whether a risk is only what a server that is not trusted claims."""
    return risk in _CLAIMS and not server_trusted


def sure_risk(risk: Risk, *, server_trusted: bool) -> Risk:
    """Return the risk that can be relied on."""
    return "unknown" if is_claim(risk, server_trusted=server_trusted) else risk


def risk_words(risk: Risk, *, server_trusted: bool) -> str:
    """Return what a tool does, or what its server claims it does."""
    return _CLAIMS[risk] if is_claim(risk, server_trusted=server_trusted) else _WORDS[risk]


def risk_chip(risk: Risk, *, server_trusted: bool) -> tuple[str, str]:
    """Return the same as a filled word: its text and style. A claim to be harmless is not green."""
    shown = sure_risk(risk, server_trusted=server_trusted) if risk == "read" else risk
    return (
        f" {risk_words(risk, server_trusted=server_trusted).upper()} ",
        f"bold $on-colour on {_STYLES[shown]}",
    )
