"""A GGUF file in this process, through llama.cpp: answers constrained by grammar, the shared start of prompts kept.

An answer does not depend on the questions before it: the part of the prompt that all share is read once, in one way,
and everything behind it is read anew for each question.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rrg.errors import RrgError
from rrg.llm_settings import LlmSettings, Prompt, Reply, Request

BATCH = 512
"""Tokens that llama.cpp reads at a time."""
DAY = "01 Jan 2024"
"""What chat templates get that ask for today's date: a clock would change answers."""


class Local:
    """A loaded GGUF file. One per process."""

    def __init__(self, settings: LlmSettings) -> None:
        import llama_cpp

        assert settings.path is not None
        path = Path(settings.path)
        check_file(path)
        threads = settings.threads or default_threads()
        _silence()
        with quiet_stderr():
            try:
                self._llm: Any = llama_cpp.Llama(
                    str(path),
                    n_ctx=settings.context,
                    n_batch=BATCH,
                    n_threads=threads,
                    n_threads_batch=threads,
                    verbose=False,
                )
            except (ValueError, RuntimeError, AssertionError):
                raise RrgError(f"{path}: llama.cpp refuses this file; give another GGUF file", "E_MODEL") from None
        self._format = _chat_format(self._llm)
        self._grammars: dict[str, Any] = {}
        self._start: tuple[str, list[int]] = ("", [])

    def run(self, requests: Sequence[Request], done: Callable[[int, Reply], None]) -> None:
        """Answer every request, one after the other; `done` is called as answers come."""
        with quiet_stderr():
            for number, request in enumerate(requests):
                done(number, self._answer(request))

    def close(self) -> None:
        """Free the model before the interpreter goes."""
        self._llm.close()

    def _answer(self, request: Request) -> Reply:
        start = self._shared(request.prompt)
        tokens = self._tokens(request.prompt)
        room = min(request.max_tokens, self._llm.n_ctx() - len(tokens))
        if room < 16:
            return Reply("", "refused", len(tokens))
        self._rewind(start, tokens)
        made = self._llm.create_completion(
            tokens,
            max_tokens=room,
            temperature=request.temperature,
            seed=request.seed,
            grammar=self._grammar(request.prompt.schema),
        )
        choice = made["choices"][0]
        finish = "length" if choice["finish_reason"] == "length" else "stop"
        return Reply(choice["text"], finish, len(tokens), made["usage"]["completion_tokens"])

    def _rewind(self, start: list[int], tokens: list[int]) -> None:
        """Bring the cache to exactly the shared start, whatever was asked before."""
        import llama_cpp

        llm = self._llm
        llm.set_seed(0)
        same = len(start) if start and tokens[: len(start)] == start else 0
        held = llm.n_tokens >= same and list(llm.input_ids[:same]) == start[:same]
        if not same or not held or not llm._ctx.kv_cache_seq_rm(-1, same, -1):
            llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(llm._ctx.ctx), True)
            llm.reset()
            if same:
                llm.eval(start)
        llm.n_tokens = same

    def _shared(self, prompt: Prompt) -> list[int]:
        """Tokens that every prompt with this system text begins with."""
        if self._start[0] != prompt.system:
            one, other = (self._tokens(prompt._replace(user=user)) for user in ("a", "Z"))
            same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
            self._start = prompt.system, one[:same]
        return self._start[1]

    def _tokens(self, prompt: Prompt) -> list[int]:
        text = self._format(prompt.system, prompt.user)
        bos = self._llm.detokenize([self._llm.token_bos()], special=True) if self._llm.token_bos() >= 0 else b""
        written = bool(bos) and text.encode().startswith(bos)
        return list(self._llm.tokenize(text.encode(), add_bos=not written, special=True))

    def _grammar(self, schema: str) -> Any:
        from llama_cpp import llama_grammar

        if schema not in self._grammars:
            self._grammars[schema] = llama_grammar.LlamaGrammar.from_json_schema(schema, verbose=False)
        return self._grammars[schema]


def _chat_format(llm: Any) -> Callable[[str, str], str]:
    """(system, user) -> prompt, by the file's own chat template; without a system turn the question is longer."""
    from jinja2.exceptions import TemplateError
    from llama_cpp import llama_chat_format

    template = llm.metadata.get("tokenizer.chat_template")
    if template is None:
        return lambda system, user: f"{system}\n\n{user}\n\n"
    bos, eos = (
        llm.detokenize([token], special=True).decode("utf-8", "replace") if token >= 0 else ""
        for token in (llm.token_bos(), llm.token_eos())
    )
    formatter: Any = llama_chat_format.Jinja2ChatFormatter(template, eos_token=eos, bos_token=bos)
    setattr(formatter, "strftime_now", lambda _form: DAY)  # noqa: B010

    def chat(system: str, user: str) -> str:
        try:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
            written: str = formatter(messages=messages).prompt
            if system[:200] in written:
                return written
        except (TemplateError, ValueError):  # ValueError: the template's own raise_exception
            pass
        return str(formatter(messages=[{"role": "user", "content": f"{system}\n\n{user}"}]).prompt)

    return chat


def default_threads() -> int:
    """Half of the cores that this process may use, at least 1, at most 8: decoding is bound by memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // 2))


def check_file(path: Path) -> None:
    """Raise RrgError(E_MODEL) unless every tensor of a GGUF file lies inside of it. llama.cpp trusts these numbers."""
    import gguf

    try:
        size = path.stat().st_size
        inside = all(each.data_offset + each.n_bytes <= size for each in gguf.GGUFReader(path).tensors)
    except (ValueError, IndexError, KeyError, OSError, OverflowError, MemoryError):
        inside = False
    if not inside:
        raise RrgError(f"{path}: not a whole GGUF file; copy it again", "E_MODEL")


_SILENT: list[Any] = []


def _silence() -> None:
    """Drop the log lines of llama.cpp through a function of the C library that does nothing with them."""
    import llama_cpp

    if not _SILENT:
        _SILENT.append(ctypes.cast(ctypes.CDLL(None).abs, llama_cpp.llama_log_callback))
        llama_cpp.llama_log_set(_SILENT[0], ctypes.c_void_p(0))


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Point fd 2 at nothing: grammars and some loaders print without asking a callback."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
