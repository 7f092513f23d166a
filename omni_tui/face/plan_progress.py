"""How far a plan is, small enough for the top bar."""

from __future__ import annotations

import msgspec

from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import TurnEnded
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTaskChanged


class PlanProgress(msgspec.Struct):
    """The plan that is carried out now: its tasks and their states. `going` names it, "" for none."""

    going: str = ""
    states: dict[str, str] = msgspec.field(default_factory=dict)
    _plans: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account."""
        match event:
            case PlanProposed():
                self._plans[event.plan] = tuple(task.id for phase in event.phases for task in phase.tasks)
            case PlanDecided(verdict="approved"):
                self.going = event.plan
                self.states = dict.fromkeys(self._plans.get(event.plan, ()), "waiting")
            case PlanTaskChanged() if event.plan == self.going and event.task in self.states:
                self.states[event.task] = event.state
            case PlanEnded() if event.plan == self.going:
                self.going = ""
            case TurnEnded():
                # A turn that is parked goes on with the plan it has: `PlanTaskChanged` tells when.
                self.states = {
                    task: "waiting" if state == "running" else state for task, state in self.states.items()
                }
            case _:
                pass

    @property
    def running(self) -> int:
        """Tasks that are worked on."""
        return sum(state == "running" for state in self.states.values())

    @property
    def done(self) -> int:
        """Tasks that are done."""
        return sum(state == "done" for state in self.states.values())

    @property
    def total(self) -> int:
        """All tasks of the plan."""
        return len(self.states)
