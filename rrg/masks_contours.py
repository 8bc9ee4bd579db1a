"""Regions drawn by people as polygons per slice, in a small JSON format.

::

    {"label": "lung_nodule", "min_readers": 3, "border": "excluded",
     "readers": [{"slices": {"<SOP Instance UID>": [[[column, row], ...], ...]},
                  "holes":  {"<SOP Instance UID>": [[[column, row], ...]]}}]}

A file holds one such object or a list of them. Points are pixel indices: (0, 0) is the centre of the first pixel. One
reader may write ``slices`` and ``holes`` at the top instead of ``readers``. A pixel belongs to the region when at least
``min_readers`` readers drew it (default: all; ``--consensus`` counts instead). ``border`` says whether the pixels on
the line belong to it (``included``, default) or not (``excluded``: the line runs just outside, as in LIDC-IDRI).
"""

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import LABELS
from rrg.errors import RecordError, UsageError
from rrg.keys import sop_instance_id
from rrg.masks import Labelled, Labels, add_layer, stacked
from rrg.provenance import sha256_file
from rrg.records import Slice

Polygon = tuple[tuple[float, float], ...]
"""(column, row) points."""
Drawn = Mapping[str, tuple[Polygon, ...]]
"""SOP Instance UID -> polygons."""


@dataclass(frozen=True)
class Reader:
    """What one person drew."""

    slices: Drawn
    holes: Drawn


@dataclass(frozen=True)
class Region:
    """One structure as several people drew it."""

    label: str
    readers: tuple[Reader, ...]
    min_readers: int
    border: bool
    """Pixels on the line belong to it."""
    alone: bool
    """One reader, who wrote no list of readers: others may have drawn it in other files."""


@dataclass(frozen=True)
class Contours:
    """A contours file."""

    regions: tuple[Region, ...]
    sha256: str


@functools.lru_cache(8)
def read_contours(path: Path) -> Contours:
    """Read a contours file. Raises UsageError that says what is wrong with it."""
    try:
        given = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"--masks {path}: {error.strerror if isinstance(error, OSError) else 'not JSON'}; expected contours"
        ) from None
    try:
        regions = tuple(_region(each) for each in (given if isinstance(given, list) else [given]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"--masks {path}: no contours ({error}); expected "
            '{"label": NAME, "slices": {SOP_INSTANCE_UID: [[[column, row], ...]]}}'
        ) from None
    return Contours(regions, sha256_file(path))


def _region(given: Mapping[str, Any]) -> Region:
    if given["label"] not in LABELS:
        raise ValueError(f"{given['label']!r} is no label of rrg")
    readers = tuple(
        Reader(slices=_drawn(reader["slices"]), holes=_drawn(reader.get("holes", {})))
        for reader in given.get("readers", [given])
    )
    least = int(given.get("min_readers", len(readers)))
    border = given.get("border", "included")
    if border not in ("included", "excluded"):
        raise ValueError(f"border is {border!r}, expected 'included' or 'excluded'")
    if not 1 <= least <= len(readers):
        raise ValueError(f"min_readers is {least} of {len(readers)} readers")
    return Region(given["label"], readers, least, border == "included", "readers" not in given)


def _drawn(given: Mapping[str, Any]) -> Drawn:
    drawn = {
        uid: tuple(tuple((float(column), float(row)) for column, row in polygon) for polygon in polygons)
        for uid, polygons in given.items()
    }
    if any(not polygon for polygons in drawn.values() for polygon in polygons):
        raise ValueError("a polygon has no points")
    return drawn


def draw(
    contours: Contours, slices: Sequence[Slice], key: bytes, *, least: int | None = None, alone: bool | None = None
) -> Labelled | None:
    """Fill the polygons on the slices of one series; None when no slice of it is named.

    `least`: so many readers of a region must agree, whatever the file says; nothing is left of regions of fewer.
    `alone`: only regions with (False) or without (True) a list of readers.
    """
    index = {slice_.sop_instance: slice_.index for slice_ in slices}
    first = slices[0]
    layers: list[Labels] = []
    looked_for: set[str] = set()
    counts: Counter[str] = Counter()
    for region in contours.regions:
        if alone not in (None, region.alone):
            continue
        votes: dict[int, NDArray[np.uint8]] = {}
        touched = False
        for reader in region.readers:
            for uid, polygons in reader.slices.items():
                if (at := index.get(sop_instance_id(key, uid))) is None:
                    continue
                touched = True
                inside = _filled(polygons, reader.holes.get(uid, ()), first.rows, first.columns, border=region.border)
                votes[at] = votes.get(at, np.zeros_like(inside)) + inside
        if touched:
            values = np.zeros((first.count, first.rows, first.columns), np.uint8)
            for at, count in votes.items():
                values[at][count >= (least or region.min_readers)] = LABELS[region.label].class_id
            if not values.any():
                counts["consensus.none"] += 1
            add_layer(layers, values)
            looked_for.add(region.label)
    if not layers:
        return None
    return Labelled(
        volume=stacked(layers),
        looked_for=tuple(looked_for),
        counts=counts,
        flags=(),
        fingerprint=contours.sha256,
    )


def _filled(
    polygons: Sequence[Polygon], holes: Sequence[Polygon], rows: int, columns: int, *, border: bool
) -> NDArray[np.uint8]:
    """1 inside of the polygons, (rows, columns)."""
    filled = np.zeros((rows, columns), np.uint8)
    for polygon in polygons:
        filled |= _polygon(polygon, rows, columns, border=border)
    for hole in holes:
        filled &= 1 - _polygon(hole, rows, columns, border=border)
    return filled


def _polygon(polygon: Polygon, rows: int, columns: int, *, border: bool) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw

    if any(not (-0.5 <= column <= columns - 0.5 and -0.5 <= row <= rows - 0.5) for column, row in polygon):
        raise RecordError("E_GRID", f"a contour leaves its slice of {columns} columns x {rows} rows; points are pixels")
    image = Image.new("L", (columns, rows))
    pen = ImageDraw.Draw(image)
    if len(polygon) > 2:
        pen.polygon(polygon, fill=1, outline=1)
    else:
        pen.line(polygon * 2, fill=1)
    if not border:
        pen.line((*polygon, polygon[0]), fill=0)
    return np.asarray(image, np.uint8)
