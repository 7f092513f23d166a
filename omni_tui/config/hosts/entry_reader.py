"""Read one entry of a host's list: `{"command", "args", "env"}` or `{"url", "headers"}`, and its variants.

An entry is refused (`HostFileError`) only if its meaning is unclear or it needs a feature that is missing
here; settings without a meaning here are listed in `left`, what the host was allowed to do without asking
in `consent`, which is never imported.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from omni_tui.config.hosts.host_file import HostFileError
from omni_tui.config.hosts.oauth_settings import read_oauth
from omni_tui.config.references import SERVICE, is_reference, names_a_secret, not_set

_TYPES = {
    "stdio": "stdio",
    "local": "stdio",
    "command": "stdio",
    "http": "http",
    "remote": "http",
    "streamable-http": "http",
    "streamable_http": "http",
    "streamablehttp": "http",
    "http-stream": "http",
    "httpstream": "http",
    "sse": "sse",
}
_KIND = ("type", "transport", "transport_type", "transportType")
_ADDRESSES = ("url", "serverUrl", "httpUrl", "uri")
_ENV = ("env", "environment", "envs")
_CWD = ("cwd", "workingDirectory", "working_directory")
_ON = ("enabled", "isActive", "isEnabled", "active")
_OFF = ("disabled", "isDisabled")
_HEADERS = ("headers", "http_headers")
_START = ("connect_timeout", "connectTimeout", "startup_timeout", "startup_timeout_sec", "initTimeout")
_CALL = ("call_timeout", "callTimeout", "tool_timeout", "tool_timeout_sec", "requestTimeout")
_BOTH = ("timeout", "timeout_ms", "timeoutMs", "timeout_sec")
_WORDS = {"name", "description", "envFile", "command", "cmd", "args", "arguments"}
_OAUTH = ("oauth", "auth", "OAuth")
CONSENT = frozenset(
    (
        "trust", "trusted", "autoApprove", "auto_approve", "alwaysAllow", "always_allow", "allowedTools",
        "allowed_tools", "autoAllow", "approval_mode", "approvalMode", "default_tools_approval_mode",
        "permissions", "permission",
    )
)  # fmt: skip
"""Settings that say what a host does without asking."""
FILTERS = frozenset(
    (
        "includeTools", "excludeTools", "enabled_tools", "disabled_tools", "disabledTools", "enabledTools",
        "available_tools", "tools",
    )
)  # fmt: skip
"""Settings that choose some of a server's tools."""
KNOWN = {
    *_WORDS, *_KIND, *_ADDRESSES, *_ENV, *_CWD, *_ON, *_OFF, *_HEADERS, *_START, *_CALL, *_BOTH,
    *_OAUTH, "requestInit", "requestOptions",
}  # fmt: skip
_SWITCHED = {"true": True, "1": True, "yes": True, "on": True}
_SWITCHED |= {"false": False, "0": False, "no": False, "off": False}
_SECONDS_TO = 3_600.0
"""A timeout up to this number is in seconds, as in Cline, Roo and Goose; above, in milliseconds."""
_LONGEST = 86_400.0
_USUAL_START = 30.0

_VARIABLE = re.compile(r"\$\{([^{}]*)\}|(?<!\$)\{env:(\w+)\}")
_OF_A_FILE = re.compile(r"(?<!\$)\{file:([^{}]+)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_ENTRY_NAME = re.compile(r"[^\w.-]+")
_PROJECT_FOLDERS = {".vscode", ".cursor", ".gemini", ".kiro", ".roo"}


@dataclass(slots=True)
class ForeignEntry:
    """An entry in the shape of `ServerSection`.

    `left`: settings that are not used here. `consent`: those that say what its host need not ask.
    `notes`: settings that were read differently than written. `unmet`: why it cannot be started, "" if it
    can. `secrets`: values that were filled in and must not be shown.
    """

    values: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    consent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unmet: str = ""
    secrets: set[str] = field(default_factory=set)


def read_entry(
    written: Any, file: FilePath, environ: Mapping[str, str], inputs: Mapping[str, str] | None = None
) -> ForeignEntry:
    """Read one entry. `inputs`: what its host asks the person for, by id. Raises `HostFileError`.

    Its `${input:ID}` becomes a reference to the keyring in variables and headers.
    """
    return _EntryReader(unfolded(written), file, environ, inputs or {}).read()


def unfolded(written: Any) -> dict[str, Any]:
    """Flatten what some hosts nest: `transport: {type, url}`, `command: {path, args}`."""
    if not isinstance(written, dict):
        raise HostFileError("is no table")
    entry = {key: value for key, value in written.items() if value is not None}
    nested = entry.get("transport")
    if isinstance(nested, dict):
        entry = {**{key: value for key, value in entry.items() if key != "transport"}, **nested}
    command = entry.get("command")
    if isinstance(command, dict):
        rest = {key: value for key, value in command.items() if key not in ("path", "command")}
        entry = {**entry, **rest, "command": command.get("path") or command.get("command") or ""}
    return entry


class _EntryReader:
    def __init__(
        self,
        entry: dict[str, Any],
        file: FilePath,
        environ: Mapping[str, str],
        inputs: Mapping[str, str],
    ) -> None:
        self._inputs = inputs
        self._entry = entry
        self._file = file
        self._environ = environ
        self._made = ForeignEntry()
        self._missing: dict[str, None] = {}

    def read(self) -> ForeignEntry:
        made, entry = self._made, self._entry
        kind = self._kind()
        address = self._first(_ADDRESSES)
        command = entry.get("command") or entry.get("cmd")
        if kind in ("http", "sse"):
            command = None
        elif kind == "stdio" and command:
            address = None
        if address and not command:
            self._web(address, kind)
        else:
            if address:
                made.values["url"] = self._fill(_text("url", address), "url")
            self._program(command)
        self._oauth()
        self._switch()
        self._times()
        unused = sorted(str(key) for key in entry if key not in KNOWN)
        whole = [key for key in FILTERS & entry.keys() if entry[key] in ([], ["*"])]
        made.left = [key for key in unused if key not in CONSENT and key not in whole]
        made.consent = [key for key in unused if key in CONSENT]
        if entry.get("envFile"):
            self._hold(
                "it takes variables from a file (envFile), which is not read here; give them in `env`"
            )
        if self._missing:
            self._hold(not_set(list(self._missing)))
        return made

    def _hold(self, why: str) -> None:
        self._made.unmet = self._made.unmet or why

    def _first(self, keys: Iterable[str]) -> Any:
        return next((self._entry[key] for key in keys if self._entry.get(key)), None)

    def _kind(self) -> str:
        wanted = str(self._first(_KIND) or "").strip().lower()
        if wanted and wanted not in _TYPES:
            raise HostFileError(f"asks for the transport {wanted!r}, which is not known here")
        return _TYPES.get(wanted, "")

    # --- how it is reached -----------------------------------------------------------------------

    def _web(self, address: Any, kind: str) -> None:
        values = self._made.values
        address = _text("url", address)
        if address.lower().startswith(("unix:", "pipe:", "npipe:")):
            raise HostFileError("listens on a socket of this machine, which cannot be reached here")
        if address.lower().startswith(("ws:", "wss:")):
            raise HostFileError("speaks WebSocket, which is not known here")
        values["url"] = self._fill(address, "url")
        if kind == "sse":
            values["transport"] = "sse"
        headers = self._first(_HEADERS)
        for key in ("requestInit", "requestOptions"):
            inside = self._entry.get(key)
            headers = headers or (inside.get("headers") if isinstance(inside, dict) else None)
        if headers:
            values["headers"] = self._named("headers", headers)

    def _program(self, command: Any) -> None:
        values = self._made.values
        words = self._words("command", command) if isinstance(command, list) else []
        args = self._words("args", self._first(("args", "arguments")) or [])
        if command and not isinstance(command, list):
            words = self._split(_text("command", command), args)
        if words:
            values["command"] = self._fill(words[0], "command")
        if words[1:] or args:
            values["args"] = [self._fill(word, "args") for word in (*words[1:], *args)]
        if env := self._first(_ENV):
            values["env"] = self._named("env", env)
        if cwd := self._first(_CWD):
            values["cwd"] = self._fill(_text("cwd", cwd), "cwd")

    def _split(self, command: str, args: list[str]) -> list[str]:
        """Return the words of a command line in place of a program."""
        command = command.strip()
        if " " not in command or FilePath(os.path.expanduser(command)).exists() or shutil.which(command):
            return [command]
        try:
            words = shlex.split(command)
        except ValueError:
            return [command]
        if len(words) > 1:
            self._made.notes.append("`command` holds a whole command line and is read as one")
        return words

    def _words(self, key: str, value: Any) -> list[str]:
        if isinstance(value, str):
            try:
                return shlex.split(value)
            except ValueError as error:
                raise HostFileError(f"its {key} cannot be split into words: {error}") from None
        if not isinstance(value, list):
            raise HostFileError(f"its {key} must be a list of texts")
        return [_text(key, each) for each in value if each is not None]

    def _named(self, key: str, value: Any) -> dict[str, str]:
        """Return variables or headers, also from a list; references stay references."""
        if isinstance(value, list):
            value = dict(_pair(key, each) for each in value)
        if not isinstance(value, dict):
            raise HostFileError(f"its {key} must be a table of texts")
        made: dict[str, str] = {}
        for name, each in value.items():
            if each is not None:
                made[str(name)] = self._reference(_text(f"{key}.{name}", each), bare=key == "env")
        return made

    def _oauth(self) -> None:
        """Read how it signs in; a secret in plain text is not taken over."""
        given = next((self._entry[key] for key in _OAUTH if key in self._entry), None)
        values, made = self._made.values, self._made
        if given in (None, False, "", "none") or "url" not in values:
            return
        if any(name.lower() == "authorization" for name in values.get("headers", {})):
            made.notes.append("it has an Authorization header, so its OAuth settings are not used")
            return
        read = read_oauth(given)
        made.notes += read.notes
        if not read.wanted:
            return
        values["auth"] = "oauth"
        oauth = dict(read.values)
        if "client_id" in oauth:
            oauth["client_id"] = self._fill(oauth["client_id"], "client_id")
        if read.client_secret:
            reference = self._reference(read.client_secret, bare=True)
            if "client_id" in oauth and is_reference(reference):
                oauth["client_secret"] = reference
            else:
                made.notes.append("its OAuth client secret is not taken over; give it as a reference")
        if oauth:
            values["oauth"] = oauth

    # --- variables -------------------------------------------------------------------------------

    def _fill(self, text: str, key: str) -> str:
        """Return a text with its variables and `~` filled in."""

        def filled(found: re.Match[str]) -> str:
            name, default = self._variable(found)
            if name is None:
                return default if default is not None else found[0]
            value = self._environ.get(name) or default
            if value is None:
                self._missing[name] = None
                return found[0]
            if names_a_secret(name) and name in self._environ:
                self._made.secrets.add(value)
            return value

        text = _VARIABLE.sub(filled, text)
        return os.path.expanduser(text) if key != "url" and re.match(r"~(/|$)", text) else text

    def _reference(self, text: str, *, bare: bool) -> str:
        """Return a text with its variables written as references."""

        def written(found: re.Match[str]) -> str:
            asked = (found[1] or "").removeprefix("input:")
            if asked in self._inputs and found[1] == f"input:{asked}":
                what = self._inputs[asked] or asked
                self._made.notes.append(f"its host asks for {asked} ({what}); here it is in the keyring")
                return f"${{keyring:{SERVICE}/{_ENTRY_NAME.sub('-', asked)}}}"
            name, default = self._variable(found)
            if name is None:
                return default if default is not None else found[0]
            return default if default is not None and not self._environ.get(name) else f"${{{name}}}"

        if found := _OF_A_FILE.search(text):
            self._hold(f"it takes a value from the file {found[1]}, which is not read here; put it there")
        alone = _BARE.fullmatch(text) if bare else None
        if alone is not None and self._environ.get(alone[1]):
            return f"${{{alone[1]}}}"
        return _VARIABLE.sub(written, text)

    def _variable(self, found: re.Match[str]) -> tuple[str | None, str | None]:
        """Return the name and default of an environment variable; else None and its value."""
        body = found[2] or found[1].removeprefix("env:")
        name, sign, default = body.partition(":-")
        if _NAME.fullmatch(name) and body not in ("workspaceFolder", "userHome", "workspaceRoot"):
            return name, default if sign else None
        if body == "userHome":
            return None, os.path.expanduser("~")
        if body in ("/", "pathSeparator"):
            return None, os.sep
        if body in ("workspaceFolder", "workspaceRoot") and self._file.parent.name in _PROJECT_FOLDERS:
            return None, str(self._file.parent.parent.resolve())
        if not body.startswith("keyring:"):
            self._hold(f"it relies on {found[0]}, which only its own host fills in; put the value there")
        return None, None

    # --- switches and times ----------------------------------------------------------------------

    def _switch(self) -> None:
        """Read whether it is enabled; a value that is neither yes nor no disables it."""
        for keys, when in ((_ON, False), (_OFF, True)):
            for key in keys:
                if key not in self._entry:
                    continue
                value = _SWITCHED.get(str(self._entry[key]).strip().lower())
                if value is None:
                    self._made.notes.append(f"`{key}` is neither true nor false, so it is switched off")
                if value is None or value is when:
                    self._made.values["enabled"] = False

    def _times(self) -> None:
        values = self._made.values
        both = self._seconds(_BOTH)
        start, call = self._seconds(_START) or both, self._seconds(_CALL) or both
        if start is not None:
            values["connect_timeout"] = start if start != both else max(start, _USUAL_START)
        if call is not None:
            values["call_timeout"] = call

    def _seconds(self, keys: Iterable[str]) -> float | None:
        for key in keys:
            value = self._entry.get(key)
            if value is None or value == 0:
                continue
            try:
                number = float(value) if isinstance(value, int | float | str) else math.nan
            except ValueError:
                number = math.nan
            if isinstance(value, bool) or not 0 < number < math.inf:
                self._made.notes.append(f"`{key}` is no time and is not used")
                continue
            thousandths = key.lower().endswith("ms") or (number > _SECONDS_TO and "sec" not in key)
            return min(number / 1000 if thousandths else number, _LONGEST)
        return None


def _pair(key: str, each: Any) -> tuple[str, Any]:
    if isinstance(each, dict) and isinstance(each.get("name"), str):
        return each["name"], each.get("value")
    name, sign, value = each.partition("=") if isinstance(each, str) else ("", "", "")
    if not sign:
        raise HostFileError(f"its {key} must be a table of texts")
    return name, value


def _text(key: str, value: Any) -> str:
    """Return numbers and booleans as text, as other hosts do."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise HostFileError(f"its {key} must be text")
    return value
