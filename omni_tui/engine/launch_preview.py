"""What the person is told of a server before it may start for the first time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omni_tui.approvals import fingerprint
from omni_tui.config.server_program import program_of, program_warnings
from omni_tui.config.spec import ServerSpec
from omni_tui.protocol import UserError
from omni_tui.protocol.server_settings import LaunchRead
from omni_tui.security.text import exact_json, safe

_LONGEST = 100_000
"""Characters of a launch that are shown; nobody reads more, and nobody writes it by hand."""


def describe_launch(spec: ServerSpec, project_file: Path | None) -> LaunchRead:
    """Describe what would be started.

    Blocks: it looks at the disk. Raises `UserError` if it is too long.
    """
    launch = exact_json(_launch(spec))
    if len(launch) > _LONGEST:
        raise UserError(
            f"what {spec.name} starts takes {len(launch):,} characters, too many to be looked at; "
            "it cannot be allowed here: shorten its arguments or variables"
        )
    folders = [Path(), *([project_file.parent] if project_file else [])]
    program = program_of(spec)
    real = str(Path(program).resolve()) if program else ""
    return LaunchRead(
        server=spec.name,
        digest=fingerprint(spec),
        program=safe(program, limit=8_000),
        real=safe("" if real == program else real, limit=8_000),
        launch_json=launch,
        source=spec.source,
        dangers=tuple(safe(words, limit=1_000) for words in program_warnings(spec, folders)),
    )


def _launch(spec: ServerSpec) -> dict[str, Any]:
    """Return all that decides what is started, in its own words; a secret value is None."""
    if spec.url:
        headers = {name: None if name in spec.secret_headers else v for name, v in spec.headers.items()}
        return {"url": spec.url, "headers": headers}
    env = {name: None if name in spec.secret_env else value for name, value in spec.env.items()}
    launch = {"command": spec.command, "args": list(spec.args), "cwd": spec.cwd, "env": env}
    return {**launch, "inherit": list(spec.inherit)} if spec.inherit else launch
