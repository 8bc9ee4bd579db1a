"""Pixels of a slice -> small PNG pictures for a page, with the letters of the patient's directions at their edges."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError
from rrg.records import ImageRef, Slice
from rrg.study_choice import image_number
from rrg.windows import Preset, windowed

CT_PRESETS: tuple[Preset, ...] = ("soft", "lung", "bone")
"""Windows that a page offers for CT; the first one is shown at the start."""
LONGEST_SIDE = 1024
"""Larger pictures are scaled down; boxes are drawn in slice pixels all the same."""
THUMBNAIL_SIDE = 96
LETTER_SHARE = 0.26
"""A direction gets a second letter when that axis has at least this share: tilts up to 15 degrees are not told."""


class Edges(NamedTuple):
    """Where the patient's Right, Left, Anterior, Posterior, Head and Foot are, at the edges of a picture."""

    left: str
    right: str
    top: str
    bottom: str


@dataclass(frozen=True)
class Picture:
    """A slice, ready for a page."""

    rows: int
    columns: int
    height_per_width: float
    """Of one pixel: row spacing / column spacing; 1 when not known."""
    windows: dict[str, str]
    """Name of a window (or ``plain``) -> picture as data URI."""
    thumbnail: str
    """Data URI with square pixels."""
    edges: Edges | None = None
    modality: str | None = None
    series_number: int | None = None
    index: int | None = None
    """Zero-based index in the volume."""
    count: int | None = None
    """Slices of the volume."""
    number: int | None = None
    """Image number, as a viewer shows it and a report writes it."""


def letters(direction: Sequence[float]) -> str:
    """Letters of a direction (x, y, z) in LPS, largest share first: ``L``, or ``LP`` for an oblique one."""
    names = (("L", "R"), ("P", "A"), ("H", "F"))
    size = float(np.linalg.norm(direction)) or 1.0
    shares = sorted(((abs(float(v)) / size, axis) for axis, v in enumerate(direction)), key=lambda s: (-s[0], s[1]))
    told = [axis for share, axis in shares[:2] if share >= LETTER_SHARE]
    return "".join(names[axis][0 if direction[axis] > 0 else 1] for axis in told)


def edges(orientation: Sequence[float]) -> Edges:
    """Letters at the edges of a picture from Image Orientation (Patient): axial slices have R on their left."""
    along_row, along_column = list(orientation[:3]), list(orientation[3:])
    return Edges(
        left=letters([-v for v in along_row]),
        right=letters(along_row),
        top=letters([-v for v in along_column]),
        bottom=letters(along_column),
    )


def picture_of(image: ImageRef, pixels: NDArray[Any], slice_: Slice | None = None) -> Picture:
    """The pictures of one image. `pixels` are (rows, columns) values, or (rows, columns, 3) uint8 for ``rgb``."""
    presets: tuple[Preset, ...] = CT_PRESETS if image.unit == "HU" else ("soft",)
    invert, padding = bool(image.inverted), image.padding
    shown = {preset: windowed(pixels, image.unit, preset, invert=invert, padding=padding) for preset in presets}
    rows, columns = pixels.shape[:2]
    spacing = image.spacing_mm or (slice_.spacing_mm if slice_ else None)
    ratio = spacing[0] / spacing[1] if spacing else 1.0
    return Picture(
        rows=rows,
        columns=columns,
        height_per_width=ratio,
        windows={name if image.unit == "HU" else "plain": _uri(_small(values)) for name, values in shown.items()},
        thumbnail=_uri(_thumbnail(shown[presets[0]], ratio)),
        edges=edges(slice_.orientation) if slice_ and slice_.orientation else None,
        modality=image.modality,
        series_number=slice_.series_number if slice_ else None,
        index=slice_.index if slice_ else None,
        count=slice_.count if slice_ else None,
        number=image_number(slice_) if slice_ and slice_.instance_number is not None else None,
    )


def pictures_of(
    images: Iterable[ImageRef], pixels: Callable[[ImageRef], NDArray[Any]], known: Mapping[str, Slice]
) -> dict[str, Picture]:
    """The pictures of `images` by reference, with the places of the `known` slices; unreadable ones are missing."""
    found: dict[str, Picture] = {}
    for image in images:
        if image.ref not in found:
            try:
                found[image.ref] = picture_of(image, pixels(image), known.get(image.slice or ""))
            except RecordError:
                continue  # who reads the samples reports it: `infer` by an error record, `view` by a count
    return found


def _small(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """No side longer than LONGEST_SIDE."""
    rows, columns = values.shape[:2]
    shrink = max(rows, columns) / LONGEST_SIDE
    if shrink <= 1:
        return values
    return _resized(values, max(round(columns / shrink), 1), max(round(rows / shrink), 1))


def _thumbnail(values: NDArray[np.uint8], ratio: float) -> NDArray[np.uint8]:
    rows, columns = values.shape[0] * ratio, values.shape[1]
    shrink = max(rows, columns) / THUMBNAIL_SIDE
    return _resized(values, max(round(columns / shrink), 1), max(round(rows / shrink), 1))


def _resized(values: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.LANCZOS))


def _uri(values: NDArray[np.uint8]) -> str:
    """(rows, columns, 3) uint8 -> PNG as data URI; grey when the channels are equal."""
    from PIL import Image

    grey = (values == values[..., :1]).all()
    file = io.BytesIO()
    Image.fromarray(values[..., 0] if grey else values).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
