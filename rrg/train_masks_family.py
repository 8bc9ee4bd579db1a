"""The mask head beside a family's model: its size found by one look, its masks moved with the pictures."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rrg.errors import UsageError
from rrg.model.family import Loaded
from rrg.model.mask_head import Shape
from rrg.model.taps import Taps, taps_of
from rrg.train_augment import View, moved_picture
from rrg.train_data import Part, Pictures
from rrg.train_family_data import Drawn, encoded
from rrg.train_family_options import Options
from rrg.train_masks import Teaching, Wanted, teaching_of

WIDTH = 256
"""Of the decoder, as SAM's."""


def family_parts(loaded: Loaded) -> tuple[str, str]:
    """Names of the projector and of the language model in a family's model."""
    return loaded.family.parts.projector[0].rstrip("."), loaded.family.parts.text[0].rstrip(".")


def family_teaching(
    dataset: Path, parts: Sequence[Part], loaded: Loaded, pictures: Pictures, options: Options, base: Path
) -> Teaching | None:
    """What a stage needs to teach masks; None where boxes are written as text.

    UsageError for a family whose towers can not be tapped.
    """
    if loaded.dialect.kind != "seg":
        return None
    first = next((sample for part in parts for sample in part.samples if sample.images), None)
    if first is None:
        raise UsageError("--grounding mask: no sample has a picture")
    taps = taps_of(loaded.model, *family_parts(loaded))
    inputs = {name: value for name, value in encoded(first, loaded, pictures).inputs.items() if name != "labels"}
    device = next(loaded.model.parameters()).device
    with torch.inference_mode(), taps:
        loaded.model(**{name: value.to(device) for name, value in inputs.items()}, use_cache=False, logits_to_keep=1)
    grid = math.isqrt(taps.features.shape[1])
    if taps.features.ndim != 3 or grid**2 != taps.features.shape[1]:
        raise UsageError("--grounding mask: the tower's patches are no square; take --grounding tokens")
    shape = Shape(taps.features.shape[-1], taps.states.shape[-1], grid, WIDTH)
    masks = [mask for part in parts for mask in part.masks]
    made = teaching_of(
        dataset, masks, loaded.dialect, shape, loaded.tokenizer, base=base, kind=options.mask_loss,
        weight=options.mask_weight, seed=options.seed,
    )  # fmt: skip
    if made is not None:
        made.task.head.to(device)
    return made


def drawn_loss(masks: Teaching, taps: Taps, tokens: Tensor, part: Sequence[Drawn]) -> Tensor:
    """The mask head's loss on the chats that have just passed the model under `taps`."""
    wanted = [moved(masks.targets.of(each.sample), each.view) for each in part]
    before = itertools.accumulate((each.encoded.pictures for each in part), initial=0)
    return masks.task.loss(taps, tokens, wanted, list(before)[: len(part)])


def moved(wanted: Wanted, view: View) -> Wanted:
    """The masks as a view of the picture shows them."""
    if view == View() or not len(wanted.masks):
        return wanted
    planes = [torch.from_numpy(np.array(moved_picture(mask.numpy(), view))) for mask in wanted.masks]
    return wanted._replace(masks=torch.stack(planes))
