"""What the host did for a model, as lines of the transcript: its own tools, summaries, the prompt."""

from __future__ import annotations

from omni_tui.protocol import AnyEvent
from omni_tui.protocol.context import ContextSummarised, MetaCalled, SystemChanged

_META = {"find_tools": "looked for tools", "read_result": "read a result again"}


def host_words(event: AnyEvent) -> tuple[str, str, tuple[str, ...]]:
    """Return what happened, the rest of its line, and further lines."""
    match event:
        case MetaCalled(tool=tool, asked=asked, answer=answer):
            return f"{_META[tool]}: {asked}", f"{answer} · {tool}, by Omni TUI, no server was asked", ()
        case ContextSummarised(upto=upto, by_model=by_model, reason=reason, text=text):
            who = "by the model" if by_model else f"by rules: {reason}"
            return f"the first {upto:,} messages are summarised", who, tuple(text.splitlines()[:12])
        case SystemChanged(text=text):
            what = (
                "the system prompt was changed" if text else "the system prompt has no words of yours now"
            )
            return what, "from the next message on", tuple(text.splitlines()[:6])
        case _:
            raise TypeError(f"no words for {type(event).__name__}")
