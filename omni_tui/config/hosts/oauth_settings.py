"""Read how a host has a server sign in: `oauth`, or `auth` with its method or its client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_USED = {"clientid", "clientsecret", "scopes", "scope", "callbackport", "method", "type", "enabled"}


@dataclass(frozen=True, slots=True)
class ForeignOAuth:
    """`wanted`: whether it signs in with OAuth. `values` are keys of `[servers.NAME.oauth]`."""

    wanted: bool
    values: Mapping[str, Any]
    client_secret: str = ""
    notes: tuple[str, ...] = ()


def read_oauth(written: Any) -> ForeignOAuth:
    """Read the settings; what cannot be used is noted."""
    given = written if isinstance(written, Mapping) else {}
    if given.get("enabled") is False:
        return ForeignOAuth(False, {})
    method = str(given.get("method") or given.get("type") or "oauth" if given else written).lower()
    if method not in ("oauth", "oauth2", "true", "{}"):
        known = () if method == "none" else (f"it signs in by {method!r}, which is not known here",)
        return ForeignOAuth(False, {}, notes=known)
    plain = {_key(key): value for key, value in given.items() if value}
    values: dict[str, Any] = {}
    if isinstance(client := plain.get("clientid"), str):
        values["client_id"] = client
    if scopes := _scopes(plain.get("scopes") or plain.get("scope")):
        values["scopes"] = scopes
    port = plain.get("callbackport")
    if isinstance(port, int) and not isinstance(port, bool):
        values["callback_port"] = port
    secret = plain.get("clientsecret")
    return ForeignOAuth(True, values, secret if isinstance(secret, str) else "", tuple(_unused(given)))


def _key(name: Any) -> str:
    return str(name).lower().replace("_", "")


def _scopes(written: Any) -> list[str]:
    if isinstance(written, str):
        return written.replace(",", " ").split()
    return [each for each in written if isinstance(each, str)] if isinstance(written, list) else []


def _unused(given: Mapping[Any, Any]) -> Iterator[str]:
    for name in sorted(str(name) for name in given if _key(name) not in _USED):
        yield f"`{name}` of its OAuth settings is not used"
