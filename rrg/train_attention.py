"""Another way to compute attention must be the same attention: one batch through it and through the plain one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rrg.errors import RrgError, UsageError
from rrg.model.family import answer_loss
from rrg.train_log import say

TOLERANCE = {"f32": 1e-3, "bf16": 2e-2}
"""Largest relative difference of the loss, by precision."""


def choose_attention(model: Any, name: str, batch: Mapping[str, Tensor], precision: str) -> None:
    """Switch the model to attention `name` and check it on one batch against eager. ``auto`` changes nothing.

    UsageError when this model or machine has none of that name, RrgError(E_MODEL) when the losses differ.
    """
    if name == "auto":
        return
    model.eval()
    losses = {}
    for each in ("eager", name):
        try:
            model.set_attn_implementation(each)
            with torch.inference_mode(), torch.autocast(
                batch["input_ids"].device.type, torch.bfloat16, enabled=precision == "bf16"
            ):  # fmt: skip
                losses[each] = float(answer_loss(model, batch))
        except (ImportError, ValueError, RuntimeError, NotImplementedError) as error:
            raise UsageError(f"--attn {each}: {str(error).splitlines()[0]}") from None
    apart = abs(losses[name] - losses["eager"]) / max(abs(losses["eager"]), 1e-6)
    if not apart <= TOLERANCE[precision]:
        raise RrgError(
            f"--attn {name}: the loss of the first batch is {losses[name]:.5f}, with eager {losses['eager']:.5f}; "
            "take --attn eager",
            "E_MODEL",
        )
    say(f"attention {name}: loss as with eager to {apart:.1e}")
