"""Lesions of two masks, matched one to one: the counts behind panoptic quality, as panoptica 2.1.7 has them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.errors import UsageError

Mask = NDArray[np.bool_]
CONNECTIVITY = {2: 4, 3: 26}
"""Neighbours that make one component, by dimension; panoptica's own choice."""
_RANK = {2: {4: 1, 8: 2}, 3: {6: 1, 18: 2, 26: 3}}
HALF = 0.5


class Instances(NamedTuple):
    """Matched and unmatched components."""

    tp: int
    fp: int
    fn: int
    iou_sum: float
    """Over the matched pairs."""


def components(mask: Mask, connectivity: int | None) -> tuple[NDArray[np.int32], int]:
    """(labels, number) of connected components. UsageError for a connectivity that its dimension does not have."""
    from scipy.ndimage import generate_binary_structure, label

    known = _RANK[mask.ndim]
    asked = CONNECTIVITY[mask.ndim] if connectivity is None else connectivity
    if asked not in known:
        raise UsageError(f"--connectivity {asked}: a mask of {mask.ndim} dimensions has {', '.join(map(str, known))}")
    labels, number = label(mask, structure=generate_binary_structure(mask.ndim, known[asked]))
    return labels, int(number)


def instances(reference: Mask, prediction: Mask, connectivity: int | None) -> Instances:
    """Components matched greedily by IoU, highest first, from one half on."""
    wanted, n_wanted = components(reference, connectivity)
    said, n_said = components(prediction, connectivity)
    code = said.astype(np.int64) * (n_wanted + 1) + wanted
    pairs, shared = np.unique(code[(said > 0) & (wanted > 0)], return_counts=True)
    rows, columns = np.divmod(pairs, n_wanted + 1)  # labels of the prediction and of the reference that touch
    sizes = np.bincount(said.ravel(), minlength=1)[rows] + np.bincount(wanted.ravel(), minlength=1)[columns]
    iou = shared / (sizes - shared)
    near = iou >= HALF
    rows, columns, iou = rows[near], columns[near], iou[near]
    order = np.argsort(-iou, kind="stable")
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    total = 0.0
    for row, column, value in zip(*(each[order].tolist() for each in (rows, columns, iou)), strict=True):
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            total += value
    tp = len(used_rows)
    return Instances(tp, n_said - tp, n_wanted - tp, total)
