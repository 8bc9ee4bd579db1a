"""What TotalSegmentator must hold for a volume, at least: a volume that can not fit is refused before any work."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError
from rrg.geometry import Array
from rrg.totalsegmentator_tasks import Work, own_grid_mm, own_networks

GB = 10**9
SCORE_BYTES = 2
"""nnU-Net adds up its scores in half precision, for each class and voxel."""
PARTS = 3
"""TotalSegmentator cuts a large volume into three along the body."""


def check_memory(volume: NDArray[Any], affine: Array, work: Work, weights: Path, *, limit_gb: float | None) -> None:
    """RecordError E_MEMORY when the scores of `volume`, (slices, rows, columns), alone are larger than `limit_gb`.

    `affine` maps (slice, row, column) to mm. None: the memory of the machine. This is what can not be done without; a
    volume that passes may still need some times as much.
    """
    limit = physical_bytes() if limit_gb is None else limit_gb * GB
    needed = least_bytes(volume, affine, work, weights)
    if needed > limit:
        whose = "this machine has" if limit_gb is None else "--memory-limit is"
        raise RecordError(
            "E_MEMORY",
            f"TotalSegmentator needs at least {needed / GB:.2g} GB for {'x'.join(map(str, volume.shape))} voxels, "
            f"{whose} {limit / GB:.2g}; give {'' if work.fast else '--fast or '}more memory",
        )


def least_bytes(volume: NDArray[Any], affine: Array, work: Work, weights: Path) -> int:
    """Size of the scores of the network with most classes, on the grid that the task works on; 0 where a rough pass or
    the network itself chooses the region or the grid.
    """
    grid_mm = own_grid_mm(work)
    if grid_mm is None:
        return 0
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    sides = [n * mm / grid_mm for n, mm in zip(_filled(volume), spacing, strict=True)]
    classes = max(_classes(weights / network.folder / "dataset.json") for network in own_networks(work))
    return int(math.prod(sides) * classes * SCORE_BYTES / PARTS)


def _filled(volume: NDArray[Any]) -> tuple[int, ...]:
    """Sides, in voxels, of the box around what is not 0: nnU-Net cuts the rest off."""
    filled = volume.any(axis=(1, 2)), volume.any(axis=(0, 2)), volume.any(axis=(0, 1))
    return tuple(int(np.ptp(np.flatnonzero(line))) + 1 if line.any() else 0 for line in filled)


def _classes(path: Path) -> int:
    return len(json.loads(path.read_bytes())["labels"])


def physical_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
