"""Telling an authorisation server that a token is not used any more (RFC 7009)."""

from __future__ import annotations

import httpx2

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.servers.auth.fetcher import Fetcher
from omni_tui.servers.auth.oauth_clients import RecordTokenStorage, browser_sign_in
from omni_tui.servers.auth.sign_in_records import SignInRecord
from omni_tui.servers.auth.urls import SignInError, UrlPolicy


async def revoke_tokens(spec: ServerSpec, record: SignInRecord) -> bool:
    """Revoke both tokens of a record; True if the server took them. Never raises for the server's part.

    The access token is named too: RFC 7009 lets a server leave it valid when its refresh token goes.
    """
    oauth = spec.oauth or OAuthSpec()
    if oauth.grant == "cross_app" or oauth.private_key:
        return False

    async def kept() -> None:
        return None

    async def nobody(_url: str) -> None:
        return None

    memory = RecordTokenStorage(record, lambda: 0.0, kept)
    provider = browser_sign_in(spec, record, memory, "http://127.0.0.1:1/callback", nobody, None)
    context = provider.context
    context.client_info = await memory.get_client_info()
    endpoint = context.oauth_metadata.revocation_endpoint if context.oauth_metadata else None
    if endpoint is None or context.client_info is None:
        return False
    held = {"refresh_token": record.refresh_token, "access_token": record.access_token}
    told = False
    async with Fetcher(UrlPolicy(spec.url, oauth.issuer)) as fetcher:
        for kind, token in held.items():
            if not token:
                continue
            form = {"token": token, "token_type_hint": kind, "client_id": context.client_info.client_id}
            data, headers = context.prepare_token_auth(form, {})
            try:
                answer = await fetcher.send(
                    httpx2.Request("POST", str(endpoint), data=data, headers=headers)
                )
            except SignInError:
                return False
            if answer.status_code != 200:
                return False
            told = True
    return told
