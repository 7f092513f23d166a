"""What all sessions and clients of one engine share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from omni_tui.agents import PlanLimits, TurnSettings
from omni_tui.approvals.mode_order import ModeOrder
from omni_tui.approvals.rule_book import RuleBook
from omni_tui.approvals.subject import Subject
from omni_tui.config.load import LoadedConfig
from omni_tui.config.server_display import display_target
from omni_tui.config.spec import ServerSpec
from omni_tui.engine.background import BackgroundTasks, MeteredPool
from omni_tui.engine.clients import Clients
from omni_tui.engine.config_in_force import ConfigInForce
from omni_tui.engine.consents import Consents
from omni_tui.engine.files import FileOpener
from omni_tui.engine.model_service import ModelService
from omni_tui.engine.prompt_resource_cache import PromptResourceCache
from omni_tui.engine.prompt_texts import PromptTexts
from omni_tui.engine.redis_memory import RedisMemory
from omni_tui.memory import ServerLogs, Vault
from omni_tui.models.budget import Budget
from omni_tui.observability.logs import EngineLog
from omni_tui.observability.metrics import Metrics
from omni_tui.observability.telemetry import Telemetry
from omni_tui.policy import Rule
from omni_tui.protocol import LaunchOptions, UserError
from omni_tui.protocol.events import Notice
from omni_tui.security.redaction import Redactor
from omni_tui.security.schema_checker import SchemaChecker
from omni_tui.security.text import safe
from omni_tui.servers import Connection, Processes, ServerRegistry
from omni_tui.tools.catalogue import Catalogue
from omni_tui.tools.result_cache import ResultCache
from omni_tui.tools.tool_names import model_name
from omni_tui.tools.tool_settings import ToolRoutes, ToolSettings
from omni_tui.tools.write_order import ConcurrencyLimits

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class UnsavedSettings:
    """Servers' settings that were changed for now and not written to the config file, by server."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    kept: dict[str, tuple[ServerSpec, dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineContext:
    """Everything that the sessions and clients of one engine share. Made by `open_engine`."""

    options: LaunchOptions
    config: ConfigInForce
    environ: dict[str, str]
    """What references resolve from; grows by the secrets that are sealed at run time."""
    pool: MeteredPool
    vault: Vault
    consents: Consents
    rule_book: RuleBook
    redactor: Redactor
    tasks: BackgroundTasks
    clients: Clients
    models: ModelService
    processes: Processes
    server_logs: ServerLogs
    registry: ServerRegistry
    catalogue: Catalogue
    tool_settings: ToolSettings
    routes: ToolRoutes
    schemas: SchemaChecker
    limits: ConcurrencyLimits
    cache: ResultCache
    prompts_and_resources: PromptResourceCache
    prompt_texts: PromptTexts
    unsaved: UnsavedSettings
    opener: FileOpener
    redis: RedisMemory
    metrics: Metrics
    telemetry: Telemetry
    log: EngineLog | None

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration that counts now."""
        return self.config.loaded

    def connection(self, server: str) -> Connection:
        """Return a server's connection. Raises `UserError` if there is no such server."""
        names = self.registry.names()
        if server not in names:
            known = ", ".join(sorted(names)) or "none"
            raise UserError(f"there is no server named {server}; there are: {known}")
        return self.registry.get(server)

    async def accept(self, shown: Subject, *, session: str) -> bool:
        """Accept a tool and its server exactly as they were shown; return False if they are not so now.

        Raises `NotAudited`; then nothing was accepted.
        """
        present = self.subject(shown.server, shown.tool)
        if present is None or not present.is_same(shown):
            return False
        name = f"{shown.server}/{shown.tool}"
        async with self.consents.before(
            "definition accepted", name, detail=shown.def_hash, place=shown.target, session=session
        ):
            if not await self.catalogue.accept(
                shown.server, shown.tool, shown.def_hash, shown.server_fp, shown.says
            ):
                raise UserError(f"{shown.server} has changed since it was shown; look at it again")
        self.tell_unsaved()
        return True

    def tell_unsaved(self) -> None:
        """Tell the clients if what was just accepted or allowed is not on disk."""
        if problem := self.catalogue.unsaved:
            self.clients.tell(Notice(level="warning", what=safe(problem, limit=1_000)))

    async def save_rule_uses(self) -> None:
        """Save how often rules were used. A disk that fails is told in the log only."""
        try:
            await self.rule_book.save_uses()
        except OSError:
            logger.exception("the uses of rules cannot be saved")

    def mode_order(self, rules: Iterable[Rule]) -> ModeOrder:
        """Return what compares modes under the config and these rules."""
        servers = ("", *self.loaded.config.policy.servers)  # "" for those without decisions of their own
        return ModeOrder(map(self.rule_book.base, servers), rules)

    def turn_settings(self, system: str | None, budget: Budget) -> TurnSettings:
        """Return the limits and the prompt of a turn; `system` takes the place of the config's prompt."""
        agent, tools = self.loaded.config.agent, self.loaded.config.tools
        instructions = {
            name: text
            for name in self.registry.names()
            # The model is told nothing of a changed server before the person has looked at it.
            if (text := self.registry.get(name).instructions) and self.catalogue.is_known_server(name)
        }
        return TurnSettings(
            max_steps=agent.max_steps,
            system_prompt=agent.system_prompt if system is None else system,
            result_limit=tools.result_limit,
            instructions=instructions,
            offered=tools.offered,
            pinned=tuple(model_name(*pair.split("/", 1)) for pair in tools.pinned),
            budget=budget,
        )

    def plan_limits(self) -> PlanLimits:
        """Return how plans are handled, from the config."""
        agent, policy = self.loaded.config.agent, self.loaded.config.policy
        return PlanLimits(
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
            says=tool.says,
            cwd=self.registry.get(server).spec.cwd,
            first_seen=tool.first_seen,
            alike=self.catalogue.names.words(server, name),
            imitation=tool.is_imitation(self.catalogue.names),
            server_trusted=tool.server_trusted,
        )

    def place(self, server: str) -> tuple[str, str]:
        """Return where a server is and how it is reached, for showing."""
        try:
            spec = self.registry.get(server).spec
        except KeyError:
            return "", ""
        return display_target(spec), spec.transport
