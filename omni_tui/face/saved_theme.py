"""What the face remembers by itself between starts: the theme. One small JSON file of its own."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path

_NAME = "face.json"
_log = logging.getLogger(__name__)


def load_saved_theme(state_dir: str) -> str:
    """Return the theme chosen last time, "" if none is known. Never raises."""
    if not state_dir:
        return ""
    try:
        value = json.loads((Path(state_dir) / _NAME).read_bytes()).get("theme", "")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def save_theme(state_dir: str, theme: str) -> bool:
    """Write the theme down, whole or not at all. False (and a line in the log) if that failed."""
    if not state_dir:
        return False
    folder = Path(state_dir)
    temporary = ""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=_NAME)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"theme": theme}, file)
        os.replace(temporary, folder / _NAME)
    except OSError as error:
        _log.warning("the theme could not be remembered: %s", error)
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        return False
    return True
