"""The tables of the quality gates: limits of volume and HU, and where structures lie to each other.

They are ``lexicon/quality.tsv``, ``quality_body.tsv``, ``quality_places.tsv``; each says where its numbers come from.
"""

import fnmatch
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, TypeVar, cast

from rrg.anatomy import LABELS, other_side

VERSION = 2
"""Grows with every change of the gates that can change a score."""
SPINE = "spine"
"""Stands in the table of places for the part of the spine at the height of the other structure."""
SIDE_MM = 5.0
"""A structure with a side may lie this far beyond the spine, and one of a pair beyond its partner."""
UNSIDED = frozenset({"brachiocephalic_vein_left", "brachiocephalic_vein_right"})
"""They have a side in their name but may cross the midline."""
Range = tuple[float, float]
T = TypeVar("T")
Parts = Literal["", "whole", "height", "flank"]
"""Judged: by the centres; only where the picture cuts neither; by the middles at the heights that both have; the same
where both lie well beside the spine."""
LEVELS: Mapping[str, int] = {
    name: number
    for number, name in enumerate(
        [f"vertebrae_{kind}{n}" for kind, many in (("C", 7), ("T", 12), ("L", 5), ("S", 1)) for n in range(1, many + 1)]
    )
}
"""Vertebrae from head to feet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the segmentation of one whole structure may look like; None: not judged."""

    ml: Range | None
    hu: Range | None
    """Of the median."""
    hu_top: Range | None
    """Of the 90th percentile; either end may be infinite."""
    one_piece: bool
    hollow: bool
    """It encloses other tissue by nature."""
    source: str


@dataclass(frozen=True, slots=True)
class Body:
    """Where the middle of what is seen of a structure may lie, and how long it may be; None: not judged."""

    side_mm: Range | None
    """From the spine to the structure's own side; without a side: to the left."""
    front_mm: Range | None
    """In front of the spine."""
    levels: Range | None
    """Numbers of vertebrae, from `LEVELS`; lower ones lie higher."""
    long_mm: Range | None
    """The low end for whole structures only."""


@dataclass(frozen=True, slots=True)
class Order:
    """`first` has the smaller coordinate of the patient (LPS) on `axis` than `second`, by their centres."""

    axis: Literal[0, 1, 2]
    first: str
    second: str
    """Either may be ``spine``."""
    mm: float
    """How far the centres may lie the other way round."""
    parts: Parts


@dataclass(frozen=True, slots=True)
class Larger:
    """`first` has the larger volume."""

    first: str
    second: str
    parts: Parts


@dataclass(frozen=True, slots=True)
class Near:
    """No more than `mm` and a voxel lie between `first` and `second`. Judged where the picture cuts neither."""

    first: str
    second: str
    mm: float


_LIMITS = files("rrg").joinpath("lexicon/quality.tsv").read_bytes()
_BODY = files("rrg").joinpath("lexicon/quality_body.tsv").read_bytes()
_PLACES = files("rrg").joinpath("lexicon/quality_places.tsv").read_bytes()


def quality_version() -> str:
    """``rrg-quality/2:`` and the first 12 hex digits of the SHA-256 of the tables."""
    return f"rrg-quality/{VERSION}:{hashlib.sha256(_LIMITS + _BODY + _PLACES).hexdigest()[:12]}"


def _rows(table: bytes) -> Iterator[list[str]]:
    lines = [line for line in table.decode().splitlines() if line and not line.startswith("#")]
    return (line.split("\t") for line in lines[1:])


def _range(low: str, high: str) -> Range | None:
    return (float(low or "-inf"), float(high or "inf")) if low or high else None


def _first_fit(rows: Sequence[tuple[str, T]]) -> dict[str, T]:
    return {label: next(row for pattern, row in rows if fnmatch.fnmatchcase(label, pattern)) for label in LABELS}


def _read_limits() -> dict[str, Limits]:
    rows = []
    for name, ml, ml_to, hu, hu_to, top, top_to, parts, holes, source in _rows(_LIMITS):
        volume, median, highest = _range(ml, ml_to), _range(hu, hu_to), _range(top, top_to)
        rows.append((name, Limits(volume, median, highest, parts == "one", holes == "hollow", source)))
    return _first_fit(rows)


def _read_body() -> dict[str, Body]:
    return _first_fit(
        [
            (name, Body(_range(*side), _range(*front), _levels(*levels), _range(*long)))
            for name, *cells in _rows(_BODY)
            for side, front, levels, long in [[cells[at : at + 2] for at in range(0, 8, 2)]]
        ]
    )


def _levels(top: str, bottom: str) -> Range | None:
    return _range(*(str(LEVELS[f"vertebrae_{name}"]) if name else "" for name in (top, bottom)))


def _read_places() -> Iterator[tuple[str, str, str, float, Parts]]:
    """(kind, first, second, mm, parts) of each pair."""
    for kind, first, second, mm, parts in _rows(_PLACES):
        for side in ("left", "right") if "@" in first else ("",):
            ours = _names(first.replace("@", side))
            if second == "next":
                pairs = list(itertools.pairwise(ours))
            elif second == "later":
                pairs = list(itertools.combinations(ours, 2))
            else:
                pairs = list(itertools.product(ours, _names(second.replace("@", side))))
            for one, other in pairs:
                yield kind, one, other, float(mm or 0), cast(Parts, parts)


def _names(field: str) -> list[str]:
    return [name for pattern in field.split() for name in (*LABELS, SPINE) if fnmatch.fnmatchcase(name, pattern)]


def _read_orders() -> Iterator[Order]:
    for kind, first, second, mm, parts in _read_places():
        if kind == "z":  # z grows to the head: what lies above has the larger one
            yield Order(2, second, first, mm, parts)
        elif kind in ("x", "y"):
            yield Order(cast(Literal[0, 1], "xy".index(kind)), first, second, mm, parts)
    for name, label in LABELS.items():
        if label.side is None or name in UNSIDED:
            continue
        pair = (SPINE, name) if label.side == "left" else (name, SPINE)
        yield Order(0, *pair, SIDE_MM, "")
    for name, label in LABELS.items():
        if label.side == "right" and (partner := other_side(name)):
            yield Order(0, name, partner, 0.0, "")


LIMITS: Mapping[str, Limits] = _read_limits()
"""By label; every label has one."""
PLACES: Mapping[str, Body] = _read_body()
"""By label; every label has one."""
ORDERS: tuple[Order, ...] = tuple(_read_orders())
LARGER: tuple[Larger, ...] = tuple(
    Larger(one, other, parts) for kind, one, other, _, parts in _read_places() if kind == "ml"
)
NEAR: tuple[Near, ...] = tuple(Near(one, other, mm) for kind, one, other, mm, _ in _read_places() if kind == "near")
