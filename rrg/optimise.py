"""The optimiser of the training stages, and its schedule."""

import math
from collections.abc import Iterable

import torch
from torch.nn import Parameter

MATRIX_RATE = 20.0
"""Learning rate of matrices inside blocks, as a multiple of that of all other weights."""
DECAY = 0.01


class Optimiser:
    """Muon for the matrices inside of blocks, AdamW for embeddings, heads, norms and biases; one schedule for both.

    Muon (Jordan et al. 2024) orthogonalises the momentum of a matrix; small transformers need far fewer steps with it.
    """

    def __init__(self, matrices: Iterable[Parameter], others: Iterable[Parameter], rate: float, steps: int) -> None:
        self._steps = steps
        self._weights = [*matrices], [*others]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if self._weights[0]:
            muon = torch.optim.Muon(self._weights[0], lr=rate * MATRIX_RATE, weight_decay=DECAY)
            self._parts.append((muon, rate * MATRIX_RATE))
        if self._weights[1]:
            adam = torch.optim.AdamW(self._weights[1], lr=rate, weight_decay=DECAY, betas=(0.9, 0.98), fused=True)
            self._parts.append((adam, rate))

    def step(self, loss: torch.Tensor, step: int) -> None:
        """Go down the gradient of `loss`, cut to norm 1, at the rate that belongs to `step`."""
        for part, peak in self._parts:
            part.zero_grad()
            for group in part.param_groups:
                group["lr"] = peak * warm_cosine(step, self._steps)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([weight for part in self._weights for weight in part], 1.0)
        for part, _ in self._parts:
            part.step()


def split_matrices(parameters: Iterable[Parameter]) -> tuple[list[Parameter], list[Parameter]]:
    """(matrices, all others) of the parameters of blocks."""
    weights = list(parameters)
    return [each for each in weights if each.ndim == 2], [each for each in weights if each.ndim != 2]


def warm_cosine(step: int, steps: int) -> float:
    """Share of the peak learning rate: 50 steps (at most a tenth) of warm-up, then half a cosine down to 0."""
    warm = min(50, max(1, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
