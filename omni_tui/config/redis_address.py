"""Where Redis is: from `[memory.redis]` and the environment.

The environment goes before the file. `REDIS_URL` is a whole address: `REDIS_HOST`, `REDIS_PORT` and
`REDIS_DB` are not read beside it. Containers set `REDIS_PORT` to an address (`tcp://10.0.0.1:6379`)
unasked: its host counts only if nothing else names one. A password counts for the place that it was
written for: the file's is not sent to a host that the environment names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from omni_tui.config.sections import RedisSection

REDIS_VARIABLES = (
    "REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_PASSWORD"
)  # fmt: skip
"""The variables of the environment that are read."""
PORT = 6379
_MOST_DB = 1_000_000
_CONTAINER = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:\s]+):(?P<port>\d{1,5})/?")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?")


class RedisRefused(Exception):
    """The address of Redis cannot be used; the text is one sentence with the reason and what to do."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One Redis server. With `tls` its certificate and name are always checked; `ca` is a file of CAs."""

    host: str = "localhost"
    port: int = PORT
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.db}"


def redis_address(settings: RedisSection, password: str, environ: Mapping[str, str]) -> RedisAddress:
    """Return where Redis is. `password` is the resolved one of the file. Raises `RedisRefused`."""
    own = parse_redis_url(settings.url, "memory.redis.url") if settings.url else RedisAddress()
    own = replace(own, password=password, ca=settings.ca)
    if url := environ.get("REDIS_URL", ""):
        place = replace(parse_redis_url(url, "REDIS_URL"), ca=settings.ca)
    else:
        place = _from_parts(own, environ, named=bool(settings.url))
    return replace(
        place,
        username=environ.get("REDIS_USERNAME", "") or place.username,
        password=environ.get("REDIS_PASSWORD", "") or place.password,
    )


def _from_parts(own: RedisAddress, environ: Mapping[str, str], *, named: bool) -> RedisAddress:
    """Return the place that `REDIS_HOST`, `REDIS_PORT` and `REDIS_DB` name, the rest from the file."""
    host, port_text = environ.get("REDIS_HOST", ""), environ.get("REDIS_PORT", "")
    if host and not _HOST.fullmatch(host):
        raise RedisRefused(
            f"REDIS_HOST must be the name of a host, not {_shown(host)}; write an address as REDIS_URL"
        )
    port = own.port
    if container := _CONTAINER.fullmatch(port_text):
        if not named or host:
            port = _number("REDIS_PORT", container["port"], 65_535, least=1)
            host = host or container["host"].strip("[]")
    elif port_text:
        port = _number("REDIS_PORT", port_text, 65_535, least=1)
    elif host:
        port = PORT
    db = own.db
    if db_text := environ.get("REDIS_DB", ""):
        db = _number("REDIS_DB", db_text, _MOST_DB)
    if host and host != own.host:
        # Whoever is there is not given the file's name and password.
        return RedisAddress(host, port, db, tls=own.tls, ca=own.ca)
    return replace(own, port=port, db=db)


def parse_redis_url(url: str, name: str) -> RedisAddress:
    """Return the place that a URL names. Raises `RedisRefused`, also for what libraries read after a `?`.

    There, `ssl_cert_reqs=none` would turn off the check of the server's certificate without a word.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # brackets that do not match
        raise RedisRefused(f"{name} must be redis://HOST:PORT/DB; its host cannot be read") from None
    if parts.scheme.lower() not in ("redis", "rediss"):
        raise RedisRefused(f"{name} must begin with redis:// or rediss://; correct it")
    if parts.query or parts.fragment:
        raise RedisRefused(
            f"{name} must end after the number of the database: nothing after ? or # is used, and "
            "certificates are always checked; a CA of your own goes into [memory.redis] ca"
        )
    try:
        port = parts.port
    except ValueError:
        port = 0
    host = unquote(parts.hostname or "")
    if port == 0 or not _HOST.fullmatch(host):
        raise RedisRefused(f"{name} must be redis://HOST:PORT/DB; its host or port cannot be read")
    db = parts.path.strip("/")
    return RedisAddress(
        host=host,
        port=PORT if port is None else port,
        db=_number(f"the database in {name}", db, _MOST_DB) if db else 0,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=parts.scheme.lower() == "rediss",
    )


def _number(name: str, text: str, most: int, *, least: int = 0) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise RedisRefused(f"{name} must be a whole number from {least} to {most}, not {_shown(text)}")
    return int(text)


def _shown(text: str) -> str:
    """Return a value for a message, without credentials: all before the last `@`, slashes or not."""
    _credentials, at, place = unquote(text).rpartition("@")
    return repr(f"{'…@' if at else ''}{place}"[:60])
