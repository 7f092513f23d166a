"""Logs: JSON lines in a rotated file that only the person can read, redacted, never on the screen."""

from __future__ import annotations

import logging
import logging.handlers
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from omni_tui.security.files import open_log

FILE = "engine.log"
_MAX_BYTES = 5 * 1024 * 1024


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A rotating file with mode 0600 from its first byte."""

    def _open(self):  # type: ignore[no-untyped-def]
        descriptor = open_log(Path(self.baseFilename))
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


def set_up_logs(folder: Path, *, debug: bool, redact: Callable[[str], str]) -> Path:
    """Send every logger of the process to a file and return its path.

    Handlers that libraries put on their loggers are dropped: nothing may write to the terminal.
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
        structlog.processors.format_exc_info,
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
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for noisy in ("httpx", "httpx2", "httpcore", "mcp", "LiteLLM", "asyncio", "openai"):
        logging.getLogger(noisy).setLevel(logging.DEBUG if debug else logging.WARNING)
    logging.captureWarnings(True)
    return path
