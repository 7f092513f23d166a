"""`omni-tui plugins`: list, check, switch, install and remove plugins, and begin one."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from omni_tui.cli.options import launch_options
from omni_tui.cli.output import CliError, ExitStatus, nearest, print_json, print_note, print_result, table
from omni_tui.config.paths import find_paths
from omni_tui.memory import InstallationAudit, Vault, VaultRefused
from omni_tui.plugins.check import CheckReport, check_plugin
from omni_tui.plugins.discovery import InstalledPlugin, find_plugins
from omni_tui.plugins.installer import InstallRefused, PluginEnvironment, this_environment
from omni_tui.plugins.plugin_states import PluginState, PluginStates
from omni_tui.plugins.template import TemplateRefused, write_plugin

RIGHTS = "A plugin runs with the app's own rights: it can read your files and your keys."
_RUNNING = "An app that runs now takes this up at its next start; /plugins switches plugins there."


def plugins(arguments: argparse.Namespace) -> int:
    """Run one action."""
    if arguments.action == "new":
        return _new(arguments)
    state = find_paths(state_dir=launch_options(arguments).state_dir).state_dir
    return _ACTIONS[arguments.action](arguments, state)


# --- looking --------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace, state: Path) -> int:
    states, found = PluginStates(state), {plugin.name: plugin for plugin in find_plugins()}
    known = states.read()
    if states.lost:
        print_note("omni-tui: the file that tells which plugins are enabled is damaged; none is enabled")
    gone = sorted(name for name, each in known.items() if each.enabled and name not in found)
    facts = [_facts(name, found.get(name), known.get(name, PluginState())) for name in (*found, *gone)]
    if arguments.json:
        print_json(facts)
    elif facts:
        rows = [(one["name"], one["package"], one["version"], one["state"], _words(one)) for one in facts]
        print_result(table(("PLUGIN", "PACKAGE", "VERSION", "STATE", "PROVIDES"), rows))
        for one in facts:
            if one["reason"]:
                print_note(f"{one['name']}: {one['reason']}")
    else:
        print_result("no plugins are installed")
        print_note("Begin one: omni-tui plugins new NAME")
    return ExitStatus.DONE


def _show(arguments: argparse.Namespace, state: Path) -> int:
    plugin = _one(arguments.name)
    facts = _facts(plugin.name, plugin, PluginStates(state).read().get(plugin.name, PluginState()))
    facts |= {"entry_point": plugin.target, "folder": str(plugin.folder.parent)}
    if arguments.json:
        print_json(facts)
        return ExitStatus.DONE
    for name in ("name", "package", "version", "state", "summary", "entry_point", "folder", "reason"):
        if facts[name]:
            print_result(f"{name.replace('_', ' '):<12} {facts[name]}")
    print_result(
        f"{'provides':<12} {_words(facts) or 'not known yet: omni-tui plugins check ' + plugin.name}"
    )
    print_result(f"{'permissions':<12} {', '.join(facts['permissions']) or 'none declared'}")
    return ExitStatus.DONE


def _check(arguments: argparse.Namespace, state: Path) -> int:
    """Check one plugin, or all; return 1 if one fails."""
    chosen = [_one(arguments.name)] if arguments.name else find_plugins()
    reports = [(plugin, asyncio.run(check_plugin(plugin))) for plugin in chosen]
    if arguments.json:
        print_json([{"name": plugin.name, **_report(report)} for plugin, report in reports])
    else:
        for plugin, report in reports:
            print_result(f"{'bad' if report.problem else 'ok '}  {_sentence(plugin, report)}")
        if not reports:
            print_result("no plugins are installed")
    return ExitStatus.FAILED if any(report.problem for _, report in reports) else ExitStatus.DONE


# --- switching ------------------------------------------------------------------------------------


def _enable(arguments: argparse.Namespace, state: Path) -> int:
    return _enabled(_one(arguments.name), state, yes=arguments.yes)


def _enabled(plugin: InstalledPlugin, state: Path, *, yes: bool) -> int:
    """Check a plugin and, if the person says so, enable it."""
    report = asyncio.run(check_plugin(plugin))
    if report.problem:
        raise CliError(f"the plugin {plugin.name} is not enabled", why=report.problem)
    print_note(
        f"{_sentence(plugin, report)}\npermissions: {', '.join(report.permissions) or 'none'}\n{RIGHTS}"
    )
    if not _confirmed(f"Enable {plugin.name}?", yes=yes):
        return ExitStatus.FAILED
    unwritten = _note_in_audit(state, "plugin enabled", plugin)
    if unwritten:
        raise CliError(f"the plugin {plugin.name} is not enabled: the audit cannot tell it", why=unwritten)
    changed = PluginState(
        True, plugin.package, plugin.version, "", report.summary, report.permissions, report.provides
    )
    _write(state, plugin.name, changed)
    print_result(f"{plugin.name} is enabled")
    print_note(_RUNNING)
    return ExitStatus.DONE


def _disable(arguments: argparse.Namespace, state: Path) -> int:
    known = PluginStates(state).read()
    former = known.get(arguments.name)
    if former is None or not former.enabled:
        raise CliError(f"the plugin {arguments.name} is not enabled", status=ExitStatus.USAGE)
    _write(state, arguments.name, _off(former))
    if unwritten := _note_in_audit(state, "plugin disabled", None, arguments.name):
        print_note(f"omni-tui: the audit does not tell it: {unwritten}")
    print_result(f"{arguments.name} is disabled")
    print_note(_RUNNING)
    return ExitStatus.DONE


def _off(former: PluginState) -> PluginState:
    return PluginState(
        False, former.package, former.version, "", former.summary, former.permissions, former.provides
    )


# --- installing -----------------------------------------------------------------------------------


def _install(arguments: argparse.Namespace, state: Path) -> int:
    """Show the command, run it, check what came, and offer to enable it."""
    environment = this_environment()
    before = {(plugin.name, plugin.version): plugin for plugin in find_plugins()}
    _run(environment, _command(environment, install=arguments.what), yes=arguments.yes)
    after = find_plugins()
    new = [plugin for plugin in after if (plugin.name, plugin.version) not in before] or _named_by(
        arguments.what, after
    )
    if not new:
        raise CliError(
            "it is installed, but it provides no plugin",
            todo="A plugin has an entry point in the group omni_tui.plugins.",
        )
    statuses = [_enabled(plugin, state, yes=arguments.yes) for plugin in new]
    return max(statuses)


def _named_by(what: str, found: list[InstalledPlugin]) -> list[InstalledPlugin]:
    """Return the plugins of a package that was there before in the same version."""
    place = os.path.realpath(os.path.expanduser(what))
    package = what.partition("[")[0].partition("=")[0].strip().lower().replace("_", "-")
    return [one for one in found if one.package == package or _source(one) == place]


def _source(plugin: InstalledPlugin) -> str:
    """Return the folder that a package was installed from, "" if it was none (PEP 610)."""
    import json
    from urllib.parse import unquote, urlsplit

    try:
        url = str(json.loads((plugin.folder / "direct_url.json").read_bytes())["url"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return os.path.realpath(unquote(urlsplit(url).path)) if url.startswith("file:") else ""


def _remove(arguments: argparse.Namespace, state: Path) -> int:
    plugin = _one(arguments.name)
    environment = this_environment()
    _run(environment, _command(environment, remove=plugin.package), yes=arguments.yes)
    known = PluginStates(state)
    for name, each in known.read().items():
        if each.package == plugin.package:
            _write(state, name, None)
    print_result(f"{plugin.name} is removed")
    return ExitStatus.DONE


def _command(environment: PluginEnvironment, *, install: str = "", remove: str = "") -> list[str]:
    try:
        return environment.install(install) if install else environment.remove(remove)
    except InstallRefused as refused:
        raise CliError(refused.what, todo=refused.todo, status=ExitStatus.USAGE) from None


def _run(environment: PluginEnvironment, command: list[str], *, yes: bool) -> None:
    """Show a command and run it, if the person says so. Raises `CliError` unless it succeeds."""
    print_note(f"This runs, in {environment.prefix}:\n\n  {shlex.join(command)}\n")
    if not _confirmed("Run it?", yes=yes):
        raise CliError("nothing was run")
    try:
        done = subprocess.run(command, check=False, stdout=sys.stderr.fileno())
    except OSError as error:
        raise CliError(f"{command[0]} cannot be run", why=error.strerror or str(error)) from None
    if done.returncode:
        raise CliError(f"{command[0]} failed with status {done.returncode}", todo="What it says is above.")


def _confirmed(question: str, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        print_note(f"{question} Nobody can answer here; add --yes.")
        return False
    print_note(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


# --- a new one ------------------------------------------------------------------------------------


def _new(arguments: argparse.Namespace) -> int:
    try:
        folder = write_plugin(arguments.name, arguments.kind, Path(arguments.folder or "."))
    except TemplateRefused as refused:
        raise CliError(str(refused), todo=refused.todo, status=ExitStatus.USAGE) from None
    except OSError as error:
        raise CliError("the plugin could not be written", why=error.strerror or str(error)) from None
    print_result(str(folder))
    print_note(f"Try its test: python -m pytest {shlex.quote(str(folder))}")
    print_note(f"Install it:   omni-tui plugins install {shlex.quote(str(folder))}")
    return ExitStatus.DONE


# --- words ----------------------------------------------------------------------------------------


def _one(name: str) -> InstalledPlugin:
    found = {plugin.name: plugin for plugin in find_plugins()}
    if name not in found:
        raise CliError(f"there is no plugin {name}", todo=nearest(name, found), status=ExitStatus.USAGE)
    return found[name]


def _facts(name: str, plugin: InstalledPlugin | None, state: PluginState) -> dict[str, Any]:
    word, reason = "disabled", state.fault
    if plugin is None:
        word, reason = "gone", "it is enabled, but not installed"
    elif plugin.problem:
        word, reason = "bad", plugin.problem
    elif state.fault:
        word = "faulty"
    elif state.enabled and (plugin.package, plugin.version) != (state.package, state.version):
        word = "changed"
        reason = f"it was enabled as {state.package} {state.version}; enable it again to use this version"
    elif state.enabled:
        word = "enabled"
    return {
        "name": name,
        "package": plugin.package if plugin is not None else state.package,
        "version": plugin.version if plugin is not None else state.version,
        "state": word,
        "summary": state.summary,
        "permissions": list(state.permissions),
        "provides": {kind: list(names) for kind, names in state.provides.items()},
        "reason": reason,
    }


def _words(facts: dict[str, Any]) -> str:
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in facts["provides"].items())


def _sentence(plugin: InstalledPlugin, report: CheckReport) -> str:
    what = report.problem or f"{report.summary} ({_words({'provides': report.provides})})"
    return f"{plugin.name} {plugin.version}: {what}"


def _report(report: CheckReport) -> dict[str, Any]:
    return {
        "ok": not report.problem,
        "problem": report.problem,
        "summary": report.summary,
        "permissions": list(report.permissions),
        "provides": {kind: list(names) for kind, names in report.provides.items()},
    }


def _write(state: Path, name: str, changed: PluginState | None) -> None:
    try:
        PluginStates(state).write(name, changed)
    except OSError as error:
        raise CliError(
            "the state of the plugin cannot be saved", why=error.strerror or str(error)
        ) from None


def _note_in_audit(state: Path, action: str, plugin: InstalledPlugin | None, name: str = "") -> str:
    """Write an entry into the installation's audit; return why it could not be, or ""."""
    try:
        InstallationAudit(state, Vault.open(state)).add(
            action,
            plugin.name if plugin is not None else name,
            actor="user",
            detail=f"{plugin.package} {plugin.version}" if plugin is not None else "",
        )
    except (VaultRefused, OSError) as error:
        return str(error)
    return ""


_ACTIONS = {
    "list": _list,
    "show": _show,
    "check": _check,
    "enable": _enable,
    "disable": _disable,
    "install": _install,
    "remove": _remove,
}
