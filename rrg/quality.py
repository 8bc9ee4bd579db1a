"""Quality gates: is a segmentation anatomy? Scores and flags for each structure of a label volume.

docs/quality.md tells the gates, where their limits come from, and the formula of the score.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import LABELS
from rrg.geometry import Array
from rrg.masks import Labels, Verdict
from rrg.quality_measures import Structure, by_name, cells_of, enclosed, largest_piece, measure
from rrg.quality_tables import LIMITS, NEAR, ORDERS, SPINE, Order

FACTORS: Mapping[str, float] = {
    "SUSPECT_LR": 0.1,
    "SUSPECT_ORDER": 0.1,
    "SUSPECT_HU": 0.3,
    "SUSPECT_PLACE": 0.3,
    "SUSPECT_VOLUME": 0.5,
}
"""What is left of a score after each of these gates."""
AXIS_FLAGS = ("SUSPECT_LR", "SUSPECT_ORDER", "SUSPECT_ORDER")
"""Flag of a wrong order along x, y, z of the patient."""
WHOLE_PIECE = 0.8
"""A structure of one piece whose largest piece holds less is in fragments."""
HOLES = 0.05
"""Cavities that hold more than this part of a structure are holes."""
FEW = 3
"""Fewer structures say nothing of whether the masks are those of the image."""
_SPINE = tuple(name for name in LABELS if name.startswith("vertebrae_"))
_SPINE_COARSE = ("vertebrae", "spinal_cord", "sacrum")


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
    judged = {name: structure for name in found if (structure := by_name(found, name)) is not None}
    tripped: dict[str, set[str]] = defaultdict(set)
    wrong, volume_flags = _orders(judged)
    for name, flags in wrong.items():
        tripped[name] |= flags
    factors: dict[str, float] = defaultdict(lambda: 1.0)
    for name, structure in judged.items():
        limits = LIMITS[name]
        if limits.hu and structure.hu is not None and not limits.hu[0] <= structure.hu <= limits.hu[1]:
            tripped[name].add("SUSPECT_HU")
        if limits.ml and not structure.cut and not limits.ml[0] <= structure.ml <= limits.ml[1]:
            tripped[name].add("SUSPECT_VOLUME")
    for name, flag, factor in _shapes(volume, affine, judged):
        tripped[name].add(flag)
        factors[name] *= factor
    off = sum("SUSPECT_HU" in flags for flags in tripped.values())
    if len(judged) >= FEW and 2 * off > len(judged):
        volume_flags.add("SUSPECT_HU")
    verdicts = {}
    for name, structure in found.items():
        whole = volume_flags & set(AXIS_FLAGS)
        of_it = tuple(sorted(tripped[name] | whole | ({"cut"} if structure.cut else set())))
        score = factors[name] * math.prod(FACTORS.get(flag, 1.0) for flag in of_it)
        verdicts[name] = Verdict(score=round(score, 3), flags=of_it)
    return Judged(verdicts, tuple(sorted(volume_flags)))


def _orders(found: Mapping[str, Structure]) -> tuple[dict[str, set[str]], set[str]]:
    """Flags of the structures that explain the wrong orders, and of the volume: most orders along an axis are wrong."""
    right: list[list[Order]] = [[], [], []]
    wrong: list[list[Order]] = [[], [], []]
    for order in ORDERS:
        if (apart := _apart(order, found)) is not None:
            (wrong if apart < -order.mm else right)[order.axis].append(order)
    flags: dict[str, set[str]] = defaultdict(set)
    for axis, flag in enumerate(AXIS_FLAGS):
        for name in _culprits(right[axis], wrong[axis]):
            flags[name].add(flag)
    return flags, {flag for axis, flag in enumerate(AXIS_FLAGS) if len(wrong[axis]) > len(right[axis])}


def _culprits(right: Iterable[Order], wrong: Iterable[Order]) -> set[str]:
    """Who lies wrong: the structure in most wrong orders (of these, in the largest part of its orders), then the same
    among the orders that are left. Structures that nothing tells apart are taken together.
    """
    good = Counter(name for order in right for name in (order.first, order.second))
    left, found = list(wrong), set[str]()
    while left:
        bad = Counter(name for order in left for name in (order.first, order.second) if name != SPINE)
        weight = {name: (n, n / (n + good[name])) for name, n in bad.items()}
        worst = {name for name in weight if weight[name] == max(weight.values())}
        found |= worst
        left = [order for order in left if not worst & {order.first, order.second}]
    return found


def _apart(order: Order, found: Mapping[str, Structure]) -> float | None:
    """How far `second` lies beyond `first`, in mm along the axis; None where that is not judged."""
    first, second = found.get(order.first), found.get(order.second)
    if order.first == SPINE and second is not None:
        first = _spine_at(second, found)
    if order.second == SPINE and first is not None:
        second = _spine_at(first, found)
    if first is None or second is None or (order.whole and (first.cut or second.cut)):
        return None
    return float(second.centre_mm[order.axis] - first.centre_mm[order.axis])


def _spine_at(structure: Structure, found: Mapping[str, Structure]) -> Structure | None:
    """The vertebra whose height is nearest, else what else there is of the spine."""
    vertebrae: Iterable[Structure] = [found[name] for name in _SPINE if name in found]
    if vertebrae:
        return min(vertebrae, key=lambda each: abs(float(each.centre_mm[2] - structure.centre_mm[2])))
    return next((found[name] for name in _SPINE_COARSE if name in found), None)


def _shapes(volume: Labels, affine: Array, found: Mapping[str, Structure]) -> Iterable[tuple[str, str, float]]:
    """(label, flag, factor of the score) for fragments, holes, and structures that lie far from their neighbours."""
    neighbours = {name for near in NEAR for name in (near.first, near.second)}
    points: dict[str, Array] = {}
    for name, structure in found.items():
        limits = LIMITS[name]
        pieces = limits.one_piece and not structure.cut
        if not (pieces or not limits.hollow or (name in neighbours and not structure.cut)):
            continue
        cells = cells_of(volume, structure, LABELS[name].class_id, affine)
        if pieces and (part := largest_piece(cells)) < WHOLE_PIECE:
            yield name, "fragments", part
        if not limits.hollow and (part := enclosed(cells, volume, structure)) > HOLES:
            yield name, "holes", 1 - part
        if name in neighbours and not structure.cut:
            points[name] = cells.points_mm(affine)
    voxel_mm = float(np.linalg.norm(affine[:3, :3], axis=0).max())
    for near in NEAR:
        if near.first in points and near.second in points:
            gap = _gap_mm(points[near.first], points[near.second])
            if gap > near.mm + voxel_mm:  # between centres of cells
                yield near.first, "SUSPECT_PLACE", 1.0


def _gap_mm(one: Array, other: Array) -> float:
    """Smallest distance of two sets of points; the smaller set asks the larger one's tree."""
    from scipy.spatial import KDTree

    few, many = sorted((one, other), key=len)
    low, high = few.min(axis=0), few.max(axis=0)
    centre_gap = np.maximum(np.maximum(low - many, many - high), 0).max(axis=1)
    if centre_gap.min() > 200:  # no neighbours at all: the box tells
        return float(centre_gap.min())
    return float(KDTree(many).query(few)[0].min())
