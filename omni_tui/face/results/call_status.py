"""The state of a call in one line."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from omni_tui.face.formats import format_duration
from omni_tui.face.results.call_history import PastCall
from omni_tui.face.shell import shell_of
from omni_tui.protocol.deciders import outcome_words
from omni_tui.protocol.events import CallProgress
from omni_tui.security.text import safe_line

_WORDS = {
    "result_rejected": "the result does not match the tool's schema",
}
_BAR = 12


class StateLine(Widget):
    """Shows `✓ 14 ms`, `▶ 3.2 s ▰▰▰▱▱▱ 50 %`, or an error."""

    DEFAULT_CSS = """
    StateLine { height: auto; min-height: 1; padding: 0 1; }
    """

    progress: reactive[CallProgress | None] = reactive(None, layout=True)
    task_status: reactive[str] = reactive("", layout=True)
    """The state of the task that the call runs as, "" if it is none."""
    waits: reactive[bool] = reactive(False, layout=True)
    """Whether the server waits for an answer of the user."""

    def __init__(self) -> None:
        super().__init__()
        self._call: PastCall | None = None
        self._since = 0.0
        self._message = Content("")

    @property
    def _now(self) -> float:
        return shell_of(self).clock.monotonic()

    def on_mount(self) -> None:
        """Count seconds while a call runs."""
        self._ticker = self.set_interval(0.25, self.refresh, pause=True)

    def say(self, words: Content) -> None:
        """Show a message that is about no call."""
        self._call, self._message = None, words
        self._ticker.pause()
        self.refresh(layout=True)

    def begin(self) -> None:
        """Start counting: a call was sent."""
        self.progress, self.task_status, self._since = None, "", self._now

    def show(self, call: PastCall | None) -> None:
        """Show the state of a call."""
        self._call, self._message = call, Content("")
        if call is None or call.ended or call.state in ("pending", "held"):
            self._ticker.pause()
        else:
            self._ticker.resume()
        self.refresh(layout=True)

    def render(self) -> Content:
        """Draw the line."""
        call = self._call
        if call is None:
            return self._message
        if call.state in ("pending", "held"):
            why = " because it changed" if call.state == "held" else ""
            return Content.styled(f"◌ waiting for you in the approvals{why}", "$waiting")
        if not call.ended:
            return self._in_progress()
        took = format_duration(call.finished.elapsed_ms / 1000) if call.finished is not None else ""
        if call.finished is not None and call.finished.cached_s is not None:
            age = format_duration(call.finished.cached_s)
            return Content.styled(f"✓ from the cache · {age} old", "$done")
        if call.state == "succeeded":
            return Content.styled(f"✓ {took}", "$done")
        ended = safe_line(outcome_words(call.state, call.decider), limit=60)
        words = [_WORDS.get(call.state, ended), took, call.reason]
        line = " · ".join(word for word in words if word)
        if call.state in ("uncertain", "cancelled"):
            return Content.styled(f"◌ {line}" if call.state == "cancelled" else f"? {line}", "$waiting")
        return Content.styled(f"✗ {line}", "$fail")

    def _in_progress(self) -> Content:
        line = Content.assemble(("▶ ", "$running"), (f"{self._now - self._since:.1f} s", "$text-2"))
        progress = self.progress
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
        if self.task_status:
            line += Content.styled(f"  {self.task_status}", "$text-2")
        if self.waits:
            key = shell_of(self).key("show_approvals")
            line += Content.assemble(
                ("  ◌ the server waits for your answer: ", "$waiting"), (key, "bold $waiting"),
                (" shows its request", "$waiting"),
            )  # fmt: skip
        return line + Content.styled("   esc cancels", "$text-3")
