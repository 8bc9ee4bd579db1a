"""OpenAI-compatible servers: several, many requests in flight, every fault of the network bounded."""

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rrg.errors import RrgError
from rrg.llm_settings import LlmSettings, Reply, Request
from rrg.llm_wire import BusyError, FailedError, Wire, short
from rrg.seeds import rng_for

LEVELS = 4
"""Ways to ask, from strict to plain: see `body_of`."""
PATIENCE = 4
"""A busy server (429) is asked this many times as often as a failing one."""
LONGEST_WAIT_S = 120.0
"""Whatever Retry-After says."""
Saved = Callable[[int, Reply], None]


class _StoppedError(Exception):
    pass


def body_of(request: Request, name: str, level: int) -> dict[str, Any]:
    """The JSON body. Level 0 constrains by ``json_schema``, 1 by ``json_object`` with a schema (llama-cpp-python), 2
    not at all, 3 leaves out what some services refuse (seed, temperature, ``max_tokens``)."""
    prompt = request.prompt
    schema = json.loads(prompt.schema) if prompt.schema else None
    messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
    body: dict[str, Any] = {"model": name, "messages": json.loads(prompt.messages) if prompt.messages else messages}
    if level == 3:
        return body | {"max_completion_tokens": request.max_tokens}
    body |= {
        "temperature": request.temperature,
        "seed": request.seed,
        "max_tokens": request.max_tokens,
    }
    if level == 0:
        strict = {"name": "answer", "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": strict}
    elif level == 1:
        body["response_format"] = {"type": "json_object", "schema": schema}
    return body


class Servers:
    """The servers of one process, with their open connections and what is known of their health."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        self._wire = Wire(settings)
        self._ready_at = dict.fromkeys(settings.urls, 0.0)
        self._level = dict.fromkeys(settings.urls, 0)
        self._flying = dict.fromkeys(settings.urls, 0)
        self._good = 0
        self._lock = threading.Lock()

    def models(self) -> dict[str, list[str]]:
        """Names of the models of every server that answers; [] for one that has no list. E_LLM_DOWN: none answers."""
        found: dict[str, list[str]] = {}
        problems = []
        for number in range(self._settings.tries):
            for url in self._settings.urls:
                if url not in found:
                    try:
                        found[url] = self._wire.models(url)
                    except (FailedError, BusyError) as error:
                        problems.append(f"{url}: {error}")
            if found:
                return found
            time.sleep(min(0.25 * 2**number, 4.0))
        raise RrgError(
            f"no language model server answers ({short(problems[-1])}); start one, or correct --llm", "E_LLM_DOWN"
        )

    def run(self, requests: Sequence[Request], done: Saved) -> None:
        """Answer every request; `done` is called in this thread, as answers come. RrgError: it can not go on."""
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        came: queue.SimpleQueue[tuple[int, Reply] | BaseException] = queue.SimpleQueue()
        for number in range(len(requests)):
            todo.put(number)
        stop = threading.Event()

        def work() -> None:
            try:
                while not stop.is_set():
                    number = todo.get_nowait()
                    came.put((number, self._answer(requests[number], number, stop)))
            except (queue.Empty, _StoppedError):
                return
            except BaseException as error:  # handed to the thread that waits
                came.put(error)

        for _ in range(min(self._settings.parallel, len(requests))):
            threading.Thread(target=work, daemon=True).start()
        try:
            for _ in requests:
                result = came.get()
                if isinstance(result, BaseException):
                    raise result
                done(*result)
        finally:
            stop.set()

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def _answer(self, request: Request, number: int, stop: threading.Event) -> Reply:
        """Ask until a server answers. Failures rest a server, and are bounded."""
        rng = rng_for(self._settings.seed, "llm", request.key)
        budget = PATIENCE * self._settings.tries * len(self._settings.urls)
        good_before, spent, turn, only_500 = self._good, 0, number, True
        while True:
            url = self._pick(turn)
            self._rest(url, stop)
            try:
                reply = self._ask(url, request)
            except BusyError as error:
                problem, spent, wait_s, only_500 = str(error), spent + 1, error.wait_s, False
            except FailedError as error:
                problem, spent, wait_s = str(error), spent + PATIENCE, error.wait_s
                only_500 = only_500 and error.status == 500
            else:
                with self._lock:
                    self._good += 1
                return reply
            turn += 1
            if spent >= budget:
                if only_500 and self._good > good_before:  # this prompt alone breaks a server that lives
                    return Reply("", "refused")
                raise RrgError(
                    f"{url}: the language model is down: {short(problem)}, after {turn - number} requests; "
                    "start it again and give the same command (answers in --llm-cache are kept)",
                    "E_LLM_DOWN",
                )
            step = spent // (PATIENCE * len(self._settings.urls))
            pause = min(0.25 * 2**step, 30.0) * float(rng.uniform(0.5, 1.5))
            with self._lock:
                until = time.monotonic() + min(max(pause, wait_s or 0.0), LONGEST_WAIT_S)
                self._ready_at[url] = max(self._ready_at[url], until) if wait_s else until

    def _pick(self, turn: int) -> str:
        """The server that is ready first, then the one with the fewest requests in flight, then in turn."""
        urls = self._settings.urls
        with self._lock:
            now = time.monotonic()
            order = range(len(urls))
            at = min(
                order, key=lambda i: (max(self._ready_at[urls[i]], now), self._flying[urls[i]], (i - turn) % len(urls))
            )
            return urls[at]

    def _rest(self, url: str, stop: threading.Event) -> None:
        while not stop.is_set():
            left = self._ready_at[url] - time.monotonic()
            if left <= 0:
                return
            stop.wait(left)
        raise _StoppedError

    def _ask(self, url: str, request: Request) -> Reply:
        """One request; where the server refuses the form of it, in plainer forms."""
        with self._lock:
            self._flying[url] += 1
        try:
            for level in range(self._level[url] if request.prompt.schema else max(self._level[url], 2), LEVELS):
                body = json.dumps(body_of(request, self._settings.name, level)).encode()
                status, answer = self._wire.post(url, body)
                if status == 200:
                    reply = self._reply(url, answer)
                    self._level[url] = max(self._level[url], level)
                    return reply
            return Reply("", "refused")
        finally:
            with self._lock:
                self._flying[url] -= 1

    def _reply(self, url: str, answer: bytes) -> Reply:
        """The answer in a body of status 200. A body of another form is a failure; another model stops the run."""
        try:
            body = json.loads(answer)
            choice = body["choices"][0]
            content = choice["message"].get("content") or ""
            if isinstance(content, list):
                content = "".join(part.get("text") or "" for part in content)
            served, usage = body.get("model"), body.get("usage") or {}
            finish = "length" if choice.get("finish_reason") == "length" else "stop"
            counts = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise FailedError("an answer that is no chat completion") from None
        if isinstance(served, str) and served and not same_model(served, self._settings.name):
            raise RrgError(
                f"{url} answers with the model {short(served)}, expected {short(self._settings.name)}; "
                "all servers must serve one model: name it with --llm-model",
                "E_MODEL",
            )
        if not isinstance(content, str):
            raise FailedError("an answer without text")
        with contextlib.suppress(UnicodeEncodeError):
            content.encode()
            return Reply(content, finish, *counts)
        return Reply(content.encode("utf-8", "replace").decode(), finish, *counts)


def same_model(served: str, wanted: str) -> bool:
    """True for one name, also where a server writes the folder of a model file before it."""
    return served == wanted or (served.endswith(".gguf") and served.rpartition("/")[2] == wanted.rpartition("/")[2])
