"""The log: JSON lines in a rotated private file, redacted, never on the screen.

It never holds what people, models and servers write, not even with `--debug`. Libraries do not follow
that rule: of their records only warnings and errors are logged, without their text. The text of an
exception is logged if its class is Python's or ours; libraries quote answers in theirs.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import structlog

from omni_tui.security.files import open_own

FILE = "engine.log"
_MAX_BYTES = 5 * 1024 * 1024


_OURS = "omni_tui"
_WARNING = re.compile(r"\A(.{1,400}?:\d+: \w+)(?::|\Z)", re.DOTALL)
"""The place and the class of a Python warning, without its text."""


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A rotating file with mode 0600, without the texts of libraries' records."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, without its text if it is a library's."""
        if _is_ours(record.name):
            super().emit(record)
        elif record.levelno >= logging.WARNING:
            super().emit(without_contents(record))

    def _open(self):  # type: ignore[no-untyped-def]
        descriptor = open_own(Path(self.baseFilename))
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


def set_up_logs(folder: Path, *, debug: bool, redact: Callable[[str], str]) -> Path:
    """Send all loggers of the process to a file and return its path.

    Other handlers of the root logger are removed: nothing may write to the terminal.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / FILE
    handler = _PrivateFile(path, maxBytes=_MAX_BYTES, backupCount=3)

    def redacted(
        _logger: object, _name: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_traceback_of),
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redacted,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries check the inherited level before they format a text.
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(True)
    return path


def _is_ours(name: str) -> bool:
    return name == _OURS or name.startswith(f"{_OURS}.")


def without_contents(record: logging.LogRecord) -> logging.LogRecord:
    """Return a library's record with its place in the code instead of its text."""
    text = f"{record.module}.{record.funcName}, line {record.lineno}"
    if record.name == "py.warnings":
        found = _WARNING.match(record.getMessage())
        text = found[1] if found else text
    kept = logging.makeLogRecord(record.__dict__)
    kept.msg, kept.args, kept.stack_info, kept.exc_text = f"(text left out) {text}", None, None, None
    return kept


def _traceback_of(exc_info: structlog.typing.ExcInfo) -> str:
    """Return a traceback with the texts only of exceptions that are Python's or ours."""
    error: BaseException | None = exc_info[1]
    parts: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{_named(error)}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nraised while the above was handled, or because of it:\n\n".join(reversed(parts))


def _named(error: BaseException) -> str:
    kind = type(error)
    if isinstance(error, BaseExceptionGroup):
        inner = "".join(f"\n  {_named(each)}" for each in error.exceptions)
        return f"{kind.__name__}:{inner}"
    if kind.__module__.partition(".")[0] in sys.stdlib_module_names or _is_ours(kind.__module__):
        return f"{kind.__name__}: {error}"
    return f"{kind.__module__}.{kind.__name__} (text left out)"
