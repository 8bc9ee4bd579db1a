"""Which volumes of a study are segmented, and which take the mask of another one. Records only, no pixels.

One volume per acquisition and frame of reference is segmented, its primary. A reformat, or a reconstruction of the same
acquisition with another kernel, lies in the same patient coordinates: it takes the primary's mask
(`rrg.acquisitions_sample`). In doubt a volume is segmented itself: phases and positions differ by breath and contrast.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from rrg.errors import RecordError
from rrg.geometry import patient_from_voxel
from rrg.masks_grid import Grid, grid_of
from rrg.records import Slice

NEVER = ("localizer", "bolus", "mip", "vrt")
"""Roles without a volume behind their pixels: a projection shows what lies behind each other at one place."""
MOST = 0.9
"""A reconstruction takes the mask of a volume that covers at least this part of it."""
HALF = 0.5
"""A reformat too; its corners may lie outside."""


@dataclass(frozen=True)
class Gates:
    """What a volume must have to be segmented itself."""

    min_slices: int = 1
    min_fov_mm: float = 0.0
    """Shorter side of a slice."""


@dataclass(frozen=True)
class Plan:
    """What to do with each series of a study."""

    own: tuple[str, ...] = ()
    """Series that are segmented, in the order given."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Series -> the one of `own` whose mask it takes."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Series -> why nothing is done: its role, ``few_slices`` or ``small_fov``."""
    ambiguous: tuple[str, ...] = ()
    """Reformats of `own` that could belong to several acquisitions."""


class _Volume(NamedTuple):
    first: Slice
    grid: Grid | None
    """None where slices have no even grid in mm."""


def plan(series: Mapping[str, Sequence[Slice]], gates: Gates, *, share: bool = True) -> Plan:
    """Decide for each series of a study; `series` maps ids to slices in index order.

    Does not depend on the order of the series, but for that of `Plan.own`. Without `share` every volume that passes the
    gates is segmented.
    """
    left_out = {name: why for name, slices in series.items() if (why := _never(slices[0]))}
    rest = {name: _Volume(slices[0], _grid(slices)) for name, slices in series.items() if name not in left_out}
    small = {name: why for name, volume in rest.items() if (why := too_small(volume.first, gates))}
    shared: dict[str, str] = {}
    ambiguous = []
    if share:
        ranked = sorted((name for name in rest if _is_source(rest[name]) and name not in small), key=_ranks(rest))
        primaries: list[str] = []
        for name in ranked:
            found = next((p for p in primaries if _same_acquisition(rest[p], rest[name])), None)
            if found is None:
                primaries.append(name)
            else:
                shared[name] = found
        for name, volume in rest.items():
            if volume.first.role == "reformat":
                home = _home(volume, [(p, rest[p]) for p in primaries])
                if len(home) == 1:
                    shared[name] = home[0]
                elif home and name not in small:
                    ambiguous.append(name)
    own = tuple(name for name in rest if name not in shared and name not in small)
    left_out |= {name: why for name, why in small.items() if name not in shared}
    return Plan(own, shared, left_out, tuple(ambiguous))


def _never(first: Slice) -> str | None:
    return first.role if first.role in NEVER else None


def too_small(first: Slice, gates: Gates) -> str | None:
    """Gate that a volume does not pass, by any of its slices; None: it passes."""
    if first.count < gates.min_slices:
        return "few_slices"
    if first.spacing_mm is not None:
        side_mm = min(first.rows * first.spacing_mm[0], first.columns * first.spacing_mm[1])
        if side_mm < gates.min_fov_mm:
            return "small_fov"
    return None


def _grid(slices: Sequence[Slice]) -> Grid | None:
    try:
        return grid_of(slices)
    except RecordError:
        return None


def _is_source(volume: _Volume) -> bool:
    return volume.first.role == "primary" and volume.grid is not None and volume.first.frame_of_reference is not None


def _ranks(volumes: Mapping[str, _Volume]) -> Any:
    """Sort key, best first: thinnest slices, longest reach, soft kernel, series number."""

    def rank(name: str) -> tuple[Any, ...]:
        first, grid = volumes[name]
        assert grid is not None
        step_mm = float(np.linalg.norm(grid.affine[:3, 0]))
        thickness_mm = first.thickness_mm or step_mm
        number = first.series_number
        return (
            round(thickness_mm, 1),
            -round(step_mm * first.count),
            first.kernel != "soft",
            2**31 if number is None else number,
            name,
        )

    return rank


# --- who belongs together


def _same_acquisition(primary: _Volume, other: _Volume) -> bool:
    """Both are reconstructions of one CT acquisition, by another kernel."""
    a, b = primary.first, other.first
    return (
        a.modality == b.modality == "CT"
        and a.frame_of_reference == b.frame_of_reference
        and a.acquisition is not None
        and a.acquisition == b.acquisition
        and (a.contrast, a.contrast_phase) == (b.contrast, b.contrast_phase)
        and a.kernel is not None
        and b.kernel is not None
        and a.kernel != b.kernel
        and _covered(primary, other) >= MOST
    )


def _home(reformat: _Volume, primaries: Sequence[tuple[str, _Volume]]) -> list[str]:
    """Primaries that a reformat may come from: one, none, or several that its words do not tell apart."""
    may = [(name, volume) for name, volume in primaries if _may_be_of(reformat, volume)]
    for word in ("acquisition", "contrast_phase"):
        if len(may) > 1:
            may = [each for each in may if _says_same(reformat.first, each[1].first, word)] or may
    first = reformat.first
    phase_is_known = first.contrast is False or first.contrast_phase is not None
    if len(may) > 1 and phase_is_known and all(_is_one_scan(first, volume.first) for _, volume in may):
        return [may[0][0]]  # reconstructions of one scan: the best
    return [name for name, _ in may]


def _may_be_of(reformat: _Volume, primary: _Volume) -> bool:
    """Nothing that the records say speaks against it."""
    a, b = reformat.first, primary.first
    if reformat.grid is None or a.frame_of_reference is None or a.frame_of_reference != b.frame_of_reference:
        return False
    if a.modality != b.modality or any(_differ(a, b, word) for word in ("acquisition", "contrast", "contrast_phase")):
        return False
    if a.modality == "MR" and (a.sequence is None or (a.sequence, a.fat_suppressed) != (b.sequence, b.fat_suppressed)):
        return False
    return _covered(primary, reformat) >= HALF


def _differ(a: Slice, b: Slice, word: str) -> bool:
    one, other = getattr(a, word), getattr(b, word)
    return one is not None and other is not None and one != other


def _says_same(a: Slice, b: Slice, word: str) -> bool:
    return getattr(a, word) is not None and getattr(a, word) == getattr(b, word)


def _is_one_scan(a: Slice, b: Slice) -> bool:
    """Acquisition number, contrast agent and phase are the same, and known as far as they exist."""
    same = a.acquisition is not None and a.acquisition == b.acquisition
    return same and (a.contrast, a.contrast_phase) == (b.contrast, b.contrast_phase)


def _covered(source: _Volume, target: _Volume) -> float:
    """Part of the target's volume that lies in the source's, by 9 x 9 x 9 of its voxels."""
    assert source.grid is not None
    if target.grid is None:
        return 0.0
    axes = [np.unique(np.linspace(0, size - 1, 9).round()) for size in target.grid.shape]
    points = patient_from_voxel(np.array(list(itertools.product(*axes))), target.grid.affine)
    voxels = patient_from_voxel(points, np.linalg.inv(source.grid.affine).astype(float))
    return float(((voxels >= -0.5) & (voxels < np.array(source.grid.shape) - 0.5)).all(axis=1).mean())
