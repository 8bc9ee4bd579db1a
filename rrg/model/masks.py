"""Masks of an answer that a model wrote: the chat is read once more, and the head is asked at each ``</seg>``."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rrg.model.mask_head import MaskHead


class Found(NamedTuple):
    """The masks of an answer's tags, in their order."""

    logits: Tensor
    """(tags, side, side) of the whole picture."""
    overlap: tuple[float, ...]
    """What the head expects of each mask's overlap with the truth, 0..1."""

    def on(self, rows: int, columns: int) -> NDArray[np.bool_]:
        """(tags, rows, columns): the masks on the grid of the slice."""
        if not len(self.logits):
            return np.zeros((0, rows, columns), np.bool_)
        share = self.logits.sigmoid()[:, None]
        full = functional.interpolate(share, (rows, columns), mode="bilinear", align_corners=False)
        found: NDArray[np.bool_] = (full[:, 0] > 0.5).numpy()
        return found


def masks_at(head: MaskHead, features: Tensor, states: Tensor, places: Any, picture: int) -> Found:
    """Ask for the masks at `places` of one sequence of `states` (1, length, width), all of one picture."""
    if not len(places):
        side = head.shape.side
        return Found(torch.zeros(0, side, side), ())
    made = head(features, states[0, places], torch.full((len(places),), picture))
    return Found(made.logits.float(), tuple(made.overlap.clamp(0, 1).tolist()))
