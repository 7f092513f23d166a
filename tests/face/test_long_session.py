"""Of a long session the end is shown at first; the rest comes on request, or for a hit of a search."""

from __future__ import annotations

from omni_tui.face.event_pump import TAIL
from omni_tui.protocol.commands import Hello, Replay
from omni_tui.protocol.events import EarlierLeftOut, ReplayDone
from omni_tui.protocol.session_search import TextPlace
from tests.face.conftest import Face, until
from tests.face.scenario import ready

LEFT_OUT = EarlierLeftOut(begins=980_001, tokens=1_200, cost=0.5, estimated=False, unpriced=False)


def notices(face: Face) -> list[str]:
    items = face.app.main.chat.transcript.fold.items
    return [item.what for item in items if hasattr(item, "what")]


async def test_it_says_what_is_left_out_and_brings_it_on_request() -> None:
    face = Face(ready())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        assert [command.tail for command in face.link.sent(Hello)] == [TAIL]
        for _ in range(2):
            face.link.emit(LEFT_OUT)
        await until(pilot, lambda: face.app.overview.tokens == 1_200)
        assert notices(face).count("980,000 earlier events of this session are not shown") == 1
        face.app.run_named("earlier")
        await until(pilot, lambda: bool(face.link.sent(Replay)))
        (asked,) = face.link.sent(Replay)
        assert (asked.after, asked.tail) == (0, 0)
        await until(pilot, lambda: not notices(face))
        face.app.run_named("earlier")
        await pilot.pause()
        assert len(face.link.sent(Replay)) == 1, "the whole of it is there now"


async def test_a_place_in_the_beginning_brings_the_whole_session() -> None:
    face = Face(ready())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        face.link.emit(LEFT_OUT)
        await until(pilot, lambda: face.app.overview.tokens == 1_200)
        face.app.main.chat.jump(TextPlace(turn="t-of-long-ago"))
        face.link.emit(ReplayDone(head=1))
        await until(pilot, lambda: bool(face.link.sent(Replay)))
        assert face.link.sent(Replay)[0].tail == 0
        for _ in range(3):
            await pilot.pause()
        assert len(face.link.sent(Replay)) == 1, "it is not asked for again where it is not there either"
