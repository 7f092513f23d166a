"""The command that searches the app's own log."""

from __future__ import annotations

from datetime import datetime

from omni_tui.engine.handlers.base import Handlers
from omni_tui.observability.log_search import LoggedLine, search_log
from omni_tui.observability.logs import FILE
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.app_log import AppLogLine, AppLogRead, ReadAppLog
from omni_tui.security.text import safe, safe_line

_PAGE = 100
"""Lines of a page; it must fit a frame."""
_LONGEST = 1_500
"""Characters of a line that are shown."""
_MAX_WORDS = 500


class AppLogHandlers(Handlers):
    """Searches the log, which holds no contents unless the config asks for them."""

    async def _read(self, command: ReadAppLog) -> AnyEvent:
        if len(command.words) > _MAX_WORDS:
            raise UserError(f"the words are longer than {_MAX_WORDS} characters")
        file = self._context.loaded.paths.log_dir / FILE
        found, more = await self._in_pool(search_log, file, command.words, max(0, command.skip), _PAGE)
        return AppLogRead(lines=tuple(map(_shown, found)), more=more, file=safe_line(str(file), limit=400))


def _shown(line: LoggedLine) -> AppLogLine:
    facts = "  ".join(f"{name}={value}" for name, value in line.facts)
    return AppLogLine(
        at=_unix(line.at),
        level=safe_line(line.level, limit=20),
        event=safe_line(line.event, limit=300),
        facts=safe_line(facts, limit=600),
        text=safe(line.text, limit=_LONGEST),
    )


def _unix(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
