"""The SDK's OAuth clients, made from the stored sign-in, and run over our own fetcher.

The SDK brings discovery (RFC 9728, RFC 8414), PKCE (RFC 7636), resource indicators (RFC 8707),
registration (RFC 7591, client id metadata documents) and the checks of issuers (RFC 9207). Its flow is
stopped where it would send the request to the MCP server itself. Tokens are revoked by RFC 7009.
"""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx2
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.utils import (
    extract_field_from_www_auth,
    extract_resource_metadata_from_www_auth,
    extract_scope_from_www_auth,
    union_scopes,
)
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import LATEST_PROTOCOL_VERSION
from pydantic import AnyUrl, ValidationError

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.servers.auth.fetcher import Fetcher
from omni_tui.servers.auth.oauth_responses import normalised, without_scope
from omni_tui.servers.auth.sign_in_records import SignInRecord
from omni_tui.servers.auth.urls import SignInError, UrlPolicy, same_issuer

# It logs bodies of token answers with its tracebacks; we report failures in our own words.
logging.getLogger("mcp.client.auth").setLevel(logging.CRITICAL)
logging.getLogger("mcp.client.auth.oauth2").setLevel(logging.CRITICAL)

_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
_LONGEST = 2000
_EXPIRED = 1.0


@dataclass(frozen=True, slots=True)
class Challenge:
    """A server's refusal of a request: where its metadata is, and which scopes it wants."""

    metadata: str = ""
    scope: str = ""
    step_up: bool = False

    @classmethod
    def of(cls, response: httpx2.Response) -> Challenge | None:
        """Read a refusal (RFC 6750, section 3); None for a 403 that a sign-in cannot solve."""
        challenge = response.headers.get("www-authenticate", "")
        if response.status_code not in (401, 403) or len(challenge) > 8192:
            return None
        step_up = response.status_code == 403
        if step_up and extract_field_from_www_auth(response, "error") != "insufficient_scope":
            return None
        metadata = extract_resource_metadata_from_www_auth(response) or ""
        return cls(metadata[:_LONGEST], _scopes(extract_scope_from_www_auth(response) or ""), step_up)

    def refusal(self, wanted: tuple[str, ...]) -> httpx2.Response:
        """Return the refusal in the SDK's form. `wanted` are the scopes of the config."""
        scope = self.scope
        if wanted:
            scope = union_scopes(" ".join(wanted), scope if self.step_up else None) or ""
        error = "insufficient_scope" if self.step_up else ""
        parts = {"error": error, "resource_metadata": self.metadata, "scope": scope}
        fields = ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)
        headers = {"WWW-Authenticate": f"Bearer {fields}".strip()}
        return httpx2.Response(403 if self.step_up else 401, headers=headers)


def _scopes(text: str) -> str:
    return " ".join(word for word in text[:_LONGEST].split() if _SCOPE.fullmatch(word))


class RecordTokenStorage:
    """The SDK's `TokenStorage` over a record; `changed` is awaited after each change."""

    def __init__(
        self,
        record: SignInRecord,
        clock: Callable[[], float],
        changed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.record = record
        self._clock = clock
        self._changed = changed

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens, without their lifetime."""
        record = self.record
        if not record.access_token and not record.refresh_token:
            return None
        return OAuthToken(
            access_token=record.access_token,
            refresh_token=record.refresh_token or None,
            scope=record.scope or None,
        )

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Store new tokens and when they expire."""
        if any(not _SCOPE.fullmatch(each) for each in (tokens.access_token, tokens.refresh_token or "-")):
            raise SignInError("the authorisation server issued a token that no header can carry")
        self.record.take(
            tokens.access_token,
            tokens.refresh_token or "",
            _scopes(tokens.scope or ""),
            tokens.expires_in,
            self._clock(),
        )
        if self._changed is not None:
            await self._changed()

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return the registration."""
        return _parsed(OAuthClientInformationFull, self.record.client_json)

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Store a registration."""
        self.record.client_json = client_info.model_dump_json(exclude_none=True)
        if self._changed is not None:
            await self._changed()


_Model = TypeVar("_Model", OAuthClientInformationFull, OAuthMetadata, ProtectedResourceMetadata)


def _parsed(model: type[_Model], text: str) -> _Model | None:
    try:
        return model.model_validate_json(text) if text else None
    except ValidationError:
        return None


class BrowserSignIn(OAuthClientProvider):
    """The authorisation code grant, bound to the issuer of the config or of the first sign-in."""

    issuer = ""
    bound = False

    def _select_authorization_server(self, advertised: list[str]) -> str:
        return _select(advertised, self.issuer, bound=self.bound)


class SecretSignIn(ClientCredentialsOAuthProvider):
    """Client credentials with a secret, bound to an issuer likewise."""

    def _select_authorization_server(self, advertised: list[str]) -> str:
        return _select(advertised, self._issuer or "", bound=bool(self._issuer))


class KeySignIn(PrivateKeyJWTOAuthProvider):
    """Client credentials with a signed assertion (RFC 7523), bound to an issuer likewise."""

    def _select_authorization_server(self, advertised: list[str]) -> str:
        return _select(advertised, self._issuer or "", bound=bool(self._issuer))


def _select(advertised: list[str], issuer: str, *, bound: bool) -> str:
    """Choose an authorisation server; credentials for one are never sent to another."""
    if issuer and any(same_issuer(each, issuer) for each in advertised):
        return issuer  # in the config's form, which the SDK (2.3.0) compares with the metadata
    if bound:
        raise SignInError(
            f"the server now names another authorisation server ({advertised[0][:200]}) than {issuer}",
            "If that is right, sign out first, or correct issuer in the config.",
        )
    return advertised[0]


def browser_sign_in(
    spec: ServerSpec,
    memory: RecordTokenStorage,
    redirect_uri: str,
    on_url: Callable[[str], Awaitable[None]] | None = None,
    on_callback: Callable[[], Awaitable[AuthorizationCodeResult]] | None = None,
) -> BrowserSignIn:
    """Return the client for signing in with a browser; without callbacks, for renewing and revoking."""
    oauth, record = spec.oauth or OAuthSpec(), memory.record
    metadata = OAuthClientMetadata(
        client_name="Omni TUI",
        redirect_uris=[AnyUrl(redirect_uri)],
        scope=" ".join(oauth.scopes) or None,
    )
    provider = BrowserSignIn(
        spec.url,
        metadata,
        memory,
        redirect_handler=on_url,
        callback_handler=on_callback,
        client_metadata_url=oauth.client_metadata_url or None,
    )
    provider.issuer = oauth.issuer or (record.issuer if oauth.client_id else "")
    provider.bound = bool(provider.issuer)
    if oauth.client_id:
        client = OAuthClientInformationFull(
            client_id=oauth.client_id,
            client_secret=oauth.client_secret or None,
            redirect_uris=[AnyUrl(redirect_uri)],
            token_endpoint_auth_method="client_secret_basic" if oauth.client_secret else "none",
            issuer=provider.issuer or None,
        )
        record.client_json = client.model_dump_json(exclude_none=True)
    _restore(provider, record)
    return provider


def machine_sign_in(spec: ServerSpec, memory: RecordTokenStorage) -> OAuthClientProvider:
    """Return the client for signing in without a person. Raises `SignInError` for an invalid key."""
    oauth, record = spec.oauth or OAuthSpec(), memory.record
    issuer = oauth.issuer or record.issuer or None
    scope = " ".join(oauth.scopes) or None
    with warnings.catch_warnings():
        # Without an issuer, the first that is discovered is used from then on (`record.issuer`).
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        if oauth.private_key:
            parameters = SignedJWTParameters(
                issuer=oauth.client_id,
                subject=oauth.client_id,
                signing_key=oauth.private_key,
                signing_algorithm=_algorithm(oauth.private_key),
            )
            assertion = parameters.create_assertion_provider()
            provider: OAuthClientProvider = KeySignIn(
                spec.url, memory, oauth.client_id, assertion, scope, issuer
            )
        else:
            provider = SecretSignIn(
                spec.url, memory, oauth.client_id, oauth.client_secret, scope=scope, issuer=issuer
            )
    _restore(provider, record)
    return provider


def _algorithm(pem: str) -> str:
    curves = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SignInError("private_key is not a PEM private key without a passphrase") from None
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in curves:
        return curves[key.curve.name]
    raise SignInError("private_key is of a kind that cannot sign assertions; use RSA, P-256 or Ed25519")


def _restore(provider: OAuthClientProvider, record: SignInRecord) -> None:
    """Restore what was discovered: else a renewal after a restart goes to a guessed address."""
    context = provider.context
    context.oauth_metadata = _parsed(OAuthMetadata, record.metadata_json)
    context.protected_resource_metadata = _parsed(ProtectedResourceMetadata, record.resource_json)
    if context.protected_resource_metadata is not None and record.issuer:
        context.auth_server_url = record.issuer


def store_metadata(provider: OAuthClientProvider, record: SignInRecord) -> None:
    """Store what was discovered."""
    metadata, resource = provider.context.oauth_metadata, provider.context.protected_resource_metadata
    record.metadata_json = metadata.model_dump_json(exclude_none=True) if metadata else ""
    record.resource_json = resource.model_dump_json(exclude_none=True) if resource else ""
    record.issuer = str(metadata.issuer) if metadata else ""


async def renew(provider: OAuthClientProvider, fetcher: Fetcher) -> bool:
    """Use the refresh token (RFC 6749, section 6). False: it is refused or missing."""
    context = provider.context
    context.current_tokens = await context.storage.get_tokens()
    context.client_info = await context.storage.get_client_info()
    context.token_expiry_time = _EXPIRED
    provider._initialized = True  # else it would load tokens without their lifetime
    before = context.current_tokens
    await run_flow(provider, context.server_url, fetcher, None, lambda: context.auth_server_url or "")
    return context.current_tokens is not None and context.current_tokens is not before


async def sign_in(provider: OAuthClientProvider, fetcher: Fetcher, challenge: Challenge) -> None:
    """Get tokens after a refusal. Raises `SignInError`, and what the SDK raises."""
    context = provider.context
    wanted = tuple((context.client_metadata.scope or "").split())
    refusal = challenge.refusal(wanted)
    await run_flow(provider, context.server_url, fetcher, refusal, lambda: context.auth_server_url or "")


async def run_flow(
    provider: httpx2.Auth,
    server: str,
    fetcher: Fetcher,
    refusal: httpx2.Response | None,
    issuer: Callable[[], str],
) -> None:
    """Run the SDK's flow. `refusal` stands for the server's answer to the request, once; then it ends.

    `issuer` returns the authorisation server whose metadata is requested.
    """
    request = httpx2.Request("POST", server)
    request.headers["MCP-Protocol-Version"] = LATEST_PROTOCOL_VERSION
    flow = provider.async_auth_flow(request)
    try:
        outgoing = await flow.__anext__()
        while True:
            if outgoing is request:
                if refusal is None:
                    return
                response, refusal = refusal, None
                response.request = request
            else:
                response = await fetcher.send(outgoing)
                if (again := without_scope(outgoing, response)) is not None:
                    response = await fetcher.send(again)
                response = fetcher.last = normalised(outgoing, response, issuer())
            outgoing = await flow.asend(response)
    except StopAsyncIteration:
        return
    finally:
        await flow.aclose()


async def revoke_tokens(spec: ServerSpec, record: SignInRecord) -> bool:
    """Revoke both tokens (RFC 7009); return whether the server accepted. Does not raise.

    Both, since a server may leave the access token valid when its refresh token is revoked.
    """
    oauth = spec.oauth or OAuthSpec()
    if oauth.grant == "cross_app" or oauth.private_key:
        return False
    memory = RecordTokenStorage(record, time.time)
    provider = browser_sign_in(spec, memory, "http://127.0.0.1:1/callback")
    context = provider.context
    context.client_info = await memory.get_client_info()
    endpoint = context.oauth_metadata.revocation_endpoint if context.oauth_metadata else None
    if endpoint is None or context.client_info is None:
        return False
    held = {"refresh_token": record.refresh_token, "access_token": record.access_token}
    revoked = False
    async with Fetcher(UrlPolicy(spec.url, oauth.issuer)) as fetcher:
        for kind, token in held.items():
            if not token:
                continue
            form = {"token": token, "token_type_hint": kind, "client_id": context.client_info.client_id}
            data, headers = context.prepare_token_auth(form, {})
            request = httpx2.Request("POST", str(endpoint), data=data, headers=headers)
            try:
                answer = await fetcher.send(request)
            except SignInError:
                return False
            if answer.status_code != 200:
                return False
            revoked = True
    return revoked
