"""How a command ends, and the one error it ends with."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses; `LIMIT` and `CANCELLED` are those of `run`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    WITHHELD = 3
    LIMIT = 4
    CANCELLED = 130


class CliError(Exception):
    """A command cannot go on: what happened, why, and what to do. Printed on stderr as it is."""

    def __init__(
        self, what: str, *, why: str = "", todo: str = "", status: ExitStatus = ExitStatus.FAILED
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.todo = todo
        self.status = status

    def __str__(self) -> str:
        text = self.what + (f": {self.why}" if self.why else "")
        return f"{text}\n{self.todo}" if self.todo else text
