"""Label volumes -> mask records. Pure functions.

A label volume is uint8 (slices, layers, rows, columns) on the pixel grid of its series: 0 is none, else a class id of
`rrg.anatomy`. Structures that overlap lie in different layers.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rrg.anatomy import BY_ID, LABELS, label_map_version
from rrg.errors import RecordError
from rrg.geometry import component_boxes, union_box
from rrg.records import Box, Mask, MaskLabel, Slice
from rrg.store import reference

Labels = NDArray[np.uint8]
ALIASES = {"lung_nodules": "lung_nodule", "liver_lesions": "lesion", "lung_airways": "airways", "body_trunc": "body"}
"""Class names of other TotalSegmentator tasks that mean one of our labels."""
MOST_PIECES = 100_000
"""Of all structures on one slice together; a segmentation has some hundreds."""


@dataclass(frozen=True)
class Verdict:
    """What the quality gates (`rrg.quality`) say of one structure of a volume."""

    score: float
    """0..1"""
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Labelled:
    """What an engine found in one series."""

    volume: Labels
    """(slices, layers, rows, columns) class ids."""
    looked_for: tuple[str, ...] | None
    """Labels that it could find; None: not known."""
    counts: Counter[str]
    """For the funnel."""
    flags: tuple[str, ...]
    fingerprint: str
    """Stands for all side inputs that can change the labels."""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    """By label; empty: not judged."""


def label_name(name: str) -> str | None:
    """Our name for a class name of a file or a segmenter; None when we have no such label."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    for candidate in (name, plain, ALIASES.get(plain, "")):
        if candidate in LABELS:
            return candidate
    return None


def labels_on(layers: Labels, verdicts: Mapping[str, Verdict] | None = None) -> tuple[MaskLabel, ...]:
    """The structures of one slice, (layers, rows, columns), by class id and layer; an empty slice gives none.

    `verdicts`: of the whole volume, by label. RecordError(E_MALFORMED) for noise.
    """
    found = []
    pieces = 0
    for number, layer in enumerate(layers):
        for value, place in enumerate(ndimage.find_objects(layer), 1):
            if place is None:
                continue
            inside = layer[place] == value
            boxes = tuple(_moved(box, place[1].start, place[0].start) for box in component_boxes(inside))
            pieces += len(boxes)
            if pieces > MOST_PIECES:
                raise RecordError(
                    "E_MALFORMED",
                    f"mask has more than {MOST_PIECES} pieces on one slice, which is noise; give a segmentation",
                )
            verdict = (verdicts or {}).get(BY_ID[value].name)
            found.append(
                MaskLabel(
                    label=BY_ID[value].name,
                    class_id=value,
                    layer=number,
                    area_px=int(inside.sum()),
                    box=union_box(boxes),
                    components=boxes,
                    score=verdict.score if verdict else None,
                    flags=verdict.flags if verdict else (),
                )
            )
    return tuple(sorted(found, key=lambda label: (label.class_id, label.layer)))


def _moved(box: Box, columns: int, rows: int) -> Box:
    return Box(x0=box.x0 + columns, y0=box.y0 + rows, x1=box.x1 + columns, y1=box.y1 + rows)


def mask_records(
    slices: Sequence[Slice],
    volume: Labels,
    *,
    engine: str,
    array: str,
    fingerprint: str,
    looked_for: Iterable[str] | None,
    flags: tuple[str, ...] = (),
    verdicts: Mapping[str, Verdict] | None = None,
) -> Iterator[Mask]:
    """One record per slice of `slices`, also where nothing was found. RecordError(E_MALFORMED) for noise.

    `volume` is (slices of the series, layers, rows, columns), stored as `array`. The id of a record is made from the
    slice, the engine and `fingerprint`, which stands for all that can change the labels.
    """
    known = None if looked_for is None else tuple(sorted(set(looked_for), key=lambda name: LABELS[name].class_id))
    version = label_map_version()
    labels = [labels_on(volume[slice_.index], verdicts) for slice_ in slices]  # all or none: before the first record
    for slice_, found in zip(slices, labels, strict=True):
        yield Mask(
            id=hashlib.sha256(f"mask\0{slice_.id}\0{engine}\0{fingerprint}".encode()).hexdigest()[:20],
            from_=(slice_.id,),
            patient=slice_.patient,
            study=slice_.study,
            series=slice_.series,
            slice=slice_.id,
            engine=engine,
            array=reference(array, slice_.index),
            labels=found,
            looked_for=known,
            label_map=version,
            flags=flags,
        )


def add_layer(layers: list[Labels], values: Labels) -> None:
    """Put `values` (slices, rows, columns) into the first of `layers` where nothing overlaps, else into a new one."""
    for layer in layers:
        if not np.any((layer != 0) & (values != 0) & (layer != values)):
            np.maximum(layer, values, out=layer)
            return
    layers.append(values)


def stacked(layers: Sequence[Labels]) -> Labels:
    """Layers of (slices, rows, columns) -> (slices, layers, rows, columns); at least one layer."""
    return np.stack(layers, axis=1)


def remap(values: NDArray[Any], classes: Mapping[int, int]) -> Labels:
    """Replace each value by its class id; values that `classes` does not name become 0."""
    highest = int(values.max(initial=0))
    table = np.zeros(highest + 1, np.uint8)
    for value, class_id in classes.items():
        if 0 <= value <= highest:
            table[value] = class_id
    labels: Labels = table[values]
    return labels
