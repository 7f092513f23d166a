"""The layers of a configuration: defaults < user file < project file < environment < flags.

Each layer is validated alone, so that a mistake is reported with its place and the rest still counts. The
project's layer can restrict what the person allows, never extend it (`tightened`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import msgspec
from pydantic import ValidationError

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
from omni_tui.config.sections import STRICTNESS, Config
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol.events import Problem
from omni_tui.security.files import open_regular

LARGEST_FILE = 1 << 20


@dataclass(slots=True)
class Layer:
    """The validated settings of one source, in the shape of a file.

    `broken`: servers whose settings have mistakes, with the reason; they are listed and never started.
    `confined`: the problems that concern only such a server.
    """

    where: str
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    confined: list[Problem] = field(default_factory=list)
    text: str = ""


def read_layer(file: FilePath, *, required: bool) -> Layer:
    """Read and validate a TOML file. A missing file is an empty layer, or a mistake if required."""
    layer = Layer(where=str(file))
    try:
        with open_regular(file) as opened:
            data = opened.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise ValueError(f"it is longer than {LARGEST_FILE} bytes")
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
        _judge(layer, lambda mistake: explain(mistake, file, layer.text))
    return layer


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Return the layer of the environment. `LLM_API_KEY` and `REDIS_*` are read where they are used."""
    name = environ.get("OMNI_TUI_MODEL", "")
    layer = Layer(where=ENVIRONMENT, values={"model": {"name": name}} if name else {})
    _judge(layer, lambda mistake: _explained(mistake, layer.where))
    return layer


def flags_layer(options: LaunchOptions) -> Layer:
    """Return the layer of the command line."""
    layer = Layer(where=COMMAND_LINE)
    model = {
        key: value for key, value in (("name", options.model), ("api_base", options.api_base)) if value
    }
    if model:
        layer.values["model"] = model
    if options.mode:
        layer.values["agent"] = {"mode": options.mode}
    _judge(layer, lambda mistake: _explained(mistake, layer.where))
    return layer


def _explained(mistake: ValidationError, where: str) -> list[tuple[KeyPath, Problem]]:
    """Explain the mistakes of a layer without a file, each at its variable or flag."""
    found = explain(mistake, FilePath(where), "")
    return [(path, msgspec.structs.replace(what, where=location_text(where, path))) for path, what in found]


def _judge(layer: Layer, told: Callable[[ValidationError], list[tuple[KeyPath, Problem]]]) -> None:
    """Remove mistakes from the layer, and record why, until the rest is valid."""
    seen: set[str] = set()
    while True:
        try:
            Config.model_validate(layer.values)
        except ValidationError as mistake:
            for path, what in told(mistake):
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
    return Config.model_validate(values), origins


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
        reason = _refusal(path, value, base)
        if reason:
            del layer.values[path[0]][path[1]]
            where = f"{layer.where}:{positions.line(path)}"
            refused.append(problem(where, f"a project file may not set {dotted(path)}: {reason}", _REMEDY))
    return refused


_REMEDY = "remove it from the project's file; set it in your own config if you want it"


def _refusal(path: tuple[str, ...], value: Any, base: Config) -> str:
    """Return why a project may not set this, "" if it may."""
    section, key = path
    if section == "policy":
        return _looser(STRICTNESS[value], STRICTNESS[base.policy.decisions()[key]])
    if path == ("agent", "mode"):
        return "" if value in {"chat", base.agent.mode} else "the mode it asks for covers more than yours"
    if path in _LOWER_ONLY:
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


def _looser(wanted: int, own: int) -> str:
    return "" if wanted >= own else "it would loosen what you set"


_LOWER_ONLY = {
    ("agent", "max_steps"),
    ("agent", "parallel"),
    ("agent", "max_requests"),
    ("agent", "max_minutes"),
    ("tools", "call_timeout"),
    ("tools", "result_limit"),
    ("tools", "offered"),
    ("tools", "concurrency"),
    ("tools", "server_concurrency"),
    ("tools", "cache_ttl"),
    ("model", "max_tokens"),
    ("sampling", "max_tokens"),
    ("sampling", "session_tokens"),
    ("model", "context"),
}
_OWNED = {
    "model": "it decides where your conversation and your key are sent",
    "models": "it decides where your conversation and your keys are sent",
    "agent": "it would speak to the model in your name",
    "keys": "it could bind another action to a key you know",
    "ui": "only you choose the look",
    "tools": "only you decide which calls are repeated, rerouted or cached",
}
