"""Every place of a configuration in which a secret may stand, and so a reference counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from omni_tui.config.references import UnresolvedReference, has_reference, resolve
from omni_tui.config.sections import Config, OAuthSection, ServerSection

OAUTH_SECRETS = ("client_secret", "private_key", "idp_client_secret", "idp_token")


def secret_settings(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each place with what stands there, as it is written; empty ones are left out."""
    if config.model.key:
        yield "model.key", config.model.key
    for name, section in config.servers.items():
        for where, value in server_secret_settings(section):
            yield f"servers.{name}.{where}", value


def server_secret_settings(section: ServerSection) -> Iterator[tuple[str, str]]:
    """Yield the places of one server."""
    yield from ((f"env.{name}", value) for name, value in section.env.items())
    yield from ((f"headers.{name}", value) for name, value in section.headers.items())
    if section.token:
        yield "token", section.token
    yield from ((f"oauth.{name}", value) for name, value in oauth_secrets(section.oauth))


def oauth_secrets(oauth: OAuthSection) -> Iterator[tuple[str, str]]:
    """Yield the secrets of a server's oauth table."""
    for name in OAUTH_SECRETS:
        if value := getattr(oauth, name):
            yield name, value


def secret_references(config: Config, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each place that holds a reference, with why that leads to nothing, "" if it does lead on.

    `LLM_API_KEY` takes the place of the model's key, so that what stands there is not needed then.
    """
    for where, value in secret_settings(config):
        if has_reference(value) and not (where == "model.key" and environ.get("LLM_API_KEY")):
            try:
                resolve(value, environ)
            except UnresolvedReference as error:
                yield where, str(error)
            else:
                yield where, ""
