"""Shapes of (z, y, x) masks: parts, morphology with balls in mm, holes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rrg.geometry import Array

Mask3D = NDArray[np.bool_]
Volume = NDArray[np.int16]


def pixel_mm2(spacing: Array) -> float:
    """Area of a pixel of an axial slice."""
    return float(spacing[1] * spacing[2])


def voxel_ml(spacing: Array) -> float:
    """Volume of a voxel."""
    return float(np.prod(spacing)) / 1000


def parts(mask: Mask3D) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Parts that touch by faces, edges or corners, numbered from 1, and their sizes in voxels."""
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(np.ascontiguousarray(mask).view(np.uint8))
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True))  # type: ignore[no-untyped-call]
    return labels, np.bincount(labels.ravel())[1:]


def _morph(name: str, mask: Mask3D, radius_mm: Sequence[float], spacing: Array) -> Mask3D:
    """SimpleITK's binary morphology with a ball of `radius_mm` (z, y, x), at least one voxel where it is not 0."""
    import SimpleITK as sitk  # noqa: N813

    voxels = [int(max(1, round(mm / step))) if mm else 0 for mm, step in zip(radius_mm, spacing, strict=True)]
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask).view(np.uint8))
    found = getattr(sitk, name)(image, voxels[::-1], sitk.sitkBall)
    return sitk.GetArrayFromImage(found).view(np.bool_)


def dilated(mask: Mask3D, radius_mm: Sequence[float], spacing: Array) -> Mask3D:
    """Grown by a ball."""
    return _morph("BinaryDilate", mask, radius_mm, spacing)


def eroded(mask: Mask3D, radius_mm: Sequence[float], spacing: Array) -> Mask3D:
    """Shrunk by a ball."""
    return _morph("BinaryErode", mask, radius_mm, spacing)


def opened(mask: Mask3D, radius_mm: Sequence[float], spacing: Array) -> Mask3D:
    """Without what a ball does not fit into."""
    return _morph("BinaryMorphologicalOpening", mask, radius_mm, spacing)


def closed(mask: Mask3D, radius_mm: Sequence[float], spacing: Array) -> Mask3D:
    """With gaps that a ball does not fit into filled."""
    return _morph("BinaryMorphologicalClosing", mask, radius_mm, spacing)


def filled(mask: Mask3D, largest_px: float | None = None) -> Mask3D:
    """Holes of each axial slice filled, up to `largest_px` pixels where it is given."""
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in mask])
    if largest_px is None:
        return filled
    for plane, before in zip(filled, mask, strict=True):
        labels, count = ndimage.label(plane & ~before)
        if count:
            large = np.flatnonzero(np.bincount(labels.ravel())[1:] > largest_px) + 1
            plane[np.isin(labels, large)] = False
    return filled
