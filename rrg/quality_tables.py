"""The tables of the quality gates: limits of volume and HU, and where structures lie to each other.

They are ``lexicon/quality.tsv`` and ``lexicon/quality_places.tsv``; both say where their numbers come from.
"""

import fnmatch
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, cast

from rrg.anatomy import LABELS, other_side

VERSION = 1
"""Grows with every change of the gates that can change a score."""
SPINE = "spine"
"""Stands in the table of places for the part of the spine at the height of the other structure."""
SIDE_MM = 5.0
"""A structure with a side may lie this far beyond the spine, and one of a pair beyond its partner."""
UNSIDED = frozenset({"brachiocephalic_vein_left", "brachiocephalic_vein_right"})
"""They have a side in their name but may cross the midline."""
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the segmentation of one whole structure may look like; None: not judged."""

    ml: Range | None
    hu: Range | None
    """Of the median."""
    one_piece: bool
    hollow: bool
    """It encloses other tissue by nature."""
    source: str


@dataclass(frozen=True, slots=True)
class Order:
    """`first` has the smaller coordinate of the patient (LPS) on `axis` than `second`, by their centres."""

    axis: Literal[0, 1, 2]
    first: str
    second: str
    """Either may be ``spine``."""
    mm: float
    """How far the centres may lie the other way round."""
    whole: bool
    """Judged only where the picture cuts neither."""


@dataclass(frozen=True, slots=True)
class Near:
    """No more than `mm` and a voxel lie between `first` and `second`. Judged where the picture cuts neither."""

    first: str
    second: str
    mm: float


_LIMITS = files("rrg").joinpath("lexicon/quality.tsv").read_bytes()
_PLACES = files("rrg").joinpath("lexicon/quality_places.tsv").read_bytes()


def quality_version() -> str:
    """``rrg-quality/1:`` and the first 12 hex digits of the SHA-256 of both tables."""
    return f"rrg-quality/{VERSION}:{hashlib.sha256(_LIMITS + _PLACES).hexdigest()[:12]}"


def _rows(table: bytes) -> Iterator[list[str]]:
    lines = [line for line in table.decode().splitlines() if line and not line.startswith("#")]
    return (line.split("\t") for line in lines[1:])


def _range(low: str, high: str) -> Range | None:
    return (float(low), float(high)) if low else None


def _read_limits() -> dict[str, Limits]:
    rows = [
        (name, Limits(_range(ml, ml_to), _range(hu, hu_to), parts == "one", holes == "hollow", source))
        for name, ml, ml_to, hu, hu_to, parts, holes, source in _rows(_LIMITS)
    ]
    return {label: next(limits for pattern, limits in rows if fnmatch.fnmatchcase(label, pattern)) for label in LABELS}


def _read_places() -> Iterator[tuple[str, str, str, float, bool]]:
    """(kind, first, second, mm, whole) of each pair."""
    for kind, first, second, mm, parts in _rows(_PLACES):
        for side in ("left", "right") if "@" in first else ("",):
            ours = _names(first.replace("@", side))
            if second == "next":
                pairs = list(itertools.pairwise(ours))
            else:
                pairs = list(itertools.product(ours, _names(second.replace("@", side))))
            for one, other in pairs:
                yield kind, one, other, float(mm), parts == "whole"


def _names(field: str) -> list[str]:
    return [name for pattern in field.split() for name in (*LABELS, SPINE) if fnmatch.fnmatchcase(name, pattern)]


def _read_orders() -> Iterator[Order]:
    for kind, first, second, mm, whole in _read_places():
        if kind == "z":  # z grows to the head: what lies above has the larger one
            yield Order(2, second, first, mm, whole)
        elif kind != "near":
            yield Order(cast(Literal[0, 1], "xy".index(kind)), first, second, mm, whole)
    for name, label in LABELS.items():
        if label.side is None or name in UNSIDED:
            continue
        pair = (SPINE, name) if label.side == "left" else (name, SPINE)
        yield Order(0, *pair, SIDE_MM, False)
    for name, label in LABELS.items():
        if label.side == "right" and (partner := other_side(name)):
            yield Order(0, name, partner, 0.0, False)


LIMITS: Mapping[str, Limits] = _read_limits()
"""By label; every label has one."""
ORDERS: tuple[Order, ...] = tuple(_read_orders())
NEAR: tuple[Near, ...] = tuple(Near(one, other, mm) for kind, one, other, mm, _ in _read_places() if kind == "near")
