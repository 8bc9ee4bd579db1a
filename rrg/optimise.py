"""The optimiser of the training stages, and its schedule."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

MATRIX_RATE = 20.0
"""Learning rate of matrices inside blocks, as a multiple of that of all other weights."""
DECAY = 0.01
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic step (Jordan et al. 2024), and how many steps are made."""
NEWTON_SCHULZ_STEPS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """(n, rows, columns) -> the same with all singular values near 1, by Newton-Schulz steps in its own precision."""
    a, b, c = NEWTON_SCHULZ
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    made = wide / wide.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = made @ made.mT
        made = torch.baddbmm(made, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), made, beta=a)
    found: Tensor = made if wide is matrices else made.mT
    return found


class Muon(torch.optim.Optimizer):
    """Momentum of matrices, orthogonalised (Jordan et al. 2024); matrices of one shape are worked on together.

    As `torch.optim.Muon`, but for the stacking, which takes a third of the time, and its products in `products`: on
    processors without bf16 tiles f32 is faster than its bf16, with them two to three times slower.
    """

    def __init__(
        self, matrices: Iterable[Parameter], rate: float, decay: float, products: torch.dtype = torch.float32
    ) -> None:
        self._products = products
        shapes: dict[torch.Size, list[Parameter]] = {}
        for each in matrices:
            shapes.setdefault(each.shape, []).append(each)
        super().__init__([{"params": same} for same in shapes.values()], {"lr": rate, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step down the gradients, which all matrices must have."""
        for group in self.param_groups:
            weights = group["params"]
            gradient = torch.stack([each.grad for each in weights])
            state = self.state[weights[0]]
            momentum = state.setdefault("momentum", torch.zeros_like(gradient))
            momentum.lerp_(gradient, 1 - MOMENTUM)
            update = orthogonal(gradient.lerp(momentum, MOMENTUM).to(self._products)).to(gradient.dtype)
            rows, columns = weights[0].shape
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, update.unbind(), alpha=-group["lr"] * math.sqrt(max(1, rows / columns)))


class Optimiser:
    """Muon for the matrices inside of blocks, AdamW for embeddings, heads, norms and biases; one schedule for both.

    Small transformers need far fewer steps with Muon than with AdamW alone. `precision` is that of Muon's products.
    """

    def __init__(
        self,
        matrices: Iterable[Parameter],
        others: Iterable[Parameter],
        rate: float,
        steps: int,
        precision: str = "f32",
    ) -> None:
        self._steps = steps
        self._weights = [*matrices], [*others]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if self._weights[0]:
            products = torch.bfloat16 if precision == "bf16" else torch.float32
            muon = Muon(self._weights[0], rate * MATRIX_RATE, DECAY, products)
            self._parts.append((muon, rate * MATRIX_RATE))
        if self._weights[1]:
            adam = torch.optim.AdamW(self._weights[1], lr=rate, weight_decay=DECAY, betas=(0.9, 0.98), fused=True)
            self._parts.append((adam, rate))

    @property
    def weights(self) -> list[Parameter]:
        """All that it changes."""
        return [weight for part in self._weights for weight in part]

    def step(self, loss: torch.Tensor, step: int) -> None:
        """Go down the gradient of `loss`, cut to norm 1, at the rate that belongs to `step`."""
        self.backward(loss)
        self.clip()
        self.update(step)

    def backward(self, loss: torch.Tensor) -> None:
        """The gradient of `loss` and of nothing before it."""
        for part, _ in self._parts:
            part.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]

    def clip(self) -> float:
        """Cut the gradient to norm 1; returns the norm it had."""
        return float(torch.nn.utils.clip_grad_norm_(self.weights, 1.0))

    def update(self, step: int) -> None:
        """Go down the gradient that is there."""
        for part, peak in self._parts:
            for group in part.param_groups:
                group["lr"] = peak * warm_cosine(step, self._steps)
        for part, _ in self._parts:
            part.step()

    def state_dict(self) -> list[Any]:
        """The states of both parts; the schedule is a function of the step."""
        return [part.state_dict() for part, _ in self._parts]

    def load_state_dict(self, state: list[Any]) -> None:
        """Inverse of `state_dict`."""
        for (part, _), one in zip(self._parts, state, strict=True):
            part.load_state_dict(one)


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
