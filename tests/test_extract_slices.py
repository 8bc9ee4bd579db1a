"""rrg extract-slices as a process: every input gives slices or one error record, and pixels are those of others."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid

from rrg import private, store
from rrg.codec import decode
from rrg.dicom import Header, Rejected, _same_in_series, read_header, read_headers
from rrg.extract import extract as extract_step
from rrg.extract import indexed, rejected_items, study_items
from rrg.files import Source, files_under
from rrg.geometry import volume_affine
from rrg.keys import pseudonym
from rrg.pixels import read_volume
from rrg.records import End, Error, Run, Series, Slice
from rrg.slices import Settings
from rrg.stacks import stacks_of
from tests.conftest import Rrg
from tests.made_dicom import ROOT, enhanced, gradient, image, magnetic, save, series


class Out(NamedTuple):
    run: Run
    slices: list[Slice]
    errors: list[Error]
    counts: dict[str, int]
    stderr: str
    raw: bytes
    store: Path

    @property
    def codes(self) -> list[str]:
        return sorted(error.code for error in self.errors)

    def volume(self, number: int = 0) -> NDArray[Any]:
        return store.read_volume(self.store, sorted({s.pixels.split("#")[0] for s in self.slices})[number])


Extract = Callable[..., Out]


@pytest.fixture
def extract(rrg: Rrg, tmp_path: Path) -> Extract:
    def run(*arguments: object, code: int | None = 0, into: str = "store") -> Out:
        done = rrg("extract-slices", *arguments, "--store", tmp_path / into, code=code)
        return parsed(done.stdout, done.stderr.decode(), tmp_path / into)

    return run


@pytest.fixture
def extract_here(tmp_path: Path, key_file: Path) -> Extract:
    """The same without a process: what the command gives to the loop."""

    def run(*paths: Path) -> Out:
        key, folder = key_file.read_bytes(), tmp_path / "store"
        settings = Settings(key=key, folder=folder, max_bytes=10**9)
        opened = indexed(paths)
        work = [item.payload for items in (rejected_items, study_items) for item in items(opened, key)]
        made = [record for each in work for record in extract_step(each, settings=settings)]
        slices = [each for each in made if isinstance(each, Slice)]
        errors = [each for each in made if isinstance(each, Error)]
        return Out(Run(id="r", command="", version="", options={}), slices, errors, {}, "", b"", folder)

    return run


def parsed(stdout: bytes, stderr: str, folder: Path) -> Out:
    kinds: dict[str, Any] = {
        "rrg.run/1": Run,
        "rrg.series/1": Series,
        "rrg.slice/1": Slice,
        "rrg.error/1": Error,
        "rrg.end/1": End,
    }
    records = [decode(line, kinds[json.loads(line)["schema"]]) for line in stdout.splitlines()]
    of = {kind: [record for record in records if isinstance(record, kind)] for kind in kinds.values()}
    return Out(of[Run][0], of[Slice], of[Error], dict(of[End][0].counts), stderr, stdout, folder)


# --- a plain series


def test_a_ct_series(extract: Extract, tmp_path: Path, key_file: Path) -> None:
    out = extract(series(tmp_path / "in"))
    key = key_file.read_bytes()
    first = out.slices[0]
    assert [s.index for s in out.slices] == [0, 1, 2, 3]
    assert [s.instance_number for s in out.slices] == [1, 2, 3, 4]
    assert [s.position_mm for s in out.slices] == [(-10, -20, 5.0 * n) for n in range(1, 5)]
    np.testing.assert_array_equal(out.volume(), np.stack([gradient(n).astype(int) - 1024 for n in range(1, 5)]))
    assert (first.dtype, first.unit, first.modality, first.plane, first.role) == (
        "int16", "HU", "CT", "axial", "primary",
    )  # fmt: skip
    assert (first.rows, first.columns, first.spacing_mm, first.slice_spacing_mm) == (6, 8, (0.5, 0.8), 5.0)
    assert first.flags == ()
    assert first.id == pseudonym(key, "slice", f"{ROOT}.3/{ROOT}.1.1")
    assert first.sop_instance == pseudonym(key, "sop", f"{ROOT}.1.1")
    assert first.study == pseudonym(key, "study", f"{ROOT}.2")
    assert first.series == pseudonym(key, "series", f"{ROOT}.3")
    assert first.patient == pseudonym(key, "patient", "P-4711")
    assert first.accession == pseudonym(key, "accession", "A-0815")
    for s in out.slices:
        assert store.sha256_pixels(store.read(out.store, s.pixels)) == s.sha256
    assert out.counts == {"file": 4, "series": 1, "slice": 4}
    assert "private" in out.stderr


def test_nothing_of_the_patient_leaves_but_to_private(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "Mustermann", StudyDescription="geheim", InstitutionName="Klinik am See")
    save(image(9, SOPClassUID=uid.SecondaryCaptureImageStorage), folder / "Mustermann.dcm")
    save(image(10, RescaleSlope=0), folder / "Erika.dcm")
    out = extract(folder, code=3)
    everywhere = out.raw + out.stderr.encode().replace(str(tmp_path).encode(), b"")
    everywhere += b"".join(p.read_bytes() for p in out.store.rglob("*") if p.is_file() and "private" not in p.parts)
    everywhere += " ".join(str(p.relative_to(out.store)) for p in out.store.rglob("*")).encode()
    for secret in ("Mustermann", "Erika", "4711", "0815", ROOT, "1950", "20240229", "geheim", "Klinik"):
        assert secret.encode() not in everywhere
    private_text = b"".join(p.read_bytes() for p in (out.store / "private").rglob("*") if p.is_file()).decode()
    assert f"{ROOT}.1.1" in private_text
    assert "4711" not in private_text
    assert "Klinik" not in private_text


def test_the_private_map_tells_what_stands_behind(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    (folder / "note.txt").write_text("not an image")
    save(image(10, RescaleSlope=0), folder / "sub" / "bad")
    out = extract(folder, code=3)
    known = private.study_of(out.store, out.slices[0].study)
    assert known is not None
    assert known["study_instance_uid"] == f"{ROOT}.2"
    entry = known["series"][out.slices[0].series]
    assert (entry["series_instance_uid"], entry["frame_of_reference_uid"]) == (f"{ROOT}.3", f"{ROOT}.4")
    assert entry["sop_class_uid"] == uid.CTImageStorage
    own = entry["slices"][out.slices[0].id]
    assert (own["sop_instance_uid"], own["frame"], own["file"], own["index"]) == (f"{ROOT}.1.1", None, "899", 0)
    told = {e.code: next(private.find(out.store, e.source))["file"] for e in out.errors}
    assert told == {"E_NOT_DICOM": "note.txt", "E_RESCALE": "sub/bad"}
    for path in (out.store / "private").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    assert (out.store / "private").stat().st_mode & 0o777 == 0o700


def test_a_second_run_adds_to_the_map_and_changes_nothing(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    for number in (1, 2, 3):
        save(image(40 + number, SeriesInstanceUID=f"{ROOT}.9"), folder / "other" / str(number))

    def files() -> dict[str, bytes]:
        found = (tmp_path / "store").rglob("*")
        return {str(p.relative_to(tmp_path)): p.read_bytes() for p in found if p.is_file() and p.name != ".lock"}

    whole = extract(folder)
    once = files()
    assert extract(folder).raw == whole.raw
    assert files() == once
    part = extract(folder / "other", into="parts")
    rest = extract(*sorted(p for p in folder.iterdir() if p.is_file()), into="parts")
    ours, theirs = (private.study_of(o.store, o.slices[0].study) for o in (whole, rest))
    assert part.slices[0].study == rest.slices[0].study
    assert ours is not None
    assert theirs is not None
    assert set(ours["series"]) == set(theirs["series"])


def two_studies(folder: Path) -> Path:
    for study in ("a", "b", "c"):
        uids = {"StudyInstanceUID": f"{ROOT}.2{ord(study)}", "PatientID": study}
        for number in range(1, 4):
            where = folder / study / str(number)
            sop = f"{ROOT}.5.{ord(study)}.{number}"
            save(image(number, SeriesInstanceUID=f"{ROOT}.3{ord(study)}", SOPInstanceUID=sop, **uids), where)
    (folder / "readme").write_text("hello")
    return folder


def test_same_bytes_whatever_workers_order_and_shard(extract: Extract, tmp_path: Path) -> None:
    folder = two_studies(tmp_path / "in")
    one = extract(folder, code=3)
    assert extract(folder, "--workers", 2, code=3, into="s2").raw == one.raw
    files = sorted((p for p in (folder / "a").iterdir()), reverse=True)
    assert extract(*files, into="s3").slices == extract(*reversed(files), into="s4").slices
    shards = [extract(folder, "--shard", f"{i}/2", code=None, into=f"s5{i}") for i in (1, 2)]
    assert sorted(s.id for o in shards for s in o.slices) == sorted(s.id for s in one.slices)
    assert sorted(e.id for o in shards for e in o.errors) == sorted(e.id for e in one.errors)


def test_resume_reuses_a_finished_study_and_notices_a_changed_one(rrg: Rrg, tmp_path: Path) -> None:
    folder = two_studies(tmp_path / "in")
    tee = tmp_path / "tee.jsonl"
    command = ("extract-slices", folder, "--store", tmp_path / "store", "--tee", tee)
    first = rrg(*command, code=3).stdout
    assert rrg(*command, "--resume", code=3).stdout == first
    save(image(7, StudyInstanceUID=f"{ROOT}.2{ord('a')}", PatientID="a"), folder / "a" / "late")
    again = rrg(*command, "--resume", code=3).stdout
    assert again.count(b'"rrg.slice/1"') == first.count(b'"rrg.slice/1"') + 1


# --- bad input: one clear record, the right exit code


def test_a_path_that_is_not_there_is_a_usage_error(rrg: Rrg, tmp_path: Path) -> None:
    done = rrg("extract-slices", tmp_path / "nowhere", "--store", tmp_path / "store", code=2)
    assert done.stdout == b""
    assert b"nowhere: No such file" in done.stderr
    assert not (tmp_path / "store").exists()


def test_an_empty_folder_is_no_usable_input(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep.dcm").mkdir(parents=True)
    done = rrg("extract-slices", tmp_path / "in", "--store", tmp_path / "store", code=1)
    assert b"no usable input" in done.stderr


def test_only_bad_files_is_a_failure(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "report.dcm").write_text("CT Abdomen: unauffällig. " * 40)
    assert extract(tmp_path / "report.dcm", code=1).codes == ["E_NOT_DICOM"]


def test_files_that_are_not_dicom_whatever_their_names(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    (folder / "empty.dcm").touch()
    (folder / "text.dcm").write_text("ISO_IR 100 and more text than a header has " * 9)
    (folder / "zeros.dcm").write_bytes(bytes(4096))
    (folder / "mark.dcm").write_bytes(bytes(128) + b"DICM")
    (folder / "noise.dcm").write_bytes(np.random.default_rng(0).bytes(4096))
    os.mkfifo(folder / "fifo.dcm")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        out = extract(folder, code=3)
    assert out.codes == ["E_NOT_DICOM"] * 7
    assert len(out.slices) == 4
    assert out.counts["file"] == 4 + 7
    assert all(error.source.startswith("file/") for error in out.errors)


def test_a_file_without_preamble_or_meta_is_dicom(extract: Extract, tmp_path: Path) -> None:
    for number, (implicit, little) in enumerate([(True, True), (False, True)], 1):
        made = image(number)
        made.save_as(tmp_path / f"{number}", implicit_vr=implicit, little_endian=little)
    out = extract(tmp_path / "1", tmp_path / "2")
    np.testing.assert_array_equal(out.volume(), np.stack([gradient(n).astype(int) - 1024 for n in (1, 2)]))


def test_two_patients_in_one_folder_are_kept_apart(extract: Extract, tmp_path: Path) -> None:
    out = extract(two_studies(tmp_path / "in"), code=3)
    assert len({(s.patient, s.study, s.series) for s in out.slices}) == 3
    assert [s.index for s in out.slices] == [0, 1, 2] * 3


def test_two_patients_in_one_study_are_refused(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    save(image(5, PatientID="another"), folder / "5")
    out = extract(folder, code=1)
    assert out.codes == ["E_MIXED_PATIENT"] * 5
    assert "2 different Patient IDs in 5 files" in out.errors[0].message


def test_one_series_uid_in_two_studies_gives_two_arrays(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    for number in (1, 2):
        save(
            image(number, StudyInstanceUID=f"{ROOT}.77", SOPInstanceUID=f"{ROOT}.78.{number}"),
            folder / f"other{number}",
        )
    out = extract(folder)
    assert sorted(s.count for s in out.slices) == [2, 2, 4, 4, 4, 4]
    assert len({s.series for s in out.slices}) == 2


def test_one_sop_instance_uid_in_two_studies_gives_two_slices(extract: Extract, tmp_path: Path) -> None:
    """A copied object that kept its UID: no mask, box or report can take one for the other."""
    series(tmp_path / "in" / "a")
    series(tmp_path / "in" / "b", StudyInstanceUID=f"{ROOT}.77", SeriesInstanceUID=f"{ROOT}.78")
    out = extract(tmp_path / "in")
    assert len(out.slices) == len({s.id for s in out.slices}) == 8
    assert len({s.sop_instance for s in out.slices}) == 4


@pytest.mark.parametrize("spacing", [None, [0, 0], [-0.5, 0.5], [0.5, 0]])
def test_without_pixel_spacing_there_are_no_millimetres(
    extract: Extract, tmp_path: Path, spacing: list[float] | None
) -> None:
    out = extract(series(tmp_path / "in", PixelSpacing=spacing))
    assert {(s.spacing_mm, s.flags) for s in out.slices} == {(None, ("no_mm",))}
    assert [s.instance_number for s in out.slices] == [1, 2, 3, 4]


def test_pixel_spacing_that_is_not_a_number(extract: Extract, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    path = save(image(1), folder / "1")
    path.write_bytes(path.read_bytes().replace(b"0.5\\0.8 ", b"nan\\0.8 "))
    assert extract(folder).slices[0].flags == ("no_mm",)


def test_without_positions_slices_are_in_instance_order(extract: Extract, tmp_path: Path) -> None:
    out = extract(series(tmp_path / "in", ImagePositionPatient=None))
    assert [s.instance_number for s in out.slices] == [1, 2, 3, 4]
    assert {(s.position_mm, s.slice_spacing_mm, s.flags) for s in out.slices} == {(None, None, ("no_mm",))}


def test_an_impossible_orientation_is_not_used(extract: Extract, tmp_path: Path) -> None:
    out = extract(series(tmp_path / "in", ImageOrientationPatient=[1, 0, 0, 1, 0, 0]))
    assert {(s.orientation, s.plane, s.flags) for s in out.slices} == {(None, None, ("no_mm",))}


def test_a_file_that_is_too_short_takes_no_part(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    cut = folder / "898"  # number 2
    cut.write_bytes(cut.read_bytes()[:-30])
    out = extract(folder, code=3)
    assert out.codes == ["E_TRUNCATED"]
    assert "of 96 bytes" in out.errors[0].message
    assert [(s.index, s.count, s.instance_number) for s in out.slices] == [(0, 3, 1), (1, 3, 3), (2, 3, 4)]
    assert {s.flags for s in out.slices} == {("gap_mm",)}
    np.testing.assert_array_equal(out.volume()[1], gradient(3).astype(int) - 1024)


@pytest.mark.parametrize("pixels", [gradient(1)[:-1].tobytes(), gradient(1).tobytes() + bytes(64)])
def test_pixel_data_of_another_length(extract: Extract, tmp_path: Path, pixels: bytes) -> None:
    folder = series(tmp_path / "in")
    save(image(9, PixelData=pixels), folder / "9")
    assert extract(folder, code=3).codes == ["E_TRUNCATED"]


def test_an_image_without_pixels(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    save(image(9, PixelData=None), folder / "9")
    assert extract(folder, code=3).codes == ["E_TRUNCATED"]


def test_another_image_with_the_same_uid_is_rejected_not_dropped(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    save(image(2, pixels=gradient(77)), folder / "zz")
    out = extract(folder, code=3)
    assert out.codes == ["E_MALFORMED"]
    assert len(out.slices) == 4


def test_a_rescale_that_no_float_holds(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    save(image(9, RescaleSlope="1e308"), folder / "9")
    assert "E_RESCALE" in extract(folder, code=3).codes


def test_a_second_copy_is_counted_and_is_no_failure(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    save(image(2), folder / "zz")
    out = extract(folder, code=0)
    assert out.codes == ["E_DUPLICATE"]
    assert len(out.slices) == 4
    assert next(private.find(out.store, out.errors[0].source))["file"] == "zz"


@pytest.mark.parametrize(
    "sop_class",
    [uid.BasicTextSRStorage, uid.RTStructureSetStorage, uid.SegmentationStorage, uid.EncapsulatedPDFStorage],
)
def test_objects_that_are_no_images(extract: Extract, tmp_path: Path, sop_class: str) -> None:
    folder = series(tmp_path / "in")
    save(image(9, SOPClassUID=sop_class, PixelData=None, Rows=None), folder / "9")
    out = extract(folder, code=0)
    assert out.codes == ["E_NOT_IMAGE"]
    assert uid.UID(sop_class).name in out.errors[0].message


def test_colour_is_no_image_of_ours(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    made = image(9, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    made.PixelData = gradient(9).tobytes() * 3
    save(made, folder / "9")
    assert extract(folder, code=0).codes == ["E_NOT_IMAGE"]


def test_a_huge_claim_allocates_nothing(tmp_path: Path, key_file: Path) -> None:
    folder = series(tmp_path / "in")
    save(image(9, Rows=65535, Columns=65535), folder / "9")
    made = enhanced([0, 1], SOPInstanceUID=f"{ROOT}.1.10")
    made.NumberOfFrames, made.Rows, made.Columns = 1000, 65535, 65535
    save(made, folder / "10")
    command = f"ulimit -v 3000000; exec {sys.executable} -m rrg extract-slices {folder} --store {tmp_path / 'store'}"
    environment = {**os.environ, "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(["sh", "-c", command], capture_output=True, env=environment, check=False)
    assert done.returncode == 3, done.stderr.decode()
    out = parsed(done.stdout, done.stderr.decode(), tmp_path / "store")
    assert out.codes == ["E_TOO_LARGE", "E_TOO_LARGE"]
    assert "--max-mb" in out.errors[0].message
    assert len(out.slices) == 4


def test_the_size_limit_is_an_option(extract: Extract, tmp_path: Path) -> None:
    big = [save(image(n, pixels=np.zeros((800, 800), np.uint16)), tmp_path / "in" / str(n)) for n in (1, 2)]
    assert extract(*big, "--max-mb", 2, code=1).codes == ["E_TOO_LARGE"] * 2
    assert len(extract(*big, "--max-mb", 3).slices) == 2


def test_uneven_slices_are_flagged_and_have_no_spacing(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    (folder / "897").unlink()
    out = extract(folder)
    assert {(s.flags, s.slice_spacing_mm) for s in out.slices} == {(("gap_mm",), None)}


def test_rounded_positions_are_even(extract: Extract, tmp_path: Path) -> None:
    for n in range(1, 6):
        save(image(n, ImagePositionPatient=[0, 0, round(0.625 * n, 2)]), tmp_path / "in" / str(n))
    assert extract(tmp_path / "in").slices[0].slice_spacing_mm == pytest.approx(0.625, abs=0.01)


def test_gantry_tilt_is_kept_and_flagged(extract: Extract, tmp_path: Path) -> None:
    tilted = [1, 0, 0, 0, 0.9702957, -0.2419219]
    out = extract(series(tmp_path / "in", ImageOrientationPatient=tilted, GantryDetectorTilt=-14))
    assert {s.flags for s in out.slices} == {("shear", "tilt")}
    assert out.slices[0].slice_spacing_mm == pytest.approx(5 * 0.9702957)
    np.testing.assert_allclose(volume_affine(out.slices)[:3, 0], [0, 0, 5], atol=1e-9)


def test_a_missing_codec_names_what_to_do(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    made = image(9)
    made.PixelData = pydicom.encaps.encapsulate([b"\0\0\1\xb3 not a film  "])
    save(made, folder / "9", uid.MPEG2MPML)
    out = extract(folder, code=3)
    assert out.codes == ["E_CODEC"]
    assert "MPEG2" in out.errors[0].message


def test_a_broken_code_stream_is_one_record(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    for number, syntax in ((8, uid.JPEG2000Lossless), (9, uid.RLELossless), (10, uid.JPEGLSLossless)):
        made = image(number)
        made.PixelData = pydicom.encaps.encapsulate([np.random.default_rng(number).bytes(300)])
        save(made, folder / str(number), syntax)
    out = extract(folder, code=3)
    assert out.codes == ["E_MALFORMED"] * 3
    assert len(out.slices) == 4


def test_zero_slope_and_a_lut_are_refused(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    save(image(8, RescaleSlope=0), folder / "8")
    save(image(9, ModalityLUTSequence=[pydicom.Dataset()]), folder / "9")
    assert extract(folder, code=3).codes == ["E_RESCALE", "E_RESCALE"]


def test_frames_without_places_are_refused(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    save(image(9, pixels=np.stack([gradient(), gradient()]), NumberOfFrames=2), folder / "9")
    assert extract(folder, code=3).codes == ["E_GEOMETRY"]


def test_sequences_nested_500_deep(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    deep = b"".join(b"\x40\x00\x75\xa3SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" for _ in range(500))
    path = save(image(9, PixelData=None), folder / "9")
    path.write_bytes(path.read_bytes() + deep)
    assert extract(folder, code=3).codes in (["E_MALFORMED"], ["E_TRUNCATED"])


def test_any_cut_of_a_file_is_slices_or_one_documented_code(tmp_path: Path) -> None:
    whole = save(image(1), tmp_path / "whole").read_bytes()
    for cut in range(0, len(whole), 3):
        (tmp_path / "cut").write_bytes(whole[:cut])
        found = read_header(Source(str(tmp_path / "cut"), "cut"))
        assert isinstance(found, Rejected) or found.pixel_length is not None
        if isinstance(found, Rejected):
            assert found.code in ("E_NOT_DICOM", "E_TRUNCATED", "E_MALFORMED", "E_NOT_IMAGE")


def test_any_flipped_byte_is_slices_or_one_documented_code(tmp_path: Path) -> None:
    whole = save(image(1), tmp_path / "whole").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(400):
        broken = bytearray(whole)
        for at in rng.integers(128, len(whole) - 96, 3):
            broken[at] = rng.integers(256)
        (tmp_path / "x").write_bytes(broken)
        found = read_header(Source(str(tmp_path / "x"), "x"))
        if isinstance(found, Rejected):
            assert found.code.startswith("E_")
        elif found.rows * found.columns * found.frames < 10**6:
            read_volume([found])


def test_a_header_is_the_same_whatever_was_read_before(tmp_path: Path) -> None:
    """What the files of a series have in common is read once: a file that differs in anything is told from them."""
    other: dict[str, Any] = {
        "StudyInstanceUID": f"{ROOT}.9", "SeriesInstanceUID": f"{ROOT}.9", "FrameOfReferenceUID": f"{ROOT}.9",
        "PatientID": "M\u00fcller", "AccessionNumber": "A-1", "InstitutionName": "Klinik", "StudyDate": "20240301",
        "Modality": "MR", "ImageType": ["DERIVED", "SECONDARY"], "SeriesNumber": 4, "BodyPartExamined": "CHEST",
        "ContrastBolusAgent": "Gd", "PixelSpacing": [1, 1], "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
        "SliceThickness": 1, "GantryDetectorTilt": 3, "BurnedInAnnotation": "YES", "LossyImageCompression": "01",
        "VOILUTFunction": "SIGMOID", "SOPClassUID": uid.MRImageStorage, "SeriesDescription": "MIP",
        "AcquisitionNumber": 2, "EchoTime": 90, "TemporalPositionIdentifier": 2,
        "TriggerTime": 10, "InstanceNumber": 9, "SOPInstanceUID": f"{ROOT}.9", "RescaleSlope": 2, "RescaleIntercept": 5,
        "WindowCenter": 40, "WindowWidth": 400, "LossyImageCompressionRatio": 8, "PixelPaddingValue": 7,
        "ImagePositionPatient": [1, 2, 3],
    }  # fmt: skip
    sources = []
    for number, (keyword, value) in enumerate([("PatientID", "P-4711"), *other.items()]):
        path = save(image(1, **{"SpecificCharacterSet": "ISO_IR 192", keyword: value}), tmp_path / f"{number}")
        sources.append(Source(str(path), ""))
    alone = []
    for each in sources:
        _same_in_series.cache_clear()
        alone.append(dataclasses.replace(cast(Header, read_header(each)), path=""))
    assert len(set(map(repr, alone))) == len(sources)
    for number in [*range(len(sources)), *reversed(range(len(sources)))]:
        assert dataclasses.replace(cast(Header, read_header(sources[number])), path="") == alone[number]


# --- kinds of series


def test_signed_padding_and_dirty_bits(extract_here: Extract, tmp_path: Path) -> None:
    signed = np.array([[-2000, -5, 0, 4095]], np.int16)
    save(image(1, pixels=signed, RescaleIntercept=0, SeriesInstanceUID=f"{ROOT}.60"), tmp_path / "in" / "1")
    dirty = np.array([[0xF001, 0x0FFF, 0xA123, 0x0000]], np.uint16)  # 12 bits stored, an overlay above
    twelve = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": 0}
    save(image(2, pixels=dirty, SeriesInstanceUID=f"{ROOT}.61", **twelve), tmp_path / "in" / "2")
    minus = np.array([[0x0FFF, 0xF7FF, 0x0800, 0x0001]], np.uint16)  # signed, 12 bits: -1, 2047, -2048, 1
    extra = {"PixelRepresentation": 1, "SeriesInstanceUID": f"{ROOT}.62"}
    save(image(3, pixels=minus, **{**twelve, **extra}), tmp_path / "in" / "3")
    out = extract_here(tmp_path / "in")
    by_number = {s.instance_number: store.read(out.store, s.pixels)[0].tolist() for s in out.slices}
    assert by_number == {1: [-2000, -5, 0, 4095], 2: [1, 0xFFF, 0x123, 0], 3: [-1, 2047, -2048, 1]}


def test_rescale_is_of_each_slice_and_dtype_is_the_smallest_that_is_exact(
    extract_here: Extract, tmp_path: Path
) -> None:
    cases: dict[str, tuple[list[dict[str, Any]], str]] = {
        "int16": ([{"RescaleSlope": 1}, {"RescaleSlope": 2}], "int16"),
        "uint16": ([{"RescaleSlope": 100, "RescaleIntercept": 0}] * 2, "uint16"),
        "float32": ([{"RescaleSlope": 0.5}, {"RescaleSlope": 1}], "float32"),
        "wide": ([{"RescaleSlope": 1000}, {"RescaleSlope": -1000}], "float32"),
    }
    for place, (name, (slices, _)) in enumerate(cases.items()):
        for number, tags in enumerate(slices, 1):
            own = {"SeriesInstanceUID": f"{ROOT}.6{place}", "SOPInstanceUID": f"{ROOT}.6{place}.{number}"}
            save(image(number, SeriesNumber=place, **tags, **own), tmp_path / "in" / name / str(number))
    out = extract_here(tmp_path / "in")
    for place, (slices, dtype) in enumerate(cases.values()):
        own_slices = [s for s in out.slices if s.series_number == place]
        assert {s.dtype for s in own_slices} == {dtype}
        for s, tags in zip(own_slices, slices, strict=True):
            wanted = gradient(s.index + 1) * float(tags["RescaleSlope"]) + tags.get("RescaleIntercept", -1024)
            np.testing.assert_array_equal(store.read(out.store, s.pixels), wanted)


def test_ct_without_rescale_is_not_called_hu(extract_here: Extract, tmp_path: Path) -> None:
    out = extract_here(series(tmp_path / "in", RescaleSlope=None, RescaleIntercept=None))
    assert {s.unit for s in out.slices} == {"stored"}
    np.testing.assert_array_equal(out.volume()[0], gradient(1))


def test_mr_keeps_stored_values(extract_here: Extract, tmp_path: Path) -> None:
    save(magnetic(1, PhotometricInterpretation="MONOCHROME1"), tmp_path / "1")
    out = extract_here(tmp_path / "1")
    assert (out.slices[0].unit, out.slices[0].modality, out.slices[0].flags) == ("stored", "MR", ("monochrome1",))
    np.testing.assert_array_equal(out.volume()[0], gradient(1))  # not inverted: that is a matter of display


def test_enhanced_multi_frame(extract_here: Extract, tmp_path: Path, key_file: Path) -> None:
    order = [2, 0, 3, 1]
    save(enhanced(order), tmp_path / "1")
    out = extract_here(tmp_path / "1")
    assert [s.frame for s in out.slices] == [order.index(n) + 1 for n in range(4)]
    assert out.slices[0].sop_instance == pseudonym(key_file.read_bytes(), "sop", f"{ROOT}.1.1#2")
    assert len({s.id for s in out.slices}) == 4
    np.testing.assert_array_equal(
        out.volume(), np.stack([gradient(n).astype(int) * (n + 1) + 10 * n for n in range(4)])
    )
    assert {(s.slice_spacing_mm, s.spacing_mm, s.plane) for s in out.slices} == {(2.0, (0.5, 0.8), "axial")}


def test_functional_groups_that_do_not_fit(extract: Extract, tmp_path: Path) -> None:
    made = enhanced([0, 1, 2])
    made.PerFrameFunctionalGroupsSequence = list(made.PerFrameFunctionalGroupsSequence)[:2]
    save(made, tmp_path / "1")
    assert extract(tmp_path / "1", code=1).codes == ["E_GEOMETRY"]


def test_echoes_at_one_position_become_stacks(extract_here: Extract, tmp_path: Path, key_file: Path) -> None:
    for number in range(1, 9):
        place, echo = divmod(number - 1, 2)
        made = magnetic(number, ImagePositionPatient=[0, 0, 4.0 * place], EchoTime=[10, 80][echo])
        save(made, tmp_path / "in" / str(number))
    out = extract_here(tmp_path / "in")
    key = key_file.read_bytes()
    names = [pseudonym(key, "series", value) for value in (f"{ROOT}.3", f"{ROOT}.3#1")]
    numbers = {name: [s.instance_number for s in out.slices if s.series == name] for name in names}
    assert numbers == {names[0]: [1, 3, 5, 7], names[1]: [2, 4, 6, 8]}
    assert {s.slice_spacing_mm for s in out.slices} == {4.0}


def test_phases_without_a_tag_are_split_by_instance_order(extract_here: Extract, tmp_path: Path) -> None:
    for number in range(1, 10):
        made = image(number, ImagePositionPatient=[0, 0, 4.0 * ((number - 1) % 3)], AcquisitionNumber=number)
        save(made, tmp_path / "in" / str(number))
    out = extract_here(tmp_path / "in")
    stacks: dict[str, list[int | None]] = {}
    for s in out.slices:
        stacks.setdefault(s.series, []).append(s.instance_number)
    assert sorted(stacks.values(), key=str) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_a_scout_in_the_series_is_a_localizer(extract_here: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in", numbers=range(1, 9))
    coronal = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "ImagePositionPatient": [0, 0, 0]}
    save(image(20, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **coronal), folder / "20")
    save(image(21, SeriesNumber=3, **coronal), folder / "21")
    out = extract_here(folder)
    assert {s.instance_number: s.role for s in out.slices} == {
        **dict.fromkeys(range(1, 9), "primary"), 20: "localizer", 21: "localizer",
    }  # fmt: skip
    assert [s.count for s in out.slices].count(8) == 8


@pytest.mark.parametrize(
    ("kind", "orientation", "role"),
    [
        (["DERIVED", "SECONDARY", "REFORMATTED"], [1, 0, 0, 0, 0, -1], "reformat"),
        (["DERIVED", "SECONDARY"], [1, 0, 0, 0, 0, -1], "reformat"),
        (["DERIVED", "PRIMARY"], [1, 0, 0, 0, 1, 0], "derived"),
        (["ORIGINAL", "PRIMARY"], [1, 0, 0, 0, 0, -1], "primary"),
    ],
)
def test_roles(tmp_path: Path, kind: list[str], orientation: list[float], role: str) -> None:
    positions = ([0.0, 3.0 * n, 0.0] for n in range(3))
    headers = []
    for number, position in enumerate(positions):
        tags = {"ImageType": kind, "ImageOrientationPatient": orientation, "ImagePositionPatient": position}
        path = save(image(number, **tags), tmp_path / str(number))
        headers.append(read_header(Source(str(path), path.name)))
    assert next(stack.role for stack in stacks_of([h for h in headers if isinstance(h, Header)])) == role


def test_feet_first_and_prone_are_in_patient_order(extract_here: Extract, tmp_path: Path) -> None:
    """Rows and columns run the other way: the same points, slices still from the feet to the head."""
    for number in range(1, 5):
        tags = {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0], "ImagePositionPatient": [9, 8, -5.0 * number]}
        save(image(number, **tags), tmp_path / "in" / str(number))
    out = extract_here(tmp_path / "in")
    assert [s.position_mm[2] for s in out.slices if s.position_mm] == [-20, -15, -10, -5]
    corner = volume_affine(out.slices) @ [0, 0, 7, 1]  # the last column lies to the patient's right
    np.testing.assert_allclose(corner[:3], [9 - 7 * 0.8, 8, -20])


def test_strange_names_and_uids_stay_inside(extract: Extract, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    tags = {"StudyInstanceUID": "../../etc/passwd", "SeriesInstanceUID": "/abs\\x", "PatientID": "Ä💥 " * 60}
    save(
        image(1, SpecificCharacterSet="ISO_IR 192", **tags, BodyPartExamined="Mustermann", Modality="MUSTERMANN"),
        folder / "-rf",
    )
    os.rename(folder / "-rf", os.fsencode(folder) + b"/\xff\n.dcm")  # noqa: PTH104
    out = extract(folder)
    assert (out.slices[0].body_part, out.slices[0].modality) == (None, "OT")
    inside = {p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("*")}
    assert inside == {"in", "store"}
    known = private.study_of(out.store, out.slices[0].study)
    assert known is not None
    assert next(iter(known["series"][out.slices[0].series]["slices"].values()))["file"] == "\\xff\n.dcm"


def test_links_to_folders_are_followed_once(extract: Extract, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    (folder / "loop").symlink_to(folder)
    (folder / "gone").symlink_to(tmp_path / "nothing")
    out = extract(folder, code=3)
    assert out.codes == ["E_PATH"]
    assert len(out.slices) == 4


def test_files_without_uids_are_kept_and_flagged(extract_here: Extract, tmp_path: Path) -> None:
    for number in range(1, 4):
        made = image(number, StudyInstanceUID="", SeriesInstanceUID="", PatientID="")
        save(made, tmp_path / "in" / str(number))
        raw = pydicom.dcmread(tmp_path / "in" / str(number))
        raw.SOPInstanceUID = ""  # file meta still has it
        raw.save_as(tmp_path / "in" / str(number))
    out = extract_here(tmp_path / "in")
    assert {s.flags for s in out.slices} == {("no_uid",)}
    assert len({s.id for s in out.slices}) == 3
    assert len({(s.patient, s.study, s.series) for s in out.slices}) == 1


# --- transfer syntaxes


def encoded(name: str, folder: Path, base: Any = image) -> Iterator[Path]:
    """Three slices in a transfer syntax; values of the uncompressed original are `gradient`'s."""
    rows, columns = 32, 48
    for number in range(1, 4):
        made = base(number, pixels=gradient(number, rows, columns))
        path = folder / f"{number}"
        syntax = getattr(uid, name)
        if syntax.is_encapsulated:
            made.file_meta = pydicom.dataset.FileMetaDataset()
            made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
            made.compress(syntax)
            made.save_as(path, enforce_file_format=True)
        elif name == "ExplicitVRBigEndian":
            made.PixelData = gradient(number, rows, columns).astype(">u2").tobytes()
            save(made, path, syntax)
        else:
            save(made, path, syntax)
        yield path


@pytest.mark.parametrize(
    "name",
    [
        "ImplicitVRLittleEndian",
        "ExplicitVRLittleEndian",
        "ExplicitVRBigEndian",
        "DeflatedExplicitVRLittleEndian",
        "RLELossless",
        "JPEG2000Lossless",
        "JPEGLSLossless",
    ],
)
def test_every_transfer_syntax_gives_the_same_values(tmp_path: Path, name: str) -> None:
    headers = [read_header(Source(str(path), path.name)) for path in encoded(name, tmp_path)]
    kept = [header for header in headers if isinstance(header, Header)]
    assert len(kept) == 3, headers
    volume = read_volume(kept)
    assert not volume.rejected
    np.testing.assert_array_equal(volume.values, np.stack([gradient(n, 32, 48).astype(int) - 1024 for n in (1, 2, 3)]))


def test_lossy_compression_is_flagged(extract_here: Extract, tmp_path: Path) -> None:
    assert extract_here(series(tmp_path / "in", LossyImageCompression="01")).slices[0].flags == ("lossy",)


# --- real data, other libraries


REAL = [
    "totalsegmentator-ct-mr/example_ct_dicom",
    "lidc-idri-0314-chest-ct/full_5mm",
    "prostatex-0000-mr/3.000000-t2tsesag-87368",
    "prostatex-0000-mr/4.000000-t2tsetra-00702",
    "prostatex-0000-mr/5.000000-t2tsecor-03471",
    "prostatex-0000-mr/7.000000-ep2ddifftraDYNDISTADC-48780",
    "prostatex-0000-mr/8.000000-ep2ddifftraDYNDISTCALCBVAL-83202",
    "dicom-edge-cases/dicom2nifti/generic/anatomical",
    "dicom-edge-cases/dicom2nifti/generic/compressed_j2k",
    "dicom-edge-cases/dicom2nifti/generic/compressed_jpeg",
    "dicom-edge-cases/dicom2nifti/generic/compressed_jpegls",
    "dicom-edge-cases/dicom2nifti/generic/compressed_rle",
    "dicom-edge-cases/dicom2nifti/failing/sliceincrement",
    "dicom-edge-cases/dicom2nifti/failing/gantrytilting",
]


@pytest.mark.parametrize("folder", REAL)
def test_values_and_places_are_those_of_simpleitk(extract_here: Extract, data: Path, folder: str) -> None:
    """Slice by slice, each at the place that our affine (or the slice's own) gives it."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    out = extract_here(data / folder)
    assert len({s.series for s in out.slices}) == 1
    known = private.study_of(out.store, out.slices[0].study)
    assert known is not None
    files = known["series"][out.slices[0].series]["slices"]
    affine = None if out.slices[0].slice_spacing_mm is None else volume_affine(out.slices)
    for s in out.slices:
        theirs = SimpleITK.ReadImage(str(data / folder / files[s.id]["file"]))
        np.testing.assert_array_equal(store.read(out.store, s.pixels), SimpleITK.GetArrayFromImage(theirs)[0])
        corner = theirs.TransformContinuousIndexToPhysicalPoint([s.columns - 1.0, s.rows - 1.0, 0.0])
        if affine is not None:
            ours = affine @ [s.index, s.rows - 1, s.columns - 1, 1]
            np.testing.assert_allclose(ours[:3], corner, atol=0.02)  # positions are rounded in the files


def test_a_whole_real_series_is_that_of_simpleitks_series_reader(extract_here: Extract, data: Path) -> None:
    import SimpleITK

    folder = data / "lidc-idri-0314-chest-ct/full_5mm"
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    theirs = reader.Execute()
    out = extract_here(folder)
    np.testing.assert_array_equal(out.volume(), SimpleITK.GetArrayFromImage(theirs))
    affine = volume_affine(out.slices)
    spacing, origin = theirs.GetSpacing(), theirs.GetOrigin()
    direction = np.array(theirs.GetDirection()).reshape(3, 3) * spacing  # columns: per column, row, slice
    np.testing.assert_allclose(affine[:3, :3], direction[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(affine[:3, 3], origin, atol=1e-6)
    assert out.slices[0].body_part == "CHEST"


@pytest.mark.parametrize("vendor", ["philips_enhanced", "siemens_multiframe"])
def test_enhanced_objects_are_those_of_pydicom(extract_here: Extract, data: Path, vendor: str) -> None:
    folder = data / f"dicom-edge-cases/dicom2nifti/{vendor}/anatomical/001"
    (path,) = folder.iterdir()
    dataset = pydicom.dcmread(path)
    out = extract_here(folder)
    assert sorted(s.frame or 0 for s in out.slices) == list(range(1, int(dataset.NumberOfFrames) + 1))
    for s in out.slices:
        group = dataset.PerFrameFunctionalGroupsSequence[(s.frame or 0) - 1]
        assert s.position_mm == tuple(group.PlanePositionSequence[0].ImagePositionPatient)
        values = dataset.pixel_array[(s.frame or 0) - 1].astype(np.float64)
        if "PixelValueTransformationSequence" in group:
            rescale = group.PixelValueTransformationSequence[0]
            values = values * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept)
        np.testing.assert_array_equal(store.read(out.store, s.pixels), values.astype(s.dtype))


def test_every_real_file_is_a_slice_or_an_error(extract: Extract, data: Path) -> None:
    out = extract(data / "dicom-edge-cases", code=3)
    files = [p for p in (data / "dicom-edge-cases").rglob("*") if p.is_file()]
    images = {
        entry["file"]
        for study in (out.store / "private" / "studies").glob("*.json")
        for known in json.loads(study.read_bytes())["series"].values()
        for entry in known["slices"].values()
    }
    assert len(files) == len(images) + len(out.errors) == out.counts["file"]
    assert set(out.codes) == {"E_DUPLICATE", "E_NOT_DICOM"}


def test_headers_read_fast_enough_to_index_an_archive(data: Path) -> None:
    """Against pydicom's reading of the same tags, interleaved: the machine's load cancels out."""
    import time

    sources = list(files_under([data / "lidc-idri-0314-chest-ct" / "full_5mm"]))
    ratios = []
    for _ in range(5):
        start = time.perf_counter()
        assert len(read_headers(sources)) == len(sources)
        middle = time.perf_counter()
        for source in sources:
            str(pydicom.dcmread(source.path, stop_before_pixels=True))
        ratios.append((time.perf_counter() - middle) / (middle - start))
    assert sorted(ratios)[2] > 3


def test_the_digest_of_a_study_does_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    digests = []
    for place in ("a", "b"):
        opened = indexed([series(tmp_path / place / "in")])
        (study,) = (opened.study(row) for row in opened.studies())
        digests.append(study.digest())
        shorter = tuple(dataclasses.replace(header, size=header.size - 1) for header in study.headers)
        assert dataclasses.replace(study, headers=shorter).digest() != digests[-1]
    assert digests[0] == digests[1]


def test_files_without_uids_in_folders_of_one_name_are_not_merged(extract: Extract, tmp_path: Path) -> None:
    bare = {"StudyInstanceUID": None, "SeriesInstanceUID": None, "FrameOfReferenceUID": None, "PatientID": None}
    for place, shift in (("q1", 0), ("q2", 1000)):
        for number in (1, 2):
            made = image(number, ImagePositionPatient=[0, 0, shift + 5.0 * number], **bare)
            made.SOPInstanceUID = ""
            path = tmp_path / place / "scan" / f"{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            pydicom.dcmwrite(path, made, implicit_vr=False, little_endian=True)
    assert set(extract(tmp_path / "q1", tmp_path / "q2", code=1).codes) == {"E_MIXED_PATIENT"}
    apart = extract(tmp_path, into="apart", code=None)  # the first store lies there too
    assert len({slice_.study for slice_ in apart.slices}) == 2


def test_one_unreadable_file_costs_one_record(
    extract_here: Extract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = series(tmp_path / "in")
    from rrg import pixels

    real = pixels.open_file

    def refused(path: str) -> Any:
        if path.endswith("898"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(pixels, "open_file", refused)
    out = extract_here(folder)
    assert out.codes == ["E_PATH"]
    assert [slice_.index for slice_ in out.slices] == [0, 2, 3]
