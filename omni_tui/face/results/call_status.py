"""How a call is doing, in one line; and the question before a call that destroys."""

from __future__ import annotations

from functools import partial

from textual import events
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from omni_tui.face import actions
from omni_tui.face.approval.arming import BURST_S, Arming, Painted, Press
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.keys import show_key
from omni_tui.face.results.history import PastCall
from omni_tui.face.shell import shell_of
from omni_tui.protocol import JsonText
from omni_tui.protocol.events import CallProgress, ConfirmNeeded

_SAID = {
    "result_rejected": "the result breaks the tool's own schema",
    "withheld": "nobody was there to be asked",
    "denied": "denied by policy",
    "uncertain": "outcome unknown: it may have run",
}
_BAR = 12


class StateLine(Widget):
    """`✓ 14 ms`, `▶ 3.2 s ▰▰▰▱▱▱ 50 %`, or what went wrong and why."""

    DEFAULT_CSS = """
    StateLine { height: auto; min-height: 1; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._call: PastCall | None = None
        self._progress: CallProgress | None = None
        self._as_task = ""
        self._since = 0.0
        self._words = Content("")
        self._waits = False

    @property
    def _now(self) -> float:
        clock = shell_of(self).clock
        return clock.monotonic()

    def on_mount(self) -> None:
        """Count the seconds while something runs."""
        self._ticker = self.set_interval(0.25, self.refresh, pause=True)

    def say(self, words: Content) -> None:
        """Say something that is about no call: a refusal, a hint."""
        self._call, self._words = None, words
        self._ticker.pause()
        self.refresh(layout=True)

    def begin(self) -> None:
        """A call was sent off now."""
        self._progress, self._as_task, self._since = None, "", self._now

    def show(self, call: PastCall | None) -> None:
        """Show how a call is doing."""
        self._call, self._words = call, Content("")
        if call is None or call.ended or call.state in ("pending", "held"):
            self._ticker.pause()
        else:
            self._ticker.resume()
        self.refresh(layout=True)

    def waits(self, waits: bool) -> None:
        """Say whether the server waits for the person, and if so which key leads there."""
        if waits is not self._waits:
            self._waits = waits
            self.refresh(layout=True)

    def progress(self, progress: CallProgress) -> None:
        """Take progress into account."""
        self._progress = progress
        self.refresh(layout=True)

    def as_task(self, words: str) -> None:
        """The call runs as a task: how that is doing."""
        self._progress, self._as_task = None, words
        self.refresh(layout=True)

    def render(self) -> Content:
        """Draw the line."""
        call = self._call
        if call is None:
            return self._words
        if not call.ended:
            if call.state in ("pending", "held"):
                why = " because it changed" if call.state == "held" else ""
                return Content.styled(f"◌ waiting for you in the approvals{why}", "$waiting")
            return self._in_progress()
        took = f"{duration(call.finished.elapsed_ms)}" if call.finished is not None else ""
        if call.finished is not None and call.finished.cached_s is not None:
            age = duration(call.finished.cached_s * 1000)
            return Content.styled(f"✓ from the cache · {age} old", "$done")
        if call.state == "succeeded":
            return Content.styled(f"✓ {took}", "$done")
        words = [_SAID.get(call.state, call.state), took, call.reason]
        line = " · ".join(word for word in words if word)
        if call.state in ("uncertain", "cancelled"):
            return Content.styled(f"◌ {line}" if call.state == "cancelled" else f"? {line}", "$waiting")
        return Content.styled(f"✗ {line}", "$fail")

    def _in_progress(self) -> Content:
        line = Content.assemble(("▶ ", "$running"), (f"{self._now - self._since:.1f} s", "$text-2"))
        progress = self._progress
        if progress is not None and progress.total:
            share = min(max(progress.progress / progress.total, 0.0), 1.0)
            full = round(share * _BAR)
            line += Content.assemble(
                ("  " + "▰" * full, "$running"),
                ("▱" * (_BAR - full), "$text-3"),
                (f" {share:.0%}", "$text-2"),
            )
        elif progress is not None:
            line += Content.styled(f"  {progress.progress:g}", "$text-2")
        if progress is not None and progress.message:
            line += Content.styled(f"  {progress.message}", "$text-2")
        if self._as_task:
            line += Content.styled(f"  {self._as_task}", "$text-2")
        if self._waits:
            keymap = shell_of(self).keymap
            key = show_key(keymap.get("show_approvals") or actions.get("show_approvals").keys)
            line += Content.assemble(
                ("  ◌ the server asks something of you: ", "$waiting"),
                (key, "bold $waiting"),
                (" leads to it", "$waiting"),
            )
        return line + Content.styled("   esc cancels", "$text-3")


_DOES = {"destructive": "destroys", "write": "writes", "read": "only reads, by what its server says"}


class ConfirmBar(Widget, can_focus=True):
    """Asks once more before a call goes out that destroys. Y (shift) sends; Enter never does.

    It is armed as approvals are: 400 ms after it was painted with no key in between, and a burst of
    keys or a held key decides nothing.
    """

    DEFAULT_CSS = """
    ConfirmBar { height: auto; padding: 0 1; margin: 0 0 1 0; background: $bar; border-left: outer $fail; }
    """

    class Confirmed(Message):
        """The person wants it sent."""

        def __init__(self, bar: ConfirmBar) -> None:
            super().__init__()
            self.bar = bar

    def __init__(
        self, question: ConfirmNeeded, arguments: JsonText, clock: Clock, stillness: Stillness
    ) -> None:
        super().__init__()
        self.question = question
        self.arguments = arguments
        self._arming = Arming(clock, stillness)

    def on_mount(self) -> None:
        """Take the keys: this answers what the person just asked for."""
        self.focus()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw rows, and note whether all of them are now on the screen."""
        strips = super().render_lines(crop)
        place = self.region
        where = place.x, place.y, place.width, place.height
        whole = crop.height >= self.outer_size.height
        self._arming.paint(Painted("", self.arguments, whole, where))
        return strips

    def render(self) -> Content:
        """Say what will happen and which key sends it."""
        does = _DOES.get(self.question.risk, "may change things")
        lines = [Content.assemble(("This tool ", "$text-1"), (does, "bold $fail"), (".", "$text-1"))]
        lines += [Content.styled(why, "$text-2") for why in self.question.why]
        keys = [
            ("Y", "bold $fail"),
            (" (shift) sends it   ", "$text-1"),
            ("esc", "bold $text-1"),
            (" does not", "$text-1"),
        ]
        return Content("\n").join([*lines, Content.assemble(*keys)])

    def on_key(self, event: events.Key) -> None:
        """Take a decision only from one deliberate press."""
        press = self._arming.press(event.key, event.time)
        if event.key in ("escape", "tab", "shift+tab"):
            return
        event.stop()
        if event.key == "Y" and press.armed and not press.doubt:
            self.set_timer(BURST_S, partial(self._decide, press))

    def _decide(self, press: Press) -> None:
        if self.is_attached and self.has_focus and self._arming.stands(press):
            self.post_message(self.Confirmed(self))

    def on_paste(self, event: events.Paste) -> None:
        """A paste decides nothing."""
        event.stop()
        self._arming.disturb()


class RunButton(Widget):
    """Runs the tool by a click. It takes no keys: Enter must never send anything."""

    DEFAULT_CSS = """
    RunButton { width: auto; height: 1; padding: 0 1; }
    RunButton { background: $mine; color: $on-colour; text-style: bold; }
    """

    def render(self) -> Content:
        """Say what a click does, and the key that does the same."""
        return Content("Run  F9")

    async def on_click(self) -> None:
        """Run."""
        await self.run_action("screen.run")


def duration(milliseconds: float) -> str:
    """Return a time in words: `14 ms`, `3.2 s`, `2 min 5 s`."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
