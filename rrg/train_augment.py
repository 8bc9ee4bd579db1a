"""Augmentation of a sample: the picture and its boxes move together, and what is said of it stays true.

Shifts, scales and rotations are small, so that what is called visible stays visible; nothing is mirrored unless no word
or structure of the sample has a side.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rrg.anatomy import LABELS
from rrg.records import Box, ImageRef, Region, Sample

Kind = Literal["shift", "scale", "rotate", "intensity", "flip"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHIFT, SCALE, DEGREES = 0.04, 0.1, 5.0
"""Most: share of the side, share of the size, angle."""
GAMMA, GAMMA_ODDS = (0.7, 1.2), 0.3
BRIGHTNESS, BRIGHTNESS_ODDS = 20, 0.5
"""RadGrounder's: gamma 0.7 to 1.2 in 3 of 10 draws, +-20 grey levels in every second one."""
INSIDE = 0.9
"""Least part of a box that stays in the picture; a view that cuts more is not taken."""
_SIDED = re.compile(r"left|right|link|recht|dextr|sinist|lateral|\bl(?:i|t|ks)?\.|\br(?:e|t)\.|\b[lr]\b", re.IGNORECASE)
_LENGTH = re.compile(r"\d\s*(?:mm|cm)\b")


class View(NamedTuple):
    """Picture coordinates (x, y as shares of the side, 0.5 is the middle) -> those of the view."""

    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    degrees: float = 0.0
    """Clockwise, as seen."""
    flip: bool = False
    """Left and right are exchanged first."""

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3): view = matrix @ (x, y, 1)."""
        angle = math.radians(self.degrees)
        turn = self.scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        if self.flip:
            turn = turn @ np.diag([-1.0, 1.0])
        middle = np.array([0.5, 0.5])
        return np.column_stack([turn, middle + self.shift - turn @ middle])


def has_side(sample: Sample) -> bool:
    """A word of the sample, its answer or one of its structures is about left or right."""
    texts = [part.text or "" for turn in sample.turns for part in turn.content]
    texts += [mention.phrase for mention in sample.mentions] + [sample.answer or "", *sample.choices]
    labels = [region.label for mention in sample.mentions for region in mention.regions]
    return any(map(_SIDED.search, texts)) or any(
        _SIDED.search(label) or (label in LABELS and LABELS[label].side is not None) for label in labels
    )


def is_measured(sample: Sample) -> bool:
    """Something is told in millimetres or centimetres: the picture must keep its scale."""
    texts = [part.text or "" for turn in sample.turns for part in turn.content]
    return bool(sample.measurements) or any(map(_LENGTH.search, [*texts, sample.answer or "", *sample.choices]))


def random_view(sample: Sample, kinds: Sequence[Kind], rng: Generator) -> View:
    """A view that keeps at least `INSIDE` of every box; the picture as it is when four in a row do not."""
    measured = is_measured(sample)
    for _ in range(4):
        dx, dy, grow, turn = (2 * rng.random(4) - 1).tolist()
        mirrored = rng.random() < 0.5 and "flip" in kinds and not has_side(sample)
        view = View(
            (SHIFT * dx, SHIFT * dy) if "shift" in kinds else (0.0, 0.0),
            1 + SCALE * grow if "scale" in kinds and not measured else 1.0,
            DEGREES * turn if "rotate" in kinds else 0.0,
            mirrored,
        )
        if all(_inside(box, view, image.rows, image.columns) >= INSIDE for box, image in _placed(sample)):
            return view
    return View()


def moved_sample(sample: Sample, view: View) -> Sample:
    """The sample with its boxes where the view shows them, cut at the edges; sizes of slices stay."""
    sizes = {image.id: (image.rows, image.columns) for image in sample.images}

    def moved(region: Region) -> Region:
        rows, columns = sizes[region.image]
        boxes = (_cut(moved_box(box, view, rows, columns), rows, columns) for box in region.boxes)
        return dataclasses.replace(region, boxes=tuple(boxes))

    mentions = tuple(dataclasses.replace(each, regions=tuple(map(moved, each.regions))) for each in sample.mentions)
    return dataclasses.replace(sample, mentions=mentions)


def moved_box(box: Box, view: View, rows: int, columns: int) -> Box:
    """Where the view shows what a box holds, in pixels of the slice; may leave it.

    Rotation takes what is inside for an ellipse that fills the box: its new box is exact for round structures, and the
    corners of a box, which are empty then, do not make it larger. Without rotation it is exact for all.
    """
    turn, move = view.matrix[:, :2], view.matrix[:, 2]
    size = np.array([columns, rows], float)
    middle = np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2 / size
    half = np.array([box.x1 - box.x0, box.y1 - box.y0]) / 2 / size
    there, reach = (turn @ middle + move) * size, np.sqrt((turn**2) @ half**2) * size
    low, high = there - reach, there + reach
    return Box(x0=float(low[0]), y0=float(low[1]), x1=float(high[0]), y1=float(high[1]))


def moved_picture(picture: NDArray[np.uint8], view: View, *, nearest: bool = False) -> NDArray[np.uint8]:
    """(side, side) or (side, side, channels) uint8 as the view shows it; `nearest` for masks. Outside is black."""
    from PIL import Image

    if view == View():
        return picture
    side = picture.shape[0]
    whole = np.vstack([view.matrix, [0, 0, 1]])
    back = np.linalg.inv(whole)[:2]
    back[:, 2] *= side
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    shown = Image.fromarray(picture).transform((side, side), Image.Transform.AFFINE, tuple(back.ravel()), resample=how)
    return np.asarray(shown)


def moved_intensity(picture: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Another gamma and brightness, each of them not always."""
    values = picture.astype(np.float32)
    gamma, shift = float(rng.uniform(*GAMMA)), float(rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    if rng.random() < GAMMA_ODDS:
        values = np.float32(255) * (values / np.float32(255)) ** np.float32(gamma)
    if rng.random() < BRIGHTNESS_ODDS:
        values = np.where(picture > 0, values + np.float32(shift), values)  # what lies outside of the scan stays black
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _placed(sample: Sample) -> Iterator[tuple[Box, ImageRef]]:
    images = {image.id: image for image in sample.images}
    for mention in sample.mentions:
        for region in mention.regions:
            for box in region.boxes:
                yield box, images[region.image]


def _inside(box: Box, view: View, rows: int, columns: int) -> float:
    """Part of the moved box that the picture shows."""
    moved = moved_box(box, view, rows, columns)
    width = max(0.0, min(moved.x1, columns) - max(moved.x0, 0.0))
    height = max(0.0, min(moved.y1, rows) - max(moved.y0, 0.0))
    return width * height / max((moved.x1 - moved.x0) * (moved.y1 - moved.y0), 1e-9)


def _cut(box: Box, rows: int, columns: int) -> Box:
    return Box(x0=max(box.x0, 0.0), y0=max(box.y0, 0.0), x1=min(box.x1, float(columns)), y1=min(box.y1, float(rows)))
