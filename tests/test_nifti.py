"""NIfTI: values are nibabel's, places are SimpleITK's, the patient's left stays left, bad files are refused."""

import gzip
import itertools
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from numcodecs import zstd  # type: ignore[import-untyped]
from numpy.typing import NDArray

from rrg import archives_inflate, nifti
from rrg.dicom import Header, Rejected, frames_of, read_source
from rrg.errors import RecordError
from rrg.extract import indexed
from rrg.files import Source
from rrg.nifti import with_modality
from rrg.pixels import is_hu, read_volume
from rrg.stacks import layout_of, series_of, stacks_of

nib: Any = nibabel
sitk: Any = SimpleITK
REAL = [
    "example_ct.nii.gz",
    "example_ct_sm.nii.gz",
    "example_mr_sm.nii.gz",
    "example_seg.nii.gz",
    "example_seg_dicom.nii.gz",
    "example_seg_fast_force_split.nii.gz",
    "example_seg_mr.nii.gz",
]
AXES = [
    (permutation, signs)
    for permutation in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def found(path: Path) -> Header | Rejected:
    (each,) = read_source(Source(str(path), path.name))
    return each


def only(path: Path) -> Header:
    header = found(path)
    assert isinstance(header, Header), header
    return header


def code(path: Path) -> str:
    refused = found(path)
    assert isinstance(refused, Rejected), refused
    return refused.code


def values(shape: tuple[int, ...] = (5, 4, 3), dtype: str = "int16") -> NDArray[Any]:
    """Numbers that differ at every voxel."""
    return (np.arange(np.prod(shape)).reshape(shape, order="F") + 1).astype(dtype)


def made(
    array: NDArray[Any],
    affine: NDArray[Any] | None = None,
    *,
    kind: type = nib.Nifti1Image,
    sform: int = 1,
    qform: int = 0,
    **fields: Any,
) -> Any:
    """A NIfTI image that lies as it is looked at, unless `affine` says otherwise; `fields` overwrite its header."""
    matrix = np.diag([-2.0, -3.0, 4.0, 1.0]) if affine is None else affine
    image = kind(array, matrix)
    image.set_sform(matrix, code=sform)
    if qform:
        image.set_qform(matrix, code=qform)
    else:
        image.header["qform_code"] = 0
    for name, value in fields.items():
        image.header[name] = value
    return image


def saved(image: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def patched(path: Path, offset: int, content: bytes) -> Path:
    """Overwrite bytes of the header of an unpacked file: nibabel refuses to write what is wrong."""
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(content)] = content
    path.write_bytes(raw)
    return path


def float32(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


def turned(permutation: tuple[int, ...], signs: tuple[int, ...], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Affine (RAS) whose array axes run along the permuted world axes; the volume is centred on the origin."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(permutation, signs, strict=True)):
        affine[world, axis] = sign * spacing[axis]
    return affine


def places(headers: tuple[Header, ...]) -> NDArray[np.float64]:
    """(slices, rows, columns, 3) places of all pixels in mm, LPS, as DICOM defines them (PS3.3 C.7.6.2.1.1)."""
    made = []
    for header in headers:
        assert header.position
        assert header.orientation
        assert header.spacing
        row, column = np.array(header.orientation[:3]), np.array(header.orientation[3:])
        rows = np.arange(header.rows)[:, None, None] * header.spacing[0] * column
        columns = np.arange(header.columns)[None, :, None] * header.spacing[1] * row
        made.append(np.array(header.position) + rows + columns)
    return np.stack(made)


# --- values and places


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_as_nibabel_and_simpleitk_read_them(data: Path, name: str) -> None:
    path = data / "totalsegmentator-ct-mr" / name
    frames = frames_of(only(path))
    (stack,) = stacks_of(frames)
    volume = read_volume(stack.headers)
    assert not volume.rejected
    theirs = nib.load(path).get_fdata()
    image = sitk.ReadImage(str(path))
    matrix = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    exact = (places(volume.headers) - image.GetOrigin()) @ np.linalg.inv(matrix).T
    index = np.rint(exact).astype(int)
    assert np.abs(exact - index).max() < 1e-3
    assert len(np.unique(index.reshape(-1, 3), axis=0)) == theirs.size
    assert np.array_equal(volume.values, theirs[index[..., 0], index[..., 1], index[..., 2]])
    header = volume.headers[0]
    assert sorted(header.spacing or ()) == pytest.approx(sorted(image.GetSpacing()[:2]), abs=1e-6)
    assert "sform_qform" not in header.flags
    assert layout_of(volume.headers).spacing_mm == pytest.approx(image.GetSpacing()[2], abs=1e-5)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("permutation", "signs"), AXES)
def test_the_left_of_the_patient_stays_left(
    tmp_path: Path, permutation: tuple[int, ...], signs: tuple[int, ...], ending: str
) -> None:
    spacing = (1.5, 2.0, 2.5)
    affine = turned(permutation, signs, spacing)
    shape = (9, 10, 11)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.moveaxis(np.indices(shape), 0, -1)
    x, y, z = np.moveaxis(index @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    block = (x < -3) & (y > 4) & (z > 5)  # left, front, head in RAS
    assert block.any()
    path = saved(made(np.where(block, 1000, 7).astype(np.int16), affine), tmp_path / f"x{ending}")
    (stack,) = stacks_of(frames_of(only(path)))
    volume = read_volume(stack.headers)
    inside = places(volume.headers)[volume.values == 1000]
    assert len(inside) == block.sum()
    assert (inside[:, 0] > 3).all(), "left is +x in LPS"
    assert (inside[:, 1] < -4).all(), "front is -y"
    assert (inside[:, 2] > 5).all(), "head is +z"
    row, column = np.reshape(stack.headers[0].orientation or (), (2, 3)) + 0.0
    plane = {(0, 1): "axial", (0, 2): "coronal", (1, 2): "sagittal"}[tuple(sorted(permutation[:2]))]
    looked_at = {  # columns grow to the left of the patient or to the back, rows to the back or to the feet
        "axial": ([1, 0, 0], [0, 1, 0]),
        "coronal": ([1, 0, 0], [0, 0, -1]),
        "sagittal": ([0, 1, 0], [0, 0, -1]),
    }
    assert (row.tolist(), column.tolist()) == looked_at[plane]


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_kind_of_values(tmp_path: Path, kind: type, order: str, dtype: str) -> None:
    array = values(dtype=dtype) - (0 if dtype[0] == "u" else 30)
    if dtype[0] == "f":
        array = array / 7
    header = (nib.Nifti1Header if kind is nib.Nifti1Image else nib.Nifti2Header)(endianness=order)
    header.set_data_dtype(dtype)
    image = kind(array.astype(dtype), np.diag([-2.0, -3.0, 4.0, 1.0]), header)
    for ending in (".nii", ".nii.gz"):
        path = saved(image, tmp_path / f"x{ending}")
        volume = read_volume(frames_of(only(path)))
        assert not volume.rejected
        assert volume.values.dtype == (np.float32 if dtype[0] == "f" else np.int16)
        theirs = nib.load(path).get_fdata().astype(volume.values.dtype)
        assert np.array_equal(volume.values, np.moveaxis(theirs, 2, 0).swapaxes(1, 2))


def test_integers_that_no_short_integer_holds_become_floats(tmp_path: Path) -> None:
    path = saved(made(values(dtype="i4") * 10_001), tmp_path / "x.nii")
    volume = read_volume(frames_of(only(path)))
    assert volume.values.dtype == np.float32
    assert np.array_equal(volume.values, np.moveaxis(nib.load(path).get_fdata(), 2, 0).swapaxes(1, 2))


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(2.0, -1024.0, np.int16), (0.5, 3.0, np.float32), (np.nan, np.nan, np.int16), (0.0, 5.0, np.int16)],
)
def test_scaling(tmp_path: Path, slope: float, intercept: float, dtype: Any) -> None:
    path = patched(saved(made(values(dtype="i1")), tmp_path / "x.nii"), 112, float32(slope, intercept))
    header = only(path)
    assert (header.slope is None) == (not np.isfinite(slope) or slope == 0)
    volume = read_volume(frames_of(header))
    assert volume.values.dtype == dtype
    theirs = nib.load(path).get_fdata()
    assert np.array_equal(volume.values, np.moveaxis(theirs, 2, 0).swapaxes(1, 2))


def test_a_slice_with_nan_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    array = values(dtype="f4")
    array[1, 2, 1] = np.nan
    volume = read_volume(frames_of(only(saved(made(array), tmp_path / "x.nii.gz"))))
    assert [(header.frame, error.code) for header, error in volume.rejected] == [(2, "E_RESCALE")]
    assert [header.frame for header in volume.headers] == [1, 3]


def test_four_axes_are_one_stack_per_time(tmp_path: Path) -> None:
    array = values((5, 4, 3, 2))
    path = saved(made(array), tmp_path / "x.nii.gz")
    stacks = stacks_of(frames_of(only(path)))
    assert len(stacks) == 2
    for time, stack in enumerate(stacks):
        assert [header.phase[2] for header in stack.headers] == [time + 1.0] * 3
        volume = read_volume(stack.headers).values
        assert np.array_equal(volume, np.moveaxis(array[..., time], 2, 0).swapaxes(1, 2))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 1, 1, 1)])
def test_two_axes_are_one_slice(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = values(shape)
    image = made(array)
    image.header["sform_code"], image.header["qform_code"] = 0, 1
    image.header["pixdim"][1:4] = [2, 3, 0]
    header = only(saved(image, tmp_path / "x.nii"))
    (frame,) = frames_of(header)
    assert (frame.rows, frame.columns, frame.spacing) == (4, 5, (3.0, 2.0))
    assert np.array_equal(read_volume([frame]).values[0], array.reshape(5, 4).T)


# --- the rule of the geometry


def test_sform_counts_before_qform_and_a_difference_is_flagged(tmp_path: Path) -> None:
    one, other = np.diag([-2.0, -3.0, 4.0, 1.0]), np.diag([2.0, -3.0, 4.0, 1.0])
    image = made(values(), one)
    image.set_qform(other, code=1)
    image.set_sform(one, code=1)
    header = only(saved(image, tmp_path / "both.nii"))
    assert header.flags == ("sform_qform",)
    assert (header.orientation, header.position) == ((1, 0, 0, 0, 1, 0), (0, 0, 0))
    assert {frame.flags for frame in frames_of(header)} == {("sform_qform",)}
    image.set_sform(one, code=0)
    header = only(saved(image, tmp_path / "qform.nii"))
    assert header.flags == ()
    assert (header.orientation, header.position) == ((1, 0, 0, 0, 1, 0), (-8, 0, 0))
    header = only(patched(saved(image, tmp_path / "none.nii"), 252, bytes(4)))  # both codes 0
    assert (header.spacing, header.position, header.orientation) == (None, None, None)
    (stack,) = stacks_of(frames_of(header))
    assert [frame.frame for frame in stack.headers] == [1, 2, 3]
    assert "no_mm" in layout_of(stack.headers).flags
    assert np.array_equal(read_volume(stack.headers).values[2], values()[:, :, 2].T)


@pytest.mark.parametrize(("shift", "flags"), [(0.0005, ()), (0.002, ("sform_qform",))])
def test_what_counts_as_different(tmp_path: Path, shift: float, flags: tuple[str, ...]) -> None:
    image = made(values(), qform=1)
    moved = np.diag([-2.0, -3.0, 4.0, 1.0])
    moved[0, 3] = shift
    image.set_sform(moved, code=1)
    assert only(saved(image, tmp_path / "x.nii")).flags == flags


def test_a_qform_that_is_none_beside_an_sform(tmp_path: Path) -> None:
    path = saved(made(values(), qform=1), tmp_path / "x.nii")
    assert only(patched(path, 256, float32(0.9, 0.9, 0.9))).flags == ("sform_qform",)


def test_an_oblique_volume_and_one_sheared_between_slices(tmp_path: Path) -> None:
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0, 3.0, 4.0])
    path = saved(made(values(), affine, qform=1), tmp_path / "oblique.nii")
    image = sitk.ReadImage(str(path))
    frames = tuple(frames_of(only(path)))
    assert np.allclose(places(frames)[2, 1, 3], image.TransformIndexToPhysicalPoint((1, 2, 2)), atol=1e-5)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[1, 2] = 1.0
    (stack,) = stacks_of(frames_of(only(saved(made(values(), affine), tmp_path / "tilt.nii"))))
    assert "shear" in layout_of(stack.headers).flags
    assert np.allclose(places(stack.headers)[2, 0, 0], (affine @ [4, 3, 2, 1])[:3] * [-1, -1, 1])


@pytest.mark.parametrize(("unit", "factor"), [(1, 1000.0), (2, 1.0), (3, 0.001), (0, 1.0)])
def test_units_other_than_mm(tmp_path: Path, unit: int, factor: float) -> None:
    header = only(saved(made(values(), xyzt_units=unit), tmp_path / "x.nii"))
    assert header.spacing == pytest.approx((3 * factor, 2 * factor))


def test_geometry_that_is_refused(tmp_path: Path) -> None:
    sheared = np.diag([2.0, 3.0, 4.0, 1.0])
    sheared[0, 1] = 0.5
    assert code(saved(made(values(), sheared), tmp_path / "sheared.nii")) == "E_GEOMETRY"
    flat = saved(made(values()), tmp_path / "flat.nii")
    assert code(patched(flat, 312, float32(0, 0, 0, 0))) == "E_GEOMETRY"
    number = saved(made(values()), tmp_path / "nan.nii")
    assert code(patched(number, 292, float32(np.nan))) == "E_GEOMETRY"
    far = saved(made(values()), tmp_path / "far.nii")
    assert code(patched(far, 292, float32(1e9))) == "E_GEOMETRY"
    unit = saved(made(values()), tmp_path / "unit.nii")
    assert code(patched(unit, 123, b"\7")) == "E_GEOMETRY"
    quaternion = saved(made(values(), sform=0, qform=1), tmp_path / "quaternion.nii")
    assert code(patched(quaternion, 256, float32(0.9, 0.9, 0.9))) == "E_GEOMETRY"


# --- files that are wrong, and where they lie


def test_claims_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    huge = np.array([7, 32767, 32767, 1000, 1, 1, 1, 1], "<i2").tobytes()
    many = np.array([4, 1, 1, 32767, 32767, 1, 1, 1], "<i2").tobytes()
    for number, (claim, expected) in enumerate([(huge, "E_TOO_LARGE"), (many, "E_TOO_LARGE")]):
        plain = patched(saved(made(values()), tmp_path / f"{number}.nii"), 40, claim)
        packed = tmp_path / f"{number}.nii.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        tracemalloc.start()
        assert (code(plain), code(packed)) == (expected, expected)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000


def test_cut_and_damaged_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(-1000, 1000, (50, 40, 30)).astype(np.int16)
    plain = saved(made(array), tmp_path / "x.nii").read_bytes()
    packed = saved(made(array), tmp_path / "x.nii.gz").read_bytes()

    def refused(content: bytes) -> set[str]:
        path = tmp_path / "cut"
        path.write_bytes(content)
        header = found(path)
        if isinstance(header, Rejected):
            return {header.code}
        return {error.code for _, error in read_volume(frames_of(header)).rejected}

    assert refused(plain) == refused(packed) == set()
    for keep in (len(plain) - 1, 5000, 352, 348):
        assert refused(plain[:keep]) == {"E_TRUNCATED"}, keep
    for keep in (len(packed) - 1, len(packed) - 9, 40_000, 100, 15):
        assert refused(packed[:keep]) == {"E_TRUNCATED"}, keep
    assert refused(packed[:40_000] + bytes(200) + packed[40_200:]) == {"E_ARCHIVE"}
    assert refused(packed[:-8] + b"\0\0\0\0" + packed[-4:]) == {"E_ARCHIVE"}


def test_what_is_no_grey_image(tmp_path: Path) -> None:
    color = np.zeros((5, 4, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert code(saved(made(color), tmp_path / "color.nii")) == "E_NOT_IMAGE"
    assert code(saved(made(values(dtype="c8")), tmp_path / "complex.nii")) == "E_NOT_IMAGE"
    assert code(saved(made(values((5, 4, 3, 1, 3))), tmp_path / "vectors.nii")) == "E_NOT_IMAGE"
    nib.save(nib.Nifti1Pair(values(), np.eye(4)), tmp_path / "pair.hdr")
    refused = found(tmp_path / "pair.hdr")
    assert isinstance(refused, Rejected)
    assert (refused.code, "pair" in refused.message) == ("E_NOT_DICOM", True)
    for offset, content in [
        (40, b"\xff\xff"),
        (70, b"\x77\x77"),
        (42, b"\0\0"),
        (108, float32(10.0)),
        (108, b"\xff" * 4),
    ]:
        path = patched(saved(made(values()), tmp_path / "bad.nii"), offset, content)
        assert code(path) == "E_MALFORMED", offset
    endless = patched(saved(made(values()), tmp_path / "inter.nii"), 112, float32(1.0, np.inf))
    assert code(endless) == "E_RESCALE"


def test_inside_of_archives(tmp_path: Path) -> None:
    plain = saved(made(values()), tmp_path / "x.nii")
    packed = saved(made(values()), tmp_path / "x.nii.gz")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "a/x.nii")
        archive.write(packed, "a/x.nii.gz")
    (tmp_path / "z").write_bytes(zstd.compress(plain.read_bytes()))
    read = [*read_source(Source(str(tmp_path / "x.zip"), "x.zip")), found(tmp_path / "z"), only(packed)]
    for header in read:
        assert isinstance(header, Header)
        volume = read_volume(frames_of(header)).values
        assert np.array_equal(volume, np.moveaxis(values(), 2, 0).swapaxes(1, 2))


def test_two_joined_gzip_files_and_zeros_behind(tmp_path: Path) -> None:
    content = saved(made(values()), tmp_path / "x.nii").read_bytes()
    path = tmp_path / "joined"
    path.write_bytes(gzip.compress(content[:360]) + gzip.compress(content[360:]) + bytes(100))
    assert np.array_equal(read_volume(frames_of(only(path))).values[2], values()[:, :, 2].T)


def test_slices_in_reverse_order_are_read_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives_inflate, "BLOCK", 1 << 18)
    array = np.random.default_rng(0).integers(0, 4000, (256, 256, 60)).astype(np.int16)
    path = saved(made(array, np.diag([-2.0, -3.0, -4.0, 1.0])), tmp_path / "x.nii.gz")
    (stack,) = stacks_of(frames_of(only(path)))
    assert [header.frame for header in stack.headers] == list(range(60, 0, -1))
    tracemalloc.start()
    for header, stored in zip(stack.headers, nifti.read_frames(str(path), stack.headers), strict=True):
        assert np.array_equal(stored, array[:, :, (header.frame or 0) - 1].T)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < array.nbytes / 2


# --- who it is, and of what kind


def test_files_never_share_a_patient_unless_bids_says_so(tmp_path: Path) -> None:
    names = ["s1/ct.nii.gz", "s2/ct.nii.gz", "ds/sub-01/ses-1/anat/T1.nii", "ds/sub-01/ses-2/anat/T1.nii"]
    names += ["ds/derivatives/x/sub-01/ses-1/anat/mask.nii", "other/sub-01/anat/sub-01_T1w.nii", "ds/sub-02_T1w.nii"]
    paths = [saved(made(values() + number), tmp_path / name) for number, name in enumerate(names)]
    headers = [only(path) for path in paths]  # each given by itself: two are named ct.nii.gz, two T1.nii
    patients = [header.patient_id for header in headers]
    assert patients[2] == patients[3] == patients[4] == "ds/sub-01"
    assert patients[5:] == ["other/sub-01", "ds/sub-02"]
    assert len(set(patients)) == 5
    assert patients[0]
    assert patients[0].startswith("ct ")
    opened = indexed(paths)
    studies = [opened.study(row) for row in opened.studies()]
    assert sorted(len(study.headers) for study in studies) == [1, 1, 1, 1, 1, 2]
    assert not any(study.problem for study in studies)
    assert sum(len(list(series_of(study))) for study in studies) == len(names)
    assert {header.sop for header in headers} == {""}


def test_a_file_keeps_its_patient_when_the_folder_moves(tmp_path: Path) -> None:
    path = saved(made(values()), tmp_path / "a" / "x.nii.gz")
    before = only(path)
    (tmp_path / "a").rename(tmp_path / "b")
    after = only(tmp_path / "b" / "x.nii.gz")
    assert (before.patient_id, before.study, before.series) == (after.patient_id, after.study, after.series)


def test_the_modality_is_told(tmp_path: Path) -> None:
    header = only(saved(made(values()), tmp_path / "x.nii"))
    assert header.modality == "OT"
    assert with_modality(header, None) == header
    assert not is_hu(header)
    assert is_hu(with_modality(header, "CT"))
    unscaled = only(patched(saved(made(values()), tmp_path / "z.nii"), 112, float32(np.nan, np.nan)))
    assert (unscaled.slope, with_modality(unscaled, "MR").slope, with_modality(unscaled, "MR").modality) == (
        None,
        None,
        "MR",
    )
    assert is_hu(with_modality(unscaled, "CT"))
    frames = frames_of(with_modality(header, "CT"))
    assert all(is_hu(frame) for frame in frames)
    assert np.array_equal(read_volume(frames).values[0], values()[:, :, 0].T)
    scaled = only(patched(saved(made(values()), tmp_path / "y.nii"), 112, float32(2.0, -5.0)))
    assert (with_modality(scaled, "CT").slope, with_modality(scaled, "CT").intercept) == (2.0, -5.0)


def test_a_file_that_changed_after_it_was_indexed(tmp_path: Path) -> None:
    path = saved(made(values()), tmp_path / "x.nii")
    header = only(path)
    frames = frames_of(header)
    saved(made(values((6, 4, 2))), path)
    with pytest.raises(RecordError, match="index it again"):
        frames_of(header)
    assert {error.code for _, error in read_volume(frames).rejected} == {"E_MALFORMED"}
    path.write_bytes(b"something else altogether, and no image")
    assert {error.code for _, error in read_volume(frames).rejected} == {"E_NOT_DICOM"}
