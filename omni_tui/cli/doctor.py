"""`doctor`: check what Omni TUI needs on this machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from omni_tui import __version__
from omni_tui.cli.configuration import key_problems
from omni_tui.cli.options import load_configuration
from omni_tui.cli.output import ExitStatus, print_json, print_result
from omni_tui.config.load import LoadedConfig
from omni_tui.config.redis_address import REDIS_VARIABLES, RedisAddress
from omni_tui.security.urls import is_loopback

LITELLM_VERSION = "1.106.2"
"""The only trusted version; two releases of that year were compromised."""

_MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; "bad" makes the command fail."""

    name: str
    level: Literal["ok", "note", "bad"]
    what: str
    todo: str = ""


def doctor(arguments: argparse.Namespace) -> int:
    """Run every check; return 1 if one is bad. A check that fails to run is bad."""
    loaded = load_configuration(arguments)
    findings: list[Finding] = []
    for check in _CHECKS:
        try:
            findings.extend(check(loaded))
        except Exception as error:  # the other checks must still run
            findings.append(Finding(check.__name__.strip("_"), "bad", f"could not be checked: {error!r}"))
    if arguments.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            hint = f"\n        {finding.todo}" if finding.todo else ""
            print_result(f"{_MARKS[finding.level]}  {finding.name}: {finding.what}{hint}")
    return ExitStatus.FAILED if any(finding.level == "bad" for finding in findings) else ExitStatus.DONE


def _verdict(name: str, good: bool, what: str, todo: str) -> Finding:
    return Finding(name, "ok", what) if good else Finding(name, "bad", what, todo)


def _python(loaded: LoadedConfig) -> Iterable[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield _verdict("Python", sys.version_info >= (3, 11), version, "3.11 or newer is needed")
    yield Finding("Omni TUI", "ok", __version__)


def _terminal(loaded: LoadedConfig) -> Iterable[Finding]:
    if not sys.stdout.isatty():
        yield Finding("terminal", "note", "the output is not a terminal; the app cannot start here")
        return
    term, colour = os.environ.get("TERM", ""), os.environ.get("COLORTERM", "")
    what = f"TERM={term or '(not set)'} COLORTERM={colour or '(not set)'}"
    if term in {"", "dumb", "unknown"}:
        yield Finding("terminal", "bad", what, "TERM is not a terminal that can be drawn on")
    elif colour in {"truecolor", "24bit"} or "direct" in term:
        yield Finding("terminal", "ok", what)
    else:
        todo = "colors are approximate; if your terminal has 16 million, set COLORTERM=truecolor"
        yield Finding("terminal", "note", what, todo)
    columns, rows = shutil.get_terminal_size()
    if columns < 80 or rows < 24:
        yield Finding("size", "note", f"{columns}×{rows}", "80×24 or more is needed")
    else:
        yield Finding("size", "ok", f"{columns}×{rows}")


def _multiplexer(loaded: LoadedConfig) -> Iterable[Finding]:
    if os.environ.get("TMUX"):
        yield Finding("tmux", "note", "inside tmux", "to copy, add to tmux.conf: set -g set-clipboard on")


def _clipboard(loaded: LoadedConfig) -> Iterable[Finding]:
    from omni_tui.face.clipboard import terminal_accepts

    tools = [tool for tool in ("wl-copy", "xclip", "xsel", "pbcopy", "clip.exe") if shutil.which(tool)]
    routes = (["the terminal (OSC 52)"] if terminal_accepts("") else []) + tools[:1]
    if routes:
        yield Finding("clipboard", "ok", f"copies with {' or '.join(routes)}, else to a file")
    else:
        yield Finding("clipboard", "note", "copies to a file", "install wl-copy, xclip or xsel")


def _database(loaded: LoadedConfig) -> Iterable[Finding]:
    import sqlite3

    good = sqlite3.sqlite_version_info >= (3, 37)
    yield _verdict("SQLite", good, sqlite3.sqlite_version, "3.37 or newer is needed; use a newer Python")


def _saved_state(loaded: LoadedConfig) -> Iterable[Finding]:
    """Check the keys and count the sessions that cannot be read, without making or opening any."""
    from omni_tui.memory import Vault, VaultRefused, list_sessions
    from omni_tui.memory.keys import PASSPHRASE, find_keys

    state = loaded.paths.state_dir
    try:
        found = find_keys(state, os.environ, make=False)
    except (VaultRefused, OSError) as error:
        yield Finding("key store", "bad", str(error))
        return
    if found.missing:
        yield Finding("key store", "bad", found.missing)
    if not found.keys:
        what = "no key yet; the first saved session makes one"
        yield Finding("key store", "note", what, f"to avoid a key file, set {PASSPHRASE} or use a keyring")
    elif found.advice:
        what = f"a key file of mode 0600 ({state / 'vault.key'})"
        yield Finding("key store", "note", what, f"set {PASSPHRASE}, or unlock a keyring")
    else:
        yield Finding("key store", "ok", f"the {found.keys[0].kind}")
    if not found.keys or not (state / "sessions").is_dir():
        return
    listed = list_sessions(state, Vault(found.keys[0], tuple(found.keys[1:])))
    if listed.unreadable:
        what = f"{len(listed.unreadable)} of {len(listed.unreadable) + len(listed.sessions)} cannot be read"
        yield Finding("sessions", "bad", what, "omni-tui sessions list shows which and why")
    else:
        yield Finding("sessions", "ok", f"{len(listed.sessions)} saved")


def _folders(loaded: LoadedConfig) -> Iterable[Finding]:
    for name, folder in (("state folder", loaded.paths.state_dir), ("log folder", loaded.paths.log_dir)):
        nearest = next(place for place in (folder, *folder.parents) if place.exists())
        good = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
        todo = f"{nearest} is not writable; use another folder with --state-dir"
        yield _verdict(name, good, str(folder), todo)


def _configuration(loaded: LoadedConfig) -> Iterable[Finding]:
    mistakes = len(loaded.problems) + len(key_problems(loaded))
    if mistakes:
        what = f"{mistakes} mistake{'s' if mistakes > 1 else ''} in {loaded.paths.config_file}"
        yield Finding("config", "bad", what, "omni-tui config check explains them")
    elif loaded.first_run:
        yield Finding("config", "note", f"none yet ({loaded.paths.config_file})", "try: omni-tui demo")
    else:
        yield Finding("config", "ok", str(loaded.paths.config_file))
    name, fallbacks = loaded.config.model.name, loaded.config.model.fallbacks
    what = name + (", the built-in rules" if name == "offline" else "")
    yield Finding("model", "ok", ", then ".join((what, *fallbacks)))
    used = {name, *fallbacks, loaded.config.sampling.model}
    for other in sorted(set(loaded.config.models) - used):
        yield Finding("model settings", "ok", f"{other} (for /model {other})")


def _references(loaded: LoadedConfig) -> Iterable[Finding]:
    """Report each reference that does not resolve, and why."""
    found = list(loaded.config.references(loaded.environ))
    for where, why in found:
        if why:
            yield Finding(f"reference in {where}", "bad", why)
    good = sum(not why for _, why in found)
    if good:
        yield Finding("references", "ok", f"{good} of {len(found)} resolve")


def _servers(loaded: LoadedConfig) -> Iterable[Finding]:
    for spec in loaded.servers:
        name = f"server {spec.name}"
        if not spec.enabled:
            yield Finding(name, "note", "disabled")
        elif spec.problem:
            yield Finding(name, "bad", spec.problem)
        elif spec.url:
            yield Finding(name, "ok", f"{spec.url} (not checked; omni-tui servers connects)")
        else:
            found = shutil.which(spec.command, path=spec.env.get("PATH"))
            what = found or f"the command {spec.command} is not found"
            yield _verdict(name, bool(found), what, "install it, or write its full path in the config")


def _redis(loaded: LoadedConfig) -> Iterable[Finding]:
    """Connect to Redis, where the config asks for it; elsewhere say what the environment names."""
    if loaded.config.memory.store != "redis":
        named = [name for name in REDIS_VARIABLES if os.environ.get(name)]
        if named:
            what = f"{', '.join(named)} set; sessions are saved on this machine only"
            yield Finding("Redis", "note", what, 'to mirror them, set store = "redis" under [memory]')
        return
    if loaded.redis is None:
        yield Finding("Redis", "bad", loaded.redis_problem)
        return
    yield _reached(loaded.redis)
    if loaded.redis.password and not loaded.redis.tls and not is_loopback(loaded.redis.host):
        todo = "use rediss:// if others can listen on the way"
        yield Finding("Redis", "note", "the password is sent without TLS; sessions are encrypted", todo)
    yield from _memory_key(loaded.paths.state_dir)


def _reached(address: RedisAddress) -> Finding:
    from omni_tui.memory.redis import RedisTrouble, look_at

    try:
        facts = asyncio.run(look_at(address))
    except RedisTrouble as trouble:
        return Finding("Redis", "bad", f"{address}: {trouble}", trouble.todo)
    if facts.policy not in ("", "noeviction"):
        what = f"{address}, version {facts.version}; when its memory is full it drops data ({facts.policy})"
        return Finding("Redis", "note", what, "set its maxmemory-policy to noeviction")
    return Finding("Redis", "ok", f"{address}, version {facts.version}")


def _memory_key(state: Path) -> Iterable[Finding]:
    """Look for the key of the sessions in Redis, without making any key."""
    from omni_tui.memory import Vault, VaultRefused
    from omni_tui.memory.keys import find_keys
    from omni_tui.memory.redis import CREATE_KEY, KeyRefused, MemoryKeys

    try:
        found = find_keys(state, os.environ, make=False)
        if not found.keys:
            yield Finding("Redis key", "bad", "there is none", f"make one: {CREATE_KEY}")
            return
        sealer = MemoryKeys(state, Vault(found.keys[0], tuple(found.keys[1:]))).sealer()
    except KeyRefused as error:
        yield Finding("Redis key", "bad", str(error))
    except (VaultRefused, OSError):
        return  # the key store's own check says so
    else:
        yield Finding("Redis key", "ok", sealer.id)


def _litellm(loaded: LoadedConfig) -> Iterable[Finding]:
    """Check the version, and look for the start-up files that compromised releases left."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("litellm")
    except PackageNotFoundError:
        yield Finding("LiteLLM", "bad", "not installed", f"pip install litellm=={LITELLM_VERSION}")
        return
    todo = f"only {LITELLM_VERSION} is trusted: pip install litellm=={LITELLM_VERSION}"
    yield _verdict("LiteLLM", found == LITELLM_VERSION, found, todo)
    for file in startup_files(sys.path):
        todo = "inspect it; compromised releases of LiteLLM ran at every start of Python this way"
        yield Finding("start-up file", "bad", str(file), todo)


def _plugins(loaded: LoadedConfig) -> Iterable[Finding]:
    """Say of each enabled plugin whether it can be loaded. Checks none: that would run it."""
    from omni_tui.plugins.discovery import find_plugins
    from omni_tui.plugins.plugin_states import PluginStates

    states = PluginStates(loaded.paths.state_dir)
    found = {plugin.name: plugin for plugin in find_plugins()}
    known = states.read()
    if states.lost:
        yield Finding(
            "plugins", "bad", "the file that tells which are enabled is damaged", "enable them again"
        )
    for name, state in known.items():
        plugin, todo = found.get(name), f"omni-tui plugins enable {name}"
        if state.fault:
            yield Finding(f"plugin {name}", "note", f"switched off: {state.fault}", todo)
        elif state.enabled and plugin is None:
            yield Finding(
                f"plugin {name}", "bad", "enabled, but not installed", "install it, or disable it"
            )
        elif state.enabled and plugin is not None and plugin.problem:
            yield Finding(f"plugin {name}", "bad", plugin.problem, f"omni-tui plugins disable {name}")
        elif state.enabled and plugin is not None and plugin.version != state.version:
            what = f"enabled as {state.version}, but {plugin.version} is installed"
            yield Finding(f"plugin {name}", "bad", what, todo)
        elif state.enabled:
            yield Finding(f"plugin {name}", "ok", f"enabled, {state.package} {state.version}")


def startup_files(folders: Iterable[str]) -> list[Path]:
    """Return the files that run LiteLLM code at every start of Python: `*.pth` and `sitecustomize`."""
    suspects: list[Path] = []
    for folder in {Path(name).resolve() for name in folders if name}:
        if not folder.is_dir():
            continue
        for file in (*folder.glob("*.pth"), *folder.glob("*customize.py")):
            text = file.read_text("utf-8", "replace")
            runs = file.suffix == ".py" or any(
                line.startswith(("import ", "import\t")) for line in text.splitlines()
            )
            if runs and "litellm" in (file.name + text).lower():
                suspects.append(file)
    return sorted(suspects)


_CHECKS: tuple[Callable[[LoadedConfig], Iterable[Finding]], ...] = (
    _python,
    _terminal,
    _multiplexer,
    _clipboard,
    _database,
    _saved_state,
    _folders,
    _configuration,
    _references,
    _servers,
    _redis,
    _litellm,
    _plugins,
)
