"""Writing a file where the person said, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from omni_tui.protocol import UserError
from omni_tui.tools.media_types import file_suffix


def write_new_file(name: str, data: bytes, mime: str, *, stem: str, overwrite: bool) -> tuple[str, int]:
    """Write a new file of mode 0600 and return its path and size in bytes. Raises `UserError`.

    `name` is the person's. If it is a folder, the file in it is called `stem`, with the suffix that its
    bytes call for; no word of a server becomes part of a path.
    """
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            path = path / f"{stem}{file_suffix(data, mime)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if overwrite else os.O_EXCL)
        # A pipe that nobody reads would hold the writer for ever.
        with os.fdopen(os.open(path, flags | os.O_NONBLOCK, 0o600), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise UserError(
            f"{path} exists already; choose another name, or say that it may be replaced"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    except (RuntimeError, ValueError) as error:
        raise UserError(f"that is no path: {error}") from None
    return str(path), len(data)
