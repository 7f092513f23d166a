"""References: what is expanded, what never is, and what is said when one leads nowhere."""

from __future__ import annotations

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.errors import KeyringLocked

from omni_tui.config.references import (
    UnresolvedReference,
    has_reference,
    is_reference,
    names_a_secret,
    resolve,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${A}", "1"),
        ("${env:A}", "1"),
        ("x${A}y${B}", "x1y${A}"),  # what a variable holds is not expanded again
        ("$A", "$A"),
        ("${A", "${A"),
        ("${cmd:id}", "${cmd:id}"),
        ("${A:-x}", "${A:-x}"),
        ("$(id) `id` %A% ~", "$(id) `id` %A% ~"),
        ("x keyring:a/b", "x keyring:a/b"),
    ],
)
def test_only_the_two_forms_are_expanded(value: str, expected: str) -> None:
    found = resolve(value, {"A": "1", "B": "${A}"})
    assert found.value == expected
    assert found.secret == (value != expected) == has_reference(value)


@given(st.text(max_size=40).filter(lambda text: not has_reference(text)))
def test_everything_else_stays_as_it_is(value: str) -> None:
    assert resolve(value, {"A": "1"}).value == value


def test_what_is_a_reference_as_a_whole() -> None:
    assert is_reference("${A}")
    assert is_reference("keyring:service/name/with/slashes")
    assert not any(map(is_reference, ("", "A", "Bearer ${A}", "${A}${B}", "keyring:service", "${1A}")))


def test_unset_and_empty_variables_are_named() -> None:
    with pytest.raises(UnresolvedReference, match="variables A, B are not set; set them"):
        resolve("${B}${A}", {"A": ""})


def test_the_keyring_gives_its_entry_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {("svc", "a/b"): "secret"}
    monkeypatch.setattr(keyring, "get_password", lambda service, name: kept.get((service, name)))
    found = resolve("keyring:svc/a/b", {})
    assert (found.value, found.secret) == ("secret", True)
    with pytest.raises(UnresolvedReference, match="keyring set svc c"):
        resolve("keyring:svc/c", {})

    def locked(service: str, name: str) -> str:
        raise KeyringLocked("s3cret detail")

    monkeypatch.setattr(keyring, "get_password", locked)
    with pytest.raises(UnresolvedReference, match="KeyringLocked") as caught:
        resolve("keyring:svc/c", {})
    assert "s3cret" not in str(caught.value)


def test_names_that_commonly_hold_secrets() -> None:
    assert all(map(names_a_secret, ("Authorization", "X-Api-Key", "GITHUB_TOKEN", "DB_PASSWORD", "Cookie")))
    assert not any(map(names_a_secret, ("PATH", "Accept", "X-Trace", "AUTHOR")))
