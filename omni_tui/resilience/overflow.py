"""How many tokens a model takes, read from the refusal of a request that had more."""

from __future__ import annotations

import re

_LEAST, _MOST = 1_024, 100_000_000
_NUMBER = r"(?P<n>\d[\d,_. ]*\d|\d+)"
_PATTERNS = tuple(
    re.compile(pattern.replace("N", _NUMBER), re.IGNORECASE)
    for pattern in (
        r"[\"']?n_ctx[\"']?\s*[:=]\s*N",
        r"\d \+ \d+ > N",
        r"\bN (?:tokens? )?maximum context",
        r"maximum (?:context|input|prompt)[^\d.]{0,40}N",
        r"context[ _-]?(?:length|window|size)[^\d.]{0,40}?N",
        r"\d[\d,]* tokens? (?:>|exceeds?)[^\d]{0,60}?N",
        r"(?:maximum|max|limit)\w* (?:number of |allowed |input |prompt )*tokens?[^\d.]{0,30}N",
        r"limited to N tokens",
        r"tokens?[^\d.]{0,40}(?:maximum|max|limit)[^\d.]{0,30}N",
        r"\b(?:limit|maximum|max)[^\d.]{0,20}N",
    )
)


def window_in(text: str) -> int | None:
    """Return the tokens that a provider's words say it takes, None if they do not say."""
    for pattern in _PATTERNS:
        for found in pattern.finditer(text[:4_000]):
            digits = re.sub(r"[^\d]", "", found["n"])
            if digits and _LEAST <= int(digits) <= _MOST:
                return int(digits)
    return None


def is_by_the_minute(text: str) -> bool:
    """Whether the limit is one of an account's use of time, not of the model."""
    return re.search(r"per (minute|day|hour)|\bTP[MD]\b", text, re.IGNORECASE) is not None
