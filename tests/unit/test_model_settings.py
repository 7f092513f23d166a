"""What is set for one model: its table over `[model]`, and whose key goes where."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.protocol import LaunchOptions

TABLES = """\
[model]
name = "openai/big"
fallbacks = ["ollama_chat/small"]
temperature = 0.5
max_tokens = 900
key = "${BIG_KEY}"
api_base = "https://gateway.example/v1"
context = 100_000
tools = "native"

[models."openai/other"]
temperature = 0.1
context = 8_000

[models."anthropic/clever"]
key = "${CLEVER_KEY}"
timeout = 20
input_price = 3
output_price = 15.0

[models."ollama_chat/small"]
api_base = "http://127.0.0.1:11434"
tools = "text"
images = false
"""
KEYS = {"BIG_KEY": "big-secret", "CLEVER_KEY": "clever-secret"}


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> LoadedConfig:
    file = tmp_path / "config.toml"
    file.write_text(text)
    options = LaunchOptions(config=str(file), state_dir=str(tmp_path))
    return load_config(options, KEYS if environ is None else environ)


def test_a_models_own_table_lies_over_the_common_one(tmp_path: Path) -> None:
    loaded = load(tmp_path, TABLES)
    assert loaded.problems == ()
    big, other = loaded.model("openai/big"), loaded.model(" openai/other ")
    assert (big.temperature, big.max_tokens, big.context, big.tools) == (0.5, 900, 100_000, "native")
    assert (other.temperature, other.max_tokens, other.context, other.tools) == (0.1, 900, 8_000, "auto")
    small = loaded.model("ollama_chat/small")
    assert (small.tools, small.images, small.api_base) == ("text", False, "http://127.0.0.1:11434")
    clever = loaded.model("anthropic/clever")
    assert (clever.timeout, clever.input_price, clever.output_price) == (20, 3, 15)


def test_a_key_and_an_address_stay_with_their_provider(tmp_path: Path) -> None:
    loaded = load(tmp_path, TABLES)
    assert loaded.model("openai/big").key == loaded.model("openai/other").key == "big-secret"
    assert loaded.model("openai/other").api_base == "https://gateway.example/v1"
    clever, small = loaded.model("anthropic/clever"), loaded.model("ollama_chat/small")
    assert (clever.key, clever.api_base) == ("clever-secret", "")
    assert small.key == ""
    assert not clever.spare_key
    assert loaded.secrets >= {"big-secret", "clever-secret"}
    assert "secret" not in repr(clever) + loaded.config.model_dump_json()


def test_a_model_with_an_address_of_its_own_does_not_get_the_common_key(tmp_path: Path) -> None:
    text = '[model]\nname = "openai/a"\nkey = "${BIG_KEY}"\n[models."openai/b"]\napi_base = "https://b.example"\n'
    spec = load(tmp_path, text).model("openai/b")
    assert (spec.key, spec.api_base) == ("", "https://b.example")


def test_a_flag_for_another_provider_does_not_take_the_files_key_along(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for more, key in (("", ""), ('api_base = "https://gateway.example"\n', "big-secret")):
        file.write_text(f'[model]\nname = "openai/a"\nkey = "${{BIG_KEY}}"\n{more}')
        options = LaunchOptions(config=str(file), state_dir=str(tmp_path), model="anthropic/x")
        assert load_config(options, KEYS).model("anthropic/x").key == key
        options = LaunchOptions(config=str(file), state_dir=str(tmp_path), model="openai/b")
        assert load_config(options, KEYS).model("openai/b").key == "big-secret"


def test_the_spare_key_is_for_whatever_is_chosen_where_nothing_is_configured(tmp_path: Path) -> None:
    assert load(tmp_path, "", {"LLM_API_KEY": "k"}).model("openai/x").spare_key


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[models."a/b"]\ntemprature = 1', "did you mean `temperature`?"),
        ('[models."a/b"]\ntools = "txt"', 'did you mean "text"?'),
        ('[models."a/b"]\ntimeout = 0', 'models."a/b".timeout must be more than 0'),
        ('[models."a/b"]\nkey = "sk-live-1234567890"', 'models."a/b".key must be a reference'),
        ('[models."a/b"]\nkey = "${NOT_SET}"', "NOT_SET is not set"),
        ('[models."a/b"]\nname = "x"', "`name` belongs under [model]"),
        (
            '[models."a/b"]\nkey = "${BIG_KEY}"\napi_base = "http://10.0.0.5/v1"',
            "would send a key over plain HTTP",
        ),
        ("[budget]\nday_token = 5", "did you mean `day_tokens`?"),
        ("[budget]\nday_cost = -1", "budget.day_cost must be at least 0"),
        ('[model]\nfallbacks = [""]', "must not be empty"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    loaded = load(tmp_path, text)
    (problem,) = loaded.problems
    assert told in f"{problem.what} {problem.todo}"
    assert "sk-live" not in problem.what
    assert loaded.config.model.name == "offline"


def test_a_mistake_in_one_table_leaves_the_others(tmp_path: Path) -> None:
    loaded = load(tmp_path, TABLES + '[models."x/y"]\nnope = 1\n')
    assert len(loaded.problems) == 1
    assert loaded.problems[0].where.endswith(f":{TABLES.count(chr(10)) + 2}")
    assert loaded.model("openai/other").context == 8_000
