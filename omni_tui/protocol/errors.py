"""The error whose text is shown to the person."""

from __future__ import annotations


class UserError(Exception):
    """A command cannot be carried out. The text tells the person why, and what to do instead."""


class FileInTheWay(UserError):
    """A file was not written because one of that name exists."""
