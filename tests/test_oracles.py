"""Every real series: pixels and grid are those of SimpleITK and dcm2niix, and each slice is the one of its UID.

Where the programs differ, the difference itself is asserted; docs/differences.md tells the reasons. A folder of DICOM
files that is added to the real data is compared too, and must be equal.
"""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from numpy.typing import NDArray

from rrg import store
from rrg.codec import decode
from rrg.errors import RecordError
from rrg.geometry import slice_normal, volume_affine
from rrg.passport import Asked, passports
from rrg.records import Slice
from tests.conftest import Rrg

sitk: Any = SimpleITK
NEAR_MM = 1e-3
"""Affines are compared at all corners of a volume."""
DOCS = Path(__file__).parents[1] / "docs" / "differences.md"
DCM2NIIX = ("-b", "n", "-z", "n", "-x", "i", "-m", "y", "-p", "n", "-l", "o", "-f", "out")
"""No sidecar nor compression, neither crop nor rotate, a volume per series, rescale of the header, stored integers."""

DIFFERENT: dict[tuple[str, str], set[str]] = {
    ("gantrytilting", "dcm2niix"): {"affine", "interpolated"},
    ("gantrytilting", "SimpleITK"): {"affine"},
    ("sliceincrement", "dcm2niix"): {"no affine", "interpolated"},
    ("sliceincrement", "SimpleITK"): {"no affine"},
    ("notavolume", "dcm2niix"): {"4-D"},
    ("notavolume", "SimpleITK"): {"together"},
    ("sliceorientation", "SimpleITK"): {"together"},
    ("philips_enhanced", "dcm2niix"): {"rounding"},
    ("philips_enhanced", "SimpleITK"): {"rounding"},
    ("compressed_jpegls", "dcm2niix"): {"missing"},
}
"""(part of the folder's name, program) -> in what it differs, in the words of `differences`. All else is equal."""


class Grid(NamedTuple):
    """A volume and where it lies."""

    values: NDArray[Any]
    """(slices, rows, columns)."""
    affine: NDArray[np.float64] | None
    """(slice, row, column, 1) -> (x, y, z, 1) in mm, LPS."""


def series_folders() -> list[str]:
    """Folders of the real data that hold DICOM files, relative to it."""
    if not (data := os.environ.get("RRG_TEST_DATA")):
        return []
    found: dict[str, None] = {}
    for path in sorted(Path(data).rglob("*")):
        if path.is_file() and str(path.parent.relative_to(data)) not in found:
            with path.open("rb") as file:
                if file.read(132)[128:] == b"DICM":
                    found[str(path.parent.relative_to(data))] = None
    return list(found)


every_series = pytest.mark.parametrize("name", series_folders() or ["none"])
Ours = Callable[[str], tuple[list[Slice], Path]]


@pytest.fixture(scope="module")
def ours(rrg: Rrg, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """Extract a folder, once: (slices, store)."""

    @functools.cache
    def extract(name: str) -> tuple[list[Slice], Path]:
        folder = tmp_path_factory.mktemp("store")
        lines = rrg("extract-slices", data / name, "--store", folder).stdout.splitlines()
        return [decode(line, Slice) for line in lines if json.loads(line)["schema"] == "rrg.slice/1"], folder

    return extract


def grids(slices: Sequence[Slice], folder: Path) -> list[Grid]:
    """Our volumes, with the affine of the records."""
    made = []
    for series in dict.fromkeys(each.series for each in slices):
        own = [each for each in slices if each.series == series]
        try:
            affine = volume_affine(own)
        except RecordError:
            affine = None
        made.append(Grid(store.read_volume(folder, f"series/{series}"), affine))
    return made


def by_simpleitk(folder: Path) -> list[Grid]:
    """The volumes that SimpleITK's series reader makes."""
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    made = []
    for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
        image = sitk.ReadImage(names if len(names) > 1 else names[0])
        affine = np.eye(4)
        direction = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        affine[:3, :3], affine[:3, 3] = direction[:, ::-1], image.GetOrigin()  # (x, y, z) -> (slice, row, column)
        made.append(Grid(sitk.GetArrayFromImage(image), affine))
    return made


def by_dcm2niix(folder: Path, into: Path) -> tuple[list[Grid], bool]:
    """The volumes that dcm2niix writes, its flips undone; and whether some were joined in a 4-D file.

    It turns rows over (NIfTI counts them from the back) and writes RAS: x and y are negated.
    """
    into.mkdir()
    subprocess.run(["dcm2niix", *DCM2NIIX, "-o", into, folder], capture_output=True, check=False)
    made, joined = [], False
    for path in sorted(into.glob("*.nii")):
        image: Any = nibabel.load(path)
        values = np.asarray(image.dataobj)
        joined |= values.ndim == 4
        affine = (np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine)[:, [2, 1, 0, 3]]
        affine[:, 3] += affine[:, 1] * (values.shape[1] - 1)
        affine[:, 1] *= -1
        for volume in values.reshape(*values.shape[:3], -1).transpose(3, 2, 1, 0):
            made.append(Grid(volume[:, ::-1], affine))
    return made, joined


def differences(ours: Sequence[Grid], theirs: Sequence[Grid]) -> set[str]:
    """In what the volumes of another program differ from ours.

    ``affine``: same pixels, elsewhere; ``no affine``: same pixels, and ours has no single grid; ``rounding``: equal to
    float32 precision only; ``together``: the slices are ours, stacked otherwise; ``interpolated``: a volume of values
    that no file holds; ``missing``: one of our slices is nowhere in theirs.
    """
    seen: set[str] = set()
    left = {slice_.astype(np.float64).tobytes() for grid in ours for slice_ in grid.values}
    known = frozenset(left)
    for grid in theirs:
        same = [own for own in ours if own.values.shape == grid.values.shape]
        exact = [own for own in same if np.array_equal(own.values, grid.values)]
        near = [own for own in same if np.allclose(own.values, grid.values, rtol=2e-7, atol=0)]
        for own in (exact or near)[:1]:
            left -= {slice_.astype(np.float64).tobytes() for slice_ in own.values}
            seen |= set() if exact else {"rounding"}
            if own.affine is None or grid.affine is None:
                seen.add("no affine")
            elif off_mm(own.affine, grid.affine, grid.values.shape) > NEAR_MM:
                seen.add("affine")
        if not near and not exact:
            slices = {slice_.astype(np.float64).tobytes() for slice_ in grid.values}
            seen.add("together" if slices <= known else "interpolated")
            left -= slices
    return seen | ({"missing"} if left else set())


def off_mm(a: NDArray[np.float64], b: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """Largest distance of the corners of two volumes."""
    corners = np.array([[*np.array(at) * (np.array(shape) - 1), 1.0] for at in np.ndindex(2, 2, 2)])
    return float(np.linalg.norm(corners @ (a - b).T, axis=1).max())


def expected(name: str, program: str) -> set[str]:
    return next((words for (part, of), words in DIFFERENT.items() if of == program and part in name), set())


@pytest.fixture(scope="module")
def dcm2niix() -> str:
    """What dcm2niix says of itself."""
    if shutil.which("dcm2niix") is None:
        pytest.skip("dcm2niix is not installed (Debian: apt-get install dcm2niix)")
    done = subprocess.run(["dcm2niix", "-v"], capture_output=True, text=True, check=False)
    return done.stdout


# --- the programs


@every_series
def test_pixels_and_affine_are_those_of_simpleitk(name: str, data: Path, ours: Ours) -> None:
    assert differences(grids(*ours(name)), by_simpleitk(data / name)) == expected(name, "SimpleITK")


@every_series
def test_pixels_and_affine_are_those_of_dcm2niix(
    name: str, data: Path, ours: Ours, dcm2niix: str, tmp_path: Path
) -> None:
    theirs, joined = by_dcm2niix(data / name, tmp_path / "nii")
    seen = differences(grids(*ours(name)), theirs) | ({"4-D"} if joined else set())
    if "compressed_jpegls" in name and "CharLS" in dcm2niix:
        assert seen == set()  # a build with a decoder for it
    else:
        assert seen == expected(name, "dcm2niix")


@every_series
def test_each_slice_is_the_one_of_its_uid(name: str, data: Path, ours: Ours) -> None:
    """By pydicom: the object behind the passport of a slice has the pixels and the position of the slice."""
    slices, folder = ours(name)
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in sorted((data / name).iterdir())}
    files = {str(h.get("SOPInstanceUID") or h.file_meta.MediaStorageSOPInstanceUID): p for p, h in headers.items()}
    opened = functools.cache(pydicom.dcmread)
    seen: set[tuple[str, int | None]] = set()
    for asked, (line,) in passports([Asked(each.pixels) for each in slices], folder):
        each = slices[len(seen)]
        assert (line["slice"], line["index"], asked.id) == (each.id, each.index, each.pixels)
        made = opened(files[line["sop_instance_uid"]])
        number = line["frame"]
        pixels = made.pixel_array if number is None else made.pixel_array[number - 1]
        where, slope, intercept = (
            made.get("ImagePositionPatient"),
            made.get("RescaleSlope"),
            made.get("RescaleIntercept"),
        )
        if number is not None:
            own = made.PerFrameFunctionalGroupsSequence[number - 1]
            where = own.PlanePositionSequence[0].ImagePositionPatient
            for group in (*made.get("SharedFunctionalGroupsSequence", ()), own):
                if "PixelValueTransformationSequence" in group:
                    slope = group.PixelValueTransformationSequence[0].RescaleSlope
                    intercept = group.PixelValueTransformationSequence[0].RescaleIntercept
        values = pixels * float(1 if slope is None else slope) + float(intercept or 0)
        np.testing.assert_allclose(store.read(folder, each.pixels), values, rtol=1e-7)
        assert list(each.position_mm or ()) == [float(v) for v in where] == line["position_mm"]
        seen.add((line["sop_instance_uid"], number))
    frames = [int(opened(path).get("NumberOfFrames", 1)) for path in files.values()]
    assert len(seen) == len(slices) == sum(frames)


# --- what the differences are


def test_every_difference_is_explained_and_every_explanation_is_tested() -> None:
    rows = [line.split("|")[1:4] for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    told = {(row[0].strip(" `"), row[1].strip()): set(row[2].strip().split(", ")) for row in rows}
    assert told == DIFFERENT


def _of(part: str) -> str:
    found = [name for name in series_folders() if part in name]
    if not found:
        pytest.skip(f"no folder of the real data is named {part}, or RRG_TEST_DATA is not set")
    return found[0]


def test_a_tilted_gantry(data: Path, ours: Ours, dcm2niix: str, tmp_path: Path) -> None:
    """Our step between slices is that of the headers; ITK turns it onto the normal; dcm2niix's has another length."""
    name = _of("gantrytilting")
    slices, folder = ours(name)
    (own,) = grids(slices, folder)
    assert own.affine is not None
    assert {"shear", "tilt"} <= set(slices[0].flags)
    header = np.array([each.position_mm for each in slices])
    np.testing.assert_allclose(own.affine[:3, 0], (header[-1] - header[0]) / 3, atol=1e-9)
    np.testing.assert_allclose(own.affine[:3, 0], [0, 0, 5], atol=1e-3)
    (itk,) = by_simpleitk(data / name)
    assert itk.affine is not None
    normal = slice_normal(slices[0].orientation or ())
    np.testing.assert_allclose(itk.affine[:3, 0], normal * np.linalg.norm(own.affine[:3, 0]), atol=1e-6)
    np.testing.assert_allclose(itk.affine[:3, 1:], own.affine[:3, 1:], atol=1e-6)
    theirs, _ = by_dcm2niix(data / name, tmp_path / "nii")
    (raw,) = [grid for grid in theirs if np.array_equal(grid.values, own.values)]
    assert raw.affine is not None
    cosine = abs(normal[2])
    np.testing.assert_allclose(raw.affine[:3, 0], [0, 0, 5 * cosine**2], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(own.affine[:3, 1]), 0.41797, atol=1e-4)  # Pixel Spacing
    np.testing.assert_allclose(raw.affine[:3, 1], [0, 0.41797 / cosine, own.affine[2, 1]], atol=1e-4)
    assert [grid.values.shape[1] for grid in theirs] == [512, 521], "the corrected volume is wider"


def test_uneven_gaps(data: Path, ours: Ours, dcm2niix: str, tmp_path: Path) -> None:
    """ITK and dcm2niix write one step for all gaps; we write none, and the place of each slice."""
    name = _of("sliceincrement")
    slices, folder = ours(name)
    assert "gap_mm" in slices[0].flags
    assert slices[0].slice_spacing_mm is None
    gaps = np.diff([each.position_mm[2] for each in slices if each.position_mm])
    assert gaps.max() - gaps.min() > 0.1
    for theirs in (by_simpleitk(data / name), by_dcm2niix(data / name, tmp_path / "nii")[0]):
        same = [grid for grid in theirs if np.array_equal(grid.values, grids(slices, folder)[0].values)]
        assert same[0].affine is not None
        step = float(same[0].affine[2, 0])
        assert np.abs(gaps - step).max() > 0.1


def test_several_images_at_one_place_are_several_volumes(data: Path, ours: Ours) -> None:
    """Four images of one position: four volumes of one slice. ITK stacks them on top of each other."""
    slices, folder = ours(_of("notavolume"))
    assert [grid.values.shape[0] for grid in grids(slices, folder)] == [1, 1, 1, 1]
    assert len({each.position_mm for each in slices}) == 1
    (itk,) = by_simpleitk(data / _of("notavolume"))
    assert itk.values.shape[0] == 4


def test_two_orientations_are_two_volumes(data: Path, ours: Ours) -> None:
    slices, _ = ours(_of("sliceorientation"))
    assert sorted({each.plane for each in slices if each.plane}) == ["axial", "sagittal"]
    (itk,) = by_simpleitk(data / _of("sliceorientation"))
    assert itk.values.shape[0] == 4
