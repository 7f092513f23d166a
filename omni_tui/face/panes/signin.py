"""Signing in, as the servers pane shows it: what can be done about it, and its lines in the details."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import App
from textual.content import Content

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.messages import CopyText
from omni_tui.face.shell import shell_of
from omni_tui.protocol.signin import CancelSignIn, OpenSignInPage, SignIn, SignInChanged, SignOut

if TYPE_CHECKING:
    from textual.message import Message

    from omni_tui.face.port import Port
    from omni_tui.protocol.events import ServerChanged

actions.add(
    Action("server_sign_in", "s", "servers", "Sign in to this server, or see how far it is", "sign in"),
    Action("server_copy_sign_in", "u", "servers", "Copy the address of the sign-in page", "copy address"),
    Action("server_open_sign_in", "o", "servers", "Open the sign-in page in a browser", "open"),
    Action("server_cancel_sign_in", "g", "servers", "Give the sign-in up", "give up"),
    Action("server_sign_out", "S", "servers", "Sign out: forget this server's tokens", palette=True),
)

_UNDER_WAY = ("starting", "waiting")


class SignInActions:
    """The part of the servers pane that is about signing in. `sign_ins` is fed by the pane."""

    sign_ins: dict[str, SignInChanged]
    app: App[object]

    if TYPE_CHECKING:

        @property
        def chosen(self) -> ServerChanged | None:
            """The server under the cursor."""

        @property
        def port(self) -> Port:
            """The way to the engine."""

        def post_message(self, message: Message) -> bool:
            """Send a message up."""

    @property
    def sign_in(self) -> SignInChanged | None:
        """What is known of the chosen server's sign-in."""
        return None if self.chosen is None else self.sign_ins.get(self.chosen.name)

    def sign_in_offers(self) -> dict[str, bool]:
        """Return which of these actions make sense for the chosen server."""
        known, server = self.sign_in, self.chosen
        phase = "none" if known is None else known.phase
        asks = server is not None and server.state == "needs_sign_in"
        return {
            "server_sign_in": asks or phase in ("needed", *_UNDER_WAY),
            "server_copy_sign_in": phase == "waiting",
            "server_open_sign_in": known is not None and known.browser,
            "server_cancel_sign_in": phase in _UNDER_WAY,
            "server_sign_out": known is not None and phase != "none",
        }

    def sign_in_changed(self, event: SignInChanged) -> None:
        """Take news of a sign-in, and bring them to the screen that shows it."""
        from omni_tui.face.screens.signin import SignInScreen

        self.sign_ins[event.server] = event
        for screen in self.app.screen_stack if self.app.is_running else ():
            if isinstance(screen, SignInScreen) and screen.server == event.server:
                screen.change(event)

    def action_server_sign_in(self) -> None:
        """Begin to sign in, unless that is under way, and show it."""
        from omni_tui.face.screens.signin import SignInScreen

        server, known = self.chosen, self.sign_in
        if server is None:
            return
        if known is None or known.phase not in _UNDER_WAY:
            self.port.send(SignIn(server=server.name))
        self.app.push_screen(SignInScreen(server.name, server.label, known))

    def action_server_copy_sign_in(self) -> None:
        """Copy the address."""
        if self.sign_in is not None and self.sign_in.url:
            self.post_message(CopyText(self.sign_in.url, "the address of the sign-in page"))

    def action_server_open_sign_in(self) -> None:
        """Have it opened where the engine runs."""
        if self.chosen is not None:
            self.port.send(OpenSignInPage(server=self.chosen.name))

    def action_server_cancel_sign_in(self) -> None:
        """Give it up."""
        if self.chosen is not None:
            self.port.send(CancelSignIn(server=self.chosen.name))

    def action_server_sign_out(self) -> None:
        """Ask whether to sign out."""
        server = self.chosen
        if server is None:
            return
        name = server.name

        def answered(yes: bool | None) -> None:
            if yes:
                self.port.send(SignOut(server=name))

        detail = "Its tokens are forgotten here and, where it can be told, there; it is disconnected."
        shell_of(self.app).confirm(f"Sign out of {name}?", detail, "sign out", answered)


def sign_in_lines(known: SignInChanged | None) -> list[Content]:
    """Return what the details of a server say about its sign-in."""
    if known is None or known.phase == "none":
        return []
    if known.phase == "signed_in":
        rights = f" · {known.scopes}" if known.scopes else ""
        return [Content.styled(f"signed in{rights}", "$text-3")]
    lines = []
    if known.phase == "starting":
        lines.append(Content.styled("looking for the sign-in page …", "$text-2"))
    elif known.phase == "waiting":
        lines.append(Content.assemble(("sign in at ", "$text-2"), (known.host, "bold $waiting")))
        lines.append(Content.styled("s shows the address, u copies it, g gives up", "$text-3"))
    elif known.more:
        lines.append(Content.styled(f"asks for more rights: {known.scopes}", "$waiting"))
        lines.append(Content.styled("s to grant them", "$text-2"))
    if known.reason:
        lines.append(Content.styled(known.reason, "$waiting"))
    return lines
