"""The commands of the ancestor with real keys: values are completed, asked for, and never sent."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from omni_tui.face.prompts_resources.argument_screens import PromptScreen
from omni_tui.face.prompts_resources.resource import ResourceScreen
from omni_tui.face.screens.ask_value import AskValueScreen
from omni_tui.face.screens.status import ConnectionsScreen, ModelUsageScreen, StatusScreen
from omni_tui.face.screens.welcome import WelcomeScreen
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.call_stats import ModelUse, PoolDepth, ReadStats, StatsRead
from omni_tui.protocol.commands import ReconnectServer, SendMessage, SetMode
from omni_tui.protocol.loaded import LoadConversation
from omni_tui.protocol.memory import SetMemory
from omni_tui.protocol.prompts_and_resources import (
    GetPrompt,
    OpenResource,
    PromptArgument,
    PromptsAndResourcesListed,
    PromptSummary,
    PromptText,
    ResourceOpened,
    ResourceSummary,
    TemplateSummary,
)
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_hostile_text import HOSTILE, assert_harmless, drawn
from tests.lengths import some

S = SafeText
GIT, WEB = "git", "search"


def listed(server: str, *, prompt: str = "weather") -> PromptsAndResourcesListed:
    arguments = (
        PromptArgument(name="city", label=S("city"), required=True),
        PromptArgument(name="days", label=S("days")),
    )  # fmt: skip
    return PromptsAndResourcesListed(
        server=server,
        generation=1,
        last=True,
        prompts=(PromptSummary(server=server, name=prompt, label=S(prompt), arguments=arguments),),
        resources=(
            ResourceSummary(server=server, uri=f"{server}:///one", label=S("one"), address=S(f"{server}:///one")),
        ),
        templates=(
            TemplateSummary(server=server, uri_template=f"log-{server}:///{{day}}.txt", label=S("log"),
                            address=S(""), variables=("day",)),
        ),
    )  # fmt: skip


def offering(*more: AnyEvent) -> Face:
    face = Face(*scenario.whole(), listed(GIT), *more)
    face.link.answers[GetPrompt] = lambda c: [
        PromptText(server=c.server, name=c.name, text=S("Tell me"), size=7)  # type: ignore[union-attr]
    ]
    face.link.answers[OpenResource] = lambda c: [
        ResourceOpened(id="r-1", server=c.server, uri=c.uri, address=S("x"), parts=())  # type: ignore[union-attr]
    ]
    return face


async def command(face: Face, pilot: Pilot[None], text: str) -> None:
    """Write a command and run it as it is written."""
    face.app.go("chat")
    face.app.main.chat.composer.draft = text
    await pilot.pause()
    await pilot.press("enter")
    await pilot.pause()


def asked(face: Face) -> str:
    """Return what is shown of the notifications."""
    return " ".join(str(each.message) for each in face.app._notifications)


@pytest.mark.parametrize("text", ["/prompt weather city=Oslo days=3", "/prompt:weather/city=Oslo/days=3",
                                  "/prompt git/weather city=Oslo days=3"])  # fmt: skip
async def test_a_prompt_with_its_arguments_is_got_at_once(text: str) -> None:
    face = offering()
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await command(face, pilot, text)
        await until(pilot, lambda: bool(face.link.sent(GetPrompt)))
        (sent,) = face.link.sent(GetPrompt)
        assert (sent.server, sent.name) == (GIT, "weather")
        assert sent.arguments_json.replace(" ", "") == '{"city":"Oslo","days":"3"}'
        await until(pilot, lambda: "Tell me" in drawn(face.app))
        await pilot.press("enter")
        await until(pilot, lambda: face.app.main.chat.composer.draft == "Tell me")
        assert not face.link.sent(SendMessage)


async def test_a_missing_argument_is_asked_for_and_an_unknown_one_named() -> None:
    face = offering()
    async with face.app.run_test(size=(120, 40), notifications=True) as pilot:
        await face.settle(pilot)
        await command(face, pilot, "/prompt weather days=3")
        await until(pilot, lambda: isinstance(face.app.screen, PromptScreen))
        assert not face.link.sent(GetPrompt)
        await command(face, pilot, "/prompt weather town=Oslo")
        await until(pilot, lambda: "has no argument town. It has: city, days" in asked(face))
        await command(face, pilot, "/prompt weather Oslo")
        await until(pilot, lambda: "is not key=value" in asked(face))
        await command(face, pilot, "/prompt nothing a=b")
        await until(pilot, lambda: "There is no prompt nothing" in asked(face))
        assert not face.link.sent(SendMessage)


async def test_two_prompts_of_one_name_are_told_apart() -> None:
    face = offering(listed(WEB))
    async with face.app.run_test(size=(120, 40), notifications=True) as pilot:
        await face.settle(pilot)
        await command(face, pilot, "/prompt weather city=Oslo")
        await until(pilot, lambda: "several servers have a prompt weather" in asked(face))
        await command(face, pilot, f"/prompt {WEB}/weather city=Oslo")
        await until(pilot, lambda: bool(face.link.sent(GetPrompt)))
        assert face.link.sent(GetPrompt)[0].server == WEB


@pytest.mark.parametrize(
    ("text", "server", "uri"),
    [
        ("/resource git:///one", GIT, "git:///one"),
        ("/resource:git:///one", GIT, "git:///one"),
        ("/resource log-git:///2026.txt", GIT, "log-git:///2026.txt"),
        ("/resource git anything://at/all", GIT, "anything://at/all"),
        ("/resource git git:///on", GIT, "git:///on"),
        ("/subscribe:/resource:git:///one", GIT, "git:///one"),
    ],
)
async def test_any_resource_is_read_listed_or_not(text: str, server: str, uri: str) -> None:
    face = offering(listed(WEB))
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await command(face, pilot, text)
        await until(pilot, lambda: isinstance(face.app.screen, ResourceScreen))
        (sent,) = face.link.sent(OpenResource)
        assert (sent.server, sent.uri) == (server, uri)


async def test_an_address_that_several_servers_could_have_asks_which() -> None:
    face = offering(listed(WEB))
    async with face.app.run_test(size=(120, 40), notifications=True) as pilot:
        await face.settle(pilot)
        await command(face, pilot, "/resource other://x")
        await until(pilot, lambda: "Write /resource SERVER other://x" in asked(face))
        assert not face.link.sent(OpenResource)


@pytest.mark.parametrize(
    ("text", "near"),
    [("/sttaus", "/status"), ("/mdoe auto", "/mode"), ("/promt:weather/city=x", "/prompt"),
     ("/api-stats", "/api_stats"),
     ("/mode\nauto", ""), ("/stattus\nnow", "/status")],
)  # fmt: skip
async def test_a_mistyped_command_never_reaches_the_model(text: str, near: str) -> None:
    face = offering()
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await command(face, pilot, text)
        said = face.app.main.chat.composer._trouble
        assert "// sends it as text" in said
        assert not near or f"did you mean {near}?" in said
        assert not face.link.sent(SendMessage)
        assert not face.link.sent(SetMode)
        assert face.app.main.chat.composer.draft == text


async def test_values_are_completed() -> None:
    face = offering()
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        face.app.go("chat")
        await pilot.press(*"/mode ")
        await until(pilot, lambda: face.app.main.chat.composer.popup_open)
        for mode in ("chat", "auto", "orchestrator"):
            assert f"/mode {mode}" in drawn(face.app)
        await pilot.press(*"orch", "enter")
        await until(pilot, lambda: [each.mode for each in face.link.sent(SetMode)] == ["orchestrator"])
        await pilot.press(*"/memory o", "down", "enter")
        await until(pilot, lambda: [each.on for each in face.link.sent(SetMemory)] == [False])
        await pilot.press(*"/prompt wea", "enter")
        await until(pilot, lambda: isinstance(face.app.screen, PromptScreen))


async def test_what_is_typed_is_not_replaced_by_a_longer_listed_address() -> None:
    face = offering()
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        face.app.go("chat")
        await pilot.press(*"/resource git git:///on")
        await until(pilot, lambda: face.app.main.chat.composer.popup_open)
        await pilot.press("enter")
        await until(pilot, lambda: bool(face.link.sent(OpenResource)))
        assert face.link.sent(OpenResource)[0].uri == "git:///on"


async def test_an_entry_of_the_palette_asks_for_its_value() -> None:
    face = offering()
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        face.app.run_named("restart_server")
        await until(pilot, lambda: isinstance(face.app.screen, AskValueScreen))
        await pilot.press(*GIT[:2], "enter")
        await until(pilot, lambda: [each.server for each in face.link.sent(ReconnectServer)] == [GIT])
        face.app.run_named("load_conversation")
        await until(pilot, lambda: isinstance(face.app.screen, AskValueScreen))
        await pilot.press("enter")  # nothing is nothing
        assert isinstance(face.app.screen, AskValueScreen)
        await pilot.press(*"a.json", "enter")
        await until(pilot, lambda: [each.path for each in face.link.sent(LoadConversation)] == ["a.json"])


async def test_a_value_that_is_not_there_is_not_taken() -> None:
    face = offering()
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        face.app.run_named("restart_server")
        await until(pilot, lambda: isinstance(face.app.screen, AskValueScreen))
        await pilot.press(*"nosuch", "enter")
        await pilot.pause()
        assert isinstance(face.app.screen, AskValueScreen)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(face.app.screen, AskValueScreen))
        assert not face.link.sent(ReconnectServer)


async def test_the_old_spelling_of_adding_servers_opens_the_import() -> None:
    face = offering()
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        await command(face, pilot, "/add_servers:~/mine.json")
        await until(pilot, lambda: isinstance(face.app.screen, WelcomeScreen))
        assert "~/mine.json" in drawn(face.app)


async def test_status_connections_and_usage_can_be_read() -> None:
    face = offering()
    use = ModelUse(model=S("some/model"), requests=3, input=1200, output=40, cached=0, cost=0.0021)
    face.link.answers[ReadStats] = lambda _: [
        StatsRead(
            pool=PoolDepth(queued=0, running=0, size=4, most_queued=0),
            tools=(),
            cache_entries=0,
            cache_hits=0,
            models=(use,),
        )
    ]
    async with face.app.run_test(size=(120, 45)) as pilot:
        await face.settle(pilot)
        await command(face, pilot, "/status")
        await until(pilot, lambda: isinstance(face.app.screen, StatusScreen))
        await until(pilot, lambda: "budget" in drawn(face.app))
        for word in ("mode", "model", "servers", "session", "memory", "config"):
            assert f"\n  {word} " in drawn(face.app)
        await command(face, pilot, "/connections")
        await until(pilot, lambda: isinstance(face.app.screen, ConnectionsScreen))
        await until(pilot, lambda: "reached by" in drawn(face.app))
        await command(face, pilot, "/api_stats")
        await until(pilot, lambda: isinstance(face.app.screen, ModelUsageScreen))
        await until(pilot, lambda: "some/model · 3 requests" in drawn(face.app))


@pytest.mark.parametrize("text", some(HOSTILE, 3))
async def test_hostile_names_are_shown_safe(text: str) -> None:
    face = offering(listed(WEB, prompt=text or "x"))
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        face.app.run_named("prompt")
        await until(pilot, lambda: isinstance(face.app.screen, AskValueScreen))
        await pilot.pause()
        assert_harmless(drawn(face.app))
        await pilot.press("escape")
        face.app.go("chat")
        await pilot.press(*"/prompt ")
        await pilot.pause()
        assert_harmless(drawn(face.app))
