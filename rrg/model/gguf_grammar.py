"""A grammar at work in llama.cpp: the likeliest token that keeps the answer well formed."""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError

FEW = 24
"""Likeliest tokens that are tried before all of them."""


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
        self._every, self._single = (
            self._array(data, size) for data, size in ((self._all, self._size), (self._one, 1))
        )
        self._ids = np.arange(self._size, dtype=np.int32)
        self._control: dict[int, bool] = {}

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
        ends = self._is_control(token)
        one: Any = self._one[0]
        one.id, one.logit = (self._end if ends else token), 0.0
        self._apply(self._single)
        if one.logit < -1e30:
            token = self._best(scores, np.argpartition(scores, -FEW)[-FEW:]) if self._size > FEW else -1
            token = self._best(scores, self._ids) if token < 0 else token
            if token < 0:
                return int(self._end)  # nothing fits: the answer ends here
            ends = self._is_control(token)
        if not ends:
            llama_cpp.llama_sampler_accept(self._grammar, token)
        return token

    def close(self) -> None:
        """Free it."""
        import llama_cpp

        if self._grammar:
            llama_cpp.llama_sampler_free(self._grammar)
            self._grammar = None

    def _best(self, scores: NDArray[np.float32], ids: NDArray[Any]) -> int:
        """The likeliest of some tokens that fits; -1 where none does."""
        table, self._every.size = self._table[: len(ids)], len(ids)
        table["id"] = ids
        table["logit"] = scores[ids]
        self._apply(self._every)
        best = int(table["logit"].argmax())
        return int(table["id"][best]) if np.isfinite(table["logit"][best]) else -1

    def _is_control(self, token: int) -> bool:
        import llama_cpp

        if (known := self._control.get(token)) is None:
            known = self._control[token] = bool(llama_cpp.llama_vocab_is_control(self._vocabulary, token))
        return known

    def _array(self, data: Any, size: int) -> Any:
        """What llama.cpp calls a list of candidates, over `data`."""
        import llama_cpp

        array: Any = llama_cpp.llama_token_data_array()
        array.data = ctypes.cast(data, type(array.data))
        array.size = size
        return array

    def _apply(self, array: Any) -> None:
        import llama_cpp

        array.selected, array.sorted = -1, False
        llama_cpp.llama_sampler_apply(self._grammar, ctypes.byref(array))
