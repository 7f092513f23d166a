"""A provider that streams as fast as it is read, in a process of its own: prints its base URL.

It speaks OpenAI's chat format. The path says what to stream: `/CHUNKS/EVERY_MS/v1/chat/completions`;
with `EVERY_MS` 0 all chunks are written at once, so that what an answer takes is the reader's time.
Connections are kept, as providers keep them. It ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sys
from typing import Any

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def word(number: int) -> str:
    """Return the text of a chunk. LiteLLM ends a stream that says the same a hundred times."""
    return f"word {number} "


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    body = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "system_fingerprint": "fp_0123456789",
        "choices": choices,
        **more,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _choice(delta: dict[str, Any], finish: str | None = None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]


def _framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@functools.cache
def _pieces(chunks: int) -> list[bytes]:
    usage = {"prompt_tokens": 20, "completion_tokens": chunks, "total_tokens": 20 + chunks}
    events = [
        _event(_choice({"role": "assistant", "content": ""})),
        *[_event(_choice({"content": word(number)})) for number in range(chunks)],
        _event(_choice({}, "stop")) + _event([], usage=usage) + b"data: [DONE]\n\n",
    ]
    return [_framed(each) for each in events]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    writer.transport.set_write_buffer_limits(high=1 << 24)
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(line for line in head.splitlines() if line.startswith("content-length:"))
            await reader.readexactly(int(length.partition(":")[2]))
            _, chunks, every, _ = head.split()[1].split("/", 3)
            pieces, pause = _pieces(int(chunks)), float(every) / 1000
            if not pause:
                writer.write(_HEAD + b"".join(pieces) + _framed(b""))
                continue
            writer.write(_HEAD)
            begun = loop.time()
            for number, piece in enumerate(pieces):
                await asyncio.sleep(max(0.0, begun + number * pause - loop.time()))
                writer.write(piece)
            writer.write(_framed(b""))
    writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, limit=1 << 26)
    async with server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
