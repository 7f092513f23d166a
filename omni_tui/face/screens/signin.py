"""A sign-in: the address to open, and a field for the address the browser ended on."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from omni_tui.face.messages import CopyText
from omni_tui.face.shell import shell_of
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.signin import (
    CancelSignIn,
    FinishSignIn,
    OpenSignInPage,
    SignIn,
    SignInChanged,
)


class SignInScreen(ModalScreen[None]):
    """Shows a sign-in until it is done. Closing the screen does not cancel the sign-in."""

    AUTO_FOCUS = ""
    CSS_PATH = "../styles/screens.tcss"
    DEFAULT_CSS = """
    SignInScreen { align: center middle; }
    SignInScreen > VerticalScroll {
        width: 96;
        max-width: 96%;
        height: auto;
        max-height: 94%;
        padding: 1 2;
    }
    SignInScreen Static { height: auto; margin: 0 0 1 0; }
    SignInScreen Input { margin: 0 0 1 0; }
    SignInScreen .-hidden { display: none; }
    """
    BINDINGS = [
        Binding("u", "copy_address", "copy the address"),
        Binding("o", "open_page", "open in a browser"),
        Binding("p", "paste", "paste where the browser ended"),
        Binding("x", "cancel", "cancel"),
        Binding("s", "again", "start again"),
        Binding("escape", "close_screen", "close"),
    ]

    def __init__(self, server: str, label: SafeText, known: SignInChanged | None) -> None:
        super().__init__()
        self.server = server
        self._label = label
        # A new sign-in was requested: until the engine reports on it, it is starting.
        self._known = SignInChanged(server=server, phase="starting")
        if known is not None and known.phase in ("starting", "waiting"):
            self._known = known

    def compose(self) -> ComposeResult:
        """Yield title, instructions, the address, a field to paste into, keys."""
        with VerticalScroll(can_focus=False):
            yield Static(Content.styled(f"Sign in to {self._label}", "bold $text-1"), markup=False)
            yield Static(id="sign-in-words", markup=False)
            yield Static(id="sign-in-address", markup=False)
            yield Input(
                placeholder="the whole address the browser ended on, then enter",
                id="sign-in-paste",
                compact=True,
                classes="-hidden",
            )
            yield Static(id="sign-in-keys", markup=False)

    def on_mount(self) -> None:
        """Show the state."""
        self._redraw()

    def apply(self, event: AnyEvent) -> None:
        """Show the new state; close when the person is signed in."""
        if not isinstance(event, SignInChanged) or event.server != self.server:
            return
        self._known = event
        if event.phase == "signed_in":
            self.app.notify(f"Signed in to {self._label}.", markup=False)
            if self.is_current:
                self.dismiss(None)
            return
        if self.is_mounted:
            self._redraw()

    def _redraw(self) -> None:
        known = self._known
        waiting = known.phase == "waiting"
        if waiting:
            words = Content.assemble(
                ("Open this page in a browser. It belongs to ", "$text-2"), (known.host, "bold $waiting")
            )
            if known.scopes:
                words += Content.styled(f"\nand will ask to grant: {known.scopes}", "$text-2")
            words += Content.styled(
                f"\nIt sends the browser to {known.redirect}. If that is another machine (ssh), press p "
                "and paste the address the browser ended on.",
                "$text-3",
            )
        elif known.phase == "starting":
            words = Content.styled("Looking for the sign-in page …", "$text-2")
        else:
            words = Content.styled(known.reason or "Not signed in.", "$waiting")
        self.query_one("#sign-in-words", Static).update(words)
        address = self.query_one("#sign-in-address", Static)
        address.set_class(not waiting, "-hidden")
        address.update(Content.styled(known.url, "$text-1"))
        self.query_one("#sign-in-keys", Static).update(self._keys())
        if not waiting:
            self._hide_paste()
        self.refresh_bindings()

    def _keys(self) -> Content:
        parts: list[tuple[str, str]] = []
        for binding in self.BINDINGS:
            assert isinstance(binding, Binding)
            if self.check_action(binding.action, ()):
                key = "esc" if binding.key == "escape" else binding.key
                parts += [(key, "bold $text-1"), (f" {binding.description}   ", "$text-2")]
        return Content.assemble(*parts)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what works now."""
        phase = self._known.phase
        return {
            "copy_address": phase == "waiting",
            "open_page": phase == "waiting" and self._known.browser,
            "paste": phase == "waiting",
            "cancel": phase in ("starting", "waiting"),
            "again": phase in ("needed", "none"),
        }.get(action, True)

    def action_copy_address(self) -> None:
        """Copy the address."""
        self.post_message(CopyText(self._known.url, "the address of the sign-in page"))

    def action_open_page(self) -> None:
        """Open the page in a browser, on the engine's machine."""
        shell_of(self).port.send(OpenSignInPage(server=self.server, url=self._known.url))

    def action_paste(self) -> None:
        """Show the field to paste into."""
        line = self.query_one("#sign-in-paste", Input)
        line.remove_class("-hidden")
        line.focus()

    def action_cancel(self) -> None:
        """Cancel the sign-in."""
        shell_of(self).port.send(CancelSignIn(server=self.server))
        self.dismiss(None)

    def action_again(self) -> None:
        """Start again."""
        shell_of(self).port.send(SignIn(server=self.server))

    def action_close_screen(self) -> None:
        """Close the field if it is open, else the screen."""
        if self.query_one("#sign-in-paste", Input).has_class("-hidden"):
            self.dismiss(None)
        else:
            self._hide_paste()

    def _hide_paste(self) -> None:
        line = self.query_one("#sign-in-paste", Input)
        line.clear()
        line.add_class("-hidden")
        self.set_focus(None)

    @on(Input.Submitted)
    def _pasted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            shell_of(self).port.send(FinishSignIn(server=self.server, url=event.value.strip()))
            self._hide_paste()
