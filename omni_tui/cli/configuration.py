"""`config check`, `config path` and `config show`: read the configuration without an engine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from omni_tui.cli.options import load_configuration
from omni_tui.cli.output import ExitStatus, print_json, print_note, print_result, table
from omni_tui.config.load import LoadedConfig
from omni_tui.config.origins import origin_of
from omni_tui.config.problems import ENVIRONMENT, KeyPath, dotted, problem, setting_location
from omni_tui.config.server_display import display_target
from omni_tui.config.spec import ServerSpec
from omni_tui.protocol.events import Problem


def key_problems(loaded: LoadedConfig) -> tuple[Problem, ...]:
    """Return the mistakes in `[keys]`, which only the face knows."""
    table = loaded.config.keys
    if not table:
        return ()
    # Loads the actions of all panes: half a second, only with [keys].
    import omni_tui.face.app  # noqa: F401
    from omni_tui.face.keys import check_keys, key_conflicts

    origins = loaded.origins or {}
    keymap, wrong = check_keys({name: value for name, value in table.items() if isinstance(value, str)})
    wrong += key_conflicts(keymap)
    return tuple(
        problem(
            setting_location(origins, "keys", each.name),
            f"keys.{each.name}: {each.why}",
            "correct or remove it",
        )
        for each in wrong
    )


def config(arguments: argparse.Namespace) -> int:
    """Run one action; `check` returns 2 for mistakes and 1 for servers that cannot start."""
    if arguments.action == "schema":
        from omni_tui.config.schema import config_schema

        print_json(config_schema())
        return ExitStatus.DONE
    loaded = load_configuration(arguments)
    if arguments.action == "show" and arguments.origin:
        return _show_origins(loaded, arguments.json)
    actions = {"check": _check, "path": _path, "show": _show}
    return actions[arguments.action](loaded, arguments.json)


def _check(loaded: LoadedConfig, as_json: bool) -> int:
    keys = key_problems(loaded)
    stuck = [spec for spec in loaded.servers if spec.problem and spec.enabled]
    if as_json:
        print_json(
            {
                "file": str(loaded.paths.config_file),
                "problems": [msgspec.to_builtins(each) for each in (*loaded.problems, *keys)],
                "servers": [{"name": spec.name, "problem": spec.problem} for spec in stuck],
                "notes": [msgspec.to_builtins(each) for each in loaded.notes],
            }
        )
    else:
        _print_check(loaded, keys)
        for spec in stuck:
            print_result(f"the server {spec.name} cannot start: {spec.problem}")
    if loaded.problems or keys:
        return ExitStatus.USAGE
    return ExitStatus.FAILED if stuck else ExitStatus.DONE


def _print_check(loaded: LoadedConfig, keys: tuple[Problem, ...]) -> None:
    for each in (*loaded.problems, *keys):
        print_result(f"{each.where}: {each.what}" + (f"\n    {each.todo}" if each.todo else ""))
    for each in loaded.notes:
        print_note(f"{each.where}: {each.what}")
    if loaded.problems or keys:
        count = len(loaded.problems) + len(keys)
        after = "these keys do not do what they should"
        if loaded.problems:
            after = "these servers do not start"
        if loaded.serious:
            after = "until they are corrected, every call asks"
        print_note(f"{count} mistake{'s' if count > 1 else ''}; {after}")
    elif loaded.first_run:
        print_result(f"there is no config file yet; create {loaded.paths.config_file}")
    else:
        count = len(loaded.servers)
        print_result(f"{loaded.paths.config_file}: no mistakes, {count} server{'' if count == 1 else 's'}")


def _path(loaded: LoadedConfig, as_json: bool) -> int:
    paths = {name: str(path or "") for name, path in msgspec.structs.asdict(loaded.paths).items()}
    if as_json:
        print_json(paths)
    else:
        print_result(table(("WHAT", "WHERE"), [(name, path) for name, path in paths.items() if path]))
    return ExitStatus.DONE


def _show(loaded: LoadedConfig, as_json: bool) -> int:
    """Print the settings in effect. References are printed as references, never their values."""
    values = loaded.config.model_dump(exclude={"servers"})
    servers = [_server(spec) for spec in loaded.servers]
    if as_json:
        origins = {".".join(map(str, path)): where for path, where in (loaded.origins or {}).items()}
        print_json({**values, "servers": servers, "origins": origins})
        return ExitStatus.DONE
    rows = []
    for section, table_of in values.items():
        for key, value in table_of.items():
            where = (loaded.origins or {}).get((section, key), "")
            if where or value not in (None, "", [], {}):
                rows.append((f"{section}.{key}", json.dumps(value, ensure_ascii=False), where or "default"))
    print_result(table(("KEY", "VALUE", "FROM"), rows))
    if servers:
        print_result()
        headings = ("SERVER", "FROM", "STARTS", "REACHED BY", "")
        lines = [(s["name"], s["source"], s["starts"], s["target"], s["problem"]) for s in servers]
        print_result(table(headings, lines))
    return ExitStatus.DONE


def _show_origins(loaded: LoadedConfig, as_json: bool) -> int:
    """Print every setting with its layer: default, user, project, environment or flag.

    What is changed while the app runs is not known here; /settings shows it.
    """
    rows = [
        (name, json.dumps(value, ensure_ascii=False, default=str), *origin_of(loaded, place))
        for name, value, place in _every_setting(loaded)
    ]
    for name, where in loaded.variable_origins.items():
        rows.append((name, "(set)", "environment" if where == ENVIRONMENT else "env file", where))
    for spec in loaded.servers:
        layer = {"user": "user", "project": "project", "flag": "flag"}.get(spec.source, spec.source)
        where = (loaded.origins or {}).get(("servers", spec.name), "")
        rows.append((f"servers.{spec.name}", json.dumps(display_target(spec)), layer, where))
    if as_json:
        print_json([dict(zip(("key", "value", "layer", "where"), row, strict=True)) for row in rows])
    else:
        print_result(table(("KEY", "VALUE", "LAYER", "FROM"), rows))
    return ExitStatus.DONE


def _every_setting(loaded: LoadedConfig) -> Iterator[tuple[str, Any, KeyPath]]:
    """Yield the name, the value and the place of each setting; a place has a section and a key."""
    for section, values in loaded.config.model_dump(exclude={"servers"}).items():
        for key, value in values.items():
            yield dotted((section, key)), value, (section, key)


def _server(spec: ServerSpec) -> dict[str, Any]:
    starts = "yes" if spec.allowed else "when allowed"
    if not spec.enabled or spec.problem:
        starts = "no"
    return {
        "name": spec.name,
        "source": spec.source,
        "starts": starts,
        "target": display_target(spec),
        "env": sorted(spec.env),
        "headers": sorted(spec.headers),
        "problem": spec.problem,
    }
