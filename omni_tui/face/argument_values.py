"""The values that a command can take, for completing it and for asking for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from omni_tui.protocol.models import BudgetKey
from omni_tui.protocol.prompts_and_resources import PromptSummary, ResourceSummary

if TYPE_CHECKING:
    from omni_tui.face.actions import Action
    from omni_tui.face.shell import Shell

MOST = 200
"""The most values of one command that are listed."""
ANY_VALUE = frozenset({"resource", "model", "prompt"})
"""Actions that also take a value that is not listed."""
_MODES = {
    "chat": "every call is asked about",
    "auto": "works towards a goal",
    "orchestrator": "makes a plan first",
}


@dataclass(frozen=True, slots=True)
class ArgumentValue:
    """One value, and in a few words what it is."""

    text: str
    about: str = ""


def is_whole(action: str, typed: str) -> bool:
    """Whether a text may be a value that is not listed: a listed one that fits must not replace it."""
    return action == "model" or (action == "resource" and ":" in typed)


def argument_values(action: Action, shell: Shell) -> list[ArgumentValue] | None:
    """Return the values that an action can take now, None if they cannot be listed."""
    found = _values(action, shell)
    if found is None:
        return None
    return [each for each, _ in zip(found, range(MOST), strict=False) if each.text.isprintable()]


def _values(action: Action, shell: Shell) -> Iterator[ArgumentValue] | None:
    overview = shell.overview
    servers = (
        ArgumentValue(name, server.state.replace("_", " ")) for name, server in overview.servers.items()
    )
    if action.argument == "SERVER":
        return servers
    match action.name:
        case "mode":
            return (ArgumentValue(mode, about) for mode, about in _MODES.items())
        case "memory":
            return iter((ArgumentValue("on", "mirror to Redis"), ArgumentValue("off", "here only")))
        case "theme":
            return (ArgumentValue(name) for name in shell.theme_names)
        case "budget":
            return (ArgumentValue(f"{key} ", "then an amount") for key in get_args(BudgetKey))
        case "cache":
            every = ArgumentValue("clear", "of all servers")
            return iter((every, *(ArgumentValue(f"clear {each.text}", each.about) for each in servers)))
        case "prompt":
            return _prompts(shell)
        case "resource":
            resources = overview.prompts_resources.find("", (ResourceSummary,), MOST)[0]
            return (
                ArgumentValue(f"{each.server} {each.uri}", each.label)
                for each in resources
                if isinstance(each, ResourceSummary)
            )
        case _:
            return None


def _prompts(shell: Shell) -> Iterator[ArgumentValue]:
    """Yield the prompts; with its server's name where another server has a prompt of that name."""
    prompts = [
        each
        for each in shell.overview.prompts_resources.find("", (PromptSummary,), MOST)[0]
        if isinstance(each, PromptSummary)
    ]
    names = [prompt.name for prompt in prompts]
    for prompt in prompts:
        twice = names.count(prompt.name) > 1
        needs = ", ".join(one.label for one in prompt.arguments if one.required)
        about = " · ".join(
            filter(None, (prompt.description or prompt.title, f"needs {needs}" if needs else ""))
        )
        yield ArgumentValue(f"{prompt.server}/{prompt.name}" if twice else prompt.name, about)
