"""One server's sign-in while the app runs: the present token, and how the next one is obtained.

Only one renewal runs at a time; all others wait for it. A valid token is returned without a lock, so
that calls to one server run side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
from mcp.client.auth import OAuthFlowError, OAuthRegistrationError
from mcp.shared.auth import AuthorizationCodeResult
from pydantic import ValidationError

from omni_tui.config.spec import OAuthSpec, ServerSpec
from omni_tui.servers.auth import enterprise, sign_in_records
from omni_tui.servers.auth import oauth_clients as sdk
from omni_tui.servers.auth.browser import PATH
from omni_tui.servers.auth.fetcher import Fetcher, describe_refusal
from omni_tui.servers.auth.oauth_clients import Challenge
from omni_tui.servers.auth.sign_in_records import SignInRecord, SignInStore
from omni_tui.servers.auth.urls import SignInError, UrlPolicy, same_issuer

_REFUSED = (400, 401, 403)
_NO_REGISTRATION = (404, 405, 501)


class Account:
    """Tokens of one server. `on_change` is called when it is signed in, or needs to be.

    `need` is what a server asks for that only a person can grant. `failure` is why no token is available.
    """

    def __init__(
        self,
        spec: ServerSpec,
        store: SignInStore | None,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.oauth = spec.oauth or OAuthSpec()
        self.need: Challenge | None = None
        self.failure: SignInError | None = None
        self.record = SignInRecord()
        self._store = store
        self._clock = clock
        self._on_change = on_change
        self._lock = asyncio.Lock()
        self._loaded = False

    @property
    def uses_client_credentials(self) -> bool:
        """Whether it signs in without a person."""
        return self.oauth.grant != "authorization_code"

    @property
    def signed_in(self) -> bool:
        """Whether it has a token, or can get one without a person."""
        return bool(self.record.access_token or self.record.refresh_token)

    def scopes(self) -> str:
        """Return the scopes that a sign-in would ask for, or the granted ones if none is needed."""
        if self.need is None and self.signed_in:
            return self.record.scope
        asked = list(self.oauth.scopes)
        if self.need is not None and (self.need.step_up or not asked):
            asked += [*self.record.scope.split(), *self.need.scope.split()]
        return " ".join(dict.fromkeys(asked))

    async def token(self) -> str:
        """Return a token to send, "" for none. Raises `SignInError` if a renewal failed."""
        if self.record.fresh(self._clock()):
            return self.record.access_token
        async with self._lock:
            await self._load()
            if not self.record.fresh(self._clock()):
                if self.uses_client_credentials and self.record.access_token:  # it has expired
                    await self._sign_in_without_person(Challenge())
                elif self.record.refresh_token:
                    await self._renew()
            return self.record.access_token if self.record.fresh(self._clock()) else ""

    async def token_after_refusal(self, challenge: Challenge, used: str) -> str:
        """Return another token than the refused one, "" if that takes a person: see `need`."""
        async with self._lock:
            await self._load()
            if self.record.access_token != used and self.record.fresh(self._clock()):
                return self.record.access_token
            try:
                if self.uses_client_credentials:
                    await self._sign_in_without_person(challenge)
                elif challenge.step_up or not self.record.refresh_token or not await self._renew():
                    self.require(challenge)
            except SignInError as failure:
                self.failure = failure
                return ""
            another = self.record.access_token != used and self.record.fresh(self._clock())
            return self.record.access_token if another else ""

    def require(self, challenge: Challenge) -> None:
        """Note that a person has to sign in, or grant more."""
        self.need = challenge
        if challenge.step_up:
            more = f": {challenge.scope}" if challenge.scope else ""
            what = f"the server asks for more rights than you granted{more}"
        else:
            self.record.drop_tokens()
            what = "the server asks for a sign-in"
        self.failure = SignInError(what, "Press s in the servers pane to sign in.")
        self._on_change()

    async def begin(self) -> None:
        """Load the stored sign-in, once."""
        async with self._lock:
            await self._load()

    async def sign_in_with_browser(
        self,
        port: int,
        on_url: Callable[[str, sdk.BrowserSignIn], None],
        answered: Callable[[], Awaitable[AuthorizationCodeResult]],
    ) -> None:
        """Sign in with a browser. Raises `SignInError`; the former tokens stay valid until it succeeds."""
        former = self.record
        record = SignInRecord(
            chosen=sign_in_records.chosen_client(self.oauth),
            port=port,
            issuer=former.issuer,
            access_token=former.access_token,
            scope=former.scope,
            metadata_json=former.metadata_json,
            resource_json=former.resource_json,
        )
        if former.port == port:  # else the registered redirect address differs
            record.client_json = former.client_json

        async def changed() -> None:  # keep the registration even if this sign-in fails
            self.record.client_json, self.record.port = record.client_json, port

        async def show(url: str) -> None:
            on_url(url, provider)

        async def wait() -> AuthorizationCodeResult:
            result = await answered()
            metadata = provider.context.oauth_metadata
            named = str(metadata.issuer) if metadata else ""
            if result.iss and named and same_issuer(result.iss, named):
                result.iss = named  # the SDK (2.3.0) compares them letter by letter
            return result

        memory = sdk.RecordTokenStorage(record, self._clock, changed)
        provider = sdk.browser_sign_in(self.spec, memory, f"http://127.0.0.1:{port}{PATH}", show, wait)
        async with self._fetching() as fetcher:
            await sdk.sign_in(provider, fetcher, self.need or Challenge())
        if provider.context.current_tokens is None or not record.access_token:
            raise SignInError("the authorisation server issued no token")
        sdk.store_metadata(provider, record)
        async with self._lock:
            await self._adopt(record)

    async def forget(self) -> SignInRecord:
        """Forget everything, here and in the store; return the former record. Raises `OSError`."""
        async with self._lock:
            await self._load()
            former = self.record
            self.record = SignInRecord(chosen=sign_in_records.chosen_client(self.oauth))
            self.need = self.failure = None
            if self._store is not None:
                await asyncio.to_thread(self._store.forget, self.spec.url)
            return former

    # --- under the lock -------------------------------------------------------------------------

    async def _load(self) -> None:
        if not self._loaded:
            self.record = await sign_in_records.load_record(self._store, self.spec)
            self._loaded = True

    async def _renew(self) -> bool:
        """Use the refresh token while no other process does. False: it is not valid any more.

        A server that rotates refresh tokens treats a second use as theft, so the store is read again
        first: another process may have renewed it.
        """
        async with sign_in_records.exclusive_renewal(self._store, self.spec):
            former = self.record.access_token
            stored = await sign_in_records.load_record(self._store, self.spec)
            if stored.access_token and stored.access_token != former:
                self.record = stored
                if stored.fresh(self._clock()):
                    self.need = self.failure = None
                    return True
            return bool(self.record.refresh_token) and await self._renew_alone()

    async def _renew_alone(self) -> bool:
        record = self.record

        async def changed() -> None:
            await sign_in_records.save_record(self._store, self.spec, record)

        memory = sdk.RecordTokenStorage(record, self._clock, changed)
        provider = sdk.browser_sign_in(self.spec, memory, f"http://127.0.0.1:{record.port or 1}{PATH}")
        async with self._fetching() as fetcher:
            renewed = await sdk.renew(provider, fetcher)
        if not renewed:
            last = fetcher.last
            if last is not None and last.status_code not in (*_REFUSED, 200) and last.status_code < 600:
                why = describe_refusal(last)
                raise SignInError(f"the sign-in could not be renewed: {why}", passing=True)
            record.drop_tokens()
            await sign_in_records.save_record(self._store, self.spec, record)
            return False
        self.need = self.failure = None
        return True

    async def _sign_in_without_person(self, challenge: Challenge) -> None:
        record = self.record
        memory = sdk.RecordTokenStorage(record, self._clock)
        async with self._fetching() as fetcher:
            if self.oauth.grant == "cross_app":
                await enterprise.sign_in(self.spec, memory, fetcher, challenge)
                record.issuer = self.oauth.issuer
            else:
                provider = sdk.machine_sign_in(self.spec, memory)
                await sdk.sign_in(provider, fetcher, challenge)
                sdk.store_metadata(provider, record)
        record.refresh_token = ""  # not needed: it can always sign in again
        await self._adopt(record)

    async def _adopt(self, record: SignInRecord) -> None:
        self.record, self._loaded = record, True
        self.need = self.failure = None
        await sign_in_records.save_record(self._store, self.spec, record)
        self._on_change()

    @asynccontextmanager
    async def _fetching(self) -> AsyncIterator[Fetcher]:
        """Yield a fetcher; every failure inside becomes a `SignInError` without secrets in its text."""
        oauth = self.oauth
        boundary = UrlPolicy(self.spec.url, oauth.issuer, oauth.idp_issuer, oauth.idp_token_endpoint)
        async with Fetcher(boundary) as fetcher:
            try:
                yield fetcher
            except OAuthRegistrationError as error:
                status = fetcher.last.status_code if fetcher.last is not None else 0
                if status in _NO_REGISTRATION:
                    what = "the authorisation server does not register apps by itself"
                    raise SignInError(what, "Register one there, and set client_id for it.") from None
                raise SignInError(_words(error, fetcher.last)) from None
            except OAuthFlowError as error:
                raise SignInError(_words(error, fetcher.last)) from None
            except (ValidationError, ValueError, httpx2.HTTPError):
                raise SignInError("the authorisation server's answer is invalid") from None


def _words(error: OAuthFlowError, last: httpx2.Response | None) -> str:
    """Return our words for an error of the SDK, whose own may quote whole answers."""
    text = str(error)
    if last is not None and last.status_code >= 300 and text.startswith(("Token exchange", "Registration")):
        step = "token request" if text.startswith("Token") else "registration of this app"
        return f"the authorisation server refused the {step}: {describe_refusal(last)}"
    known = {
        "Protected resource": "the server's metadata is about another server than this one",
        "Authorization server metadata": "the authorisation server's metadata names another issuer",
        "Authorization response iss": "the answer came from another authorisation server: not used",
        "Authorization response missing": "the answer does not say which server it came from: not used",
        "Token endpoint": "the authorisation server wants its secrets sent to another origin: not sent",
        "State parameter": "the answer belongs to another sign-in: not used",
        "No authorization server metadata": "the configured issuer publishes no metadata",
        "Authorization server registered": "the authorisation server registered this app unusably",
    }
    found = next((words for start, words in known.items() if text.startswith(start)), "")
    return found or "the authorisation server's answer is invalid"
