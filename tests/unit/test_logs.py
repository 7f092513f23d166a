"""The log has nothing in it of what people, models and servers write, `--debug` or not."""

from __future__ import annotations

import json
import logging
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omni_tui.observability import event_log, logs
from omni_tui.observability.event_log import EventLog
from omni_tui.observability.logs import LogLevelName, redacted_value, set_up_logs
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.calls import CallChanged
from omni_tui.protocol.conversation import Answer, ModelRequestFailed, TurnStarted
from omni_tui.protocol.events import ServerChanged, ServerState
from tests.unit.test_trace_fold import asked, changed, ended, finished, proposed, said, started

CONTENT = "the treasure lies under the old oak"
LIBRARIES = ("LiteLLM", "openai._base_client", "httpcore.http11", "mcp.client.session", "asyncio", "nobody")
both = pytest.mark.parametrize("debug", [True, False])


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("omni_tui").level)
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("omni_tui").setLevel(before[2])
    logging.captureWarnings(False)


class _TheirError(Exception):
    """An exception of a library."""


_TheirError.__module__ = "library.errors"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def told(tmp_path: Path, debug: bool, tell: Callable[[], object]) -> str:
    log = set_up_logs(tmp_path, level="debug" if debug else "info", redact=lambda text: text)
    tell()
    log.flush()
    return log.path.read_text()


@both
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_writes_no_contents_at_any_level(tmp_path: Path, debug: bool, name: str) -> None:
    logger = logging.getLogger(name)

    def tell() -> None:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            logger.log(level, f"request: {CONTENT}")
            logger.log(level, "request: %s", CONTENT, stack_info=True)
            logger.log(level, {"messages": [CONTENT]})
        try:
            raise _TheirError(CONTENT)
        except _TheirError:
            logger.exception("it failed with %s", CONTENT)

    text = told(tmp_path, debug, tell)
    assert CONTENT not in text
    assert "oak" not in text
    assert "library.errors._TheirError" in text
    assert "test_logs.tell, line" in text


@both
def test_a_library_that_turns_its_own_level_down_writes_no_more(tmp_path: Path, debug: bool) -> None:
    logger = logging.getLogger("LiteLLM")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        assert told(tmp_path, debug, lambda: logger.debug("prompt: %s", CONTENT)) == ""
    finally:
        logger.setLevel(before)


@both
def test_a_warning_of_python_tells_its_place_only(tmp_path: Path, debug: bool) -> None:
    def tell() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn(f"input_value='{CONTENT}'", stacklevel=1)

    text = told(tmp_path, debug, tell)
    assert "UserWarning" in text
    assert "test_logs.py" in text
    assert CONTENT not in text


@both
def test_ours_is_written_and_with_debug_more_of_it(tmp_path: Path, debug: bool) -> None:
    def tell() -> None:
        logging.getLogger("omni_tui.engine").debug("a detail")
        logging.getLogger("omni_tui.engine").info("something happened")

    text = told(tmp_path, debug, tell)
    assert "something happened" in text
    assert ("a detail" in text) is debug


def test_of_a_chain_only_the_texts_of_python_and_ours_are_written(tmp_path: Path) -> None:
    log = set_up_logs(tmp_path, level="debug", redact=lambda text: text.replace("s3cret", "[key]"))
    try:
        try:
            raise _TheirError(CONTENT)
        except _TheirError as error:
            raise ExceptionGroup("several", [OSError(28, "no space left"), _TheirError(CONTENT)]) from error
    except ExceptionGroup:
        logging.getLogger("omni_tui.models").exception("the request with s3cret failed")
    log.flush()
    (line,) = lines(log.path)
    assert line["event"] == "the request with [key] failed"
    text = str(line["exception"])
    assert CONTENT not in text
    assert text.count("library.errors._TheirError (text left out)") == 2
    assert "no space left" in text
    assert "in test_of_a_chain" in text
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_a_library_cannot_add_fields_either(tmp_path: Path) -> None:
    def tell() -> None:
        logging.getLogger("httpx").warning("x", extra={"facts": {"body": CONTENT}, "more": CONTENT})

    assert CONTENT not in told(tmp_path, False, tell)


# --- events -----------------------------------------------------------------------------------------


def turn(text: str = CONTENT) -> list[AnyEvent]:
    call = msgspec.structs.replace(proposed("c", 103.0), arguments=SafeText('{"key": "s3cret"}'))
    message = msgspec.structs.replace(said(100.0), text=SafeText(text))
    approved = CallChanged(call="c", state="approved", decider="user", ts=103.5)
    answer = Answer(turn="t", message="m", text=SafeText(f"{text} indeed"))
    return [
        message, started(100.0), asked(100.5, 102.0), call,
        approved, changed("c", "dispatching", 103.5),
        finished("c", 104.0, 250.0), answer, ended(105.0),
    ]  # fmt: skip


def server(state: ServerState) -> ServerChanged:
    reason = SafeText(f"it said: {CONTENT}")
    return ServerChanged(
        name="files", state=state, since=1.0, label=SafeText("files"), transport="stdio",
        target=SafeText("x"), source="user", reason=reason, protocol="2025-11-25",
    )  # fmt: skip


def logged(
    folder: Path, *batches: list[AnyEvent], level: LogLevelName = "info", contents: bool = False
) -> Any:
    def redact(text: str) -> str:
        return text.replace("s3cret", "[key]")

    log = set_up_logs(folder, level=level, contents=contents, redact=redact)
    for batch in batches:
        log.take("s-1", batch)
    log.flush()
    return lines(log.path)


def test_the_lines_tell_what_happened_without_contents(tmp_path: Path) -> None:
    found = logged(
        tmp_path, [server("active"), server("idle"), server("active")], turn(), [server("failed")]
    )
    assert [(line["level"], line["event"]) for line in found] == [
        ("info", "connection"),
        ("info", "turn started"),
        ("info", "model answered"),
        ("info", "decision"),
        ("info", "call ended"),
        ("info", "turn ended"),
        ("info", "user_interaction"),
        ("warning", "connection"),
    ]
    by_event = {line["event"]: line for line in found}
    assert (
        by_event["call ended"] | {"server": "files", "tool": "read", "state": "succeeded", "ms": 250.0}
        == (by_event["call ended"])
    )
    assert by_event["decision"]["decider"] == "user"
    talk = by_event["user_interaction"]
    assert (talk["mode"], talk["servers_connected"], talk["session"]) == ("chat", 1, "s-1")
    assert talk["response_length"] == len(CONTENT) + 7
    assert "input" not in talk
    assert "oak" not in str(found)


def test_with_debug_there_is_more_and_above_a_level_less(tmp_path: Path) -> None:
    events = {line["event"] for line in logged(tmp_path / "a", turn(), level="debug")}
    assert events >= {"message", "call proposed", "call changed"}
    assert "oak" not in (tmp_path / "a" / "engine.log").read_text()
    failed = ModelRequestFailed(
        turn="t", model=SafeText("m"), began=1.0, elapsed_ms=5.0, kind="transient", reason=SafeText(CONTENT)
    )
    (line,) = logged(tmp_path / "b", turn(), [failed], level="warning")
    assert (line["event"], line["kind"], "reason" in line) == ("model request failed", "transient", False)


def test_contents_are_there_if_asked_for_and_redacted(tmp_path: Path) -> None:
    found = logged(tmp_path, turn(), level="debug", contents=True)
    by_event = {line["event"]: line for line in found}
    assert by_event["user_interaction"]["input"] == CONTENT
    assert by_event["call proposed"]["arguments"] == '{"key": "[key]"}'
    assert "s3cret" not in str(found)


def test_texts_are_redacted_however_deep(tmp_path: Path) -> None:
    def redact(text: str) -> str:
        return text.replace("s3cret", "[key]")

    deep: Any = "s3cret"
    for _ in range(40):
        deep = [deep]
    value = {"a": [{"s3cret": ("x s3cret", {"s3cret"}, 1, None, True, Path("s3cret"))}], "deep": deep}
    found = redacted_value(value, redact)
    assert "s3cret" not in str(found)
    assert found["a"][0]["[key]"][2:5] == [1, None, True]


def test_an_event_that_cannot_be_told_is_said_and_the_next_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: EventLog, _event: object) -> Iterator[object]:
        raise ValueError("odd")

    monkeypatch.setitem(event_log._TELLS, TurnStarted, broken)  # type: ignore[misc]
    found = logged(tmp_path, [started(1.0)], [ended(2.0)])
    assert [line["event"] for line in found] == ["events could not be logged", "turn ended"]


def test_a_disk_that_hangs_delays_nobody_and_what_is_too_much_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_MOST_QUEUED", 10)
    log = set_up_logs(tmp_path, level="info", redact=str)
    hangs, go_on = threading.Event(), threading.Event()

    def handle(_record: logging.LogRecord) -> bool:
        hangs.set()
        return go_on.wait(60)

    monkeypatch.setattr(log._file, "handle", handle)
    logger = logging.getLogger("omni_tui.engine")
    logger.info("first")
    assert hangs.wait(60)
    for number in range(100):
        logger.info("more %d", number)
    assert (log.queued, log.handler.dropped) == (10, 90)
    go_on.set()
    log.flush()
    assert log.queued == 0
    log.close()
