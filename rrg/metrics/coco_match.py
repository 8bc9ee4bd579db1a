"""Detections matched to truths as pycocotools 2.0.11 matches them: all images, thresholds and areas at once.

Rule: per image and class the detections by falling score, the first 100; each takes the free truth of highest IoU that
reaches the threshold, the last one of equals. Truths that do not count (crowds, other sizes) are taken only where no
other is left; a crowd is never used up. Arrays here are flat, one row a box; the loop is over ranks, not images.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Area ranges in square pixels, both ends included, as in COCO."""
MAX_DETECTIONS = 100
EXACT = 1 - 1e-10
"""A threshold is never above this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truths:
    """Annotations of all images, grouped by class in file order."""

    image: Ints
    """(g,) index of the image."""
    category: Ints
    """(g,) index of the class."""
    xywh: Array
    """(g, 4) left, top, width, height in pixels."""
    area: Array
    """(g,) as annotated, in square pixels."""
    crowd: Bools
    """(g,)"""
    nameless: Bools
    """(g,) id 0: pycocotools takes it for "no match"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Predicted boxes of all images in file order."""

    image: Ints
    """(d,)"""
    category: Ints
    """(d,)"""
    xywh: Array
    """(d, 4) pixels."""
    score: Array
    """(d,)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """What became of the detections that are kept, and which truths count. a areas, t thresholds."""

    image: Ints
    """(k,) kept detections, by image and class, the highest score first."""
    category: Ints
    """(k,)"""
    score: Array
    """(k,)"""
    rank: Ints
    """(k,) 0 is the highest score of its image and class."""
    hit: Bools
    """(a, t, k): matched to a truth that counts."""
    ignored: Bools
    """(a, t, k): neither hit nor false."""
    counts: Bools
    """(a, g): truths that are to be found."""


def match(truths: Truths, detections: Detections, areas: tuple[str, ...], thresholds: Array) -> Matching:
    """Match all. Truths and detections are told apart by image and class; give one class to ignore classes."""
    classes = 1 + max((int(each.category.max()) for each in (truths, detections) if len(each.category)), default=0)
    group = detections.image * classes + detections.category
    order = np.lexsort((-detections.score, group))
    rank = _rank(group[order])
    order, rank = order[rank < MAX_DETECTIONS], rank[rank < MAX_DETECTIONS]
    kept = Detections(
        image=detections.image[order],
        category=detections.category[order],
        xywh=detections.xywh[order],
        score=detections.score[order],
    )
    ranges = np.array([AREAS[name] for name in areas])
    counts = ~truths.crowd & _within(truths.area, ranges)
    det, gt, overlap = _pairs(truths, kept, classes, float(min(thresholds.min(), EXACT)))
    found, to_counting = _greedy(
        det, gt, overlap, rank, counts, truths.crowd, np.minimum(thresholds, EXACT), len(order)
    )
    named = found >= 0
    if truths.nameless.any():
        named &= ~truths.nameless[np.maximum(found, 0)]
    small = ~_within(kept.xywh[:, 2] * kept.xywh[:, 3], ranges)
    ignored = ((found >= 0) & ~to_counting) | (~named & small[:, None, :])
    return Matching(
        image=kept.image,
        category=kept.category,
        score=kept.score,
        rank=rank,
        hit=named & ~ignored,
        ignored=ignored,
        counts=counts,
    )


def _within(area: Array, ranges: Array) -> Bools:
    """(a, n): area in the range, both ends included."""
    return np.asarray((area >= ranges[:, :1]) & (area <= ranges[:, 1:]))


def _rank(group: Ints) -> Ints:
    """(n,) place within its group; groups are contiguous."""
    if not len(group):
        return np.zeros(0, np.int64)
    start = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    return np.arange(len(group)) - np.repeat(start, np.diff(np.r_[start, len(group)]))


def _pairs(truths: Truths, kept: Detections, classes: int, least: float) -> tuple[Ints, Ints, Array]:
    """(detection, truth, IoU) of all pairs of the same image and class that reach the lowest threshold."""
    wanted = truths.image * classes + truths.category
    order = np.argsort(wanted, kind="stable")
    said = kept.image * classes + kept.category
    first, last = (np.searchsorted(wanted[order], said, side) for side in ("left", "right"))
    number = last - first
    det = np.repeat(np.arange(len(said)), number)
    place = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    gt = order[np.repeat(first, number) + place]
    overlap = _iou(kept.xywh[det], truths.xywh[gt], truths.crowd[gt])
    near = overlap >= least
    return det[near], gt[near], overlap[near]


def _iou(said: Array, wanted: Array, crowd: Bools) -> Array:
    """(n,) IoU of xywh boxes in continuous coordinates; of a crowd the share of the detection that it covers."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = np.minimum(said[:, :2] + said[:, 2:], wanted[:, :2] + wanted[:, 2:]) - np.maximum(
            said[:, :2], wanted[:, :2]
        )
        shared = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)
        own = said[:, 2] * said[:, 3]
        union = np.where(crowd, own, own + wanted[:, 2] * wanted[:, 3] - shared)
        return np.where(shared > 0, shared / union, 0.0)


def _greedy(
    det: Ints, gt: Ints, overlap: Array, rank: Ints, counts: Bools, crowd: Bools, thresholds: Array, kept: int
) -> tuple[Ints, Bools]:
    """(a, t, kept) truth that each detection takes, -1 for none; and whether that truth counts."""
    shape = (len(counts), len(thresholds))
    found = np.full((*shape, kept), -1, np.int64)
    to_counting = np.zeros((*shape, kept), bool)
    free = np.ones((*shape, counts.shape[1]), bool)
    by_rank = np.argsort(rank[det], kind="stable")
    ends = np.searchsorted(rank[det][by_rank], np.arange(rank.max(initial=-1) + 2))
    for begin, end in pairwise(ends):
        if begin == end:
            continue
        rows = by_rank[begin:end]  # of one rank: at most one detection for each image and class
        own, truth, value = det[rows], gt[rows], overlap[rows]
        starts = np.flatnonzero(np.r_[True, own[1:] != own[:-1]])
        open_ = free[..., truth] & (value >= thresholds[:, None])  # (a, t, pairs)
        counting = counts[:, None, truth]
        best = _last_best(np.where(open_ & counting, value, -1.0), starts)
        other = _last_best(np.where(open_ & ~counting, value, -1.0), starts)
        taken = np.where(best >= 0, best, other)
        who = own[starts]
        found[..., who] = np.where(taken >= 0, truth[taken], -1)
        to_counting[..., who] = best >= 0
        a, t, n = np.nonzero(taken >= 0)
        used = truth[taken[a, t, n]]
        free[a, t, used] = crowd[used]
    return found, to_counting


def _last_best(values: Any, starts: Ints) -> Ints:
    """(a, t, segments): position of the largest value of each segment, the last of equals; -1 where all are -1."""
    top = np.maximum.reduceat(values, starts, axis=-1)
    lengths = np.diff(np.r_[starts, values.shape[-1]])
    same = (values == np.repeat(top, lengths, axis=-1)) & (values >= 0)
    return np.asarray(np.maximum.reduceat(np.where(same, np.arange(values.shape[-1]), -1), starts, axis=-1))
