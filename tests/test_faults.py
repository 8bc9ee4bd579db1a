"""Rows 1 to 33 of the table of faults, each made by `rrg phantom --fault` and read by the real commands.

What must happen stands in the table; `fault.json` repeats it for other people's tools, and the fixture holds us to it:
codes, flags, exit code, counts, no traceback, no name of a patient, nothing written but to the store.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from rrg import private, store
from rrg.codec import decode
from rrg.errors import unreadable
from rrg.geometry import volume_affine
from rrg.keys import pseudonym
from rrg.phantom_faults import FAULTS
from rrg.phantom_faults_header import PRIVATE, UMLAUTS
from rrg.records import KINDS, Error, Mask, Sample, Slice
from rrg.windows import voi, windowed
from tests.conftest import Done, Rrg

CANARIES = (
    *("Mustermann", "Musterfrau", "Erika", "P-471", "P-666", "A-081", "1950-01-01", "19500101", "geheim", "MUSTER"),
    *("rrg-escaped", UMLAUTS, UMLAUTS[:4], *PRIVATE),
)
ESCAPED = (Path("/tmp/rrg-escaped"), Path("/tmp/rrg-escaped.dcm"))


class Out(NamedTuple):
    """A folder with a fault, and what a command made of it."""

    folder: Path
    fault: dict[str, Any]
    store: Path
    records: list[Any]
    counts: dict[str, int]
    done: Done

    def of(self, kind: type) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def slices(self) -> list[Slice]:
        return self.of(Slice)

    @property
    def series(self) -> list[list[Slice]]:
        """Slices by series, in the order in which they came."""
        found: dict[str, list[Slice]] = {}
        for slice_ in self.slices:
            found.setdefault(slice_.series, []).append(slice_)
        return list(found.values())

    @property
    def messages(self) -> str:
        return "\n".join(error.message for error in self.of(Error))

    def pixels(self, slice_: Slice) -> NDArray[Any]:
        return store.read(self.store, slice_.pixels)

    def volume(self, number: int = 0) -> NDArray[Any]:
        return np.stack([self.pixels(slice_) for slice_ in self.series[number]])

    def places(self, slices: Sequence[Slice]) -> NDArray[np.float64]:
        """(n, 3) LPS mm of the bright pixels of a series, by the records alone."""
        found = []
        for s in slices:
            assert s.position_mm is not None
            assert s.orientation is not None
            assert s.spacing_mm is not None
            rows, columns = np.nonzero(self.pixels(s) > 250)
            along_row, along_column = np.array(s.orientation[:3]), np.array(s.orientation[3:])
            found.append(
                np.array(s.position_mm)
                + columns[:, None] * s.spacing_mm[1] * along_row
                + rows[:, None] * s.spacing_mm[0] * along_column
            )
        return np.concatenate(found)

    def assert_block_is_in_its_place(self, slices: Sequence[Slice], step_mm: float) -> None:
        """Every bright pixel lies in the block, and they reach to within two steps of all its sides."""
        places, block = self.places(slices), np.array(self.fault["truth"]["block_mm"])
        assert len(places) > 20
        assert (places >= block[:, 0] - 1e-3).all()
        assert (places <= block[:, 1] + 1e-3).all()
        assert (places.min(axis=0) <= block[:, 0] + step_mm).all()
        assert (places.max(axis=0) >= block[:, 1] - step_mm).all()


Certify = Callable[..., Out]


@pytest.fixture(scope="module")
def faults(rrg: Rrg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fault, made by one process."""
    folder = tmp_path_factory.mktemp("made") / "faults"
    rrg("phantom", "--fault", "all", "--out", folder)
    return folder


@pytest.fixture
def certify(rrg: Rrg, faults: Path, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> Certify:
    monkeypatch.setenv("RRG_KEY_FILE", str(key_file))

    def run(name: str, *more: object, limit: str = "") -> Out:
        return outcome(rrg, faults / name, tmp_path, *more, limit=limit)

    return run


@pytest.fixture(scope="module")
def plain(rrg: Rrg, faults: Path, tmp_path_factory: pytest.TempPathFactory) -> Out:
    """The study without a fault."""
    return outcome(rrg, faults / "none", tmp_path_factory.mktemp("plain"))


def outcome(rrg: Rrg, folder: Path, work: Path, *more: object, limit: str = "") -> Out:
    """Run what ``command`` of a fault says (`more`: further options), and hold the outcome to its ``fault.json``.

    `limit` is what the shell's ``ulimit`` is given.
    """
    name, place = folder.name, work / f"{folder.name}.store"
    fault = json.loads((folder / "fault.json").read_bytes())
    expect, command = fault["expect"], fault["command"]
    assert (fault["name"], fault["row"]) == (name, FAULTS[name].row)
    before = listing(work), listing(folder)
    first, _, second = command.partition(" | ")
    words = [str(folder / word) if word.startswith("input") else word for word in first.split()]
    arguments = [*words[1 : words.index("--store")], "--store", place, *more]
    if limit:
        done = limited(limit, *arguments, code=expect["exit"])
    else:
        done = rrg(*arguments, code=0 if second else expect["exit"])
    if second:
        masks = ["--engine", "masks", "--masks", folder / "masks"]
        done = rrg("segment", "--store", place, *masks, stdin=done.stdout, code=expect["exit"])
    out = parsed(done, folder, fault, place)
    assert Counter(error.code for error in out.of(Error)) == expect["codes"], out.messages
    flagged = out.of(Mask) if "SUSPECT_LR" in expect["flags"] else out.slices
    assert {flag for each in flagged for flag in each.flags} == set(expect["flags"])
    assert listing(work) - before[0] <= {place.name}
    assert listing(folder) == before[1]
    assert not [path for path in ESCAPED if path.exists()]
    assert_clean(out)
    return out


def listing(folder: Path) -> set[str]:
    """All names below a folder, but for those in stores."""
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    return {str(path) for path in found if len(path.parts) == 1 or not path.parts[0].endswith(".store")}


def limited(limit: str, *arguments: object, code: int) -> Done:
    """The command under limits of the shell, such as ``-v`` kB of memory; numeric libraries on one thread."""
    done = subprocess.run(
        ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh", sys.executable, "-m", "rrg", *map(str, arguments)],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()[-2000:]
    return done


def parsed(done: Done, folder: Path, fault: dict[str, Any], place: Path) -> Out:
    records = [decode(line, KINDS[json.loads(line)["schema"]]) for line in done.stdout.splitlines()]
    ends = [json.loads(line)["counts"] for line in done.stdout.splitlines() if b'"rrg.end/1"' in line]
    return Out(folder, fault, place, records, ends[0], done)


def assert_clean(out: Out) -> None:
    """No traceback, and no canary in stdout, stderr or the store, but for its private folder."""
    told = out.done.stderr.decode(errors="replace")
    assert "Traceback" not in told
    everything = out.done.stdout + told.replace(str(out.store), "").encode()
    for path in out.store.rglob("*"):
        if "private" not in path.relative_to(out.store).parts:
            everything += str(path.relative_to(out.store)).encode() + (path.read_bytes() if path.is_file() else b"")
    for canary in CANARIES:
        assert canary.encode() not in everything, "a value of the headers got out"
        assert canary.encode("latin-1") not in everything, "a value of the headers got out"


def files_of(out: Out) -> set[str]:
    """Names of the files behind the slices, from the private map."""
    names: set[str] = set()
    for study in {slice_.study for slice_ in out.slices}:
        known = private.study_of(out.store, study)
        assert known is not None
        for series in known["series"].values():
            names |= {entry["file"] for entry in series["slices"].values()}
    return names


def assert_counts(out: Out, files: int | None = None) -> None:
    """Files in = files with slices + error records, and the run tells both."""
    given = [path for path in (out.folder / "input").rglob("*") if not path.is_dir()]
    files = len(given) if files is None else files
    assert out.counts["file"] == files == len(files_of(out)) + len(out.of(Error))
    assert out.counts.get("slice", 0) == len(out.slices)


def tag_values(out: Out, keyword: str) -> list[Any]:
    """A header value of each input file, by name, read by pydicom."""
    return [pydicom.dcmread(path).get(keyword) for path in sorted((out.folder / "input").rglob("IM*.dcm"))]


def hashes(out: Out) -> list[str]:
    return [slice_.sha256 for slice_ in out.slices]


def stored(out: Out) -> NDArray[Any]:
    """Stored values of the input files, by pydicom, in order of their names."""
    return np.stack([pydicom.dcmread(path).pixel_array for path in sorted((out.folder / "input").rglob("IM*.dcm"))])


def names_of(row: int) -> list[str]:
    return [name for name, fault in FAULTS.items() if fault.row == row]


def test_every_row_has_faults() -> None:
    assert {fault.row for fault in FAULTS.values()} == set(range(34))


# --- syntaxes


def test_row_01_every_transfer_syntax_gives_the_same_arrays(certify: Certify, plain: Out) -> None:
    assert_counts(plain)
    np.testing.assert_array_equal(plain.volume(), stored(plain).astype(int) - 1024)
    for name in names_of(1):
        out = certify(name)
        assert_counts(out)
        if name != "no-codec":
            assert hashes(out) == hashes(plain), name
            assert [s.dtype for s in out.slices] == [s.dtype for s in plain.slices]
    assert hashes(out) == hashes(plain)[:4]
    assert "MPEG2" in out.messages


def test_row_02_lossy_is_decoded_and_flagged_with_its_ratio(certify: Certify, plain: Out) -> None:
    for name in names_of(2):
        out = certify(name)
        assert_counts(out)
        ratios = [float(ratio) for ratio in tag_values(out, "LossyImageCompressionRatio")]
        assert [s.lossy_ratio for s in out.slices] == pytest.approx(ratios)
        assert min(ratios) > 1.5
        error = np.abs(out.volume().astype(int) - plain.volume().astype(int))
        assert 0 < error.mean() < 10, "lost a little, decoded all the same"


# --- frames and places


def test_row_03_enhanced_frames_are_sorted_and_rescaled_each(certify: Certify, plain: Out) -> None:
    for name, frames in (("enhanced-ct", [1, 2, 3, 4, 5]), ("frames-out-of-order", [2, 4, 1, 5, 3])):
        out = certify(name)
        assert_counts(out)
        assert [s.frame for s in out.slices] == frames
        np.testing.assert_array_equal(out.volume(), plain.volume())
        assert [s.position_mm for s in out.slices] == [s.position_mm for s in plain.slices]
        assert {(s.unit, s.slice_spacing_mm, s.spacing_mm) for s in out.slices} == {("HU", 5.0, (1.5, 1.25))}
    out = certify("enhanced-mr")
    held = stored(out)[0].astype(int)
    assert [s.frame for s in out.slices] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(out.volume(), [held[f] * (f + 1) + 10 * f for f in range(5)])


def test_row_04_frames_without_places_are_refused(certify: Certify, plain: Out) -> None:
    out = certify("old-multi-frame")
    assert_counts(out)
    assert hashes(out) == hashes(plain)


def test_row_05_without_pixel_spacing_pixels_but_no_millimetres(certify: Certify, plain: Out, rrg: Rrg) -> None:
    for name in names_of(5):
        out = certify(name)
        assert_counts(out)
        assert hashes(out) == hashes(plain)
        assert {(s.spacing_mm, s.flags) for s in out.slices} == {(None, ("no_mm",))}
        done = rrg("segment", "--store", out.store, "--engine", "threshold", stdin=out.done.stdout, code=None)
        refused = parsed(done, out.folder, out.fault, out.store)
        assert [error.code for error in refused.of(Error)] == ["E_GEOMETRY"]
        assert refused.of(Mask) == []
        assert b"Traceback" not in done.stderr


def test_row_06_gantry_tilt_is_kept_as_a_sheared_affine(certify: Certify) -> None:
    for name in ("gantry-tilt", "tilt-disagrees"):
        out = certify(name)
        assert_counts(out)
        np.testing.assert_array_equal(out.volume(), stored(out).astype(int) - 1024)  # not resampled
        np.testing.assert_allclose(volume_affine(out.slices)[:3, 0], [0, 0, 5], atol=1e-6)
        assert {round(abs(s.tilt_degrees or 0), 2) for s in out.slices} == {15.0}
        spacing = 5 * np.cos(np.radians(15))
        assert [s.slice_spacing_mm for s in out.slices] == pytest.approx([spacing] * 5, abs=1e-4)
    straight = certify("tilt-only-in-the-tag")
    np.testing.assert_array_equal(straight.volume(), stored(straight).astype(int) - 1024)
    np.testing.assert_allclose(volume_affine(straight.slices)[:3, 0], [0, 0, 5], atol=1e-6)


def test_row_07_two_tilted_slices_and_one_slice(certify: Certify) -> None:
    for name, count in (("two-slice-tilt", 2), ("one-slice", 1)):
        out = certify(name)
        assert_counts(out)
        assert [(s.index, s.count) for s in out.slices] == [(n, count) for n in range(count)]
        np.testing.assert_array_equal(out.volume(), stored(out).astype(int) - 1024)


def test_row_08_gaps_are_flagged_with_numbers_and_the_mapping_is_exact(certify: Certify, plain: Out) -> None:
    for name, heights, gaps in (
        ("missing-slice", [0.0, 10.0, 15.0, 20.0], (5.0, 10.0)),
        ("uneven-slices", [0.0, 5.0, 10.0, 15.0, 17.0], (2.0, 5.0)),
    ):
        out = certify(name)
        assert_counts(out)
        for slices in out.series:  # split, or flagged
            assert len(out.series) > 1 or {(s.flags, s.slice_spacing_mm) for s in slices} == {(("gap_mm",), None)}
            assert len(out.series) > 1 or {s.gaps_mm for s in slices} == {gaps}
            assert [s.index for s in slices] == list(range(len(slices)))
        assert sorted(s.position_mm[2] for s in out.slices if s.position_mm) == heights
        numbers = {s.sha256: s.instance_number for s in plain.slices}
        assert [s.instance_number for s in out.slices] == [numbers[s.sha256] for s in out.slices]


def test_row_09_copies_are_counted_and_phases_are_split(certify: Certify, plain: Out) -> None:
    out = certify("duplicate-sop")
    assert_counts(out)
    assert hashes(out) == hashes(plain)
    for name in ("same-position", "echoes", "b-values", "phases"):
        out = certify(name)
        assert_counts(out)
        assert [len(slices) for slices in out.series] == [5, 5], name
        assert {s.slice_spacing_mm for s in out.slices} == {5.0}
        first, second = out.volume(0).astype(int), out.volume(1).astype(int)
        offset = 1024 if out.slices[0].modality == "CT" else 0
        np.testing.assert_array_equal(second + offset, (first + offset) // 2)


def test_row_10_orientations_are_split_and_localizers_taken_out(certify: Certify) -> None:
    out = certify("mixed-orientation")
    assert_counts(out)
    assert sorted((slices[0].plane, len(slices)) for slices in out.series) == [
        ("axial", 5), ("coronal", 12), ("sagittal", 12),
    ]  # fmt: skip
    out = certify("scout-in-series")
    assert_counts(out)
    assert sorted((slices[0].role, len(slices)) for slices in out.series) == [
        ("localizer", 1), ("localizer", 1), ("primary", 12),
    ]  # fmt: skip


def test_row_11_studies_and_patients_are_never_mixed(certify: Certify, plain: Out, key_file: Path) -> None:
    key = key_file.read_bytes()
    patients = [pseudonym(key, "patient", value) for value in ("P-4711", "P-4712")]
    for name, shapes in (("two-studies", (1, 2, 2)), ("two-patients", (2, 2, 2)), ("shared-series-uid", (2, 2, 2))):
        out = certify(name)
        assert_counts(out)
        assert tuple(len({getattr(s, key) for s in out.slices}) for key in ("patient", "study", "series")) == shapes
        assert [len(slices) for slices in out.series] == [5, 5]
        assert {s.patient for s in out.slices} <= set(patients)
        for slices in out.series:
            assert len({(s.patient, s.study) for s in slices}) == 1
            assert [s.index for s in slices] == [0, 1, 2, 3, 4]
    out = certify("mixed-patient")
    assert_counts(out)
    assert hashes(out) == hashes(plain)
    assert "2 different Patient IDs in 3 files" in out.messages


def test_row_12_left_is_left_however_the_patient_lies(certify: Certify, plain: Out) -> None:
    plain.assert_block_is_in_its_place(plain.slices, 5.0)
    for name in names_of(12):
        out = certify(name)
        assert_counts(out)
        out.assert_block_is_in_its_place(out.slices, 5.0)
        heights = [s.position_mm[2] for s in out.slices if s.position_mm]
        normals = {float(np.cross((s.orientation or ())[:3], (s.orientation or ())[3:])[2]) for s in out.slices}
        assert heights == sorted(heights, reverse=normals == {-1.0})  # the array runs along the normal
        affine = volume_affine(out.slices)
        bright = np.argwhere(out.volume() > 250)
        placed = bright @ affine[:3, :3].T + affine[:3, 3]
        np.testing.assert_allclose(placed, out.places(out.slices), atol=1e-6)
    descending = certify("descending")
    assert hashes(descending) == hashes(plain)
    assert [s.instance_number for s in descending.slices] == [5, 4, 3, 2, 1]


def test_row_13_boxes_in_pixels_and_in_millimetres_agree(certify: Certify) -> None:
    for name in names_of(13):
        out = certify(name)
        assert {s.spacing_mm for s in out.slices} == {(0.5, 0.8)}
        out.assert_block_is_in_its_place(out.slices, 5.0)
        assert {s.plane for s in out.slices} == {name.partition("-")[0]}, name
        by_id, boxes = {s.id: s for s in out.slices}, 0
        for mask in out.of(Mask):
            s = by_id[mask.slice]
            rows, columns = np.nonzero(out.pixels(s) > 250)
            assert [label.label for label in mask.labels] == (["spleen"] if len(rows) else [])
            for label in mask.labels:
                box = label.box
                assert box.xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                assert s.orientation is not None
                wide, high = (box.x1 - box.x0) * 0.8, (box.y1 - box.y0) * 0.5
                if name != "oblique-anisotropic":
                    axes = [int(np.argmax(np.abs(s.orientation[i : i + 3]))) for i in (0, 3)]
                    truth = [np.diff(out.fault["truth"]["block_mm"][axis])[0] for axis in axes]
                    assert abs(wide - truth[0]) <= 0.8
                    assert abs(high - truth[1]) <= 0.5
                boxes += 1
        assert boxes >= 2


# --- values and windows


def test_row_14_monochrome1_is_inverted_after_the_window(certify: Certify) -> None:
    for name in names_of(14):
        out = certify(name)
        assert_counts(out)
        np.testing.assert_array_equal(out.volume(), stored(out))  # the store holds what was stored
        pixels = out.pixels(out.slices[-1])
        upright = windowed(pixels, "stored", "radgrounder")
        turned = windowed(pixels, "stored", "radgrounder", invert="monochrome1" in out.slices[-1].flags)
        np.testing.assert_array_equal(turned, 255 - upright)
        low, high = np.percentile(pixels, (0.5, 99.5))
        assert np.median(turned[pixels <= low]) > 250
        assert np.median(turned[pixels >= high]) < 5


def test_row_15_slopes_are_applied_per_slice(certify: Certify, plain: Out) -> None:
    for name in ("slope-per-slice", "slope-per-slice-pet"):
        out = certify(name)
        assert_counts(out)
        np.testing.assert_array_equal(out.volume(), stored(out).astype(int) * np.arange(1, 6)[:, None, None])
    out = certify("slope-missing")
    assert {s.unit for s in out.slices} == {"stored"}
    np.testing.assert_array_equal(out.volume(), stored(out))
    out = certify("slope-zero")
    assert_counts(out)
    assert hashes(out) == hashes(plain)[:4]


def test_row_16_bits_signs_and_padding(certify: Certify, plain: Out) -> None:
    for name in ("dirty-bits", "signed-dirty-bits", "signed-unsigned-lut"):
        out = certify(name)
        assert_counts(out)
        np.testing.assert_array_equal(out.volume(), plain.volume(), err_msg=name)
    for name in ("padding", "padding-mr"):
        out = certify(name)
        assert_counts(out)
        assert {s.padding for s in out.slices} == {-2000.0}
        outside = out.volume() == -2000
        assert 0.1 < outside.mean() < 0.5
        s = out.slices[2]
        pixels, unit = out.pixels(s), s.unit
        grey = windowed(pixels, unit, "soft", padding=s.padding)
        if unit == "HU":
            np.testing.assert_array_equal(grey, windowed(np.maximum(pixels, -1000), unit, "soft"))
            continue
        inside = pixels[pixels != -2000].astype(float)
        low, high = np.percentile(inside, (0.5, 99.5))
        wanted = np.clip(np.rint((inside - low) * 255 / (high - low)), 0, 255)
        np.testing.assert_allclose(grey[pixels != -2000][:, 0].astype(float), wanted, atol=1)
        assert not grey[pixels == -2000].any()


def test_row_17_odd_windows_change_no_pixel_and_divide_by_nothing(certify: Certify, plain: Out) -> None:
    wanted: dict[str, tuple[tuple[float, float] | None, set[str | None]]] = {
        "window-multi": ((40.0, 350.0), {None, "LINEAR"}),
        "window-width-0": (None, {None, "LINEAR"}),
        "window-width-1": ((40.0, 1.0), {None, "LINEAR"}),
        "window-not-a-number": (None, {None, "LINEAR"}),
        "voi-lut": (None, {None, "LINEAR"}),
        "window-sigmoid": ((40.0, 400.0), {"SIGMOID"}),
    }
    assert set(wanted) == set(names_of(17))
    for name, (window, functions) in wanted.items():
        out = certify(name)
        assert_counts(out)
        assert hashes(out) == hashes(plain)
        assert {s.window for s in out.slices} == {window}, name
        assert {s.window_function for s in out.slices} <= functions, name
        named = windowed(out.pixels(out.slices[2]), "HU", "soft")  # the preset does not ask the header
        assert set(np.unique(named)) != {0}
        if window is not None:
            from rrg.windows import Window

            grey = voi(out.pixels(out.slices[2]), Window(*window), out.slices[2].window_function or "LINEAR")
            assert (int(grey.min()), int(grey.max())) in ((0, 255), (0, 237), (0, 238))


# --- headers


def test_row_18_objects_that_are_no_images_are_counted(certify: Certify, plain: Out) -> None:
    for name in names_of(18):
        out = certify(name)
        assert_counts(out)
        assert hashes(out) == hashes(plain)


def test_row_19_burned_in_text_is_flagged_left_out_and_listed(certify: Certify, rrg: Rrg, tmp_path: Path) -> None:
    for name in names_of(19):
        report = tmp_path / f"{name}.store" / "phi.md"
        report.parent.mkdir()
        out = certify(name, "--phi-report", report)
        assert_counts(out)
        marked = [s for s in out.slices if "burned_in" in s.flags]
        assert {s.series_number for s in marked} == {4}
        assert {s.series_number for s in out.slices if "burned_in" not in s.flags} == {3}
        assert "urned" in report.read_text()
        masked = rrg("segment", "--store", out.store, "--engine", "threshold", stdin=out.done.stdout, code=None).stdout
        samples = parsed(rrg("synth-vqa", stdin=masked, code=None), out.folder, out.fault, out.store).of(Sample)
        used = {image.slice for sample in samples for image in sample.images}
        assert used & {s.id for s in out.slices if s.series_number == 3}
        assert not used & {s.id for s in marked}


def test_row_20_private_elements_go_nowhere(certify: Certify, plain: Out) -> None:
    out = certify("private-phi")  # the canaries of the fixture are their values
    assert_counts(out)
    assert hashes(out) == hashes(plain)
    held = b"".join(path.read_bytes() for path in (out.store / "private").rglob("*") if path.is_file())
    assert not [value for value in PRIVATE if value.encode() in held]


def test_row_21_umlauts_are_right_in_any_character_set(certify: Certify, key_file: Path) -> None:
    right = pseudonym(key_file.read_bytes(), "patient", UMLAUTS)
    for name in names_of(21):
        out = certify(name)
        assert_counts(out)
        for s in out.slices:
            assert s.patient == right or "charset_raw" in s.flags, name


def test_row_22_what_is_no_dicom_is_refused_and_nothing_hangs(certify: Certify, plain: Out) -> None:
    for name in names_of(22):
        out = certify(name)
        assert_counts(out)
        assert hashes(out) == hashes(plain), name


def test_row_23_cut_pixels_are_never_filled_up(certify: Certify, plain: Out) -> None:
    left = {"truncated": [0, 2, 3, 4], "wrong-length": [0, 2, 4], "truncated-jpeg2000": [0, 2, 3, 4],
            "cut-header": [0, 1, 2, 3]}  # fmt: skip
    assert set(left) == set(names_of(23))
    for name, kept in left.items():
        out = certify(name)
        assert_counts(out)
        assert hashes(out) == [hashes(plain)[number] for number in kept], name


def test_row_24_deep_nesting_is_one_record(certify: Certify, plain: Out) -> None:
    out = certify("deep-nesting")
    assert_counts(out)
    assert hashes(out) == hashes(plain)[:4]


def test_row_25_huge_claims_allocate_nothing(certify: Certify, plain: Out) -> None:
    for name in names_of(25):
        out = certify(name, limit="-v 4000000")
        assert_counts(out)
        assert hashes(out) == hashes(plain)
        assert name != "huge-claim" or "--max-mb" in out.messages


def test_row_26_a_decoder_that_dies_costs_one_file(certify: Certify, plain: Out) -> None:
    for name in names_of(26):
        out = certify(name)
        assert_counts(out)
        assert hashes(out) == hashes(plain)


# --- names, archives


def test_row_27_nothing_is_read_or_written_outside(certify: Certify, plain: Out, key_file: Path) -> None:
    out = certify("dicomdir-traversal")
    key = key_file.read_bytes()
    assert {s.patient for s in out.slices} == {pseudonym(key, "patient", "P-4711")}
    assert hashes(out) == hashes(plain)[:3]
    assert_counts(out, files=5)
    out = certify("odd-names")
    assert_counts(out)
    assert [len(slices) for slices in out.series] == [5, 5]
    for path in out.store.rglob("*"):
        assert path.name.isascii()
        assert len(path.name) < 100
        assert "rrg-escaped" not in path.name


def test_row_28_archives_are_refused_member_by_member(certify: Certify, plain: Out) -> None:
    for name in names_of(28):
        out = certify(name)
        assert hashes(out) == hashes(plain), name
        assert_counts(out, files=5 + sum(out.fault["expect"]["codes"].values()))


def test_row_29_hard_names_work_and_options_end(certify: Certify, rrg: Rrg) -> None:
    out = certify("file-names")
    assert_counts(out)
    assert [len(slices) for slices in out.series] == [8]
    place = out.store.with_name("dash.store")
    done = rrg("extract-slices", "--store", place, "--", "-rf", cwd=out.folder / "input")
    assert [s.sha256 for s in parsed(done, out.folder, out.fault, place).slices] == [out.slices[1].sha256]


# --- NIfTI and masks


def test_row_30_nifti_keeps_left_and_right(certify: Certify) -> None:
    for name, shapes in (
        ("nifti-sform-qform", [5]),
        ("nifti-negative-determinant", [5, 5]),
        ("nifti-nan-slope", [5]),
        ("nifti-4d", [5, 5, 5]),
    ):
        out = certify(name)
        assert [len(slices) for slices in out.series] == shapes, name
        assert_counts(out)
        if name == "nifti-nan-slope":
            assert sorted(np.unique(out.volume()).tolist())[0] == -100
            assert out.volume().max() == 30
            continue
        for slices in out.series:
            out.assert_block_is_in_its_place(slices, 5.0)
    volumes = [out.volume(number).astype(int) for number in range(3)]
    assert [slices[0].time_index for slices in out.series] == [0, 1, 2]
    assert {s.role for s in out.slices} == {"dynamic"}
    np.testing.assert_array_equal(volumes[1], volumes[0] + 10)
    np.testing.assert_array_equal(volumes[2], volumes[0] + 20)


def test_row_31_a_mask_on_another_grid_is_refused_unless_resampled(certify: Certify, rrg: Rrg) -> None:
    out = certify("mask-other-grid")
    assert {mask.series for mask in out.of(Mask)} == {s.series for s in out.slices if s.series_number == 4}
    slices = rrg("extract-slices", out.folder / "input", "--store", out.store).stdout
    done = rrg("segment", "--store", out.store, "--engine", "masks", "--masks", out.folder / "masks", "--resample",
               stdin=slices)  # fmt: skip
    resampled = parsed(done, out.folder, out.fault, out.store)
    by_id, boxes = {s.id: s for s in out.slices}, 0
    for mask in resampled.of(Mask):
        rows, columns = np.nonzero(out.pixels(by_id[mask.slice]) > 250)
        for label in mask.labels:
            bright = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            np.testing.assert_allclose(label.box.xyxy, bright, atol=1)
            boxes += 1
        assert bool(mask.labels) == bool(len(rows))
    assert boxes == 6


def test_row_32_boxes_are_half_open_and_empty_masks_are_negative_records(certify: Certify) -> None:
    out = certify("mask-edges")
    truth = out.fault["truth"]["boxes"]
    index = {s.id: s.index for s in out.slices}
    masks = out.of(Mask)
    assert len(masks) == 5
    for mask in masks:
        wanted = truth[str(index[mask.slice])]
        assert {label.label: [list(part.xyxy) for part in label.components] for label in mask.labels} == wanted
        for label in mask.labels:
            parts = np.array(wanted[label.label])
            assert label.box.xyxy == (*parts[:, :2].min(axis=0), *parts[:, 2:].max(axis=0))
            assert label.box.x1 > label.box.x0
            assert label.box.y1 > label.box.y0
    assert next(mask for mask in masks if index[mask.slice] == 4).labels == ()
    areas = {index[mask.slice]: mask.labels[0].area_px for mask in masks if mask.labels}
    assert (areas[1], areas[3]) == (1, 100 - 16)


def test_row_33_a_mirrored_volume_trips_the_gate(certify: Certify) -> None:
    out = certify("flipped")
    assert {mask.flags for mask in out.of(Mask)} == {("SUSPECT_LR",)}


def test_damage_that_pydicom_calls_a_system_error_is_malformed() -> None:
    assert unreadable(OSError("No tag to read at file position AB")).code == "E_MALFORMED"
    refused = unreadable(PermissionError(13, "Permission denied"))
    assert refused.code == "E_PATH"
    assert "Permission denied" in refused.message
