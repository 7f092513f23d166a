"""What bars, palette and commands need to know: one fold over the events."""

from __future__ import annotations

from collections import Counter

import msgspec

from omni_tui.face.formats import money
from omni_tui.face.prompts_resources.index import PromptResourceIndex
from omni_tui.protocol import AnyEvent, Mode
from omni_tui.protocol.calls import AttemptScheduled
from omni_tui.protocol.context import ContextChanged
from omni_tui.protocol.conversation import Retrying, StepTaken
from omni_tui.protocol.events import (
    ApprovalRequested,
    AwaitingTools,
    CallChanged,
    CallFinished,
    EarlierLeftOut,
    EngineReady,
    JournalFailed,
    ModeChanged,
    ModelChanged,
    ServerChanged,
    ServerRemoved,
    SessionBranched,
    SessionOpened,
    SessionTitled,
    ToolsListed,
    TurnEnded,
    TurnStarted,
    UsageChanged,
    UserMessage,
)
from omni_tui.protocol.memory import MemoryChanged
from omni_tui.protocol.models import ModelFellBack, Spending
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTaskChanged
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened


class PlanProgress(msgspec.Struct):
    """The running plan: its id ("" for none) and the states of its tasks."""

    id: str = ""
    states: dict[str, str] = msgspec.field(default_factory=dict)
    _plans: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account."""
        match event:
            case PlanProposed():
                self._plans[event.plan] = tuple(task.id for phase in event.phases for task in phase.tasks)
            case PlanDecided(verdict="approved"):
                self.id = event.plan
                self.states = dict.fromkeys(self._plans.get(event.plan, ()), "waiting")
            case PlanTaskChanged() if event.plan == self.id and event.task in self.states:
                self.states[event.task] = event.state
            case PlanEnded() if event.plan == self.id:
                self.id = ""
            case TurnEnded():
                # A parked turn keeps its plan; `PlanTaskChanged` tells when it continues.
                self.states = {
                    task: "waiting" if state == "running" else state for task, state in self.states.items()
                }
            case _:
                pass

    @property
    def running(self) -> int:
        """The number of running tasks."""
        return sum(state == "running" for state in self.states.values())

    @property
    def done(self) -> int:
        """The number of tasks that are done."""
        return sum(state == "done" for state in self.states.values())

    @property
    def total(self) -> int:
        """The number of tasks."""
        return len(self.states)


class Overview(msgspec.Struct):
    """The state of everything, in short. Money in US dollars, context as a share of the window (0 to 1)."""

    ready: EngineReady | None = None
    title: str = ""
    branched: str = ""
    """The session that this one was branched from: its title or id."""
    opened: float = 0.0
    mode: Mode = "chat"
    model: str = ""
    label: str = ""
    context: float | None = None
    window: ContextChanged | None = None
    """What the last request of the root agent carried."""
    tokens: int = 0
    cost: float | None = None
    unpriced: bool = False
    """Whether the price of some requests is unknown."""
    estimated: bool = False
    memory: MemoryChanged | None = None
    """How far the session is mirrored to Redis, None where nobody ever asked for it."""
    spending: Spending | None = None
    """What was used by the session and by the day, as the engine counts it."""
    stand_in: str = ""
    """The model that answers in place of `model` in this turn, "" if `model` does."""
    step: str = ""
    """Steps that the running turn has taken, of how many: `3/25`."""
    running: str = ""
    """The id of the running turn, "" if none runs."""
    parked: bool = False
    awaits: tuple[str, ...] = ()
    """The servers that a message waits for before it goes to the model."""
    next_attempt: float = 0.0
    """When something that failed is tried again, in Unix seconds: a model's request, or a call."""
    pending: dict[str, str] = msgspec.field(default_factory=dict)
    """Pending items by their key in the queue: the name of the server, of a plan "plan"."""
    waits_in: dict[str, Mode] = msgspec.field(default_factory=dict)
    """The modes under which pending calls of agents wait, by call."""
    plan: PlanProgress = msgspec.field(default_factory=PlanProgress)
    """The progress of the running plan."""
    servers: dict[str, ServerChanged] = msgspec.field(default_factory=dict)
    tools: dict[str, int] = msgspec.field(default_factory=dict)
    """Number of listed tools by server."""
    prompts_resources: PromptResourceIndex = msgspec.field(default_factory=PromptResourceIndex)
    """Prompts and resources of all servers."""
    _pages: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)

    def engine_stopped(self) -> None:
        """Forget the running turn and listings that were cut off."""
        self.running = ""
        self._pages.clear()
        self.prompts_resources.engine_stopped()

    def clear_session(self) -> None:
        """Forget the session; servers and tools stay."""
        self.title = self.branched = self.stand_in = self.step = self.running = ""
        self.opened, self.tokens = 0.0, 0
        self.context = self.window = self.cost = None
        self.unpriced = self.estimated = self.parked = False
        self.awaits = ()
        self.next_attempt = 0.0
        self.plan = PlanProgress()
        self.pending.clear()
        self.waits_in.clear()

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account."""
        match event:
            case ServerChanged() | ServerRemoved() | ToolsListed():
                self._servers(event)
            case UserMessage() | TurnStarted() | TurnEnded() | StepTaken() | JournalFailed():
                self._turns(event)
            case UsageChanged() | Spending() | ContextChanged(agent="root"):
                self._usage(event)
            case EarlierLeftOut():
                self.tokens, self.cost = event.tokens, event.cost
                self.estimated, self.unpriced = event.estimated, event.unpriced
            case AwaitingTools(servers=servers):
                self.awaits = servers
            case Retrying() | AttemptScheduled():
                self.next_attempt = event.ts + event.delay_s
            case ModelFellBack(to=to):
                self.stand_in = to
            case _:
                self._settings(event)
                self.prompts_resources.apply(event)
        self.plan.apply(event)
        self._pending(event)

    def _pending(self, event: AnyEvent) -> None:
        match event:
            case ApprovalRequested(call=call, server=server, mode=mode):
                self.pending[call] = server
                if mode is not None:
                    self.waits_in[call] = mode
            case CallFinished(call=call):
                self._over(call)
            case CallChanged(call=call, state=state) if state not in ("pending", "held"):
                self._over(call)
            case ServerRequestOpened(ask=ask, server=server):
                self.pending[server_request_key(ask)] = server
            case ServerRequestClosed(ask=ask):
                self.pending.pop(server_request_key(ask), None)
            case PlanProposed(plan=plan, asks=True):
                self.pending[plan_key(plan)] = "plan"
            case PlanProposed(plan=plan) | PlanDecided(plan=plan) | PlanEnded(plan=plan):
                self.pending.pop(plan_key(plan), None)
            case _:
                pass

    def _over(self, call: str) -> None:
        self.pending.pop(call, None)
        self.waits_in.pop(call, None)

    def _servers(self, event: ServerChanged | ServerRemoved | ToolsListed) -> None:
        if isinstance(event, ServerChanged):
            self.servers[event.name] = event
            if event.state not in ("active", "idle", "degraded", "connecting"):
                self.tools.pop(event.name, None)
        elif isinstance(event, ServerRemoved):
            self.servers.pop(event.name, None)
            self.tools.pop(event.name, None)
        else:
            generation, seen = self._pages.get(event.server, (-1, 0))
            seen = (seen if generation == event.generation else 0) + len(event.tools)
            self._pages[event.server] = (event.generation, seen)
            if event.last:
                # A new engine counts its listings from one again.
                self.tools[event.server] = self._pages.pop(event.server)[1]

    def waiting_elsewhere(self) -> str:
        """Return how many calls wait under another mode than the present one, "" if none does."""
        others = Counter(mode for mode in self.waits_in.values() if mode != self.mode)
        return ", ".join(
            f"{count} call{'s wait' if count > 1 else ' waits'} under {mode}"
            for mode, count in sorted(others.items())
        )

    def _usage(self, event: UsageChanged | Spending | ContextChanged) -> None:
        if isinstance(event, Spending):
            self.spending = event
        elif isinstance(event, ContextChanged):
            self.window = event
        else:
            usage = event.usage
            self.tokens += usage.input + usage.output
            self.estimated = self.estimated or usage.estimated
            if usage.cost is not None:
                self.cost = (self.cost or 0.0) + usage.cost
            elif usage.input + usage.output:
                self.unpriced = True
            if event.context is not None and event.agent == "root":
                self.context = event.context

    def _turns(self, event: UserMessage | TurnStarted | TurnEnded | StepTaken | JournalFailed) -> None:
        if isinstance(event, StepTaken):
            self.step = f"{event.step}/{event.max_steps}" if event.agent == "root" else self.step
        elif isinstance(event, TurnEnded | JournalFailed):
            self.running = self.step = ""
            self.next_attempt = 0.0
            if isinstance(event, TurnEnded):
                self.awaits, self.parked = (), event.status == "parked"
        elif not (isinstance(event, UserMessage) and event.loaded):
            self.running, self.parked, self.stand_in = event.turn, False, ""

    def spending_summary(self) -> str:
        """Return in a sentence what was used, and of which budget."""
        spent = self.spending
        if spent is None:
            return "Usage is not known yet."
        about = "about " if spent.estimated else ""
        parts = [
            f"this session {about}{_amount(spent.session_tokens, spent.session_tokens_limit, 'tokens')}",
            money(spent.session_cost, unpriced=spent.session_unpriced > 0)
            + (f" of ${spent.session_cost_limit:g}" * bool(spent.session_cost_limit)),
            f"today {about}{_amount(spent.day_tokens, spent.day_tokens_limit, 'tokens')}",
            money(spent.day_cost, unpriced=spent.unpriced > 0)
            + (f" of ${spent.day_cost_limit:g}" * bool(spent.day_cost_limit)),
        ]
        some = f"{spent.unpriced} request{'s' if spent.unpriced > 1 else ''}"
        unpriced = f" (the price of {some} today is unknown)" if spent.unpriced else ""
        return f"Used: {', '.join(parts)}{unpriced}."

    def _settings(self, event: AnyEvent) -> None:
        match event:
            case SessionBranched(origin=origin):
                self.branched = self.title or origin
            case EngineReady(mode=mode, model=model, model_label=label):
                self.ready = event
                self.mode, self.model, self.label = mode, model, label
            case SessionOpened(title=title, mode=mode, model=model, ts=ts):
                self.title, self.opened, self.mode, self.model = title, ts, mode, model
            case SessionTitled(title=title):
                self.title = title
            case ModeChanged(mode=mode):
                self.mode = mode
            case MemoryChanged():
                self.memory = event
            case ModelChanged(name=name, label=label):
                self.model, self.label = name, label


def plan_key(plan: str) -> str:
    """Return the key of a plan in queue, bars and transcript; no id of a call looks like it."""
    return f"plan:{plan}"


def server_request_key(ask: str) -> str:
    """Return the key of a server request in queue, bars and transcript; no id of a call looks like it."""
    return f"ask:{ask}"


def _amount(value: int, limit: int, unit: str) -> str:
    return f"{value:,} of {limit:,} {unit}" if limit else f"{value:,} {unit}"
