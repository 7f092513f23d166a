"""From a server's `oauth` table to what its sign-in is made of."""

from __future__ import annotations

from collections.abc import Mapping

from omni_tui.config.references import UnresolvedReference, resolve
from omni_tui.config.secret_settings import oauth_secrets
from omni_tui.config.sections import ServerSection
from omni_tui.config.spec import OAuthSpec


def oauth_spec(section: ServerSection, environ: Mapping[str, str]) -> OAuthSpec | None:
    """Return how to sign in to a server, None if it is not by OAuth. Raises `UnresolvedReference`."""
    if section.auth != "oauth":
        return None
    if any(name.lower() == "authorization" for name in section.headers):
        raise UnresolvedReference(
            'an Authorization header and auth = "oauth" cannot both be used; take one out'
        )
    oauth = section.oauth
    secrets = {name: _secret(name, value, environ) for name, value in oauth_secrets(oauth)}
    return OAuthSpec(
        grant=oauth.grant,
        client_id=oauth.client_id,
        scopes=tuple(oauth.scopes),
        client_metadata_url=oauth.client_metadata_url,
        issuer=oauth.issuer,
        callback_port=oauth.callback_port,
        idp_issuer=oauth.idp_issuer,
        idp_token_endpoint=oauth.idp_token_endpoint,
        idp_client_id=oauth.idp_client_id,
        idp_token_type=oauth.idp_token_type,
        **secrets,
    )


def _secret(name: str, reference: str, environ: Mapping[str, str]) -> str:
    try:
        return resolve(reference, environ).value
    except UnresolvedReference as error:
        raise UnresolvedReference(f"{name}: {error}") from None
