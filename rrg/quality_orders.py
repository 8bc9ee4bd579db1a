"""Orders along the axes of the patient: which of two structures lies to the right, in front, above."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from rrg.quality_cells import HEIGHT_MM, Form, Heights
from rrg.quality_measures import Structure
from rrg.quality_spine import Spine, middle_at
from rrg.quality_tables import ORDERS, SPINE, Order

AXIS_FLAGS = ("SUSPECT_LR", "SUSPECT_ORDER", "SUSPECT_ORDER")
"""Flag of a wrong order along x, y, z of the patient."""
FLANKS = {name for order in ORDERS if order.parts == "flank" for name in (order.first, order.second)}
FLANK_MM = 60.0
"""Ribs are compared where both lie this far beside the spine: near it the lower rib's head lies in front."""


def wrong_orders(
    found: Mapping[str, Structure], forms: Mapping[str, Form], spine: Spine
) -> tuple[dict[str, set[str]], set[str]]:
    """Flags of the structures that explain the wrong orders, and of the volume: most orders along an axis are wrong."""
    right: list[list[Order]] = [[], [], []]
    wrong: list[list[Order]] = [[], [], []]
    flanks = {name: _flanks(forms[name].heights, spine) for name in FLANKS & found.keys()}
    every = {name: each.heights for name, each in forms.items()}
    known = {*found, SPINE}
    for order in ORDERS:
        if order.first not in known or order.second not in known:
            continue
        heights = flanks if order.parts == "flank" else every
        if (apart := _apart(order, found, heights, spine)) is not None:
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


def _apart(order: Order, found: Mapping[str, Structure], heights: Mapping[str, Heights], spine: Spine) -> float | None:
    """How far `second` lies beyond `first`, in mm along the axis; None where that is not judged."""
    first, second = found.get(order.first), found.get(order.second)
    if order.first == SPINE and second is not None:
        middle = middle_at(spine, second.centre_mm[2])[int(order.axis == 1)]
        return None if middle is None else float(second.centre_mm[order.axis]) - middle
    if order.second == SPINE and first is not None:
        middle = middle_at(spine, first.centre_mm[2])[int(order.axis == 1)]
        return None if middle is None else middle - float(first.centre_mm[order.axis])
    if first is None or second is None or (order.parts == "whole" and not (first.whole and second.whole)):
        return None
    if order.parts in ("height", "flank"):
        if first.cut[order.axis] or second.cut[order.axis]:
            return None
        one, other = heights[order.first], heights[order.second]
        apart = [float(other[step][order.axis] - one[step][order.axis]) for step in one.keys() & other.keys()]
        return float(np.median(apart)) if apart else None
    return float(second.centre_mm[order.axis] - first.centre_mm[order.axis])


def _flanks(heights: Heights, spine: Spine) -> Heights:
    """Where a structure lies well beside the spine."""
    middles = {step: middle_at(spine, step * HEIGHT_MM)[0] for step in heights}
    return {
        step: heights[step]
        for step, x in middles.items()
        if x is not None and abs(float(heights[step][0]) - x) > FLANK_MM
    }
