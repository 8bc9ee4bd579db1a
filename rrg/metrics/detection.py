"""Boxes of all images by COCO's rules: averages of precision and recall, counts at IoU 0.5, boxes on empty images."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError
from rrg.formats.coco_boxes import Classes, ImageDetections, ImageTruths
from rrg.formats.items import Item
from rrg.metrics import bootstrap
from rrg.metrics.bootstrap import Array, ratio
from rrg.metrics.coco_ap import AVERAGES, Evaluation, averages, over_classes
from rrg.metrics.coco_match import AREAS, IOU_THRESHOLDS, Detections, Truths, match
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import FRACTION, Block, Drawn, Metric, Scored, Sums

NO_SCORES = "predictions have no score, and a constant would rank them by file order; --pseudo-score says to do so"
SLACK_PX = 1.0
"""Boxes may leave their image by a rounded pixel."""
AT50 = np.array([0.5])
CLASS_METRICS = (
    Metric("ap", FRACTION, "of this class"),
    Metric("ap50", FRACTION, "of this class"),
    Metric("negative.rate", FRACTION, "images without this class that have a box of it", hit=True),
)


def sides(items: Sequence[Item], options: TaskOptions) -> tuple[Truths, Detections]:
    """All boxes, flat. The index of an image is its place in `items`, that of a class its place in the file's classes.

    Classes are ignored by giving all boxes class 0, in the order of their classes, as pycocotools lists them.
    """
    truths: list[ImageTruths] = [item.reference.value for item in items]
    said: list[ImageDetections] = [item.prediction for item in items]

    def flat(rows: Sequence[Any], name: str, width: tuple[int, ...] = ()) -> NDArray[Any]:
        return np.concatenate([np.zeros((0, *width)), *(getattr(each, name) for each in rows)])

    def images(rows: Sequence[Any]) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(rows)), [len(each.category) for each in rows])

    first = np.argsort(flat(truths, "category"), kind="stable")
    second = np.argsort(flat(said, "category"), kind="stable")
    score = flat(said, "score")[second]
    score = np.where(np.isnan(score), 0.0 if options.pseudo_score is None else options.pseudo_score, score)
    one = int(not options.class_agnostic)
    return (
        Truths(
            image=images(truths)[first],
            category=flat(truths, "category")[first].astype(np.int64) * one,
            xywh=flat(truths, "xywh", (4,))[first],
            area=flat(truths, "area")[first],
            crowd=flat(truths, "crowd")[first].astype(bool),
            nameless=flat(truths, "nameless")[first].astype(bool),
        ),
        Detections(
            image=images(said)[second],
            category=flat(said, "category")[second].astype(np.int64) * one,
            xywh=flat(said, "xywh", (4,))[second],
            score=score,
        ),
    )


def ranked(items: Sequence[Item], options: TaskOptions) -> bool:
    """The predictions can be ranked: all have a score, or the same one is asked for."""
    return options.pseudo_score is not None or not any(np.isnan(item.prediction.score).any() for item in items)


def check(items: Sequence[Item], options: TaskOptions) -> list[str]:
    """Warnings on boxes outside of their images. RrgError when these are many, or when only some have a score."""
    bare = sum(int(np.isnan(item.prediction.score).sum()) for item in items)
    total = sum(len(item.prediction.score) for item in items)
    if 0 < bare < total and options.pseudo_score is None:
        raise RrgError(f"{bare} of {total} predictions have no score; score all, or give --pseudo-score")
    warnings = []
    for side in ("prediction", "reference"):
        known = [
            ((item.prediction if side == "prediction" else item.reference.value).xywh, item.reference.frame)
            for item in items
            if item.reference.frame
        ]
        wild = sum(int(_outside(xywh, frame).sum()) for xywh, frame in known)
        n = sum(len(xywh) for xywh, _ in known)
        if wild > options.max_out_of_range * n:
            raise RrgError(
                f"{wild} of {n} {side} boxes lie outside of their image (xywh, pixel); "
                "convert them to x, y, width, height in pixels, or raise --max-out-of-range"
            )
        if wild:
            warnings.append(f"{wild} of {n} {side} boxes lie outside of their image")
    return warnings


def _outside(xywh: Array, frame: tuple[float, float]) -> NDArray[np.bool_]:
    """(n,) a corner lies more than a pixel outside, or a side is negative."""
    end = xywh[:, :2] + xywh[:, 2:]
    return np.asarray(
        (xywh[:, :2] < -SLACK_PX).any(1) | (end > np.array(frame) + SLACK_PX).any(1) | (xywh[:, 2:] < 0).any(1)
    )


def remarks(items: Sequence[Item], _scored: Sequence[Scored]) -> list[str]:
    """Notes on ties, whose order is that of the file."""
    said = [(item.prediction.category, item.prediction.score) for item in items]
    if not said:
        return []
    pairs = np.column_stack([np.concatenate(columns) for columns in zip(*said, strict=True)])
    tied = len(pairs) - len(np.unique(np.nan_to_num(pairs), axis=0))
    note = f"{tied} predictions tie with another score of their class; AP depends on the order of the file"
    return [note] if tied else []


def _at50(items: Sequence[Item], truths: Truths, said: Detections) -> Array:
    """(images, 3) tp, fp, fn at IoU 0.5: all areas, 100 detections of each image and class, crowds ignored."""
    found = match(truths, said, ("all",), AT50)
    n = len(items)
    hit, live = found.hit[0, 0], ~found.ignored[0, 0]
    tp = np.bincount(found.image[hit], minlength=n)
    fp = np.bincount(found.image[live & ~hit], minlength=n)
    wanted = np.bincount(truths.image[found.counts[0]], minlength=n)
    return np.column_stack([tp, fp, wanted - tp]).astype(float)


def score(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """Counts of each image, and of images without an annotation whether and how many boxes they got."""
    counts = _at50(items, *sides(items, options))
    made = []
    for item, row in zip(items, counts, strict=True):
        scores: dict[str, float | None] = dict(zip(("at50.tp", "at50.fp", "at50.fn"), map(int, row), strict=True))
        empty, boxes = not len(item.reference.value.category), len(item.prediction.category)
        scores["negative.rate"] = float(boxes > 0) if empty else None
        scores["negative.boxes_per_image"] = float(boxes) if empty else None
        made.append(Scored(scores=scores))
    return made


def block(items: Sequence[Item], options: TaskOptions) -> Block:
    """All metrics of a set of images, and those of each class."""
    truths, said = sides(items, options)
    sums = _count_sums(_at50(items, truths, said)) | _negative_sums(items)
    drawn: dict[str, Drawn] = {}
    skipped: dict[str, str] = {}
    parts: dict[str, dict[str, tuple[Metric, Sums | Drawn]]] = {}
    classes: Classes | None = items[0].reference.value.classes if items else None
    if ranked(items, options):
        made = _averages(items, truths, said)
        drawn = {name: made(name, None) for name in AVERAGES}
    else:
        skipped = dict.fromkeys(AVERAGES, NO_SCORES)
    for number, name in enumerate(classes.names if classes and not options.class_agnostic else ()):
        own: dict[str, tuple[Metric, Sums | Drawn]] = {}
        if drawn:
            own = {each.name: (each, made(each.name, number)) for each in CLASS_METRICS[:2]}
        parts[name] = own | {"negative.rate": (CLASS_METRICS[2], _class_negatives(items, number))}
    return Block(sums=sums, drawn=drawn, skipped=skipped, parts={"class": parts} if parts else {})


def _count_sums(counts: Array) -> dict[str, Sums]:
    tp, fp, fn = counts.T
    made = {f"at50.{name}": _count(column) for name, column in (("tp", tp), ("fp", fp), ("fn", fn))}
    pairs = {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "fdr": (fp, tp + fp),
    }
    return made | {f"at50.{name}": Sums(stats=np.column_stack(pair), value=ratio) for name, pair in pairs.items()}


def _negative_sums(items: Sequence[Item]) -> dict[str, Sums]:
    empty = np.array([not len(item.reference.value.category) for item in items], bool)
    boxed = np.array([len(item.prediction.category) > 0 for item in items], bool)
    return {"negative.images": _count(empty), "negative.images_with_box": _count(empty & boxed)}


def _count(column: NDArray[Any]) -> Sums:
    return Sums(stats=column.astype(float)[:, None], value=lambda sums: np.asarray(sums[:, 0]))


def _class_negatives(items: Sequence[Item], category: int) -> Sums:
    """Share of the images without a class that have a box of it."""
    empty = np.array([category not in item.reference.value.category for item in items], bool)
    boxed = np.array([category in item.prediction.category for item in items], bool)
    return Sums(
        stats=np.column_stack([empty & boxed, empty]).astype(float),
        value=ratio,
        counted=empty,
        of_kind=np.ones(len(items), bool),
    )


def _averages(items: Sequence[Item], truths: Truths, said: Detections) -> Callable[[str, int | None], Drawn]:
    """(average, class or None for the mean over classes) -> its value and draws. One matching serves all."""
    order = np.argsort(np.argsort([item.reference.value.order for item in items]))
    # pycocotools goes through images by rising id: equal scores go by that place
    truths = dataclasses.replace(truths, image=order[truths.image])
    said = dataclasses.replace(said, image=order[said.image])
    found = match(truths, said, tuple(AREAS), IOU_THRESHOLDS)
    evaluation = Evaluation(matching=found, truths=truths, areas=tuple(AREAS), thresholds=IOU_THRESHOLDS)
    places = np.argsort(order)
    names = list(AVERAGES)
    whole = averages(evaluation, names, np.ones((1, len(items))))
    kept: dict[tuple[int, int], dict[str, Array]] = {}

    def all_draws(samples: int, seed: int, clusters: NDArray[Any] | None) -> dict[str, Array]:
        if (samples, seed) not in kept:
            blocks = [
                averages(evaluation, names, counts[:, places].astype(float))
                for counts in bootstrap.drawn_counts(len(items), samples, seed, clusters)
            ]
            kept[samples, seed] = {
                name: np.concatenate([whole[name][:0], *(block[name] for block in blocks)]) for name in names
            }
        return kept[samples, seed]

    def column(values: Array, category: int | None) -> Array:
        if category is None:
            return over_classes(values)
        return values[:, category] if category < values.shape[1] else np.full(len(values), np.nan)

    def drawn(name: str, category: int | None) -> Drawn:
        return Drawn(
            value=lambda _members: float(column(whole[name], category)[0]),
            counted=np.ones(len(items), bool),
            draws=lambda samples, seed, clusters: column(all_draws(samples, seed, clusters)[name], category),
        )

    return drawn
