"""Sign-in to servers with OAuth. These messages never contain a token, code or secret."""

from __future__ import annotations

from typing import ClassVar, Literal

from omni_tui.protocol.base import Command, Event
from omni_tui.protocol.text import SafeText

SignInPhase = Literal[
    "none",  # nothing known: never asked, or signed out
    "needed",  # the server asks for a sign-in; SignIn begins it
    "starting",  # looking for the authorisation server
    "waiting",  # for the person: `url` is to be opened in a browser
    "signed_in",
]


class SignInChanged(Event):
    """How far the sign-in to a server is, sent at every change.

    `url` is exact, plain ASCII, and there only while `waiting`; `host` is the part of it to look at before
    it is opened. `redirect` is where the browser is sent back to. `until` is in Unix seconds.
    `scopes` are those asked for, or needed while `needed`; with `more`, to a sign-in that is
    otherwise good. `browser` says that one could be opened on the engine's machine.
    """

    public: ClassVar[bool] = False

    server: str
    phase: SignInPhase
    url: SafeText = SafeText("")
    host: SafeText = SafeText("")
    redirect: SafeText = SafeText("")
    until: float | None = None
    scopes: SafeText = SafeText("")
    more: bool = False
    reason: SafeText = SafeText("")
    browser: bool = False


class SignIn(Command):
    """Start a sign-in: `SignInChanged` brings the address to open. An earlier sign-in ends."""

    server: str


class FinishSignIn(Command):
    """Finish a sign-in with the redirect address that the browser could not reach (ssh)."""

    server: str
    url: str


class CancelSignIn(Command):
    """Cancel a sign-in."""

    server: str


class OpenSignInPage(Command):
    """Open the address in a browser on the engine's machine. `url` is the one that was shown."""

    server: str
    url: str = ""


class SignOut(Command):
    """Forget the tokens and the registration of a server, and disconnect it."""

    server: str
