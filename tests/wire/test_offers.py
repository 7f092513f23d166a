"""Prompts, resources, templates, subscriptions and roots of real servers, through the whole engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import prompts_and_resources as o
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply
from tests.wire.conftest import WebServer

pytestmark = pytest.mark.wire
Find = Callable[[str], str]


def stdio(command: str, more: str = "") -> str:
    return f'{more}\n[servers.all]\ncommand = {json.dumps(command)}\nargs = ["stdio"]\n'


async def listed(running: Rig) -> o.PromptsAndResourcesListed:
    return await running.until(o.PromptsAndResourcesListed, lambda page: page.server == "all" and page.last)


async def test_everything_over_stdio(tmp_path: Path, npm_bin: Find) -> None:
    async with rig(tmp_path, demo=False, config=stdio(npm_bin("mcp-server-everything"))) as running:
        await _exercise(running)


async def test_everything_over_http(tmp_path: Path, everything: WebServer) -> None:
    config = f"[servers.all]\nurl = {json.dumps(everything.url)}\n"
    async with rig(tmp_path, demo=False, config=config) as running:
        await _exercise(running)


async def _exercise(running: Rig) -> None:
    page = await listed(running)
    await running.connected("all")
    told = await running.until(e.ServerChanged, lambda event: event.state == "idle")
    assert (told.prompts, told.resources) == (len(page.prompts), len(page.resources))
    await _prompts(running, page)
    await _resources(running, page)


async def _prompts(running: Rig, page: o.PromptsAndResourcesListed) -> None:
    wanted = next(prompt for prompt in page.prompts if prompt.name == "args-prompt")
    assert {one.name: one.required for one in wanted.arguments} == {"city": True, "state": False}
    got = await running.ask(
        o.GetPrompt(server="all", name="args-prompt", arguments_json=JsonText('{"city": "Graz"}'))
    )
    assert isinstance(got, o.PromptText)
    assert "Graz" in got.text
    missing = await running.ask(o.GetPrompt(server="all", name="args-prompt"))
    assert isinstance(missing, e.CommandFailed)
    completed = await running.ask(
        o.CompleteArgument(
            server="all", kind="prompt", ref="completable-prompt", argument="department", value="E"
        )
    )
    assert isinstance(completed, o.Completions)
    assert completed.values == ("Engineering",)
    names = await running.ask(
        o.CompleteArgument(
            server="all", kind="prompt", ref="completable-prompt", argument="name", value="",
            others_json=JsonText('{"department": "Engineering"}'),
        )
    )  # fmt: skip
    assert isinstance(names, o.Completions)
    assert "Alice" in names.values


async def _resources(running: Rig, page: o.PromptsAndResourcesListed) -> None:
    assert len(page.templates) >= 2
    opened = await running.ask(o.OpenResource(server="all", uri=page.resources[0].uri))
    assert isinstance(opened, o.ResourceOpened)
    text = await running.ask(o.ReadResourcePart(id=opened.id))
    assert isinstance(text, e.TextPage)
    assert text.total > 100
    template = next(one for one in page.templates if "blob" in one.uri_template)
    blob = await running.ask(
        o.OpenResource(
            server="all", uri=template.uri_template, template=True,
            variables_json=JsonText(json.dumps({template.variables[0]: "1"})),
        )
    )  # fmt: skip
    assert isinstance(blob, o.ResourceOpened), blob
    assert blob.parts[0].kind == "blob"
    done = await running.ask(o.SubscribeResource(server="all", uri=page.resources[0].uri))
    assert isinstance(done, e.CommandDone), done
    await _news(running)


async def _news(running: Rig) -> None:
    """Have the server say that what is followed changes, until it does."""
    reply = await running.ask(
        c.CallTool(server="all", tool="toggle-subscriber-updates", arguments_json=JsonText("{}"))
    )
    assert isinstance(reply, e.CommandDone), reply
    await running.until(o.ResourceUpdated)


async def test_a_real_resource_goes_with_a_message(tmp_path: Path, npm_bin: Find) -> None:
    model = ScriptedModel([reply("read")])
    config = stdio(npm_bin("mcp-server-everything"))
    async with rig(tmp_path, demo=False, config=config, model=model) as running:
        page = await listed(running)
        first = page.resources[0]
        attached = o.Attachment(server="all", uri=first.uri)
        await running.ask(c.SendMessage(text="what does it say?", attachments=(attached,)))
        await running.until(e.TurnEnded)
        told = next(message for message in model.requests[0].messages if message.role == "user")
        assert told.text.count("</attached_resource id=") == 1
        assert running.of(e.UserMessage)[0].attachments[0].label == first.label


async def test_roots_are_told_to_who_asks(tmp_path: Path, npm_bin: Find) -> None:
    folder = tmp_path / "my work"
    folder.mkdir()
    config = stdio(npm_bin("mcp-server-everything"), f"[agent]\nroots = [{json.dumps(str(folder))}]\n")
    async with rig(tmp_path, demo=False, config=config) as running:
        tools = await running.until(
            e.ToolsListed, lambda page: any(tool.name == "get-roots-list" for tool in page.tools)
        )
        assert tools.server == "all"
        call = await running.ask(
            c.CallTool(server="all", tool="get-roots-list", arguments_json=JsonText("{}"))
        )
        assert isinstance(call, e.CommandDone)
        done = await running.until(e.CallFinished, lambda event: event.call == call.id)
        assert "my%20work" in "".join(part.text for part in done.parts)


async def test_without_roots_nobody_is_told_of_any(tmp_path: Path, npm_bin: Find) -> None:
    async with rig(tmp_path, demo=False, config=stdio(npm_bin("mcp-server-everything"))) as running:
        tools = await running.until(e.ToolsListed, lambda page: page.server == "all" and bool(page.tools))
        assert "get-roots-list" not in {tool.name for tool in tools.tools}
