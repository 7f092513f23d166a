"""A crash of the face is written down without what the person and the servers said."""

from __future__ import annotations

import stat
from pathlib import Path

from omni_tui.face.crash_log import LOG_FILE, log_crash


def test_where_it_broke_is_written_and_not_what_it_was_about(tmp_path: Path) -> None:
    secret = "canary-of-a-crash"
    try:
        try:
            raise KeyError(secret)
        except KeyError:
            raise ValueError(f"no markup in {secret!r}") from None
    except ValueError:
        path = Path(log_crash(str(tmp_path)))
    text = path.read_text()
    assert path.name == LOG_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "test_crash_log.py" in text
    assert "ValueError" in text
    assert "KeyError" in text
    # The line of the code stands there, not what it came to.
    assert secret not in text.replace(f'secret = "{secret}"', "")
