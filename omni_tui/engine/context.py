"""What all sessions and clients of one engine share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omni_tui.agents import ChatPolicy, PlanPolicy
from omni_tui.approvals import Decision, Subject
from omni_tui.config.load import LoadedConfig
from omni_tui.config.server_display import display_target
from omni_tui.config.spec import ServerSpec
from omni_tui.engine.background import BackgroundTasks, MeteredPool
from omni_tui.engine.clients import Clients
from omni_tui.engine.files import FileOpener
from omni_tui.engine.model_service import ModelService
from omni_tui.engine.prompt_resource_cache import PromptResourceCache
from omni_tui.memory import ServerLogs, Vault
from omni_tui.models.budget import Budget
from omni_tui.protocol import LaunchOptions, Mode, UserError
from omni_tui.security.redaction import Redactor
from omni_tui.servers import Connection, Processes, ServerRegistry
from omni_tui.tools import Catalogue, ConcurrencyLimits, ResultCache, SchemaChecker, ToolRoutes, ToolRules
from omni_tui.tools.tool_names import model_name


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
    limits: ConcurrencyLimits
    cache: ResultCache
    prompts_and_resources: PromptResourceCache
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

    def chat_policy(self, system: str | None, budget: Budget) -> ChatPolicy:
        """Return the limits and the prompt of a turn; `system` takes the place of the config's prompt."""
        agent, tools = self.loaded.config.agent, self.loaded.config.tools
        instructions = {
            name: text
            for name in self.registry.names()
            # The model is told nothing of a changed server before the person has looked at it.
            if (text := self.registry.get(name).instructions) and self.catalogue.is_known_server(name)
        }
        return ChatPolicy(
            max_steps=agent.max_steps,
            system_prompt=agent.system_prompt if system is None else system,
            result_limit=tools.result_limit,
            instructions=instructions,
            offered=tools.offered,
            pinned=tuple(model_name(*pair.split("/", 1)) for pair in tools.pinned),
            budget=budget,
        )

    def plan_policy(self) -> PlanPolicy:
        """Return how plans are handled, from the config."""
        agent, policy = self.loaded.config.agent, self.loaded.config.policy
        return PlanPolicy(
            plan=policy.plan,
            calls=policy.of_plans,
            parallel=agent.parallel,
            max_requests=agent.max_requests,
            max_minutes=agent.max_minutes,
        )

    def subject(self, server: str, name: str) -> Subject | None:
        """Return what the gate needs of a tool, None if it is not there now."""
        tool = self.catalogue.get(server, name)
        if tool is None or server not in self.registry.names():
            return None
        return Subject(
            server=server,
            tool=name,
            server_fp=tool.server_fp,
            def_hash=tool.def_hash,
            server_trust=tool.server_trust,
            tool_trust=tool.trust,
            risk=tool.risk,
            title=tool.definition.title,
            description=tool.definition.description,
            target=tool.target,
            transport=tool.transport,
            first_seen=tool.first_seen,
        )

    def place(self, server: str) -> tuple[str, str]:
        """Return where a server is and how it is reached, for showing."""
        try:
            spec = self.registry.get(server).spec
        except KeyError:
            return "", ""
        return display_target(spec), spec.transport
