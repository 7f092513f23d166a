"""Cross-app access: a company's identity provider vouches for the person, without a sign-in page.

The identity provider exchanges the person's token for an assertion for one server (an ID-JAG), and the
server's authorisation server exchanges that for a token. The config names the authorisation server: a
server's own metadata could lead the assertion and the client's secret anywhere. Sources: SEP-990, RFC
8693 (exchange), RFC 7523 (JWT bearer grant), draft-ietf-oauth-identity-assertion-authz-grant. The second
exchange is the SDK's.
"""

from __future__ import annotations

import base64
import re
from functools import partial
from urllib.parse import quote

import httpx2
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.auth.utils import (
    build_oauth_authorization_server_metadata_discovery_urls,
    create_oauth_metadata_request,
    handle_auth_metadata_response,
    validate_metadata_issuer,
)

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.servers.auth.fetcher import Fetcher, describe_refusal
from omni_tui.servers.auth.oauth_clients import Challenge, RecordTokenStorage, run_flow
from omni_tui.servers.auth.oauth_responses import json_object, normalised
from omni_tui.servers.auth.urls import SignInError

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_TYPES = "urn:ietf:params:oauth:token-type:"
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LONGEST = 32_768
_TODO = "Renew the token that idp_token names, or look at the settings of the identity provider."


async def sign_in(
    spec: ServerSpec, memory: RecordTokenStorage, fetcher: Fetcher, challenge: Challenge
) -> None:
    """Do both exchanges; store the tokens in `memory`. Raises `SignInError`, and what the SDK raises."""
    oauth = spec.oauth or OAuthSpec()
    more = challenge.scope.split() if challenge.step_up else ()
    scopes = " ".join(dict.fromkeys([*oauth.scopes, *more]))
    provider = IdentityAssertionOAuthProvider(
        spec.url,
        memory,
        oauth.client_id,
        oauth.client_secret,
        oauth.issuer,
        partial(_assertion, oauth, fetcher, scopes),
        scope=scopes or None,
        token_endpoint_auth_method="client_secret_basic",
    )
    await run_flow(provider, spec.url, fetcher, challenge.refusal(oauth.scopes), lambda: oauth.issuer)


async def _assertion(oauth: OAuthSpec, fetcher: Fetcher, scopes: str, audience: str, resource: str) -> str:
    """Return the identity provider's assertion for one authorisation server and one MCP server."""
    form = {
        "grant_type": _EXCHANGE,
        "requested_token_type": f"{_TYPES}id-jag",
        "audience": audience,
        "resource": resource,
        "subject_token": oauth.idp_token,
        "subject_token_type": _TYPES + oauth.idp_token_type,
    }
    if scopes:
        form["scope"] = scopes
    headers = {"Accept": "application/json"}
    if oauth.idp_client_secret:
        pair = f"{quote(oauth.idp_client_id, safe='')}:{quote(oauth.idp_client_secret, safe='')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        form["client_id"] = oauth.idp_client_id
    endpoint = oauth.idp_token_endpoint or await _endpoint(oauth.idp_issuer, fetcher)
    answer = await fetcher.send(httpx2.Request("POST", endpoint, data=form, headers=headers))
    if answer.status_code != 200:
        raise SignInError(
            f"the identity provider refused to vouch for you: {describe_refusal(answer)}",
            _TODO,
            passing=answer.status_code >= 500,
        )
    return _read(answer)


async def _endpoint(issuer: str, fetcher: Fetcher) -> str:
    """Return the token endpoint in an identity provider's metadata (RFC 8414, OpenID Connect)."""
    for url in build_oauth_authorization_server_metadata_discovery_urls(issuer, issuer):
        asked = create_oauth_metadata_request(url)
        answer = normalised(asked, await fetcher.send(asked), issuer)
        try_next, metadata = await handle_auth_metadata_response(answer)
        if metadata is not None:
            validate_metadata_issuer(metadata, issuer)
            return str(metadata.token_endpoint)
        if not try_next:
            break
    raise SignInError("the identity provider publishes no metadata", "Set idp_token_endpoint.")


def _read(answer: httpx2.Response) -> str:
    """Return the assertion of an answer (RFC 8693, section 2.2.1). Raises `SignInError`."""
    body = json_object(answer.content)
    if body is None:
        raise SignInError("the identity provider's answer is invalid")
    if body.get("issued_token_type") != f"{_TYPES}id-jag":
        raise SignInError("the identity provider issued a token of another kind than was asked for", _TODO)
    token = body.get("access_token")
    if not isinstance(token, str) or len(token) > _LONGEST or not _JWT.fullmatch(token):
        raise SignInError("the identity provider issued an invalid assertion")
    return token
