"""The error whose text is shown to the person."""

from __future__ import annotations


class UserError(Exception):
    """A command cannot be carried out. The text tells the person why, and what to do instead."""
