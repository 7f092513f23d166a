"""What an entry of the public registry comes to: commands, addresses, questions, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.config.references import has_reference
from omni_tui.public_registry import (
    RegistryError,
    RegistryServer,
    derive_launch,
    questions,
    read_entry,
)

NAME = "io.example.someone/files"


def server(**more: Any) -> RegistryServer:
    return read_entry({"server": {"name": NAME, "version": "1.2.3", **more}})


def package(kind: str, identifier: str, version: str = "1.2.3", **more: Any) -> dict[str, Any]:
    return {"registryType": kind, "identifier": identifier, "version": version, **more}


def words(of: dict[str, Any], **answers: str) -> str:
    """Return the command line of a package with answers (`__` stands for a dot)."""
    launch = derive_launch(server(packages=[of]).launches[0], _answers(answers))
    assert launch.ready, (launch.missing, launch.wrong)
    return " ".join([launch.command, *launch.args])


def _answers(answers: dict[str, str]) -> dict[str, str]:
    return {name.replace("__", "."): value for name, value in answers.items()}


NAMED = {"type": "named", "name": "--root", "description": "where", "valueHint": "dir"}
POSITIONAL = {"type": "positional", "valueHint": "dir"}

COMMANDS = [
    (package("npm", "@a/b"), {}, "npx -y @a/b@1.2.3"),
    (package("pypi", "mcp-files", "2.0.1rc1"), {}, "uvx mcp-files==2.0.1rc1"),
    (package("nuget", "A.B"), {}, "dnx A.B@1.2.3 --yes"),
    (package("nuget", "A.B", packageArguments=[{"type": "positional", "value": "x"}]), {},
     "dnx A.B@1.2.3 --yes -- x"),
    (package("oci", "docker.example/a/b:1.0", ""), {}, "docker run -i --rm docker.example/a/b:1.0"),
    (package("oci", "docker.example/a/b", "1.0"), {}, "docker run -i --rm docker.example/a/b:1.0"),
    (package("oci", "localhost:5000/a/b", "1.0"), {}, "docker run -i --rm localhost:5000/a/b:1.0"),
    (package("oci", "a/b@sha256:" + "0" * 64, ""), {}, "docker run -i --rm a/b@sha256:" + "0" * 64),
    (package("oci", "a/b:1", "", environmentVariables=[{"name": "HOST", "value": "h"}]), {},
     "docker run -i --rm -e HOST a/b:1"),
    (package("npm", "x", runtimeArguments=[{"type": "named", "name": "--quiet"}],
             packageArguments=[{"type": "named", "name": "--port", "value": "{port}",
                                "variables": {"port": {"default": "80"}}}]), {},
     "npx -y --quiet x@1.2.3 --port 80"),
    (package("npm", "x", packageArguments=[NAMED]), {"argument__0": "/srv"}, "npx -y x@1.2.3 --root /srv"),
    (package("npm", "x", packageArguments=[NAMED]), {}, "npx -y x@1.2.3"),
    (package("npm", "x", packageArguments=[POSITIONAL]), {"argument__0": "/a b"}, "npx -y x@1.2.3 /a b"),
    (package("npm", "x", packageArguments=[POSITIONAL]), {}, "npx -y x@1.2.3"),
    (package("npm", "x", packageArguments=[{**POSITIONAL, "isRepeated": True}]),
     {"argument__0": "/a '/b c'"}, "npx -y x@1.2.3 /a /b c"),
    (package("npm", "x", packageArguments=[{**NAMED, "isRepeated": True}]),
     {"argument__0": "/a /b"}, "npx -y x@1.2.3 --root /a --root /b"),
    (package("npm", "x", packageArguments=[{"type": "positional", "value": "a{unknown}b"}]), {},
     "npx -y x@1.2.3 a{unknown}b"),
    (package("npm", "x", packageArguments=["--stdio"]), {}, "npx -y x@1.2.3 --stdio"),
    (package("oci", "a/b:1", "", runtimeArguments=[
        {"type": "named", "name": "-e", "value": "KEY={key}", "isRequired": True,
         "variables": {"key": {"isSecret": True}}}]), {"runner__0__key": "${KEY}"},
     "docker run -i --rm -e KEY a/b:1"),
    ({"registry_name": "npm", "name": "old", "version": "1.0.0",
      "package_arguments": [{"type": "named", "name": "--x", "is_required": True, "value_hint": "v"}]},
     {"argument__0": "1"}, "npx -y old@1.0.0 --x 1"),
]  # fmt: skip


@pytest.mark.parametrize(("of", "answers", "expected"), COMMANDS, ids=range(len(COMMANDS)))
def test_commands(of: dict[str, Any], answers: dict[str, str], expected: str) -> None:
    assert words(of, **answers) == expected


def test_secrets_of_docker_stand_in_the_environment() -> None:
    of = COMMANDS[-2][0]
    launch = derive_launch(server(packages=[of]).launches[0], {"runner.0.key": "${KEY}"})
    assert launch.env == {"KEY": "${KEY}"}
    assert launch.args.count("-e") == 1


def test_the_old_spelling_says_the_same() -> None:
    new = server(packages=[package("npm", "x", environmentVariables=[
        {"name": "K", "isSecret": True, "isRequired": True}])], websiteUrl="https://x.example")  # fmt: skip
    old = read_entry({
        "name": NAME, "version_detail": {"version": "1.2.3", "is_latest": True},
        "website_url": "https://x.example",
        "packages": [{"registry_name": "npm", "name": "x", "version": "1.2.3", "environment_variables": [
            {"name": "K", "is_secret": True, "is_required": True}]}],
    })  # fmt: skip
    assert (old.packages, old.version, old.website) == (new.packages, new.version, new.website)


def test_what_is_required_is_missing_until_it_is_given() -> None:
    of = package("npm", "x", environmentVariables=[
        {"name": "KEY", "isRequired": True, "isSecret": True},
        {"name": "REGION", "choices": ["eu", "us"]},
        {"name": "N", "format": "number", "default": "3"},
        {"name": "ON", "format": "boolean"}])  # fmt: skip
    launch = server(packages=[of]).launches[0]
    assert [(q.id, q.asked.required, q.asked.secret) for q in questions(launch)] == [
        ("env.KEY", True, True), ("env.REGION", False, False), ("env.N", False, False),
        ("env.ON", False, False)]  # fmt: skip
    assert derive_launch(launch, {}).missing == ("env.KEY",)
    done = derive_launch(launch, {"env.KEY": "keyring:omni-tui/x"})
    assert done.ready
    assert done.env == {"KEY": "keyring:omni-tui/x", "N": "3"}
    bad = derive_launch(launch, {"env.REGION": "mars", "env.N": "many", "env.ON": "yes", "env.KEY": "k"})
    assert set(bad.wrong) == {"env.REGION", "env.N", "env.ON"}
    assert "env.N" in derive_launch(launch, {"env.N": "${HOME}"}).wrong
    filled = {"name": "A", "value": "x{b}", "variables": {"b": {}}}
    launch = server(packages=[package("npm", "x", environmentVariables=[filled])]).launches[0]
    assert "env.A.b" in derive_launch(launch, {"env.A.b": "${HOME}"}).wrong


def test_an_address_with_variables_and_headers() -> None:
    remote = {
        "type": "streamable-http", "url": "https://{tenant}.example.com/{team}/mcp",
        "variables": {"tenant": {"isRequired": True}, "team": {"default": "all"}},
        "headers": [{"name": "Authorization", "value": "Bearer {token}", "isRequired": True,
                     "variables": {"token": {"isSecret": True}}}, {"name": "X-Region"}],
    }  # fmt: skip
    launch = server(remotes=[remote]).launches[0]
    assert [q.id for q in questions(launch)] == [
        "url.tenant", "url.team", "headers.Authorization.token", "headers.X-Region"]  # fmt: skip
    done = derive_launch(
        launch,
        {"url.tenant": "acme", "url.team": "a/b", "headers.Authorization.token": "${keyring:omni-tui/t}"},
    )
    assert done.ready
    assert done.transport == "http"
    assert done.url == "https://acme.example.com/a%2Fb/mcp"
    assert done.headers == {"Authorization": "Bearer ${keyring:omni-tui/t}"}
    # A value cannot lead to another host.
    other = derive_launch(launch, {"url.tenant": "x", "url.team": "@evil.example/"})
    assert other.url.startswith("https://x.example.com/%40evil")


REFUSED = [
    (package("npm", "--call=rm"), "not the name of a package"),
    (package("npm", "a b"), "not the name"),
    (package("npm", "../x"), "not the name"),
    (package("npm", "https://evil.example/x.tgz"), "not the name"),
    (package("pypi", "x --index-url y"), "not the name"),
    (package("pypi", "-r"), "not the name"),
    (package("oci", "--privileged"), "not the name"),
    (package("npm", "x", "latest"), "not an exact version"),
    (package("npm", "x", ""), "no version"),
    (package("npm", "x", "^1.0.0"), "not an exact version"),
    (package("npm", "x", "1.0.0 || 2"), "not an exact version"),
    (package("cargo", "x"), "no runner"),
    (package("mcpb", "https://x.example/a.mcpb", ""), "bundle"),
    (package("npm", "x", transport={"type": "sse", "url": "http://localhost:1"}), "web server of its own"),
    (package("npm", "x", environmentVariables=[{"name": "A", "value": "${AWS_SECRET}"}]), "environment"),
    (package("npm", "x", environmentVariables=[{"name": "A", "default": "keyring:a/b"}]), "environment"),
    (package("npm", "x", environmentVariables=[{"name": "A=B"}]), "no variable may"),
    (package("npm", "x", environmentVariables=[{"name": "A", "value": "{a}{b}", "variables": {
        "a": {"default": "$"}, "b": {"default": "{HOME}"}}}]), "environment"),
    (package("npm", "x", environmentVariables=[{"name": "A", "value": "{a}{b}", "variables": {
        "a": {"default": "key"}, "b": {"default": "ring:omni-tui/x"}}}]), "environment"),
    (package("npm", "x", packageArguments=[{**NAMED, "isSecret": True, "isRequired": True}]), "secret"),
]  # fmt: skip


@pytest.mark.parametrize(("of", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_no_command_may_have_is_refused(of: dict[str, Any], why: str) -> None:
    with pytest.raises(RegistryError, match=why):
        derive_launch(server(packages=[of]).launches[0], {})


@pytest.mark.parametrize(
    "url",
    ["http://x.example/mcp", "ftp://x.example", "https://u:p@x.example", "https://", "javascript:1",
     "https://x.example/\u202e", "https://[x"],
)  # fmt: skip
def test_an_address_that_is_not_safe_is_refused(url: str) -> None:
    remote = server(remotes=[{"type": "sse", "url": url}])
    with pytest.raises(RegistryError):
        derive_launch(remote.launches[0], {})


def test_an_optional_secret_is_left_out_of_the_command_and_named() -> None:
    of = package("npm", "x", packageArguments=[{**NAMED, "name": "--token", "isSecret": True}])
    launch = derive_launch(server(packages=[of]).launches[0], {"argument.0": "hunter2"})
    assert launch.args == ("-y", "x@1.2.3")
    assert "--token" in launch.note


@pytest.mark.parametrize("bad", ["a\nb", "a\x1b[2J", "a\u202eb", "\ud800", "x" * 5_000])
def test_a_bad_package_is_named_and_leaves_its_neighbour(bad: str) -> None:
    found = server(packages=[
        package("npm", "x", packageArguments=[{"type": "positional", "value": bad}]),
        package("npm", "good"),
        "nonsense", {"registryType": "npm"}])  # fmt: skip
    # A lone surrogate is written as an escape, which is plain text.
    assert found.packages[-1].identifier == "good"
    assert any(each.startswith("package 3") for each in found.problems)
    assert bad == "\ud800" or any(each.startswith("package 1") for each in found.problems)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["${HOME}", "{a}"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["name", "value", "variables", "type", "default", "isRequired", "a", "url",
                         "headers", "identifier", "registryType", "version", "packageArguments",
                         "choices"]),
        inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@given(JUNK, JUNK)
def test_no_entry_breaks_the_reader_or_reads_a_secret(packages: Any, remotes: Any) -> None:
    try:
        found = server(packages=[packages], remotes=[remotes, packages])
    except RegistryError:
        return
    for each in found.launches:
        try:
            launch = derive_launch(each, {})
        except RegistryError:
            continue
        texts = [*launch.args, launch.url, *launch.env.values(), *launch.headers.values()]
        assert not any(map(has_reference, texts))


def test_too_many_questions_are_refused() -> None:
    variables = [{"name": f"A{n}"} for n in range(61)]
    with pytest.raises(RegistryError, match="more than 60"):
        questions(server(packages=[package("npm", "x", environmentVariables=variables)]).launches[0])


@pytest.mark.parametrize(
    "entry",
    [None, [], {"server": 3}, {"server": {"name": "no-namespace"}}, {"server": {"name": "a/\x1b[2J"}}],
)
def test_an_entry_without_a_name_is_refused(entry: Any) -> None:
    with pytest.raises(RegistryError):
        read_entry(entry)


def test_the_registrys_own_words_about_an_entry() -> None:
    entry = {
        "server": {"name": NAME, "version": "1.2.3"},
        "_meta": {"io.modelcontextprotocol.registry/official": {
            "status": "deprecated", "statusMessage": "use the other", "isLatest": False}},
    }  # fmt: skip
    found = read_entry(entry)
    assert (found.status, found.status_message, found.latest) == ("deprecated", "use the other", False)
