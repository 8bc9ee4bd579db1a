"""Bone of a CT by HU: cortex, marrow, and enhanced blood told apart. `rrg.threshold` tells where the numbers are from.

Arrays are (z, y, x) in patient order.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rrg.geometry import Array
from rrg.threshold_shapes import Mask3D, Volume, closed, dilated, eroded, filled, parts, pixel_mm2, voxel_ml

CORTEX_HU = 200
CORTEX_TOP_HU = 250
"""The brightest 2 percent of a piece of bone; less is a vessel or stool."""
RIM_MM = 3.0
"""Bone above BONE_HU reaches this far beyond what CORTEX_HU finds (thin or spongy edges, partial volume)."""
BONE_HU = 130
BONE_CLOSE_MM = 4.0
MARROW_MM2 = 2500.0
"""Largest hole that is filled on an axial slice: a vertebra or femoral head, not the inside of the skull."""
MARROW_ACROSS_MM2 = 900.0
"""The same on sagittal and coronal planes: the body of a vertebra."""
NOISY_MM = 1.5
"""Finer pixels are noisy: a 3 x 3 median is taken first."""
BLOOD_MM = (4.0, 6.0, 8.0)
"""Radii at which the inside of vessels and organs is looked for."""
BLOOD_HU = 400
"""Brighter parts count as bone, blood of a very early phase too."""
BLOOD_CORE_ML = 0.3
BRIGHT_RIM = 0.035
"""Part of the rim that is brighter than the core: marrow more, blood less."""
BONE_ML = 0.3
"""Smallest piece of bone, contrast or calcification."""


def bone_of(hu: Volume, body: Mask3D, spacing: Array) -> Mask3D:
    """Bones with their marrow."""
    size = 3 if max(spacing[1:]) < NOISY_MM else 1
    smooth = np.where(body, ndimage.median_filter(hu, (1, size, size)), np.int16(-1024))
    bright = smooth > BONE_HU
    blood, level = _blood(smooth, bright, spacing)
    labels, sizes = parts((smooth > CORTEX_HU) & ~blood)
    places = ndimage.find_objects(labels)
    kept = [
        number
        for number in (np.flatnonzero(sizes * voxel_ml(spacing) >= BONE_ML) + 1).tolist()
        if _top(smooth, labels, number, places[number - 1]) > max(CORTEX_TOP_HU, level + 20)
    ]
    whole = _solid(np.isin(labels, kept), spacing)
    whole |= bright & dilated(whole, (RIM_MM,) * 3, spacing)
    return body & ~blood & _solid(whole, spacing)


def _top(hu: Volume, labels: NDArray[np.uint32], number: int, place: tuple[slice, ...]) -> float:
    """The 98th percentile of HU in one part."""
    return float(np.percentile(hu[place][labels[place] == number], 98))


def _solid(bone: Mask3D, spacing: Array) -> Mask3D:
    """Gaps and marrow filled, from all three sides: a gap of the cortex is not in all planes."""
    shell = closed(bone, (BONE_CLOSE_MM,) * 3, spacing)
    whole = shell.copy()
    for across in (1, 2):
        pixel = float(np.prod(np.delete(spacing, across)))
        planes = filled(np.moveaxis(shell, across, 0), MARROW_ACROSS_MM2 / pixel)
        whole |= np.moveaxis(planes, 0, across)
    return filled(whole, MARROW_MM2 / pixel_mm2(spacing))


def _blood(hu: Volume, bright: Mask3D, spacing: Array) -> tuple[Mask3D, int]:
    """Enhanced blood and organs, and their highest HU; nothing and 0 without contrast agent.

    Thick bright parts without a brighter rim: marrow lies in cortical bone, blood lies in darker tissue.
    """
    found, highest = np.zeros_like(bright), 0
    for radius in BLOOD_MM:
        labels, sizes = parts(eroded(bright & (hu < BLOOD_HU), (radius,) * 3, spacing))
        places = ndimage.find_objects(labels)
        for number in np.flatnonzero(sizes * voxel_ml(spacing) >= BLOOD_CORE_ML) + 1:
            margin = [int(np.ceil((radius + 4) / mm)) + 1 for mm in spacing]
            place = tuple(
                slice(max(0, c.start - m), c.stop + m) for c, m in zip(places[number - 1], margin, strict=True)
            )
            inside = labels[place] == number
            level = int(np.percentile(hu[place][inside], 95))
            around = dilated(inside, (radius + 4.0,) * 3, spacing)
            rim = around & ~dilated(inside, (radius / 2,) * 3, spacing)
            if (hu[place][rim] > level + 20).mean() < BRIGHT_RIM:
                found[place] |= around & bright[place] & (hu[place] <= level + 20)
                highest = max(highest, level)
    return found, highest
