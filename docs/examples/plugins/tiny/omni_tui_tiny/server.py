"""The process of the tiny local model: it keeps C++ code and 200 MB out of the engine.

`python -I -S server.py MODEL_FILE [FOLDER]`, where FOLDER holds the package `xllamacpp`. It imports
nothing from this package, to start fast and isolated. One JSON object a line on the standard streams:

    in   {"id": 1, "messages": [...], "max_tokens": 64, "temperature": 0, "schema": {...}}
                                                   or "prompt": "..."; a schema is not needed
         {"stop": 1}                               stops it and everything before it
    out  {"ready": true}                           once, when the model is loaded
         {"id": 1, "text": "..."}                  more of the answer
         {"id": 1, "done": "stop", "input": 31, "output": 11}     or "length", "stopped"
         {"id": 1, "error": "..."}                 this request cannot be answered
         {"fatal": "import", "words": "..."}       or "file", "memory", "load"; then it ends

It ends when its input ends, or after a while without work.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import sys
import tempfile
import threading
from typing import Any, NoReturn

CONTEXT = 2048
"""The context window in tokens: the model's training length, and 47 MB of cache."""

IDLE_S = 900.0
_NICE = 5
_PROMPT_CACHE_MIB = 64
_DELETIONS = 20
"""How often the folder is deleted before leaving without having managed to."""


class _Fatal(Exception):
    """The model cannot be loaded. `kind` is one of the protocol's."""

    def __init__(self, kind: str, words: object) -> None:
        super().__init__(str(words))
        self.kind = kind


class TinyServer:
    """Reads requests in the main thread and answers them one after the other in another thread."""

    def __init__(self, file: str, source: Any, target: int) -> None:
        self._file = file
        self._source = source
        self._target = target
        self._folder = ""
        self._folder_is_made = threading.Lock()
        self._work: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stopped = 0

    def run(self) -> NoReturn:
        """Serve until the input ends."""
        threading.Thread(target=self._answer_all, daemon=True).start()
        for line in self._source:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if "stop" in message:
                self._stopped = max(self._stopped, int(message["stop"]))
            else:
                self._work.put(message)
        self._leave()

    # --- the other thread -----------------------------------------------------------------------

    def _answer_all(self) -> None:
        try:
            server = self._load()
            self._say(ready=True)
            while True:
                self._answer(server, self._work.get(timeout=IDLE_S))
        except queue.Empty:
            pass
        except _Fatal as error:
            self._say(fatal=error.kind, words=str(error)[:400])
        except MemoryError as error:
            self._say(fatal="memory", words=str(error)[:400])
        except Exception as error:
            self._say(fatal="load", words=repr(error)[:400])
        self._leave()

    def _load(self) -> Any:
        if not os.path.isfile(self._file):
            raise _Fatal("file", self._file)
        try:
            import xllamacpp
        except ImportError as error:
            raise _Fatal("import", error) from error
        # The library always listens. It gets a socket in a private folder that is deleted at once, and a
        # key that nobody has: nobody else can use the model.
        with self._folder_is_made:
            self._folder = tempfile.mkdtemp(prefix="omni-tiny-")
        cores = os.cpu_count() or 1
        params = xllamacpp.CommonParams()
        params.model.path = self._file
        params.hostnames = [os.path.join(self._folder, "s.sock")]
        params.api_keys = [os.urandom(32).hex()]
        params.n_ctx = CONTEXT
        params.n_parallel = 1
        params.n_ubatch = 128
        params.cache_ram_mib = _PROMPT_CACHE_MIB
        # Half of the cores: the screen needs one, and threads that compete for cores are slow.
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, min(4, cores // 2))
        params.warmup = params.ui = params.endpoint_slots = False
        params.verbosity = -1
        try:
            return xllamacpp.Server(params)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self, server: Any, message: dict[str, Any]) -> None:
        number = int(message["id"])
        finish, usage, wrong = "stopped", {"prompt_tokens": 0, "completion_tokens": 0}, ""

        def take(chunk: dict[str, Any]) -> bool:
            """Take a part of the answer; return True to end it."""
            nonlocal finish, usage, wrong
            if "error" in chunk:
                wrong = str(chunk["error"].get("message", "it was refused"))
                return True
            usage = chunk.get("usage") or usage
            for choice in chunk.get("choices", ()):
                text = choice.get("text") or (choice.get("delta") or {}).get("content")
                if text:
                    self._say(id=number, text=text)
                finish = choice.get("finish_reason") or finish
            return number <= self._stopped

        if number > self._stopped:
            ask = server.handle_completions if "prompt" in message else server.handle_chat_completions
            try:
                ask(_body(message), take)
            except (RuntimeError, ValueError) as error:
                wrong = str(error) or "it was refused"
        if wrong:
            self._say(id=number, error=wrong[:400])
        else:
            counts = {"input": usage["prompt_tokens"], "output": usage["completion_tokens"]}
            self._say(id=number, done=finish, **counts)

    # --- ways out -------------------------------------------------------------------------------

    def _say(self, **message: object) -> None:
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._target, data) :]
        except OSError:  # The engine is gone.
            self._leave()

    def _leave(self) -> NoReturn:
        # The input may end while the model is being loaded: from here on no folder is made, and what the
        # library puts into the one that there is, while it is being deleted, is deleted as well.
        with self._folder_is_made:
            for _ in range(_DELETIONS):
                if not self._folder or not os.path.lexists(self._folder):
                    break
                shutil.rmtree(self._folder, ignore_errors=True)
            # Does not wait for the library's threads.
            os._exit(0)


def _body(message: dict[str, Any]) -> dict[str, Any]:
    body = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": True,
        "seed": 0,
        "max_tokens": message["max_tokens"],
        "n_predict": message["max_tokens"],
        "temperature": message["temperature"],
    }
    if "prompt" in message:
        body["prompt"] = message["prompt"]
    else:
        body["messages"] = message["messages"]
        body["repeat_penalty"] = 1.0 if "schema" in message else 1.1
    if "schema" in message:
        body["json_schema"] = message["schema"]
    return body


def main(arguments: list[str]) -> NoReturn:
    """Run with the model's file and the folder of the library."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        # A crash must leave no file with the conversation.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path.extend(arguments[1:2])
    target = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):  # The library's output is not part of the protocol.
        os.dup2(nowhere, stream)
    TinyServer(arguments[0], sys.stdin.buffer, target).run()


if __name__ == "__main__":
    main(sys.argv[1:])
