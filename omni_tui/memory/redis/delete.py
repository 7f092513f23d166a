"""Delete a session from Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from omni_tui.config.redis_address import RedisAddress
from omni_tui.memory.crypto import Vault
from omni_tui.memory.redis.client import connection, load_library
from omni_tui.memory.redis.layout import DELETE, INDEX, run_script
from omni_tui.memory.redis_claim import read_claim
from omni_tui.memory.saved_session import saved_copy
from omni_tui.memory.session_files import session_path

ANYBODY = "*"
"""In place of the names of a session: delete it, whoever has it."""


def names_in_redis(state_dir: Path, session: str, vault: Vault) -> tuple[str, ...]:
    """Return under which names a closed session was written to Redis; none if it never was.

    Raises what `saved_copy` raises, `ValueError` for an invalid id.
    """
    with saved_copy(session_path(state_dir, session), session, vault) as copy:
        return read_claim(copy.tx).names


async def delete_remote(address: RedisAddress, session: str, names: Collection[str]) -> bool:
    """Delete a session that one of these names wrote; return False if another has it now.

    Raises `RedisTrouble`.
    """
    await asyncio.to_thread(load_library)
    async with connection(address) as redis:
        if await run_script(redis, session, DELETE, *names) < 0:
            return False
        await redis.hdel(INDEX, session)
        return True
