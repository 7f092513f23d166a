"""Whether a path that a server is given lies inside a folder.

This is advice, not a sandbox: the server opens the file later, and may read the path differently.
"""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Iterator

from omni_tui.policy.glob import composed

LONGEST_PATH = 4_096
"""Characters of a path; where a longer one leads is unclear."""
_READ_DIFFERENTLY = re.compile(r"[\\$]|%[0-9A-Fa-f]{2}|\A[A-Za-z][A-Za-z0-9+.-]*:|\A~(?!/|\Z)")
"""A backslash, a variable, an escaped character, a scheme or drive, another person's home."""
_UNSEEN = frozenset(("Cc", "Cf", "Zl", "Zp"))
"""Categories of control and format characters, and of what ends a line."""


def folder_problem(folder: str) -> str:
    """Return why a folder cannot be used in `path_within`, "" if it can."""
    if not _is_plain(folder):
        return "is too long, or has a character that programs read differently"
    if not folder.startswith(("/", "~/")) and folder != "~":
        return "must be an absolute path, or begin with ~/"
    return ""


def is_within(path: str, folders: tuple[str, ...], cwd: str = "") -> bool | None:
    """Whether a path lies inside one of some folders (or is one); None if that is unclear.

    Unclear are a relative path if the server's `cwd` is not known, what programs read differently (white
    space around it, a control character, a backslash, `~name`, `$`, `%2e`, `file:`), a loop of links,
    what may not be looked at, a path that lies inside only by its letters or only behind its links, and
    one that lies inside except for upper and lower case or for another form of the same letters.
    """
    places = _places(path, cwd)
    if places is None:
        return None
    answers = {_lies_in(place, folders) for place in places}
    return answers.pop() if len(answers) == 1 else None


def _places(path: str, cwd: str) -> tuple[str, ...] | None:
    """Return where a path leads: with links followed first, and with `..` taken out first."""
    if not _is_plain(path):
        return None
    expanded = os.path.expanduser(path) if path == "~" or path.startswith("~/") else path
    if path.startswith("~") and expanded == path:
        return None
    if not expanded.startswith("/"):
        if not cwd.startswith("/"):
            return None
        expanded = os.path.join(cwd, expanded)
    found = tuple(_followed(each) for each in (expanded, os.path.normpath(expanded)))
    return None if None in found else tuple(each for each in found if each is not None)


def _followed(path: str) -> str | None:
    """Return a path with its links followed as far as it exists, None if they cannot be."""
    try:
        return os.path.realpath(path, strict=True)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ENOTDIR:
            return None
    except ValueError:
        return None
    return os.path.realpath(path)


def _lies_in(place: str, folders: tuple[str, ...]) -> bool | None:
    near = False
    for folder in _resolved(folders):
        if folder is None:
            near = True
        elif _is_below(place, folder):
            return True
        elif _is_below(composed(place).casefold(), composed(folder).casefold()):
            near = True
    return None if near else False


def _resolved(folders: tuple[str, ...]) -> Iterator[str | None]:
    for folder in folders:
        yield _followed(os.path.expanduser(folder))


def _is_below(place: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return place == folder or place.startswith(f"{folder}/") or not folder


def _is_plain(path: str) -> bool:
    """Whether programs agree on what the path's characters mean."""
    if not 0 < len(path) <= LONGEST_PATH or path != path.strip() or _READ_DIFFERENTLY.search(path):
        return False
    return path.isprintable() or not any(unicodedata.category(each) in _UNSEEN for each in path)
