"""Puts secrets that a person typed into the system's keyring."""

from __future__ import annotations

import logging

from omni_tui.protocol import UserError

logger = logging.getLogger(__name__)

KEYRING = "omni-tui"
"""The keyring's service under which secrets from forms are stored."""


def store_in_keyring(name: str, value: str) -> None:
    """Put a secret into the keyring and check that it is there. Raises `UserError`."""
    way_out = "write ${NAME} instead, and set that variable before you start"
    try:
        import keyring

        keyring.set_password(KEYRING, name, value)
        stored = keyring.get_password(KEYRING, name)
    except Exception as error:  # keyring's backends raise what they like
        logger.warning("storing %s in the keyring failed: %s", name, type(error).__name__)
        raise UserError(f"the keyring did not take it ({type(error).__name__}); {way_out}") from None
    if stored != value:
        raise UserError(f"the keyring of this machine keeps nothing; {way_out}")
