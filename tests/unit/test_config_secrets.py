"""A reference works wherever a secret may stand, and nowhere else; the doctor finds what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keyring
import pytest

from omni_tui.__main__ import main
from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.config.spec import ServerSpec
from omni_tui.protocol import LaunchOptions

ENVIRON = {"WORD": "from-the-environment"}
WEB = '[servers.s]\nurl = "https://s.example/mcp"\n'
OAUTH = WEB + 'auth = "oauth"\n[servers.s.oauth]\n'
CROSS = (
    'grant = "cross_app"\nclient_id = "c"\nissuer = "https://i.example"\nidp_client_id = "d"\n'
    'idp_issuer = "https://p.example"\n'
)
FORMS = {
    "${WORD}": "from-the-environment",
    "${env:WORD}": "from-the-environment",
    "${keyring:svc/word}": "from-the-keyring",
    "${keyring:word}": "of-our-service",
    "keyring:svc/word": "from-the-keyring",
}


def _cross(**given: str) -> str:
    known = {"client_secret": "${WORD}", "idp_token": "${WORD}"} | given
    return OAUTH + CROSS + "".join(f'{name} = "{value}"\n' for name, value in known.items())


Place = tuple[str, Callable[[str], str], Callable[[LoadedConfig], str]]


def _spec(loaded: LoadedConfig) -> ServerSpec:
    (spec,) = loaded.servers
    assert spec.problem == ""
    return spec


def _oauth(name: str) -> Callable[[LoadedConfig], str]:
    return lambda loaded: str(getattr(_spec(loaded).oauth, name))


PLACES: list[Place] = [
    ("model.key", lambda ref: f'[model]\nkey = "{ref}"\n', lambda loaded: loaded.model_key),
    (
        "servers.s.env.X",
        lambda ref: f'[servers.s]\ncommand = "c"\nenv = {{X = "{ref}"}}\n',
        lambda loaded: _spec(loaded).env["X"],
    ),
    (
        "servers.s.headers.X-Key",
        lambda ref: WEB + f'headers = {{X-Key = "{ref}"}}\n',
        lambda loaded: _spec(loaded).headers["X-Key"],
    ),
    (
        "servers.s.token",
        lambda ref: WEB + f'auth = "bearer"\ntoken = "{ref}"\n',
        lambda loaded: _spec(loaded).headers["Authorization"].removeprefix("Bearer "),
    ),
    (
        "servers.s.oauth.client_secret",
        lambda ref: OAUTH + f'client_id = "c"\nclient_secret = "{ref}"\n',
        _oauth("client_secret"),
    ),
    (
        "servers.s.oauth.private_key",
        lambda ref: OAUTH + f'grant = "client_credentials"\nclient_id = "c"\nprivate_key = "{ref}"\n',
        _oauth("private_key"),
    ),
    (
        "servers.s.oauth.idp_client_secret",
        lambda ref: _cross(idp_client_secret=ref),
        _oauth("idp_client_secret"),
    ),
    ("servers.s.oauth.idp_token", lambda ref: _cross(idp_token=ref), _oauth("idp_token")),
]


@pytest.fixture(autouse=True)
def ring(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {
        ("svc", "word"): "from-the-keyring",
        ("omni-tui", "word"): "of-our-service",
        ("omni-tui", "master key"): "the key of everything",
    }
    monkeypatch.setattr(keyring, "get_password", lambda service, name: kept.get((service, name)))


def loaded(folder: Path, text: str, environ: dict[str, str]) -> LoadedConfig:
    file = folder / "config.toml"
    file.write_text(text)
    return load_config(LaunchOptions(config=str(file), state_dir=str(folder / "state")), environ)


@pytest.mark.parametrize("reference", FORMS)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
def test_every_form_works_in_every_place(tmp_path: Path, place: Place, reference: str) -> None:
    where, write, read = place
    made = loaded(tmp_path, write(reference), ENVIRON)
    assert made.problems == ()
    assert read(made) == FORMS[reference]
    assert (where, reference) in list(made.config.secret_settings())
    assert FORMS[reference] in made.secrets  # so that it is taken out of what is shown and logged


@pytest.mark.parametrize(
    "reference", ["${GONE}", "${keyring:gone}", "${keyring:svc/gone}", "keyring:svc/gone"]
)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
def test_what_is_missing_is_named(tmp_path: Path, place: Place, reference: str) -> None:
    where, write, _ = place
    made = loaded(tmp_path, write(reference), ENVIRON)
    missing = {found: why for found, why in made.config.references(ENVIRON) if why}
    assert set(missing) == {where}
    assert "GONE" in missing[where] or "gone" in missing[where]


@pytest.mark.parametrize(
    "text",
    [
        '[servers.s]\ncommand = "${WORD}"\nargs = ["${keyring:word}", "${WORD}"]\ncwd = "${WORD}"\n',
        '[servers.s]\nurl = "https://${WORD}.example/${keyring:word}"\n',
        OAUTH + 'client_id = "${keyring:word}"\nscopes = ["${WORD}"]\n',
        '[model]\nname = "${WORD}"\n[agent]\nsystem_prompt = "${keyring:word}"\n',
    ],
)
def test_nothing_is_expanded_anywhere_else(tmp_path: Path, text: str) -> None:
    made = loaded(tmp_path, text, ENVIRON)
    told = repr((made.config, made.servers))
    assert not [word for word in FORMS.values() if word in told]
    assert list(made.config.references(ENVIRON)) == []


@pytest.mark.parametrize(
    "value",
    [
        "${cmd:id}", "${file:/etc/passwd}", "${keyring:}", "${keyring:svc/}", "${keyring:a b}", "$(id)",
        "${WORD:-x}", "${keyring:omni-tui/master key}", "${keyring:master key}", "$WORD", "%WORD%", "`id`",
    ],
)  # fmt: skip
def test_no_other_form_is_one(tmp_path: Path, value: str) -> None:
    made = loaded(tmp_path, f'[servers.s]\ncommand = "c"\nenv = {{X = "{value}"}}\n', ENVIRON)
    assert "the key of everything" not in repr(made)
    got = _spec(made).env["X"]
    assert got == value.replace("${WORD}", ENVIRON["WORD"])


def test_the_vaults_own_key_is_out_of_reach() -> None:
    from omni_tui.config.references import SERVICE, has_reference
    from omni_tui.memory import keys

    assert keys._SERVICE == SERVICE
    for form in ("${{keyring:{}}}", "${{keyring:omni-tui/{}}}", "keyring:omni-tui/{}"):
        assert not has_reference(form.format(keys._ACCOUNT))


def test_the_doctor_names_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "w")
    monkeypatch.delenv("LLM_API_KEY", raising=False)
    file = tmp_path / "config.toml"
    file.write_text(
        '[model]\nkey = "${keyring:gone}"\n' + OAUTH + 'client_id = "c"\nclient_secret = "${WORD}"\n'
    )
    assert main(["doctor", "--json", "--config", str(file), "--state-dir", str(tmp_path)]) == 1
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["reference in model.key"]["level"] == "bad"
    assert "keyring set omni-tui gone" in found["reference in model.key"]["what"]
    assert found["references"]["what"] == "1 of 2 resolve"
