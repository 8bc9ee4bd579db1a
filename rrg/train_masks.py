"""What the mask head learns: the true masks of an answer's tags, in the order of the tags."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rrg.anatomy import LABELS, covers
from rrg.boxes import Dialect
from rrg.errors import RrgError, UsageError
from rrg.model.mask_head import CLOSE, FOLDER, Loss, MaskHead, Shape, load_head, mask_loss
from rrg.model.taps import Taps
from rrg.prompt import render
from rrg.records import Mask, Mention, Region, Sample
from rrg.store import read


class Wanted(NamedTuple):
    """The masks of one sample's tags."""

    masks: Tensor
    """(tags, side, side) uint8: share of each pixel, 255 is all of it."""
    picture: int
    """Number of the picture, among those that the chat shows, that all tags speak of."""


class Targets:
    """True masks of samples, from the mask records of a data set."""

    def __init__(self, dataset: Path, masks: Iterable[Mask], dialect: Dialect, side: int) -> None:
        self._store, self._dialect, self._side = dataset / "store", dialect, side
        self._by_slice: dict[str, list[Mask]] = {}
        self._made: dict[str, Wanted] = {}
        for mask in masks:
            self._by_slice.setdefault(mask.slice, []).append(mask)

    def known(self, samples: Iterable[Sample]) -> tuple[Sample, ...]:
        """The samples without tags, and those of whose tags each has a phrase and a mask of its own."""
        return tuple(sample for sample in samples if self._is_known(sample))

    def learnable(self, samples: Iterable[Sample]) -> tuple[Sample, ...]:
        """The known samples; their masks are made at once. UsageError when none of them has a tag."""
        found = self.known(samples)
        if found and not sum(len(self.of(sample).masks) for sample in found):
            raise UsageError(
                "--grounding mask: no sample has a phrase with a mask; run rrg segment and rrg synth-ground before pack"
            )
        return found

    def by_id(self, sample: str) -> Wanted:
        """The masks of a sample that `of` or `learnable` has made."""
        return self._made[sample]

    def of(self, sample: Sample) -> Wanted:
        """The masks of a known sample, the i-th for its i-th tag. Each is made once."""
        if sample.id not in self._made:
            chat = render(sample, self._dialect)
            made = [self._mask(sample, tag) for tag in chat.tags]
            empty = torch.zeros(0, self._side, self._side, dtype=torch.uint8)
            number = chat.images.index(sample.images[0].id) if chat.tags else 0
            self._made[sample.id] = Wanted(torch.stack(made) if made else empty, number)
        return self._made[sample.id]

    def _is_known(self, sample: Sample) -> bool:
        chat = render(sample, self._dialect)
        return not chat.tags or (
            sample.images[0].id in chat.images
            and all(tag.phrase for tag in chat.tags)
            and all(self._drawn(sample, region) for tag in chat.tags for region in _regions(sample, tag))
        )

    def _drawn(self, sample: Sample, region: Region) -> tuple[str, list[int]] | None:
        """(array, class ids in it) of a region, or None."""
        names = {region.label, *(covers(region.label) if region.label in LABELS else ())}
        for mask in self._by_slice.get(sample.images[0].slice or "", ()):
            ids = [found.class_id for found in mask.labels if found.label in names]
            if ids and region.mask in (None, mask.array):
                return mask.array, ids
        return None

    def _mask(self, sample: Sample, tag: Mention) -> Tensor:
        """(side, side) uint8 of all regions of a tag."""
        whole = np.zeros((sample.images[0].rows, sample.images[0].columns), np.bool_)
        for region in _regions(sample, tag):
            found = self._drawn(sample, region)
            assert found is not None, "asked for a sample that is not known"
            whole |= np.isin(read(self._store, found[0]), found[1]).any(0)
        return shares(whole, self._side)


def _regions(sample: Sample, tag: Mention) -> list[Region]:
    return [region for region in tag.regions if region.image == sample.images[0].id and region.boxes]


def shares(mask: NDArray[np.bool_], side: int) -> Tensor:
    """(rows, columns) -> (side, side) uint8: the share of the mask in each cell, 255 is all."""
    planes = torch.from_numpy(mask.astype(np.float32))[None, None]
    return functional.adaptive_avg_pool2d(planes, side)[0, 0].mul(255).round().to(torch.uint8)


class MaskTask(NamedTuple):
    """A mask head that learns beside the answers."""

    head: MaskHead
    close: int
    """Id of ``</seg>``."""
    kind: Loss
    weight: float

    def loss(self, taps: Taps, tokens: Tensor, wanted: Sequence[Wanted], pictures: Sequence[int]) -> Tensor:
        """The weighted loss of all tags of a batch after its forward pass under `taps`; 0 without tags.

        `tokens`: (sequences, length); `wanted`: of each sample, in the order of their tags along
        the sequences; `pictures`: number of each sample's first picture in the batch.
        """
        rows, columns = (tokens == self.close).nonzero(as_tuple=True)
        picture = [first + each.picture for each, first in zip(wanted, pictures, strict=True) for _ in each.masks]
        if len(rows) != len(picture):
            raise AssertionError(f"{len(rows)} tags in the tokens, {len(picture)} masks")
        if not picture:
            return sum((weight.sum() * 0 for weight in self.head.parameters()), torch.zeros(()))
        device = taps.features.device
        found = self.head(taps.features, taps.states[rows, columns], torch.tensor(picture, device=device))
        truth = torch.cat([each.masks for each in wanted]).to(device).float() / 255
        return self.weight * mask_loss(found, truth, self.kind)[0]

    def matrices(self) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
        """(matrices of the decoder's blocks, all other weights), as the optimiser of the tiny family takes them."""
        blocks = {id(each) for each in self.head.decoder.transformer.parameters() if each.ndim == 2}
        weights = list(self.head.parameters())
        return [each for each in weights if id(each) in blocks], [each for each in weights if id(each) not in blocks]


def head_of(base: Path | None, shape: Shape, seed: int) -> MaskHead:
    """The head of a weights folder, or a new one. UsageError when the folder's does not fit the model."""
    if base is not None and (base / FOLDER / "config.json").is_file():
        head = load_head(base)
        if (head.shape.features, head.shape.text, head.shape.grid) != (shape.features, shape.text, shape.grid):
            raise UsageError(f"{base}: its mask head is of another model; start from the run folder that made it")
        return head.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MaskHead(shape)


def mask_task(tokenizer: Any, head: MaskHead, kind: Loss, weight: float) -> MaskTask:
    """The task of a head. RrgError when the vocabulary has no tag."""
    close = tokenizer.convert_tokens_to_ids(CLOSE)
    if close is None or close == tokenizer.unk_token_id:
        raise RrgError(f"the vocabulary has no {CLOSE}; train again with --grounding mask", "E_MODEL")
    return MaskTask(head, int(close), kind, weight)


class Teaching(NamedTuple):
    """A head, and the masks it learns from."""

    task: MaskTask
    targets: Targets
    continued: bool
    """The head has learnt before, on plain features."""

    def loss(self, taps: Taps, tokens: Tensor, samples: Sequence[str], pictures: Sequence[int]) -> Tensor:
        """As `MaskTask.loss`, of samples (by id) that `Targets.learnable` has seen."""
        return self.task.loss(taps, tokens, [self.targets.by_id(name) for name in samples], pictures)


def teaching_of(
    dataset: Path,
    masks: Iterable[Mask],
    dialect: Dialect,
    shape: Shape,
    tokenizer: Any,
    *,
    base: Path | None,
    kind: Loss,
    weight: float,
    seed: int,
) -> Teaching | None:
    """What a stage needs to teach masks; None in dialects that write boxes as text."""
    if dialect.kind != "seg":
        return None
    head = head_of(base, shape, seed)
    continued = base is not None and (base / FOLDER).is_dir()
    targets = Targets(dataset, masks, dialect, head.shape.side)
    return Teaching(mask_task(tokenizer, head, kind, weight), targets, continued)
