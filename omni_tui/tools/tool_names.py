"""Names of tools for a model: legal everywhere, stable, and reversible.

Providers take `[a-zA-Z0-9_-]`, at most 64 characters, some only a letter or `_` first. A pair
(server, tool) keeps its name across restarts, so that prompt caches stay warm.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

LIMIT = 64
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")

ToolKey = tuple[str, str]


def model_name(server: str, tool: str) -> str:
    """Return the name of a (server, tool) pair, the same on every run.

    Legal, short pairs read `server__tool`; others end in six hex digits of a hash of the pair.
    """
    plain = f"{server}__{tool}"
    name = _ILLEGAL.sub("_", plain)
    if name[:1].isdigit() or name.startswith("-"):
        name = "_" + name
    exact = name == plain and len(name) <= LIMIT and "__" not in server and not server.endswith("_")
    if exact and not tool.startswith("_"):
        return name
    pair = f"{len(server)}:{server}{tool}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(pair).hexdigest()[:6]
    return f"{name[: LIMIT - 7]}_{digest}"


def nearest_names(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Return the names most like a wrong one."""
    import difflib

    return difflib.get_close_matches(name[:200], list(names), n=count, cutoff=0.3)
