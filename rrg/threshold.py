"""Body, lungs, airways and bone of a CT by Hounsfield units: no weights, no network.

What each step does and where its numbers come from:

========  ============================================================================================================
body      above -300 HU (between fat, about -100, and lung or foam, below -500), opened by 3 mm to let go of the table,
          the largest parts, holes of each axial slice filled, so that lungs and gut gas count as body.
airways   grown from the trachea, a round dark tube between the lungs, at the highest of several thresholds before the
          region leaks into the lungs ("explosion control": Mori et al., IEEE Trans Med Imaging 19 (2000) 103).
lungs     body below -400 HU without airways (about the mean of parenchyma and soft tissue: Hu, Hoffman, Reinhardt, IEEE
          Trans Med Imaging 20 (2001) 490), parts whose median looks like parenchyma and not like gut gas, closed by
          4 mm, cut in two where they touch; sides from the patient's x axis.
bone      cortical bone above 200 HU, closed by 4 mm and filled, so that marrow counts, and what touches it above 130 HU
          (trabecular bone 100 to 300, cortical above 300 HU: Schreiber et al., J Bone Joint Surg Am 93 (2011) 1057).
          Thick bright parts without a brighter rim are enhanced blood or organs and do not count.
========  ============================================================================================================

Arrays here are (z, y, x) in patient order: z grows to the head, y to the back, x to the patient's left.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rrg.anatomy import LABELS
from rrg.geometry import Array
from rrg.masks import Labels, stacked

VERSION = 1
"""Grows with every change that can change a mask."""
FINDS = ("lung_left", "lung_right", "body", "airways", "bone")
"""What the engine looks for."""
Mask3D = NDArray[np.bool_]
Volume = NDArray[np.int16]

BODY_HU = -300
TABLE_MM = 3.0
PART_OF_BODY = 0.05
"""Parts at least this large, against the largest, are body too (arms, legs)."""

AIR_HU = -400
LUNG_MEDIAN_HU = (-960, -450)
"""Parenchyma in inspiration and expiration; gut gas lies below, about -1000."""
GAS_HU = -950
"""A tenth of a small part below: gas in stomach or colon. Large parts (`LARGE_ML`) may be emphysema."""
LARGE_ML = 500.0
CUT_LUNG_ML = 100.0
ENCLOSED = 0.6
"""Part of the surface of a lung that is body; foam of the table has less."""
LUNG_ML = 15.0
"""Smallest part of a lung: a slab of the bases in an abdominal CT."""
LUNG_CLOSE_MM = 4.0

TRACHEA_HU = -900
LUMEN_HU = range(-990, -790, 10)
"""Thresholds that airways are grown with, from tight to loose."""
TRACHEA_MM2 = (40.0, 700.0)
TRACHEA_MM = 20.0
"""Shortest tube that counts as a trachea."""
LEAK = 1.06
"""Growth of volume from one threshold to the next (10 HU) that is a leak into the lungs."""
AIRWAYS_ML = (3.0, 200.0)

CORTEX_HU = 200
CORTEX_TOP_HU = 250
"""The brightest 2 percent of a piece of bone; less is a vessel or stool."""
RIM_MM = 3.0
"""Bone above BONE_HU reaches this far beyond what CORTEX_HU finds (thin or spongy edges, partial volume)."""
BONE_HU = 130
BONE_CLOSE_MM = 4.0
MARROW_MM2 = 2500.0
"""Largest hole that is filled on an axial slice: a vertebra or femoral head, not the inside of the skull."""
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


def segment_ct(hu: Volume, affine: Array) -> Labels:
    """(slices, rows, columns) HU -> (slices, 2, rows, columns) class ids: lungs, airways and bone; then the body.

    `affine` maps (slice, row, column) to mm, LPS.
    """
    axes, flips = patient_order(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[axes]
    turned = hu.transpose(axes)[flips]
    body = body_of(turned, spacing, axial=axes[0] == 0)
    parts = np.zeros(turned.shape, np.uint8)
    if body.any():
        box = ndimage.find_objects(body.view(np.uint8))[0]
        inside = body[box]
        near, inner = np.where(inside, turned[box], np.int16(-1024)), parts[box]
        inner[bone_of(near, inside, spacing)] = LABELS["bone"].class_id
        airways, left, right = airways_and_lungs(near, inside, spacing)
        for mask, name in ((left, "lung_left"), (right, "lung_right"), (airways, "airways")):
            inner[mask] = LABELS[name].class_id
    whole = body.astype(np.uint8) * np.uint8(LABELS["body"].class_id)
    back = np.argsort(axes)
    return stacked([layer[flips].transpose(back) for layer in (parts, whole)])


def patient_order(affine: Array) -> tuple[list[int], tuple[slice, ...]]:
    """Axes of (slice, row, column) nearest to z, y, x, and the flips that then make them grow as in LPS."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axes: list[int] = []
    for patient in (2, 1, 0):
        free = [axis for axis in range(3) if axis not in axes]
        axes.append(max(free, key=lambda axis: abs(directions[patient, axis])))
    signs = [directions[patient, axis] for patient, axis in zip((2, 1, 0), axes, strict=True)]
    return axes, tuple(slice(None, None, -1 if sign < 0 else 1) for sign in signs)


def body_of(hu: Volume, spacing: Array, *, axial: bool = True) -> Mask3D:
    """The patient without the table.

    Axial planes of a series that is not axial may be cut off or thick: there lungs are told by their HU.
    """
    dense = _opened(hu > BODY_HU, (0.0, TABLE_MM, TABLE_MM), spacing)
    labels, sizes = _parts(dense)
    if not sizes.size:
        return dense
    kept = np.flatnonzero(sizes >= PART_OF_BODY * sizes.max()) + 1
    body = _filled(np.isin(labels, kept))
    if axial:
        return body
    rest, sizes = _parts(~body & (hu > GAS_HU) & (hu < AIR_HU))
    for number in (np.flatnonzero(sizes * _voxel_ml(spacing) >= CUT_LUNG_ML) + 1).tolist():
        part = rest == number
        around = ndimage.binary_dilation(part, np.ones((3, 3, 3))) & ~part
        if dense[around].mean() > ENCLOSED:
            body |= part
    return _filled(body)


def bone_of(hu: Volume, body: Mask3D, spacing: Array) -> Mask3D:
    """Bones with their marrow."""
    size = 3 if max(spacing[1:]) < NOISY_MM else 1
    smooth = np.where(body, ndimage.median_filter(hu, (1, size, size)), np.int16(-1024))
    bright = smooth > BONE_HU
    blood, level = _blood(smooth, bright, spacing)
    parts, sizes = _parts((smooth > CORTEX_HU) & ~blood)
    places = ndimage.find_objects(parts)
    kept = [
        number
        for number in (np.flatnonzero(sizes * _voxel_ml(spacing) >= BONE_ML) + 1).tolist()
        if _top(smooth, parts, number, places[number - 1]) > max(CORTEX_TOP_HU, level + 20)
    ]
    whole = _solid(np.isin(parts, kept), spacing)
    whole |= bright & _dilated(whole, (RIM_MM,) * 3, spacing)
    return body & ~blood & _solid(whole, spacing)


def _top(hu: Volume, parts: NDArray[np.uint32], number: int, place: tuple[slice, ...]) -> float:
    """The 98th percentile of HU in one part."""
    return float(np.percentile(hu[place][parts[place] == number], 98))


def _solid(bone: Mask3D, spacing: Array) -> Mask3D:
    """Gaps and marrow filled."""
    return _filled(_closed(bone, (BONE_CLOSE_MM,) * 3, spacing), MARROW_MM2 / _pixel_mm2(spacing))


def _blood(hu: Volume, bright: Mask3D, spacing: Array) -> tuple[Mask3D, int]:
    """Enhanced blood and organs, and their highest HU; nothing and 0 without contrast agent.

    Thick bright parts without a brighter rim: marrow lies in cortical bone, blood lies in darker tissue.
    """
    found, highest = np.zeros_like(bright), 0
    for radius in BLOOD_MM:
        labels, sizes = _parts(_eroded(bright & (hu < BLOOD_HU), (radius,) * 3, spacing))
        places = ndimage.find_objects(labels)
        for number in np.flatnonzero(sizes * _voxel_ml(spacing) >= BLOOD_CORE_ML) + 1:
            margin = [int(np.ceil((radius + 4) / mm)) + 1 for mm in spacing]
            place = tuple(
                slice(max(0, c.start - m), c.stop + m) for c, m in zip(places[number - 1], margin, strict=True)
            )
            inside = labels[place] == number
            level = int(np.percentile(hu[place][inside], 95))
            around = _dilated(inside, (radius + 4.0,) * 3, spacing)
            rim = around & ~_dilated(inside, (radius / 2,) * 3, spacing)
            if (hu[place][rim] > level + 20).mean() < BRIGHT_RIM:
                found[place] |= around & bright[place] & (hu[place] <= level + 20)
                highest = max(highest, level)
    return found, highest


def airways_and_lungs(hu: Volume, body: Mask3D, spacing: Array) -> tuple[Mask3D, Mask3D, Mask3D]:
    """(airways, left lung, right lung); each may be empty."""
    nothing = np.zeros_like(body)
    air = body & (hu < AIR_HU)
    airways = _airways(hu, air, spacing)
    kept = nothing.copy()
    labels, sizes = _parts(air & ~_dilated(airways, (1.5,) * 3, spacing))
    for number in np.flatnonzero(sizes * _voxel_ml(spacing) >= LUNG_ML) + 1:
        part = labels == number
        low, median = np.percentile(hu[part], (10, 50))
        large = sizes[number - 1] * _voxel_ml(spacing) >= LARGE_ML
        if LUNG_MEDIAN_HU[0] < median < LUNG_MEDIAN_HU[1] and (large or low > GAS_HU):
            kept |= part
    if not kept.any():
        return nothing, nothing, nothing
    left, right = _sides(kept, body, spacing)
    left, right = (_filled(_closed(lung, (LUNG_CLOSE_MM,) * 3, spacing)) & body for lung in (left, right))
    return airways, left & ~airways, right & ~airways & ~left


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
        volume = float(region.sum()) * _voxel_ml(spacing)
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
    labels, sizes = _parts(lungs)
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
        labels, sizes = _parts(_eroded(part, (radius,) * 3, spacing))
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


def _pixel_mm2(spacing: Array) -> float:
    return float(spacing[1] * spacing[2])


def _voxel_ml(spacing: Array) -> float:
    return float(np.prod(spacing)) / 1000


def _parts(mask: Mask3D) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
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


def _dilated(mask: Mask3D, radius_mm: Sequence[float], spacing: Array) -> Mask3D:
    return _morph("BinaryDilate", mask, radius_mm, spacing)


def _eroded(mask: Mask3D, radius_mm: Sequence[float], spacing: Array) -> Mask3D:
    return _morph("BinaryErode", mask, radius_mm, spacing)


def _opened(mask: Mask3D, radius_mm: Sequence[float], spacing: Array) -> Mask3D:
    return _morph("BinaryMorphologicalOpening", mask, radius_mm, spacing)


def _closed(mask: Mask3D, radius_mm: Sequence[float], spacing: Array) -> Mask3D:
    return _morph("BinaryMorphologicalClosing", mask, radius_mm, spacing)


def _filled(mask: Mask3D, largest_px: float | None = None) -> Mask3D:
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
