"""Commands that get a prompt by its name, and read a resource by its address."""

from __future__ import annotations

import re

from omni_tui.face.commands.values import ask_for_value
from omni_tui.face.prompt_arguments import PromptArgumentsRefused, read_prompt_arguments
from omni_tui.face.shell import Shell, request
from omni_tui.protocol.prompts_and_resources import (
    OpenResource,
    PromptSummary,
    ResourceOpened,
    ResourceSummary,
    TemplateSummary,
)
from omni_tui.security.text import safe_line

_ALL = 100_000
_OLD = re.compile(r"/?resource:")
"""What MCPOmni Connect writes before the address in `/subscribe:/resource:URI`."""
_CONNECTED = ("active", "idle", "degraded")


def get_prompt(shell: Shell, words: str) -> None:
    """Get a prompt with its arguments, and show its text; what is missing is asked for."""
    from omni_tui.face.prompts_resources.argument_screens import PromptScreen

    if not words:
        ask_for_value(shell, "prompt")
        return
    try:
        name, arguments = read_prompt_arguments(words)
    except PromptArgumentsRefused as error:
        shell.say(f"{str(error)[:1].upper()}{str(error)[1:]}.", level="warning")
        return
    prompts = shell.overview.prompts_resources.find("", (PromptSummary,), _ALL)[0]
    found = [
        prompt
        for prompt in prompts
        if isinstance(prompt, PromptSummary) and name in (prompt.name, f"{prompt.server}/{prompt.name}")
    ]
    if len(found) != 1:
        what = (
            f"several servers have a prompt {name}; write SERVER/{name}" if found else f"no prompt {name}"
        )
        near = ", ".join(
            f"{each.server}/{each.name}" for each in prompts[:8] if isinstance(each, PromptSummary)
        )
        shell.say(f"There is {what}." if not found else f"{what}.", level="warning")
        shell.say(f"The prompts: {near or 'none; no server offers one'}.")
        return
    unknown = [key for key in arguments if key not in {one.name for one in found[0].arguments}]
    if unknown:
        known = ", ".join(one.name for one in found[0].arguments) or "none"
        shell.say(f"The prompt {name} has no argument {unknown[0]}. It has: {known}.", level="warning")
        return
    shell.show(PromptScreen(found[0], arguments))


def read_resource(shell: Shell, words: str) -> None:
    """Read any resource by its address, whether a server lists it or not."""
    words = _OLD.sub("", words.strip(), count=1) if _OLD.match(words.strip()) else words.strip()
    if not words:
        ask_for_value(shell, "resource")
        return
    server, uri = _server_of(shell, words)
    if server:
        shell.in_background(_read(shell, server, uri), "read")


def _server_of(shell: Shell, words: str) -> tuple[str, str]:
    """Return which server to ask, and the address; says why not if that cannot be told."""
    overview = shell.overview
    first, _, rest = words.partition(" ")
    if rest.strip() and first in overview.servers:
        return first, rest.strip()
    entries = overview.prompts_resources.find("", (ResourceSummary, TemplateSummary), _ALL)[0]
    listing = [each.server for each in entries if isinstance(each, ResourceSummary) and each.uri == words]
    fitting = [
        each.server
        for each in entries
        if isinstance(each, TemplateSummary) and _fits(each.uri_template, words)
    ]
    connected = [name for name, server in overview.servers.items() if server.state in _CONNECTED]
    for servers in (listing, fitting, connected):
        asked = list(dict.fromkeys(servers))
        if len(asked) == 1:
            return asked[0], words
        if asked:
            names = ", ".join(asked)
            shell.say(
                f"Which server has it? Write /resource SERVER {words}. Servers: {names}.", level="warning"
            )
            return "", words
    shell.say("No server is connected that could be asked.", level="warning")
    return "", words


def _fits(template: str, uri: str) -> bool:
    """Whether an address begins and ends as a template does."""
    start, found, rest = template.partition("{")
    end = rest.rpartition("}")[2]
    return bool(found and start) and uri.startswith(start) and uri.endswith(end)


async def _read(shell: Shell, server: str, uri: str) -> None:
    from omni_tui.face.prompts_resources.resource import ResourceScreen

    opened = await request(shell, OpenResource(server=server, uri=uri))
    if isinstance(opened, ResourceOpened):
        shell.show(ResourceScreen(opened, label=safe_line(opened.address)))
