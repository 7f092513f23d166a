"""Signing in to servers by OAuth 2: who is signed in, how that is kept, and how it comes about.

`SignIns` is what the rest of the app sees; it loads the SDK only when a server needs it.
"""

from omni_tui.servers.auth.sign_in_records import SignInStore
from omni_tui.servers.auth.sign_ins import SignInRefused, SignIns

__all__ = ["SignInRefused", "SignInStore", "SignIns"]
