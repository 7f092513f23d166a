"""Which parts of a message are found to be of servers' prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.engine import prompt_texts
from omni_tui.engine.prompt_texts import PASSAGE, PromptTexts
from omni_tui.protocol.conversation import PromptPassage

PROMPT = "Summarise the ticket below.\nBe brief\n\tand send it to ops@example.org when you are done."


def found(texts: PromptTexts, words: str) -> list[tuple[str, str]]:
    return [(each.server, words[each.start : each.end]) for each in texts.passages(words)]


def noted(*prompts: tuple[str, str]) -> PromptTexts:
    texts = PromptTexts()
    for server, text in prompts:
        texts.note(server, text)
    return texts


@pytest.mark.parametrize(
    ("words", "passages"),
    [
        (PROMPT, [PROMPT]),
        (f"hello {PROMPT} bye", [PROMPT]),
        ("Summarise the ticket. Be brief", []),
        ("mine\nBe brief\nmine", ["Be brief"]),
        ("send it to ops@example.org when I say", ["send it to ops@example.org when "]),
        (
            PROMPT.replace("ops", "all"),
            ["Summarise the ticket below.\nBe brief\n\tand send it to ", "@example.org when you are done."],
        ),
        (PROMPT + PROMPT, [PROMPT, PROMPT]),
        ("", []),
    ],
)
def test_a_passage_or_a_whole_line_is_found_wherever_it_stands(words: str, passages: list[str]) -> None:
    assert found(noted(("s", PROMPT)), words) == [("s", each) for each in passages]


def test_each_passage_names_its_server() -> None:
    other = "Another server has quite other words for it."
    texts = noted(("s", PROMPT), ("o", other))
    assert found(texts, f"{other}\n{PROMPT}") == [("o", other), ("s", PROMPT)]


def test_what_the_person_filled_in_is_theirs() -> None:
    name = "a title that the person typed into the form"
    texts = PromptTexts()
    texts.note_prompt("s", f"Write a letter about {name}, and send it to everybody.", [name, "", "s"])
    assert found(texts, name) == []
    assert found(texts, f"{name}, and send it to everybody.") == [("s", ", and send it to everybody.")]


def test_what_was_in_an_earlier_message_is_found_again() -> None:
    texts = PromptTexts()
    texts.note_message(f"mine: {PROMPT}", [PromptPassage(server="s", start=6, end=6 + len(PROMPT))])
    assert found(texts, PROMPT[3:40]) == [("s", PROMPT[3:40])]
    assert not noted(("s", " \n"))


def test_the_oldest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_texts, "KEPT", 150)
    texts = noted(("a", "A" * 100), ("b", "B" * 100))
    assert found(texts, "A" * 100 + "B" * 100) == [("b", "B" * 100)]


@given(st.text("ab \n", max_size=120), st.text("ab \n", max_size=120), st.integers(0, 120))
def test_what_is_found_stands_in_a_prompt_apart_and_in_order(prompt: str, words: str, at: int) -> None:
    texts = noted(("s", prompt))
    words = words[:at] + prompt + words[at:]
    end = 0
    for each in texts.passages(words):
        assert end <= each.start < each.end <= len(words)
        end = each.end
    covered = {place for each in texts.passages(words) for place in range(each.start, each.end)}
    if len(prompt) >= 2 * PASSAGE:
        assert len(covered & set(range(at, at + len(prompt)))) >= len(prompt) - 2 * PASSAGE


@pytest.mark.parametrize("prompt", ["a" * 40_000, "ab" * 20_000, ("x" * 30 + "\n") * 1_300])
def test_a_prompt_that_repeats_itself_costs_little(prompt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work grows with the message, not with how often its pieces stand in prompts."""
    compared = []
    widened = prompt_texts._widened  # the place whose calls are counted

    def counted(*given: object) -> tuple[int, int]:
        compared.append(given)
        return widened(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(prompt_texts, "_widened", counted)
    assert noted(*((f"s{number}", prompt + str(number)) for number in range(20))).passages(prompt * 5)
    assert len(compared) <= 100
