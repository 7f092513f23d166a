"""Telling an authorisation server that a token is not used any more (RFC 7009)."""

from __future__ import annotations

import httpx2

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.servers.auth.fetch import Fetcher
from omni_tui.servers.auth.provider import Memory, browser_sign_in
from omni_tui.servers.auth.records import Record
from omni_tui.servers.auth.urls import AuthTrouble, Boundary


async def revoke(spec: ServerSpec, record: Record) -> bool:
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

    memory = Memory(record, lambda: 0.0, kept)
    provider = browser_sign_in(spec, record, memory, "http://127.0.0.1:1/callback", nobody, None)
    context = provider.context
    context.client_info = await memory.get_client_info()
    endpoint = context.oauth_metadata.revocation_endpoint if context.oauth_metadata else None
    if endpoint is None or context.client_info is None:
        return False
    held = {"refresh_token": record.refresh_token, "access_token": record.access_token}
    told = False
    async with Fetcher(Boundary(spec.url, oauth.issuer)) as fetcher:
        for kind, token in held.items():
            if not token:
                continue
            form = {"token": token, "token_type_hint": kind, "client_id": context.client_info.client_id}
            data, headers = context.prepare_token_auth(form, {})
            try:
                answer = await fetcher.send(
                    httpx2.Request("POST", str(endpoint), data=data, headers=headers)
                )
            except AuthTrouble:
                return False
            if answer.status_code != 200:
                return False
            told = True
    return told
