"""The real app and one widget that shows text from outside as it came: `unsafe_app.py [bare] ARGUMENTS`.

With `bare` the filter at the end of the way is taken out, to see that the test would notice.
"""

from __future__ import annotations

import sys

from textual.content import Content
from textual.widgets import Static

from omni_tui.face import app as face
from omni_tui.face.output_filter import SafeOutputFilter
from tests.security.hostile import EVIL

BARE = sys.argv[1:2] == ["bare"]


class Unsafe(face.OmniApp):
    """Forgets the first ring. What it draws, the second has to catch."""

    def on_mount(self) -> None:  # Textual calls the one of `OmniApp` as well
        if BARE:
            self._filters[:] = [one for one in self._filters if not isinstance(one, SafeOutputFilter)]
        # A surrogate alone cannot be written at all: the engine's links do not carry one.
        text = EVIL.replace("\ud83d", "")
        self.main.mount(Static(Content(f"unsafe-begins {text} unsafe-ends"), id="unsafe"))
        self.title = text


face.OmniApp = Unsafe  # type: ignore[misc]

if __name__ == "__main__":
    from omni_tui.cli.command_table import run_command
    from omni_tui.cli.parser import parse

    sys.exit(run_command(parse(sys.argv[2 if BARE else 1 :])))
