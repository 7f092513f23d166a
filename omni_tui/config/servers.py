"""Turn the settings of servers into specs: every reference resolved, every problem in words."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from urllib.parse import urlsplit

from omni_tui.config.layers import Layer
from omni_tui.config.references import (
    UnresolvedReference,
    has_reference,
    names_a_secret,
    resolve,
)
from omni_tui.config.sections import Config, ServerSection
from omni_tui.config.server_environment import check_inherit
from omni_tui.config.server_program import FIRST_START, is_package_runner
from omni_tui.config.spec import OAuthSpec, ServerSource, ServerSpec
from omni_tui.security.redaction import secrets_in_arguments
from omni_tui.security.urls import is_unencrypted


def oauth_spec(section: ServerSection, environ: Mapping[str, str]) -> OAuthSpec | None:
    """Return the OAuth settings of a server, None without OAuth. Raises `UnresolvedReference`."""
    if section.auth != "oauth":
        return None
    if any(name.lower() == "authorization" for name in section.headers):
        raise UnresolvedReference(
            'an Authorization header and auth = "oauth" cannot both be used; take one out'
        )
    oauth = section.oauth
    settings = oauth.model_dump() | {"scopes": tuple(oauth.scopes)}
    for name, reference in oauth.secrets():
        try:
            settings[name] = resolve(reference, environ).value
        except UnresolvedReference as error:
            raise UnresolvedReference(f"{name}: {error}") from None
    return OAuthSpec(**settings)


LONGEST_NAME = 64
DEMO_NAME = "demo"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def configured_servers(
    config: Config, user: Layer, project: Layer, environ: Mapping[str, str]
) -> dict[str, ServerSpec]:
    """Return the servers of the person's file and of the project's, also broken ones."""
    specs: dict[str, ServerSpec] = {}
    own: tuple[Layer, ServerSource] = (user, "user")
    of_project: tuple[Layer, ServerSource] = (project, "project")
    for name, section in config.servers.items():
        layer, source = of_project if name in project.values.get("servers", {}) else own
        folder = FilePath(layer.where).parent
        specs[name] = server_spec(name, section, source, environ, folder=folder, config=config)
    for layer, source in (own, of_project):
        for name, why in layer.broken.items():
            specs.setdefault(name, ServerSpec(name=name, source=source, allowed=False, problem=why))
    return specs


def server_spec(
    name: str,
    section: ServerSection,
    source: ServerSource,
    environ: Mapping[str, str],
    *,
    folder: FilePath,
    config: Config,
) -> ServerSpec:
    """Return the spec of a server; what prevents its start is its `problem`. Never raises.

    `folder` is that of its file: a relative `cwd` begins there. Only the person's own files are consent to
    start it (not for what comes from the public registry), and only they may use references.
    """
    first_start = FIRST_START if is_package_runner(section.command, section.args) else 0.0
    spec = ServerSpec(
        name=name,
        source=source,
        command=section.command,
        args=tuple(section.args),
        cwd=str(folder / os.path.expanduser(section.cwd)) if section.cwd else "",
        url=section.url,
        mode=section.mode,
        web=section.transport,
        heartbeat=section.heartbeat,
        connect_timeout=section.connect_timeout,
        # A configured time holds for every start.
        first_start=0.0 if "connect_timeout" in section.model_fields_set else first_start,
        call_timeout=section.call_timeout or config.tools.call_timeout,
        tasks=section.tasks,
        task_timeout=section.task_timeout or config.tools.task_timeout,
        roots=tuple(str(FilePath(root).expanduser()) for root in config.agent.roots),
        log_level=section.log_level,
        sampling=section.sampling and config.sampling.enabled,
        allowed=source not in {"project", "imported"} and not (section.imported_from or section.registry),
        enabled=section.enabled,
        registry=section.registry,
    )
    try:
        _refuse(name, section, source)
        env, secret_env = _resolved(section.env, environ)
        headers, secret_headers = _headers(section, environ)
        return replace(
            spec,
            env=env,
            secret_env=secret_env,
            inherit=check_inherit(section.inherit, source),
            headers=headers,
            secret_headers=secret_headers,
            oauth=oauth_spec(section, environ),
        )
    except UnresolvedReference as error:
        return replace(spec, problem=str(error))


def name_problem(name: str) -> str:
    """Return what is wrong with a server's name, "" if nothing."""
    if not name.strip() or name != name.strip() or not name.isprintable():
        return "a server's name must be printable, without spaces around it"
    if len(name) > LONGEST_NAME:
        return f"a server's name may have at most {LONGEST_NAME} characters"
    return ""


def demo_spec(state_dir: FilePath) -> ServerSpec:
    """Return the bundled server, which needs only the standard library."""
    program = FilePath(__file__).resolve().parent.parent / "demo" / "server.py"
    return ServerSpec(
        name=DEMO_NAME,
        source="demo",
        command=sys.executable,
        args=("-I", "-S", str(program), str(state_dir / "notes")),
    )


def _refuse(name: str, section: ServerSection, source: ServerSource) -> None:
    """Raise `UnresolvedReference` for settings that are valid but must not be started."""
    if problem := name_problem(name):
        raise UnresolvedReference(problem)
    if source == "project" and any(has_reference(value) for _, value in section.secret_settings()):
        raise UnresolvedReference(
            "a project's file may not take values from your environment or keyring; "
            "copy the server to your own config to give them"
        )
    secret = any(names_a_secret(key) or has_reference(value) for key, value in section.headers.items())
    if is_unencrypted(section.url) and (section.token or secret or section.auth == "oauth"):
        raise UnresolvedReference("its credentials would cross the network over plain HTTP; use https")
    for name in ("issuer", "idp_issuer", "idp_token_endpoint"):
        if is_unencrypted(getattr(section.oauth, name)):
            raise UnresolvedReference(f"its {name} would get credentials over plain HTTP; use https")
    if "@" in urlsplit(section.url).netloc:
        raise UnresolvedReference(
            'its address holds a user name or password; use headers or auth = "bearer"'
        )


def _headers(section: ServerSection, environ: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    values = section.headers
    if section.auth == "bearer":
        values = {name: value for name, value in values.items() if name.lower() != "authorization"}
        values["Authorization"] = section.token
    headers, secret = _resolved(values, environ)
    if section.auth == "bearer":
        headers["Authorization"] = "Bearer " + headers["Authorization"]
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
            raise UnresolvedReference(
                f"the header {name!r} or its value has characters that no header may have"
            )
    return headers, secret


def _resolved(
    values: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[dict[str, str], frozenset[str]]:
    plain: dict[str, str] = {}
    secret: set[str] = set()
    unresolved: list[str] = []
    for name, value in values.items():
        try:
            found = resolve(value, environ)
        except UnresolvedReference as error:
            unresolved.append(f"{name}: {error}")
            continue
        plain[name] = found.value
        if found.secret or names_a_secret(name) or secrets_in_arguments([found.value]):
            secret.add(name)
    if unresolved:
        raise UnresolvedReference("; ".join(unresolved))
    return plain, frozenset(secret)
