"""The back end of OpenAI-compatible servers: pictures are sent, the model is known by its name only.

The chat text of `rrg.prompt` becomes messages again, so that the server's own chat template is used. Nothing tells
how such a model writes boxes: the user states the dialect.
"""

import base64
import dataclasses
import io
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.boxes import BINS, KINDS, Dialect, Kind
from rrg.errors import RecordError, UsageError
from rrg.llm_cache import Cache
from rrg.llm_settings import LlmSettings, Prompt, Reply, request_of
from rrg.model.settings import Generated, Pictures, Settings
from rrg.prompt import CONTROL, END, MEDIA, ROLES

CONTEXT = 1 << 20
"""Tokens: the server keeps its own limit."""
_ROLE = re.compile("|".join(re.escape(token) for token in ROLES.values()))
_ROLE_OF = {token: role for role, token in ROLES.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """A model behind an address. Small and picklable: workers connect for themselves."""

    llm: LlmSettings
    dialect: Dialect
    side: int
    """Pictures are sent as `side` x `side` pixels."""
    preset: str = "radgrounder"


def dialect_of(text: str, side: int) -> Dialect:
    """``qwen3-vl``, or ``loc:64`` with its bins. UsageError for anything else."""
    word, _, bins = text.partition(":")
    kind: Kind | None = next((each for each in KINDS if each == word), None)
    if kind is not None and (not bins or (bins.isdigit() and 2 <= int(bins) <= 10_000)):
        usual = side if kind == "qwen2.5-vl" else BINS.get(kind, 64)
        return Dialect(kind, int(bins) if bins else usual)
    raise UsageError(f"--box-dialect {text}: expected one of {', '.join(KINDS)}, with :BINS where the number differs")


def served(
    address: str, *, name: str | None, dialect: str, side: int, parallel: int, cache: str | None, timeout_s: float,
    max_new_tokens: int, key_env: str | None,
) -> Served:  # fmt: skip
    """A server that answers, and the model it serves. UsageError, RrgError(E_LLM_DOWN, E_MODEL)."""
    from rrg.llm import identified
    from rrg.llm_wire import check_url

    try:
        urls = tuple(dict.fromkeys(check_url(each) for each in address.split(",") if each.strip()))
        llm = identified(
            LlmSettings(
                identity="",
                urls=urls,
                name=name or "",
                max_tokens=max_new_tokens,
                parallel=parallel,
                cache=cache,
                timeout_s=timeout_s,
                key_env=key_env,
            )
        )
    except UsageError as error:
        raise UsageError(str(error).replace("--llm-model", "--model-name").replace("--llm", "--model")) from None
    return Served(llm=llm, dialect=dialect_of(dialect, side), side=side)


class ServerModel:
    """A model behind one or more servers. Many threads may ask at once."""

    backend = "server"

    def __init__(self, served: Served) -> None:
        from rrg.llm_http import Servers

        self.parallel = served.llm.parallel
        """Questions in flight."""
        self.hash = served.llm.identity
        self.settings = Settings(
            family="server", side=served.side, preset=served.preset, dialect=served.dialect, image_tokens=0,
            context=CONTEXT, languages=("de", "en"), tasks=(), dataset="", run="",
        )  # fmt: skip
        self._llm = served.llm
        self._servers = Servers(served.llm)
        self._cache = Cache(served.llm.cache, served.llm.identity)
        self._lock = threading.Lock()

    def answer(self, pictures: Pictures, prompt: str, max_new_tokens: int = 256) -> Generated:
        """The answer; see `Model`. RecordError(E_MODEL) where the server does not take the question."""
        messages = json.dumps(list(messages_of(prompt, pictures)), ensure_ascii=False)
        request = request_of(Prompt("", "", "", messages), dataclasses.replace(self._llm, max_tokens=max_new_tokens))
        with self._lock:
            reply = self._cache.get(request.key)
        if reply is None:
            replies: list[Reply] = []
            self._servers.run([request], lambda _, one: replies.append(one))
            reply = replies[0]
            if reply.finish != "refused":
                with self._lock:
                    reply = self._cache.put(request, reply)
        if reply.finish == "refused":
            raise RecordError(
                "E_MODEL",
                "the server refuses the question or its picture; does the model read pictures? see --image-side",
            )
        return Generated(_plain(reply.content), reply.finish == "length")

    def close(self) -> None:
        """Close idle connections."""
        self._servers.close()


def messages_of(prompt: str, pictures: Pictures) -> Iterator[dict[str, Any]]:
    """Chat text of `rrg.prompt` as messages; each media marker becomes its picture. Text can not form a marker."""
    left = iter(pictures)
    starts = list(_ROLE.finditer(prompt))
    for found, behind in zip(starts, [*starts[1:], None], strict=True):
        content = prompt[found.end() : behind.start() if behind else len(prompt)].removesuffix(END)
        role = _ROLE_OF[found.group()]
        if behind is None and role == "assistant" and not content:
            return
        parts: list[dict[str, Any]] = []
        for number, text in enumerate(content.split(MEDIA)):
            if number:
                parts.append({"type": "image_url", "image_url": {"url": data_url(next(left))}})
            if text:
                parts.append({"type": "text", "text": text})
        only_text = all(part["type"] == "text" for part in parts)
        yield {"role": role, "content": "".join(part["text"] for part in parts) if only_text else parts}


def data_url(picture: NDArray[np.uint8]) -> str:
    """(side, side, 3) uint8 -> PNG as data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _plain(text: str) -> str:
    """Without thoughts that stand before the answer, and without control tokens."""
    text = re.sub(r"\A\s*<think>.*?</think>", "", text, flags=re.DOTALL)
    for token in CONTROL:
        text = text.replace(token, "")
    return text.strip()
