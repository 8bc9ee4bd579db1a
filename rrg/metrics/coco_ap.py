"""COCO's average precision and recall from a matching, on all images or on images drawn again with repeats.

Every value is computed for rows of image weights: weight 1 for each image is the score itself, the counts of a draw
are the score of that draw. An image that is drawn twice counts its truths and its detections twice.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from rrg.metrics.coco_match import Array, Ints, Matching, Truths

RECALLS = np.linspace(0.0, 1.0, 101)
BLOCK = 1 << 20
"""Numbers in one working array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """One of COCO's averages."""

    recall: bool
    """Mean of the highest recall; else of the precision at 101 recalls."""
    threshold: float | None = None
    """One IoU threshold; None: the mean over all."""
    area: str = "all"
    detections: int = 100
    """Of each image and class."""


AVERAGES: Mapping[str, Average] = {
    "ap": Average(recall=False),
    "ap50": Average(recall=False, threshold=0.5),
    "ap75": Average(recall=False, threshold=0.75),
    "ap.small": Average(recall=False, area="small"),
    "ap.medium": Average(recall=False, area="medium"),
    "ap.large": Average(recall=False, area="large"),
    "ar1": Average(recall=True, detections=1),
    "ar10": Average(recall=True, detections=10),
    "ar100": Average(recall=True),
    "ar.small": Average(recall=True, area="small"),
    "ar.medium": Average(recall=True, area="medium"),
    "ar.large": Average(recall=True, area="large"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A matching with all that its averages need."""

    matching: Matching
    truths: Truths
    areas: tuple[str, ...]
    thresholds: Array


def averages(evaluation: Evaluation, names: Sequence[str], weights: Array) -> dict[str, Array]:
    """Name -> (draws, classes) average of each class, nan without truths. `weights` is (draws, images)."""
    made: dict[str, Array] = {}
    curves: dict[str, Array] = {}
    for name in names:
        each = AVERAGES[name]
        chosen = [n for n, value in enumerate(evaluation.thresholds) if each.threshold in (None, round(value, 2))]
        if each.recall:
            by_threshold = _recall(evaluation, each, weights)
        else:
            if each.area not in curves:
                curves[each.area] = _precision(evaluation, each.area, weights)
            by_threshold = curves[each.area]
        made[name] = by_threshold[..., chosen].mean(axis=-1)  # (draws, classes, t) -> (draws, classes)
    return made


def over_classes(values: Array) -> Array:
    """(draws, classes) -> (draws,) mean over classes with truths; nan when there is none."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=-1) / there.sum(axis=-1))


def _classes(evaluation: Evaluation) -> int:
    sides = evaluation.truths.category, evaluation.matching.category
    return 1 + max((int(each.max()) for each in sides if len(each)), default=0)


def _wanted(evaluation: Evaluation, area: int, weights: Array) -> Array:
    """(draws, classes) weighted number of truths to be found."""
    counts = evaluation.matching.counts[area]
    truths = evaluation.truths
    return _per_class(weights, truths.image[counts], truths.category[counts], _classes(evaluation))


def _per_class(weights: Array, image: Ints, category: Ints, classes: int) -> Array:
    """(draws, classes) sums of the weights of the images of some boxes."""
    table = np.zeros((weights.shape[1], classes))
    np.add.at(table, (image, category), 1.0)
    return np.asarray(weights @ table)


def _recall(evaluation: Evaluation, average: Average, weights: Array) -> Array:
    """(draws, classes, t) highest recall of the first `average.detections` of each image and class."""
    area, matching = evaluation.areas.index(average.area), evaluation.matching
    wanted = _wanted(evaluation, area, weights)
    classes = _classes(evaluation)
    found = []
    for n in range(len(evaluation.thresholds)):
        hit = matching.hit[area, n] & (matching.rank < average.detections)
        found.append(_per_class(weights, matching.image[hit], matching.category[hit], classes))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(wanted[..., None] > 0, np.stack(found, axis=-1) / wanted[..., None], np.nan))


def _precision(evaluation: Evaluation, area: str, weights: Array) -> Array:
    """(draws, classes, t) mean precision at 101 recalls."""
    number, matching = evaluation.areas.index(area), evaluation.matching
    wanted = _wanted(evaluation, number, weights)
    made = np.full((*wanted.shape, len(evaluation.thresholds)), np.nan)
    # the order of pycocotools: by score, equal ones by image, then as they stand in the file
    order = np.lexsort((-matching.score, matching.category))
    bounds = np.searchsorted(matching.category[order], np.arange(wanted.shape[1] + 1))

    def work(category: int) -> None:
        rows = order[bounds[category] : bounds[category + 1]]
        if not wanted[:, category].any():
            return
        step = max(1, BLOCK // max(1, len(rows)))
        for start in range(0, len(weights), step):
            part = slice(start, start + step)
            said: dict[bytes, Array] = {}  # thresholds that ignore the same detections share this count
            for n in range(len(evaluation.thresholds)):
                ignored = matching.ignored[number, n, rows]
                live = rows[~ignored]
                if (key := ignored.tobytes()) not in said:
                    said[key] = np.cumsum(weights[part][:, matching.image[live]], axis=1)
                hit = matching.hit[number, n, live]
                right = np.cumsum(weights[part][:, matching.image[live[hit]]], axis=1)
                made[part, category, n] = _average_precision(said[key][:, hit], right, wanted[part, category])

    if len(weights) == 1:
        for category in range(wanted.shape[1]):
            work(category)
    else:
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            list(pool.map(work, range(wanted.shape[1])))
    return made


def _average_precision(said: Array, right: Array, wanted: Array) -> Array:
    """(draws,) of one class and threshold; nan without truths.

    `said`, `right` (draws, hits): weighted numbers of detections and of hits up to each hit, by falling score. The
    precision at a recall is the highest at this or any later place. It can only be highest at a hit.
    """
    if not said.shape[1]:
        return np.asarray(np.where(wanted > 0, 0.0, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = right / (said + np.spacing(1))
        recall = right / wanted[:, None]
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, recall.ravel(), side="right").reshape(recall.shape)
    steps = np.diff(reached, axis=1, prepend=0)
    # recall 0 is reached before the first hit, where the envelope is that of the first hit
    total = (steps * precision).sum(axis=1) + np.where(reached[:, 0] == 0, precision[:, 0], 0.0)
    return np.asarray(np.where(wanted > 0, total / len(RECALLS), np.nan))
