"""Quality gates: is a segmentation anatomy? Scores and flags for each structure of a label volume.

docs/quality.md tells the gates, where their limits come from, and the formula of the score.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import LABELS
from rrg.geometry import Array
from rrg.masks import Labels, Verdict
from rrg.quality_cells import Form, form, gap_mm
from rrg.quality_measures import Structure, by_name, measure
from rrg.quality_orders import AXIS_FLAGS, wrong_orders
from rrg.quality_spine import Spine, level_at, middle_at, spine_of
from rrg.quality_tables import LARGER, LIMITS, NEAR, PLACES, Range

FACTORS: Mapping[str, float] = {
    "SUSPECT_LR": 0.1,
    "SUSPECT_ORDER": 0.1,
    "SUSPECT_HU": 0.3,
    "SUSPECT_PLACE": 0.3,
    "SUSPECT_VOLUME": 0.5,
    "SUSPECT_LENGTH": 0.5,
}
"""What is left of a score after each of these gates."""
WHOLE_PIECE = 0.8
"""A structure of one piece whose largest piece holds less is in fragments."""
HOLES = 0.05
"""Cavities that hold more than this part of a structure are holes."""
FEW = 3
"""Fewer structures say nothing of whether the masks are those of the image."""


@dataclass(frozen=True)
class Judged:
    """What the gates say of a volume."""

    verdicts: Mapping[str, Verdict]
    """By label."""
    flags: tuple[str, ...]
    """Of the volume as a whole: most of its orders along an axis, or most of its densities, are wrong."""


def judge(volume: Labels, affine: Array, hu: NDArray[Any] | None = None) -> Judged:
    """Judge every structure of `volume`, (slices, layers, rows, columns) class ids.

    `affine` maps (slice, row, column) to mm, LPS. `hu` is (slices, rows, columns) on the same grid for CT, else None:
    then density is not judged. Structures of less than 20 voxels are not judged: they get ``cut`` and the
    flags of the volume only.
    """
    found = measure(volume, affine, hu)
    forms = {name: form(volume, each, affine) for name, each in found.items() if by_name(found, name) is not None}
    return judge_measured(found, forms, float(np.linalg.norm(affine[:3, :3], axis=0).max()))


def judge_measured(found: Mapping[str, Structure], forms: Mapping[str, Form], voxel_mm: float) -> Judged:
    """Judge what was measured: `forms` of those structures that are large enough, `voxel_mm` the longest edge."""
    judged = {name: found[name] for name in forms}
    tripped: dict[str, set[str]] = defaultdict(set)
    wrong, volume_flags = wrong_orders(judged, forms, spine_of(judged, forms, doubted=()))
    spine = spine_of(judged, forms, doubted=wrong)
    for name, flags in wrong.items():
        tripped[name] |= flags
    for name, flag in _limits(judged, spine):
        tripped[name].add(flag)
    for name, flag in _neighbours(judged, forms, voxel_mm):
        tripped[name].add(flag)
    factors: dict[str, float] = defaultdict(lambda: 1.0)
    for name, flag, factor in _shapes(judged, forms):
        tripped[name].add(flag)
        factors[name] *= factor
    off = sum("SUSPECT_HU" in flags for flags in tripped.values())
    if len(judged) >= FEW and 2 * off > len(judged):
        volume_flags.add("SUSPECT_HU")
    verdicts = {}
    for name, structure in found.items():
        whole = volume_flags & set(AXIS_FLAGS)
        of_it = tuple(sorted(tripped[name] | whole | (set() if structure.whole else {"cut"})))
        score = factors[name] * math.prod(FACTORS.get(flag, 1.0) for flag in of_it)
        verdicts[name] = Verdict(score=round(score, 3), flags=of_it)
    return Judged(verdicts, tuple(sorted(volume_flags)))


def _limits(found: Mapping[str, Structure], spine: Spine) -> Iterator[tuple[str, str]]:
    """(label, flag) of each structure outside of its limits. What is cut off can only make it larger."""
    for name, structure in found.items():
        limits, body = LIMITS[name], PLACES[name]
        if _outside(limits.hu, structure.hu) or _outside(limits.hu_top, structure.hu_top):
            yield name, "SUSPECT_HU"
        if _outside(limits.ml, structure.ml, smaller=structure.whole):
            yield name, "SUSPECT_VOLUME"
        if _outside(body.long_mm, structure.long_mm, smaller=structure.whole):
            yield name, "SUSPECT_LENGTH"
        x, y, z = structure.centre_mm
        middle_x, middle_y = middle_at(spine, z, name)
        own_side = -1 if LABELS[name].side == "right" else 1
        side = None if middle_x is None or structure.cut[0] else own_side * (x - middle_x)
        front = None if middle_y is None or structure.cut[1] else middle_y - y
        if _outside(body.side_mm, side) or _outside(body.front_mm, front) or _outside(body.levels, level_at(spine, z)):
            yield name, "SUSPECT_PLACE"


def _outside(limits: Range | None, value: float | None, *, smaller: bool = True) -> bool:
    """True for a value beyond its limits; without `smaller` the low one does not count. False for what is not known."""
    if limits is None or value is None:
        return False
    return value > limits[1] or (smaller and value < limits[0])


def _neighbours(
    found: Mapping[str, Structure], forms: Mapping[str, Form], voxel_mm: float
) -> Iterator[tuple[str, str]]:
    """(label, flag) of structures that lie far from their neighbours, or are larger than what is larger by nature."""
    for near in NEAR:
        first, second = found.get(near.first), found.get(near.second)
        if first is None or second is None or not (first.whole and second.whole):
            continue
        gap = gap_mm(forms[near.first].points_mm, forms[near.second].points_mm)
        if gap > near.mm + voxel_mm:  # between centres of cells
            yield near.first, "SUSPECT_PLACE"
    for larger in LARGER:
        first, second = found.get(larger.first), found.get(larger.second)
        if first is None or second is None or (larger.parts == "whole" and not (first.whole and second.whole)):
            continue
        if first.ml < second.ml:
            yield larger.first, "SUSPECT_VOLUME"
            yield larger.second, "SUSPECT_VOLUME"


def _shapes(found: Mapping[str, Structure], forms: Mapping[str, Form]) -> Iterator[tuple[str, str, float]]:
    """(label, flag, factor of the score) for fragments and holes."""
    for name, structure in found.items():
        limits, shape = LIMITS[name], forms[name]
        if limits.one_piece and structure.whole and shape.largest < WHOLE_PIECE:
            yield name, "fragments", shape.largest
        if not limits.hollow and shape.hole > HOLES:
            yield name, "holes", 1 - shape.hole
