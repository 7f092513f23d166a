"""What the person trusts: how servers are started, and the accepted definitions of their tools.

One JSON file, signed with the vault's key, read again and replaced under a lock, since another omni-tui
may have written it. If it cannot be read or its signature is wrong, it is renamed and nothing is trusted:
servers and tools that are not in the new file get an empty fingerprint, which matches nothing, so the
person is asked about each again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from omni_tui.memory.accepted_texts import AcceptedTexts
from omni_tui.memory.crypto import Vault
from omni_tui.memory.private_files import FileLock, private_dir, read_private, write_atomic

logger = logging.getLogger(__name__)

TRUST_FILE = "trust.json"
"""Its name in the state folder."""
_NOWHERE = (0, 0, 0)


class PinnedTool(msgspec.Struct, frozen=True, kw_only=True):
    """The accepted definition of a tool. An empty hash matches none. Times are Unix seconds."""

    def_hash: str
    first_seen: float
    accepted: bool = False
    """Whether the person accepted it; else it was there when the server was first listed."""


class ServerTrust(msgspec.Struct, frozen=True, kw_only=True):
    """How a server was started when it was accepted, and whether it may be started without asking."""

    fingerprint: str
    first_seen: float
    allowed: bool = False


class _Server(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    fingerprint: str = ""
    first_seen: float = 0.0
    allowed: bool = False
    instructions: str = ""
    tools: dict[str, PinnedTool] = {}


class _Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The signed part. `lost`: an earlier file was lost, so unknown servers are untrusted, not new."""

    servers: dict[str, _Server] = {}
    lost: bool = False


class _Signed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    body: msgspec.Raw
    digest: str


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One signed part for each key: a missing key loses nothing."""

    version: int = 1
    keys: dict[str, _Signed] = {}


def seen_tools(path: Path) -> dict[str, frozenset[str]]:
    """Return the names of the tools that each server ever had, as the file says.

    Nothing is verified, and no key is needed: good for a hint, and for nothing that is decided.
    """
    try:
        file = msgspec.json.decode(read_private(path), type=_File)
        bodies = [msgspec.json.decode(signed.body, type=_Body) for signed in file.keys.values()]
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    seen: dict[str, set[str]] = {}
    for name, server in ((name, server) for body in bodies for name, server in body.servers.items()):
        if server.tools:
            seen.setdefault(name, set()).update(server.tools)
    return {name: frozenset(tools) for name, tools in seen.items()}


class TrustStore:
    """The trust of one installation. `problem` says what is wrong with the file, "" if nothing.

    Usable from any thread of one process at a time; calls access the disk.
    """

    def __init__(self, path: Path, vault: Vault) -> None:
        """Read the file if it exists. Raises `OSError` if its folder cannot be used."""
        self.problem = ""
        self._path = path
        self._vault = vault
        self._seen = _NOWHERE
        self._file = _File()
        self._body = _Body()
        self.texts = AcceptedTexts(path.parent / "accepted", vault)
        private_dir(path.parent)
        self._refresh()

    def server(self, name: str) -> ServerTrust | None:
        """Return the trust in a server, None if it was never seen."""
        self._refresh()
        known = self._body.servers.get(name)
        if known is None or not known.fingerprint:
            return ServerTrust(fingerprint="", first_seen=0.0) if self._body.lost else None
        return ServerTrust(
            fingerprint=known.fingerprint, first_seen=known.first_seen, allowed=known.allowed
        )

    def tool(self, server: str, tool: str) -> PinnedTool | None:
        """Return the pin of a tool, None if it was never seen."""
        self._refresh()
        known = self._body.servers.get(server)
        if known is not None and tool in known.tools:
            return known.tools[tool]
        if self._body.lost and not (known and known.tools):
            return PinnedTool(def_hash="", first_seen=0.0)
        return None

    def has_tools(self, server: str) -> bool:
        """Whether a tool of a server was pinned, or it is not known whether one was."""
        self._refresh()
        known = self._body.servers.get(server)
        return self._body.lost or bool(known and known.tools)

    def pin_server(self, name: str, fingerprint: str) -> None:
        """Store how a server is started. A new fingerprint ends the permission to start without asking."""

        def change(body: _Body) -> None:
            known = body.servers.setdefault(name, _Server())
            if known.fingerprint != fingerprint:
                known.fingerprint, known.first_seen, known.allowed = fingerprint, time.time(), False

        self._change(change)

    def pin_tools(
        self, server: str, hashes: dict[str, str], *, same: bool = False, accepted: bool = False
    ) -> None:
        """Store the definitions of a server's tools; others stay as they are.

        `same`: only the hash method changed, so each keeps its date. `accepted`: by the person.
        """

        def change(body: _Body) -> None:
            tools = body.servers.setdefault(server, _Server()).tools
            for tool, def_hash in hashes.items():
                known = tools.get(tool)
                if known is None or known.def_hash != def_hash:
                    seen = known.first_seen if same and known is not None else time.time()
                    by_person = accepted or (same and known is not None and known.accepted)
                    tools[tool] = PinnedTool(def_hash=def_hash, first_seen=seen, accepted=by_person)
                elif accepted and not known.accepted:
                    tools[tool] = msgspec.structs.replace(known, accepted=True)

        self._change(change)

    def instructions(self, server: str) -> str:
        """Return the hash of a server's instructions, "" if they were never seen."""
        self._refresh()
        known = self._body.servers.get(server)
        if known is not None and known.instructions:
            return known.instructions
        return "lost" if self._body.lost and known is None else ""

    def pin_instructions(self, server: str, digest: str) -> None:
        """Store the hash of a server's instructions."""

        def change(body: _Body) -> None:
            body.servers.setdefault(server, _Server()).instructions = digest

        self._change(change)

    def allow(self, server: str, fingerprint: str) -> None:
        """Store that the person allows this server to start, exactly as it is now."""

        def change(body: _Body) -> None:
            known = body.servers.setdefault(server, _Server())
            if known.fingerprint != fingerprint:
                known.fingerprint, known.first_seen = fingerprint, time.time()
            known.allowed = True

        self._change(change)

    def forget(self, server: str) -> None:
        """Forget a server and its tools."""

        def change(body: _Body) -> None:
            body.servers.pop(server, None)

        self._change(change)

    # --- the file -------------------------------------------------------------------------------

    def _change(self, change: Callable[[_Body], None]) -> None:
        """Read again, change, write. If the write fails, the change holds for this run only."""
        try:
            with FileLock(self._path.with_suffix(".lock")):
                self._refresh()
                before = msgspec.json.encode(self._body)
                change(self._body)
                after = msgspec.json.encode(self._body)
                if after != before:
                    self._write(after)
        except OSError as error:
            logger.exception("%s cannot be written", self._path)
            change(self._body)
            self.problem = (
                f"What you trust cannot be saved in {self._path}: {error.strerror or error}. "
                "It holds until the app ends; then you are asked again."
            )

    def _write(self, body: bytes) -> None:
        for key_id in self._vault.ids:
            self._file.keys.pop(key_id, None)
        signed = _Signed(body=msgspec.Raw(body), digest=self._vault.digest(body))
        self._file.keys[self._vault.id] = signed
        write_atomic(self._path, msgspec.json.encode(self._file) + b"\n")
        self._seen = self._stamp()

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat(follow_symlinks=False)
        except OSError:
            return _NOWHERE
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def _refresh(self) -> None:
        """Read the file if it has changed."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._file = msgspec.json.decode(read_private(self._path), type=_File)
            self._body = self._verified()
        except FileNotFoundError:
            self._file, self._body = _File(), _Body()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, _Unsigned) as error:
            self._lose(error)

    def _verified(self) -> _Body:
        for key_id in (self._vault.id, *sorted(self._vault.ids - {self._vault.id})):
            signed = self._file.keys.get(key_id)
            if signed is None:
                continue
            if not self._vault.verify(bytes(signed.body), signed.digest, key_id):
                raise _Unsigned("its signature does not fit")
            return msgspec.json.decode(signed.body, type=_Body)
        if self._file.keys:
            self.problem = (
                f"What you trust was saved in {self._path} with a key that is not here now. "
                "Until it is back, each server and tool counts as changed, and you are asked."
            )
        return _Body(lost=bool(self._file.keys))

    def _lose(self, error: Exception) -> None:
        """Keep a copy of the file and trust nothing."""
        # The damaged file stays until the new one replaces it: a missing file would mean "nothing was
        # ever seen", which trusts at first sight.
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        kept = f"It was kept as {aside.name}."
        try:
            aside.hardlink_to(self._path)
        except OSError:
            kept = "It could not be kept."
        logger.warning("%s cannot be trusted: %s", self._path, error)
        self.problem = (
            f"{self._path} cannot be read ({error}), so nothing is trusted: each server and tool counts as "
            f"changed until you accept it. {kept} Delete what is left of both to start anew."
        )
        self._file, self._body = _File(), _Body(lost=True)
        try:
            self._write(msgspec.json.encode(self._body))
        except OSError:
            logger.exception("%s cannot be written", self._path)


class _Unsigned(Exception):
    """The file was changed without the key."""
