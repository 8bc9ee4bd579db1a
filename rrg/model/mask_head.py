"""The mask head: a two-way decoder over the tower's features, asked by the language model's state at ``</seg>``.

The decoder is SAM's as transformers has it (Kirillov et al. 2023); RadGrounder's segmentation variant asks it so. The
i-th ``</seg>`` of an answer is the i-th prompt and so the i-th mask: no matching is left to do.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rrg.errors import RrgError

CLOSE = "</seg>"
"""The token whose state asks for a mask."""
FOLDER = "mask_head"
"""Inside of the folder of a model's weights."""
FINER = 4
"""Mask pixels per patch and side: the decoder doubles the grid twice."""
Loss = Literal["bce", "focal"]


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a head."""

    features: int
    """Width of the tower's features."""
    text: int
    """Width of the language model."""
    grid: int
    """Patches per side."""
    width: int = 128
    heads: int = 8
    blocks: int = 2

    @property
    def side(self) -> int:
        """Masks are `side` x `side` pixels of the whole picture."""
        return FINER * self.grid


class Masks(NamedTuple):
    """What the head says of n tags."""

    logits: Tensor
    """(n, side, side)."""
    overlap: Tensor
    """(n,) the overlap (IoU) with the truth that it expects."""


class MaskHead(nn.Module):
    """See above."""

    def __init__(self, shape: Shape) -> None:
        from transformers.models.sam.configuration_sam import SamMaskDecoderConfig
        from transformers.models.sam.modeling_sam import SamMaskDecoder

        super().__init__()
        self.shape = shape
        config = SamMaskDecoderConfig(
            hidden_size=shape.width,
            mlp_dim=4 * shape.width,
            num_hidden_layers=shape.blocks,
            num_attention_heads=shape.heads,
            num_multimask_outputs=0,
            iou_head_hidden_dim=shape.width,
        )
        config._attn_implementation = "eager"
        self.neck = nn.Linear(shape.features, shape.width)
        self.norm = nn.LayerNorm(shape.width)
        self.prompt = nn.Sequential(nn.Linear(shape.text, shape.width), nn.GELU(), nn.Linear(shape.width, shape.width))
        self.decoder: Any = SamMaskDecoder(config)
        self.register_buffer("places", places(shape.grid, shape.width), persistent=False)
        self.places: Tensor

    def forward(self, features: Tensor, states: Tensor, picture: Tensor) -> Masks:
        """Masks of n tags.

        `features`: (pictures, patches, tower width), `states`: (n, text width) at ``</seg>``, `picture`: (n,) number of
        the picture that each tag speaks of.
        """
        grid = self.shape.grid
        seen = self.norm(self.neck(features.float()))  # (pictures, patches, width)
        planes = seen.mT.unflatten(2, (grid, grid))[picture]  # (n, width, grid, grid)
        made = self.decoder(
            image_embeddings=planes,
            image_positional_embeddings=self.places.expand(len(planes), -1, -1, -1),
            sparse_prompt_embeddings=self.prompt(states.float())[:, None, None],  # one prompt, one token
            dense_prompt_embeddings=torch.zeros_like(planes),
            multimask_output=False,
        )
        return Masks(made[0][:, 0, 0], made[1][:, 0, 0])


def places(grid: int, width: int) -> Tensor:
    """(1, width, grid, grid) sines and cosines of row and column, fixed."""
    rates = torch.exp(torch.linspace(0, math.log(grid), width // 4)) * math.pi
    waves = ((torch.arange(grid) + 0.5) / grid)[:, None] * rates
    axis = torch.cat([waves.sin(), waves.cos()], 1)  # (grid, width / 2)
    both = torch.cat([axis[:, None].expand(-1, grid, -1), axis[None].expand(grid, -1, -1)], 2)
    return both.permute(2, 0, 1)[None]


def mask_loss(masks: Masks, wanted: Tensor, kind: Loss = "bce") -> tuple[Tensor, Tensor]:
    """(loss, mean IoU) of n masks against `wanted` (n, side, side), shares of each pixel in 0..1.

    BCE or focal loss (gamma 2, alpha 0.25: Lin et al. 2017) + Dice, and the error of the expected overlap.
    """
    bce = functional.binary_cross_entropy_with_logits(masks.logits, wanted, reduction="none")
    share = masks.logits.sigmoid()
    if kind == "focal":
        wrong = (share - wanted).abs()
        bce = bce * wrong**2 * (0.25 * wanted + 0.75 * (1 - wanted))
    both, either = (share * wanted).sum((1, 2)), (share + wanted).sum((1, 2))
    dice = 1 - (2 * both + 1) / (either + 1)
    overlap = iou(masks.logits.detach() > 0, wanted > 0.5)
    guess = functional.mse_loss(masks.overlap, overlap)
    return bce.mean((1, 2)).mean() + dice.mean() + guess, overlap.mean()


def iou(found: Tensor, wanted: Tensor) -> Tensor:
    """(n,) intersection over union of (n, side, side) masks; 1 where both are empty."""
    both, either = (found & wanted).sum((1, 2)).float(), (found | wanted).sum((1, 2)).float()
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def save_head(head: MaskHead, folder: Path) -> None:
    """Write the head into the weights folder of a run."""
    from safetensors.torch import save_file

    target = folder / FOLDER
    target.mkdir(parents=True)
    (target / "config.json").write_text(json.dumps(dataclasses.asdict(head.shape), indent=1) + "\n", encoding="utf-8")
    save_file({name: value.contiguous() for name, value in head.state_dict().items()}, target / "model.safetensors")


def load_head(folder: Path) -> MaskHead:
    """The head in the weights folder of a run. RrgError(E_MODEL) when there is none, or it is not whole."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        shape = Shape(**json.loads((folder / FOLDER / "config.json").read_text(encoding="utf-8")))
        head = MaskHead(shape)
        head.load_state_dict(load_file(folder / FOLDER / "model.safetensors"))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError):
        raise RrgError(
            f"{folder}: no whole mask head inside; copy the run folder again, or train again", "E_MODEL"
        ) from None
    return head.eval()
