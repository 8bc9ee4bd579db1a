"""The siglip stage of the tiny family and of model folders: which weights learn, and how pictures become features."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rrg.errors import UsageError
from rrg.model.contrast import Contrast
from rrg.model.tiny import normalised, tower_features
from rrg.optimise import Optimiser, split_matrices
from rrg.records import Sample
from rrg.train_data import Pictures
from rrg.train_log import say
from rrg.train_options import Options
from rrg.train_siglip import Order, Unit, check_units, contrast_steps, found_again, units_of
from rrg.train_stages import Going
from rrg.train_state import Draws, Stateful, Weights
from rrg.train_tower import GAIN, NOISE, SHIFT, ZOOM, random_view

WIDTH = 128
"""Of the space where both sides meet; of real towers 512."""


def siglip_stage(
    model: Any,
    tokenizer: Any,
    samples: tuple[Sequence[Sample], Sequence[Sample]],
    pictures: Pictures,
    options: Options,
    going: Going,
) -> None:
    """Report sentences teach the tiny tower; its unused last block stays as it is. `samples`: to learn, to check."""
    learn, check = units_to(samples, tokenizer, pictures, going)
    tower = model.model.vision_tower
    model.requires_grad_(False)
    tower.requires_grad_(True)
    tower.encoder.layers[-1].requires_grad_(False)
    torch.manual_seed(options.seed)
    contrast = Contrast(tower.config.hidden_size, model.get_input_embeddings().weight, WIDTH, open=True)
    matrices, others = split_matrices(tower.encoder.layers[:-1].parameters())
    others += [*tower.embeddings.parameters(), *contrast.parameters()]
    optimiser = Optimiser(matrices, others, options.siglip_rate, options.siglip_steps, options.precision)
    draws = torch.Generator().manual_seed(options.seed)

    def features(numbers: Sequence[int], *, moved: bool = False) -> Tensor:
        pixels = normalised(torch.from_numpy(np.stack([pictures.picture(number) for number in numbers])))
        return tower_features(tower, varied(pixels, draws) if moved else pixels)

    say(f"siglip: {len(learn)} slices with report sentences, {options.siglip_steps} steps of {options.siglip_batch}")
    order = Order(learn, options.siglip_batch, draws)
    parts: dict[str, Stateful] = {
        "weights": Weights(tower), "contrast": contrast, "optimiser": optimiser, "order": order, "draws": Draws(draws),
        "log": going.log,
    }  # fmt: skip
    contrast_steps(
        contrast,
        lambda numbers: features(numbers, moved=True),
        order,
        optimiser,
        steps=going.kept.steps("siglip", options.siglip_steps, parts),
        generator=draws,
        report=going.log.stage("siglip", options.siglip_steps),
    )
    told(contrast, features, check, options.siglip_steps, going)


def units_to(
    samples: tuple[Sequence[Sample], Sequence[Sample]], tokenizer: Any, pictures: Pictures, going: Going
) -> tuple[list[Unit], list[Unit]]:
    """Slices with sentences, to learn and to check. UsageError where there are none, or several processes."""
    if going.devices.count > 1:
        raise UsageError("--stages siglip: a batch can not be spread over processes; train this stage in one")
    learn, check = (units_of(each, tokenizer, pictures) for each in samples)
    check_units(learn)
    return learn, check


def varied(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """(n, 3, side, side) zoomed, shifted, with another contrast and noise, as in the tower stage. No flips."""
    moved = random_view(len(pixels), generator, ZOOM, SHIFT).sample(pixels, "bilinear")
    gain = 1 + GAIN * (2 * torch.rand(len(pixels), 1, 1, 1, generator=generator) - 1)
    return moved * gain + NOISE * torch.randn(moved.shape, generator=generator)


def told(
    contrast: Contrast, features: Callable[[Sequence[int]], Tensor], units: Sequence[Unit], step: int, going: Going
) -> None:
    """How well the validation split's slices find their sentences, into the metrics and as one line."""
    found = found_again(contrast.eval(), features, units)
    if found is None:
        return
    values = {"val_order": found.order, "val_first_of_5": found.first_of_5, "val_snippets": float(found.snippets)}
    going.log.write("siglip", step, values)
    say(
        f"siglip: of {found.snippets} unseen slices with different sentences {found.first_of_5:.2f} find theirs among "
        f"the best five (chance {5 / found.snippets:.2f}); it scores above another one in {found.order:.2f} "
        "(chance 0.50)"
    )
