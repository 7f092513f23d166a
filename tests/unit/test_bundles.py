"""Bundles: what their manifest comes to, and which zip files are refused before anything is written."""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.config.references import has_reference
from omni_tui.public_registry import (
    Launch,
    RegistryError,
    bundle_file,
    bundle_launch,
    derive_launch,
    questions,
    read_bundle,
    unpack_bundle,
)

Files = dict[str, bytes]
FOLDER, HOME = "/state/bundles/x", "/home/me"


def manifest(version: str = "0.4", kind: str = "node", **config: Any) -> dict[str, Any]:
    return {
        "manifest_version": version, "name": "files", "version": "1.0.0", "description": "Reads files",
        "author": {"name": "Somebody"},
        "server": {"type": kind, "entry_point": "server/index.js", "mcp_config": {
            "command": "node", "args": ["${__dirname}/server/index.js"], **config}},
    }  # fmt: skip


def launch(made: dict[str, Any], answers: dict[str, str] | None = None, platform: str = "linux") -> Launch:
    return derive_launch(bundle_launch(made, folder=FOLDER, home=HOME, platform=platform), answers or {})


def line(found: Launch) -> str:
    return " ".join([found.command, *found.args])


def written(path: Path, files: Files, made: dict[str, Any] | None = None, tail: bytes = b"") -> Path:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(made if made is not None else manifest()))
        for name, content in files.items():
            archive.writestr(name, content)
    path.write_bytes(data.getvalue() + tail)
    return path


# --- manifests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3", "0.4"])
def test_each_version_of_the_manifest_is_read(version: str) -> None:
    assert line(launch(manifest(version))) == f"node {FOLDER}/server/index.js"
    old = manifest(version)
    old["dxt_version"] = old.pop("manifest_version")
    assert line(launch(old)) == f"node {FOLDER}/server/index.js"


def test_a_platform_replaces_whole_fields() -> None:
    made = manifest(
        env={"A": "1"},
        platform_overrides={"win32": {"command": "node.exe", "env": {"B": "2"}}, "darwin": {"args": []}},
    )
    assert launch(made).env == {"A": "1"}
    windows = launch(made, platform="win32")
    assert (windows.command, windows.env) == ("node.exe", {"B": "2"})
    assert windows.args == (f"{FOLDER}/server/index.js",)
    assert launch(made, platform="darwin").args == ()


def test_places_and_a_uv_server_without_a_command() -> None:
    made = manifest(args=["${HOME}/a", "${DOCUMENTS}${/}b", "${DESKTOP}"])
    assert launch(made).args == (f"{HOME}/a", f"{HOME}/Documents/b", f"{HOME}/Desktop")
    uv = manifest(kind="uv")
    uv["server"].pop("mcp_config")
    assert line(launch(uv)) == f"uv run --directory {FOLDER} {FOLDER}/server/index.js"


def configured(**config: dict[str, Any]) -> dict[str, Any]:
    made = manifest(
        args=["--level=${user_config.level}", "${user_config.folders}", "${user_config.token}"],
        env={"TOKEN": "Bearer ${user_config.token}", "MODE": "${user_config.mode}"},
    )
    made["user_config"] = {
        "level": {"type": "number", "default": 3, "min": 1, "max": 5, "title": "Level"},
        "folders": {"type": "directory", "multiple": True, "required": True, "default": ["${HOME}/a b"]},
        "token": {"type": "string", "sensitive": True, "required": True},
        "mode": {"type": "string"},
        **config,
    }
    return made


def test_settings_are_asked_for_and_filled_in() -> None:
    made = configured()
    asked = questions(bundle_launch(made, folder=FOLDER, home=HOME, platform="linux"))
    found = [(each.id, each.label, each.asked.required, each.asked.secret, each.repeated) for each in asked]
    assert found == [
        ("config.level", "Level", False, False, False),
        ("config.folders", "folders", True, False, True),
        ("config.token", "token", True, True, False),
        ("config.mode", "mode", False, False, False),
    ]
    assert launch(made).missing == ("config.token",)
    done = launch(made, {"config.token": "${keyring:omni-tui/t}", "config.folders": "/x '/y z'"})
    assert done.ready
    assert done.args == ("--level=3", "/x", "/y z")
    assert done.env == {"TOKEN": "Bearer ${keyring:omni-tui/t}"}
    assert "token" in done.note
    assert launch(made, {"config.token": "${T}"}).args == ("--level=3", f"{HOME}/a b")


@pytest.mark.parametrize(
    ("answers", "place"),
    [({"config.level": "9"}, "config.level"), ({"config.level": "many"}, "config.level"),
     ({"config.level": "0"}, "config.level"), ({"config.folders": "'a"}, "config.folders"),
     ({"config.mode": "${HOME}"}, "config.mode"), ({"config.mode": "a\nb"}, "config.mode")],
)  # fmt: skip
def test_wrong_values_are_named(answers: dict[str, str], place: str) -> None:
    assert place in launch(configured(), answers).wrong


REFUSED = [
    (manifest("0.5"), "version '0.5'"),
    ({}, "version"),
    ({"manifest_version": "0.4"}, "no server of a kind"),
    (manifest(kind="ruby"), "no server of a kind"),
    (manifest(command=""), "names no command"),
    (manifest(args=["${AWS_SECRET}"]), "your environment"),
    (manifest(env={"A": "${PATH}"}), "your environment"),
    (manifest(env={"A": "keyring:omni-tui/x"}), "your environment"),
    (manifest(env={"A=B": "x"}), "no variable may"),
    (manifest(args=["a\nb"]), "do not show"),
    (manifest(args=["x" * 5000]), "too long"),
    (manifest(args=["x"] * 101), "more than 100"),
    (manifest(args="x"), "more than 100"),
    ({**manifest(), "compatibility": {"platforms": ["win32"]}}, "not for linux"),
    ({**manifest(), "user_config": {"a": {"default": "${env:SECRET}"}}}, "your environment"),
]


@pytest.mark.parametrize(("made", "why"), REFUSED, ids=range(len(REFUSED)))
def test_manifests_that_are_refused(made: dict[str, Any], why: str) -> None:
    with pytest.raises(RegistryError, match=why):
        launch(made)


PIECES = st.sampled_from(
    ["$", "{", "}", "${", "HOME", "user_config.", "a", "${user_config.a}", "keyring:x/y", " "]
)


@given(st.lists(PIECES, max_size=8).map("".join), st.lists(PIECES, max_size=5).map("".join))
def test_no_text_of_a_manifest_becomes_a_reference(text: str, default: str) -> None:
    made = manifest(env={"A": text}, args=[text])
    made["user_config"] = {"a": {"type": "string", "default": default}}
    try:
        found = launch(made)
    except RegistryError:
        return
    if not found.wrong:
        assert not any(map(has_reference, [*found.args, *found.env.values()]))


# --- files ----------------------------------------------------------------------------------------


def test_a_bundle_is_unpacked_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    bundle = read_bundle(written(tmp_path / "a.mcpb", {"server/index.js": b"x", "empty/": b""}))
    assert not bundle.signed
    folder = tmp_path / "bundles" / "one"
    unpack_bundle(bundle, folder)
    assert (folder / "server/index.js").read_bytes() == b"x"
    assert stat.S_IMODE((folder / "server/index.js").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "left").write_text("over")
    unpack_bundle(bundle, folder)
    assert not (folder / "left").exists()
    assert [each.name for each in folder.parent.iterdir()] == ["one"]


def test_a_signature_is_seen_and_not_believed(tmp_path: Path) -> None:
    tail = b"MCPB_SIG_V1" + b"\x00\x00\x01\x00" + b"s" * 256 + b"MCPB_SIG_END"
    bundle = read_bundle(written(tmp_path / "a.mcpb", {"x": b"1"}, tail=tail))
    assert bundle.signed
    unpack_bundle(bundle, tmp_path / "out")


def test_a_file_that_changed_since_it_was_read_is_not_unpacked(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mcpb", {"x": b"1"})
    bundle = read_bundle(path)
    written(path, {"x": b"2"})
    with pytest.raises(RegistryError, match="has changed"):
        unpack_bundle(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/x",
        "a//b",
        "./x",
        "a\\b",
        "C:x",
        "a\nb",
        "a\u202eb",
        "x" * 401,
        "a/" * 41 + "b",
    ],
)
def test_places_outside_are_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "a.mcpb", {name: b"x"})
    with pytest.raises(RegistryError):
        read_bundle(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "a.mcpb"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest()))
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(RegistryError, match="a link or a special file"):
        read_bundle(path)


def test_two_names_that_are_one_on_some_disks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="twice"):
        read_bundle(written(tmp_path / "a.mcpb", {"Server.js": b"1", "server.JS": b"2"}))


def test_sizes_and_counts_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.mcpb", {f"f{number}": b"0" * 5_000 for number in range(10)})
    bundle = read_bundle(path)
    monkeypatch.setattr(bundle_file, "LARGEST_CONTENT", 20_000)
    with pytest.raises(RegistryError, match="unpacks to more"):
        read_bundle(path)
    with pytest.raises(RegistryError, match="unpacks to more"):
        unpack_bundle(bundle, tmp_path / "out")
    monkeypatch.setattr(bundle_file, "MOST_FILES", 5)
    with pytest.raises(RegistryError, match="more than 5 files"):
        read_bundle(path)
    monkeypatch.setattr(bundle_file, "LARGEST_FILE", 100)
    with pytest.raises(RegistryError, match="larger than"):
        read_bundle(path)
    assert not (tmp_path / "out").exists()


def test_a_list_that_lies_about_sizes_is_stopped_while_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_bundle(written(tmp_path / "a.mcpb", {"f": b"0" * 50_000}))
    monkeypatch.setattr(bundle_file, "_entries", lambda _path, archive: iter(archive.infolist()))
    monkeypatch.setattr(bundle_file, "LARGEST_CONTENT", 20_000)
    with pytest.raises(RegistryError, match="unpacks to more"):
        unpack_bundle(bundle, tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.mcpb"]


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 1000, b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mcpb"
    path.write_bytes(data)
    with pytest.raises(RegistryError):
        read_bundle(path)


@given(st.data())
def test_no_damaged_bundle_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = written(folder / "a.mcpb", {"f": b"hello " * 200})
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(whole))
    try:
        unpack_bundle(read_bundle(path), folder / "out")
    except RegistryError:
        assert not (folder / "out").exists()


def test_missing_files_folders_and_pipes_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "nowhere", tmp_path, tmp_path / "pipe"):
        with pytest.raises(RegistryError, match="cannot be read"):
            read_bundle(path)
    for text in ("{", "[]", "x", '"x"'):
        data = tmp_path / "a.mcpb"
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("manifest.json", text)
        with pytest.raises(RegistryError, match="manifest"):
            read_bundle(data)
    with zipfile.ZipFile(tmp_path / "b.mcpb", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(RegistryError, match=r"no manifest\.json"):
        read_bundle(tmp_path / "b.mcpb")
