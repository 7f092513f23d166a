"""A second check on unsafe text, on the way to the terminal.

Every strip that a widget paints passes through the app's line filters; this one replaces control,
bidi and invisible characters. The first check is `security.text.safe` in the engine.
"""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from omni_tui.security.text import SAFE_FILTER


class SafeOutputFilter(LineFilter):
    """Replaces every character that a terminal would obey or a person could not see."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments with safe text; the same list if nothing had to change."""
        for segment in segments:
            text = segment.text
            if not (text.isascii() and text.isprintable()) and SAFE_FILTER(text) != text:
                return [self._safe(segment) for segment in segments]
        return segments

    @staticmethod
    def _safe(segment: Segment) -> Segment:
        text, style, control = segment
        return Segment(SAFE_FILTER(text), style, control)
