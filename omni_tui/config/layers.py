"""The layers of a configuration: defaults < user file < project file < environment < flags.

Each layer is validated alone, so that a mistake is reported with its place and the rest still counts. The
project's layer can restrict what the person allows, never extend it (`tightened`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Literal

import msgspec
from pydantic import ValidationError

from omni_tui.config.policy_rules import take_rules
from omni_tui.config.problems import (
    COMMAND_LINE,
    ENVIRONMENT,
    KeyPath,
    TomlPositions,
    dotted,
    explain,
    location_text,
    problem,
    remove_key,
    syntax_problem,
)
from omni_tui.config.sections import STRICTNESS, Config, PolicySection, stricter
from omni_tui.policy import Rule, RuleScope
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol.events import Problem
from omni_tui.security.files import open_regular

LARGEST_FILE = 1 << 20
LARGEST_RULES_FILE = 8 << 20


@dataclass(slots=True)
class Layer:
    """The validated settings of one source, in the shape of a file.

    `broken`: servers whose settings have mistakes, with the reason; they are listed and never started.
    `confined`: the problems that concern only such a server. `rules`: those that can be read.
    """

    where: str
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    confined: list[Problem] = field(default_factory=list)
    text: str = ""
    rules: tuple[Rule, ...] = ()


def read_layer(
    file: FilePath,
    *,
    required: bool,
    scope: RuleScope = "user",
    made: Literal["file", "card"] = "file",
    largest: int = LARGEST_FILE,
) -> Layer:
    """Read and validate a TOML file. A missing file is an empty layer, or a mistake if required.

    `scope` and `made` are those of its rules.
    """
    layer = Layer(where=str(file))
    try:
        with open_regular(file) as opened:
            data = opened.read(largest + 1)
        if len(data) > largest:
            raise ValueError(f"it is longer than {largest} bytes")
        layer.text = data.decode("utf-8").replace("\r\n", "\n")
        values = tomllib.loads(layer.text)
    except FileNotFoundError:
        if required:
            layer.problems.append(problem(str(file), "there is no such config file", "check --config"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        layer.problems.append(problem(str(file), f"cannot be read: {reason}", "check the file's rights"))
    except tomllib.TOMLDecodeError as error:
        layer.problems.append(syntax_problem(file, error, layer.text))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"this is not UTF-8 text: byte 0x{data[error.start]:02X}"
        layer.problems.append(problem(f"{file}:{line}", what, "save the file as UTF-8"))
    except (ValueError, RecursionError) as error:
        layer.problems.append(problem(str(file), f"this is not TOML: {error}", "correct or move the file"))
    else:
        layer.values = values
        layer.rules, mistakes = take_rules(values, file, layer.text, scope=scope, made=made)
        layer.problems += mistakes
        _validate(layer)
    return layer


def read_rules_file(file: FilePath) -> Layer:
    """Read the app's own `rules.toml`, which has rules and nothing else. It may be missing."""
    layer = read_layer(file, required=False, made="card", largest=LARGEST_RULES_FILE)
    positions = TomlPositions(layer.text)
    for path, _ in leaves(layer.values):
        what = f"{dotted(path)} does not belong here: this file holds only rules"
        todo = "move it to your config file"
        layer.problems.append(problem(f"{file}:{positions.line(path)}", what, todo))
    layer.values = {}
    return layer


def environment_layer(environ: Mapping[str, str], where: str = ENVIRONMENT) -> Layer:
    """Return the layer of the environment. `LLM_API_KEY` and `REDIS_*` are read where they are used.

    `where` is the file and line of the model's name, if an env file has it.
    """
    name = environ.get("OMNI_TUI_MODEL", "")
    layer = Layer(where=where, values={"model": {"name": name}} if name else {})
    _validate(layer)
    return layer


def flags_layer(options: LaunchOptions) -> Layer:
    """Return the layer of the command line."""
    given = {
        "model": {"name": options.model, "api_base": options.api_base},
        "agent": {"mode": options.mode},
    }
    values = {
        section: {key: value for key, value in keys.items() if value} for section, keys in given.items()
    }
    layer = Layer(where=COMMAND_LINE, values={section: keys for section, keys in values.items() if keys})
    _validate(layer)
    return layer


def _validate(layer: Layer) -> None:
    """Remove mistakes from the layer, and record why, until the rest is valid."""
    seen: set[str] = set()
    while True:
        try:
            Config.model_validate(layer.values)
        except ValidationError as mistake:
            for path, what in explain(mistake, FilePath(layer.where), layer.text):
                if layer.where in (ENVIRONMENT, COMMAND_LINE):
                    what = msgspec.structs.replace(what, where=location_text(layer.where, path))
                fresh = what.where + what.what not in seen
                seen.add(what.where + what.what)
                if fresh:
                    layer.problems.append(what)
                if len(path) >= 2 and path[0] == "servers":
                    layer.broken.setdefault(str(path[1]), f"{what.what} ({what.where})")
                    layer.confined += [what] if fresh else []
                    path = path[:2]
                remove_key(layer.values, path)
        else:
            return


def merged(layers: list[Layer]) -> tuple[Config, dict[KeyPath, str]]:
    """Merge valid layers; the last one with a key wins.

    Returns the configuration and the origin of each key that is not at its default.
    """
    values: dict[str, Any] = {}
    origins: dict[KeyPath, str] = {}
    for layer in layers:
        positions = TomlPositions(layer.text)
        for path, value in leaves(layer.values):
            table = values
            for part in path[:-1]:
                table = table.setdefault(part, {})
            table[path[-1]] = value
            origins[path] = f"{layer.where}:{positions.line(path)}" if layer.text else layer.where
    servers = _policy_of_servers([layer.values.get("policy", {}) for layer in layers])
    if servers:
        values["policy"]["servers"] = servers
    return Config.model_validate(values), origins


def _policy_of_servers(sections: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the decisions for single servers: the strictest of what each layer means for one.

    The first layer is the person's. A later one restricts it, also where it names only a mode.
    """
    given = [section for section in sections if section]
    if len(given) < 2:
        return dict(given[0].get("servers", {})) if given else {}
    own = PolicySection.model_validate(sections[0])
    silent = {"chat": "allow", "auto": "allow"}
    others = [PolicySection.model_validate(silent | section) for section in sections[1:] if section]
    names = dict.fromkeys(name for section in (own, *others) for name in section.servers)
    decisions = {name: [section.decisions_for(name) for section in (own, *others)] for name in names}
    return {
        name: {mode: stricter(*(each[mode] for each in found)) for mode in found[0]}
        for name, found in decisions.items()
    }


def leaves(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each `(section, key)` with its value. A server or a model is one value, never merged."""
    for section, content in values.items():
        for key, value in content.items():
            yield (section, key), value


def tightened(layer: Layer, base: Config) -> list[Problem]:
    """Keep in a project's layer only what restricts `base`, and its servers; return what was refused.

    Kept: stricter decisions, mode "chat", lower limits, more servers (the person must allow them).
    """
    positions = TomlPositions(layer.text)
    refused: list[Problem] = []
    for path, value in list(leaves(layer.values)):
        if path == ("policy", "servers"):
            refused += _loose_servers(layer, value, base, positions)
            continue
        reason = _refusal(path, value, base)
        if reason:
            del layer.values[path[0]][path[1]]
            where = f"{layer.where}:{positions.line(path)}"
            refused.append(problem(where, f"a project file may not set {dotted(path)}: {reason}", _REMEDY))
    return refused


def _loose_servers(
    layer: Layer, servers: dict[str, dict[str, Any]], base: Config, positions: TomlPositions
) -> list[Problem]:
    """Remove the decisions for single servers that would loosen what the person set; return them."""
    refused: list[Problem] = []
    for name, decisions in servers.items():
        own = base.policy.decisions_for(name)
        loose = [
            mode
            for mode, decision in own.items()
            if mode in decisions and stricter(decisions[mode], decision) != decisions[mode]
        ]
        for key in [*loose, *(["trusted"] if decisions.get("trusted") else [])]:
            del decisions[key]
            path: KeyPath = ("policy", "servers", name, key)
            what = f"a project file may not set {dotted(path)}: {_LOOSER}"
            refused.append(problem(f"{layer.where}:{positions.line(path)}", what, _REMEDY))
    return refused


_LOOSER = "it would loosen what you set"
_REMEDY = "remove it from the project's file; set it in your own config if you want it"


def _refusal(path: tuple[str, ...], value: Any, base: Config) -> str:
    """Return why a project may not set this, "" if it may."""
    section, key = path
    if path == ("policy", "expire_after"):
        limit = base.policy.expire_after
        return "" if value and (not limit or value <= limit) else f"it is more than your {limit:g}"
    if section == "policy":
        own = base.policy.decisions()[key]
        return "" if STRICTNESS[value] >= STRICTNESS[own] else _LOOSER
    if path == ("agent", "mode"):
        return "" if value in {"chat", base.agent.mode} else "the mode it asks for covers more than yours"
    if key in _LOWER_ONLY.get(section, ()):
        limit = getattr(getattr(base, section), key)
        return "" if limit is None or value <= limit else f"it is more than your {limit:g}"
    if section == "budget":
        limit = getattr(base.budget, key)
        return "" if value and (not limit or value <= limit) else f"it is more than your {limit:g}"
    if section == "servers":
        return "your own config has a server of that name" if key in base.servers else ""
    if path in {("model", "temperature"), ("model", "top_p")}:
        return ""
    return _OWNED.get(section, "only your own config sets this")


_LOWER_ONLY = {
    "agent": {"max_steps", "parallel", "max_requests", "max_minutes"},
    "model": {"max_tokens", "context"},
    "sampling": {"max_tokens", "session_tokens"},
    "tools": {"call_timeout", "result_limit", "offered", "concurrency", "server_concurrency", "cache_ttl"},
}
_OWNED = {
    "model": "it decides where your conversation and your key are sent",
    "models": "it decides where your conversation and your keys are sent",
    "agent": "it would speak to the model in your name",
    "env": "it would read a file in your name",
    "keys": "it could bind another action to a key you know",
    "ui": "only you choose the look",
    "memory": "it decides where your sessions are stored",
    "registry": "it decides which servers you are offered",
    "telemetry": "it decides who is told what you do",
    "log": "it decides what is written of what you do",
    "tools": "only you decide which calls are repeated, rerouted or cached",
}
