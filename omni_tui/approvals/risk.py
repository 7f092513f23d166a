"""The risk of a tool, from its annotations and its name.

Annotations are claims of the server (MCP 2026-07-28: untrusted unless the server is trusted). A name
can only raise the risk.
"""

from __future__ import annotations

import re
from typing import Any

from omni_tui.policy import RISK_ORDER
from omni_tui.protocol.events import Risk

_VERBS = "delete|remove|drop|destroy|purge|wipe|erase|truncate|kill|reset|revoke|uninstall|rm"
_DESTROYS = re.compile(rf"(?:^|[^a-z])({_VERBS})(?:[^a-z]|$)")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def classify(name: str, annotations: dict[str, Any]) -> Risk:
    """Return the risk of a tool.

    `read` only if the server says so and the name does not contradict it; `write` if it says that the
    tool changes things without destroying; `unknown` if it says nothing.
    """
    words = _CAMEL.sub("_", name).lower()
    if _DESTROYS.search(words) or annotations.get("destructiveHint") is True:
        return "destructive"
    if annotations.get("readOnlyHint") is True:
        return "read"
    if annotations.get("destructiveHint") is False or annotations.get("readOnlyHint") is False:
        return "write"
    return "unknown"


def sure_risk(risk: Risk, *, trusted: bool) -> Risk:
    """Return the risk that allow rules go by: what an untrusted server claims can only raise it.

    `trusted`: the person trusts the server (`[policy.servers.NAME] trusted`), so its claims count.
    """
    return risk if trusted else max(risk, "unknown", key=RISK_ORDER.__getitem__)
