"""Secrets among a program's arguments: seen by their names and looks, and shown nowhere."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from omni_tui.config.load import load_config
from omni_tui.config.server_display import display_command, display_target
from omni_tui.config.server_display import server_secrets as of_server
from omni_tui.config.spec import ServerSpec
from omni_tui.protocol import LaunchOptions
from omni_tui.security.redaction import MASK, redacted_arguments, secrets_in_arguments

TOKEN = "s3cr3t-v4lue-0f-mine"
GITHUB = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    ("line", "secrets"),
    [
        (f"serve --token {TOKEN}", [TOKEN]),
        (f"serve --token={TOKEN}", [TOKEN]),
        (f"serve --api-key {TOKEN} --safe", [TOKEN]),
        (f"serve --apiKey={TOKEN}", [TOKEN]),
        (f"serve --openai-api-key={TOKEN}", [TOKEN]),
        (f"serve -password {TOKEN}", [TOKEN]),
        (f"serve --key {TOKEN}", [TOKEN]),
        (f"serve --client_secret {TOKEN}", [TOKEN]),
        (f"docker run -e GITHUB_TOKEN={TOKEN} image", [TOKEN]),
        (f"docker run --env=API_KEY={TOKEN} image", [TOKEN]),
        (f"npx mcp-remote https://x.example/mcp --header 'Authorization: Bearer {TOKEN}'", [TOKEN]),
        (f"npx mcp-remote https://x.example/mcp --header 'X-Api-Key:{TOKEN}'", [TOKEN]),
        (f"serve postgresql://me:{TOKEN}@db.example/x", [TOKEN]),
        (f"serve --url=postgresql://me:{TOKEN}@db.example/x", [TOKEN]),
        (f"serve https://x.example/mcp?api_key={TOKEN}&page=1", [TOKEN]),
        (f"serve {GITHUB}", [GITHUB]),
        (f"serve --anything=x{GITHUB}", []),
        (f"serve --anything={GITHUB}", [GITHUB]),
        ("serve --token short", ["short"]),
        ("serve --token ${TOKEN}", []),
        ("serve --token $TOKEN", []),
        ("serve --token keyring:svc/name", []),
        ("serve --max-tokens 4096", []),
        ("serve --token --verbose", []),
        ("serve --password-file /run/secrets/p", []),
        ("serve --token ./token.txt", []),
        ("serve --auth none --no-password true", []),
        ("serve --auth basic-auth-of-old", []),
        ("npx -y @modelcontextprotocol/server-filesystem /home/me", []),
        ("docker run -e GITHUB_TOKEN image", []),
        ("serve --keyspace production --tokenizer cl100k_base", []),
        ("serve https://x.example/mcp?page=1#token", []),
        ("serve 'http://['", []),
        ("", []),
        ("a=" * 50_000, []),
    ],
)
def test_secrets_are_found_and_only_they_are_hidden(line: str, secrets: list[str]) -> None:
    arguments = shlex.split(line)
    assert secrets_in_arguments(arguments) == secrets
    seen = redacted_arguments(arguments)
    assert len(seen) == len(arguments)
    assert all(secret not in each for each in seen for secret in secrets)
    for plain, masked in zip(arguments, seen, strict=True):
        assert masked == plain or MASK in masked


def _server(**given: object) -> ServerSpec:
    return ServerSpec(name="s", **given)  # type: ignore[arg-type]


def test_the_name_before_a_secret_stays_readable() -> None:
    spec = _server(command="serve", args=("--api-key", TOKEN, f"--token={TOKEN}", "--safe"))
    assert display_command(spec) == f"serve --api-key '{MASK}' '--token={MASK}' --safe"
    assert of_server(spec) == [TOKEN]


def test_an_address_is_shown_without_its_secrets() -> None:
    spec = _server(url=f"https://x.example/mcp?api_key={TOKEN}&page=1")
    assert display_target(spec) == f"https://x.example/mcp?api_key={MASK}&page=1"
    assert of_server(spec) == [TOKEN]


def test_what_looks_like_a_secret_counts_under_any_name(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        f'[servers.s]\ncommand = "serve"\nargs = ["--token", "{TOKEN}"]\n'
        f'env = {{ GH = "{GITHUB}", DB = "postgres://me:{TOKEN}2@h/x", PLAIN = "value" }}\n'
    )
    options = LaunchOptions(config=str(file), state_dir=str(tmp_path / "state"))
    loaded = load_config(options, {})
    (spec,) = loaded.servers
    assert spec.secret_env == {"GH", "DB"}
    assert {TOKEN, GITHUB, f"postgres://me:{TOKEN}2@h/x"} <= set(loaded.secrets)
