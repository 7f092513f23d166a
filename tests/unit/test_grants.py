"""Invariant 1, first half: nothing but the gate makes a grant, and a grant is honoured once."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass

import pytest

from omni_tui.approvals.grants import LIFETIME_S, Grant, GrantRefused, Mint


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def issue(mint: Mint, call: str = "c-1") -> Grant:
    return mint.issue(call=call, attempt=1, server_fp="fp", def_hash="def", args_hash="args")


def test_an_issued_grant_is_taken_once() -> None:
    mint = Mint()
    grant = issue(mint)
    mint.take(grant)
    with pytest.raises(GrantRefused, match="used already"):
        mint.take(grant)


def test_a_grant_cannot_be_made_by_hand() -> None:
    with pytest.raises(TypeError, match="made by the gate"):
        Grant(object(), call="c-1")


def test_a_forged_grant_is_refused() -> None:
    forged = object.__new__(Grant)
    for name, value in {
        "call": "c-1",
        "attempt": 1,
        "server_fp": "fp",
        "def_hash": "def",
        "args_hash": "args",
        "nonce": "0" * 32,
        "expires": 1e12,
        "mac": b"x" * 32,
    }.items():
        object.__setattr__(forged, name, value)
    with pytest.raises(GrantRefused):
        Mint().take(forged)


def test_an_empty_shell_of_a_grant_is_refused() -> None:
    with pytest.raises(GrantRefused):
        Mint().take(object.__new__(Grant))


def test_a_grant_of_another_mint_is_refused() -> None:
    with pytest.raises(GrantRefused):
        Mint().take(issue(Mint()))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_grant_cannot_be_copied(duplicate: object) -> None:
    with pytest.raises(TypeError):
        duplicate(issue(Mint()))  # type: ignore[operator]


def test_a_field_by_field_copy_is_refused_and_spends_the_original() -> None:
    mint = Mint()
    grant = issue(mint)
    twin = object.__new__(Grant)
    for name in Grant.__slots__:
        object.__setattr__(twin, name, getattr(grant, name))
    with pytest.raises(GrantRefused, match="copy"):
        mint.take(twin)
    with pytest.raises(GrantRefused):
        mint.take(grant)


@pytest.mark.parametrize("field", ["call", "attempt", "server_fp", "def_hash", "args_hash", "expires"])
def test_an_altered_grant_is_refused(field: str) -> None:
    mint = Mint()
    grant = issue(mint)
    with pytest.raises(TypeError):
        setattr(grant, field, "other")
    object.__setattr__(grant, field, 2e12 if field == "expires" else "other")
    with pytest.raises(GrantRefused, match="altered"):
        mint.take(grant)


def test_an_expired_grant_is_refused() -> None:
    clock = Clock()
    mint = Mint(clock)
    grant = issue(mint)
    clock.now = LIFETIME_S + 0.1
    with pytest.raises(GrantRefused, match="expired"):
        mint.take(grant)


def test_a_revoked_grant_is_refused() -> None:
    mint = Mint()
    grant, other = issue(mint), issue(mint, "c-2")
    mint.revoke("c-1")
    with pytest.raises(GrantRefused):
        mint.take(grant)
    mint.take(other)


def test_a_look_alike_is_refused() -> None:
    with pytest.raises(TypeError, match="one form"):
        type("Sub", (Grant,), {})
    with pytest.raises(GrantRefused, match="no grant"):
        Mint().take({"call": "c-1"})  # type: ignore[arg-type]
