"""Stored values -> the uint8 picture that a model sees, and its pixel map. The only picture path of rrg."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.records import Box

Preset = Literal["radgrounder", "soft", "lung", "bone", "brain"]
Unit = Literal["HU", "stored", "rgb"]


class Window(NamedTuple):
    """A display window in HU."""

    center: float
    width: float


CT: dict[str, tuple[Window, Window, Window]] = {
    "radgrounder": (Window(-100, 2250), Window(40, 350), Window(40, 80)),
    "soft": (Window(40, 400),) * 3,
    "lung": (Window(-600, 1500),) * 3,
    "bone": (Window(400, 1800),) * 3,
    "brain": (Window(40, 80),) * 3,
}
"""Windows of the red, green and blue channel. `radgrounder`: lung, soft tissue, brain of arXiv 2606.20477."""
AIR_HU = -1000
"""Lower values are padding (-2000 outside of the scanner's circle) or noise; they count as air."""
MR_PERCENTILES = (0.5, 99.5)
"""Values of everything but CT are scaled between these percentiles of the slice."""


class PixelMap(NamedTuple):
    """Original slice pixels -> picture pixels: multiply columns by `x`, rows by `y` (corners at integers)."""

    x: float
    y: float

    def to_picture(self, box: Box) -> Box:
        """A box of the original slice, in pixels of the picture."""
        return Box(x0=box.x0 * self.x, y0=box.y0 * self.y, x1=box.x1 * self.x, y1=box.y1 * self.y)

    def to_slice(self, box: Box) -> Box:
        """A box of the picture, in pixels of the original slice."""
        return Box(x0=box.x0 / self.x, y0=box.y0 / self.y, x1=box.x1 / self.x, y1=box.y1 / self.y)


def to_uint8(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Scale [low, high] to [0, 255] with rounding; outside values are clipped."""
    scaled = values.astype(np.float32)
    scaled -= low
    scaled *= 255.0 / max(high - low, 1e-6)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def windowed(pixels: NDArray[Any], unit: Unit, preset: Preset, *, invert: bool = False) -> NDArray[np.uint8]:
    """(rows, columns) values -> (rows, columns, 3) uint8. CT by the preset's windows, else by percentiles, grey.

    `invert` turns grey values over after the window: for ``stored`` values of MONOCHROME1 (flag ``monochrome1``), where
    high means dark. HU mean the same whatever the display, and are not inverted.
    """
    if unit == "rgb":
        return np.ascontiguousarray(pixels, dtype=np.uint8)
    if unit == "HU":
        air = np.maximum(pixels, pixels.dtype.type(AIR_HU)) if pixels.dtype.kind != "u" else pixels
        once = {w: to_uint8(air, w.center - w.width / 2, w.center + w.width / 2) for w in set(CT[preset])}
        channels = [once[w] for w in CT[preset]]
    else:
        low, high = np.percentile(pixels, MR_PERCENTILES)
        grey = to_uint8(pixels, float(low), float(high))
        channels = [255 - grey if invert else grey] * 3
    return np.stack(channels, axis=-1)


def picture(
    pixels: NDArray[Any],
    unit: Unit,
    preset: Preset = "radgrounder",
    side: int | None = None,
    *,
    invert: bool = False,
) -> tuple[NDArray[np.uint8], PixelMap]:
    """(rows, columns) values -> (side, side, 3) uint8 and the pixel map; stretched to a square.

    `side` None keeps the size of the slice.

    Both back ends of `infer` and training normalise these bytes alike: (x / 255 - 0.5) / 0.5.
    """
    full = windowed(pixels, unit, preset, invert=invert)
    rows, columns = full.shape[:2]
    if side is None:
        return full, PixelMap(1.0, 1.0)
    if (rows, columns) != (side, side):
        from PIL import Image

        full = np.array(Image.fromarray(full).resize((side, side), Image.Resampling.BILINEAR))
    return full, PixelMap(side / columns, side / rows)
