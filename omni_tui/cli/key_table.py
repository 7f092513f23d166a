"""The mistakes in `[keys]`: the engine does not know the app's keys, so they are judged here."""

from __future__ import annotations

from omni_tui.config.load import LoadedConfig
from omni_tui.config.problems import SettingLocations, problem
from omni_tui.protocol.events import Problem


def key_problems(loaded: LoadedConfig) -> tuple[Problem, ...]:
    """Return what the app would not take of `[keys]`, each with its place."""
    table = loaded.config.keys
    if not table:
        return ()
    # Imported for the actions that panes add; half a second that nobody without [keys] pays.
    import omni_tui.face.app  # noqa: F401
    from omni_tui.face.keys import check_keys

    places = SettingLocations(loaded.origins or {})
    _, wrong = check_keys({name: value for name, value in table.items() if isinstance(value, str)})
    return tuple(
        problem(
            places.of(("keys", each.name)), f"keys.{each.name}: {each.why}", "correct it, or take it out"
        )
        for each in wrong
    )
