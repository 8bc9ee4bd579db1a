"""Stored values -> the uint8 picture that a model sees, and its pixel map. The only picture path of rrg.

Training and inference call the same functions: `picture_of` with a slice record, `picture` with values alone.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.records import Box, ImageRef, Slice

Preset = Literal[
    "radgrounder",
    "medgemma",
    "soft",
    "lung",
    "bone",
    "brain",
    "liver",
    "mediastinum",
    "vascular",
    "spine",
    "subdural",
    "stroke",
    "temporal-bone",
]
"""Windows of CT. Names of `CT`."""
SlicePreset = Literal[Preset, "header"]
"""``header``: the window of the DICOM header, which a slice record carries."""
Scale = Literal["percentile", "minmax"]
"""What all but CT is scaled between: two percentiles of the slice, or its smallest and largest value."""
Unit = Literal["HU", "stored", "rgb"]
BLANK = 128
"""Grey of the picture that stands for no picture."""


class Window(NamedTuple):
    """A display window, in HU (or, from a header, in the unit of the array)."""

    center: float
    width: float


CT: dict[Preset, tuple[Window, Window, Window]] = {
    "radgrounder": (Window(-100, 2250), Window(40, 350), Window(40, 80)),
    "medgemma": (Window(0, 2048), Window(40, 350), Window(40, 80)),
    "soft": (Window(40, 400),) * 3,
    "lung": (Window(-600, 1500),) * 3,
    "bone": (Window(400, 1800),) * 3,
    "brain": (Window(40, 80),) * 3,
    "liver": (Window(30, 150),) * 3,
    "mediastinum": (Window(50, 350),) * 3,
    "vascular": (Window(200, 600),) * 3,
    "spine": (Window(50, 250),) * 3,
    "subdural": (Window(75, 200),) * 3,
    "stroke": (Window(40, 40),) * 3,
    "temporal-bone": (Window(600, 2800),) * 3,
}
"""Windows of the red, green and blue channel.

`radgrounder`: lung, soft tissue, brain of arXiv 2606.20477, after a clip at -1000 HU.
`medgemma`: -1024..1024, -135..215 and 0..80 HU, as "MedGemma 1.5 has been trained with": notebook
high_dimensional_ct_hugging_face.ipynb of Google-Health/medgemma at commit d89262c, which states and computes them (and
rounds to the nearest, as here). Not certain: for MedGemma 1 the maintainers named (width, level) 2250/-100, 350/40 and
80/40 (Google-Health/medgemma#27, quoting its report), which is `radgrounder` here without the clip; the two differ in
the red channel only. The "135 to 215" of #65 is a misprint of the notebook's -135. For MR it gives no recipe.
The others: Radiopaedia, "Windowing (CT)", revision of January 2025. `subdural` is within its ranges (width 130 to 300,
level 50 to 100), `stroke` the wider of its two (the other: width 8, level 32), `soft` its abdomen (level 50, here 40).
"""
UNCLIPPED: frozenset[Preset] = frozenset({"medgemma"})
"""Presets whose source does not clip at `AIR_HU`."""
FALLBACK: Preset = "soft"
"""Window of a CT slice that is to be shown by its header and has no usable window there."""
AIR_HU = -1000
"""Lower values are padding (-2000 outside of the scanner's circle) or noise; they count as air."""
MR_PERCENTILES = (0.5, 99.5)
"""Values of everything but CT are scaled between these percentiles of the slice (`Scale` ``percentile``)."""
SMALLEST_RANGE = 1e-30
"""A window is at least this wide: what is larger than its value is white, the rest black, and nothing is divided by 0.
"""


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
    """Scale [low, high] to [0, 255] with rounding; outside values are clipped, NaN is 0."""
    return _grey(values.astype(np.float32), low, high)


def _grey(scaled: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """As `to_uint8`, in the precision of `scaled`, which is used up."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled -= low
        scaled *= 255.0 / max(high - low, SMALLEST_RANGE)
        np.rint(scaled, out=scaled)
        np.clip(scaled, 0, 255, out=scaled)
    if not np.isfinite(scaled).all():
        scaled[np.isnan(scaled)] = 0
    return scaled.astype(np.uint8)


def header_window(slice_: Slice) -> tuple[Window, str] | None:
    """Window and VOI LUT Function of a slice's header; None when there is none that the standard allows.

    LINEAR needs a width of at least 1, the others one above 0. A slice without a function is LINEAR.
    """
    if slice_.window is None:
        return None
    window, function = Window(*slice_.window), slice_.window_function or "LINEAR"
    wide_enough = window.width >= 1 if function == "LINEAR" else window.width > 0
    return (window, function) if np.isfinite(window).all() and wide_enough else None


def voi(values: NDArray[Any], window: Window, function: str = "LINEAR") -> NDArray[np.uint8]:
    """Grey values of a VOI LUT Function: LINEAR, LINEAR_EXACT or SIGMOID of DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3.

    LINEAR is ((x - (c - 0.5)) / (w - 1) + 0.5) * 255, so a width of 1 is a threshold: x > c - 0.5 is white.
    """
    exact = values.astype(np.float64)
    center, width = window
    if function == "SIGMOID":
        with np.errstate(over="ignore", invalid="ignore"):
            share = 1 / (1 + np.exp(np.clip(-4 * (exact - center) / max(width, SMALLEST_RANGE), -80, 80)))
        return _grey(share, 0, 1)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    return _grey(exact, center - width / 2, center + width / 2)


def scaled_between(values: NDArray[Any], scale: Scale, padding: float | None = None) -> tuple[float, float]:
    """(low, high) of a slice by `scale`, of its finite values that are not `padding`; (0, 0) when there are none."""
    if padding is not None:
        values = values[values != padding]
    if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        values = values[finite]
    if not values.size:
        return 0.0, 0.0
    if scale == "minmax":
        return float(values.min()), float(values.max())
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = map(float, np.percentile(values, MR_PERCENTILES))
    if not np.isfinite(high - low):  # differences overflow float32
        low, high = map(float, np.percentile(values.astype(np.float64), MR_PERCENTILES))
    return low, high


def windowed(
    pixels: NDArray[Any],
    unit: Unit,
    preset: Preset,
    *,
    invert: bool = False,
    scale: Scale = "percentile",
    padding: float | None = None,
) -> NDArray[np.uint8]:
    """(rows, columns) values -> (rows, columns, 3) uint8. CT by the preset's windows, all else by `scale`, grey.

    ``rgb`` pixels, grey or coloured, are shown as they are.

    `scale` ``minmax`` is RadGrounder's scaling of MR, symmetric to [-1, 1] once models normalise the bytes
    ((x / 255 - 0.5) / 0.5), to half a grey level; ``percentile`` resists one hot pixel. A constant slice is black.
    `invert` turns grey values over after the window: for ``stored`` values of MONOCHROME1 (flag ``monochrome1``), where
    high means dark. HU mean the same whatever the display, and are not inverted.
    `padding`, a value of pixels outside of the scanned area, does not count for `scale` and is black; in CT it is air
    (not black in a channel whose window begins below -1000 HU, as in RadGrounder's red one: the published encoding).
    """
    if unit == "rgb":
        shown = pixels.astype(np.uint8, copy=False)
        return np.ascontiguousarray(shown if shown.ndim == 3 else np.stack([shown] * 3, axis=-1))
    if unit == "HU":
        channels = _ct_channels(pixels, preset, padding)
    else:
        grey = to_uint8(pixels, *scaled_between(pixels, scale, padding))
        channels = [_finished(grey, pixels, padding, invert=invert)] * 3
    return np.stack(channels, axis=-1)


def _ct_channels(pixels: NDArray[Any], preset: Preset, padding: float | None) -> list[NDArray[np.uint8]]:
    signed = pixels.dtype.kind != "u"
    air = np.maximum(pixels, pixels.dtype.type(AIR_HU)) if signed and preset not in UNCLIPPED else pixels
    if padding is not None and padding > AIR_HU and (outside := pixels == padding).any():
        air = np.where(outside, np.float32(AIR_HU), air.astype(np.float32))
    once = {w: to_uint8(air, w.center - w.width / 2, w.center + w.width / 2) for w in set(CT[preset])}
    return [once[w] for w in CT[preset]]


def _finished(
    grey: NDArray[np.uint8], pixels: NDArray[Any], padding: float | None, *, invert: bool
) -> NDArray[np.uint8]:
    """MONOCHROME1 turned over, then what is no picture made black: padding and NaN."""
    shown = 255 - grey if invert else grey.copy()
    if padding is not None:
        shown[pixels == padding] = 0
    if pixels.dtype.kind == "f":
        shown[np.isnan(pixels)] = 0
    return shown


def picture(
    pixels: NDArray[Any],
    unit: Unit,
    preset: Preset = "radgrounder",
    side: int | None = None,
    *,
    invert: bool = False,
    scale: Scale = "percentile",
    padding: float | None = None,
) -> tuple[NDArray[np.uint8], PixelMap]:
    """(rows, columns) values -> (side, side, 3) uint8 and the pixel map; stretched to a square.

    `side` None keeps the size of the slice.

    Both back ends of `infer` and training normalise these bytes alike: (x / 255 - 0.5) / 0.5.
    """
    return _stretched(windowed(pixels, unit, preset, invert=invert, scale=scale, padding=padding), side)


def look(image: ImageRef, pixels: NDArray[Any], preset: Preset, side: int | None) -> tuple[NDArray[np.uint8], PixelMap]:
    """`picture` of an image of a sample: what a model sees, in training and in inference.

    The image's own preset goes before `preset`: a question about the window needs it shown. ValueError for a name that
    is not in `CT`.
    """
    if image.preset is not None:
        if image.preset not in CT:
            raise ValueError(f"preset {image.preset!r} of an image; windows are {', '.join(CT)}")
        preset = image.preset
    return picture(pixels, image.unit, preset, side, invert=bool(image.inverted), padding=image.padding)


def picture_of(
    slice_: Slice,
    pixels: NDArray[Any],
    preset: SlicePreset = "radgrounder",
    side: int | None = None,
    *,
    scale: Scale = "percentile",
) -> tuple[NDArray[np.uint8], PixelMap]:
    """As `picture`, with what the record of the slice says of its values: unit, padding, MONOCHROME1, header window.

    `preset` ``header`` shows a slice of any unit as its header asks (MONOCHROME1 of HU turned over, too); `shown_by`
    names what stands in where the header has no usable window.
    """
    inverted = "monochrome1" in slice_.flags
    found = header_window(slice_) if preset == "header" else None
    if found is not None:
        grey = _finished(voi(pixels, *found), pixels, slice_.padding, invert=inverted)
        return _stretched(np.stack([grey] * 3, axis=-1), side)
    named = FALLBACK if preset == "header" else preset
    return picture(pixels, slice_.unit, named, side, invert=inverted, scale=scale, padding=slice_.padding)


def shown_by(slice_: Slice, preset: SlicePreset, scale: Scale = "percentile") -> str:
    """What `picture_of` really applies: ``header``, the name of a CT window, ``percentile`` or ``minmax``."""
    if preset == "header" and header_window(slice_) is not None:
        return "header"
    if slice_.unit != "HU":
        return scale
    return FALLBACK if preset == "header" else preset


def _stretched(full: NDArray[np.uint8], side: int | None) -> tuple[NDArray[np.uint8], PixelMap]:
    rows, columns = full.shape[:2]
    if side is None:
        return full, PixelMap(1.0, 1.0)
    if (rows, columns) != (side, side):
        from PIL import Image

        full = np.array(Image.fromarray(full).resize((side, side), Image.Resampling.BILINEAR))
    return full, PixelMap(side / columns, side / rows)
