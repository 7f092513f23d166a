"""One connection to Redis, and what can be wrong with it.

The library's defaults repeat commands that timed out, which may have been carried out: here nothing is
repeated by it, and every write may be repeated by us. After any error the connection is thrown away.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from omni_tui.config.redis_address import RedisAddress
from omni_tui.heavy_import import without_collections

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0
"""Seconds that Redis may take for an answer."""
_CONNECT_S = 1.0
_BYTES_PER_SECOND = 100_000
"""How fast at least a large entry is expected to travel."""
_LEAST_VERSION = 7


class RedisTrouble(Exception):
    """Redis cannot be used; the text says why.

    `kind`: `away` (it cannot be reached, or is not ready), `full` (it takes no more data), `refused` (it
    answers, and somebody has to change something).
    """

    def __init__(self, kind: Literal["away", "full", "refused"], what: str, todo: str = "") -> None:
        super().__init__(what)
        self.kind = kind
        self.todo = todo


def load_library() -> None:
    """Import the library; takes a tenth of a second: not on the event loop."""
    with without_collections():
        import redis.asyncio  # noqa: F401


@asynccontextmanager
async def connection(address: RedisAddress, *, size: int = 0) -> AsyncIterator[Redis]:
    """Connect to Redis, check that it is usable, and disconnect at the end.

    `size`: the bytes of the largest command to be sent; more of them may take longer. Raises `RedisTrouble`
    for everything that goes wrong with Redis, also inside the block. An `OSError` of the block itself, as
    of a full disk, stays one: the library makes its own errors of those of its sockets.
    """
    import redis.asyncio as library
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

    tls: dict[str, Any] = {}
    if address.tls:
        tls = {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        tls |= {"ssl_ca_certs": address.ca} if address.ca else {}
    client = library.Redis(
        host=address.host,
        port=address.port,
        db=address.db,
        username=address.username or None,
        password=address.password or None,
        socket_timeout=TIMEOUT_S + size / _BYTES_PER_SECOND,
        socket_connect_timeout=_CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
        protocol=2,
        **tls,
    )
    try:
        try:
            await _check_version(client)
        except (OSError, TimeoutError) as error:
            raise trouble_of(error, address) from error
        yield client
    except RedisError as error:
        raise trouble_of(error, address) from error
    finally:
        try:
            await client.aclose()
        except (RedisError, OSError, TimeoutError):
            logger.debug("a connection to Redis could not be closed", exc_info=True)


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """Version of a Redis, and what it does when its memory is full ("" if it does not tell)."""

    version: str
    policy: str = ""


async def look_at(address: RedisAddress) -> RedisFacts:
    """Connect, and return what a person should know. Raises `RedisTrouble`."""
    from redis.exceptions import NoPermissionError

    async with connection(address) as client:
        version = await _check_version(client)
        try:
            memory: Any = await client.info("memory")
        except NoPermissionError:
            return RedisFacts(version)
        return RedisFacts(version, str(memory.get("maxmemory_policy", "")))


async def _check_version(client: Redis) -> str:
    """Return the version. Raises `RedisTrouble` for one without the scripts used here (`#!lua`: 7.0)."""
    answer: Any = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=False)
    facts = {_text(name): value for name, value in pairs}
    version = _text(facts.get("version", b""))
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < _LEAST_VERSION:
        raise RedisTrouble(
            "refused", f"Redis {version or '(of unknown version)'} is too old", "use Redis 7.0 or newer"
        )
    return version


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def trouble_of(error: BaseException, address: RedisAddress) -> RedisTrouble:
    """Return an error of the library in words."""
    from redis import exceptions as e

    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            what = f"the certificate of {address} is not valid here: {cause.verify_message}"
            todo = "name a file with its CA in [memory.redis] ca, or use the name in the certificate"
            return RedisTrouble("refused", what, todo)
        if isinstance(cause, FileNotFoundError) and address.ca:
            return RedisTrouble("refused", f"there is no file {address.ca}", "correct [memory.redis] ca")
    answer = f"Redis answers: {str(error).strip() or type(error).__name__}"
    acl = "if its user has an ACL, give it the commands and keys that the guide lists (Memory and Redis)"
    # In this order: an `AuthenticationError` is a `ConnectionError` too.
    table: tuple[tuple[type[Exception], RedisTrouble], ...] = (
        (e.AuthenticationError, RedisTrouble("refused", "Redis refuses user or password", "correct them")),
        (e.NoPermissionError, RedisTrouble("refused", answer, acl)),
        (e.OutOfMemoryError, RedisTrouble("full", "its memory is full", "raise its maxmemory")),
        (e.BusyLoadingError, RedisTrouble("away", f"{address} is loading its data")),
        (e.ReadOnlyError, RedisTrouble("away", f"{address} is a read-only replica now")),
        (e.TimeoutError, RedisTrouble("away", f"{address} does not answer")),
        (TimeoutError, RedisTrouble("away", f"{address} does not answer")),
        (e.ConnectionError, RedisTrouble("away", f"{address} cannot be reached")),
        (OSError, RedisTrouble("away", f"{address} cannot be reached")),
    )
    known = (trouble for kind, trouble in table if isinstance(error, kind))
    return next(known, RedisTrouble("refused", answer, acl))


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    return found
