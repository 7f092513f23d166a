"""The log has nothing in it of what people, models and servers write, `--debug` or not."""

from __future__ import annotations

import json
import logging
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omni_tui.observability.logs import set_up_logs

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


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def told(tmp_path: Path, debug: bool, tell: Callable[[], object]) -> str:
    path = set_up_logs(tmp_path, debug=debug, redact=lambda text: text)
    tell()
    return path.read_text()


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
    path = set_up_logs(tmp_path, debug=True, redact=lambda text: text.replace("s3cret", "[key]"))
    try:
        try:
            raise _TheirError(CONTENT)
        except _TheirError as error:
            raise ExceptionGroup("several", [OSError(28, "no space left"), _TheirError(CONTENT)]) from error
    except ExceptionGroup:
        logging.getLogger("omni_tui.models").exception("the request with s3cret failed")
    (line,) = lines(path)
    assert line["event"] == "the request with [key] failed"
    text = str(line["exception"])
    assert CONTENT not in text
    assert text.count("library.errors._TheirError (text left out)") == 2
    assert "no space left" in text
    assert "in test_of_a_chain" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
