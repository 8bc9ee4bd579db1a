"""A grammar at work in llama.cpp: the likeliest token that keeps the answer well formed."""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError


class Constraint:
    """One grammar, used for one answer after the other."""

    def __init__(self, vocabulary: Any, gbnf: str) -> None:
        import llama_cpp

        self._vocabulary = vocabulary
        self._size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self._end = llama_cpp.llama_vocab_eos(vocabulary)
        self._grammar = llama_cpp.llama_sampler_init_grammar(vocabulary, gbnf.encode(), b"root")
        if not self._grammar:
            raise RrgError("llama.cpp refuses the grammar of this box dialect; leave out --grammar", "E_MODEL")
        self._all = (llama_cpp.llama_token_data * self._size)()
        self._table = np.ctypeslib.as_array(self._all)
        self._one = (llama_cpp.llama_token_data * 1)()

    def begin(self) -> None:
        """Forget the answer before."""
        import llama_cpp

        llama_cpp.llama_sampler_reset(self._grammar)

    def next(self, scores: NDArray[np.float32]) -> int:
        """The likeliest token that fits, taken into account; a control token only where the answer may end.

        The likeliest of all is tried alone first, and nearly always fits: the others are looked at only if it does not.
        """
        import llama_cpp

        token = int(scores.argmax())
        ends = bool(llama_cpp.llama_vocab_is_control(self._vocabulary, token))
        asked = self._end if ends else token
        self._one[0].id, self._one[0].logit, self._one[0].p = asked, 0.0, 0.0
        self._apply(self._one, 1)
        if self._one[0].logit < -1e30:
            ends = False
            self._table["id"] = np.arange(self._size, dtype=np.int32)
            self._table["logit"] = scores
            self._apply(self._all, self._size)
            logits = self._table["logit"].copy()
            token = asked = int(self._table["id"][int(logits.argmax())])
            if not np.isfinite(logits.max()):
                return int(self._end)  # nothing fits: the answer ends here
            ends = bool(llama_cpp.llama_vocab_is_control(self._vocabulary, token))
        if not ends:
            llama_cpp.llama_sampler_accept(self._grammar, token)
        return token

    def close(self) -> None:
        """Free it."""
        import llama_cpp

        if self._grammar:
            llama_cpp.llama_sampler_free(self._grammar)
            self._grammar = None

    def _apply(self, data: Any, size: int) -> None:
        import llama_cpp

        array = llama_cpp.llama_token_data_array()
        array.data = ctypes.cast(data, type(array.data))
        array.size, array.selected, array.sorted = size, -1, False
        llama_cpp.llama_sampler_apply(self._grammar, ctypes.byref(array))
