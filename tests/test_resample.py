"""Tilt taken out: equal to SimpleITK's resampling onto the orthogonal grid, no value of nowhere, places kept."""

import dataclasses
import json
import math
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rrg import resample, store
from rrg.codec import decode
from rrg.dicom import Header, read_header
from rrg.errors import RecordError
from rrg.files import Source
from rrg.geometry import volume_affine
from rrg.records import Slice
from rrg.resample import Unsheared, fill_of
from rrg.stacks import layout_of
from tests.conftest import Rrg
from tests.made_dicom import image, magnetic, save, series

sitk: Any = SimpleITK
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

ROWS, COLUMNS = 40, 48


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Header:
    """Header of a CT slice; the tests move and turn it."""
    pixels = np.zeros((ROWS, COLUMNS), np.uint16)
    path = save(image(1, pixels=pixels), tmp_path_factory.mktemp("plain") / "slice")
    header = read_header(Source(str(path), "slice"))
    assert isinstance(header, Header)
    return header


def turned(a: float, b: float, c: float) -> NDArray[np.float64]:
    """Rotation about z, y, x by the angles."""
    rz = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    ry = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    rx = np.array([[1, 0, 0], [0, math.cos(c), -math.sin(c)], [0, math.sin(c), math.cos(c)]])
    return np.asarray(rz @ ry @ rx)


def stack(
    plain: Header, turn: NDArray[np.float64], drift: tuple[float, float], places: tuple[float, ...], **tags: Any
) -> list[Header]:
    """Slices at `places` mm along the normal, drifting by (along rows, along columns) mm per mm of the way."""
    x, y, z = turn.T
    orientation = cosines(turn)
    origin = np.array([-30.0, 12.0, 70.0])
    made = []
    for place in places:
        position = origin + z * place + x * drift[0] * place + y * drift[1] * place
        made.append(dataclasses.replace(plain, position=tuple(position), orientation=orientation, **tags))
    return made


def cosines(turn: NDArray[np.float64]) -> tuple[float, float, float, float, float, float]:
    """Image Orientation (Patient) of a rotation."""
    a, b, c, d, e, f = map(float, (*turn[:, 0], *turn[:, 1]))
    return a, b, c, d, e, f


def unsheared(values: NDArray[Any], headers: Sequence[Header]) -> Unsheared:
    """Of a stack that was read whole."""
    return resample.unsheared(values, range(len(headers)), headers)


def axes(header: Header) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions along a row and along a column."""
    both = np.array(header.orientation, float)
    return both[:3], both[3:]


def positions(headers: Sequence[Header]) -> NDArray[np.float64]:
    return np.array([header.position for header in headers], float)


def smooth(count: int, dtype: Any = np.int16) -> NDArray[Any]:
    """Values in HU that vary slowly over rows, columns and slices."""
    k, r, c = np.meshgrid(np.arange(count), np.arange(ROWS), np.arange(COLUMNS), indexing="ij")
    return np.asarray(400 * np.sin(r / 5 + k) * np.cos(c / 7) + 20 * k + 3 * c, dtype)


def by_simpleitk(values: NDArray[Any], headers: list[Header], moved: tuple[Header, ...]) -> NDArray[Any]:
    """Each slice as a thin volume of its own place, resampled by ITK onto its place in the orthogonal stack.

    ITK's images can not be sheared, so the sheared volume is given slice by slice.
    """
    made = []
    for pixels, header, there in zip(values, headers, moved, strict=True):
        x, y = axes(header)
        direction = np.column_stack([x, y, np.cross(x, y)]).ravel().tolist()
        source = sitk.GetImageFromArray(pixels[None].astype(np.float64))
        source.SetSpacing([0.8, 0.5, 1.0])
        source.SetOrigin([float(v) for v in header.position or ()])
        source.SetDirection(direction)
        grid = sitk.Image([pixels.shape[1], pixels.shape[0], 1], sitk.sitkFloat64)
        grid.CopyInformation(source)
        grid.SetOrigin([float(v) for v in there.position or ()])
        resampled = sitk.Resample(source, grid, sitk.Transform(), sitk.sitkLinear, float("nan"))
        made.append(sitk.GetArrayFromImage(resampled)[0])
    return np.stack(made)


angles = st.floats(-math.pi, math.pi).map(lambda value: round(value, 12))
"""ITK's matrices of directions become NaN of a sine of 1e-311."""
slopes = st.floats(-0.5, 0.5)


@settings(max_examples=40)
@given(angles, angles, angles, slopes, slopes, st.sampled_from(["int16", "float32", "uint16"]))
def test_the_interior_is_that_of_simpleitk(
    plain: Header, a: float, b: float, c: float, row: float, column: float, dtype: str
) -> None:
    """To 0.51 for integers (rounding) and 0.02 for floats, wherever all of the four pixels lie in the slice."""
    headers = stack(plain, turned(a, b, c), (row, column), (0.0, 4.0, 8.0, 12.0))
    values = np.abs(smooth(4)).astype(dtype)
    before = values.copy()
    made = unsheared(values, headers)
    theirs = by_simpleitk(before, headers, made.headers)
    ours = made.values.astype(float)
    if "shear" not in layout_of(headers).flags:
        np.testing.assert_array_equal(ours, before)
        return
    fill = fill_of(plain, np.dtype(dtype))
    edge = 1e-3  # ITK holds pixels up to half a pixel outside of the centres of the outermost ones
    known = np.ones(values.shape, bool)
    for k, (header, there) in enumerate(zip(headers, made.headers, strict=True)):
        way = np.subtract(there.position, header.position)  # type: ignore[arg-type]
        x, y = axes(header)
        rows = np.arange(ROWS) + float(way @ y) / 0.5
        columns = np.arange(COLUMNS) + float(way @ x) / 0.8
        inside = [(at >= -edge) & (at <= size - 1 + edge) for at, size in ((rows, ROWS), (columns, COLUMNS))]
        surely = [(at >= edge) & (at <= size - 1 - edge) for at, size in ((rows, ROWS), (columns, COLUMNS))]
        assert (ours[k][~np.outer(*inside)] == fill).all()
        known[k] = np.outer(*surely)
    np.testing.assert_allclose(ours[known], theirs[known], atol=0.02 if dtype == "float32" else 0.51)
    assert not np.isnan(theirs[known]).any()
    np.testing.assert_array_equal(ours[2], before[2])  # the middle slice is untouched


def test_the_volume_is_that_of_simpleitk(plain: Header) -> None:
    """The sheared volume as one image (ITK takes any regular direction matrix) onto the orthogonal grid, to 0.51 HU."""
    headers = stack(plain, turned(0.3, -0.2, 0.25), (0.06, -0.15), tuple(4.0 * k for k in range(7)))
    values = smooth(7)
    x, y = axes(headers[0])
    step = np.subtract(headers[6].position, headers[0].position) / 6  # type: ignore[arg-type]
    source = sitk.GetImageFromArray(values.astype(np.float64))
    source.SetSpacing([0.8, 0.5, float(np.linalg.norm(step))])
    source.SetOrigin([float(v) for v in headers[0].position or ()])
    source.SetDirection(np.column_stack([x, y, step / np.linalg.norm(step)]).ravel().tolist())
    made = unsheared(values.copy(), headers)
    grid = sitk.Image([COLUMNS, ROWS, 7], sitk.sitkFloat64)
    grid.SetSpacing([0.8, 0.5, 4.0])
    grid.SetOrigin(list(made.headers[0].position or ()))
    grid.SetDirection(np.column_stack([x, y, np.cross(x, y)]).ravel().tolist())
    theirs = sitk.GetArrayFromImage(sitk.Resample(source, grid, sitk.Transform(), sitk.sitkLinear, float("nan")))
    interior = (slice(1, -1), slice(6, -6), slice(6, -6))  # at the ends rounding may leave ITK's volume
    assert not np.isnan(theirs[interior]).any()
    assert not np.array_equal(made.values[interior], values[interior])
    np.testing.assert_allclose(made.values[interior], theirs[interior], atol=0.51)


def test_one_shift_by_hand(plain: Header) -> None:
    """Slices 10 mm apart that drift by 0.75 mm along the columns: 1.5 pixels of 0.5 mm."""
    headers = stack(plain, np.eye(3), (0.0, 0.075), (0.0, 10.0, 20.0))
    values = np.broadcast_to((np.arange(ROWS) * 10)[None, :, None], (3, ROWS, COLUMNS)).astype(np.int16)
    made = unsheared(values, headers)
    # slice 2 lies 0.75 mm too far back: what it shows in row r belongs to row r + 1.5
    assert made.values[2, :4, 0].tolist() == [-1024, -1024, 5, 15]
    assert made.values[1, :4, 0].tolist() == [0, 10, 20, 30]
    assert made.values[0, :3, 0].tolist() == [15, 25, 35]
    assert made.values[0, -3:, 0].tolist() == [385, -1024, -1024]
    np.testing.assert_allclose(positions(made.headers), [[-30, 12.75, 70 + z] for z in (0, 10, 20)])


def test_the_result_is_an_even_orthogonal_stack_without_flags(plain: Header) -> None:
    headers = stack(plain, turned(0.3, -0.2, 0.25), (0.1, -0.24), tuple(5.0 * k for k in range(6)), tilt=14.0)
    assert set(layout_of(headers).flags) == {"tilt", "shear"}
    made = unsheared(smooth(6), headers)
    layout = layout_of(made.headers)
    assert (layout.flags, made.flags) == ((), frozenset({"resampled"}))
    assert layout.spacing_mm == pytest.approx(5.0)
    steps = np.diff(positions(made.headers), axis=0)
    x, y = axes(headers[0])
    np.testing.assert_allclose(steps @ x, 0, atol=1e-9)
    np.testing.assert_allclose(steps @ y, 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 5.0)
    assert [h.sop for h in made.headers] == [h.sop for h in headers]


def test_every_slice_stays_in_its_plane_with_uneven_gaps_too(plain: Header) -> None:
    headers = stack(plain, turned(0.0, 0.0, 0.2), (0.0, 0.2), (0.0, 5.0, 20.0, 25.0))
    values = smooth(4)
    before = values.copy()
    made = unsheared(values, headers)
    layout = layout_of(made.headers)
    assert layout.flags == ("gap_mm",)
    normal = np.cross(*axes(headers[0]))
    np.testing.assert_allclose(positions(made.headers) @ normal, positions(headers) @ normal)
    theirs = by_simpleitk(before, headers, made.headers)
    np.testing.assert_allclose(made.values[:, 12:-12, 12:-12], theirs[:, 12:-12, 12:-12], atol=0.51)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_upright_stack_comes_back_as_it_is(plain: Header, count: int) -> None:
    headers = stack(plain, turned(1.0, 0.4, -2.0), (0.0, 0.0), tuple(3.0 * k for k in range(count)))
    values = smooth(count)
    before = values.copy()
    made = unsheared(values, headers)
    assert made.values is values
    np.testing.assert_array_equal(made.values, before)
    assert (made.headers, made.flags) == (tuple(headers), frozenset())


def test_a_slice_moves_alike_whichever_others_were_read(plain: Header) -> None:
    headers = stack(plain, turned(0.2, 0.1, 0.2), (0.0, 0.2), (0.0, 5.0, 10.0, 15.0))
    whole, part = unsheared(smooth(4), headers), resample.unsheared(smooth(4)[[0, 3]], [0, 3], headers)
    assert part.headers == whole.headers
    np.testing.assert_array_equal(part.values, whole.values[[0, 3]])
    assert not np.array_equal(whole.values[[0, 3]], smooth(4)[[0, 3]])


def test_without_places_nothing_is_moved(plain: Header) -> None:
    headers = [dataclasses.replace(plain, position=None)] * 3
    values = smooth(3)
    np.testing.assert_array_equal(unsheared(values.copy(), headers).values, values)


def test_padding_is_never_mixed_with_tissue(plain: Header) -> None:
    """Stored -976 after a rescale by -1024 is -2000: no value between it and the tissue appears."""
    headers = stack(plain, np.eye(3), (0.03, 0.0371), (0.0, 10.0, 20.0), padding=-976)
    values = np.full((3, ROWS, COLUMNS), 40, np.int16)
    values[:, :10] = values[:, :, :10] = -2000
    made = unsheared(values, headers).values
    assert set(np.unique(made)) == {-2000, 40}
    assert (made == -2000).sum() > 3 * (ROWS * COLUMNS - (ROWS - 10) * (COLUMNS - 10))


def test_the_fill_is_padding_else_air_else_zero(plain: Header, tmp_path: Path) -> None:
    mr = read_header(Source(str(save(magnetic(1), tmp_path / "mr")), "mr"))
    assert isinstance(mr, Header)
    int16, uint16 = np.dtype(np.int16), np.dtype(np.uint16)
    assert fill_of(plain, int16) == -1024
    assert fill_of(plain, np.dtype(np.float32)) == -1024
    assert fill_of(plain, uint16) == 0  # the lowest that the array holds
    assert fill_of(dataclasses.replace(plain, padding=-976), int16) == -2000
    assert fill_of(mr, int16) == 0
    assert fill_of(dataclasses.replace(plain, slope=None, intercept=None), int16) == 0  # a CT that is not in HU


def test_slices_that_are_not_parallel_are_refused(plain: Header) -> None:
    headers = stack(plain, np.eye(3), (0.0, 0.3), (0.0, 5.0, 10.0))
    turn = turned(0.0, 0.0, 0.1)
    headers[1] = dataclasses.replace(headers[1], orientation=cosines(turn))
    with pytest.raises(RecordError) as caught:
        unsheared(smooth(3), headers)
    assert caught.value.code == "E_GEOMETRY"


def test_a_drift_beyond_the_picture_leaves_fill_only(plain: Header) -> None:
    headers = stack(plain, np.eye(3), (0.0, 3.0), (0.0, 20.0, 40.0))
    made = unsheared(smooth(3), headers).values
    assert (made[[0, 2]] == -1024).all()
    np.testing.assert_array_equal(made[1], smooth(3)[1])


def test_memory_is_a_few_slices_whatever_the_volume(plain: Header) -> None:
    wide = dataclasses.replace(plain, rows=256, columns=256)
    headers = stack(wide, np.eye(3), (0.0, 0.2), tuple(float(k) for k in range(60)))
    values = np.zeros((60, 256, 256), np.int16)
    one_slice = 256 * 256 * 4
    tracemalloc.start()
    try:
        unsheared(values, headers)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * one_slice < values.nbytes / 4


def test_the_command_takes_the_tilt_out_on_request_only(rrg: Rrg, tmp_path: Path) -> None:
    """14 degrees: slices lie along the table, 5 mm apart; upright they are 5 mm times the cosine apart."""
    tilt = math.radians(14)
    orientation = [1, 0, 0, 0, math.cos(tilt), -math.sin(tilt)]
    series(tmp_path / "in", GantryDetectorTilt=14, ImageOrientationPatient=orientation)

    def extract(*options: str) -> tuple[list[Slice], NDArray[Any]]:
        folder = tmp_path / f"store{len(options)}"
        lines = rrg("extract-slices", tmp_path / "in", "--store", folder, *options).stdout.splitlines()
        slices = [decode(line, Slice) for line in lines if b'"rrg.slice/1"' in line]
        return slices, store.read_volume(folder, slices[0].pixels.partition("#")[0])

    raw, values = extract()
    upright, moved = extract("--resample")
    assert {"shear", "tilt"} <= set(raw[0].flags)
    assert [each.flags for each in upright] == [("resampled",)] * 4
    assert [(each.id, each.index) for each in upright] == [(each.id, each.index) for each in raw]
    affine = volume_affine(upright)[:3, :3]
    lengths = np.array([5 * math.cos(tilt), 0.5, 0.8])
    np.testing.assert_allclose(affine.T @ affine, np.diag(lengths**2), atol=1e-6)
    np.testing.assert_array_equal(moved[2], values[2])
    drift = 5 * math.sin(tilt) / 0.5  # pixels from slice to slice: more than a third of the 6 rows
    assert (moved[3] == -1024).any(axis=1).sum() == math.ceil(drift)
    line = json.loads(rrg("where", upright[3].id, "--store", tmp_path / "store1").stdout)
    np.testing.assert_allclose(line["file_position_mm"], raw[3].position_mm or (), atol=1e-6)
    np.testing.assert_allclose(line["position_mm"], upright[3].position_mm or (), atol=1e-6)
