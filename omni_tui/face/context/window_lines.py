"""What is in the window, as lines."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

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


def window_lines(told: ContextChanged | None, width: int) -> Iterator[Content]:
    """Yield what a request carries: how full the window is, its parts, what was done to make room."""
    if told is None:
        yield Content.styled("Nothing has been sent to a model in this session yet.", "$text-2")
        return
    yield _head(told)
    if told.assumed:
        yield Content.styled("Nobody says how much this model takes, so this limit is assumed.", "$text-3")
        yield Content.styled('Set "context" in its [models] table of the config to change it.', "$text-3")
    yield Content("")
    yield from _parts(told, _BAR if width >= _NARROW else 10)
    yield Content("")
    yield from _room(told)
    yield Content.styled(
        f"Counted for this request: {told.misses:,}; known from before: {told.hits:,}. "
        "Tokens are estimated at four bytes each.",
        "$text-3",
    )


def _head(told: ContextChanged) -> Content:
    parts: list[tuple[str, str]] = [(told.model, "bold $text-1"), (f"  {told.total:,} tokens", "$text-1")]
    if told.limit is not None:
        share = told.total / max(1, told.limit)
        style = "$fail" if share >= 0.95 else "$waiting" if share >= 0.8 else "$text-2"
        parts.append((f" of {told.limit:,}", "$text-2"))
        parts.append((f"  {share:.0%}", style))
    if told.window is None:
        parts.append(("  the window is not known", "$text-3"))
    else:
        parts.append((f"  window {told.window:,}", "$text-3"))
    return Content.assemble(*parts)


def _parts(told: ContextChanged, bar: int) -> Iterator[Content]:
    whole = max(1, told.limit or told.total)
    for part in told.parts:
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
            row.append((_offered(told), "$text-3"))
        yield Content.assemble(*row)


def _offered(told: ContextChanged) -> str:
    return f"   {told.offered:,} of {told.tools:,}" if told.offered < told.tools else f"   {told.offered:,}"


def _room(told: ContextChanged) -> Iterator[Content]:
    if told.shrunk_count:
        what = "result is an excerpt" if told.shrunk_count == 1 else "results are excerpts"
        yield Content.assemble(
            (f"{told.shrunk_count:,} {what}", "$waiting"),
            ("; the journal has the whole, and the model can read it again", "$text-2"),
        )
        for each in told.shrunk:
            row = f"  {each.tool}   {each.size:,} characters"
            yield Content.assemble((row, "$text-2"), (f"   {each.call}", "$text-3"))
        if told.shrunk_count > len(told.shrunk):
            yield Content.styled(f"  … and {told.shrunk_count - len(told.shrunk):,} older ones", "$text-3")
        yield Content("")
    if told.dropped:
        plural = "message is" if told.dropped == 1 else "messages are"
        yield Content.assemble((f"{told.dropped:,} older {plural} left out.", "$waiting"))
        if told.summary:
            who = "the model" if told.by_model else "Omni TUI, by rules"
            yield Content.styled(f"A summary by {who} stands for the first {told.summarised:,}:", "$text-2")
            for line in told.summary.splitlines():
                yield Content.styled(f"  {line}", "$text-1")
        yield Content("")
    if not told.shrunk_count and not told.dropped:
        yield Content.styled("Everything said in this session is in it, nothing is shortened.", "$text-2")
        yield Content("")
