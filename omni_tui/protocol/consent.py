"""What a person is shown before a server may start."""

from __future__ import annotations

from omni_tui.protocol.base import Reply
from omni_tui.protocol.text import JsonText, SafeText


class LaunchRead(Reply, frozen=True):
    """What would be started or reached. `digest` names it exactly; `AllowServer` gives it back.

    `program` is the file that would run, `real` where links lead from there, if elsewhere. `launch_json`
    is exact: `command`, `args`, `cwd` and `env`, or `url` and `headers`; a value that is secret is null.
    `dangers` are sentences about it.
    """

    server: str
    digest: str
    program: SafeText
    real: SafeText
    launch_json: JsonText
    source: str
    dangers: tuple[SafeText, ...] = ()
