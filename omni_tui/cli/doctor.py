"""`doctor`: check what Omni TUI needs on this machine."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from omni_tui import __version__
from omni_tui.cli.configuration import key_problems
from omni_tui.cli.options import launch_options
from omni_tui.cli.output import ExitStatus, print_json, print_result
from omni_tui.config.load import LoadedConfig, load_config

LITELLM_VERSION = "1.106.2"
"""The only trusted version; two releases of that year were compromised."""

_OLDEST_SQLITE = (3, 37)
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
    loaded = load_config(launch_options(arguments), os.environ)
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


def _python(loaded: LoadedConfig) -> Iterable[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Finding("Python", "ok" if good else "bad", version, "" if good else "3.11 or newer is needed")
    yield Finding("Omni TUI", "ok", __version__)


def _terminal(loaded: LoadedConfig) -> Iterable[Finding]:
    if not sys.stdout.isatty():
        yield Finding("terminal", "note", "the output is not a terminal; the app cannot start here")
        return
    term, colour = os.environ.get("TERM", ""), os.environ.get("COLORTERM", "")
    deep = colour in {"truecolor", "24bit"} or "direct" in term
    plain = term in {"", "dumb", "unknown"}
    yield Finding(
        "terminal",
        "bad" if plain else "ok" if deep else "note",
        f"TERM={term or '(not set)'} COLORTERM={colour or '(not set)'}",
        "TERM is not a terminal that can be drawn on"
        if plain
        else ""
        if deep
        else "colors are approximate; if your terminal has 16 million, set COLORTERM=truecolor",
    )
    columns, rows = shutil.get_terminal_size()
    small = columns < 80 or rows < 24
    yield Finding(
        "size", "note" if small else "ok", f"{columns}×{rows}", "80×24 or more is needed" if small else ""
    )


def _multiplexer(loaded: LoadedConfig) -> Iterable[Finding]:
    if not os.environ.get("TMUX"):
        return
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

    good = sqlite3.sqlite_version_info >= _OLDEST_SQLITE
    todo = "" if good else "3.37 or newer is needed; use a newer Python"
    yield Finding("SQLite", "ok" if good else "bad", sqlite3.sqlite_version, todo)


def _key_store(loaded: LoadedConfig) -> Iterable[Finding]:
    from omni_tui.memory import VaultRefused
    from omni_tui.memory.keys import PASSPHRASE, find_keys

    try:
        found = find_keys(loaded.paths.state_dir, os.environ, make=False)
    except (VaultRefused, OSError) as error:
        yield Finding("key store", "bad", str(error))
        return
    if found.missing:
        yield Finding("key store", "bad", found.missing)
    if not found.keys:
        what = "no key yet; the first saved session makes one"
        yield Finding("key store", "note", what, f"to avoid a key file, set {PASSPHRASE} or use a keyring")
    elif found.advice:
        what = f"a key file of mode 0600 ({loaded.paths.state_dir / 'vault.key'})"
        yield Finding("key store", "note", what, f"set {PASSPHRASE}, or unlock a keyring")
    else:
        yield Finding("key store", "ok", f"the {found.keys[0].kind}")


def _saved_sessions(loaded: LoadedConfig) -> Iterable[Finding]:
    """Count the sessions that cannot be read, without making a key or opening a session."""
    from omni_tui.memory import Vault, VaultRefused, list_sessions
    from omni_tui.memory.keys import find_keys

    state = loaded.paths.state_dir
    if not (state / "sessions").is_dir():
        return
    try:
        keys = find_keys(state, os.environ, make=False).keys
    except (VaultRefused, OSError):
        return  # reported by the key store
    if not keys:
        return
    found = list_sessions(state, Vault(keys[0], tuple(keys[1:])))
    if found.unreadable:
        what = f"{len(found.unreadable)} of {len(found.unreadable) + len(found.sessions)} cannot be read"
        yield Finding("sessions", "bad", what, "omni-tui sessions list shows which and why")
    else:
        yield Finding("sessions", "ok", f"{len(found.sessions)} saved")


def _folders(loaded: LoadedConfig) -> Iterable[Finding]:
    for name, folder in (("state folder", loaded.paths.state_dir), ("log folder", loaded.paths.log_dir)):
        nearest = next(place for place in (folder, *folder.parents) if place.exists())
        good = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
        todo = "" if good else f"{nearest} is not writable; use another folder with --state-dir"
        yield Finding(name, "ok" if good else "bad", str(folder), todo)


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
    found = list(loaded.config.references(os.environ))
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
            todo = "" if found else "install it, or write its full path in the config"
            what = found or f"the command {spec.command} is not found"
            yield Finding(name, "ok" if found else "bad", what, todo)


def _redis(loaded: LoadedConfig) -> Iterable[Finding]:
    """Report that Redis is set but unused."""
    if loaded.redis is not None:
        where = f"{loaded.redis.host}:{loaded.redis.port}"
        what = f"REDIS_HOST is {where}; this version does not use Redis"
        yield Finding("Redis", "note", what, "you can leave REDIS_HOST set: it does nothing yet")


def _litellm(loaded: LoadedConfig) -> Iterable[Finding]:
    """Check the version, and look for the start-up files that compromised releases left."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("litellm")
    except PackageNotFoundError:
        yield Finding("LiteLLM", "bad", "not installed", f"pip install litellm=={LITELLM_VERSION}")
        return
    todo = f"only {LITELLM_VERSION} is trusted: pip install litellm=={LITELLM_VERSION}"
    good = found == LITELLM_VERSION
    yield Finding("LiteLLM", "ok" if good else "bad", found, "" if good else todo)
    for file in startup_files(sys.path):
        todo = "inspect it; compromised releases of LiteLLM ran at every start of Python this way"
        yield Finding("start-up file", "bad", str(file), todo)


def _tiny(loaded: LoadedConfig) -> Iterable[Finding]:
    from omni_tui.models import TINY_NAMES
    from omni_tui.models.tiny import INSTALL, LABEL, installed, parts

    config = loaded.config.model
    used = not TINY_NAMES.isdisjoint({config.name, *config.fallbacks})
    if installed():
        yield Finding("tiny model", "ok", f"installed: a {LABEL} (/model tiny)")
        return
    missing = " and ".join(parts().missing) or "the model's file"
    todo = " and then ".join(INSTALL)
    yield Finding("tiny model", "bad" if used else "note", f"not installed; missing: {missing}", todo)


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
    _key_store,
    _saved_sessions,
    _folders,
    _configuration,
    _references,
    _servers,
    _redis,
    _litellm,
    _tiny,
)
