"""The siglip stage of a model folder: report sentences of both languages adapt its tower."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rrg.errors import UsageError
from rrg.model.contrast import Contrast
from rrg.model.family import Loaded
from rrg.model.taps import taps_of
from rrg.optimise import Optimiser
from rrg.records import Sample
from rrg.train_data import Pictures
from rrg.train_family_options import Options
from rrg.train_log import say
from rrg.train_masks_family import family_parts
from rrg.train_siglip import Order, contrast_steps
from rrg.train_siglip_stage import told, units_to
from rrg.train_stages import Going
from rrg.train_state import Draws, Stateful, Weights

FAMILIES = ("llava", "paligemma", "gemma3")
"""Whose towers give a row of features per patch by one call."""
WIDTH = 512
"""Of the space where both sides meet."""


def family_siglip(
    model: Any,
    loaded: Loaded,
    samples: tuple[Sequence[Sample], Sequence[Sample]],
    pictures: Pictures,
    options: Options,
    going: Going,
) -> None:
    """All steps of the stage. The text side starts at the language model's embeddings, which stay as they are.

    `options.batch` slices a step: the more, the better sentences are told apart; memory grows with them.
    """
    if loaded.name not in FAMILIES:
        raise UsageError(f"--stages siglip: not for {loaded.family.title}; for {', '.join(FAMILIES)} and tiny")
    if going.features is not None:
        raise UsageError("--feature-cache: the siglip stage changes the tower; leave one of them out")
    learn, check = units_to(samples, loaded.tokenizer, pictures, going)
    device = next(model.parameters()).device
    taps = taps_of(model, *family_parts(loaded))

    def features(numbers: Sequence[int]) -> Tensor:
        from PIL import Image

        shown = [Image.fromarray(pictures.picture(number)) for number in numbers]
        pixels = loaded.processor.image_processor(images=shown, return_tensors="pt")["pixel_values"].to(device)
        with taps:
            model.get_image_features(pixel_values=pixels)
        return taps.features

    with torch.no_grad():
        width = features([learn[0].picture]).shape[-1]
    torch.manual_seed(options.seed)
    contrast = Contrast(width, model.get_input_embeddings().weight, WIDTH, open=False).to(device)
    tower = [each for each in model.parameters() if each.requires_grad]
    own = [each for each in contrast.parameters() if each.requires_grad]
    matrices = [each for each in own if each.ndim == 2 and each is not contrast.text.place]
    others = [each for each in own if each.ndim != 2 or each is contrast.text.place]
    optimiser = Optimiser(matrices, [*tower, *others], options.rate, options.steps)
    draws = torch.Generator().manual_seed(options.seed)
    say(f"siglip: {len(learn)} slices with report sentences, {options.steps} steps of {options.batch}")
    order = Order(learn, options.batch, draws)
    parts: dict[str, Stateful] = {
        "weights": Weights(model), "contrast": contrast, "optimiser": optimiser, "order": order, "draws": Draws(draws),
        "log": going.log,
    }  # fmt: skip
    model.train()
    contrast_steps(
        contrast,
        features,
        order,
        optimiser,
        steps=going.kept.steps("siglip", options.steps, parts),
        generator=draws,
        report=going.log.stage("siglip", options.steps),
    )
    model.eval()
    told(contrast, features, check, options.steps, going)
