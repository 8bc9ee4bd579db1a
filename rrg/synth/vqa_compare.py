"""Two structures of a slice beside each other: which side, which lies further where, which is larger, which denser."""

import numpy as np
from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.errors import RecordError
from rrg.geometry import slice_affine
from rrg.records import Box
from rrg.synth.absences import pick
from rrg.synth.measure import Arrays
from rrg.synth.questions import Question, choice_of_structures
from rrg.synth.seen import Seen
from rrg.synth.terms import DIRECTIONS

LARGER_BY = 1.5
"""Ratio of areas from which on one structure is called the larger one."""
DENSER_BY_HU = 20.0
"""Difference of mean HU from which on one structure is called the denser one: twice the tolerance of a mean."""
MOST_COMPARED = 8
"""Structures of a slice that are looked at in pairs."""
AXES = (("left", "right"), ("back", "front"), ("head", "feet"))
"""Directions of growing and of falling patient x, y, z (LPS)."""


def side(seen: Seen, rng: Generator, _arrays: Arrays | None) -> Question | None:
    """Which of a left and right pair is on the slice, where both are known and at least one is there."""
    pairs = []
    for left in sorted(label for label in (*seen.found, *seen.absent) if LABELS[label].side == "left"):
        right = left.replace("left", "right")
        here = [label for label in (left, right) if label in seen.found]
        if here and all(label in seen.found or label in seen.absent for label in (left, right)):
            pairs.append((left, right, "both" if len(here) == 2 else here[0]))
    if not pairs:
        return None
    one_sided = [pair for pair in pairs if pair[2] != "both"]
    if one_sided and rng.random() < 2 / 3:  # the three answers about equally often
        pairs = one_sided
    left, right, answer = pairs[int(rng.integers(len(pairs)))]
    choices = pick(rng, [left, right, "both"], 3)
    return choice_of_structures("side", f"{left}+{right}", choices, answer, needs_image=True)


def _pairs(seen: Seen, rng: Generator) -> list[tuple[str, str]]:
    labels = pick(rng, seen.shown, MOST_COMPARED)
    return [(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :]]


def larger(seen: Seen, rng: Generator, _arrays: Arrays | None) -> Question | None:
    """Which of two structures has clearly more pixels. Often known without the image: a liver is larger."""
    for pair in _pairs(seen, rng):
        small, large = sorted(pair, key=lambda label: seen.found[label].area_px)
        if seen.found[large].area_px >= LARGER_BY * seen.found[small].area_px:
            return choice_of_structures("larger", "+".join(sorted(pair)), pair, large, needs_image=None)
    return None


def denser(seen: Seen, rng: Generator, arrays: Arrays | None) -> Question | None:
    """Which of two structures has clearly more HU on average. Often known without the image: bone is denser."""
    if arrays is None or seen.slice.unit != "HU":
        return None
    for pair in _pairs(seen, rng)[:3]:
        means = {label: arrays.mean_hu(seen.found[label]) for label in pair}
        known = [mean for mean in means.values() if mean is not None]
        if len(known) == 2 and abs(known[0] - known[1]) >= DENSER_BY_HU:
            answer = max(pair, key=lambda label: means[label] or 0.0)
            return choice_of_structures("denser", "+".join(sorted(pair)), pair, answer, needs_image=None)
    return None


def position(seen: Seen, rng: Generator, _arrays: Arrays | None) -> Question | None:
    """Which of two structures lies further in a direction of the patient; their boxes do not overlap in it."""
    try:
        affine = slice_affine(seen.slice)
    except RecordError:
        return None
    for a, b in _pairs(seen, rng):
        extents = [_extent(seen.found[label].box, affine) for label in (a, b)]
        apart = [axis for axis in range(3) if _apart(extents[0][axis], extents[1][axis])]
        if apart:
            axis = apart[int(rng.integers(len(apart)))]
            ascending = bool(rng.integers(2))
            first_is_further = extents[0][axis][0] > extents[1][axis][0]
            answer = a if first_is_further == ascending else b
            direction = DIRECTIONS[AXES[axis][0 if ascending else 1]]
            label = "+".join(sorted((a, b)))
            return choice_of_structures("position", label, (a, b), answer, needs_image=False, direction=direction)
    return None


def _extent(box: Box, affine: np.ndarray) -> list[tuple[float, float]]:
    """Smallest and largest patient x, y, z in mm of the corners of a box."""
    corners = np.array([(y - 0.5, x - 0.5, 1.0) for y in (box.y0, box.y1) for x in (box.x0, box.x1)]) @ affine.T
    return [(float(low), float(high)) for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)]


def _apart(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Two extents that do not overlap, and are extents at all (not the normal of the slice)."""
    wide = min(a[1] - a[0], b[1] - b[0]) > 1e-3
    return wide and (a[0] >= b[1] or b[0] >= a[1])
