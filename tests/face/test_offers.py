"""Prompts and resources with real keys: browsing, filling in, taking, attaching; hostile words too."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from omni_tui.face.panes.chat import ChatPane
from omni_tui.face.panes.servers import ServersPane
from omni_tui.face.prompts_resources.argument_screens import PromptScreen, TemplateScreen
from omni_tui.face.prompts_resources.browser import PromptResourceBrowser, PromptResourceRows
from omni_tui.face.prompts_resources.index import PromptResourceIndex
from omni_tui.face.prompts_resources.resource import ResourceScreen
from omni_tui.face.results.save_bar import SaveBar
from omni_tui.face.widgets.composer import Composer
from omni_tui.face.widgets.marks import Mentions, typed_mention
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.commands import SendMessage
from omni_tui.protocol.events import FileSaved, ServerChanged, TextPage, UserMessage
from omni_tui.protocol.media import CheckPart, OpenPart, PartChecked, PartOpened
from omni_tui.protocol.prompts_and_resources import (
    AttachedResource,
    Attachment,
    CompleteArgument,
    Completions,
    GetPrompt,
    OpenResource,
    PromptArgument,
    PromptsAndResourcesListed,
    PromptSummary,
    PromptText,
    ReadPart,
    ReadResourcePart,
    ResourceOpened,
    ResourceSummary,
    ResourceUpdated,
    SaveResourcePart,
    SubscribeResource,
    SubscriptionsChanged,
    TemplateSummary,
)
from omni_tui.security.text import safe, safe_line
from tests.face.conftest import Face, until
from tests.face.scenario import servers
from tests.face.tool_app import HOSTILE

SIZE = (120, 40)


def resource(name: str, server: str = "docs", **more: object) -> ResourceSummary:
    uri = f"doc://{name}"
    return ResourceSummary(
        server=server,
        uri=uri,
        label=safe_line(name),
        address=safe_line(uri),
        **more,  # type: ignore[arg-type]
    )


GREET = PromptSummary(
    server="docs",
    name="greet",
    label=SafeText("greet"),
    description=SafeText("Says hello"),
    arguments=(
        PromptArgument(name="who", label=SafeText("who"), required=True),
        PromptArgument(name="how", label=SafeText("how")),
    ),
)
PLAIN = PromptSummary(server="docs", name="plain", label=SafeText("plain"))
FILES = TemplateSummary(
    server="docs",
    uri_template="doc://{path}",
    label=SafeText("files"),
    address=SafeText("doc://{path}"),
    variables=("path",),
)
LISTED = PromptsAndResourcesListed(
    server="docs",
    generation=1,
    last=True,
    prompts=(GREET, PLAIN),
    resources=(resource("architecture"), resource("features"), resource(HOSTILE)),
    templates=(FILES,),
    subscribable=True,
    completes=True,
)


def got(command: Any) -> list[AnyEvent]:
    text = safe(f"Do {command.arguments_json} ⟦@docs › features⟧\nnow")
    return [PromptText(server="docs", name=command.name, size=9, text=text)]


def completed(command: Any) -> list[AnyEvent]:
    names = (SafeText(name) for name in ("Ada", "Alan", "Grace") if name.startswith(command.value))
    return [Completions(values=tuple(names))]


def face(make_face: type[Face]) -> Face:
    made = make_face(*servers(), LISTED)
    link = made.link
    link.answers[GetPrompt] = got
    link.answers[OpenResource] = lambda command: [
        ResourceOpened(
            id="r-1", server="docs", uri="doc://features", address=SafeText("doc://features"),
            parts=(ReadPart(index=0, kind="text", size=11),),
        )
    ]  # fmt: skip
    link.answers[ReadResourcePart] = lambda command: [
        TextPage(call="r-1", part=0, offset=0, total=11, text=SafeText("all of them"))
    ]
    link.answers[CompleteArgument] = completed
    return made


def seen(pilot: Pilot[None]) -> str:
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


async def command(pilot: Pilot[None], text: str) -> None:
    await pilot.press(*["slash" if one == "/" else one for one in text], "enter")
    await pilot.pause()


# --- the fold ---------------------------------------------------------------------------------


def test_a_list_is_replaced_when_its_last_page_came() -> None:
    index = PromptResourceIndex()
    index.apply(LISTED)
    first = PromptsAndResourcesListed(server="docs", generation=2, last=False, resources=(resource("new"),))
    assert not index.apply(first)
    assert len(index.find("", (ResourceSummary,), 10)[0]) == 3
    assert index.apply(PromptsAndResourcesListed(server="docs", generation=2, last=True))
    assert [one.label for one in index.find("", (ResourceSummary,), 10)[0]] == ["new"]


def test_search_wants_every_word_and_puts_names_first() -> None:
    index = PromptResourceIndex()
    index.apply(LISTED)
    found, more = index.find("docs feat", (ResourceSummary,), 10)
    assert [one.label for one in found] == ["features"]
    assert more == 0
    assert index.find("", (ResourceSummary,), 1)[1] == 2


@pytest.mark.parametrize(
    ("before", "typed"),
    [("@", ""), ("look at @fea", "fea"), ("a@b", None), ("@one two", None), ("", None), ("⟦@x⟧", None)],
)
def test_what_is_a_mention(before: str, typed: str | None) -> None:
    assert typed_mention(before) == typed


def test_a_mark_stands_for_one_resource() -> None:
    mentions = Mentions()
    first = mentions.mark("s", "a://1", "same ⟦x⟧")
    second = mentions.mark("s", "a://2", "same ⟦x⟧")
    assert first != second
    assert mentions.mark("s", "a://1", "same ⟦x⟧") == first
    assert mentions.within(f"{second} {first} {second}") == (
        Attachment(server="s", uri="a://2"),
        Attachment(server="s", uri="a://1"),
    )
    assert mentions.within("⟦@s › never picked⟧") == ()


# --- the browser ------------------------------------------------------------------------------


async def test_browsing_filtering_and_reading(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await command(pilot, "/resources")
        assert isinstance(pilot.app.screen, PromptResourceBrowser)
        text = seen(pilot)
        assert "architecture" in text
        assert "files {…}" in text
        assert "\u202e" not in text
        assert "\x1b" not in text
        await pilot.press("slash", *"feat")
        await until(pilot, lambda: len(pilot.app.screen.query_one(PromptResourceRows).keys) == 1)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResourceScreen))
        await until(pilot, lambda: "all of them" in seen(pilot))
        assert one.link.sent(OpenResource)[-1].uri == "doc://features"
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, PromptResourceBrowser)


async def test_saving_what_is_read(make_face: type[Face]) -> None:
    one = face(make_face)
    one.link.answers[SaveResourcePart] = lambda command: [FileSaved(path="features.md", size=11)]
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await command(pilot, "/resources")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResourceScreen))
        await pilot.press("s")
        await until(pilot, lambda: bool(pilot.app.screen.query(SaveBar)))
        assert pilot.app.screen.query_one(SaveBar).query_one(Input).value == "features"
        await pilot.press(*".md", "enter")
        await until(pilot, lambda: "saved 11 bytes to features.md" in seen(pilot))
        assert one.link.sent(SaveResourcePart)[0].path == "features.md"
        assert not one.link.sent(SaveResourcePart)[0].overwrite


async def test_following_and_news(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await command(pilot, "/resources")
        await pilot.press("f")
        await until(pilot, lambda: bool(one.link.sent(SubscribeResource)))
        assert one.link.sent(SubscribeResource)[0].on
        one.link.emit(SubscriptionsChanged(server="docs", uris=("doc://architecture",)))
        await until(pilot, lambda: "○ subscribed" in seen(pilot))
        news = ResourceUpdated(server="docs", uri="doc://architecture", label=SafeText("architecture"))
        one.link.emit(news, news, news)
        await until(pilot, lambda: "● changed" in seen(pilot))
        assert len(pilot.app._notifications) == 1, "what nobody has looked at is told of once"
        await pilot.press("f")
        await until(pilot, lambda: len(one.link.sent(SubscribeResource)) == 2)
        assert not one.link.sent(SubscribeResource)[1].on


async def test_a_template_is_filled_in(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await command(pilot, "/resources")
        await pilot.press("end", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TemplateScreen))
        await until(pilot, lambda: isinstance(pilot.app.focused, Input))
        await pilot.press(*"x.md", "f9")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResourceScreen))
        asked = one.link.sent(OpenResource)[0]
        assert asked.template
        assert (asked.uri, json.loads(asked.variables_json)) == ("doc://{path}", {"path": "x.md"})


# --- prompts ----------------------------------------------------------------------------------


async def test_a_prompt_is_seen_before_it_is_taken_and_never_sent_by_itself(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await command(pilot, "/prompts greet")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptScreen))
        await until(pilot, lambda: isinstance(pilot.app.focused, Input))
        await pilot.press("f9")
        assert one.link.sent(GetPrompt) == [], "a required argument is missing"
        await pilot.press(*"Bob", "f9")
        await until(pilot, lambda: "this text comes from docs" in seen(pilot))
        assert json.loads(one.link.sent(GetPrompt)[0].arguments_json) == {"who": "Bob"}
        await pilot.press("enter")
        chat = one.app.main.chat
        assert isinstance(chat, ChatPane)
        await until(pilot, lambda: chat.draft.startswith('Do {"who"'))
        assert chat.draft.endswith("[@docs › features]\nnow")
        assert one.link.sent(SendMessage) == []
        await pilot.press("enter")
        await until(pilot, lambda: bool(one.link.sent(SendMessage)))
        assert one.link.sent(SendMessage)[0].attachments == ()


async def test_in_an_empty_field_the_arrow_takes_the_first_suggestion(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await command(pilot, "/prompts greet")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptScreen))
        await until(pilot, lambda: "→ takes it" in seen(pilot))
        await pilot.press("right")
        line = pilot.app.focused
        assert isinstance(line, Input)
        assert line.value == "Ada"


async def test_the_server_suggests_values(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await command(pilot, "/prompts greet")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptScreen))
        await until(pilot, lambda: "Ada  Alan  Grace" in seen(pilot))
        await pilot.press("A")
        await until(pilot, lambda: "suggested: Ada  Alan " in seen(pilot))
        line = pilot.app.focused
        assert isinstance(line, Input)
        await until(pilot, lambda: line._suggestion == "Ada")
        await pilot.press("right")
        assert line.value == "Ada"
        await until(pilot, lambda: "suggested: Ada " in seen(pilot))
        await pilot.press("backspace", "backspace")
        await until(pilot, lambda: "suggested: Ada  Alan " in seen(pilot))
        await pilot.press("ctrl+t", "ctrl+t")
        assert line.value == "Alan"


async def test_changed_values_take_the_text_back(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await command(pilot, "/prompts greet")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.focused, Input))
        await pilot.press(*"Bob", "f9")
        await until(pilot, lambda: "this text comes from docs" in seen(pilot))
        screen = pilot.app.screen
        assert isinstance(screen, PromptScreen)
        assert screen.form is not None
        await pilot.press("shift+tab", "x")
        await until(pilot, lambda: "the values changed" in seen(pilot))
        await pilot.press("tab", "enter")
        assert pilot.app.screen is screen


# --- @ in the composer ------------------------------------------------------------------------


async def test_a_resource_is_picked_with_at_and_goes_with_the_message(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        composer = one.app.main.query_one(Composer)
        await pilot.press(*"see ", "@", *"feat")
        assert composer.popup_open
        assert pilot.app.focused is composer.prompt
        await pilot.press("enter")
        assert composer.draft == "see ⟦@docs › features⟧ "
        assert one.link.sent(SendMessage) == []
        await until(pilot, lambda: "1 attached" in seen(pilot))
        await pilot.press(*"now", "enter")
        await until(pilot, lambda: bool(one.link.sent(SendMessage)))
        sent = one.link.sent(SendMessage)[0]
        assert sent.text == "see ⟦@docs › features⟧ now"
        assert sent.attachments == (Attachment(server="docs", uri="doc://features"),)


async def test_a_deleted_mark_attaches_nothing_and_a_recalled_one_does(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await pilot.press("@", *"feat", "tab", *"x", "enter")
        await until(pilot, lambda: len(one.link.sent(SendMessage)) == 1)
        await pilot.press("up", "enter")
        await until(pilot, lambda: len(one.link.sent(SendMessage)) == 2)
        assert one.link.sent(SendMessage)[1].attachments
        await pilot.press("@", *"feat", "tab", "backspace", "backspace", "enter")
        await until(pilot, lambda: len(one.link.sent(SendMessage)) == 3)
        assert one.link.sent(SendMessage)[2].attachments == ()


async def test_at_without_a_match_is_a_letter(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await pilot.press(*"mail ", "@", *"nobody", "enter")
        await until(pilot, lambda: bool(one.link.sent(SendMessage)))
        assert one.link.sent(SendMessage)[0].text == "mail @nobody"


async def test_escape_closes_the_list_and_the_cursor_too(make_face: type[Face]) -> None:
    one = face(make_face)
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        composer = one.app.main.query_one(Composer)
        await pilot.press(*"a ", "@")
        assert composer.query_one(OptionList).option_count == 3
        await pilot.press("home")
        await until(pilot, lambda: not composer.has_class("-popup"))
        await pilot.press("end")
        assert composer.popup_open
        await pilot.press("escape")
        assert not composer.has_class("-popup")
        await pilot.press("enter")
        await until(pilot, lambda: bool(one.link.sent(SendMessage)))


async def test_typing_among_ten_thousand_resources_stays_in_the_composer(make_face: type[Face]) -> None:
    one = face(make_face)
    many = tuple(resource(f"note {number}") for number in range(10_000))
    for start in range(0, 10_000, 1_000):
        one.link.emit(
            PromptsAndResourcesListed(
                server="many", generation=1, last=start == 9_000, resources=many[start : start + 1_000]
            )
        )
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        composer = one.app.main.query_one(Composer)
        await until(pilot, lambda: "many" in one.app.overview.prompts_resources.servers)
        await pilot.press("@", *"note")
        assert composer.query_one(OptionList).option_count <= 50
        assert pilot.app.focused is composer.prompt
        assert composer.draft == "@note"


async def test_the_transcript_names_what_was_attached(make_face: type[Face]) -> None:
    one = face(make_face)
    said = UserMessage(
        turn="t1",
        text=SafeText("look"),
        attachments=(
            AttachedResource(
                server=SafeText("docs"), label=safe_line(HOSTILE), address=SafeText("doc://x"),
                size=123_456, truncated=True,
            ),
        ),
    )  # fmt: skip
    async with one.app.run_test(size=SIZE) as pilot:
        one.link.emit(said)
        await one.settle(pilot)
        await until(pilot, lambda: "▤ docs › " in seen(pilot))
        assert "123,456 characters, cut for the model" in seen(pilot).replace("\n▌ ", " ")


async def test_the_servers_pane_opens_what_its_server_offers(make_face: type[Face]) -> None:
    one = face(make_face)
    up = (event for event in servers() if isinstance(event, ServerChanged) and event.latency_ms is not None)
    first = msgspec.structs.replace(next(up), state="idle")
    one.link.emit(msgspec.structs.replace(first, prompts=2))
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await pilot.press("f2")
        pane = one.app.main.pane("servers")
        assert isinstance(pane, ServersPane)
        pane._rows.select(first.name)
        await pilot.press("p")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptResourceBrowser))
        screen = pilot.app.screen
        assert isinstance(screen, PromptResourceBrowser)
        assert screen.kind == "prompts"
        assert screen.query_one(Input).value == first.name


async def test_a_picture_that_was_read_is_opened_and_its_file_is_never_hidden(
    make_face: type[Face],
) -> None:
    one = face(make_face)
    one.link.answers[OpenResource] = lambda command: [
        ResourceOpened(
            id="r-1", server="docs", uri="doc://x", address=SafeText("doc://x/../.bashrc"),
            parts=(ReadPart(index=0, kind="blob", mime=SafeText("image/png"), size=70),),
        )
    ]  # fmt: skip
    one.link.answers[CheckPart] = lambda command: [PartChecked(suffix=".png", size=70)]
    one.link.answers[OpenPart] = lambda command: [
        PartOpened(path="/state/x.png", size=70, mime=SafeText("image/png"), by=SafeText("xdg-open"))
    ]
    async with one.app.run_test(size=SIZE) as pilot:
        await one.settle(pilot)
        await command(pilot, "/resources")
        await pilot.press("enter")
        await until(pilot, lambda: "o open · s save" in seen(pilot))
        assert not one.link.sent(OpenPart)
        await pilot.press("o")
        await until(pilot, lambda: "opened with xdg-open" in seen(pilot))
        assert [(c.source, c.part, c.of) for c in one.link.sent(OpenPart)] == [("r-1", 0, "resource")]
        await pilot.press("s")
        await until(pilot, lambda: bool(pilot.app.screen.query(SaveBar)))
        assert pilot.app.screen.query_one(SaveBar).query_one(Input).value == "bashrc.png"
