"""Text that comes from outside the program: it has to be UTF-8, or the person is told where it is not."""

from __future__ import annotations

import codecs
import sys
from typing import BinaryIO

from omni_tui.cli.errors import CliError, ExitStatus

_OTHER = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def read_input(stream: BinaryIO | None = None) -> str:
    """Return all of the standard input. Raises `CliError` if it is not UTF-8."""
    data = (stream or sys.stdin.buffer).read()
    todo = "Convert it first, for example with: iconv -f LATIN1 -t UTF-8 FILE | omni-tui run -"
    for mark, name in _OTHER.items():
        if data.startswith(mark):
            todo = todo.replace("LATIN1", name)
            raise CliError(
                "the input is not UTF-8 text", why=f"it is {name}", todo=todo, status=ExitStatus.USAGE
            )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        why = f"byte 0x{data[error.start]:02X} in line {line}"
        raise CliError("the input is not UTF-8 text", why=why, todo=todo, status=ExitStatus.USAGE) from None
