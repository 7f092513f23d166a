"""What a server of the public registry would run, or where it would be reached. Pure.

The commands are those that VS Code derives: the runner's arguments, the package at its exact version, the
package's arguments. No shell reads them. An entry may not choose a place that is read: a text of it that
looks like a reference to a variable or the keyring is refused.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlsplit

from omni_tui.config.references import has_reference, names_a_secret
from omni_tui.public_registry.server_entry import (
    RegistryArgument,
    RegistryError,
    RegistryInput,
    RegistryPackage,
    RegistryRemote,
)
from omni_tui.security.urls import is_unencrypted

MAX_QUESTIONS = 60
"""The most values that one package or address may ask for."""
_NAMES = {
    "npm": re.compile(r"(?:@[A-Za-z0-9~][A-Za-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*"),
    "pypi": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"),
    "nuget": re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*"),
    "oci": re.compile(
        r"[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]+)?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*"
        r"(?::[A-Za-z0-9_][A-Za-z0-9._-]*)?(?:@sha256:[0-9a-f]{64})?"
    ),
}
_LONGEST_NAME = 60
_OTHER = re.compile(r"[^A-Za-z0-9._-]")
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.+_!-]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_CURLY = re.compile(r"\{([^{}]*)\}")
_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_DOCKER_ENV = ("-e", "--env")
_READS = re.compile(r"\$\{|keyring:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LaunchQuestion:
    """A value to ask the person for. `id` is its key in `answers`; `label` its name.

    `repeated`: the answer may be several values, as in a shell.
    """

    id: str
    label: str
    asked: RegistryInput
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """What `[servers.NAME]` would have: a command, or an address.

    `missing` are the ids of required questions without an answer; `wrong` says by id what is wrong with
    an answer. `note` tells what is worth knowing and not seen in the command.
    """

    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    transport: str = ""
    missing: tuple[str, ...] = ()
    wrong: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def ready(self) -> bool:
        """Whether nothing is missing or wrong."""
        return not self.missing and not self.wrong


def launch_questions(launch: RegistryPackage | RegistryRemote) -> tuple[LaunchQuestion, ...]:
    """Return what to ask for, in the order of the entry. Raises `RegistryError`."""
    if isinstance(launch, RegistryRemote):
        derived = _Derivation({})
        derived.address(launch)
    else:
        derived = _Derivation({})
        derived.package(launch)
    return tuple(derived.asked.values())


def derive_command(package: RegistryPackage, answers: Mapping[str, str]) -> Launch:
    """Return the command of a package with the person's answers, by the id of their questions.

    Raises `RegistryError` for a package that cannot be run here or whose texts no command may have.
    """
    return _Derivation(answers).package(package)


def derive_address(remote: RegistryRemote, answers: Mapping[str, str]) -> Launch:
    """Return the address and headers of a remote server. Raises `RegistryError`."""
    return _Derivation(answers).address(remote)


class _Derivation:
    """Fills in one package or address; collects what is asked, missing and wrong on the way."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers
        self.asked: dict[str, LaunchQuestion] = {}
        self._missing: list[str] = []
        self._wrong: dict[str, str] = {}
        self._left_out: list[str] = []

    # --- packages

    def package(self, package: RegistryPackage) -> Launch:
        """Derive the command."""
        if package.transport != "stdio":
            raise RegistryError(
                "it runs as a web server of its own, which Omni TUI does not start",
                "Start it by hand, then add its address with /add.",
            )
        name = _package_name(package)
        env: dict[str, str] = {}
        runner: list[str] = []
        for number, argument in enumerate(package.runner_arguments):
            if not self._takes_variable(package, argument, env, f"runner.{number}"):
                runner += self._words(argument, f"runner.{number}")
        own: list[str] = []
        for number, argument in enumerate(package.arguments):
            own += self._words(argument, f"argument.{number}")
        env |= self._environment(package)
        match package.kind:
            case "npm":
                command, args = "npx", ["-y", *runner, name, *own]
            case "pypi":
                command, args = "uvx", [*runner, name, *own]
            case "nuget":
                command, args = "dnx", [*runner, name, "--yes", *(["--", *own] if own else [])]
            case _:
                passed = [word for variable in env for word in ("-e", variable)]
                command, args = "docker", ["run", "-i", "--rm", *runner, *passed, name, *own]
        return self._launch(Launch(command=command, args=tuple(args), env=env))

    def _environment(self, package: RegistryPackage) -> dict[str, str]:
        env: dict[str, str] = {}
        for name, asked in package.environment:
            if not _VARIABLE.fullmatch(name):
                raise RegistryError(f"it wants a variable called {name!r}, which no variable may be called")
            value = self._value(_secret_by_name(name, asked), f"env.{name}", name, secrets=True)
            if value is not None:
                env[name] = value
        return env

    def _takes_variable(
        self, package: RegistryPackage, argument: RegistryArgument, env: dict[str, str], place: str
    ) -> bool:
        """Move docker's `-e NAME=value` to the environment, where a secret can stand; False for others.

        All variables are passed on to the container by name.
        """
        given = _ASSIGNED.fullmatch(argument.input.value or "")
        if package.kind != "oci" or argument.flag not in _DOCKER_ENV or given is None:
            return False
        fixed = RegistryInput(
            required=argument.input.required, value=given[2], variables=argument.input.variables
        )
        value = self._value(fixed, place, given[1], secrets=True) if given[2] else ""
        if value is not None:
            env.setdefault(given[1], value)
        return True

    def _words(self, argument: RegistryArgument, place: str) -> list[str]:
        """Return the words of one argument; none if it is optional and empty."""
        asked = argument.input
        if argument.flag:
            _check_text(argument.flag)
        if argument.flag and not _is_asked(asked) and asked.value is None:
            return [argument.flag]
        label = argument.flag or argument.hint or "argument"
        value = self._value(asked, place, label, secrets=False, repeated=argument.repeated)
        if value is None:
            return []
        values = [value]
        if argument.repeated and asked.value is None:
            try:
                values = shlex.split(value)
            except ValueError as error:
                self._wrong[place] = f"the values cannot be told apart: {str(error).lower()}"
        return [word for each in values for word in ([argument.flag, each] if argument.flag else [each])]

    # --- addresses

    def address(self, remote: RegistryRemote) -> Launch:
        """Derive the address and its headers."""
        if remote.kind not in ("streamable-http", "streamable", "http", "sse"):
            raise RegistryError(f"Omni TUI cannot reach a server by {remote.kind[:40]!r}")
        template = RegistryInput(required=True, value=remote.url, variables=remote.variables)
        url = self._value(template, "url", "address", secrets=False, encode=True) or remote.url
        _check_address(url, filled=not self._missing)
        headers: dict[str, str] = {}
        for name, asked in remote.headers:
            value = self._value(_secret_by_name(name, asked), f"headers.{name}", name, secrets=True)
            if value is not None:
                headers[name] = value
        transport = "sse" if remote.kind == "sse" else "http"
        return self._launch(Launch(url=url, headers=headers, transport=transport))

    # --- values

    def _launch(self, launch: Launch) -> Launch:
        if len(self.asked) > MAX_QUESTIONS:
            raise RegistryError(f"it asks for more than {MAX_QUESTIONS} values")
        left_out = ", ".join(self._left_out)
        note = f"Left out, because a secret would stand in its command: {left_out}" if left_out else ""
        missing = tuple(dict.fromkeys(self._missing))
        return replace(launch, missing=missing, wrong=self._wrong, note=note)

    def _value(
        self,
        asked: RegistryInput,
        place: str,
        label: str,
        *,
        secrets: bool,
        repeated: bool = False,
        encode: bool = False,
    ) -> str | None:
        """Return a value, None if it is left out or missing. `secrets`: whether a secret may stand there.

        `encode`: variables are percent-encoded, except one that the text begins with.
        """
        if asked.value is None:
            if asked.secret and not secrets:
                self._leave_out(asked, label)
                return None
            return self._answer(LaunchQuestion(place, label, asked, repeated), required=asked.required)
        _check_text(asked.value)
        variables = asked.variables or {}
        filled: list[str] = []
        own: list[str] = []  # the same, with "x" for what the person refers to
        at = 0
        for found in _CURLY.finditer(asked.value):
            variable = variables.get(found[1])
            if variable is None:
                continue  # an unknown one stays as it is written
            if variable.secret and not secrets:
                self._leave_out(asked, found[1])
                return None
            needed = variable.required or asked.required
            answer: str | None
            if variable.value is not None:
                answer = self._value(variable, f"{place}.{found[1]}", found[1], secrets=secrets)
            else:
                question = LaunchQuestion(f"{place}.{found[1]}", found[1], variable)
                answer = self._answer(question, required=needed)
            if answer is None:
                if not needed:
                    return None
                answer = found[0]
            elif encode and found.start() > 0:
                answer = quote(answer, safe="")
            before = asked.value[at : found.start()]
            filled += [before, answer]
            persons = variable.secret and self._is_persons(answer)
            own += [before, "x" if persons or f"{place}.{found[1]}" in self._wrong else answer]
            at = found.end()
        # Pieces of an entry, each harmless, must not become a reference side by side.
        _check_text("".join([*own, asked.value[at:]]))
        return "".join([*filled, asked.value[at:]])

    def _is_persons(self, answer: str) -> bool:
        return has_reference(answer) and answer in self._answers.values()

    def _leave_out(self, asked: RegistryInput, label: str) -> None:
        if asked.required:
            raise RegistryError(
                f"it wants the secret {label[:80]!r} in its command or address, where it would stand in "
                "the clear in your config"
            )
        self._left_out.append(label[:80])

    def _answer(self, question: LaunchQuestion, *, required: bool) -> str | None:
        asked = question.asked
        for text in (asked.default, *asked.choices):
            _check_text(text)
        if required and not asked.required:
            asked = replace(asked, required=True)
            question = LaunchQuestion(question.id, question.label, asked, question.repeated)
        self.asked.setdefault(question.id, question)
        answer = self._answers.get(question.id, "").strip() or asked.default
        if not answer:
            if required:
                self._missing.append(question.id)
            return None
        if wrong := answer_problem(asked, answer):
            self._wrong[question.id] = wrong
        return answer


def answer_problem(asked: RegistryInput, answer: str) -> str:
    """Return what is wrong with an answer, "" if nothing."""
    if not answer.isprintable():
        return "it has line breaks or characters that do not show"
    if asked.secret and has_reference(answer):
        return ""
    if has_reference(answer):
        return "${NAME} and keyring: count for secret values only; write the value"
    if asked.choices and answer not in asked.choices:
        return f"it must be one of: {', '.join(asked.choices)[:200]}"
    if asked.format == "number" and not _is_number(answer):
        return "it must be a number"
    if asked.format == "boolean" and answer not in ("true", "false"):
        return "it must be true or false"
    return ""


def _is_number(text: str) -> bool:
    try:
        return text.isascii() and "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False


def _secret_by_name(name: str, asked: RegistryInput) -> RegistryInput:
    """Return an input that counts as secret if its name says so: many entries do not mark theirs."""
    plain = asked.secret or asked.value is not None or asked.choices or asked.default
    if plain or asked.format != "string" or not names_a_secret(name):
        return asked
    return replace(asked, secret=True)


def _is_asked(asked: RegistryInput) -> bool:
    """Whether a named argument takes a value: else its name alone is the argument."""
    return bool(
        asked.description or asked.default or asked.choices or asked.placeholder or asked.required
        or asked.secret
    )  # fmt: skip


def _package_name(package: RegistryPackage) -> str:
    """Return a package as its runner takes it, at one version. Raises `RegistryError`."""
    pattern = _NAMES.get(package.kind)
    if package.kind == "mcpb":
        raise RegistryError(
            "it is a bundle (.mcpb), which is not fetched from here",
            "Download it from its page, then add it with /bundle FILE.",
        )
    if pattern is None:
        raise RegistryError(f"Omni TUI has no runner for packages of the kind {package.kind[:40]!r}")
    if not pattern.fullmatch(package.identifier):
        raise RegistryError(f"{package.identifier[:100]!r} is not the name of a package of this kind")
    version = package.version
    if package.kind == "oci":
        tagged = ":" in package.identifier.rpartition("/")[2] or "@" in package.identifier
        if tagged or not version:
            return package.identifier
        if not _VERSION.fullmatch(version):
            raise RegistryError(f"{version[:100]!r} is not an exact version")
        return f"{package.identifier}:{version}"
    if version == "latest" or not _VERSION.fullmatch(version):
        what = f"{version[:100]!r} is not an exact version" if version else "it names no version"
        raise RegistryError(f"{what}, so that something else could run each time")
    return f"{package.identifier}{'==' if package.kind == 'pypi' else '@'}{version}"


def _check_text(text: str) -> None:
    """Raise `RegistryError` for a text of an entry that would be read as a reference."""
    if has_reference(text) or _READS.search(text):
        raise RegistryError("it would read a variable of your environment or your keyring; that is refused")


def _check_address(url: str, *, filled: bool) -> None:
    if not url.isprintable() or not url.isascii() or " " in url:
        raise RegistryError("its address has characters that no address has")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise RegistryError("its address is not a web address") from None
    if not filled and "{" in url:
        return  # it is checked when it is filled in
    if parts.scheme.lower() not in ("https", "http") or not host:
        raise RegistryError("its address is not a web address")
    if "@" in parts.netloc:
        raise RegistryError("its address holds a user name or password")
    if is_unencrypted(url):
        raise RegistryError("its address is not https: what you send could be read on the way")


def plain_name(text: str) -> str:
    """Return what letters, digits, dots and dashes of a name there are; "server" if there are none."""
    return _OTHER.sub("-", text[:_LONGEST_NAME]).strip("-.") or "server"


def free_name(registry_name: str, taken: Collection[str]) -> str:
    """Return a name for `[servers.NAME]` that no server has: the last part of the registry's name."""
    base = plain_name(registry_name.rpartition("/")[2].rpartition(":")[2])
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name
