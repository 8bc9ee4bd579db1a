"""The spine as the frame of a body: where its middle lies at a height, and which vertebra that height is."""

import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from rrg.geometry import Array
from rrg.quality_cells import HEIGHT_MM, Form
from rrg.quality_measures import Structure
from rrg.quality_tables import LEVELS

COARSE = ("vertebrae", "intervertebral_discs", "spinal_cord", "sacrum")
"""Parts of the spine that span several vertebrae."""
REACH_MM = 25.0
"""A part tells the middle of the spine this far above and below a height."""
FAR_MM = 150.0
"""Where no part reaches, the nearest one tells left from right up to here."""
BEYOND = 3.0
"""So many vertebrae above the first or below the last one are counted on."""


@dataclass(frozen=True, slots=True)
class Spine:
    """What of it is seen."""

    parts: Mapping[str, Array]
    """By label: (n, 3) middles x, y, z at its heights, mm, LPS."""
    levels: Array
    """(n, 2) z and number of vertebrae, z ascending: at least two, or none."""


def spine_of(found: Mapping[str, Structure], forms: Mapping[str, Form], doubted: Collection[str]) -> Spine:
    """The spine of those structures that are not `doubted`."""
    single = [name for name in LEVELS if name in found and name not in doubted]
    coarse = [name for name in COARSE if name in found and name not in doubted]
    parts = {name: found[name].centre_mm[None] for name in single}
    for name in coarse:
        steps = forms[name].heights.items()
        parts[name] = np.array([[*middle, step * HEIGHT_MM] for step, middle in steps])
    levels = np.array([[found[name].centre_mm[2], LEVELS[name]] for name in single]).reshape(-1, 2)
    levels = levels[np.argsort(levels[:, 0])]
    ordered = len(levels) > 1 and bool((np.diff(levels[:, 1]) < 0).all())
    return Spine(parts, levels if ordered else levels[:0])


def middle_at(spine: Spine, z_mm: float, of: str = "") -> tuple[float | None, float | None]:
    """x and y of its middle at a height: the median of its parts there. None: not known; far off only x is known.

    The structure that is asked about, `of`, is left out: nothing lies in the middle because it says so itself.
    """
    parts = [part for name, part in spine.parts.items() if name != of]
    near = [part[np.abs(part[:, 2] - z_mm) <= REACH_MM, :2] for part in parts]
    there = [points.sum(axis=0) / len(points) for points in near if len(points)]
    if there:
        x, y = (statistics.median(float(middle[axis]) for middle in there) for axis in (0, 1))
        return x, y
    points = np.concatenate(parts) if parts else np.zeros((0, 3))
    apart = np.abs(points[:, 2] - z_mm)
    if not len(points) or apart.min() > FAR_MM:
        return None, None
    return float(points[apart.argmin(), 0]), None


def level_at(spine: Spine, z_mm: float) -> float | None:
    """The number of the vertebra at a height, with fractions; None where that is not known."""
    if not len(spine.levels):
        return None
    z, number = spine.levels.T
    apart = float(np.diff(z).mean() / -np.diff(number).mean())
    level = float(np.interp(z_mm, z, number))
    beyond = max(float(z[0]) - z_mm, z_mm - float(z[-1]), 0.0) / apart
    if beyond > BEYOND:
        return None
    return level + beyond if z_mm < z[0] else level - beyond
