"""The paths of Omni TUI's files. `omni-tui config path` prints them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from omni_tui.config.ui_settings import APP_NAME, default_config_file, default_state_dir

PROJECT_FILE = ".omni-tui.toml"
RULES_FILE = "rules.toml"


class Paths(msgspec.Struct, frozen=True):
    """The folders and files of one start; they may not exist.

    `project_file` is None without a project folder. `rules_file` holds the rules that the app writes.
    `state_dir` holds what must survive (sessions, keys,
    trust), `cache_dir` what may be deleted at any time.
    """

    config_file: Path
    config_dir: Path
    state_dir: Path
    cache_dir: Path
    log_dir: Path
    themes_dir: Path
    rules_file: Path
    project_file: Path | None = None


def find_paths(*, config: str = "", state_dir: str = "", project: str = "") -> Paths:
    """Return the paths of a start. Empty arguments mean the platform's folders.

    A named state folder also holds the cache and the logs, so that one folder can be deleted.
    """
    config_file = Path(config) if config else default_config_file()
    if state_dir:
        state = Path(state_dir)
        cache, logs = state / "cache", state / "log"
    else:
        import platformdirs

        state = default_state_dir()
        cache = Path(platformdirs.user_cache_path(APP_NAME, appauthor=False))
        logs = Path(platformdirs.user_log_path(APP_NAME, appauthor=False))
    return Paths(
        config_file=config_file,
        config_dir=config_file.parent,
        state_dir=state,
        cache_dir=cache,
        log_dir=logs,
        themes_dir=config_file.parent / "themes",
        rules_file=config_file.parent / RULES_FILE,
        project_file=Path(project) / PROJECT_FILE if project else None,
    )
