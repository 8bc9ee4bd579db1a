"""Geometry: worked by hand first, then properties over oblique, anisotropic and flipped grids."""

import math

import numpy as np
import pytest
import SimpleITK
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from rrg import geometry as g
from rrg.errors import RecordError
from rrg.records import Box, Slice

settings.register_profile("busy", deadline=None)  # a busy machine is no failure
settings.load_profile("busy")

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def a_slice(index: int = 0, count: int = 1, **fields: object) -> Slice:
    base: dict[str, object] = {
        "id": f"s{index}", "patient": "p", "study": "t", "series": "v", "index": index, "count": count,
        "pixels": f"series/v#{index}", "sha256": "0", "rows": 4, "columns": 6, "dtype": "int16", "unit": "HU",
        "modality": "CT", "spacing_mm": (0.5, 0.8), "slice_spacing_mm": 5.0, "orientation": AXIAL,
        "position_mm": (-10.0, -20.0, 5.0 * index),
    }  # fmt: skip
    return Slice(**{**base, **fields})  # type: ignore[arg-type]


# --- by hand


def test_one_voxel_by_hand_axial() -> None:
    affine = g.volume_affine([a_slice(i, 3) for i in range(3)])
    # slice 2, row 3, column 4: x = -10 + 4 * 0.8, y = -20 + 3 * 0.5, z = 2 * 5
    np.testing.assert_allclose(g.patient_from_voxel(np.array([[2.0, 3, 4]]), affine), [[-6.8, -18.5, 10]])


def test_one_voxel_by_hand_sagittal() -> None:
    # Columns run to the back (+y), rows run to the feet (-z); the normal (0,1,0) x (0,0,-1) points to the right (-x).
    slices = [a_slice(i, 2, orientation=SAGITTAL, position_mm=(30.0 - 4 * i, 1.0, 2.0)) for i in range(2)]
    np.testing.assert_allclose(g.slice_normal(SAGITTAL), [-1, 0, 0])
    patient = g.patient_from_voxel(np.array([[1.0, 2, 3]]), g.volume_affine(slices))
    np.testing.assert_allclose(patient, [[26, 1 + 3 * 0.8, 2 - 2 * 0.5]])


def test_gantry_tilt_stays_a_sheared_affine() -> None:
    tilt = math.radians(15)
    orientation = (1.0, 0.0, 0.0, 0.0, math.cos(tilt), -math.sin(tilt))
    slices = [a_slice(i, 3, orientation=orientation, position_mm=(0.0, 0.0, 4.0 * i)) for i in range(3)]
    affine = g.volume_affine(slices)
    np.testing.assert_allclose(affine[:3, 0], [0, 0, 4])  # along the table, not along the normal
    assert abs(affine[:3, 0] @ affine[:3, 1]) > 0.5


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        (AXIAL, "axial"),
        (SAGITTAL, "sagittal"),
        (CORONAL, "coronal"),
        ((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "axial"),  # prone
        ((1.0, 0.0, 0.0, 0.0, 0.9483, -0.3171), "axial"),  # 18 degrees off
        ((1.0, 0.0, 0.0, 0.0, 0.7071, -0.7071), "oblique"),
    ],
)
def test_planes(orientation: tuple[float, ...], plane: str) -> None:
    assert g.plane_of(orientation) == plane


def test_a_single_slice_has_a_grid_along_its_normal() -> None:
    np.testing.assert_allclose(g.volume_affine([a_slice()])[:3, 0], [0, 0, 5])
    np.testing.assert_allclose(g.volume_affine([a_slice(slice_spacing_mm=None)])[:3, 0], [0, 0, 1])


def test_a_part_of_a_volume_has_the_grid_of_the_whole() -> None:
    whole = [a_slice(i, 6) for i in range(6)]
    np.testing.assert_allclose(g.volume_affine(whole[2:5]), g.volume_affine(whole))


@pytest.mark.parametrize("missing", ["spacing_mm", "position_mm", "orientation"])
def test_no_millimetres_without_geometry(missing: str) -> None:
    with pytest.raises(RecordError) as caught:
        g.slice_affine(a_slice(**{missing: None}))
    assert caught.value.code == "E_GEOMETRY"


def test_uneven_slices_have_no_single_grid() -> None:
    slices = [a_slice(i, 3, slice_spacing_mm=None, position_mm=(0.0, 0.0, z)) for i, z in enumerate((0.0, 5.0, 15.0))]
    with pytest.raises(RecordError, match="not evenly spaced"):
        g.volume_affine(slices)


def test_boxes_are_half_open() -> None:
    mask = np.zeros((6, 9), np.uint8)
    assert g.box_of(mask) is None
    mask[2, 3] = 1
    assert g.box_of(mask) == Box(x0=3, y0=2, x1=4, y1=3)
    mask[5, 8] = 7
    assert g.box_of(mask) == Box(x0=3, y0=2, x1=9, y1=6)
    assert [box.xyxy for box in g.component_boxes(mask)] == [(3, 2, 4, 3), (8, 5, 9, 6)]


def test_components_touch_at_corners_and_come_largest_first() -> None:
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = mask[1, 1] = True  # one component of two pixels
    mask[4:8, 4:8] = True
    mask[5:7, 5:7] = False  # a hole does not split it
    assert [box.xyxy for box in g.component_boxes(mask)] == [(4, 4, 8, 8), (0, 0, 2, 2)]
    assert g.component_boxes(np.zeros((3, 3), bool)) == ()


def test_overlaps_by_hand() -> None:
    a, b = Box(x0=0, y0=0, x1=4, y1=2), Box(x0=2, y0=0, x1=6, y1=2)
    assert g.iou(a, b) == pytest.approx(4 / 12)
    assert g.iou(a, Box(x0=4, y0=0, x1=5, y1=1)) == 0
    assert g.union_box([a, b]) == Box(x0=0, y0=0, x1=6, y1=2)


# --- properties

angles = st.floats(-math.pi, math.pi)
lengths = st.floats(0.1, 9)


@st.composite
def orientations(draw: st.DrawFn) -> tuple[float, ...]:
    a, b, c = draw(angles), draw(angles), draw(angles)
    rz = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    ry = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    rx = np.array([[1, 0, 0], [0, math.cos(c), -math.sin(c)], [0, math.sin(c), math.cos(c)]])
    turn = rz @ ry @ rx
    return tuple(float(v) for v in (*turn[:, 0], *turn[:, 1]))


@st.composite
def grids(draw: st.DrawFn) -> list[Slice]:
    orientation, gap = draw(orientations()), draw(lengths)
    normal = g.slice_normal(orientation)
    origin = np.array([draw(st.floats(-500, 500)) for _ in range(3)])
    spacing = draw(lengths), draw(lengths)
    return [
        a_slice(i, 4, orientation=orientation, spacing_mm=spacing, slice_spacing_mm=gap,
                position_mm=tuple(map(float, origin + i * gap * normal)))
        for i in range(4)
    ]  # fmt: skip


voxels = st.lists(st.tuples(*[st.floats(-50, 600)] * 3), min_size=1, max_size=5).map(lambda v: np.array(v, float))


@given(grids(), voxels)
def test_voxels_come_back(slices: list[Slice], voxel: NDArray[np.float64]) -> None:
    affine = g.volume_affine(slices)
    patient = g.patient_from_voxel(voxel, affine)
    back = np.linalg.solve(affine, np.column_stack([patient, np.ones(len(patient))]).T).T[:, :3]
    np.testing.assert_allclose(back, voxel, atol=1e-6)


@given(grids())
def test_volume_and_slice_agree_and_lengths_are_spacings(slices: list[Slice]) -> None:
    affine = g.volume_affine(slices)
    for s in slices:
        pixel = np.array([[s.index, 2.0, 5.0]])
        by_slice = g.slice_affine(s) @ [2.0, 5.0, 1.0]
        np.testing.assert_allclose(g.patient_from_voxel(pixel, affine)[0], by_slice, atol=1e-6)
    expected = [slices[0].slice_spacing_mm, *(slices[0].spacing_mm or ())]
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), expected, rtol=1e-6)
    assert np.linalg.det(affine[:3, :3]) != 0


@given(grids())
def test_a_flipped_volume_is_the_same_place(slices: list[Slice]) -> None:
    """Reading rows backwards is another grid of the same points."""
    affine = g.volume_affine(slices)
    last_row = 3
    o = slices[0].orientation
    assert o is not None
    flipped = [
        a_slice(s.index, 4, spacing_mm=s.spacing_mm, slice_spacing_mm=s.slice_spacing_mm,
                orientation=(*o[:3], -o[3], -o[4], -o[5]),
                position_mm=tuple(map(float, g.slice_affine(s) @ [last_row, 0, 1])))
        for s in slices
    ]  # fmt: skip
    there = g.patient_from_voxel(np.array([[1.0, 0, 2]]), g.volume_affine(flipped))
    np.testing.assert_allclose(there, g.patient_from_voxel(np.array([[1.0, last_row, 2]]), affine), atol=1e-6)


@given(grids())
def test_the_affine_is_that_of_simpleitk(slices: list[Slice]) -> None:
    first = slices[0]
    assert first.orientation is not None
    assert first.spacing_mm is not None
    image = SimpleITK.Image([6, 4, 4], SimpleITK.sitkInt16)
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    image.SetOrigin(first.position_mm)
    image.SetSpacing([first.spacing_mm[1], first.spacing_mm[0], first.slice_spacing_mm])
    image.SetDirection(np.column_stack([row, column, np.cross(row, column)]).ravel().tolist())
    theirs = image.TransformContinuousIndexToPhysicalPoint([4.5, 2.25, 3.0])  # column, row, slice
    ours = g.patient_from_voxel(np.array([[3.0, 2.25, 4.5]]), g.volume_affine(slices))[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


boxes = st.tuples(*[st.integers(0, 40)] * 4).filter(lambda b: b[0] < b[2] and b[1] < b[3])


@given(boxes)
def test_a_filled_box_is_found_again(corners: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = corners
    mask = np.zeros((41, 41), bool)
    mask[y0:y1, x0:x1] = True
    box = Box(x0=x0, y0=y0, x1=x1, y1=y1)
    assert g.box_of(mask) == box
    assert g.component_boxes(mask) == (box,)
    assert g.iou(box, box) == 1


@given(boxes, boxes)
def test_iou_counts_pixels(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> None:
    masks = np.zeros((2, 41, 41), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, (a, b), strict=True):
        mask[y0:y1, x0:x1] = True
    first, second = (Box(x0=x0, y0=y0, x1=x1, y1=y1) for x0, y0, x1, y1 in (a, b))
    assert g.iou(first, second) == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())
    assert g.iou(first, second) == g.iou(second, first)


@given(st.integers(0, 2**24 - 1))
def test_components_are_those_of_scikit_image(bits: int) -> None:
    assume(bits)
    mask = np.array([bits >> i & 1 for i in range(24)], np.uint8).reshape(4, 6)
    theirs = sorted(region.bbox for region in regionprops(label(mask, connectivity=2)))
    assert sorted((b.y0, b.x0, b.y1, b.x1) for b in g.component_boxes(mask)) == theirs
    union = g.union_box(g.component_boxes(mask))
    assert union == g.box_of(mask)
