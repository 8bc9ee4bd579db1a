"""One client for language models: `ask` a GGUF file in this process, or OpenAI-compatible servers, with a cache.

Everything that is the same for all back ends is here: which request is made, the one retry, the cache, the count.
"""

import atexit
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rrg.errors import RrgError, UsageError
from rrg.llm_cache import Cache
from rrg.llm_meter import Meter
from rrg.llm_reply import Found, Json, read
from rrg.llm_settings import LlmSettings, Prompt, Reply, Request, request_of
from rrg.provenance import sha256_file

Accept = Callable[[int, Json], str]
"""(number of the prompt, value that fits its schema) -> why it is no answer; empty for a good one."""


class Answer(NamedTuple):
    """What a model answered."""

    value: Json | None
    """Fits the schema of the prompt; None: no usable answer, also not after the retry."""
    problem: str = ""
    dropped: int = 0
    """Items of lists that did not fit and were left out."""


class _Engine(Protocol):
    def run(self, requests: Sequence[Request], done: Callable[[int, Reply], None]) -> None: ...

    def close(self) -> None: ...


@dataclasses.dataclass(slots=True)
class _Client:
    settings: LlmSettings
    cache: Cache
    meter: Meter
    engine: _Engine | None = None
    """Made when the first answer is not in the cache."""


_CLIENTS: dict[LlmSettings, _Client] = {}


def ask(prompts: Sequence[Prompt], settings: LlmSettings, accept: Accept | None = None) -> list[Answer]:
    """Answers in the order of the prompts. An unusable one is asked for once more, with another seed.

    Raises RrgError(E_LLM_DOWN) when no server answers, RrgError(E_MODEL) when another model does: the run stops.
    """
    client = _client(settings)
    schemas = {prompt.schema: json.loads(prompt.schema) for prompt in prompts}

    def judged(number: int, reply: Reply) -> Found:
        found = read(reply.content, reply.finish, schemas[prompts[number].schema])
        problem = accept(number, found.value) if accept is not None and not found.problem else ""
        return Found(None, problem) if problem else found

    replies = _replies(client, [request_of(prompt, settings) for prompt in prompts])
    found = [judged(number, reply) for number, reply in enumerate(replies)]
    again = [i for i, each in enumerate(found) if each.problem and replies[i].finish not in ("refused", "uncached")]
    if again:
        second = [request_of(prompts[i], settings, retry=True, longer=replies[i].finish == "length") for i in again]
        for i, reply in zip(again, _replies(client, second), strict=True):
            found[i] = judged(i, reply)
    return [Answer(*each) for each in found]


def identified(settings: LlmSettings) -> LlmSettings:
    """`settings` with the identity of the model: the hash of its file, or the name under which it is served.

    With ``cache_only`` no model is needed: a cache that holds answers of one model only names it.
    Raises UsageError where the name is open, RrgError(E_MODEL) where servers differ or do not serve it.
    """
    if settings.path is not None and Path(settings.path).is_file():
        return dataclasses.replace(settings, identity=f"gguf:{sha256_file(Path(settings.path))}")
    if settings.cache_only:
        return dataclasses.replace(settings, identity=_cached_identity(settings))
    if settings.path is not None:
        raise UsageError(f"--llm {settings.path}: no such file; give a GGUF file, or http://host:port/v1")
    from rrg.llm_http import Servers, same_model

    servers = Servers(settings)
    served = servers.models()
    servers.close()
    name = settings.name or _only_name(served)
    for url, names in served.items():
        if names and not any(same_model(each, name) for each in names):
            listed = ", ".join(names[:5])
            raise RrgError(f"{url} does not serve {name}, but {listed}; give one with --llm-model", "E_MODEL")
    return dataclasses.replace(settings, name=name, identity=f"server:{_plain(name)}")


def close() -> None:
    """Free loaded models and connections of this process, and write what it counted."""
    for client in _CLIENTS.values():
        if client.engine is not None:
            client.engine.close()
    _CLIENTS.clear()


def counted(settings: LlmSettings, parts: int = 1) -> None:
    """Tell the progress line that so many reports (or other parts of the work) are done."""
    _client(settings).meter.add(parts=parts)


def _client(settings: LlmSettings) -> _Client:
    if (client := _CLIENTS.get(settings)) is None:
        if not _CLIENTS:
            atexit.register(close)
        cache = Cache(settings.cache, settings.identity, read_only=settings.cache_only)
        client = _CLIENTS[settings] = _Client(settings, cache, Meter(settings.meter))
    return client


def _replies(client: _Client, requests: Sequence[Request]) -> list[Reply]:
    """A reply for each request: of the cache, else of the model. Equal requests are made once."""
    known: dict[str, Reply] = {}
    missing: dict[str, Request] = {}
    for request in requests:
        if request.key in known or request.key in missing:
            continue
        if (reply := client.cache.get(request.key)) is not None:
            known[request.key] = reply
        elif client.settings.cache_only:
            known[request.key] = Reply("", "uncached")
        else:
            missing[request.key] = request
    client.meter.add(answers=len(known), cached=len(known))
    if missing:
        todo = list(missing.values())
        began = time.monotonic()

        def done(number: int, reply: Reply) -> None:
            nonlocal began
            known[todo[number].key] = client.cache.put(todo[number], reply)
            now = time.monotonic()
            client.meter.add(answers=1, tokens=reply.written, seconds=now - began)
            began = now

        if client.engine is None:
            client.engine = _engine(client.settings)
        client.engine.run(todo, done)
    return [known[request.key] for request in requests]


def _engine(settings: LlmSettings) -> _Engine:
    if settings.path is not None:
        from rrg.llm_local import Local

        return Local(settings)
    from rrg.llm_http import Servers

    return Servers(settings)


def _only_name(served: Mapping[str, list[str]]) -> str:
    names = sorted({name for each in served.values() for name in each})
    plain = {_plain(name) for name in names}
    if len(plain) == 1:
        return names[0]
    seen = f"serve {', '.join(names[:5])}" if names else "do not say what they serve"
    raise UsageError(f"--llm-model is missing: the servers {seen}; name the model to ask")


def _cached_identity(settings: LlmSettings) -> str:
    if settings.cache is None:
        raise UsageError("--llm-cache-only needs --llm-cache DIR")
    known = Cache(settings.cache, "", read_only=True).identities()
    wanted: Any = settings.name and (settings.name, f"server:{_plain(settings.name)}", f"gguf:{settings.name}")
    found = [each for each in known if not wanted or each in wanted]
    if len(found) != 1:
        seen = ", ".join(known[:5]) or "no model"
        raise UsageError(f"--llm-cache {settings.cache}: holds answers of {seen}; choose one with --llm-model")
    return found[0]


def _plain(name: str) -> str:
    """A served name without the folder of a model file."""
    return name.rpartition("/")[2] if name.endswith(".gguf") else name
