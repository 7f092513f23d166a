"""Signing in from the servers pane: what is offered when, what is shown, what is sent."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from omni_tui.face.messages import CopyText
from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.face.screens.signin import SignInScreen
from omni_tui.protocol import SafeText
from omni_tui.protocol.signin import (
    CancelSignIn,
    FinishSignIn,
    OpenSignInPage,
    SignIn,
    SignInChanged,
    SignOut,
)
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_shell import screen_text

URL = "https://login.example/authorize?" + "&".join(
    f"parameter{number}=value[b]{number}" for number in range(20)
)


def shown(face: Face) -> bool:
    """Whether the screen of a sign-in is what one sees."""
    return isinstance(face.app.screen, SignInScreen)


def waiting(**changes: object) -> SignInChanged:
    values: dict[str, object] = {
        "url": SafeText(URL),
        "host": SafeText("login.example"),
        "redirect": SafeText("http://127.0.0.1:4711/callback"),
        "scopes": SafeText("read write"),
        "until": scenario.NOW + 300,
    }
    return SignInChanged(server="tracker", phase="waiting", **{**values, **changes})  # type: ignore[arg-type]


async def at_tracker(face: Face, pilot: Pilot[None]) -> None:
    await face.settle(pilot)
    await pilot.press("f2", "end")  # failed servers come first
    assert face.app.main.pane("servers").chosen.name == "tracker"  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(160, 45), (120, 40), (80, 24)])
async def test_the_whole_way(size: tuple[int, int]) -> None:
    face = Face(*scenario.whole())
    copied: list[str] = []
    async with face.app.run_test(size=size, message_hook=lambda m: _note(m, copied)) as pilot:
        await at_tracker(face, pilot)
        await pilot.press("s")
        assert [command.server for command in face.link.sent(SignIn)] == ["tracker"]
        assert shown(face)
        await until(pilot, lambda: "Looking for" in screen_text(face.app))
        face.link.emit(waiting())
        await until(pilot, lambda: "login.example" in screen_text(face.app))
        address = face.app.screen.query_one("#sign-in-address", Static)
        assert str(address.render()) == URL
        assert address.region.height >= len(URL) // address.region.width  # the whole of it, wrapped
        assert "read write" in screen_text(face.app)
        await pilot.press("o")
        assert face.link.sent(OpenSignInPage) == []  # there is no browser where the engine runs
        await pilot.press("u", "p")
        await until(pilot, lambda: copied == [URL])
        line = face.app.screen.query_one(Input)
        assert line.has_focus
        line.value = " http://127.0.0.1:4711/callback?code=c&state=s "
        await pilot.press("enter")
        (finish,) = face.link.sent(FinishSignIn)
        assert finish.url == "http://127.0.0.1:4711/callback?code=c&state=s"
        assert line.value == ""
        face.link.emit(SignInChanged(server="tracker", phase="signed_in", scopes=SafeText("read write")))
        await until(pilot, lambda: not isinstance(face.app.screen, SignInScreen))


def _note(message: object, copied: list[str]) -> None:
    if isinstance(message, CopyText) and message.text not in copied:
        copied.append(message.text)


async def test_a_failed_sign_in_says_why_and_can_begin_again() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await at_tracker(face, pilot)
        await pilot.press("s")
        why = SafeText("the sign-in was refused: [b]access_denied[/]")
        face.link.emit(SignInChanged(server="tracker", phase="needed", reason=why))
        await until(pilot, lambda: "[b]access_denied[/]" in screen_text(face.app))
        await pilot.press("u", "p", "x")
        assert face.link.sent(CancelSignIn) == []
        await pilot.press("s")
        assert len(face.link.sent(SignIn)) == 2


async def test_closing_the_screen_leaves_the_sign_in_and_coming_back_does_not_begin_another() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await at_tracker(face, pilot)
        await pilot.press("s")
        face.link.emit(waiting(browser=True))
        await until(pilot, lambda: "login.example" in screen_text(face.app))
        await pilot.press("p", "escape")
        await until(pilot, lambda: shown(face))
        await pilot.press("escape")
        await until(pilot, lambda: not shown(face))
        await until(pilot, lambda: "login.example" in screen_text(face.app))
        await pilot.press("o")
        await until(pilot, lambda: len(face.link.sent(OpenSignInPage)) == 1)
        await pilot.press("s")
        await until(pilot, lambda: "Open this page" in screen_text(face.app))
        assert len(face.link.sent(SignIn)) == 1
        await pilot.press("x")
        await until(pilot, lambda: [one.server for one in face.link.sent(CancelSignIn)] == ["tracker"])
        await until(pilot, lambda: not shown(face))


async def test_more_rights_are_named_and_signing_out_is_asked_first() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await at_tracker(face, pilot)
        await pilot.press("S")
        assert not isinstance(face.app.screen, ConfirmScreen)
        face.link.emit(
            SignInChanged(server="tracker", phase="needed", more=True, scopes=SafeText("read write"))
        )
        await until(pilot, lambda: "more rights" in screen_text(face.app))
        await pilot.press("S")
        assert isinstance(face.app.screen, ConfirmScreen)
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(face.app.screen, ConfirmScreen))
        assert face.link.sent(SignOut) == []
        await pilot.press("S")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: [one.server for one in face.link.sent(SignOut)] == ["tracker"])


async def test_nothing_about_signing_in_is_offered_for_a_server_without_it() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press("f2", "home", "s", "u", "o", "g", "S")
        assert not shown(face)
        assert [face.link.sent(kind) for kind in (SignIn, SignOut, CancelSignIn, OpenSignInPage)] == [
            []
        ] * 4
