"""Grants: the right to send one attempt of one call, once.

Nothing but the gate can make one that the gate will honour. A grant names exactly what was
decided on (call, attempt, server fingerprint, tool definition, argument hash); it is honoured only
as the very object that was issued, unaltered, before it expires, and once. This guards against our
own mistakes; the journal row it stands for is the authority.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Any, NoReturn

LIFETIME_S = 30.0
"""A grant that is not redeemed by then is refused; the executor redeems at once."""

_MINT = object()


class GrantRefused(Exception):
    """A grant that is forged, copied, altered, expired or used. The call stays unsent."""


class PolicyTightened(GrantRefused):
    """The mode or the rules became stricter after the grant was made: the call is asked about now."""


class Grant:
    """Permission for one attempt of one call. Only `Mint.issue` makes these."""

    __slots__ = ("args_hash", "attempt", "call", "def_hash", "expires", "mac", "nonce", "server_fp")

    call: str
    attempt: int
    server_fp: str
    def_hash: str
    args_hash: str
    nonce: str
    expires: float
    mac: bytes

    def __init__(self, key: object, **fields: Any) -> None:
        if key is not _MINT:
            raise TypeError("grants are made by the gate")
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError("a grant cannot be altered")

    def __delattr__(self, name: str) -> NoReturn:
        raise TypeError("a grant cannot be altered")

    def __copy__(self) -> NoReturn:
        raise TypeError("a grant cannot be copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("a grant cannot be copied")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a grant cannot be copied or stored")

    def __init_subclass__(cls) -> None:
        raise TypeError("a grant has one form")


class Mint:
    """Issues grants and takes each back once. One per engine; its key dies with the process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._issued: dict[str, Grant] = {}

    def issue(self, *, call: str, attempt: int, server_fp: str, def_hash: str, args_hash: str) -> Grant:
        """Make the grant for one attempt."""
        fields: dict[str, Any] = {
            "call": call,
            "attempt": attempt,
            "server_fp": server_fp,
            "def_hash": def_hash,
            "args_hash": args_hash,
            "nonce": secrets.token_hex(16),
            "expires": self._clock() + LIFETIME_S,
        }
        grant = Grant(_MINT, **fields, mac=self._mac(fields))
        self._issued[grant.nonce] = grant
        return grant

    def take(self, grant: Grant) -> None:
        """Use a grant up. Raises `GrantRefused` for anything but a live grant of this mint."""
        if type(grant) is not Grant:
            raise GrantRefused(f"a {type(grant).__name__} is no grant")
        nonce = getattr(grant, "nonce", "")
        issued = self._issued.pop(nonce, None) if isinstance(nonce, str) else None
        if issued is None:
            raise GrantRefused("the grant was used already, or was never issued")
        if issued is not grant:
            raise GrantRefused("the grant is a copy")
        fields = {name: getattr(grant, name) for name in Grant.__slots__ if name != "mac"}
        if not hmac.compare_digest(self._mac(fields), grant.mac):
            raise GrantRefused("the grant was altered")
        if self._clock() > grant.expires:
            raise GrantRefused("the grant has expired")

    def revoke(self, call: str) -> None:
        """Forget the grants of a call that was cancelled before it was sent."""
        for nonce in [nonce for nonce, grant in self._issued.items() if grant.call == call]:
            del self._issued[nonce]

    def _mac(self, fields: dict[str, Any]) -> bytes:
        text = repr(sorted((name, value) for name, value in fields.items() if name != "mac"))
        return hmac.digest(self._key, text.encode(), "sha256")
