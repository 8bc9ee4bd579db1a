"""Where the pixels of a sample's images come from: memory, the store, or a picture file."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError
from rrg.records import ImageRef
from rrg.store import read

Pixels = Callable[[ImageRef], NDArray[Any]]
"""The stored values of an image: (rows, columns), or (rows, columns, 3) uint8 for ``rgb``."""
MAX_IMAGE_PIXELS = 1 << 26
"""Pictures (PNG, JPEG) beyond 67 million pixels are refused: no slice or radiograph is that large."""


def pixels_of(image: ImageRef, *, store: Path | None, held: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The stored values of an image: held ones, an array of the store, or a picture file of the data set."""
    if image.ref in held:
        return held[image.ref]
    if store is None:
        raise RecordError("E_IO", "no store to read pixels from; give the --store that the records were made with")
    if "#" in image.ref:
        return read(store, image.ref)
    root = store.parent.resolve()
    path = (root / image.ref).resolve()
    if not path.is_relative_to(root):
        raise RecordError("E_PATH", "the path of a picture leads out of the data set; it must lie inside")
    return read_picture(path)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A PNG or JPEG as (rows, columns, 3) uint8, upright. RecordError for what is none, or too large."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path, formats=("PNG", "JPEG")) as opened:
                if opened.width * opened.height > MAX_IMAGE_PIXELS:
                    raise RecordError("E_TOO_LARGE", f"picture of {opened.width} x {opened.height} pixels is too large")
                grey16 = opened.mode.startswith("I") or opened.mode == "F"
                upright = ImageOps.exif_transpose(opened)
                if grey16:
                    values = np.asarray(upright).astype(np.float32)
                    low, high = float(values.min()), float(values.max())
                    scaled = np.rint((values - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
                    return np.stack([scaled] * 3, axis=-1)
                return np.asarray(upright.convert("RGB"))
    except RecordError:
        raise
    except UnidentifiedImageError:
        raise RecordError("E_MALFORMED", "not a PNG or JPEG picture; copy the file again, or leave it out") from None
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        reason = str(error).replace(str(path), "the file").splitlines()[0] if str(error) else type(error).__name__
        raise RecordError("E_MALFORMED", f"picture can not be read: {reason}") from None
