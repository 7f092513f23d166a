"""The recording of the demo: its format, and what must not be seen in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests import recording
from tests.recording import FOLDER, LONGEST_PAUSE_S, ROOT, SCENES, Recorder, asciicast, foreign_paths


def test_a_recording_is_asciicast_of_version_2_without_long_pauses() -> None:
    header, *events = map(
        json.loads, asciicast([(30.0, "a\x1b[1m"), (30.5, "é"), (90.0, "c")], (80, 24)).splitlines()
    )
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert [(kind, text) for _, kind, text in events] == [("o", "a\x1b[1m"), ("o", "é"), ("o", "c")]
    assert [at for at, *_ in events] == [0.0, 0.5, LONGEST_PAUSE_S + 0.5]
    assert asciicast([], (80, 24)).count("\n") == 1


def test_a_path_of_this_machine_is_found_though_it_is_cut() -> None:
    assert foreign_paths([(0.0, "all /tmp/omni-demo/app is well")]) == []
    assert str(ROOT) in foreign_paths([(0.0, f"at {str(ROOT)[:17]}")])


def test_what_a_program_writes_is_noted_with_its_time_and_never_torn() -> None:
    script = "import os\nfor byte in 'é✓x'.encode():\n os.write(1, bytes([byte]))\n"
    running = Recorder([sys.executable, "-c", script], (80, 24), {})
    try:
        running.ended()
    finally:
        running.kill()
    assert "".join(text for _, text in running.events) == "é✓x"
    times = [at for at, _ in running.events]
    assert times == sorted(times)


def test_without_the_program_that_makes_pictures_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recording, "files", lambda _name: [])
    with pytest.raises(SystemExit, match=r"pip install 'omni-tui\[docs\]'"):
        recording.agg()


@pytest.mark.parametrize("name", SCENES)
def test_the_picture_moves_and_is_small_enough_to_load(name: str) -> None:
    picture = (FOLDER / f"{name}.gif").read_bytes()
    assert picture.startswith(b"GIF89a")
    assert picture.count(b"\x21\xf9\x04") > 10, "it has few pictures"
    assert 50_000 < len(picture) < 1_000_000


def test_no_picture_loads_anything() -> None:
    pictures = list(Path(FOLDER).glob("*.svg"))
    assert len(pictures) >= 6
    for picture in pictures:
        text = picture.read_text(encoding="utf-8")
        assert "url(http" not in text, picture.name
        assert "<script" not in text, picture.name
