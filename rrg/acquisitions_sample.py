"""A label volume read on the grid of another volume through the patient, and how much of each slice it covers."""

import numpy as np

from rrg.geometry import Array
from rrg.masks import Labels, stacked
from rrg.masks_grid import Grid, onto


def sampled(labels: Labels, source: Grid, target: Grid) -> Labels:
    """`labels`, (slices, layers, rows, columns) on `source`, at the nearest voxel of each voxel of `target`.

    0 where `source` does not reach.
    """
    layers = (labels[:, number] for number in range(labels.shape[1]))
    return stacked([np.ascontiguousarray(onto(layer, source.affine, target, resample=True)) for layer in layers])


def covered(source: Grid, target: Grid) -> Array:
    """(slices,) part of the pixels of each slice of `target` that lie in a voxel of `source`, 0..1."""
    slices, rows, columns = target.shape
    to_source = np.linalg.inv(source.affine) @ target.affine
    shares = np.empty(slices)
    down, along = np.arange(rows)[:, None], np.arange(columns)[None, :]
    for number in range(slices):
        inside = np.ones((rows, columns), bool)
        for axis, size in enumerate(source.shape):
            start = to_source[axis, 0] * number + to_source[axis, 3]
            place = start + to_source[axis, 1] * down + to_source[axis, 2] * along
            inside &= (place >= -0.5) & (place < size - 0.5)
        shares[number] = inside.mean()
    return shares
