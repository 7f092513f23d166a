"""The log: JSON lines in a rotated private file, redacted, never on the screen.

One thread writes it: whoever logs only puts a record into a queue. It never holds what people, models and
servers write, unless the config asks for contents (`[log] contents`), not even with `--debug`. Libraries do
not follow that rule: of their records only warnings and errors are logged, without their text. The text of
an exception is logged if its class is Python's or ours; libraries quote answers in theirs.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog

from omni_tui.observability.event_log import EventBatch, EventLog
from omni_tui.protocol import Event
from omni_tui.security.files import open_own

FILE = "engine.log"
LogLevelName = Literal["debug", "info", "warning", "error"]
_MAX_BYTES = 5 * 1024 * 1024
_MOST_QUEUED = 20_000
"""Records that wait for the disk; further ones are dropped and counted."""
_CLOSE_S = 1.0
_DEEPEST = 20
_FACTS = "facts"
"""The attribute of a record with the facts of a line."""


_OURS = "omni_tui"
_EVENTS = "omni_tui.events"
"""The logger that lines about events are said to come from."""
_WARNING = re.compile(r"\A(.{1,400}?:\d+: \w+)(?::|\Z)", re.DOTALL)
"""The place and the class of a Python warning, without its text."""


_Waiting = queue.SimpleQueue[logging.LogRecord | EventBatch | threading.Event | None]


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A rotating file with mode 0600."""

    def _open(self):  # type: ignore[no-untyped-def]
        descriptor = open_own(Path(self.baseFilename))
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


class _ToQueue(logging.Handler):
    """Puts records into the log's queue, those of libraries without their texts."""

    def __init__(self, waiting: _Waiting) -> None:
        super().__init__()
        self._waiting = waiting
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record."""
        if not _is_ours(record.name):
            if record.levelno < logging.WARNING:
                return
            record = without_contents(record)
        if self._waiting.qsize() >= _MOST_QUEUED:
            self.dropped += 1
            return
        if record.args:
            # Now: what it names may change before it is written.
            record.msg, record.args = record.getMessage(), None
        self._waiting.put(record)

    def flush(self) -> None:
        """Wait until all is written, for at most a second. Called when the process ends."""
        done = threading.Event()
        self._waiting.put(done)
        done.wait(_CLOSE_S)


class EngineLog:
    """The log of a process. `path` is its file."""

    def __init__(self, path: Path, file: logging.Handler, events: EventLog) -> None:
        self.path = path
        self._file = file
        self._events = events
        self._waiting: _Waiting = queue.SimpleQueue()
        self.handler = _ToQueue(self._waiting)
        """What the root logger gets."""
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """How many records wait to be written."""
        return self._waiting.qsize()

    def take(self, session: str, events: Sequence[Event]) -> None:
        """Have the log tell of events: one entry into its queue. Never blocks."""
        if self._waiting.qsize() >= _MOST_QUEUED:
            self.handler.dropped += 1
        else:
            self._waiting.put(EventBatch(session, events, time.time()))

    def flush(self) -> None:
        """Wait until all that was logged is in the file, for at most a second."""
        self.handler.flush()

    def close(self) -> None:
        """Write what waits, for at most a second, and close the file."""
        self._waiting.put(None)
        self._thread.join(_CLOSE_S)

    def _write(self) -> None:
        while (item := self._waiting.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            elif isinstance(item, EventBatch):
                self._write_events(item)
            else:
                self._file.handle(item)
        self._file.close()

    def _write_events(self, batch: EventBatch) -> None:
        least = logging.getLogger(_OURS).getEffectiveLevel()
        try:
            lines = list(self._events.lines(batch))
        except Exception:
            record = _line(batch, logging.ERROR, "events could not be logged", sys.exc_info())
            self._file.handle(record)
            return
        for line in lines:
            if line.level >= least:
                record = _line(batch, line.level, line.event)
                session = {"session": batch.session} if batch.session else {}
                setattr(record, _FACTS, {**session, **line.facts})
                self._file.handle(record)


def _line(batch: EventBatch, level: int, text: str, error: Any = None) -> logging.LogRecord:
    record = logging.LogRecord(_EVENTS, level, "", 0, text, None, error)
    record.created = batch.at
    return record


def set_up_logs(
    folder: Path,
    *,
    level: LogLevelName = "info",
    contents: bool = False,
    redact: Callable[[str], str],
) -> EngineLog:
    """Send all loggers of the process to a file and return the log.

    Other handlers of the root logger are removed: nothing may write to the terminal. `redact` is applied to
    every text of a line, however deep.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / FILE
    file = _PrivateFile(path, maxBytes=_MAX_BYTES, backupCount=3)

    def redacted(
        _logger: object, _name: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        return {key: redacted_value(value, redact) for key, value in event.items()}

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_time,
        _add_facts,
        structlog.processors.ExceptionRenderer(_traceback_of),
    ]
    file.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redacted,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    log = EngineLog(path, file, EventLog(contents=contents))
    root = logging.getLogger()
    root.handlers[:] = [log.handler]
    # Libraries check the inherited level before they format a text.
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level.upper())
    logging.captureWarnings(True)
    return log


def redacted_value(value: Any, redact: Callable[[str], str], depth: int = 0) -> Any:
    """Return a value with every text in it redacted; what lies too deep is left out."""
    if isinstance(value, str):
        return redact(value)
    if depth >= _DEEPEST:
        return "(too deep)"
    if isinstance(value, dict):
        return {
            redact(key) if isinstance(key, str) else key: redacted_value(each, redact, depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted_value(each, redact, depth + 1) for each in value]
    if isinstance(value, int | float | None):
        return value
    return redact(str(value))


def _add_time(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add when it happened, which is before it is written."""
    record: logging.LogRecord = event["_record"]
    moment = datetime.fromtimestamp(record.created, UTC)
    event["timestamp"] = moment.isoformat().replace("+00:00", "Z")
    return event


def _add_facts(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add the facts of a line of ours."""
    facts = vars(event["_record"]).get(_FACTS)
    if isinstance(facts, dict):
        event.update({key: value for key, value in facts.items() if key not in event})
    return event


def _is_ours(name: str) -> bool:
    return name == _OURS or name.startswith(f"{_OURS}.")


def without_contents(record: logging.LogRecord) -> logging.LogRecord:
    """Return a library's record with its place in the code instead of its text."""
    text = f"{record.module}.{record.funcName}, line {record.lineno}"
    if record.name == "py.warnings":
        found = _WARNING.match(record.getMessage())
        text = found[1] if found else text
    # Made anew: a library may have put anything into its record.
    text = f"(text left out) {text}"
    kept = logging.LogRecord(record.name, record.levelno, "", 0, text, None, record.exc_info)
    kept.created = record.created
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
