"""Masks against masks: overlap, surface distances, lesions. Pictures are opened one pair at a time and not kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError, UsageError
from rrg.formats.items import Item
from rrg.formats.mask_rows import Mask, MaskSource, load
from rrg.metrics.bootstrap import Array, ratio
from rrg.metrics.mask_instances import instances
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Block, Scored, Sums

Scores = dict[str, float | None]
NO_SPACING = "no spacing: give it in the reference rows, in a NIfTI header or by --spacing"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a pair of masks is measured."""

    both_empty: float | None
    """Dice and IoU of two empty masks; None leaves the item out."""
    dice_of_iou: bool = False
    """Dice = 2 IoU / (1 + IoU), as MedPLIB computes it."""
    distances: Callable[[Mask, Mask, Sequence[float], Sequence[float]], Scores] | None = None
    lesions: bool = False
    taus_mm: tuple[float, ...] = ()
    spacing_mm: tuple[float, ...] | None = None
    """Of masks that do not say theirs."""
    connectivity: int | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One pair."""

    shared: int
    prediction: int
    reference: int
    """Pixels."""
    scores: Scores = field(default_factory=dict)
    spaced: bool = True
    """Its spacing is known."""
    iou_sum: float = 0.0
    """Over its matched lesions."""


def numbers(text: str, name: str, least: float = 0.0) -> tuple[float, ...]:
    """``A,B`` of an option as numbers above `least`. UsageError for anything else."""
    try:
        found = tuple(float(each) for each in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(least < each < float("inf") for each in found):
        raise UsageError(f"--{name} {text}: expected positive numbers, with commas between")
    return found


def spacing_of(options: TaskOptions) -> tuple[float, ...] | None:
    """``--spacing`` in mm along each axis."""
    if options.spacing is None:
        return None
    found = numbers(options.spacing, "spacing")
    if len(found) not in (2, 3):
        raise UsageError(f"--spacing {options.spacing}: expected two or three numbers, mm along each axis of the array")
    return found


def both_empty_of(options: TaskOptions, default: str) -> float | None:
    """``--both-empty``, or the protocol's own rule."""
    value = options.both_empty or default
    return None if value == "exclude" else float(value)


@cache
def measured(reference: MaskSource, prediction: MaskSource | None, missing: bool, setting: Setting) -> Measured:
    """One pair, opened once. A prediction of None is an empty mask; a missing one never scores more than 0."""
    wanted, spacing = load(reference)
    said, own = (np.zeros_like(wanted), None) if prediction is None else load(prediction)
    if said.shape != wanted.shape:
        where = "" if prediction is None else f"{prediction.where}: "
        raise RrgError(f"{where}a mask of {said.shape}, its reference ({reference.where}) has {wanted.shape}")
    if spacing and own and not np.allclose(spacing, own, rtol=1e-3):
        raise RrgError(f"{reference.where}: spacing {spacing} mm, that of the prediction is {own} mm; which is right?")
    spacing = spacing or own or setting.spacing_mm
    if spacing is not None and len(spacing) != wanted.ndim:
        raise RrgError(f"{reference.where}: {len(spacing)} numbers of spacing, the mask has {wanted.ndim} dimensions")
    shared, a, b = int((wanted & said).sum()), int(said.sum()), int(wanted.sum())
    scores: Scores = {}
    iou_sum = 0.0
    if setting.lesions:
        found = instances(wanted, said, setting.connectivity)
        scores, iou_sum = {"tp": found.tp, "fp": found.fp, "fn": found.fn}, found.iou_sum
    else:
        scores = dict(zip(("dice", "iou"), _overlap(shared, a, b, missing, setting), strict=True))
    if setting.distances is not None and spacing is not None:
        scores |= setting.distances(wanted, said, spacing, setting.taus_mm)
        if missing:
            scores |= {name: 0.0 for name in scores if name.startswith("nsd")}
    return Measured(
        shared=shared, prediction=a, reference=b, scores=scores, spaced=spacing is not None, iou_sum=iou_sum
    )


def _overlap(shared: int, said: int, wanted: int, missing: bool, setting: Setting) -> tuple[float | None, float | None]:
    """Dice and IoU."""
    if said + wanted == 0:
        value = 0.0 if missing else setting.both_empty
        return value, value
    iou = shared / (said + wanted - shared)
    return (2 * iou / (1 + iou) if setting.dice_of_iou else 2 * shared / (said + wanted)), iou


def each(item: Item, setting: Setting) -> Measured:
    """The measures of an item."""
    return measured(item.reference.value, item.prediction, item.missing, setting)


def score(items: Sequence[Item], setting: Setting, names: Sequence[str]) -> list[Scored]:
    """All items; `names` are those of the distances, null where there is no spacing."""
    made = []
    for item in items:
        pair = each(item, setting)
        scores = {**pair.scores, **({} if pair.spaced else dict.fromkeys(names))}
        pixels = {"prediction": pair.prediction, "reference": pair.reference}
        made.append(Scored(scores=scores, extra={"pixels": pixels}))
    return made


def block(items: Sequence[Item], setting: Setting, names: Sequence[str]) -> Block:
    """From sums: ciou and empty masks, or panoptic quality. Distances are skipped when nothing has a spacing."""
    pairs = [each(item, setting) for item in items]
    if setting.lesions:
        return Block(sums=_panoptic(pairs))
    a, b = (np.array([getattr(pair, side) for pair in pairs], float) for side in ("prediction", "reference"))
    shared = np.array([pair.shared for pair in pairs], float)
    sums = {
        "ciou": Sums(stats=np.column_stack([shared, a + b - shared]), value=ratio),
        "empty.both": _count((a == 0) & (b == 0)),
        "empty.prediction": _count((a == 0) & (b > 0)),
        "empty.reference": _count((a > 0) & (b == 0)),
    }
    none = bool(names) and not any(pair.spaced for pair in pairs)
    return Block(sums=sums, skipped=dict.fromkeys(names, NO_SPACING) if none else {})


def _count(column: NDArray[Any]) -> Sums:
    return Sums(stats=column.astype(float)[:, None], value=lambda sums: np.asarray(sums[:, 0]))


def _panoptic(pairs: Sequence[Measured]) -> dict[str, Sums]:
    """tp, fp, fn; rq = tp / (tp + fp/2 + fn/2), sq = mean IoU of matched lesions, pq = rq x sq."""
    tp, fp, fn = (np.array([pair.scores[name] for pair in pairs], float) for name in ("tp", "fp", "fn"))
    iou = np.array([pair.iou_sum for pair in pairs])
    all_ = tp + fp / 2 + fn / 2
    stats: Mapping[str, tuple[Array, Array]] = {"rq": (tp, all_), "sq": (iou, tp), "pq": (iou, all_)}
    made = {name: _count(column) for name, column in (("tp", tp), ("fp", fp), ("fn", fn))}
    return made | {name: Sums(stats=np.column_stack(columns), value=ratio) for name, columns in stats.items()}


def check(items: Sequence[Item], setting: Setting) -> list[str]:
    """A warning when some masks have a spacing and others have none."""
    for item in items:
        if item.prediction is not None and item.prediction.where == item.reference.value.where:
            raise UsageError("masks needs two files: predictions and references")
    bare = sum(not each(item, setting).spaced for item in items)
    if setting.distances is None or bare in (0, len(items)):
        return []
    return [f"{bare} of {len(items)} masks have no spacing; they are left out of the distances"]
