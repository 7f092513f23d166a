"""From a server's `oauth` table to what its sign-in is made of."""

from __future__ import annotations

from collections.abc import Mapping

from omni_tui.config.models import ServerSection
from omni_tui.config.references import Unresolved, resolve
from omni_tui.config.spec import OAuthSpec


def oauth_spec(section: ServerSection, environ: Mapping[str, str]) -> OAuthSpec | None:
    """Return how to sign in to a server, None if it is not by OAuth. Raises `Unresolved`."""
    if section.auth != "oauth":
        return None
    if any(name.lower() == "authorization" for name in section.headers):
        raise Unresolved('an Authorization header and auth = "oauth" cannot both be used; take one out')
    oauth = section.oauth
    return OAuthSpec(
        grant=oauth.grant,
        client_id=oauth.client_id,
        client_secret=_secret("client_secret", oauth.client_secret, environ),
        private_key=_secret("private_key", oauth.private_key, environ),
        scopes=tuple(oauth.scopes),
        client_metadata_url=oauth.client_metadata_url,
        issuer=oauth.issuer,
        callback_port=oauth.callback_port,
        idp_issuer=oauth.idp_issuer,
        idp_token_endpoint=oauth.idp_token_endpoint,
        idp_client_id=oauth.idp_client_id,
        idp_client_secret=_secret("idp_client_secret", oauth.idp_client_secret, environ),
        idp_token=_secret("idp_token", oauth.idp_token, environ),
        idp_token_type=oauth.idp_token_type,
    )


def _secret(name: str, reference: str, environ: Mapping[str, str]) -> str:
    if not reference:
        return ""
    try:
        return resolve(reference, environ).value
    except Unresolved as error:
        raise Unresolved(f"{name}: {error}") from None
