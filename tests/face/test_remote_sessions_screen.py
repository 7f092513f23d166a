"""The sessions in Redis: what is listed, what is asked before one is taken over, what a refusal says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.face.screens.remote_sessions import RemoteSessionsScreen
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.commands import OpenSession
from omni_tui.protocol.remote_sessions import (
    FetchSession,
    ListRemoteSessions,
    RemoteSessionInfo,
    RemoteSessionsListed,
    SessionFetched,
)
from omni_tui.security.text import safe_line
from tests.face.conftest import Face, until
from tests.face.scenario import NOW, ready
from tests.face.test_hostile_text import HOSTILE, assert_harmless, drawn


def ident(number: int) -> str:
    return f"01a2f0ac-0000-7000-8000-{number:012}"


CLOSED = RemoteSessionInfo(
    id=ident(1), title=SafeText("closed one"), machine=SafeText("laptop"), updated=NOW, events=12
)
OPEN = RemoteSessionInfo(
    id=ident(2), title=SafeText("open one"), machine=SafeText("desk"), updated=NOW, events=7, open=True,
    here=True,
)  # fmt: skip
SEALED = RemoteSessionInfo(id=ident(3), why=SafeText("its key is not here"))


def fetched(command: AnyCommand) -> list[AnyEvent]:
    assert isinstance(command, FetchSession)
    return [SessionFetched(id=command.session, events=12)]


@asynccontextmanager
async def shown(
    *sessions: RemoteSessionInfo, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[Face, Pilot[None], RemoteSessionsScreen]]:
    face = Face(ready())
    where = SafeText("redis://a:1")
    face.link.answers[ListRemoteSessions] = lambda _: [
        RemoteSessionsListed(sessions=sessions, total=len(sessions), where=where)
    ]
    face.link.answers[FetchSession] = fetched
    async with face.app.run_test(size=size, notifications=True) as pilot:
        await face.settle(pilot)
        face.app.run_named("remote_sessions")
        await until(pilot, lambda: isinstance(face.app.screen, RemoteSessionsScreen))
        screen = face.app.screen
        assert isinstance(screen, RemoteSessionsScreen)
        await until(pilot, lambda: "asking" not in drawn(face.app))
        yield face, pilot, screen


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
async def test_each_says_where_it_is(size: tuple[int, int]) -> None:
    async with shown(CLOSED, OPEN, SEALED, size=size) as (face, _pilot, _screen):
        text = drawn(face.app)
        assert "SESSIONS IN REDIS 3 · redis://a:1" in text
        row = {
            name: next(line for line in text.splitlines() if name in line)
            for name in ("closed", "open one")
        }
        assert "laptop" in row["closed"]
        assert "open" not in row["closed"]
        assert "desk, open" in row["open one"]
        assert "its key is" in text


async def test_a_closed_one_is_fetched_and_opened() -> None:
    async with shown(CLOSED, OPEN) as (face, pilot, _screen):
        await pilot.press("enter")
        await until(pilot, lambda: bool(face.link.sent(OpenSession)))
        assert face.link.sent(FetchSession)[-1].session == CLOSED.id
        assert not face.link.sent(FetchSession)[-1].copy
        assert face.link.sent(OpenSession)[-1].session == CLOSED.id


async def test_one_that_another_machine_has_open_is_taken_over_only_after_a_question() -> None:
    async with shown(OPEN) as (face, pilot, _screen):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        assert "from desk" in drawn(face.app)
        assert not face.link.sent(FetchSession)
        await pilot.press("escape")
        await pilot.pause()
        assert not face.link.sent(FetchSession)


async def test_a_copy_is_fetched_without_a_question_and_leaves_the_other_alone() -> None:
    async with shown(OPEN) as (face, pilot, _screen):
        await pilot.press("c")
        await until(pilot, lambda: bool(face.link.sent(FetchSession)))
        assert face.link.sent(FetchSession)[-1].copy


async def test_one_that_cannot_be_read_is_not_asked_for() -> None:
    async with shown(SEALED) as (face, pilot, _screen):
        await pilot.press("enter", "c")
        await pilot.pause()
        assert not face.link.sent(FetchSession)
        assert "its key is not here" in drawn(face.app)


async def test_a_refusal_says_why_and_the_list_can_be_asked_for_again() -> None:
    async with shown(CLOSED) as (face, pilot, _screen):
        face.link.refuse(ListRemoteSessions, "Redis cannot be used (redis://a:1): it does not answer")
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "it does not answer" in drawn(face.app))
        face.link.refuse(FetchSession, "the session was not fetched: it is open in another omni-tui")
        await pilot.press("enter")
        await until(pilot, lambda: "open in another omni-tui" in drawn(face.app))
        assert not face.link.sent(OpenSession)


async def test_none_says_how_to_begin() -> None:
    async with shown() as (face, pilot, _screen):
        assert "/memory on" in drawn(face.app)
        await pilot.press("enter", "c")
        assert not face.link.sent(FetchSession)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_names_are_text(text: str) -> None:
    said = safe_line(text)
    hostile = RemoteSessionInfo(id=ident(4), title=said, machine=said, updated=NOW)
    sealed = RemoteSessionInfo(id=said or ident(5), why=said or SafeText("why"))
    async with shown(hostile, sealed) as (face, _pilot, _screen):
        assert_harmless(drawn(face.app))
