"""Commands about servers at run time: their settings, on and off, what goes over their wire."""

from __future__ import annotations

from omni_tui.protocol.commands import Command
from omni_tui.protocol.server_settings import SecretPlace, ServerSettings


class ReadServer(Command, frozen=True):
    """Ask for `ServerRead`: a server's settings, to fill a form."""

    server: str


class CheckServer(Command, frozen=True):
    """Ask for `ServerChecked`: what `config check` would say of these settings. Changes nothing."""

    name: str
    settings: ServerSettings
    new: bool = True


class EditServer(Command, frozen=True):
    """Give a server other settings, or add one (`new`), and connect it anew.

    It is the person's own doing and counts as consent to start it. With `save` it is written to the
    person's config file, unless what stands there is no longer what `revision` (from `ServerRead`)
    names. Without, it holds until the engine ends.
    """

    name: str
    settings: ServerSettings
    new: bool = False
    save: bool = False
    revision: str = ""


class EnableServer(Command, frozen=True):
    """Switch a server on and connect it; `save` writes that to the person's config file."""

    server: str
    save: bool = False


class DisableServer(Command, frozen=True):
    """End a server's connection and leave it off; `save` writes that to the person's config file."""

    server: str
    save: bool = False


class KeepSecret(Command, frozen=True):
    """Put a value into the keyring. The answer's `text` is the reference to write in its place."""

    server: str
    place: SecretPlace
    key: str
    value: str


class SetWireLog(Command, frozen=True):
    """Begin or end to note what goes over a server's wire. Ending forgets what was noted."""

    server: str
    on: bool


class ReadWire(Command, frozen=True):
    """Ask for `WireRead`: the noted frames after a number, oldest first, as many as fit."""

    server: str
    after: int = 0


class ReadWireFrame(Command, frozen=True):
    """Ask for `WireText`: one noted frame, as far as it was kept."""

    server: str
    number: int


class SaveWire(Command, frozen=True):
    """Write all that is noted to a new file that only this person can read; answered by `FileSaved`."""

    server: str
