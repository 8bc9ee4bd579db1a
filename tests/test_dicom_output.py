"""DICOM SEG and SR, NIfTI masks: what other programs read from them lies where the boxes of the answers are."""

import dataclasses
import datetime
import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - its own documentation calls it so

from rrg import extract, store
from rrg.codec import encode
from rrg.errors import RecordError
from rrg.infer_asks import Ask
from rrg.infer_files import Files, write_files
from rrg.infer_head import rle
from rrg.infer_inputs import Asking, Work, study_work
from rrg.infer_masks import masks_of, outlines_of, with_masks
from rrg.outputs.audit import outline_path
from rrg.outputs.marks import Mark, Structure, filled, marks_of, structures_of
from rrg.pipe import Count
from rrg.records import Box, Error, ImageRef, Mask, MaskLabel, Mention, Prediction, Region, Slice
from rrg.study import Wish
from rrg.study_choice import spec_of

KEY = bytes(range(32))
MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5)
BOX = Box(x0=20.25, y0=30.75, x1=60.5, y1=45.0)
SMALL = Box(x0=50.0, y0=10.0, x1=52.0, y1=12.0)
SERIES = {
    "chest CT": "lidc-idri-0314-chest-ct/full_5mm",
    "abdomen CT": "totalsegmentator-ct-mr/example_ct_dicom",
    "sagittal MR": "prostatex-0000-mr/3.000000-t2tsesag-87368",
    "coronal MR": "prostatex-0000-mr/5.000000-t2tsecor-03471",
}


class Made(NamedTuple):
    """A study with answers, and the files that were made of them."""

    work: Work
    answers: list[Prediction]
    folder: Path
    made: list[Any]

    @property
    def seg(self) -> pydicom.Dataset:
        return pydicom.dcmread(self.folder / "dicom" / self.work.study / "seg.dcm")

    @property
    def sr(self) -> pydicom.Dataset:
        return pydicom.dcmread(self.folder / "dicom" / self.work.study / "sr.dcm")


def answer(slice_: Slice, image: Any, number: int) -> Prediction:
    def mention(name: str, phrase: str, label: str, box: Box) -> Mention:
        return Mention(id=name, phrase=phrase, regions=(Region(label=label, boxes=(box,), origin="model", score=0.5),))

    return Prediction(
        id=f"a{number}", patient=slice_.patient, study=slice_.study, images=(image,), task="grounded-report",
        lang="de", question="?", raw="", text="Linke Niere normal. Kleine Struktur ohne Namen.",
        mentions=(mention("m0", "Linke Niere", "kidney_left", BOX), mention("m1", "Kleine Struktur", "?", SMALL)),
        model="0123456789abcdef", backend="torch", notice="nur für die Forschung",
    )  # fmt: skip


def opened(paths: list[Path], spec: str = "3") -> Work:
    items = list(extract.study_items(extract.indexed(paths), KEY))
    return study_work(items[0].payload, Asking((Ask("grounded-report"),), "de", {}, Wish(spec_of(spec), KEY)))


def written(folder: Path, work: Work, **fields: Any) -> Made:
    images = {sample.images[0].slice: sample.images[0] for sample in work.samples}
    answers = [answer(slice_, images[slice_.id], n) for n, slice_ in enumerate(work.slices)]
    files = Files(folder / "dicom", folder / "nifti", key=KEY, moment=MOMENT, **fields)
    return Made(work, answers, folder, list(write_files(files, work, answers, None, "0123456789abcdef")))


def part_of(folder: Path, count: int = 7) -> list[Path]:
    """Neighbouring slices of a series, so that tests stay fast."""
    tags = ["InstanceNumber"]
    read = {path: pydicom.dcmread(path, specific_tags=tags) for path in folder.iterdir() if path.is_file()}
    ordered = sorted(
        (path for path in read if "InstanceNumber" in read[path]), key=lambda p: int(read[p].InstanceNumber)
    )
    start = len(ordered) // 3
    return ordered[start : start + count]


@pytest.fixture(scope="module", params=list(SERIES))
def made(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return written(tmp_path_factory.mktemp("out"), opened(part_of(data / SERIES[request.param]), "2"))


@functools.cache
def sources(paths: tuple[str, ...]) -> dict[int, pydicom.Dataset]:
    """Instance Number -> header."""
    found = {}
    for path in paths:
        source = pydicom.dcmread(path, stop_before_pixels=True)
        source.SOPInstanceUID = source.SOPInstanceUID or source.file_meta.MediaStorageSOPInstanceUID
        found[int(source.InstanceNumber)] = source
    return found


def header_of(made: Made, slice_: Slice) -> pydicom.Dataset:
    """The source object behind a slice, found by what its header says and not by our index."""
    (chosen,) = made.work.chosen
    return sources(tuple(header.path for header in chosen.stack.headers))[slice_.instance_number or 0]


def patient_mm(source: pydicom.Dataset, column: float, row: float) -> "np.ndarray[Any, Any]":
    """Patient coordinates (LPS) of a place in pixels whose corner is (0, 0): DICOM PS3.3 C.7.6.2.1.1, by hand."""
    along, down = (
        np.array(source.ImageOrientationPatient[:3], float),
        np.array(source.ImageOrientationPatient[3:], float),
    )
    rows, columns = map(float, source.PixelSpacing)
    start = np.array(source.ImagePositionPatient, float)
    return start + along * columns * (column - 0.5) + down * rows * (row - 0.5)


def test_nothing_failed(made: Made) -> None:
    assert not [each for each in made.made if isinstance(each, Error)]
    assert {each.name: each.n for each in made.made if isinstance(each, Count)} == {
        "dicom.sr": 1, "dicom.seg": 1, "nifti.masks": 2
    }  # fmt: skip


def test_frames_of_the_seg_lie_where_the_boxes_are(made: Made) -> None:
    seg = made.seg
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    assert seg.NumberOfFrames == 2 * len(made.work.chosen[0].stack.headers)  # empty frames are kept
    shown: dict[str, set[int]] = {}
    for number, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        if not pixels[number].any():
            continue
        segment = int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        box = (BOX, SMALL)[segment - 1]
        rows, columns = np.nonzero(pixels[number])
        place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        source = next(s for each in made.work.slices if (s := header_of(made, each)).SOPInstanceUID == reference)
        assert np.allclose(place, np.array(source.ImagePositionPatient, float), atol=0.01)
        corner = patient_mm(source, columns.min(), rows.min())
        assert np.abs(corner - patient_mm(source, box.x0, box.y0)).max() <= 0.51 * max(map(float, source.PixelSpacing))
        assert abs(columns.max() + 1 - box.x1) <= 0.51
        assert abs(rows.max() + 1 - box.y1) <= 0.51
        shown.setdefault(reference, set()).add(segment)
    assert sorted(map(len, shown.values())) == [2] * len(made.work.slices)


def test_nifti_masks_lie_there_too(made: Made) -> None:
    (folder,) = (made.folder / "nifti" / made.work.study).iterdir()
    image = sitk.ReadImage(str(folder / "kidney_left.nii.gz"))
    values = sitk.GetArrayViewFromImage(image)
    found = [
        image.TransformIndexToPhysicalPoint((int(c), int(r), int(k))) for k, r, c in np.argwhere(values)
    ]  # ITK gives LPS
    wanted = [
        patient_mm(header_of(made, slice_), column + 0.5, row + 0.5)
        for slice_ in made.work.slices
        for row in range(31, 45)
        for column in range(20, 60)
    ]
    assert len(found) == len(wanted)
    assert np.abs(np.sort(np.array(found), axis=0) - np.sort(np.array(wanted), axis=0)).max() < 0.05
    control = np.array(wanted) + np.array((0.0, 0.0, 1.0))
    assert np.abs(np.sort(np.array(found), axis=0) - np.sort(control, axis=0)).max() > 0.5


def test_simpleitk_reads_the_seg_at_the_same_place(made: Made, tmp_path: Path) -> None:
    """Of one segment: of several ITK gives up the spacing."""
    only = [dataclasses.replace(each, mentions=each.mentions[:1]) for each in made.answers]
    files = Files(tmp_path, key=KEY, moment=MOMENT)
    assert not [each for each in write_files(files, made.work, only, None, "x") if isinstance(each, Error)]
    (folder,) = (made.folder / "nifti" / made.work.study).iterdir()
    places = []
    for path in (tmp_path / made.work.study / "seg.dcm", folder / "kidney_left.nii.gz"):
        image = sitk.ReadImage(str(path))
        found = np.argwhere(sitk.GetArrayFromImage(image))[:, ::-1]
        places.append(sorted(tuple(np.round(image.TransformIndexToPhysicalPoint(i.tolist()), 1)) for i in found))
    apart = np.abs(np.array(places[0]) - np.array(places[1]))
    assert apart.max() < 0.21, apart.max()


def groups(sr: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    """Measurement groups of a TID 1500 report."""
    (container,) = [each for each in sr.ContentSequence if each.ConceptNameCodeSequence[0].CodeValue == "126010"]
    yield from container.ContentSequence


def test_the_report_has_a_closed_polyline_for_each_box(made: Made) -> None:
    found = list(groups(made.sr))
    assert len(found) == 2 * len(made.work.slices)
    uids = {str(header_of(made, slice_).SOPInstanceUID) for slice_ in made.work.slices}
    for group in found:
        (region,) = [each for each in group.ContentSequence if each.ValueType == "SCOORD"]
        assert region.ConceptNameCodeSequence[0].CodeValue == "111030"
        assert region.GraphicType == "POLYLINE"
        points = np.array(region.GraphicData, float).reshape(-1, 2)
        assert points.shape == (5, 2)
        assert (points[0] == points[4]).all()
        site = [each for each in group.ContentSequence if each.ConceptNameCodeSequence[0].CodeValue == "363698007"]
        box = BOX if any("kidney" in each.ConceptCodeSequence[0].CodeMeaning for each in site) else SMALL
        assert (*points.min(axis=0), *points.max(axis=0)) == pytest.approx(box.xyxy)
        (source,) = region.ContentSequence
        assert source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID in uids
    kidney = next(each for each in found if "kidney" in str(each))
    assert "7771000" in str(kidney)  # left: the patient's


def test_who_made_it_and_what_it_is_worth(made: Made) -> None:
    seg, sr = made.seg, made.sr
    source = header_of(made, made.work.slices[0])
    for each in (seg, sr):
        assert each.StudyInstanceUID == (source.get("StudyInstanceUID") or each.StudyInstanceUID)
        assert each.SeriesInstanceUID != source.get("SeriesInstanceUID")
        assert each.PatientID == source.get("PatientID")
        assert each.ContentQualification == "RESEARCH"
        assert "0123456789abcdef" in str(each.ContributingEquipmentSequence)
        assert (each.ContentDate, each.ContentTime) == ("20260102", "030405")
    assert (sr.VerificationFlag, sr.CompletionFlag, sr.PreliminaryFlag) == ("UNVERIFIED", "PARTIAL", "PRELIMINARY")
    assert seg.SeriesInstanceUID != sr.SeriesInstanceUID
    assert seg.StudyInstanceUID == sr.StudyInstanceUID
    assert "nur für die Forschung" in str(sr)
    tracked = {segment.TrackingUID for segment in seg.SegmentSequence}
    assert all(any(uid in str(group) for uid in tracked) for group in groups(sr))


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="no dciodvfy (Debian: dicom3tools) on this machine")
def test_dciodvfy_finds_no_error(made: Made) -> None:
    for name in ("seg.dcm", "sr.dcm"):
        path = made.folder / "dicom" / made.work.study / name
        said = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
        assert not [line for line in said.splitlines() if line.startswith("Error")], said


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="no dsrdump (Debian: dcmtk) on this machine")
def test_dsrdump_reads_the_report(made: Made) -> None:
    path = made.folder / "dicom" / made.work.study / "sr.dcm"
    done = subprocess.run(["dsrdump", path], capture_output=True, text=True, check=True)
    assert "UNVERIFIED" in done.stdout
    assert done.stdout.count("POLYLINE") == 2 * len(made.work.slices)
    assert "E:" not in done.stderr


# --- other forms of input


def test_frames_of_a_multi_frame_object(data: Path, tmp_path: Path) -> None:
    (path,) = sorted((data / "dicom-edge-cases/dicom2nifti/philips_enhanced").rglob("*.dcm"))[:1]
    made = written(tmp_path, opened([path], "2"))
    assert not [each for each in made.made if isinstance(each, Error)]
    source = pydicom.dcmread(path, stop_before_pixels=True)
    seg = made.seg
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    frames = {slice_.frame for slice_ in made.work.slices}
    marked = [f for n, f in enumerate(seg.PerFrameFunctionalGroupsSequence) if pixels[n].any()]
    assert len(marked) == 2 * len(frames)
    places = {tuple(map(float, f.PlanePositionSequence[0].ImagePositionPatient)) for f in marked}
    of_source = source.PerFrameFunctionalGroupsSequence
    assert places == {
        tuple(map(float, of_source[(frame or 1) - 1].PlanePositionSequence[0].ImagePositionPatient)) for frame in frames
    }
    told = {int(s.ReferencedSOPSequence[0].ReferencedFrameNumber) for g in groups(made.sr)
            for r in g.ContentSequence if r.ValueType == "SCOORD" for s in r.ContentSequence}  # fmt: skip
    assert told == frames


def test_compact_leaves_empty_frames_out(data: Path, tmp_path: Path) -> None:
    made = written(tmp_path, opened(part_of(data / SERIES["chest CT"]), "2"), compact=True)
    assert made.seg.NumberOfFrames == 4


def test_a_nifti_study_has_no_objects_to_point_at(data: Path, tmp_path: Path) -> None:
    items = list(extract.study_items(extract.indexed([data / "totalsegmentator-ct-mr/example_ct_sm.nii.gz"]), KEY))
    wish = Wish(spec_of("2"), KEY, modality="CT")
    work = study_work(items[0].payload, Asking((Ask("grounded-report"),), "de", {}, wish))
    made = written(tmp_path, work)
    (error,) = [each for each in made.made if isinstance(each, Error)]
    assert "NIfTI file has no objects to point at" in error.message
    assert not (tmp_path / "dicom").exists()
    assert {each.name for each in made.made if isinstance(each, Count)} == {"nifti.masks"}


# --- masks


def mark(box: Box, mask: str | None = None, class_id: int | None = None) -> Mark:
    return Mark(Structure("x", "x", None), "s", box, mask, class_id, "", None)


def test_a_box_fills_the_pixels_whose_centres_it_holds() -> None:
    shown = filled(mark(Box(x0=1.4, y0=0.6, x1=3.5, y1=2.5)), 4, 6, None)
    assert np.argwhere(shown).tolist() == [[1, 1], [1, 2]]
    assert np.argwhere(filled(mark(Box(x0=1.6, y0=2.6, x1=1.9, y1=2.9)), 4, 6, None)).tolist() == [[2, 1]]
    assert filled(mark(Box(x0=-9, y0=-9, x1=99, y1=99)), 4, 6, None).all()


def test_a_mask_goes_before_its_box(tmp_path: Path) -> None:
    values = np.zeros((1, 2, 4, 6), np.uint8)  # (slices, layers, rows, columns)
    values[0, 1, 2, 3:5] = 7
    store.write_array(tmp_path, "masks/a", values)
    assert np.argwhere(filled(mark(BOX, "masks/a#0", 7), 4, 6, tmp_path)).tolist() == [[2, 3], [2, 4]]
    assert (
        filled(mark(Box(x0=0, y0=0, x1=1, y1=1), "masks/a#0", 9), 4, 6, tmp_path).sum() == 1
    )  # not in the mask: the box


def test_what_a_mask_head_draws_goes_before_all(tmp_path: Path) -> None:
    drawn = np.zeros((4, 6), bool)
    drawn[1:3, 0:2] = drawn[3, 5] = True
    image = ImageRef(id="i0", ref="series/v#0", slice="s", rows=4, columns=6)
    slice_ = Slice(
        id="s", patient="p", study="t", series="v", index=0, count=1, pixels="series/v#0", sha256="", rows=4,
        columns=6, dtype="uint8", unit="stored", modality="MR",
    )  # fmt: skip
    region = Region(label="liver", boxes=(Box(x0=0, y0=1, x1=6, y1=4),), origin="model", mask="masks/gone#0")
    answer = Prediction(
        id="q", task="detect", lang="en", question="?", raw="", text="Liver.", images=(image,), model="0" * 16,
        mentions=(Mention(id="m0", phrase="Liver", regions=(region,)),), backend="torch",
        extra={"masks": [{"mention": "m0", **rle(drawn)}]},
    )  # fmt: skip
    (found,) = marks_of([answer], {"s": slice_})
    assert np.array_equal(filled(found, 4, 6, tmp_path), drawn)
    with pytest.raises(RecordError, match="4 x 6 pixels on a slice of 8 x 6"):
        filled(found, 8, 6, tmp_path)


def test_each_structure_is_one_segment() -> None:
    from rrg.anatomy import LABELS

    liver = Structure("liver", "Leber", LABELS["liver"])
    spleen = Structure("spleen", "Milz", LABELS["spleen"])
    marks = [Mark(s, "a", BOX, None, None, "", None) for s in (Structure("x", "x", None), liver, spleen, liver)]
    assert [each.key for each in structures_of(marks)] == ["spleen", "liver", "x"]


def test_phrases_get_the_masks_of_their_structures(tmp_path: Path) -> None:
    values = np.zeros((1, 1, 40, 60), np.uint8)
    values[0, 0, 10:14, 20:30] = 3
    store.write_array(tmp_path, "masks/a", values)
    image = ImageRef(id="i0", ref="series/v#0", slice="s", rows=40, columns=60)
    slice_ = Slice(
        id="s", patient="p", study="t", series="v", index=0, count=1, pixels="series/v#0", sha256="", rows=40,
        columns=60, dtype="int16", unit="HU", modality="CT",
    )  # fmt: skip
    box = Box(x0=20, y0=10, x1=30, y1=14)
    mask = Mask(
        id="m", patient="p", study="t", series="v", slice="s", engine="masks", array="masks/a#0", label_map="x",
        labels=(MaskLabel(label="kidney_left", class_id=3, area_px=40, box=box),),
    )  # fmt: skip
    (tmp_path / "masks.jsonl").write_bytes(encode(mask) + b"\n")
    told = with_masks(answer(slice_, image, 0), masks_of((tmp_path / "masks.jsonl",), frozenset({"s"})))
    assert [mention.regions[0].mask for mention in told.mentions] == ["masks/a#0", None]
    assert outlines_of(told, tmp_path) == {"m0": outline_path(values[0, 0] == 3)}
    kidney, other = marks_of([told], {"s": slice_})
    assert (filled(kidney, 40, 60, tmp_path) == (values[0, 0] == 3)).all()
    assert filled(other, 40, 60, tmp_path).sum() == 4
