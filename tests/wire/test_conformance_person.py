"""The person of the conformance client: which account is whose, and when one gives up."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_tui.config.spec import OAuthSpec, ServerSpec
from tests.engine.faults.harness import connected
from tests.wire.authority import serving
from tests.wire.conformance_person import METADATA_URL, Person, account

pytestmark = pytest.mark.wire


def test_account_is_what_the_suite_hands_out() -> None:
    assert account("auth/anything", {}) == OAuthSpec()
    assert account("auth/basic-cimd", {}).client_metadata_url == METADATA_URL
    given = {"client_id": "c", "client_secret": "s"}
    assert account("auth/pre-registration", given) == OAuthSpec(client_id="c", client_secret="s")
    assert account("auth/client-credentials-basic", given).grant == "client_credentials"
    with_key = account("auth/from-a-later-version", {"client_id": "c", "private_key_pem": "k"})
    assert (with_key.grant, with_key.private_key) == ("client_credentials", "k")


async def test_person_signs_in_and_gives_up_after_some_refusals(tmp_path: Path) -> None:
    with serving() as authority:
        spec = ServerSpec(name="w", url=authority.url, oauth=OAuthSpec())
        async with connected(tmp_path, spec) as servers:
            assert (await Person(servers, "w").settled()).state == "idle"
    with serving() as authority:
        authority.metadata["issuer"] = "https://elsewhere.example"
        spec = ServerSpec(name="w", url=authority.url, oauth=OAuthSpec())
        async with connected(tmp_path, spec) as servers:
            assert (await Person(servers, "w").settled()).state == "needs_sign_in"
            assert not authority.authorized
