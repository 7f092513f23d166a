"""The model's context window: tokens by part, what was shortened, left out and summarised."""

from __future__ import annotations

from collections.abc import Iterator

from textual.binding import Binding
from textual.content import Content

from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.shell import shell_of
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.context import ContextChanged, PartOfContext

_WORDS: dict[PartOfContext, str] = {
    "system": "system prompt",
    "tools": "tools",
    "summary": "summary",
    "history": "conversation",
    "results": "tool results",
    "attachments": "attachments",
}
_BAR = 24
_NARROW = 60


class ContextScreen(LinesScreen):
    """Shows what the last request carried, and follows the requests of the session."""

    BINDINGS = [Binding("s", "system", "system prompt")]

    def __init__(self) -> None:
        super().__init__("CONTEXT")

    def apply(self, event: AnyEvent) -> None:
        """Show a new request."""
        if isinstance(event, ContextChanged) and event.agent == "root":
            self.draw()

    def draw(self) -> None:
        """Show the last request."""
        self.view.show(window_lines(shell_of(self).overview.window, self.size.width))
        self.foot(key_line(("esc", "back"), ("s", "the system prompt")))

    def action_system(self) -> None:
        """Open the system prompt."""
        from omni_tui.face.screens.system_prompt import SystemPromptScreen

        self.app.push_screen(SystemPromptScreen())


def window_lines(window: ContextChanged | None, width: int) -> Iterator[Content]:
    """Yield what a request carries: how full the window is, its parts, what was shortened or left out."""
    if window is None:
        yield Content.styled("Nothing was sent to a model in this session yet.", "$text-2")
        return
    yield _head(window)
    if window.assumed:
        yield Content.styled(
            "The context window of this model is unknown; this limit is assumed.", "$text-3"
        )
        yield Content.styled('Set "context" for it under [models] in the config to change it.', "$text-3")
    yield Content("")
    yield from _parts(window, _BAR if width >= _NARROW else 10)
    yield Content("")
    yield from _room(window)
    yield Content.styled(
        f"Counted for this request: {window.misses:,}; known from before: {window.hits:,}. "
        "Tokens are estimated at four bytes each.",
        "$text-3",
    )


def _head(window: ContextChanged) -> Content:
    parts: list[tuple[str, str]] = [
        (window.model, "bold $text-1"),
        (f"  {window.total:,} tokens", "$text-1"),
    ]
    if window.limit is not None:
        share = window.total / max(1, window.limit)
        style = "$fail" if share >= 0.95 else "$waiting" if share >= 0.8 else "$text-2"
        parts.append((f" of {window.limit:,}", "$text-2"))
        parts.append((f"  {share:.0%}", style))
    if window.window is None:
        parts.append(("  the window is not known", "$text-3"))
    else:
        parts.append((f"  window {window.window:,}", "$text-3"))
    return Content.assemble(*parts)


def _parts(window: ContextChanged, bar: int) -> Iterator[Content]:
    whole = max(1, window.limit or window.total)
    for part in window.parts:
        if not part.tokens and part.kind in ("summary", "attachments", "results"):
            continue
        filled = min(bar, max(1 if part.tokens else 0, round(part.tokens / whole * bar)))
        row: list[tuple[str, str]] = [
            (f"{_WORDS.get(part.kind, part.kind):<14}", "$text-2"),
            ("▰" * filled, "$mine"),
            ("▱" * (bar - filled), "$text-3"),
            (f"{part.tokens:>10,}", "$text-1"),
            (f"{part.tokens / whole:>6.0%}", "$text-2"),
        ]
        if part.kind == "tools":
            of = f" of {window.tools:,}" if window.offered < window.tools else ""
            row.append((f"   {window.offered:,}{of}", "$text-3"))
        yield Content.assemble(*row)


def _room(window: ContextChanged) -> Iterator[Content]:
    if window.shrunk_count:
        what = "result is an excerpt" if window.shrunk_count == 1 else "results are excerpts"
        yield Content.assemble(
            (f"{window.shrunk_count:,} {what}", "$waiting"),
            ("; the journal has the full text, and the model can read it again", "$text-2"),
        )
        for each in window.shrunk:
            row = f"  {each.tool}   {each.size:,} characters"
            yield Content.assemble((row, "$text-2"), (f"   {each.call}", "$text-3"))
        if window.shrunk_count > len(window.shrunk):
            yield Content.styled(
                f"  … and {window.shrunk_count - len(window.shrunk):,} older ones", "$text-3"
            )
        yield Content("")
    if window.dropped:
        plural = "message is" if window.dropped == 1 else "messages are"
        yield Content.assemble((f"{window.dropped:,} older {plural} left out.", "$waiting"))
        if window.summary:
            who = "the model" if window.by_model else "Omni TUI, by rules"
            yield Content.styled(
                f"A summary by {who} stands for the first {window.summarised:,}:", "$text-2"
            )
            for line in window.summary.splitlines():
                yield Content.styled(f"  {line}", "$text-1")
        yield Content("")
    if not window.shrunk_count and not window.dropped:
        yield Content.styled("The whole session is in the window; nothing is shortened.", "$text-2")
        yield Content("")
