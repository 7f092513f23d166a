"""The sessions screen: what is listed and found, resuming at a hit, titles, tags, and deleting."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.face.screens.sessions import SessionsScreen
from omni_tui.face.transcript.item_types import UserItem
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText, encode_record
from omni_tui.protocol.commands import ListSessions, OpenSession
from omni_tui.protocol.events import (
    Answer,
    CommandFailed,
    SessionInfo,
    SessionOpened,
    SessionsListed,
    UserMessage,
)
from omni_tui.protocol.session_search import (
    DeleteSession,
    FoundSession,
    PreviewSession,
    RenameSession,
    SearchSessions,
    SessionPreviewed,
    SessionsFound,
    SnippetPart,
    TagSession,
    TextPlace,
)
from tests.face.conftest import Face, until
from tests.face.scenario import NOW, ready
from tests.face.test_hostile_text import HOSTILE, assert_harmless, drawn

SIZE = (120, 40)
SIZES = [(60, 20), (80, 24), (120, 40)]


def ident(number: int) -> str:
    return f"01a2f0ac-0000-7000-8000-{number:012}"


def info(number: int, **changes: object) -> SessionInfo:
    fields: dict[str, object] = {
        "id": ident(number), "title": SafeText(f"session {number}"), "created": NOW - 9_000,
        "updated": NOW - 60 * number, "events": 10 + number,
    }  # fmt: skip
    return SessionInfo(**{**fields, **changes})  # type: ignore[arg-type]


class SessionsEngine:
    """Answers what the screen asks. A search finds sessions whose title has the words."""

    def __init__(self, face: Face, infos: Iterable[SessionInfo], *, page: int = 100) -> None:
        self.infos, self._page = list(infos), page
        self.link = face.link
        answers = self.link.answers
        answers[ListSessions] = self._list
        answers[SearchSessions] = self._search
        answers[PreviewSession] = self._preview

    def _list(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, ListSessions)
        page = tuple(self.infos[command.after :][: self._page])
        return [SessionsListed(sessions=page, total=len(self.infos), unreadable=2)]

    def _search(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, SearchSessions)
        found = [self.found(each) for each in self.infos if command.words in each.title]
        words = (SafeText(command.words),)
        return [SessionsFound(sessions=tuple(found), total=2 * len(found), searched=words)]

    @staticmethod
    def found(each: SessionInfo) -> FoundSession:
        snippet = (SnippetPart(text=SafeText("… what was ")), SnippetPart(text=SafeText("said"), hit=True))
        return FoundSession(
            session=each.id, hits=2, seq=3, role="you", ts=NOW, snippet=snippet, place=TextPlace(turn="t2")
        )

    def _preview(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, PreviewSession)
        return [self.preview(command)]

    def preview(self, command: PreviewSession) -> SessionPreviewed:
        events: list[AnyEvent] = [
            SessionOpened(seq=1, title=SafeText("x"), mode="chat", model=SafeText("offline")),
            UserMessage(seq=2, turn="t1", text=SafeText("the first message")),
            UserMessage(seq=3, turn="t2", text=SafeText("what was said")),
            Answer(seq=4, turn="t2", message="m2", text=SafeText("the answer")),
        ]
        hits = (3, 4) if command.words else ()
        place = TextPlace(turn="t2", message="m2") if command.seq == 4 else TextPlace(turn="t2")
        return SessionPreviewed(
            session=command.session, events=tuple(encode_record(event).decode() for event in events),
            hits=hits, at=command.seq, place=place,
        )  # fmt: skip


async def opened(face: Face, pilot: Pilot[None], *keys: str) -> SessionsScreen:
    await face.settle(pilot)
    await pilot.press("f7")
    await until(pilot, lambda: isinstance(face.app.screen, SessionsScreen))
    screen = face.app.screen
    assert isinstance(screen, SessionsScreen)
    await until(pilot, lambda: bool(screen.rows.keys) and screen._preview is not None)
    await pilot.press(*keys)
    return screen


def listed(screen: SessionsScreen) -> list[str]:
    rows = screen.rows
    return [rows.render_line(y).text.rstrip() for y in range(rows.size.height)]


def static(screen: SessionsScreen, name: str) -> str:
    return str(screen.query_one(name, Static).content)


@pytest.mark.parametrize("size", SIZES)
async def test_all_sessions_are_listed_and_the_one_under_the_cursor_is_shown(size: tuple[int, int]) -> None:
    face = Face(ready())
    SessionsEngine(face, [info(number) for number in range(1, 31)], page=7)
    async with face.app.run_test(size=size) as pilot:
        screen = await opened(face, pilot)
        assert len(screen.rows.keys) == 30
        assert "SESSIONS 30" in static(screen, "#screen-title")
        assert "2 more cannot be read" in static(screen, "#screen-title")
        assert "session 1" in listed(screen)[0]
        await until(pilot, lambda: "the answer" in drawn(face.app))
        await pilot.press("down")
        await until(pilot, lambda: screen._preview is not None and screen._preview.session == ident(2))
        assert static(screen, "#session-facts").startswith("session 2")
        await pilot.press("end")
        assert screen.rows.selected == ident(30)
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_typing_searches_the_contents_and_enter_resumes_at_the_hit() -> None:
    face = Face(ready())
    SessionsEngine(face, [info(number) for number in range(1, 31)])
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot, "slash", *"on 2")
        await until(pilot, lambda: len(screen.rows.keys) == 11)
        row = listed(screen)[0]
        assert "said" in row
        assert "2 hits" in row
        await pilot.press("down")
        await until(pilot, lambda: screen._preview is not None and screen._preview.session == ident(20))
        await until(pilot, lambda: screen.preview.cursor is not None)
        marked = screen.preview.current
        assert isinstance(marked, UserItem)
        assert marked.text == "what was said"
        await pilot.press("enter")
        await until(pilot, lambda: bool(face.link.sent(OpenSession)))
        assert face.link.sent(OpenSession)[0].session == ident(20)


async def test_the_session_of_a_hit_opens_at_its_turn() -> None:
    messages = (UserMessage(turn=f"t{number}", text=SafeText(f"no {number}")) for number in (1, 2, 3))
    face = Face(ready(), *messages)
    SessionsEngine(face, [info(1)])
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot, "slash", *"session")
        await until(
            pilot,
            lambda: screen._preview is not None and screen._preview.at == 3,
        )
        await pilot.press("enter")
        view = face.app.main.chat.transcript
        await until(pilot, lambda: isinstance(view.current, UserItem) and view.current.turn == "t2")
        assert view.has_focus


async def test_the_hits_of_a_session_are_walked_through() -> None:
    face = Face(ready())
    SessionsEngine(face, [info(1)])
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot, "slash", *"session", "tab")
        await until(pilot, lambda: "hit 1 of 2" in static(screen, "#session-facts"))
        for key, at in (("n", 4), ("n", 3), ("N", 4), ("p", 3)):
            await pilot.press(key)
            await until(pilot, lambda at=at: screen._preview is not None and screen._preview.at == at)  # type: ignore[misc]


async def test_what_a_later_search_has_overtaken_is_not_shown() -> None:
    face = Face(ready())
    engine = SessionsEngine(face, [info(1), info(2)])
    late: list[AnyEvent] = []
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)

        def first_is_refused(command: AnyCommand) -> Iterable[AnyEvent]:
            assert isinstance(command, SearchSessions)
            if command.words == "s":
                refused = CommandFailed(what=SafeText("another search began"))
                late.append(msgspec.structs.replace(refused, request=command.request))
                return []
            return engine._search(command)

        face.link.answers[SearchSessions] = first_is_refused
        await pilot.press("slash", *"session 2")
        await until(pilot, lambda: screen.rows.keys == [ident(2)])
        face.link.emit(*late)
        await pilot.pause()
        assert screen.rows.keys == [ident(2)]
        assert not face.app.toasts
        await pilot.press(*"x")
        await until(pilot, lambda: not screen.rows.keys)
        assert "No text in any session" in static(screen, "#sessions-empty")
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.rows.keys) == 2)


async def test_tags_filter_the_list_and_are_edited_in_place() -> None:
    face = Face(ready())
    tagged = info(2, tags=(SafeText("work"), SafeText("old")))
    SessionsEngine(face, [info(1), tagged])
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot, "slash", *"#wo")
        await until(pilot, lambda: screen.rows.keys == [ident(2)])
        assert "#work #old" in listed(screen)[0]
        await pilot.press("tab", "t")
        edit = screen.query_one("#session-edit", Input)
        assert edit.has_focus
        assert edit.value == "work old"
        await pilot.press(*["backspace"] * 3, *"new", "enter")
        await until(pilot, lambda: bool(face.link.sent(TagSession)))
        (sent,) = face.link.sent(TagSession)
        assert (sent.session, sent.add, sent.remove) == (ident(2), ("work", "new"), ("old",))


async def test_a_session_is_renamed_in_place_and_stays_under_the_cursor() -> None:
    face = Face(ready())
    engine = SessionsEngine(face, [info(1), info(2)])
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot, "down", "r", *" or so", "escape")
        assert not face.link.sent(RenameSession)
        await pilot.press("r", *" or so")
        engine.infos[1] = info(2, title=SafeText("session 2 or so"))
        await pilot.press("enter")
        await until(pilot, lambda: "session 2 or so" in listed(screen)[1])
        (sent,) = face.link.sent(RenameSession)
        assert (sent.session, sent.title) == (ident(2), "session 2 or so")
        assert screen.rows.selected == ident(2)
        face.link.refuse(RenameSession, "a title needs at least one character")
        await pilot.press("r", "ctrl+u", "enter")
        await until(pilot, lambda: "a title needs" in static(screen, "#screen-foot"))


async def test_deleting_says_what_is_erased_and_asks() -> None:
    face = Face(ready())
    engine = SessionsEngine(face, [info(1, title=SafeText("t" * 300)), info(2)])
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot, "d")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        question = "\n".join(str(each.content) for each in face.app.screen.query(Static))
        for words in ("t" * 40, "11 events", "messages", "results", "search index"):
            assert words in question
        await pilot.press("n")
        await until(pilot, lambda: face.app.screen is screen)
        assert not face.link.sent(DeleteSession)
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        engine.infos.pop(0)
        await pilot.press("y")
        await until(pilot, lambda: screen.rows.keys == [ident(2)])
        assert [sent.session for sent in face.link.sent(DeleteSession)] == [ident(1)]
        assert screen.rows.selected == ident(2)


async def test_a_session_that_is_open_elsewhere_is_marked_and_not_resumed() -> None:
    face = Face(ready())
    SessionsEngine(
        face, [info(1, state="open"), info(2, state="running", here=True), info(3, state="unfinished")]
    )
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        assert [row[1] for row in listed(screen)[:3]] == ["●", "▶", "◌"]
        assert "open in another omni-tui" in static(screen, "#session-facts")
        await pilot.press("enter")
        await until(pilot, lambda: "close it there" in static(screen, "#screen-foot"))
        assert not face.link.sent(OpenSession)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_titles_tags_and_snippets_are_harmless(text: str) -> None:
    face = Face(ready())
    bad = SafeText(text)
    engine = SessionsEngine(face, [info(1, title=bad, tags=(bad,))])

    def found(_command: AnyCommand) -> Iterable[AnyEvent]:
        part = SnippetPart(text=bad, hit=True)
        hit = msgspec.structs.replace(engine.found(engine.infos[0]), snippet=(part, part))
        return [SessionsFound(sessions=(hit,), total=1, searched=(bad,))]

    face.link.answers[SearchSessions] = found
    face.link.answers[PreviewSession] = lambda command: [
        SessionPreviewed(
            session=ident(1),
            events=(encode_record(UserMessage(seq=1, turn="t", text=bad)).decode("utf-8", "replace"),),
        )
    ]
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        assert_harmless(drawn(face.app))
        await pilot.press("slash", "x")
        await until(pilot, lambda: bool(screen.rows.found))
        assert_harmless(drawn(face.app))
        await pilot.press("tab", "d")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        assert_harmless(drawn(face.app))
