"""What all sessions and clients of one engine share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from omni_tui.approvals import Decision
from omni_tui.config.load import LoadedConfig
from omni_tui.config.spec import ServerSpec
from omni_tui.engine.clients import Clients
from omni_tui.engine.file_opener import FileOpener
from omni_tui.engine.model_service import ModelService
from omni_tui.engine.pool import MeteredPool
from omni_tui.engine.prompt_resource_cache import PromptResourceCache
from omni_tui.engine.startup_wait import StartupWait
from omni_tui.memory import ServerLogs, Vault
from omni_tui.protocol import LaunchOptions, Mode, UserError
from omni_tui.security.redaction import Redactor
from omni_tui.servers import Connection, Processes, ServerRegistry
from omni_tui.tools import Catalogue, ResultCache, SchemaChecker, ToolRoutes, ToolRules

logger = logging.getLogger(__name__)


class BackgroundTasks:
    """Tasks that nobody awaits, held until they end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Start a task; what it raises goes to the log."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Cancel every task that still runs."""
        for task in list(self._tasks):
            task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s broke", task.get_name(), exc_info=error)


@dataclass(slots=True)
class UnsavedSettings:
    """Servers' settings that were changed for now and not written to the config file, by server."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    kept: dict[str, tuple[ServerSpec, dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineContext:
    """Everything that the sessions and clients of one engine share. Made by `open_engine`."""

    options: LaunchOptions
    loaded: LoadedConfig
    environ: Mapping[str, str]
    pool: MeteredPool
    vault: Vault
    redactor: Redactor
    tasks: BackgroundTasks
    clients: Clients
    models: ModelService
    processes: Processes
    server_logs: ServerLogs
    registry: ServerRegistry
    catalogue: Catalogue
    rules: ToolRules
    routes: ToolRoutes
    schemas: SchemaChecker
    cache: ResultCache
    prompts_and_resources: PromptResourceCache
    startup_wait: StartupWait
    unsaved: UnsavedSettings
    opener: FileOpener

    def connection(self, server: str) -> Connection:
        """Return a server's connection. Raises `UserError` if there is no such server."""
        names = self.registry.names()
        if server not in names:
            known = ", ".join(sorted(names)) or "none"
            raise UserError(f"there is no server named {server}; there are: {known}")
        return self.registry.get(server)

    def base_decisions(self) -> dict[Mode, Decision]:
        """Return what each mode does when no rule decides, from the config."""
        policy = self.loaded.config.policy
        return {"chat": policy.chat, "auto": policy.auto, "orchestrator": policy.of_plans}
