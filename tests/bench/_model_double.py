"""A model provider for benchmarks in a process of its own: prints its base URL, ends with its input."""

from __future__ import annotations

import sys

from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer


def main() -> None:
    """Answer in words, never with calls, until standard input closes."""
    with LLMockServer() as server:
        double = LLMock(server)
        double.tool_mode("off")
        for _ in range(20):
            double.reply("A short answer of some words, to be streamed. " * 20)
        print(double.base_url("openai"), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
