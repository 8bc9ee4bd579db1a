"""Airways and lungs of a CT by HU, sides by the patient. `rrg.threshold` tells where the numbers are from.

Arrays are (z, y, x) in patient order: z grows to the head, y to the back, x to the patient's left.
"""

from typing import Any

import numpy as np
from scipy import ndimage

from rrg.geometry import Array
from rrg.threshold_shapes import Mask3D, Volume, closed, dilated, eroded, filled, parts, pixel_mm2, voxel_ml

AIR_HU = -400
LUNG_MEDIAN_HU = (-960, -450)
"""Parenchyma in inspiration and expiration; gut gas lies below, about -1000."""
GAS_HU = -950
"""A tenth of a small part below: gas in stomach or colon. Large parts (`LARGE_ML`) may be emphysema."""
LARGE_ML = 500.0
LUNG_ML = 15.0
"""Smallest part of a lung: a slab of the bases in an abdominal CT."""
LUNG_CLOSE_MM = 4.0
VESSEL_MM2 = 500.0
"""Largest hole that is filled on an axial slice: vessels, and nodules of 25 mm; not the dome of the diaphragm."""
BUBBLE_MM2 = 100.0
"""Smallest section of a bubble of gas that touches a lung across a thin wall."""
BUBBLE_HU = -910
"""Nine tenths of the inside of such a bubble lie below; any section of a lung has vessels and denser parenchyma."""

TRACHEA_HU = -900
LUMEN_HU = range(-990, -790, 10)
"""Thresholds that airways are grown with, from tight to loose."""
TRACHEA_MM2 = (40.0, 700.0)
TRACHEA_MM = 20.0
"""Shortest tube that counts as a trachea."""
LEAK = 1.06
"""Growth of volume from one threshold to the next (10 HU) that is a leak into the lungs."""
AIRWAYS_ML = (3.0, 200.0)


def airways_and_lungs(hu: Volume, body: Mask3D, spacing: Array) -> tuple[Mask3D, Mask3D, Mask3D]:
    """(airways, left lung, right lung); each may be empty."""
    nothing = np.zeros_like(body)
    air = body & (hu < AIR_HU)
    airways = _airways(hu, air, spacing)
    kept = nothing.copy()
    lungs = air & ~dilated(airways, (1.5,) * 3, spacing)
    labels, sizes = parts(lungs & ~_bubbles(hu, lungs, spacing))
    for number in np.flatnonzero(sizes * voxel_ml(spacing) >= LUNG_ML) + 1:
        part = labels == number
        low, median = np.percentile(hu[part], (10, 50))
        large = sizes[number - 1] * voxel_ml(spacing) >= LARGE_ML
        if LUNG_MEDIAN_HU[0] < median < LUNG_MEDIAN_HU[1] and (large or low > GAS_HU):
            kept |= part
    if not kept.any():
        return nothing, nothing, nothing
    left, right = _sides(kept, body, spacing)
    left, right = (_compact(lung, spacing) & body for lung in (left, right))
    return airways, left & ~airways, right & ~airways & ~left


def _bubbles(hu: Volume, air: Mask3D, spacing: Array) -> Mask3D:
    """Gas of stomach and colon in sections that no lung has."""
    found = np.zeros_like(air)
    for plane, values, out in zip(air, hu, found, strict=True):
        labels, _ = ndimage.label(plane)
        inner = ndimage.binary_erosion(plane, iterations=2)
        for number, place in enumerate(ndimage.find_objects(labels), 1):
            inside = labels[place] == number
            deep = inside & inner[place]
            if deep.sum() * pixel_mm2(spacing) >= BUBBLE_MM2 and np.percentile(values[place][deep], 90) < BUBBLE_HU:
                out[place] |= inside
    return found


def _compact(lung: Mask3D, spacing: Array) -> Mask3D:
    """Vessels and nodules filled. Thick slices are not closed across: that would cut off the dome of the diaphragm."""
    across = LUNG_CLOSE_MM if spacing[0] <= LUNG_CLOSE_MM else 0.0
    whole = closed(lung, (across, LUNG_CLOSE_MM, LUNG_CLOSE_MM), spacing)
    compact: Mask3D = ndimage.binary_fill_holes(whole) | filled(whole, VESSEL_MM2 / pixel_mm2(spacing))
    return compact


def _airways(hu: Volume, air: Mask3D, spacing: Array) -> Mask3D:
    """Trachea and bronchi; empty when no trachea is in the picture."""
    smooth = np.where(air, ndimage.median_filter(hu, (1, 3, 3)), np.int16(0))
    seed = _trachea(smooth < TRACHEA_HU, spacing)
    nothing = np.zeros_like(air)
    if not seed.any():
        return nothing
    grown, before = nothing, 0.0
    for limit in LUMEN_HU:
        labels, _ = ndimage.label(smooth < limit)
        hit = np.unique(labels[seed])
        region = np.isin(labels, hit[hit > 0])
        volume = float(region.sum()) * voxel_ml(spacing)
        if volume > AIRWAYS_ML[1] or (before and volume > LEAK * before):
            break
        if (region & seed).sum() > 0.8 * seed.sum():
            grown, before = region, volume
    return grown if before >= AIRWAYS_ML[0] else nothing


def _trachea(lumen: Mask3D, spacing: Array) -> Mask3D:
    """The longest tube of round cross sections, about along z, in the middle third of the body's box."""
    slices, _, width = lumen.shape
    pixel_mm2 = float(spacing[1] * spacing[2])
    tracks: list[tuple[list[tuple[int, Any]], tuple[float, float]]] = []
    longest: list[tuple[int, Any]] = []
    for z in range(slices - 1, -1, -1):
        labels, _ = ndimage.label(lumen[z])
        going = []
        for number, place in enumerate(ndimage.find_objects(labels), 1):
            inside = labels[place] == number
            rows, columns = inside.shape[0] * spacing[1], inside.shape[1] * spacing[2]
            centre = (
                (place[0].start + place[0].stop) / 2 * spacing[1],
                (place[1].start + place[1].stop) / 2 * spacing[2],
            )
            if (
                not TRACHEA_MM2[0] <= inside.sum() * pixel_mm2 <= TRACHEA_MM2[1]
                or max(rows, columns) > 2.2 * min(rows, columns)
                or inside.mean() < 0.55
                or abs(centre[1] / (width * spacing[2]) - 0.5) > 1 / 6
            ):
                continue
            near = [track for track in tracks if np.hypot(*np.subtract(track[1], centre)) < 5 + 0.5 * spacing[0]]
            track = max((track[0] for track in near), key=len, default=[])
            going.append(([*track, (z, (place, inside))], centre))
            longest = max(longest, going[-1][0], key=len)
        tracks = going
    seed = np.zeros_like(lumen)
    if len(longest) * spacing[0] >= TRACHEA_MM:
        for z, (place, inside) in longest:
            seed[z][place] |= inside
    return seed


def _sides(lungs: Mask3D, body: Mask3D, spacing: Array) -> tuple[Mask3D, Mask3D]:
    """(left, right): parts by their centre; a part on both sides is cut at its neck."""
    middle = float(ndimage.center_of_mass(body)[2])
    left, right = np.zeros_like(lungs), np.zeros_like(lungs)
    labels, sizes = parts(lungs)
    for number in range(1, len(sizes) + 1):
        part = labels == number
        columns = np.flatnonzero(part.any(axis=(0, 1)))
        across = float(np.minimum((part[..., : int(middle)]).sum(), (part[..., int(middle) :]).sum()))
        if across > 0.2 * part.sum() and columns[0] < middle < columns[-1]:
            for side, piece in zip((left, right), _cut(part, middle, spacing), strict=True):
                side |= piece
        else:
            side = left if ndimage.center_of_mass(part)[2] > middle else right
            side |= part
    return left, right


def _cut(part: Mask3D, middle: float, spacing: Array) -> tuple[Mask3D, Mask3D]:
    """Cut two touching lungs: shrink until they part, then let each grow back (watershed of the distance map)."""
    import SimpleITK as sitk  # noqa: N813

    for radius in (1.0, 2.0, 3.0, 4.0, 6.0, 8.0):
        labels, sizes = parts(eroded(part, (radius,) * 3, spacing))
        if (sizes >= 0.15 * sizes.sum()).sum() < 2:
            continue
        markers = np.zeros(part.shape, np.uint8)
        for number in np.flatnonzero(sizes >= 0.02 * sizes.sum()) + 1:
            inside = labels == number
            markers[inside] = 1 if ndimage.center_of_mass(inside)[2] > middle else 2
        if len(np.unique(markers)) < 3:
            continue
        depth = ndimage.distance_transform_edt(part, sampling=spacing).astype(np.float32)
        flooded = sitk.MorphologicalWatershedFromMarkers(  # type: ignore[no-untyped-call]
            sitk.GetImageFromArray(-depth), sitk.GetImageFromArray(markers), markWatershedLine=False
        )
        sides = sitk.GetArrayFromImage(flooded)
        return part & (sides == 1), part & (sides == 2)
    left = part.copy()
    left[..., : int(middle)] = False
    return left, part & ~left
