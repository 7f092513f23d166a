"""What a bundle would run: its manifest (versions 0.1 to 0.4) with the person's values. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omni_tui.config.references import has_reference
from omni_tui.public_registry.launch import Launch, LaunchQuestion, answer_problem
from omni_tui.public_registry.server_entry import (
    MAX_PARTS,
    MAX_TEXT,
    RegistryError,
    RegistryInput,
)

VERSIONS = ("0.1", "0.2", "0.3", "0.4")
_TYPES = ("node", "python", "binary", "uv")
_PLACE = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMATS = {"number": "number", "boolean": "boolean", "directory": "filepath", "file": "filepath"}


@dataclass(frozen=True, slots=True)
class BundleLaunch:
    """How a bundle is run. `folder` is where it is unpacked to; `places` are its variables, as `HOME`."""

    identifier: str
    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    config: Mapping[str, Mapping[str, Any]]
    places: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    kind: str = "mcpb"


def bundle_launch(
    manifest: Mapping[str, Any], *, folder: str, home: str, platform: str, separator: str = "/"
) -> BundleLaunch:
    """Return how a bundle is run on a platform (`sys.platform`). Raises `RegistryError`."""
    version = manifest.get("manifest_version", manifest.get("dxt_version"))
    if version not in VERSIONS:
        raise RegistryError(f"its manifest has the version {str(version)[:20]!r}, not {VERSIONS[0]} to 0.4")
    server = _table(manifest.get("server"))
    kind, entry = server.get("type"), server.get("entry_point")
    if kind not in _TYPES or not isinstance(entry, str):
        raise RegistryError(f"its manifest names no server of a kind that is known: {', '.join(_TYPES)}")
    given = dict(_table(server.get("mcp_config")))
    overrides = _table(given.pop("platform_overrides", None))
    given |= _table(overrides.get(platform))
    if not given and kind == "uv":
        given = {"command": "uv", "args": ["run", "--directory", "${__dirname}", f"${{__dirname}}/{entry}"]}
    platforms = _table(manifest.get("compatibility")).get("platforms")
    problem = ""
    if isinstance(platforms, list) and platforms and platform not in platforms:
        problem = f"it is for {', '.join(map(str, platforms))[:100]}, not for {platform}"
    places = {
        "__dirname": folder,
        "HOME": home,
        "DESKTOP": f"{home}{separator}Desktop",
        "DOCUMENTS": f"{home}{separator}Documents",
        "DOWNLOADS": f"{home}{separator}Downloads",
        "/": separator,
        "pathSeparator": separator,
    }
    config = {
        name: _table(asked)
        for name, asked in _table(manifest.get("user_config")).items()
        if isinstance(name, str)
    }
    args, env = given.get("args", []), _table(given.get("env"))
    if not isinstance(args, list) or max(len(args), len(env), len(config)) > MAX_PARTS:
        raise RegistryError(f"its manifest has more than {MAX_PARTS} arguments, variables or settings")
    return BundleLaunch(
        identifier=str(manifest.get("name", ""))[:200],
        command=_text(given.get("command")),
        args=tuple(map(_text, args)),
        env={_text(name): _text(value) for name, value in env.items()},
        config=config,
        places=places,
        problem=problem,
    )


def bundle_questions(bundle: BundleLaunch) -> tuple[LaunchQuestion, ...]:
    """Return what a bundle asks for. Raises `RegistryError`."""
    asked = tuple(_question(name, table, bundle.places) for name, table in bundle.config.items())
    derive_bundle(bundle, {})
    return asked


def derive_bundle(bundle: BundleLaunch, answers: Mapping[str, str]) -> Launch:
    """Return the command of a bundle with the person's answers. Raises `RegistryError`."""
    if bundle.problem:
        raise RegistryError(bundle.problem)
    if not bundle.command:
        raise RegistryError("its manifest names no command")
    values, missing, wrong = _answered(bundle, answers)
    secrets = {name for name, table in bundle.config.items() if table.get("sensitive") is True}
    filler = _Filler(bundle.places, values, secrets)
    command = filler.fill(bundle.command, secret=False)
    args = [word for each in bundle.args for word in filler.words(each)]
    env = {}
    for name, value in bundle.env.items():
        if not _NAME.fullmatch(name):
            raise RegistryError(f"it wants a variable called {name!r}, which no variable may be called")
        filled = filler.fill(value, secret=True)
        if filled:
            env[name] = filled
    return Launch(
        command=command,
        args=tuple(args),
        env=env,
        missing=tuple(missing),
        wrong=wrong,
        note=f"Left out, because a secret would stand in its command: {', '.join(filler.left_out)}"
        if filler.left_out
        else "",
    )


def _answered(
    bundle: BundleLaunch, answers: Mapping[str, str]
) -> tuple[dict[str, list[str]], list[str], dict[str, str]]:
    """Return the values of each setting, the ids of those that are missing, and what is wrong by id."""
    missing: list[str] = []
    wrong: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, table in bundle.config.items():
        question = _question(name, table, bundle.places)
        answer = answers.get(question.id, "").strip() or question.asked.default
        values[name] = []
        if not answer:
            missing += [question.id] if question.asked.required else []
            continue
        try:
            values[name] = shlex.split(answer) if question.repeated else [answer]
        except ValueError as error:
            wrong[question.id] = f"the values cannot be told apart: {str(error).lower()}"
            continue
        problems = (answer_problem(question.asked, each) or _range(table, each) for each in values[name])
        if problem := next(filter(None, problems), ""):
            wrong[question.id] = problem
            values[name] = []
    return values, missing, wrong


class _Filler:
    """Fills in `${…}` of a manifest. What is unknown, or would be a reference of ours, is refused."""

    def __init__(
        self, places: Mapping[str, str], values: Mapping[str, list[str]], secrets: set[str]
    ) -> None:
        self._places = places
        self._values = values
        self._secrets = secrets
        self.left_out: list[str] = []

    def words(self, text: str) -> list[str]:
        """Return the words of one argument: several where it is a setting with several values."""
        found = _PLACE.fullmatch(text)
        name = found[1].removeprefix("user_config.") if found else ""
        if found and found[1].startswith("user_config.") and name in self._values:
            if name in self._secrets:
                self.left_out += [name] if self._values[name] else []
                return []
            return list(self._values[name])
        filled = self.fill(text, secret=False)
        return [filled] if filled or not text else []

    def fill(self, text: str, *, secret: bool) -> str:
        """Return a text with its values; "" if one is missing, or is a secret that may not stand there."""
        filled: list[str] = []
        own: list[str] = []
        at = 0
        for found in _PLACE.finditer(text):
            name = found[1].removeprefix("user_config.")
            before = text[at : found.start()]
            if found[1] in self._places:
                value = mine = self._places[found[1]]
            elif found[1].startswith("user_config.") and name in self._values:
                several = self._values[name]
                if not several:
                    return ""
                if name in self._secrets and not secret:
                    self.left_out.append(name)
                    return ""
                value = mine = ",".join(several)
                if name in self._secrets and has_reference(value):
                    mine = "x"
            else:
                raise RegistryError(f"it would read {found[0][:60]!r} of your environment; that is refused")
            filled += [before, value]
            own += [before, mine]
            at = found.end()
        if has_reference("".join([*own, text[at:]])):
            raise RegistryError("it would read a variable of your environment; that is refused")
        return "".join([*filled, text[at:]])


def _question(name: str, table: Mapping[str, Any], places: Mapping[str, str]) -> LaunchQuestion:
    several = table.get("multiple") is True
    form = _FORMATS.get(str(table.get("type")), "string")
    default = table.get("default")
    if isinstance(default, list):
        text = shlex.join(map(_text, default)) if several else ""
    else:
        text = "" if default is None else _text(default)
    filled = _Filler(places, {}, set()).fill(text, secret=False)
    asked = RegistryInput(
        description=_text(table.get("description"))[:400],
        required=table.get("required") is True,
        secret=table.get("sensitive") is True,
        format=form,  # type: ignore[arg-type]
        default=filled,
    )
    return LaunchQuestion(f"config.{name}", _text(table.get("title")) or name, asked, several)


def _range(table: Mapping[str, Any], answer: str) -> str:
    """Return why a number is out of its range, "" if it is not."""
    if table.get("type") != "number":
        return ""
    for key, sign, words in (("min", -1, "at least"), ("max", 1, "at most")):
        limit = table.get(key)
        if isinstance(limit, int | float) and (float(answer) - limit) * sign > 0:
            return f"it must be {words} {limit:g}"
    return ""


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Return a text of a manifest. Raises `RegistryError` for one that no command may have."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = str(value).encode("utf-8", "backslashreplace").decode() if value is not None else ""
    if len(text) > MAX_TEXT or not text.isprintable():
        raise RegistryError("its manifest has a value that is too long, or has characters that do not show")
    return text
