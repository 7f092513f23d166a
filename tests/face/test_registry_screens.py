"""Finding a server in the public registry, and adding one: with real keys, and with hostile texts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from omni_tui.face.screens.registry_search import RegistrySearchScreen
from omni_tui.face.screens.registry_server import RegistryServerScreen
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.public_registry import (
    HIDDEN,
    AddRegistryServer,
    OpenBundle,
    ReadRegistryServer,
    RegistryFound,
    RegistryLaunchInfo,
    RegistryQuestion,
    RegistryServerInfo,
    RegistryServerRead,
    SearchRegistry,
)
from omni_tui.security.text import safe_line
from tests.face.conftest import Face, until
from tests.face.scenario import NOW, ready
from tests.face.test_hostile_text import HOSTILE, assert_harmless, drawn
from tests.lengths import some

S = SafeText
FILES = RegistryServerInfo(
    digest="d1", name=S("io.example.someone/files"), version=S("1.0.0"), description=S("Reads files"),
    runs=S("npx -y @someone/files@1.0.0"),
)  # fmt: skip
GONE = RegistryServerInfo(digest="d2", name=S("io.example.x/gone"), version=S("1"), status="deleted")
SECRET = "hunter2hunter2"


def read(command: AnyCommand) -> list[AnyEvent]:
    assert isinstance(command, ReadRegistryServer)
    answers = command.answers
    needed = [name for name in ("argument.0", "env.T") if not answers.get(name)]
    return [
        RegistryServerRead(
            info=FILES if command.digest == "d1" else GONE,
            name="files",
            launches=(
                RegistryLaunchInfo(kind=S("npm"), label=S("npx")),
                RegistryLaunchInfo(kind=S("sse"), label=S("x"), refused=S("it is not https")),
            ),
            launch=command.launch,
            command=S(f"npx -y @someone/files@1.0.0 {answers.get('argument.0', '')}".strip()),
            settings=tuple(S(f"T={answers[name]}") for name in ("env.T",) if name in answers),
            questions=(
                RegistryQuestion(id="argument.0", label=S("folder"), required=True),
                RegistryQuestion(id="env.T", label=S("T"), required=True, secret=True),
                RegistryQuestion(id="env.L", label=S("L"), choices=(S("low"), S("high"))),
            )
            if command.launch == 0
            else (),
            missing=tuple(needed) if command.launch == 0 else (),
        )
    ]


@asynccontextmanager
async def searched(
    *servers: RegistryServerInfo, size: tuple[int, int] = (80, 24), cursor: str = ""
) -> AsyncIterator[tuple[Face, Pilot[None], RegistrySearchScreen]]:
    face = Face(ready())
    face.link.answers[SearchRegistry] = lambda _: [
        RegistryFound(servers=servers, cursor=cursor, address=S("https://registry.example"), fetched=NOW)
    ]
    face.link.answers[ReadRegistryServer] = read
    face.link.answers[AddRegistryServer] = lambda _: [CommandDone(text=S("files was added"))]
    async with face.app.run_test(size=size, notifications=True) as pilot:
        await face.settle(pilot)
        await pilot.press(*"/find files", "enter")
        await until(pilot, lambda: isinstance(face.app.screen, RegistrySearchScreen))
        screen = face.app.screen
        assert isinstance(screen, RegistrySearchScreen)
        await until(pilot, lambda: screen._reply is not None)
        yield face, pilot, screen


@asynccontextmanager
async def opened(
    size: tuple[int, int] = (80, 24),
) -> AsyncIterator[tuple[Face, Pilot[None], RegistryServerScreen]]:
    async with searched(FILES, size=size) as (face, pilot, _):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(face.app.screen, RegistryServerScreen))
        screen = face.app.screen
        assert isinstance(screen, RegistryServerScreen)
        await until(pilot, lambda: screen.form_ready)
        yield face, pilot, screen


async def test_words_are_searched_and_the_chosen_one_says_what_it_runs() -> None:
    async with searched(FILES, GONE) as (face, pilot, _):
        assert [command.words for command in face.link.sent(SearchRegistry)] == ["files"]
        assert "runs  npx -y @someone/files@1.0.0" in drawn(face.app)
        await pilot.press("down")
        await until(pilot, lambda: "nothing of it can be run" in drawn(face.app))
        assert "deleted: the registry gives no reason" in drawn(face.app)


async def test_no_match_says_so_and_more_is_asked_for() -> None:
    async with searched() as (face, _, _):
        assert "No server has these words" in drawn(face.app)
    async with searched(FILES, cursor="c") as (face, pilot, _):
        await pilot.press("m")
        await until(pilot, lambda: face.link.sent(SearchRegistry)[-1].cursor == "c")


async def test_a_registry_that_fails_says_so_and_the_words_stay() -> None:
    async with searched(FILES) as (face, pilot, _):
        face.link.refuse(SearchRegistry, "the registry answered 503", todo="Try again later.")
        await pilot.press("slash", "x", "enter")
        await until(pilot, lambda: "the registry answered 503" in drawn(face.app))
        assert face.app.screen.query_one("#registry-words", Input).value == "x"


async def test_values_are_asked_for_and_a_secret_is_shown_nowhere() -> None:
    async with opened() as (face, pilot, screen):
        await pilot.press(*"/srv", "down", *SECRET)
        await until(pilot, lambda: f"T={HIDDEN}" in drawn(face.app))
        assert "npx -y @someone/files@1.0.0 /srv" in drawn(face.app)
        assert SECRET not in drawn(face.app)
        assert all(SECRET not in command.answers.values() for command in face.link.sent(ReadRegistryServer))
        await pilot.press("f9")
        await until(pilot, lambda: bool(face.link.sent(AddRegistryServer)))
        (added,) = face.link.sent(AddRegistryServer)
        assert added.answers == {"argument.0": "/srv", "env.T": SECRET}
        assert (added.name, added.launch, added.digest) == ("files", 0, "d1")
        await until(pilot, lambda: screen not in face.app.screen_stack and len(face.app.screen_stack) == 1)


async def test_nothing_is_added_while_a_value_is_missing() -> None:
    async with opened() as (face, pilot, screen):
        await pilot.press("f9")
        await until(pilot, lambda: "fill in what is marked" in drawn(face.app))
        assert not face.link.sent(AddRegistryServer)
        assert face.app.screen is screen
        # No choice is made for the person.
        await pilot.press(*"/srv", "down", *"t")
        await pilot.press("f9")
        await until(pilot, lambda: bool(face.link.sent(AddRegistryServer)))
        assert "env.L" not in face.link.sent(AddRegistryServer)[0].answers


async def test_a_bundle_opens_the_same_screen() -> None:
    face = Face(ready())
    face.link.answers[OpenBundle] = lambda _: read(ReadRegistryServer(digest="d1"))
    face.link.answers[ReadRegistryServer] = read
    async with face.app.run_test(size=(80, 24), notifications=True) as pilot:
        await face.settle(pilot)
        await pilot.press(*"/bundle a.mcpb", "enter")
        await until(pilot, lambda: isinstance(face.app.screen, RegistryServerScreen))
        assert [command.path for command in face.link.sent(OpenBundle)] == ["a.mcpb"]
        await until(pilot, lambda: "runs exactly  npx" in drawn(face.app))


async def test_an_address_that_is_refused_cannot_be_added() -> None:
    async with opened() as (face, pilot, screen):
        screen._row("launch").control.focus()
        await pilot.press("right")
        await until(pilot, lambda: "It cannot be added this way: it is not https" in drawn(face.app))
        await pilot.press("f9")
        await pilot.pause()
        assert not face.link.sent(AddRegistryServer)


async def test_a_refusal_of_the_engine_keeps_what_was_typed() -> None:
    async with opened() as (face, pilot, _):
        face.link.refuse(AddRegistryServer, "the keyring did not take it; write ${NAME} instead")
        await pilot.press(*"/srv", "down", *"t", "f9")
        await until(pilot, lambda: "the keyring did not take it" in drawn(face.app))
        assert "/srv" in drawn(face.app)


@pytest.mark.parametrize("text", some(HOSTILE, 4))
async def test_hostile_texts_stay_texts(text: str) -> None:
    # The engine makes them safe; what is left of them is markup.
    bad = safe_line(text)
    evil = msgspec.structs.replace(
        FILES, name=bad, version=bad, title=bad, description=bad, runs=bad, status_message=bad,
        status="deprecated",
    )  # fmt: skip
    question = RegistryQuestion(
        id=text, label=bad, description=bad, placeholder=bad, default=bad, choices=(), required=True
    )
    async with searched(evil) as (face, pilot, _):
        assert_harmless(drawn(face.app))
        face.link.answers[ReadRegistryServer] = lambda _: [
            RegistryServerRead(
                info=evil, name="files", launch=0, repository=bad, website=bad, published=bad,
                launches=(RegistryLaunchInfo(kind=bad, label=bad),), problems=(bad,), command=bad,
                settings=(bad,), note=bad, wrong={text: bad},
                questions=(question, msgspec.structs.replace(question, id="c", choices=(bad, bad))),
            )
        ]  # fmt: skip
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(face.app.screen, RegistryServerScreen))
        screen = face.app.screen
        assert isinstance(screen, RegistryServerScreen)
        await until(pilot, lambda: screen.form_ready)
        assert_harmless(drawn(face.app))
