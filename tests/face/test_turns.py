"""Keys that come all at once act one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from omni_tui.face.input_order import OrderedInputApp


class Second(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Input(id="second")


class Typing(OrderedInputApp):
    """A field, a list-like place without one, a priority binding and two that climb."""

    BINDINGS = [
        Binding("f9", "send", "send", priority=True),
        Binding("slash", "find", "find"),
        Binding("f2", "open", "open"),
        Binding("f3", "drop", "drop"),
    ]
    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.has_sent = asyncio.Event()

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Input(id="first")
            with Vertical(id="place"):
                pass

    def on_mount(self) -> None:
        self.query_one("#place").can_focus = True
        self.screen.set_focus(self.query_one("#place"))

    def action_send(self) -> None:
        self.sent.append(self.query_one("#first", Input).value)
        self.has_sent.set()

    def action_find(self) -> None:
        self.screen.set_focus(self.query_one("#first"))

    async def action_open(self) -> None:
        await self.push_screen(Second())
        self.screen.set_focus(self.screen.query_one("#second"))

    async def action_drop(self) -> None:
        await self.query_one("#first").remove()


def at_once(app: Typing, *acts: str | events.Event) -> None:
    """Hand everything to the app before it has seen the first."""
    assert app._driver is not None
    for act in acts:
        event = act if isinstance(act, events.Event) else key(act)
        app._driver.send_message(event)


def key(name: str) -> events.Key:
    return events.Key({"/": "slash"}.get(name, name), name if len(name) == 1 else None)


async def quiet(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    for _ in range(200):
        await pilot.pause()
        if holds():
            return
    raise AssertionError("it never happened")


async def test_a_priority_binding_acts_after_the_letters_before_it() -> None:
    app = Typing()
    async with app.run_test() as pilot:
        at_once(app, "/", *"path", "f9", *"/more", "f9")
        await quiet(pilot, lambda: len(app.sent) == 2)
        assert app.sent == ["path", "path/more"]


async def test_a_paste_acts_in_its_turn() -> None:
    app = Typing()
    async with app.run_test() as pilot:
        at_once(app, "/", events.Paste("pasted"), "f9", "x", "f9")
        await quiet(pilot, lambda: len(app.sent) == 2)
        assert app.sent == ["pasted", "pastedx"]


async def test_letters_after_a_key_that_opens_a_screen_go_there() -> None:
    app = Typing()
    async with app.run_test() as pilot:
        at_once(app, "f2", *"there")
        await quiet(pilot, lambda: bool(app.screen.query("#second")) and not app.keys_wait)
        await quiet(pilot, lambda: app.screen.query_one("#second", Input).value == "there")


async def test_keys_go_on_when_the_widget_that_had_one_is_gone() -> None:
    app = Typing()
    async with app.run_test() as pilot:
        at_once(app, "/", "f3", "a", "b", "f2", *"on")
        await quiet(pilot, lambda: bool(app.screen.query("#second")))
        await quiet(pilot, lambda: app.screen.query_one("#second", Input).value == "on")


async def test_a_widget_that_never_answers_holds_the_next_key_only_for_a_moment() -> None:
    class Deaf(Input):
        async def _on_key(self, event: events.Key) -> None:
            if event.key == "x":
                await self.app.deaf.wait()  # type: ignore[attr-defined]

    class DeafApp(Typing):
        deaf = asyncio.Event()

        def compose(self) -> ComposeResult:
            yield Deaf(id="first")
            with Vertical(id="place"):
                pass

    app = DeafApp()
    async with app.run_test():
        try:
            at_once(app, "/", "x", "f9")
            async with asyncio.timeout(60):
                await app.has_sent.wait()
        finally:
            app.deaf.set()


async def test_many_letters_arrive_in_order() -> None:
    app = Typing()
    async with app.run_test() as pilot:
        text = "abcdefghij" * 100
        at_once(app, "/", *text, "f9")
        await quiet(pilot, lambda: bool(app.sent))
        assert app.sent == [text]
