"""Reads and unpacks a bundle (`.mcpb`, formerly `.dxt`): a zip file of strangers with a manifest.

Nothing of it is run here. Links, special files, places outside the bundle, names that could stand for one
another, and sizes without measure are refused before anything is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from omni_tui.public_registry.server_entry import RegistryError
from omni_tui.security.files import open_regular

LARGEST_FILE = 512 << 20
"""The largest bundle, in bytes."""
LARGEST_CONTENT = 1 << 30
"""The most bytes that a bundle may unpack to."""
MOST_FILES = 20_000
_LARGEST_MANIFEST = 1 << 20
_LONGEST_NAME = 400
_DEEPEST = 40
_CHUNK = 1 << 20
_SIGNATURE = (b"MCPB_SIG_V1", b"MCPB_SIG_END")
_TAIL = 256 << 10
_REFUSED = "{} is no bundle that can be used: {}"


@dataclass(frozen=True, slots=True)
class BundleFile:
    """What a bundle's file says. `digest` is the SHA-256 of all of it; `signed`: a signature is present.

    A signature is not checked: whoever publishes a bundle can sign it themselves.
    """

    path: Path
    digest: str
    manifest: dict[str, Any]
    signed: bool


def read_bundle(path: Path) -> BundleFile:
    """Read a bundle's manifest, and look through its list of files. Raises `RegistryError`."""
    with _opened(path) as file:
        digest = _digest(file)
        archive = _archive(path, file)
        manifest = _manifest(path, archive)
        list(_entries(path, archive))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read(_TAIL)
    return BundleFile(path, digest, manifest, all(mark in tail for mark in _SIGNATURE))


def unpack_bundle(bundle: BundleFile, folder: Path) -> None:
    """Unpack a bundle into a folder of its own, whole or not at all; what was there is replaced.

    Raises `RegistryError`, also if the file is not the one that was read.
    """
    path = bundle.path
    with _opened(path) as file:
        if _digest(file) != bundle.digest:
            raise RegistryError(f"{path} has changed since it was read", "Open it again.")
        archive = _archive(path, file)
        entries = list(_entries(path, archive))
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpacking-"))
        except OSError as error:
            raise RegistryError(f"{folder} cannot be written: {error.strerror}") from None
        try:
            _write_all(path, archive, entries, fresh)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(fresh, folder)
        except OSError as error:
            raise RegistryError(f"{path} cannot be unpacked: {error.strerror or error}") from None
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _write_all(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], folder: Path) -> None:
    left = LARGEST_CONTENT
    for entry in entries:
        target = folder / entry.filename
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
            continue
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        runs = bool(_mode(entry) & 0o111)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700 if runs else 0o600)
        with open(descriptor, "wb") as out:
            try:
                with archive.open(entry) as source:
                    # What the list says of sizes need not be true.
                    while chunk := source.read(_CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            raise RegistryError(_REFUSED.format(path, "it unpacks to more than 1 GiB"))
                        out.write(chunk)
            except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
                what = f"{entry.filename[:100]!r} is damaged ({type(error).__name__})"
                raise RegistryError(_REFUSED.format(path, what)) from None
            except Exception as error:  # zlib.error and lzma's errors have no common base
                if isinstance(error, OSError | RegistryError):
                    raise
                what = f"{entry.filename[:100]!r} is damaged ({type(error).__name__})"
                raise RegistryError(_REFUSED.format(path, what)) from None


def _opened(path: Path) -> IO[bytes]:
    try:
        file = open_regular(path)
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    if os.fstat(file.fileno()).st_size > LARGEST_FILE:
        file.close()
        raise RegistryError(_REFUSED.format(path, "it is larger than 512 MiB"))
    return file


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    found = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    file.seek(0)
    return found.hexdigest()


def _archive(path: Path, file: IO[bytes]) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, OSError, UnicodeError):
        raise RegistryError(_REFUSED.format(path, "it is not a zip file")) from None
    if len(archive.infolist()) > MOST_FILES:
        raise RegistryError(_REFUSED.format(path, f"it has more than {MOST_FILES:,} files"))
    return archive


def _manifest(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        info = archive.getinfo("manifest.json")
        if info.file_size > _LARGEST_MANIFEST:
            raise RegistryError(_REFUSED.format(path, "its manifest is longer than 1 MiB"))
        with archive.open(info) as file:
            data = file.read(_LARGEST_MANIFEST + 1)
        if len(data) > _LARGEST_MANIFEST:
            raise RegistryError(_REFUSED.format(path, "its manifest is longer than 1 MiB"))
        manifest = json.loads(data.decode("utf-8-sig"))
    except KeyError:
        raise RegistryError(_REFUSED.format(path, "it has no manifest.json")) from None
    except RegistryError:
        raise
    except Exception:  # zipfile and its decompressors raise what they like for a damaged file
        raise RegistryError(_REFUSED.format(path, "its manifest cannot be read")) from None
    if not isinstance(manifest, dict):
        raise RegistryError(_REFUSED.format(path, "its manifest is not an object"))
    return manifest


def _entries(path: Path, archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """Yield the files of a bundle. Raises `RegistryError` for one that must not be written."""
    seen: set[str] = set()
    total = 0
    for entry in archive.infolist():
        if why := _refusal(entry):
            raise RegistryError(_REFUSED.format(path, f"{entry.filename[:100]!r} {why}"))
        key = entry.filename.rstrip("/").casefold()
        if key in seen:
            raise RegistryError(_REFUSED.format(path, f"{entry.filename[:100]!r} is in it twice"))
        seen.add(key)
        total += entry.file_size
        if total > LARGEST_CONTENT:
            raise RegistryError(_REFUSED.format(path, "it unpacks to more than 1 GiB"))
        yield entry


def _refusal(entry: zipfile.ZipInfo) -> str:
    """Return why a file must not be written, "" if it may."""
    name = entry.filename
    parts = name.rstrip("/").split("/")
    if not name or len(name) > _LONGEST_NAME or len(parts) > _DEEPEST:
        return "has a name that is too long or empty"
    if not name.isprintable() or "\\" in name or ":" in name:
        return "has a name with characters that no file of a bundle may have"
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        return "would lie outside the bundle"
    kind = stat.S_IFMT(_mode(entry))
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a special file"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    return ""


def _mode(entry: zipfile.ZipInfo) -> int:
    return entry.external_attr >> 16
