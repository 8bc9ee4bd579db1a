"""Numbers in answers against numbers: with units, counts, and as MedVision reads them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rrg.errors import RrgError
from rrg.formats.items import Item
from rrg.formats.number_rows import Quantity
from rrg.metrics import units
from rrg.metrics.bootstrap import Array
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Block, Scored, Sums
from rrg.metrics.text import normalise

LIMITS = tuple(n / 10 for n in range(1, 11))
NO_PENALTY = "an unparsed answer has no error of its own; --penalty says how large it counts"
Scores = dict[str, float | None]


def unit_of(items: Sequence[Item]) -> str:
    """The one unit of all targets. RrgError when there are several: a mean over mm and degrees means nothing."""
    found = sorted({item.reference.value.unit for item in items})
    if len(found) > 1:
        names = ", ".join(name or "none" for name in found)
        raise RrgError(f"targets have several units ({names}); score one at a time: --where unit={found[-1]}")
    return found[0] if found else ""


def check(items: Sequence[Item], _options: TaskOptions) -> list[str]:
    """Refuse targets of several units."""
    unit_of(items)
    return []


def _text(item: Item) -> str | None:
    return item.prediction if isinstance(item.prediction, str) and item.prediction.strip() else None


def _made(item: Item, parsed: bool, scores: Scores) -> Scored:
    return Scored(unparsed=not parsed and not item.missing, scores=scores, extra={"success": parsed})


def strict(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """Errors in the unit of the target. Without `penalty` there is no penalised mean."""
    made = []
    for item in items:
        target: Quantity = item.reference.value
        text = _text(item)
        found = units.parse(text, len(target.numbers), target.unit) if text else None
        scores: Scores = dict.fromkeys(("mae", "mae_penalised", "mae_sorted", "mre"))
        if found is not None:
            wanted, said = np.array(target.numbers), np.array(found)
            scores["mae"] = float(np.abs(said - wanted).mean())
            scores["mae_sorted"] = float(np.abs(np.sort(said) - np.sort(wanted)).mean())
            scores["mre"] = float((np.abs(said - wanted) / np.abs(wanted)).mean()) if wanted.all() else None
        scores["mae_penalised"] = options.penalty if found is None else scores["mae"]
        made.append(_made(item, found is not None, {**scores, "coverage": float(found is not None)}))
    return made


def strict_block(items: Sequence[Item], options: TaskOptions) -> Block:
    """The unit of the errors."""
    skipped = {"mae_penalised": NO_PENALTY} if options.penalty is None else {}
    return Block(
        skipped=skipped, units=dict.fromkeys(("mae", "mae_penalised", "mae_sorted"), unit_of(items) or "count")
    )


def count(items: Sequence[Item], _options: TaskOptions) -> list[Scored]:
    """One number in the answer, as digits or as a word up to ten."""
    made = []
    for item in items:
        numbers = item.reference.value.numbers
        if len(numbers) != 1:
            raise RrgError(f"reference {item.reference.id}: {len(numbers)} numbers; a count is one")
        text = _text(item)
        found = units.parse(normalise(text, item.reference.lang), 1, "") if text else None
        error = None if found is None else abs(found[0] - numbers[0])
        scores: Scores = {"mae": error, "exact": float(error == 0), "coverage": float(found is not None)}
        made.append(_made(item, found is not None, scores))
    return made


def count_block(items: Sequence[Item], options: TaskOptions) -> Block:
    """Root of the mean squared error over parsed answers."""
    errors = [each.scores["mae"] for each in count(items, options)]
    there = np.array([error is not None for error in errors], bool)
    squares = np.array([0.0 if error is None else error**2 for error in errors])
    stats = np.column_stack([squares, there.astype(float)])
    return Block(sums={"rmse": Sums(stats=stats, value=_root, counted=there, of_kind=np.ones(len(items), bool))})


def _root(sums: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)))


def _medvision(item: Item) -> list[np.float32] | None:
    """Exactly as many numbers as the target has, with commas between and nothing else; single precision."""
    try:
        found = [np.float32(part.strip()) for part in (_text(item) or "").strip().split(",")]
    except ValueError:
        return None
    right = len(found) == len(item.reference.value.numbers) and all(map(np.isfinite, found))
    return found if right else None


def medvision_size(items: Sequence[Item], _options: TaskOptions) -> list[Scored]:
    """Errors over successes; shares of all items with a relative error below a limit."""
    made = []
    for item in items:
        found = _medvision(item)
        wanted = np.array(item.reference.value.numbers)
        scores: Scores = {"mae": None, "mre": None, "success_rate": float(found is not None)}
        bin_ = len(LIMITS)
        if found is not None:
            error = np.abs(np.array(found) - wanted)
            scores["mae"], relative = float(error.mean()), float((error / (wanted + 1e-15)).mean())
            scores["mre"] = relative
            bin_ = min(int(10 * relative), 9)  # the last bin has no upper end: below 1.0 is every success
        scores |= {below(limit): float(bin_ <= n) for n, limit in enumerate(LIMITS)}
        made.append(_made(item, found is not None, scores))
    return made


def below(limit: float) -> str:
    """Name of the share of items with a relative error below a limit."""
    return f"mre_below_{limit:.1f}"


def medvision_box(items: Sequence[Item], _options: TaskOptions) -> list[Scored]:
    """Overlap of x1, y1, x2, y2 over all items, errors of the coordinates over successes."""
    made = []
    for item in items:
        wanted = np.array(item.reference.value.numbers)
        if len(wanted) != 4:
            raise RrgError(f"reference {item.reference.id}: {len(wanted)} numbers; a box has four: x1, y1, x2, y2")
        found = _medvision(item)
        scores: Scores = {**dict.fromkeys(("iou", "f1", "precision", "recall"), 0.0), "mae": None}
        if found is not None:
            scores |= _overlap(found, list(wanted))
            scores["mae"] = float(np.abs(np.array(found) - wanted).mean())
        made.append(_made(item, found is not None, {**scores, "success_rate": float(found is not None)}))
    return made


def _overlap(said: Sequence[Any], wanted: Sequence[Any]) -> Scores:
    """Of a single-precision and a double-precision box, each step in the type that its operands give."""
    x1, y1 = max(said[0], wanted[0]), max(said[1], wanted[1])
    x2, y2 = min(said[2], wanted[2]), min(said[3], wanted[3])
    if x1 >= x2 or y1 >= y2:
        return {}
    shared = (x2 - x1) * (y2 - y1)
    a, b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (said, wanted))
    return {
        "iou": float(shared / (a + b - shared)),
        "f1": float((2.0 * shared) / (a + b)),
        "precision": float(shared / a),
        "recall": float(shared / b),
    }


def unit_block(*names: str) -> Callable[[Sequence[Item], TaskOptions], Block]:
    """The `block` of a protocol whose errors are in the unit of the file."""
    return lambda items, _options: Block(units=dict.fromkeys(names, unit_of(items) or "count"))


def units_said(items: Sequence[Item]) -> Mapping[str, str]:
    """For the signature."""
    return {"unit": unit_of(items) or "none"}
