"""One server as the public registry describes it: `server.json` of 2025-12-11, and its older spelling.

Entries from before 2025-09-16 are written in snake_case; private registries still send them. A package or
address that cannot be read is left out and named; the rest of the entry stays.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MAX_TEXT = 4_096
"""Longest text of an entry that counts, in characters. A longer one makes its package unusable."""
MAX_PARTS = 100
"""The most arguments, variables or headers of one package, and the most values of one input."""
MAX_LAUNCHES = 12
"""The most packages and addresses of one server."""
_DEPTH = 2
_OFFICIAL = "io.modelcontextprotocol.registry/official"
_NAME = re.compile(r"[A-Za-z0-9.-]{1,150}/[A-Za-z0-9._-]{1,150}")

Status = Literal["active", "deprecated", "deleted"]
Format = Literal["string", "number", "boolean", "filepath"]


class RegistryError(Exception):
    """What the registry or an entry of it prevents: what happened, and what to do."""

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo


@dataclass(frozen=True, slots=True)
class RegistryInput:
    """A value that a server wants. `value` is fixed, with `variables` in `{curly}` brackets; None: ask."""

    description: str = ""
    required: bool = False
    secret: bool = False
    format: Format = "string"
    default: str = ""
    placeholder: str = ""
    choices: tuple[str, ...] = ()
    value: str | None = None
    variables: Mapping[str, RegistryInput] | None = None


@dataclass(frozen=True, slots=True)
class RegistryArgument:
    """One argument. `flag` is the name of a named one with its dashes, "" for a positional one."""

    input: RegistryInput
    flag: str = ""
    hint: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class RegistryPackage:
    """A package that a runner fetches and starts. `kind` is npm, pypi, oci, nuget, mcpb or another word."""

    kind: str
    identifier: str
    version: str = ""
    base_url: str = ""
    sha256: str = ""
    runner_arguments: tuple[RegistryArgument, ...] = ()
    arguments: tuple[RegistryArgument, ...] = ()
    environment: tuple[tuple[str, RegistryInput], ...] = ()
    transport: str = "stdio"


@dataclass(frozen=True, slots=True)
class RegistryRemote:
    """A server that runs elsewhere. `kind` is streamable-http, sse or another word."""

    kind: str
    url: str
    headers: tuple[tuple[str, RegistryInput], ...] = ()
    variables: Mapping[str, RegistryInput] | None = None


@dataclass(frozen=True, slots=True)
class RegistryServer:
    """One version of a server. `digest` identifies the entry exactly. `problems` name what is left out."""

    name: str
    version: str
    digest: str
    title: str = ""
    description: str = ""
    status: Status = "active"
    status_message: str = ""
    latest: bool = True
    published: str = ""
    repository: str = ""
    website: str = ""
    packages: tuple[RegistryPackage, ...] = ()
    remotes: tuple[RegistryRemote, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def launches(self) -> tuple[RegistryPackage | RegistryRemote, ...]:
        """The ways to run or reach it, packages first."""
        return (*self.packages, *self.remotes)


def read_entry(entry: Any) -> RegistryServer:
    """Read one element of `servers`: `{server, _meta}`, or the server itself. Raises `RegistryError`."""
    if not isinstance(entry, dict):
        raise RegistryError("an entry is not an object")
    server = entry.get("server", entry)
    if not isinstance(server, dict):
        raise RegistryError("an entry has no server")
    name = _text(server.get("name"))
    if not _NAME.fullmatch(name):
        raise RegistryError(f"an entry has the name {name[:100]!r}, which is not NAMESPACE/NAME")
    official = _official(entry, server)
    detail = _table(_get(server, "versionDetail"))
    problems: list[str] = []
    packages = _each(_get(server, "packages"), _package, problems, "package")
    remotes = _each(_get(server, "remotes"), _remote, problems, "address")
    if len(packages) + len(remotes) > MAX_LAUNCHES:
        problems.append(f"only the first {MAX_LAUNCHES} of its packages and addresses are shown")
        packages = packages[:MAX_LAUNCHES]
        remotes = remotes[: MAX_LAUNCHES - len(packages)]
    repository = _get(server, "repository")
    status = _text(official.get("status") or server.get("status")).lower()
    latest = _get(official, "isLatest")
    return RegistryServer(
        name=name,
        version=_text(server.get("version") or detail.get("version")),
        digest=_digest(entry),
        title=_text(server.get("title")),
        description=_text(server.get("description")),
        status="deleted" if status == "deleted" else "deprecated" if status == "deprecated" else "active",
        status_message=_text(_get(official, "statusMessage")),
        latest=latest if isinstance(latest, bool) else _get(detail, "isLatest") is not False,
        published=_text(_get(official, "publishedAt") or _get(detail, "releaseDate")),
        repository=_text(_table(repository).get("url") if isinstance(repository, dict) else repository),
        website=_text(_get(server, "websiteUrl")),
        packages=packages,
        remotes=remotes,
        problems=tuple(problems),
    )


def _official(entry: dict[str, Any], server: dict[str, Any]) -> dict[str, Any]:
    """Return what the registry itself says of an entry, wherever a version of it puts that."""
    for holder in (entry, server):
        meta = _table(holder.get("_meta"))
        if isinstance(meta.get(_OFFICIAL), dict):
            return _table(meta[_OFFICIAL])
    return _table(entry.get("x-" + _OFFICIAL.partition("/")[0]))


def _digest(entry: dict[str, Any]) -> str:
    text = json.dumps(entry, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: "_" + found[0].lower(), name)


def _get(table: Mapping[str, Any], name: str) -> Any:
    """Return a value by its name of today, or in the older spelling."""
    return table[name] if name in table else table.get(_snake(name))


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Return a text or a plain value as text, "" for anything else. JSON may hold lone surrogates."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        return str(value)[: MAX_TEXT + 1].encode("utf-8", "backslashreplace").decode()
    return ""


def _each(value: Any, read: Any, problems: list[str], what: str) -> tuple[Any, ...]:
    """Read each element of a list; name those that cannot be read."""
    found = []
    for number, each in enumerate(value if isinstance(value, list) else [], 1):
        if number > 4 * MAX_LAUNCHES:
            break
        try:
            found.append(read(each))
        except RegistryError as error:
            problems.append(f"{what} {number} is left out: {error}")
    return tuple(found)


def _package(value: Any) -> RegistryPackage:
    if not isinstance(value, dict):
        raise RegistryError("it is not an object")
    kind = _text(_get(value, "registryType") or _get(value, "registryName")).lower()
    identifier = _text(value.get("identifier") or value.get("name"))
    if not kind or not identifier:
        raise RegistryError("it names no kind or no package")
    transport = _get(value, "transport")
    return RegistryPackage(
        kind=kind,
        identifier=identifier,
        version=_text(value.get("version")),
        base_url=_text(_get(value, "registryBaseUrl")),
        sha256=_text(_get(value, "fileSha256")),
        runner_arguments=_arguments(_get(value, "runtimeArguments")),
        arguments=_arguments(_get(value, "packageArguments")),
        environment=_named(_get(value, "environmentVariables")),
        transport=_text(_table(transport).get("type")).lower() or "stdio",
    )


def _remote(value: Any) -> RegistryRemote:
    if not isinstance(value, dict):
        raise RegistryError("it is not an object")
    kind = _text(value.get("type") or _get(value, "transportType")).lower()
    url = _text(value.get("url"))
    if not url:
        raise RegistryError("it has no address")
    variables = _variables(value.get("variables"), _DEPTH)
    return RegistryRemote(kind, url, _named(value.get("headers")), variables)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise RegistryError("it has something else in the place of a list")
    if len(value) > MAX_PARTS:
        raise RegistryError(f"it has more than {MAX_PARTS} arguments, variables or headers")
    return value


def _arguments(value: Any) -> tuple[RegistryArgument, ...]:
    found = []
    for each in _list(value):
        if isinstance(each, str):  # as some write a fixed argument
            found.append(RegistryArgument(RegistryInput(value=_whole(each))))
            continue
        if not isinstance(each, dict):
            raise RegistryError("an argument of it is not an object")
        named = _text(each.get("type")).lower() == "named"
        flag = _whole(each.get("name")) if named else ""
        if named and not flag:
            raise RegistryError("a named argument of it has no name")
        hint = _text(_get(each, "valueHint"))
        found.append(RegistryArgument(_input(each), flag, hint, _get(each, "isRepeated") is True))
    return tuple(found)


def _named(value: Any) -> tuple[tuple[str, RegistryInput], ...]:
    found: dict[str, RegistryInput] = {}
    for each in _list(value):
        name = _whole(_table(each).get("name"))
        if not name or name in found:
            raise RegistryError("a variable or header of it has no name, or one that another has too")
        found[name] = _input(each)
    return tuple(found.items())


def _input(value: dict[str, Any], depth: int = _DEPTH) -> RegistryInput:
    form = _text(value.get("format")).lower()
    choices = _list(value.get("choices"))
    fixed = value.get("value")
    return RegistryInput(
        description=_text(value.get("description")),
        required=_get(value, "isRequired") is True,
        secret=_get(value, "isSecret") is True,
        format=form if form in ("number", "boolean", "filepath") else "string",  # type: ignore[arg-type]
        default=_whole(value.get("default")),
        placeholder=_text(value.get("placeholder")),
        choices=tuple(_whole(each) for each in choices),
        value=None if fixed is None or fixed == "" else _whole(fixed),
        variables=_variables(value.get("variables"), depth),
    )


def _variables(value: Any, depth: int) -> Mapping[str, RegistryInput]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_PARTS or depth == 0:
        raise RegistryError("its variables cannot be read")
    return {_whole(name): _input(_table(each), depth - 1) for name, each in value.items()}


def _whole(value: Any) -> str:
    """Return a text that goes into a command, an address or a header. Raises `RegistryError`."""
    text = _text(value)
    if len(text) > MAX_TEXT:
        raise RegistryError(f"it has a value of more than {MAX_TEXT} characters")
    if not text.isprintable():
        raise RegistryError("it has a value with line breaks or characters that do not show")
    return text
