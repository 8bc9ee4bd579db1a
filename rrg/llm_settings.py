"""What is asked of a language model, and what comes back: plain values that cross processes."""

import hashlib
import json
from dataclasses import dataclass
from typing import NamedTuple

FORMAT = "rrg-llm/1"
"""Form of the keys of the answer cache."""
RETRY_TEMPERATURE = 0.6
"""Of the one retry after an unusable answer: at 0 a new seed would change nothing."""


@dataclass(frozen=True, kw_only=True)
class LlmSettings:
    """Where the model is and how it is asked."""

    identity: str
    """``gguf:`` and the SHA-256 of the file, or ``server:`` and the name of the model. Part of every cache key."""
    path: str | None = None
    """GGUF file."""
    urls: tuple[str, ...] = ()
    """Base addresses of OpenAI-compatible servers, each ending before ``/chat/completions``."""
    name: str = ""
    """Name by which servers are asked for the model."""
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 2048
    """Of one answer, reasoning included."""
    context: int = 4096
    """Tokens of prompt and answer that a GGUF file gets room for."""
    threads: int = 0
    """Of llama.cpp; 0: half of the cores that this process may use, at most 8."""
    parallel: int = 8
    """Requests in flight of one process."""
    timeout_s: float = 300.0
    """For one whole answer of a server."""
    tries: int = 6
    """Failures of one prompt on each server, before the servers count as down."""
    key_env: str | None = None
    """Name of the environment variable that holds the key of the servers."""
    proxies: bool = False
    """Use the proxies of the environment."""
    cache: str | None = None
    """Folder of the answer cache."""
    cache_only: bool = False
    """Ask no model: what the cache does not hold has no answer."""
    meter: str | None = None
    """Folder in which each process counts what it did, for the progress line."""


class Prompt(NamedTuple):
    """One question. Text that comes from data is made safe by the caller (`rrg.llm_text`)."""

    system: str
    """The same for many prompts: its part of the key-value cache is kept."""
    user: str
    schema: str
    """JSON Schema of the answer, as JSON text; only the words that `rrg.llm_reply.fit` knows. Empty: free text."""
    messages: str = ""
    """JSON list of chat messages, pictures included, in place of `system` and `user`; for servers only."""


class Request(NamedTuple):
    """A prompt with the options that change the answer."""

    prompt: Prompt
    seed: int
    temperature: float
    max_tokens: int
    key: str
    """Of the cache."""


class Reply(NamedTuple):
    """What a model wrote, as it came."""

    content: str
    finish: str
    """``stop``; ``length``: cut off; ``refused``: the server does not take this prompt; ``uncached``."""
    read: int = 0
    """Tokens of the prompt."""
    written: int = 0
    """Tokens of the answer."""


def request_of(prompt: Prompt, settings: LlmSettings, *, retry: bool = False, longer: bool = False) -> Request:
    """The request for a prompt, or its one retry: another seed, not greedy, with twice the room where it was cut."""
    seed = settings.seed + 1 if retry else settings.seed
    temperature = max(settings.temperature, RETRY_TEMPERATURE) if retry else settings.temperature
    room = settings.max_tokens * 2 if longer else settings.max_tokens
    asked = prompt if prompt.messages else prompt[:3]  # keys of prompts without messages stay what they were
    body = [FORMAT, settings.identity, *asked, seed, temperature, room]
    key = hashlib.sha256(json.dumps(body, separators=(",", ":")).encode()).hexdigest()
    return Request(prompt, seed, temperature, room, key)
