"""Probabilities of written tokens from llama.cpp's scores."""

import numpy as np
from numpy.typing import NDArray

SHARES = 32
"""Tokens whose probabilities are reckoned together."""


class Shares:
    """Probabilities of the tokens that were written, reckoned for several at a time: it costs less."""

    def __init__(self, size: int) -> None:
        self._scores = np.empty((min(SHARES, max(1, (1 << 22) // size)), size), np.float32)
        self._tokens: list[int] = []
        self._done: list[float] = []

    def add(self, scores: NDArray[np.float32], token: int) -> None:
        """The scores (vocabulary,) that `token` was chosen by; they are copied."""
        self._scores[len(self._tokens)] = scores
        self._tokens.append(token)
        if len(self._tokens) == len(self._scores):
            self._reckon()

    def told(self) -> list[float]:
        """Of all tokens so far, in order."""
        self._reckon()
        return self._done

    def _reckon(self) -> None:
        if count := len(self._tokens):
            block = self._scores[:count]
            block -= block[np.arange(count), self._tokens][:, None]
            self._done += (1 / np.exp(block, out=block).sum(axis=1, dtype=np.float64)).tolist()
            self._tokens.clear()
