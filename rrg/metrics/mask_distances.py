"""Distances between the surfaces of two masks, in mm, as two packages define them. Both masks hold something here."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
INFINITE = float("inf")
HAUSDORFF = {"hd95": 95, "hd100": 100}
"""Percentile of each distance of Hausdorff's kind."""


def nsd_name(tau_mm: float) -> str:
    """Name of the surface Dice at a tolerance: ``nsd_1mm``, ``nsd_0.5mm``."""
    return f"nsd_{tau_mm:g}mm"


def deepmind(
    reference: Mask, prediction: Mask, spacing_mm: Sequence[float], taus_mm: Sequence[float]
) -> dict[str, float | None]:
    """hd95, hd100, both directions of asd, nsd: surface-distance 0.1, elements weighted by area, larger direction.

    With an empty mask the package ends with an error under NumPy 2; these are the values that it means.
    """
    wanted, said = bool(reference.any()), bool(prediction.any())
    if not (wanted and said):
        made: dict[str, float | None] = dict.fromkeys(HAUSDORFF, INFINITE)
        made["asd.reference_to_prediction"] = INFINITE if wanted else None
        made["asd.prediction_to_reference"] = INFINITE if said else None
        return made | {nsd_name(tau): 0.0 if wanted or said else None for tau in taus_mm}
    import surface_distance as package

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of scipy, for ndimage.filters and ndimage.morphology
        found: Any = package.compute_surface_distances(reference, prediction, list(spacing_mm))
        there, back = package.compute_average_surface_distance(found)
        return {
            **{name: float(package.compute_robust_hausdorff(found, at)) for name, at in HAUSDORFF.items()},
            "asd.reference_to_prediction": float(there),
            "asd.prediction_to_reference": float(back),
            **{nsd_name(tau): float(package.compute_surface_dice_at_tolerance(found, tau)) for tau in taus_mm},
        }


def pooled(reference: Mask, prediction: Mask, spacing_mm: Sequence[float]) -> dict[str, float | None]:
    """hd95, hd100, assd as medpy 0.5.2: distances between border pixels, both directions in one list."""
    if not (reference.any() and prediction.any()):
        return dict.fromkeys((*HAUSDORFF, "assd"))
    both = np.concatenate(
        [_to_border(prediction, reference, spacing_mm), _to_border(reference, prediction, spacing_mm)]
    )
    return {
        **{name: float(np.percentile(both, at)) for name, at in HAUSDORFF.items()},
        "assd": float(both.mean()),
    }


def _to_border(one: Mask, other: Mask, spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """(n,) mm from each border pixel of `one` to the nearest border pixel of `other`. Borders lie inside."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~_border(other), sampling=spacing_mm))[_border(one)]


def _border(mask: Mask) -> Mask:
    """Pixels of the mask that have a neighbour outside, along an axis; what lies beyond the array is outside."""
    from scipy.ndimage import binary_erosion

    return np.asarray(mask & ~binary_erosion(mask))
