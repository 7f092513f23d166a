"""Check the settings of one server before they are used, with the messages of `config check`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from omni_tui.config.problems import explain, problem
from omni_tui.config.references import UnresolvedReference, has_reference, names_a_secret, resolve
from omni_tui.config.sections import OAUTH_SECRETS, Config, ServerSection
from omni_tui.config.servers import name_problem, server_spec
from omni_tui.config.spec import ServerSource, ServerSpec
from omni_tui.protocol.events import Problem
from omni_tui.security.redaction import Redactor

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILLED_IN = re.compile(r"\$\{[^{}]*\}|\$[A-Za-z_][A-Za-z0-9_]*|%[A-Za-z_][A-Za-z0-9_]*%")
_HARMLESS = {"", "0", "1", "true", "false", "yes", "no", "on", "off", "none", "null"}
_PLACES = ("file", "path", "dir", "folder")
_WRITE = "write ${{{0}}} for an environment variable, or keyring:SERVICE/NAME"
_ELSEWHERE = "a secret belongs in env or headers, as ${NAME} or keyring:SERVICE/NAME"


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """The problems and warnings of settings, and the resulting spec (None if there are problems).

    `where` of a problem is the setting's name (`env.NAME` for a variable).
    """

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    spec: ServerSpec | None


def check_server(
    name: str,
    values: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    source: ServerSource,
    folder: FilePath,
    config: Config,
    kept: frozenset[str],
) -> ServerCheck:
    """Check settings in the shape of `[servers.NAME]`.

    `kept`: plain-text secrets that are already stored and not reported again, named like `where`.
    """
    problems: list[Problem] = []
    if wrong := name_problem(name):
        problems.append(problem("name", wrong))
    section: ServerSection | None = None
    try:
        given = {"servers": {name or "NAME": dict(values)}}
        section = Config.model_validate(given).servers[name or "NAME"]
    except ValidationError as error:
        for path, found in explain(error, FilePath("form"), ""):
            where = ".".join(str(part) for part in path[2 : 4 if path[2:3] != ("args",) else 3])
            problems.append(problem(where, found.what, found.todo))
    problems += [each for each in _secrets(values) if each.where not in kept]
    command = values.get("command")
    if isinstance(command, str) and _ADDRESS.match(command.strip()):
        what = "this is an address, and `command` names a program"
        todo = "put it under `url`: the server is reached by an address"
        problems.append(problem("command", what, todo))
    if problems or section is None:
        return ServerCheck(tuple(problems), (), None)
    spec = server_spec(name, section, source, environ, folder=folder, config=config)
    warnings = (*_unresolved(values, environ), *_literal(values))
    if spec.problem and not any(each.what in spec.problem for each in warnings):
        return ServerCheck((problem("", spec.problem),), (), None)
    return ServerCheck((), warnings, spec)


def _unresolved(values: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the references that do not resolve now: they are warnings."""
    oauth = values.get("oauth", {})
    named = {f"oauth.{name}": oauth.get(name) for name in OAUTH_SECRETS}
    for where, value in _values({**values, **named}, ("env", "headers", "token", *named)):
        try:
            resolve(value, environ)
        except UnresolvedReference as error:
            yield problem(where, str(error))


def _literal(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield values that look like references and are used literally."""
    for where, value in _values(values, ("command", "args", "cwd", "url")):
        if found := _FILLED_IN.search(value):
            what = f"{found[0]} is not filled in here and goes as it is written"
            yield problem(where, what, "write the value; ${NAME} counts in env, headers and token only")
        elif where in ("command", "args") and re.match(r"~(/|$)", value):
            yield problem(
                where, "~ is not filled in here and goes as it is written", "write the whole path"
            )
    command = values.get("command")
    if isinstance(command, str) and " " in command.strip() and not FilePath(command).expanduser().exists():
        what = "there is no program of this name; what follows the first word belongs under `args`"
        yield problem("command", what)


def _secrets(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each value that looks like a plain-text secret, without the value."""
    shape = Redactor().redact
    for where, value in _values(values, ("env", "headers")):
        key = where.partition(".")[2]
        if looks_secret(key, value, shape):
            name = "".join(c if c.isalnum() else "_" for c in key).upper()
            what = f"{where} looks like a secret, and none is written in the clear"
            yield problem(where, what, _WRITE.format(name))
    for where, value in _values(values, ("command", "args", "url")):
        if shape(value) != value:
            what = f"{where} seems to hold a secret, and none is written in the clear"
            yield problem(where, what, _ELSEWHERE)


def looks_secret(key: str, value: str, shape: Callable[[str], str]) -> bool:
    """Whether the value of a variable or header looks like a plain-text secret.

    `shape` redacts texts that look like secrets.
    """
    if has_reference(value):
        return False
    if shape(value) != value:
        return True
    place = any(word in key.lower() for word in _PLACES) and value.startswith(("/", "~", "."))
    return names_a_secret(key) and not place and value.strip().lower() not in _HARMLESS


def _values(values: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key in keys:
        value = values.get(key)
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", text) for name, text in value.items() if isinstance(text, str))
        elif isinstance(value, list):
            yield from ((key, text) for text in value if isinstance(text, str))
        elif isinstance(value, str) and value:
            yield key, value
