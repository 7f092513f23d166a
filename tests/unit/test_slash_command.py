"""What is a command and what a message; the spellings of MCPOmni Connect; the arguments of prompts."""

from __future__ import annotations

import pytest

from omni_tui.face import actions
from omni_tui.face.prompt_arguments import PromptArgumentsRefused, read_prompt_arguments
from omni_tui.face.slash_command import nearest_command, read_command

COMMANDS = [
    ("/mode auto", "mode", "auto"),
    ("  /status  ", "status", ""),
    ("/mode:auto", "mode", "auto"),
    ("/prompt weather city=Oslo", "prompt", "weather city=Oslo"),
    ("/prompt:weather", "prompt", "weather"),
    ("/prompt:weather/city=Oslo/days=3", "prompt", "weather city=Oslo days=3"),
    ("/prompt:weather/city=New York", "prompt", "weather 'city=New York'"),
    ("/prompt:read/path=/a/b/c", "prompt", "read path=/a/b/c"),
    ('/prompt:weather/{"city": "a/b"}', "prompt", 'weather {"city": "a/b"}'),
    ("/resource:file:///a/b", "resource", "file:///a/b"),
    ("/add_servers:~/servers.json", "add_servers", "~/servers.json"),
    ("/remove_server:files", "remove_server", "files"),
    ("/save_history:a.json", "save_history", "a.json"),
    ("/subscribe:/resource:file:///a", "subscribe", "/resource:file:///a"),
    ("/mode\nauto", "mode", "auto"),
    ("/söme thing", "söme", "thing"),
    ("/mode,auto", "mode,auto", ""),
]


@pytest.mark.parametrize(("text", "name", "argument"), COMMANDS)
def test_commands(text: str, name: str, argument: str) -> None:
    found = read_command(text)
    assert found is not None
    assert (found.name, found.argument) == (name, argument)


@pytest.mark.parametrize(
    "text",
    ["/etc/hosts is what?", "//theme x", "hello /mode auto", "/* a comment */", "/", "/ x", "", "/1"],
)
def test_messages(text: str) -> None:
    assert read_command(text) is None


@pytest.mark.parametrize(
    ("old", "action"),
    [
        ("help", "help"), ("refresh", "refresh"), ("memory", "memory"), ("mode", "mode"),
        ("tools", "show_tools"),
        ("resources", "resources"), ("prompts", "prompts"), ("prompt", "prompt"),
        ("resource", "resource"),
        ("history", "history"),
        ("clear_history", "new_session"), ("save_history", "save_conversation"),
        ("load_history", "load_conversation"), ("api_stats", "api_stats"),
        ("add_servers", "import_servers"),
        ("remove_server", "remove_server"), ("subscribe", "resource"), ("quit", "quit"),
        ("connections", "connections"), ("status", "status"), ("save", "save_conversation"),
        ("load", "load_conversation"), ("clear", "new_session"),
    ],
)  # fmt: skip
def test_every_command_of_the_ancestor_is_one(old: str, action: str) -> None:
    found = actions.by_slash(old)
    assert found is not None
    assert found.name == action
    assert found.palette
    assert found.description


def test_the_nearest_command_is_named() -> None:
    names = [each.slash for each in actions.slash_commands()]
    assert nearest_command("sttaus", names) == "status"
    assert nearest_command("API-stats", names) == "api_stats"
    assert nearest_command("xyzzyq", names) == ""


def test_no_spelling_means_two_commands() -> None:
    every = [name for each in actions.slash_commands() for name in (each.slash, *each.spellings)]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("weather", "weather", {}),
        ("weather city=Oslo days=3", "weather", {"city": "Oslo", "days": "3"}),
        ("weather 'city=New York'", "weather", {"city": "New York"}),
        ('weather city="a=b"', "weather", {"city": "a=b"}),
        ('weather {"city": "Oslo", "days": 3}', "weather", {"city": "Oslo", "days": "3"}),
        ("weather city=", "weather", {"city": ""}),
    ],
)
def test_arguments_of_prompts(text: str, name: str, arguments: dict[str, str]) -> None:
    assert read_prompt_arguments(text) == (name, arguments)


@pytest.mark.parametrize("text", ["a city", "a 'city=x", "a {", "a [1]", "a =x", "a {" + "[" * 100_000])
def test_arguments_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(PromptArgumentsRefused):
        read_prompt_arguments(text)
