"""Finding labels: precision, recall, F1 as scikit-learn's classification report with zero division = 0."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError
from rrg.formats.items import Item
from rrg.formats.label_rows import CHEXBERT, plain
from rrg.metrics.bootstrap import Array
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import COUNT, FRACTION, Block, Metric, Scored, Sums

FIVE = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
BLANK, POSITIVE, NEGATIVE, UNCERTAIN = "blank", "positive", "negative", "uncertain"
CODES: Mapping[str, Mapping[str, str]] = {
    "chexbert": {"0": BLANK, "1": POSITIVE, "2": NEGATIVE, "3": UNCERTAIN},
    "chexpert": {"": BLANK, "1": POSITIVE, "0": NEGATIVE, "-1": UNCERTAIN},
    "binary": {"1": POSITIVE, "0": NEGATIVE},
}
"""``--label-codes`` -> code -> what it says; as CheXbert's heads, as CheXpert's CSV, as plain flags."""
AVERAGES, VALUES = ("micro", "macro", "weighted", "samples"), ("precision", "recall", "f1")
NO_POSITIVE = "a report without any positive on either side counts 0"
ABSENT = "a label that the references do not have counts 0"
Bools = NDArray[np.bool_]


def names_of(items: Sequence[Item]) -> tuple[str, ...]:
    """All labels of a file, in order of first appearance, those of the references first."""
    seen: dict[str, None] = {}
    for codes in (*(item.reference.value for item in items), *(item.prediction or {} for item in items)):
        seen.update(dict.fromkeys(codes))
    return tuple(seen)


def check_names(items: Sequence[Item]) -> list[str]:
    """Warnings where no row names a label of CheXbert's 14. RrgError on a label that is none of them."""
    known, given = {plain(name) for name in CHEXBERT}, names_of(items)
    for name in given:
        if plain(name) not in known:
            raise RrgError(f"{name!r} is none of CheXbert's 14 labels; use --protocol multilabel for other labels")
    there = {plain(name) for name in given}
    lacking = [name for name in CHEXBERT if plain(name) not in there]
    return [f"no row names {', '.join(lacking)}: they count as blank"] if lacking else []


def positives(items: Sequence[Item], names: Sequence[str], options: TaskOptions) -> tuple[Bools, Bools]:
    """((items, labels) predicted, (items, labels) wanted). A missing prediction names nothing.

    RrgError on a code that ``--label-codes`` does not know.
    """
    meant = {POSITIVE, UNCERTAIN} if options.uncertain == "positive" else {POSITIVE}
    table = CODES[options.label_codes]
    said, wanted = np.zeros((2, len(items), len(names)), bool)
    keys = {plain(name): column for column, name in enumerate(names)}
    for row, item in enumerate(items):
        for side, codes, out in (
            ("prediction", item.prediction or {}, said),
            ("reference", item.reference.value, wanted),
        ):
            for name, code in codes.items():
                if (column := keys.get(plain(name))) is None:
                    continue
                if code not in table:
                    shown = code or "empty"
                    raise RrgError(
                        f"{side} {item.reference.id}: {name} is {shown}, expected one of "
                        f"{', '.join(each or 'empty' for each in table)} (--label-codes {options.label_codes})"
                    )
                out[row, column] = table[code] in meant
    return said, wanted


def ratio(above: Array, below: Array) -> Array:
    """above / below; 0 where nothing is below."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0.0)


def values(tp: Array, fp: Array, fn: Array) -> tuple[Array, Array, Array]:
    """Precision, recall, F1 of counts."""
    return ratio(tp, tp + fp), ratio(tp, tp + fn), ratio(2 * tp, 2 * tp + fp + fn)


def average(columns: Sequence[int], labels: int, how: str, value: int) -> Callable[[Array], Array]:
    """One average of one value as a function of (draws, 3 labels) sums of true, false and missed positives."""

    def of_sums(sums: Array) -> Array:
        tp, fp, fn = (sums[:, k * labels : (k + 1) * labels][:, columns] for k in range(3))
        if how == "micro":
            return values(tp.sum(axis=1), fp.sum(axis=1), fn.sum(axis=1))[value]
        each, support = values(tp, fp, fn)[value], tp + fn
        if how == "macro":
            return np.asarray(each.mean(axis=1))
        weights = support if how == "weighted" else (support > 0).astype(float)
        total = weights.sum(axis=1)
        undefined = 0.0 if how == "weighted" else np.nan
        return np.where(total > 0, (weights * each).sum(axis=1) / np.where(total > 0, total, 1), undefined)

    return of_sums


Groups = Mapping[str, Sequence[str]]
"""Prefix of the metrics -> the labels that they are about."""


def score(items: Sequence[Item], options: TaskOptions, groups: Groups) -> list[Scored]:
    """Per report: precision, recall, F1 of its positives, and whether all labels of the first group are right."""
    names = next(iter(groups.values()))
    said, wanted = positives(items, names, options)
    columns = {prefix: [names.index(name) for name in group] for prefix, group in groups.items()}
    made = []
    first = next(iter(groups))
    for row, item in enumerate(items):
        scores: dict[str, float | None] = {}
        for prefix, chosen in columns.items():
            a, b = said[row, chosen], wanted[row, chosen]
            found = values(*(np.array([float(n.sum())]) for n in (a & b, a & ~b, ~a & b)))
            scores |= {f"{prefix}.samples.{name}": float(each[0]) for name, each in zip(VALUES, found, strict=True)}
        scores[f"{first}.exact_match"] = float((said[row] == wanted[row]).all() and not item.missing)
        text = [
            " | ".join(name for name, there in zip(names, side[row], strict=True) if there) for side in (said, wanted)
        ]
        made.append(Scored(scores=scores, prediction_norm=None if item.missing else text[0], reference_norm=text[1]))
    return made


def block(items: Sequence[Item], options: TaskOptions, groups: Groups) -> Block:
    """Averages over labels, and each label by itself."""
    names = next(iter(groups.values()))
    said, wanted = positives(items, names, options)
    stats = np.hstack([said & wanted, said & ~wanted, ~said & wanted]).astype(float)
    size = len(names)
    sums = {}
    for number, (prefix, group) in enumerate(groups.items()):
        columns = [names.index(name) for name in group]
        for how in AVERAGES[:3]:
            for value, name in enumerate(VALUES):
                sums[f"{prefix}.{how}.{name}"] = Sums(stats=stats, value=average(columns, size, how, value))
        if not number:
            sums[f"{prefix}.macro.f1_supported"] = Sums(stats=stats, value=average(columns, size, "supported", 2))
    parts = {name: _label(stats, column, size) for column, name in enumerate(names)}
    return Block(sums=sums, parts={"label": parts})


def _label(stats: Array, column: int, size: int) -> dict[str, tuple[Metric, Sums]]:
    made = {
        name: (Metric(name, FRACTION, ""), Sums(stats=stats, value=average([column], size, "micro", value)))
        for value, name in enumerate(VALUES)
    }
    support = stats[:, [column, 2 * size + column]].sum(axis=1)[:, None]
    return made | {"support": (Metric("support", COUNT, ""), Sums(stats=support, value=lambda sums: sums[:, 0]))}
