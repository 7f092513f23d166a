"""Signing in to servers by OAuth 2. `SignIns` is the entrance; it loads the SDK when a server needs it."""

from omni_tui.servers.auth.sign_in_records import SignInStore
from omni_tui.servers.auth.sign_ins import SignInRefused, SignIns

__all__ = ["SignInRefused", "SignInStore", "SignIns"]
