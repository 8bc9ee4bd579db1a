"""A PNG whose grey values are class numbers."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError
from rrg.infer_pixels import MAX_IMAGE_PIXELS


def read_labels(path: Path) -> NDArray[np.uint8]:
    """(rows, columns) grey values or palette numbers. RecordError for what is no such picture, or too large."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path, formats=("PNG",)) as opened:
                if opened.width * opened.height > MAX_IMAGE_PIXELS:
                    raise RecordError("E_TOO_LARGE", f"mask of {opened.width} x {opened.height} pixels is too large")
                values = np.asarray(opened)
    except RecordError:
        raise
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        raise RecordError("E_MALFORMED", "mask can not be read; expected a PNG of grey values") from None
    if values.ndim == 3:
        grey = values[..., 0]
        if not (values[..., :3] == grey[..., None]).all():
            raise RecordError("E_MALFORMED", "mask is coloured; expected grey values")
        values = grey
    if values.dtype == bool:
        values = values.astype(np.uint8)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
        raise RecordError("E_MALFORMED", "mask of values outside of 0..255")
    return np.ascontiguousarray(values, dtype=np.uint8)
