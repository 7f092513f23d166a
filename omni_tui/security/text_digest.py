"""Hash texts of any length without a copy of them."""

from __future__ import annotations

import hashlib

_PIECE = 1 << 16
"""Characters that are encoded at a time."""


def text_digest(*parts: str) -> str:
    """Return the SHA-256 of texts, with a zero byte between them, in hex; half surrogates count too.

    A result may have millions of characters of four bytes: joining and encoding it would need them again.
    """
    found = hashlib.sha256()
    for number, part in enumerate(parts):
        if number:
            found.update(b"\0")
        for start in range(0, len(part), _PIECE):
            found.update(part[start : start + _PIECE].encode(errors="surrogatepass"))
    return found.hexdigest()
