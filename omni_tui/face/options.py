"""What the command line tells the face."""

from __future__ import annotations

import msgspec


class FaceOptions(msgspec.Struct, frozen=True):
    """Options of one start of the face. Empty means: not given.

    Paths are absolute. `theme` (from the command line) goes before the config file's, that before
    the one remembered in `state_dir`. `config_path` is read for `[ui]` and `[keys]` only.
    """

    theme: str = ""
    config_path: str = ""
    state_dir: str = ""
    themes_dir: str = ""
