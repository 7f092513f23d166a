"""All configured servers, by name. A bad server is a problem of its own row only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from omni_tui.config.spec import ServerSpec
from omni_tui.protocol.events import ServerChanged, ServerRemoved
from omni_tui.servers.added_transports import AddedTransports
from omni_tui.servers.auth import SignIns, SignInStore
from omni_tui.servers.base import Dispatch
from omni_tui.servers.connect_strategy import KnownTransportStore
from omni_tui.servers.connection import Connection, ConnectionContext
from omni_tui.servers.listener import ServerListener, notify
from omni_tui.servers.processes import Processes
from omni_tui.servers.reconnect import StartLimiter

_STOP = 4.0
_KILL = 0.9


class ServerRegistry:
    """The servers of the configuration, by name.

    The tap asks `authority` before each `tools/call` frame. `listener` is called on the loop; what it
    raises is logged. At most `max_starts` servers start at the same time. `memory` stores how each
    server was reached, `store` the sign-ins; `added` are the transports of plugins. Make it and use it in a
    running loop.
    """

    def __init__(
        self,
        *,
        authority: Callable[[Dispatch], bool],
        processes: Processes,
        listener: ServerListener,
        max_starts: int = 4,
        memory: KnownTransportStore | None = None,
        store: SignInStore | None = None,
        added: AddedTransports | None = None,
    ) -> None:
        self._processes = processes
        self._listener = listener
        loading = asyncio.Lock()
        self.sign_ins = SignIns(store, listener, self._signed_in, loading)
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = ConnectionContext(
            authority=authority,
            processes=processes,
            starts=StartLimiter(max_starts),
            loading=loading,
            sign_ins=self.sign_ins,
            listener=listener,
            added=added or AddedTransports(),
            memory=memory,
        )
        self._connections: dict[str, Connection] = {}
        self._changing = asyncio.Lock()
        self._started = False

    def add(self, spec: ServerSpec) -> None:
        """Add a server, and connect it if `start` was called. Raises `ValueError` if its name is taken."""
        if spec.name in self._connections:
            raise ValueError(f"there is already a server called {spec.name!r}")
        self._introduce(Connection(spec, self._context))

    def _introduce(self, connection: Connection) -> None:
        self._connections[connection.spec.name] = connection
        connection.announce()
        if self._started:
            connection.start()

    async def start(self, only: Collection[str] = ()) -> None:
        """Start to connect all servers, or `only` some, as far as they may; does not wait for them."""
        self._started = True
        for name, connection in self._connections.items():
            if not only or name in only:
                connection.start()

    async def stop(self) -> None:
        """End all connections and their processes, within 5 s."""
        self._started = False
        await self.sign_ins.close()
        everybody = [asyncio.create_task(one.stop()) for one in self._connections.values()]
        if everybody:
            _, late = await asyncio.wait(everybody, timeout=_STOP)
            for task in late:
                task.cancel()
        for connection in self._connections.values():
            connection.close()
        # Also finds processes that left their group.
        if self._processes.reaper_pid is not None:
            await asyncio.to_thread(self._processes.kill_all, _KILL)

    async def replace(self, spec: ServerSpec) -> None:
        """Replace a server by one with another spec, in the same place. Raises `KeyError`."""
        async with self._changing:
            former = self.get(spec.name)
            await former.stop()
            former.close()
            connection = Connection(spec, self._context)
            connection.log.take_over(former.log)
            connection.wire.switch(former.wire.on)
            self._introduce(connection)

    async def remove(self, name: str) -> None:
        """Disconnect and remove a server. Raises `KeyError`."""
        async with self._changing:
            connection = self.get(name)
            await self.sign_ins.remove(name)
            await connection.stop()
            connection.close()
            del self._connections[name]
        notify(self._listener.server_changed, ServerRemoved(name=name))

    async def sign_out(self, name: str) -> str:
        """Sign out of a server and disconnect it; return what was done. Raises `KeyError`."""
        connection = self.get(name)
        done = await self.sign_ins.sign_out(connection.spec)
        await connection.disconnect()
        return done

    def _signed_in(self, name: str) -> None:
        """Reconnect a server that waited for a sign-in; a connected one uses the new token."""
        connection = self._connections.get(name)
        if connection is not None and connection.state in ("needs_sign_in", "failed"):
            task = asyncio.create_task(connection.reconnect(), name=f"reconnect {name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def snapshot(self) -> list[ServerChanged]:
        """Return the state of every server, in the order they were added."""
        return [connection.describe() for connection in self._connections.values()]

    def get(self, name: str) -> Connection:
        """Return a server. Raises `KeyError`."""
        return self._connections[name]

    def is_allowed(self, name: str) -> bool:
        """Return whether the person allowed a server to start."""
        return name in self._connections and self._connections[name].spec.allowed

    def names(self) -> list[str]:
        """Return the names of all servers, in the order they were added."""
        return list(self._connections)
