"""The validation split while a model folder learns: its loss, what is written to a few, and the best weights so far."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from rrg.model.family import mean_losses, written
from rrg.prompt_context import with_context
from rrg.records import Sample
from rrg.train_family_data import Source, encoded, on, usable
from rrg.train_samples import TOKENS, Look, chosen, look, quiet_model
from rrg.train_stages import Going
from rrg.train_state import Weights

VALIDATION = 32
"""Samples of the validation split behind ``val_loss``, from all of it."""
DECIDING = 256
"""The same where the loss decides what is kept."""


def validate(model: Any, stage: str, step: int, samples: Sequence[Sample], source: Source, going: Going) -> float:
    """Mean loss of samples of the validation split that fit, and what the model writes to a few. The loss, or NaN."""
    if not samples or not (going.devices.first or going.fsdp):
        return math.nan
    loaded, context, device = source.loaded, source.options.context, going.devices.device()
    samples = [with_context(sample, "none" if source.options.prefix == "none" else "both") for sample in samples]
    what = Look(
        [sample for sample in chosen(samples) if usable(encoded(sample, loaded, source.pictures), context)],
        lambda sample: [source.pictures.of(image) for image in sample.images],
        loaded.dialect,
    )
    losses = []
    with quiet_model(model):
        count = VALIDATION if source.options.keep == "last" else DECIDING
        for sample in spread(samples, count):
            made = encoded(sample, loaded, source.pictures)
            if usable(made, context):
                losses.append(float(mean_losses(model, on(device, made.inputs))))
        loss = sum(losses) / len(losses) if losses else math.nan
        if losses:
            going.log.write(stage, step, {"val_loss": loss})
        if going.fsdp:
            return loss  # writing calls blocks past the hooks that make them whole
        look(going.log, stage, step, what, lambda shown, prompt: written(loaded, context, shown, prompt, TOKENS).raw)
    return loss


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most `count` of the samples, from all of them at equal steps."""
    count = min(count, len(samples))
    return [samples[number * len(samples) // count] for number in range(count)]


class Best:
    """Weights that learn, as they were at the lowest loss so far: what is kept when little data is learnt by heart long
    before the steps are over. A part of checkpoints.
    """

    def __init__(self, *modules: torch.nn.Module) -> None:
        self._weights = [Weights(module) for module in modules]
        self._state: dict[str, Any] = {"loss": math.inf, "step": 0, "weights": [], "no_better": 0}

    def state_dict(self) -> dict[str, Any]:
        """Loss, step, weights, and looks since then."""
        return self._state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self._state = state

    def look(self, step: int, loss: float) -> None:
        """Remember the weights when `loss` is lower than all before; one that is no number never is."""
        self._state["no_better"] += 1
        if loss < self._state["loss"]:
            held = [{name: value.detach().to("cpu", copy=True) for name, value in each.state_dict().items()}
                    for each in self._weights]  # fmt: skip
            self._state = {"loss": loss, "step": step, "weights": held, "no_better": 0}

    @property
    def no_better(self) -> int:
        """Looks in a row, up to now, that had no lower loss."""
        return int(self._state["no_better"])

    def restore(self) -> str:
        """Put the weights back, and say which they are. Without a loss at any look nothing changes."""
        if not self._state["step"]:
            return "no look had a loss, the last weights stay"
        for each, state in zip(self._weights, self._state["weights"], strict=True):
            each.load_state_dict(state)
        return f"kept step {self._state['step']}, validation loss {self._state['loss']:.3f}"
