"""Which layer a setting comes from."""

from __future__ import annotations

from omni_tui.config.load import LoadedConfig
from omni_tui.config.problems import COMMAND_LINE, ENVIRONMENT, KeyPath, location_text


def origin_of(loaded: LoadedConfig, place: KeyPath) -> tuple[str, str]:
    """Return the layer of a setting, and its file and line, variable or flag."""
    where = (loaded.origins or {}).get(place, "")
    if not where:
        return "default", ""
    if where == COMMAND_LINE:
        return "flag", location_text(where, place)
    if where == ENVIRONMENT:
        return "environment", location_text(where, place)
    if loaded.env_file.path is not None and where.startswith(f"{loaded.env_file.path}:"):
        return "env file", where
    project = loaded.paths.project_file
    of_project = project is not None and where.startswith(f"{project}:")
    return ("project" if of_project else "user"), where
