"""The tower stage: masks teach the vision tower what lies in each patch, and where the whole structure is.

Dense labels per patch (share of each class, box of the structure there) come with every mask and are a far stronger
teacher than the loss on text: a tower trained together with the language model does not find the image in that time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from rrg.model.tiny import normalised, tower_features
from rrg.optimise import Optimiser, split_matrices
from rrg.train_cache import Features, pixel_hash
from rrg.train_devices import ALONE, Devices
from rrg.train_log import say
from rrg.train_speed import forecast, timed
from rrg.train_state import Draws, Stateful, Weights

ZOOM, SHIFT, GAIN, NOISE = 0.1, 0.04, 0.1, 0.02
"""Augmentation: zoom by up to 10 % either way, shift by up to 4 % of the side, contrast by 10 %, noise in [-1, 1]."""


Going = Callable[[Mapping[str, Stateful]], Iterable[int]]
"""Parts of a stage that its steps change -> the steps that are left."""


class Dense(NamedTuple):
    """What masks say about n slices and `classes` structures."""

    pictures: Tensor
    """(n, side, side, 3) uint8."""
    maps: Tensor
    """(n, layers, side, side) uint8: class number + 1; 0 is none."""
    boxes: Tensor
    """(n, classes, 4) float: x0 y0 x1 y1 as shares of the picture; not a number where the class is not there."""
    known: Tensor
    """(n, classes) bool: the class was looked for on this slice."""

    @property
    def classes(self) -> int:
        """Number of structures."""
        return self.boxes.shape[1]


class View(NamedTuple):
    """One zoomed and shifted view per slice: picture coordinate -> (coordinate - 0.5) * zoom + 0.5 + shift."""

    zoom: Tensor
    """(n,)"""
    shift: Tensor
    """(n, 2) x, y as shares of the side."""

    def boxes(self, boxes: Tensor) -> Tensor:
        """(n, classes, 4) boxes in the view, cut at its edges."""
        shift = self.shift.repeat(1, 2)[:, None]
        return ((boxes - 0.5) * self.zoom[:, None, None] + 0.5 + shift).clamp(0, 1)

    def sample(self, planes: Tensor, mode: str) -> Tensor:
        """(n, channels, side, side) resampled; `mode` is bilinear or nearest. Outside is the edge's value."""
        theta = torch.zeros(len(planes), 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = 1 / self.zoom
        theta[:, :, 2] = -2 * self.shift / self.zoom[:, None]
        grid = functional.affine_grid(theta, list(planes.shape), align_corners=False)
        return functional.grid_sample(planes, grid, mode=mode, padding_mode="border", align_corners=False)


def random_view(count: int, generator: torch.Generator, zoom: float, shift: float) -> View:
    """Views with zoom in 1 +- `zoom` and shifts in +- `shift`."""
    factor = 1 + zoom * (2 * torch.rand(count, generator=generator) - 1)
    return View(factor, shift * (2 * torch.rand(count, 2, generator=generator) - 1))


def patch_shares(maps: Tensor, classes: int, patch: int) -> Tensor:
    """(n, layers, side, side) class numbers + 1 -> (n, patches, classes) share of each class in each patch."""
    count, layers, side, _ = maps.shape
    grid = side // patch
    cells = maps.view(count, layers, grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5).reshape(count, grid**2, -1)
    shares = torch.zeros(count, grid**2, classes + 1)
    shares.scatter_add_(2, cells.long(), torch.full(cells.shape, 1.0 / patch**2))
    return shares[..., 1:].clamp(max=1)


def dense_loss(out: Tensor, shares: Tensor, boxes: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, box error) of the head's output (n, patches, classes * 5).

    A patch is asked whether it holds any of a structure, however little: what is there at its edge is what questions
    on presence turn on. A structure's box is asked of the patches that hold at least half as much of it as its fullest
    patch. Box error: mean corner distance, share of the side.
    """
    classes = shares.shape[-1]
    target = (shares > 0).float()
    guess, box = out[..., :classes], out[..., classes:].reshape(*out.shape[:-1], classes, 4)
    share_loss = functional.binary_cross_entropy_with_logits(guess, target, reduction="none")
    share_loss = (share_loss * known[:, None]).sum() / (known.sum() * shares.shape[1]).clamp(min=1)
    fullest = shares.amax(1, keepdim=True)
    here = (shares >= 0.5 * fullest) & (fullest > 0) & ~boxes[:, None, :, 0].isnan()
    weight = here / here.sum(1, keepdim=True).clamp(min=1)
    distance = (box - boxes.nan_to_num()[:, None]).abs().mean(-1)
    box_error = (distance * weight).sum() / weight.sum().clamp(min=1)
    return 10 * share_loss + 10 * box_error, box_error.detach()


def train_tower(
    tower: Any,
    dense: Dense,
    *,
    patch: int,
    steps: int,
    batch: int,
    rate: float,
    precision: str,
    generator: torch.Generator,
    report: Callable[[int, dict[str, float], Sequence[int]], None],
    going: Going | None = None,
    devices: Devices = ALONE,
) -> torch.nn.Linear:
    """Train all blocks of `tower` but the last, which LLaVA does not read. Returns the head; no later stage needs it.

    `report` gets step, values and the numbers of the slices, before the weights change. `going` gives the steps that
    are left, from all that they change. Of several processes each reads its part of a batch; the loss is of all.
    """
    head = torch.nn.Linear(tower.config.hidden_size, dense.classes * 5)
    tower.encoder.layers[-1].requires_grad_(False)
    matrices, others = split_matrices(tower.encoder.layers[:-1].parameters())
    optimiser = Optimiser(
        matrices, [*others, *tower.embeddings.parameters(), *head.parameters()], rate, steps, precision
    )
    parts: dict[str, Stateful] = {
        "weights": Weights(tower),
        "head": head,
        "optimiser": optimiser,
        "draws": Draws(generator),
    }
    seconds = timed(lambda: optimiser.backward(head(tower_features(tower, normalised(dense.pictures[:batch]))).mean()))
    say(forecast("tower", steps, seconds, optimiser.weights, "muon"))
    for step in going(parts) if going is not None else range(steps):
        pick = torch.randint(len(dense.pictures), (batch,), generator=generator)
        pixels, maps, boxes = augmented(dense, pick, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            out = head(tower_features(tower, devices.slice_of(pixels))).float()
        whole = devices.joined(out)
        loss, box_error = dense_loss(whole, patch_shares(maps, dense.classes, patch), boxes, dense.known[pick])
        report(step, {"loss": loss.item(), "box_error": box_error.item()}, pick.tolist())
        optimiser.backward(loss)
        devices.add_gradients(optimiser.weights)
        optimiser.clip()
        optimiser.update(step)
    return head


def augmented(dense: Dense, pick: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (n, 3, side, side) in about [-1, 1], maps and boxes of randomly zoomed and shifted slices. No flips."""
    view = random_view(len(pick), generator, ZOOM, SHIFT)
    pixels = view.sample(normalised(dense.pictures[pick]), "bilinear")
    maps = view.sample(dense.maps[pick].float(), "nearest").to(torch.uint8)
    gain = 1 + GAIN * (2 * torch.rand(len(pick), 1, 1, 1, generator=generator) - 1)
    pixels = pixels * gain + NOISE * torch.randn(pixels.shape, generator=generator)
    return pixels, maps, view.boxes(dense.boxes[pick])


@torch.no_grad()
def cached_features(tower: Any, pictures: Tensor, keep: Features | None = None, batch: int = 64) -> Tensor:
    """(n, side, side, 3) uint8 -> (n, patches, width) float16 features of a tower that no longer changes."""
    made = []
    for part in torch.split(pictures, batch):
        compute = partial(_features, tower, part)
        made.append(compute() if keep is None else keep.of([pixel_hash(each) for each in part], compute))
    return torch.cat(made)


def _features(tower: Any, part: Tensor) -> Tensor:
    return tower_features(tower, normalised(part)).half()


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """(width,) mean and standard deviation of (n, patches, width) features."""
    values = features.float().flatten(0, 1)
    return values.mean(0), values.std(0).clamp(min=1e-4)


@torch.no_grad()
def fold(linear: torch.nn.Linear, mean: Tensor, std: Tensor) -> None:
    """Make a layer that was trained on (features - mean) / std take plain features: W / s, b - W m / s."""
    linear.weight.div_(std)
    linear.bias.sub_(linear.weight @ mean)


@torch.no_grad()
def unfold(linear: torch.nn.Linear, mean: Tensor, std: Tensor) -> None:
    """Inverse of `fold`."""
    linear.bias.add_(linear.weight @ mean)
    linear.weight.mul_(std)
