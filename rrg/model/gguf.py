"""The llama.cpp back end: a GGUF language model and its mmproj, through the multimodal library of llama-cpp-python.

A picture is encoded once: as long as the same pictures stand before the question, their part of the key-value cache
stays, and only the question is read.
"""

import contextlib
import ctypes
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError
from rrg.llm_local import check_file, quiet_stderr
from rrg.model.gguf_lora import ADAPTER, base_of
from rrg.model.gguf_shares import Shares
from rrg.model.load import check_prompt, default_threads, model_hash
from rrg.model.settings import Generated, Pictures, Settings, read_settings
from rrg.prompt import MEDIA

BATCH = 512
"""Tokens that llama.cpp reads at a time."""
PICTURES = 32
"""Encoded pictures that are kept."""


class GgufModel:
    """Back end for GGUF folders."""

    backend = "gguf"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import llama_cpp
        from llama_cpp import mtmd_cpp

        self.settings: Settings = read_settings(path)
        self.hash = model_hash(path)
        self._text: Any = None
        self._vision: Any = None
        self._kept: tuple[bytes, int] = (b"", 0)
        self._embeddings: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._grammar: Any = None
        self._control: dict[int, bool] = {}
        self.encoded = 0
        """Pictures that went through the vision tower."""
        mmproj = _one(path, "mmproj-*.gguf")
        lora = path / ADAPTER if (path / ADAPTER).is_file() else None
        llm = _one(path, "llm-*.gguf") if lora is None else base_of(path)
        for file in (llm, mmproj, *((lora,) if lora else ())):
            check_file(file)
        self._threads = threads or default_threads(llm.stat().st_size // 2)
        _silence()
        with quiet_stderr():
            try:
                self._text = llama_cpp.Llama(
                    str(llm),
                    n_ctx=self.settings.context,
                    n_batch=BATCH,
                    n_threads=self._threads,
                    n_threads_batch=self._threads,
                    type_k=llama_cpp.GGML_TYPE_F32,  # half precision here is the largest difference from torch
                    type_v=llama_cpp.GGML_TYPE_F32,
                    lora_path=str(lora) if lora else None,
                    verbose=False,
                )
            except (ValueError, RuntimeError):
                raise RrgError(f"{llm}: llama.cpp refuses this file; run rrg export again", "E_MODEL") from None
            options = mtmd_cpp.mtmd_context_params_default()
            options.use_gpu = False
            options.print_timings = False
            options.warmup = False
            options.n_threads = self._threads
            options.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
            self._vision = mtmd_cpp.mtmd_init_from_file(str(mmproj).encode(), self._text.model, options)
        if not self._vision:
            self.close()
            raise RrgError(f"{mmproj}: llama.cpp refuses this file; run rrg export again", "E_MODEL")
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._text.model)
        self._context = self._text._ctx.ctx
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._width = llama_cpp.llama_model_n_embd_inp(self._text.model)
        self._size = llama_cpp.llama_vocab_n_tokens(self._vocabulary)
        self._one = (llama_cpp.llama_token * 1)()
        self._batch = llama_cpp.llama_batch_get_one(self._one, 1)
        self._get_logits = llama_cpp.llama_get_logits_ith
        self._pieces: dict[int, bytes] = {}
        self._logits: tuple[int | None, NDArray[np.float32]] = (None, np.empty(0, np.float32))

    def answer(self, pictures: Pictures, prompt: str, max_new_tokens: int = 256) -> Generated:
        """Greedy answer; see `Model`."""
        import llama_cpp

        place = self._read(pictures, prompt)
        written: list[int] = []
        shares = Shares(self._size)
        room = min(max_new_tokens, self.settings.context - place)
        if self._grammar is not None:
            self._grammar.begin()
        while len(written) < room:
            scores = self._scores()
            token = int(scores.argmax()) if self._grammar is None else self._grammar.next(scores)
            if self._is_control(token):
                return self._generated(written, shares.told(), cut=False)
            written.append(token)
            shares.add(scores, token)
            self._one[0] = token
            if (code := llama_cpp.llama_decode(self._context, self._batch)) != 0:
                self._decoded(code)
        return self._generated(written, shares.told(), cut=True)

    def _is_control(self, token: int) -> bool:
        import llama_cpp

        if (known := self._control.get(token)) is None:
            known = self._control[token] = bool(llama_cpp.llama_vocab_is_control(self._vocabulary, token))
        return known

    def constrain(self) -> None:
        """From now on answers hold whole boxes only. UsageError where the dialect has no grammar."""
        from rrg.model.gguf_grammar import Constraint
        from rrg.model.grammar import gbnf

        if self._grammar is None:
            self._grammar = Constraint(self._vocabulary, gbnf(self.settings.dialect))

    def prompt_tokens(self, prompt: str, pictures: Pictures) -> list[int | None]:
        """Token ids of a prompt as llama.cpp reads it, begin token included; None for each image token."""
        with self._chunks(pictures, prompt) as chunks:
            parts = (tokens if tokens is not None else [None] * count for tokens, count, _ in chunks)
            return [token for part in parts for token in part]

    def log_probabilities(self, pictures: Pictures, prompt: str) -> NDArray[np.float64]:
        """(vocabulary,) log-probabilities of the answer's first token."""
        self._read(pictures, prompt)
        scores = self._scores().astype(np.float64)
        scores -= scores.max()
        return np.asarray(scores - np.log(np.exp(scores).sum()))

    def close(self) -> None:
        """Free all parts."""
        from llama_cpp import mtmd_cpp

        if self._grammar is not None:
            self._grammar.close()
            self._grammar = None

        if self._vision:
            mtmd_cpp.mtmd_free(self._vision)
            self._vision = None
        if self._text is not None:
            self._text.close()
            self._text = None

    def _read(self, pictures: Pictures, prompt: str) -> int:
        """Bring the cache to the end of the prompt; the number of tokens. Reuses the start of the last prompt."""
        import llama_cpp
        from llama_cpp import mtmd_cpp

        hashes = [hashlib.sha256(np.ascontiguousarray(each).tobytes()).digest() for each in pictures]
        with self._chunks(pictures, prompt) as chunks:
            total = sum(count for _, count, _ in chunks)
            check_prompt(prompt, pictures, [0] * total, self.settings)
            last = max((number for number, (tokens, _, _) in enumerate(chunks) if tokens is None), default=-1)
            head, tail = chunks[: last + 1], chunks[last + 1 :]
            key = hashlib.sha256(repr([tokens for tokens, _, _ in head]).encode() + b"".join(hashes)).digest()
            if head and self._kept[0] == key:
                llama_cpp.llama_memory_seq_rm(self._memory, 0, self._kept[1], -1)
            else:
                llama_cpp.llama_memory_clear(self._memory, True)
                self._kept = b"", 0
                place, picture = llama_cpp.llama_pos(0), iter(hashes)
                for tokens, _, chunk in head:
                    if tokens is not None:
                        self._decode(tokens)
                        place.value += len(tokens)
                    else:
                        self._decode_picture(mtmd_cpp, chunk, next(picture), place)
                self._kept = key, place.value
            for tokens, _, _ in tail:
                self._decode(tokens or [])
            return total

    def _decode_picture(self, mtmd_cpp: Any, chunk: Any, digest: bytes, place: Any) -> None:
        import llama_cpp

        if digest not in self._embeddings:
            if mtmd_cpp.mtmd_encode_chunk(self._vision, chunk) != 0:
                raise RrgError("llama.cpp could not encode a picture; run rrg export again", "E_MODEL")
            size = mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk) * self._width
            found = np.ctypeslib.as_array(mtmd_cpp.mtmd_get_output_embd(self._vision), shape=(size,))
            self._embeddings[digest] = found.copy()
            self.encoded += 1
            if len(self._embeddings) > PICTURES:
                self._embeddings.popitem(last=False)
        self._embeddings.move_to_end(digest)
        pointer = self._embeddings[digest].ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        start = llama_cpp.llama_pos(place.value)
        nothing = mtmd_cpp.mtmd_helper_post_decode_callback()
        code = mtmd_cpp.mtmd_helper_decode_image_chunk(
            self._vision, self._context, chunk, pointer, start, 0, BATCH, ctypes.byref(place), nothing, None
        )
        if code != 0:
            raise RrgError(f"llama.cpp could not read a picture (code {code}); run rrg export again", "E_MODEL")

    def _decode(self, tokens: list[int]) -> None:
        import llama_cpp

        for first in range(0, len(tokens), BATCH):
            part = tokens[first : first + BATCH]
            array = (llama_cpp.llama_token * len(part))(*part)
            self._decoded(llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(array, len(part))))

    @staticmethod
    def _decoded(code: int) -> None:
        if code != 0:
            raise RrgError(f"llama.cpp could not read a prompt of this length (code {code})", "E_TOKENS")

    def _scores(self) -> NDArray[np.float32]:
        """(vocabulary,) of the last token. The same array as long as llama.cpp keeps its buffer."""
        pointer = self._get_logits(self._context, -1)
        address = ctypes.addressof(pointer.contents)
        if address != self._logits[0]:
            self._logits = address, np.ctypeslib.as_array(pointer, shape=(self._size,))
        return self._logits[1]

    def _generated(self, written: list[int], shares: list[float], *, cut: bool) -> Generated:
        pieces = [self._piece(token) for token in written]
        told = ((piece.decode("utf-8", errors="replace"), p) for piece, p in zip(pieces, shares, strict=True))
        return Generated(b"".join(pieces).decode("utf-8", errors="replace"), cut, tuple(told))

    def _piece(self, token: int) -> bytes:
        """The text of a token; special ones as they are written."""
        import llama_cpp

        if (known := self._pieces.get(token)) is not None:
            return known
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            wrote = llama_cpp.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, True)
            if wrote >= 0:
                return self._pieces.setdefault(token, bytes(buffer.raw[:wrote]))
            size = -wrote

    @contextlib.contextmanager
    def _chunks(self, pictures: Pictures, prompt: str) -> Iterator[list[tuple[list[int] | None, int, Any]]]:
        """(token ids or None for a picture, number of tokens, chunk) in order; chunks live only inside the context."""
        from llama_cpp import mtmd_cpp as mtmd

        if prompt.count(MEDIA) != len(pictures):
            check_prompt(prompt, pictures, [], self.settings)
        data = prompt.encode()
        text = mtmd.mtmd_input_text()
        text.text, text.text_len, text.add_special, text.parse_special = data, len(data), True, True
        bitmaps = []
        for picture in pictures:
            pixels = np.ascontiguousarray(picture)
            pointer = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
            bitmaps.append(mtmd.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], pointer))
        chunks = mtmd.mtmd_input_chunks_init()
        try:
            array = (mtmd.mtmd_bitmap_p_ctypes * len(bitmaps))(*bitmaps)
            code = mtmd.mtmd_tokenize(self._vision, chunks, ctypes.byref(text), array, len(bitmaps))
            if code != 0:
                raise RrgError(f"llama.cpp could not split the prompt (code {code})", "E_MODEL")
            found: list[tuple[list[int] | None, int, Any]] = []
            for number in range(mtmd.mtmd_input_chunks_size(chunks)):
                chunk = mtmd.mtmd_input_chunks_get(chunks, number)
                count = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
                tokens = None
                if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
                    length = ctypes.c_size_t()
                    start = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(length))
                    tokens = [int(start[place]) for place in range(length.value)]
                found.append((tokens, count, chunk))
            yield found
        finally:
            mtmd.mtmd_input_chunks_free(chunks)
            for bitmap in bitmaps:
                mtmd.mtmd_bitmap_free(bitmap)


def _one(path: Path, pattern: str) -> Path:
    found = sorted(path.glob(pattern))
    if len(found) != 1:
        raise RrgError(f"{path}: {len(found)} files {pattern}; expected one, run rrg export again", "E_MODEL")
    return found[0]


_SILENT: list[Any] = []


def _silence() -> None:
    """Drop the log lines of llama.cpp and its multimodal part. The callback must outlive them."""
    import llama_cpp
    from llama_cpp import mtmd_cpp

    if not _SILENT:
        # a function of the C library that does nothing with (level, ...): a Python callback would swallow what a
        # signal handler raises while it runs
        _SILENT.append(ctypes.cast(ctypes.CDLL(None).abs, llama_cpp.llama_log_callback))
        for setter in (llama_cpp.llama_log_set, mtmd_cpp.mtmd_log_set, mtmd_cpp.mtmd_helper_log_set):
            setter(_SILENT[0], ctypes.c_void_p(0))
