"""rrg segment as a process: masks from files, by threshold, several engines on one stream; what must be refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import measure

from rrg import store
from rrg.anatomy import LABELS
from rrg.errors import UsageError
from rrg.keys import load_key
from rrg.masks_files import load_labels
from rrg.records import End, Error, Mask, Run, Slice
from tests.conftest import Done, Rrg
from tests.mask_cases import make_slices, masks, ras_affine, records, save_nifti, stream

UID = "1.2.826.0.1.3680043.8.498.1"
OTHER = "1.2.826.0.1.3680043.8.498.2"
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
Segment = Callable[..., Done]


class Case:
    """One study: an axial CT and an MR, a label volume for the CT, a folder to work in."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self.folder, self.key, self.store = folder, key, folder / "store"
        rng = np.random.default_rng(1)
        self.hu = rng.integers(-50, 80, (6, 32, 40)).astype(np.int16)
        self.ct = make_slices(self.hu, self.store, key, UID)
        self.mr = make_slices(
            rng.integers(0, 900, (4, 20, 24)).astype(np.uint16),
            self.store,
            key,
            OTHER,
            modality="MR",
            orientation=CORONAL,
        )
        self.labels = np.zeros((6, 32, 40), np.uint8)
        self.labels[1:5, 8:20, 3:15] = LABELS["liver"].class_id
        self.labels[2:4, 10:14, 28:36] = LABELS["spleen"].class_id
        self.labels[3, 18, 30] = LABELS["spleen"].class_id
        self.affine = ras_affine(self.ct)
        self.input = stream(folder / "slices.jsonl", [*self.ct, *self.mr])

    def nifti(self, name: str, values: Any = None, affine: Any = None) -> Path:
        """The labels, (slices, rows, columns), as a NIfTI file."""
        values = self.labels if values is None else values
        return save_nifti(self.folder / name, values.transpose(2, 1, 0), self.affine if affine is None else affine)


@pytest.fixture
def case(tmp_path: Path, key_file: Path) -> Case:
    return Case(tmp_path, load_key(key_file))


@pytest.fixture
def segment(rrg: Rrg, case: Case) -> Segment:
    def run(*arguments: object, engine: str = "masks", source: Path | None = None, **options: Any) -> Done:
        return rrg("segment", source or case.input, "--store", case.store, "--engine", engine, *arguments, **options)

    return run


def boxes(made: list[Mask]) -> dict[tuple[str, str], tuple[float, ...]]:
    """(slice, label) -> box."""
    return {(mask.slice, label.label): label.box.xyxy for mask in made for label in mask.labels}


def expected_boxes(case: Case, labels: Any) -> dict[tuple[str, str], tuple[float, ...]]:
    names = {label.class_id: label.name for label in LABELS.values()}
    return {
        (case.ct[z].id, names[part.label]): (part.bbox[1], part.bbox[0], part.bbox[3], part.bbox[2])
        for z, plane in enumerate(labels)
        for part in measure.regionprops(plane.astype(int))
    }


def test_a_mask_named_by_its_series(case: Case, segment: Segment) -> None:
    case.nifti(f"masks/{UID}.nii.gz")
    done = segment("--masks", case.folder / "masks")
    made = masks(done.stdout)
    assert [mask.slice for mask in made] == [slice_.id for slice_ in case.ct]
    assert boxes(made) == expected_boxes(case, case.labels)
    assert {mask.engine for mask in made} == {"masks"}
    assert made[0].labels == ()  # looked at, nothing there
    assert set(made[0].looked_for or ()) == {"liver", "spleen"}
    assert [len(label.components) for label in made[3].labels if label.label == "spleen"] == [2]
    stored = store.read_volume(case.store, made[0].array.partition("#")[0])
    assert stored.dtype == np.uint8
    assert np.array_equal(stored, case.labels[:, None])
    end = records(done.stdout)[-1]
    assert isinstance(end, End)
    assert end.counts == {
        "mask": 6,
        "series.segmented": 1,
        "series.not_looked_at": 1,
        "quality.judged": 2,
        "quality.SUSPECT_LENGTH": 2,  # of a few centimetres
        "quality.SUSPECT_VOLUME": 2,  # blocks of a few voxels
    }
    assert set(case.input.read_bytes().splitlines()) < set(done.stdout.splitlines())  # other lines pass on
    assert UID.encode() not in done.stdout


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flipped_files_give_the_same_boxes(case: Case, segment: Segment, axis: int) -> None:
    values = np.flip(case.labels.transpose(2, 1, 0), axis)
    flip = np.eye(4)
    flip[axis, axis], flip[axis, 3] = -1, values.shape[axis] - 1
    file = save_nifti(case.folder / "any.nii", values, case.affine @ flip)
    assert boxes(masks(segment("--masks", file).stdout)) == expected_boxes(case, case.labels)


def test_one_file_goes_to_the_series_on_whose_grid_it_lies(case: Case, segment: Segment) -> None:
    made = masks(segment("--masks", case.nifti("somebody.nii.gz")).stdout)
    assert {mask.series for mask in made} == {case.ct[0].series}
    assert {mask.series for mask in masks(segment("--masks", case.nifti(f"{UID}.nii.gz")).stdout)} == {
        case.ct[0].series
    }
    assert masks(segment("--masks", case.nifti(f"{UID}.9.nii.gz")).stdout) == []  # a file for another series


def test_another_grid_is_refused_unless_resampled(case: Case, segment: Segment) -> None:
    moved = case.affine.copy()
    moved[:3, 3] += case.affine[:3, 0]  # one column further
    file = case.nifti(f"masks/{UID}.nii", affine=moved)
    done = segment("--masks", case.folder / "masks", code=1)
    (error,) = [record for record in records(done.stdout) if isinstance(record, Error)]
    assert (error.code, error.source) == ("E_GRID", case.ct[0].series)
    assert "40 x 32 x 6 voxels of 1.50 x 1.00 x 2.00 mm" in error.message
    assert "--resample" in error.message
    assert str(file) not in error.message
    made = masks(segment("--masks", case.folder / "masks", "--resample").stdout)
    shifted = np.zeros_like(case.labels)
    shifted[:, :, 1:] = case.labels[:, :, :-1]
    assert boxes(made) == expected_boxes(case, shifted)


def test_a_file_on_no_grid_of_the_study_is_refused_for_each_series(case: Case, segment: Segment) -> None:
    file = save_nifti(case.folder / "any.nii.gz", np.ones((3, 3, 3), np.uint8), np.eye(4))
    done = segment("--masks", file, code=1)
    assert [r.code for r in records(done.stdout) if isinstance(r, Error)] == ["E_GRID", "E_GRID"]


def test_names_come_from_the_user_else_from_the_header(case: Case, segment: Segment) -> None:
    table = {"1": "kidney_left", "2": "stuff of ours"}
    body = "".join(f'<Label Key="{v}" Red="1"><![CDATA[{n}]]></Label>\n' for v, n in table.items())
    image = nibabel.Nifti1Image((case.labels.transpose(2, 1, 0) == 5).astype(np.uint8), case.affine)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, f"<LabelTable>{body}</LabelTable>".encode()))
    file = case.folder / "any.nii.gz"
    nibabel.save(image, file)
    made = masks(segment("--masks", file).stdout)
    assert {name for _, name in boxes(made)} == {"kidney_left"}
    assert {mask.looked_for for mask in made} == {("kidney_left",)}
    (case.folder / "labels.json").write_text(json.dumps({"total": {"1": "pancreas"}, "total_mr": {"1": "aorta"}}))
    made = masks(segment("--masks", file, "--labels", case.folder / "labels.json").stdout)
    assert {name for _, name in boxes(made)} == {"pancreas"}
    made = masks(segment("--masks", file, "--labels", case.folder / "labels.json", "--task", "total_mr").stdout)
    assert {name for _, name in boxes(made)} == {"aorta"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"1": "spleen", "2": None}, {"": {1: "spleen", 2: None}}),
        ({"labels": {"background": 0, "liver": 3}}, {"": {3: "liver"}}),
        ({"a": {"1": "Kidney Left"}}, {"a": {1: "kidney_left"}}),
    ],
)
def test_label_maps(tmp_path: Path, given: Any, expected: Any) -> None:
    (tmp_path / "l.json").write_text(json.dumps(given))
    assert load_labels(tmp_path / "l.json") == expected


@pytest.mark.parametrize("given", ["{", "[]", "{}", '{"1": "torso_fat"}', '{"one": "liver"}', '{"1": 2.5}'])
def test_bad_label_maps_are_usage_errors(tmp_path: Path, given: str) -> None:
    (tmp_path / "l.json").write_text(given)
    with pytest.raises(UsageError, match="--labels"):
        load_labels(tmp_path / "l.json")


def test_a_folder_of_one_file_per_label_may_overlap(case: Case, segment: Segment) -> None:
    body = np.zeros_like(case.labels)
    body[:, 2:30, 1:38] = 1
    for name, values in (("body", body), ("liver", case.labels == 5), ("unknown_thing", body)):
        case.nifti(f"masks/{UID}/{name}.nii.gz", values.astype(np.uint8))
    done = segment("--masks", case.folder / "masks")
    made = masks(done.stdout)
    assert {label.layer for label in made[2].labels} == {0, 1}
    assert {label.label for label in made[2].labels} == {"body", "liver"}
    end = records(done.stdout)[-1]
    assert isinstance(end, End)
    assert end.counts["label.unknown"] == 1


def square(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


@pytest.mark.parametrize(
    ("border", "box", "area"), [("included", (4, 6, 15, 13), 77), ("excluded", (5, 7, 14, 12), 45)]
)
def test_contours_of_one_reader(case: Case, segment: Segment, border: str, box: Any, area: int) -> None:
    given = {"label": "lesion", "border": border, "slices": {f"{UID}.3": [square(4, 6, 14, 12)]}}
    (case.folder / "drawn.json").write_text(json.dumps(given))
    made = masks(segment("--masks", case.folder / "drawn.json", "--name", "readers").stdout)
    assert [len(mask.labels) for mask in made] == [0, 0, 1, 0, 0, 0]
    assert (made[2].labels[0].box.xyxy, made[2].labels[0].area_px) == (box, area)
    assert {mask.engine for mask in made} == {"masks:readers"}
    assert {mask.looked_for for mask in made} == {("lesion",)}


def test_contours_count_readers_and_leave_holes_out(case: Case, segment: Segment) -> None:
    def reader(x1: float) -> dict[str, Any]:
        return {"slices": {f"{UID}.1": [square(2, 2, x1, 20)]}, "holes": {f"{UID}.1": [square(5, 5, 6, 6)]}}

    given = {"label": "lung_nodule", "min_readers": 2, "readers": [reader(10), reader(12), reader(30)]}
    (case.folder / "drawn.json").write_text(json.dumps([given, {**given, "label": "lesion", "min_readers": 3}]))
    (first, *_) = masks(segment("--masks", case.folder / "drawn.json").stdout)
    lesion, nodule = first.labels
    assert (nodule.label, nodule.box.xyxy, nodule.area_px) == ("lung_nodule", (2, 2, 13, 21), 11 * 19 - 4)
    assert (lesion.label, lesion.box.xyxy, lesion.area_px) == ("lesion", (2, 2, 11, 21), 9 * 19 - 4)


def test_consensus_of_contours_counts_instead_of_the_file(case: Case, segment: Segment) -> None:
    def reader(x1: float) -> dict[str, Any]:
        return {"slices": {f"{UID}.1": [square(2, 2, x1, 20)]}}

    given = {"label": "lesion", "min_readers": 1, "readers": [reader(10), reader(12), reader(30), reader(38)]}
    few = {"label": "lung_nodule", "readers": [reader(10), reader(12)]}
    (case.folder / "drawn.json").write_text(json.dumps([given, few]))
    done = segment("--masks", case.folder / "drawn.json", "--consensus", 3)
    (first, *_) = masks(done.stdout)
    assert [(label.label, label.box.xyxy) for label in first.labels] == [("lesion", (2, 2, 13, 21))]
    assert set(first.looked_for or ()) == {"lesion", "lung_nodule"}
    end = records(done.stdout)[-1]
    assert isinstance(end, End)
    assert end.counts["consensus.none"] == 1


def test_consensus_of_files_is_the_vote_of_their_arrays(case: Case, segment: Segment) -> None:
    rng = np.random.default_rng(5)
    readers = [rng.choice([0, 1, 5], case.hu.shape, p=[0.4, 0.4, 0.2]).astype(np.uint8) for _ in range(4)]
    paths: list[Any] = []
    for number, values in enumerate(readers):
        folder = case.folder / f"reader{number}"
        folder.mkdir()
        case.nifti(f"reader{number}/{UID}.nii.gz", values)
        paths += ["--masks", folder]
    made = masks(segment(*paths, "--consensus", 3).stdout)
    for index, mask in enumerate(made):
        expected = {
            value: int((np.sum([reader[index] == value for reader in readers], axis=0) >= 3).sum()) for value in (1, 5)
        }
        assert {label.class_id: label.area_px for label in mask.labels} == expected
    alone = segment(*paths[:4], "--consensus", 3, code=1)
    (error,) = [record for record in records(alone.stdout) if isinstance(record, Error)]
    assert error.code == "E_MALFORMED"
    assert "masks of 2 reader(s)" in error.message
    assert b"--consensus" in segment("--consensus", 2, engine="threshold", code=2).stderr


def test_a_contour_outside_of_its_slice_is_refused(case: Case, segment: Segment) -> None:
    given = {"label": "lesion", "slices": {f"{UID}.3": [square(4, 6, 400, 12)]}}
    (case.folder / "drawn.json").write_text(json.dumps(given))
    done = segment("--masks", case.folder / "drawn.json", code=1)
    assert [r.code for r in records(done.stdout) if isinstance(r, Error)] == ["E_GRID"]


def test_engines_and_names_do_not_touch_each_other(case: Case, segment: Segment) -> None:
    file = case.nifti(f"{UID}.nii.gz")
    out = case.folder / "first.jsonl"
    segment("--out", out, engine="threshold")
    segment("--masks", file, "--out", case.folder / "second.jsonl", source=out)
    done = segment("--masks", file, "--name", "again", source=case.folder / "second.jsonl")
    made = masks(done.stdout)
    assert {mask.engine for mask in made} == {"threshold", "masks", "masks:again"}
    assert len({mask.array.partition("#")[0] for mask in made}) == 3
    assert len({mask.id for mask in made}) == 18
    assert [isinstance(record, Run) for record in records(done.stdout)].count(True) == 4
    clash = segment("--masks", file, source=case.folder / "second.jsonl", code=2)
    assert b"--name" in clash.stderr


def test_threshold_looks_at_ct_only(case: Case, segment: Segment) -> None:
    done = segment(engine="threshold")
    made = masks(done.stdout)
    assert {mask.series for mask in made} == {case.ct[0].series}
    assert {mask.looked_for for mask in made} == {("lung_left", "lung_right", "body", "airways", "bone")}
    assert not [record for record in records(done.stdout) if isinstance(record, Error)]


def test_a_volume_with_missing_slices_is_refused_by_threshold_and_taken_by_masks(case: Case, segment: Segment) -> None:
    hu = case.hu.copy()
    hu[[0, 4]] = 0  # chunks that were never written
    slices = make_slices(hu, case.store, case.key, UID)
    few = stream(case.folder / "few.jsonl", [slices[1], slices[3]])
    (error,) = [r for r in records(segment(engine="threshold", source=few, code=1).stdout) if isinstance(r, Error)]
    assert (error.code, "2 of 6 slices" in error.message) == ("E_GEOMETRY", True)
    made = masks(segment("--masks", case.nifti("any.nii"), source=few).stdout)
    assert [mask.slice for mask in made] == [slices[1].id, slices[3].id]
    assert {box for (id_, _), box in boxes(made).items() if id_ == slices[1].id} == {(3, 8, 15, 20)}


@pytest.mark.parametrize("engine", ["masks", "threshold"])
def test_a_series_without_millimetres_is_refused_and_the_others_go_on(
    case: Case, segment: Segment, engine: str
) -> None:
    lost = make_slices(case.hu, case.store, case.key, "1.2.3.4.77", position_mm=None, flags=("no_mm",))
    source = stream(case.folder / "both.jsonl", [*lost, *case.ct])
    case.nifti(f"masks/{UID}.nii")
    case.nifti("masks/1.2.3.4.77.nii")
    arguments = ["--masks", case.folder / "masks"] if engine == "masks" else []
    done = segment(*arguments, engine=engine, source=source, code=3)
    assert [r.code for r in records(done.stdout) if isinstance(r, Error)] == ["E_GEOMETRY"]
    assert {mask.series for mask in masks(done.stdout)} == {case.ct[0].series}


def test_localizers_are_left_alone(case: Case, segment: Segment) -> None:
    scout = make_slices(case.hu[:1], case.store, case.key, "1.2.3.4.78", role="localizer")
    source = stream(case.folder / "scout.jsonl", scout)
    assert masks(segment(engine="threshold", source=source).stdout) == []


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("x.nii.gz", b"not a nifti", "E_MALFORMED"),
        ("half.nii", np.full((40, 32, 6), 0.5, np.float32), "E_MALFORMED"),
        ("four.nii", np.zeros((40, 32, 6, 2), np.uint8), "E_MALFORMED"),
    ],
)
def test_broken_mask_files(case: Case, segment: Segment, name: str, content: Any, code: str) -> None:
    file = case.folder / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        save_nifti(file, content, case.affine)
    done = segment("--masks", file, code=1)
    assert {r.code for r in records(done.stdout) if isinstance(r, Error)} == {code}


def test_a_nifti_without_orientation_is_refused(case: Case, segment: Segment) -> None:
    image = nibabel.Nifti1Image(case.labels.transpose(2, 1, 0), case.affine)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nibabel.save(image, case.folder / "x.nii")
    done = segment("--masks", case.folder / "x.nii", code=1)
    assert {r.code for r in records(done.stdout) if isinstance(r, Error)} == {"E_GEOMETRY"}


def test_sform_counts_and_a_different_qform_is_flagged(case: Case, segment: Segment) -> None:
    image = nibabel.Nifti1Image(case.labels.transpose(2, 1, 0), case.affine)
    wrong = case.affine.copy()
    wrong[0, 3] += 30
    image.set_qform(wrong, 1)
    nibabel.save(image, case.folder / "x.nii")
    made = masks(segment("--masks", case.folder / "x.nii").stdout)
    assert boxes(made) == expected_boxes(case, case.labels)
    assert {mask.flags for mask in made} == {("sform_qform",)}


def test_swapped_sides_are_flagged(case: Case, segment: Segment) -> None:
    made = masks(segment("--masks", case.nifti("x.nii")).stdout)
    assert {mask.flags for mask in made} == {()}  # liver at low columns = the patient's right
    made = masks(segment("--masks", case.nifti("x.nii", case.labels[:, :, ::-1])).stdout)
    assert {mask.flags for mask in made} == {("SUSPECT_LR",)}
    labels = [label for mask in made for label in mask.labels]
    assert labels
    assert all("SUSPECT_LR" in label.flags and label.score is not None and label.score <= 0.1 for label in labels)


def test_a_missing_array_names_the_store(case: Case, segment: Segment) -> None:
    shutil.rmtree(case.store / "series")
    (error,) = [r for r in records(segment(engine="threshold", code=1).stdout) if isinstance(r, Error)]
    assert (error.code, "--store" in error.message) == ("E_IO", True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--engine", "masks"], "--masks"),
        (["--engine", "masks", "--masks", "nowhere"], "no such file"),
        (["--engine", "masks", "--masks", "store"], "no mask file"),
        (["--engine", "threshold", "--fast"], "--fast"),
        (["--engine", "threshold", "--masks", "x"], "--engine masks"),
        (["--engine", "threshold", "--name", "a/b"], "--name"),
        (["--engine", "totalsegmentator"], "TOTALSEG_WEIGHTS_PATH"),
        (["--engine", "totalsegmentator", "--weights", "store", "--task", "nose"], "no such task"),
        (["--engine", "masks", "--masks", "x", "--min-slices", "3"], "--min-slices"),
        (["--engine", "totalsegmentator", "--weights", "store", "--fast"], "Dataset297"),
    ],
)
def test_usage_errors_are_one_line(case: Case, rrg: Rrg, arguments: list[str], says: str) -> None:
    env = {"TOTALSEG_WEIGHTS_PATH": ""}
    done = rrg("segment", case.input, "--store", case.store, *arguments, code=2, cwd=case.folder, env=env)
    assert done.stdout == b""
    assert says in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1


def test_same_bytes_with_two_workers_and_again(case: Case, segment: Segment) -> None:
    more = make_slices(case.hu, case.store, case.key, "1.2.3.5.1", study="1.2.3.5")
    source = stream(case.folder / "two.jsonl", [*case.ct, *more])
    one, two = segment(engine="threshold", source=source), segment("--workers", 2, engine="threshold", source=source)
    assert one.stdout == two.stdout
    assert len(masks(one.stdout)) == 12


def test_real_ct_against_scikit_image(rrg: Rrg, data: Path, tmp_path: Path) -> None:
    folder = data / "totalsegmentator-ct-mr"
    rrg("extract-slices", folder / "example_ct_dicom", "--store", tmp_path / "s", "--out", tmp_path / "ct.jsonl")
    done = rrg(
        *("segment", tmp_path / "ct.jsonl", "--store", tmp_path / "s", "--engine", "masks"),
        *("--masks", folder / "example_seg_dicom.nii.gz"),
    )
    made = masks(done.stdout)
    slices = {record.id: record for record in records(done.stdout) if isinstance(record, Slice)}
    # rows and columns of the DICOM slices by SimpleITK's reading of the NIfTI, not by ours
    import SimpleITK as sitk  # noqa: N813

    image = sitk.DICOMOrient(sitk.ReadImage(str(folder / "example_seg_dicom.nii.gz")), "LPS")
    values, lowest_z = sitk.GetArrayFromImage(image), image.GetOrigin()[2]
    names = {label.class_id: label.name for label in LABELS.values()}
    compared = 0
    for mask in made:
        z = slices[mask.slice].position_mm[2]  # type: ignore[index]
        plane = values[round((z - lowest_z) / image.GetSpacing()[2])]
        expected = {names[p.label]: (p.area, p.bbox) for p in measure.regionprops(plane.astype(int))}
        found = {
            label.label: (label.area_px, tuple(int(label.box.xyxy[i]) for i in (1, 0, 3, 2))) for label in mask.labels
        }
        assert found == expected
        compared += len(found)
    assert compared > 400
    middle = {label.label: label.box for label in made[10].labels}
    assert middle["liver"].x1 < middle["spleen"].x1  # the liver is on the picture's left
    assert middle["humerus_left"].x0 > 256 > middle["humerus_right"].x1
    assert not any(mask.flags for mask in made)
    assert all(len(mask.looked_for or ()) == 117 for mask in made)


def test_reader_marks_become_regions(rrg: Rrg, data: Path, tmp_path: Path) -> None:
    folder = data / "lidc-idri-0314-chest-ct"
    given = json.loads((folder / "nodule_annotations.json").read_text())

    def polygons(reader: Any, inside: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for contour in reader["contours"]:
            if contour["inclusion"] == inside:
                found.setdefault(contour["sop_instance_uid"], []).append(contour["points_x_y"])
        return found

    readers = [{"slices": polygons(reader, True), "holes": polygons(reader, False)} for reader in given["readers"]]
    drawn = {"label": "lung_nodule", "min_readers": 3, "border": "excluded", "readers": readers}
    (tmp_path / "nodule.json").write_text(json.dumps(drawn))
    for number, reader in enumerate(readers):
        alone = {"label": "lung_nodule", "border": "excluded", **reader}
        (tmp_path / f"reader{number}.json").write_text(json.dumps(alone))
    rrg("extract-slices", folder / "full_5mm", "--store", tmp_path / "s", "--out", tmp_path / "ct.jsonl")
    done = rrg(
        *("segment", tmp_path / "ct.jsonl", "--store", tmp_path / "s", "--engine", "masks"),
        *("--masks", tmp_path / "nodule.json"),
    )
    made = [mask for mask in masks(done.stdout) if mask.labels]
    assert len(made) == 3
    # one file per reader, as lists of marks are often kept, says the same
    files = [word for number in range(4) for word in ("--masks", tmp_path / f"reader{number}.json")]
    each = rrg(
        *("segment", tmp_path / "ct.jsonl", "--store", tmp_path / "s", "--engine", "masks", "--name", "files"),
        *(*files, "--consensus", 3),
    )
    assert [mask.labels for mask in masks(each.stdout) if mask.labels] == [mask.labels for mask in made]
    for mask in made:  # the nodule is soft tissue in lung
        pixels = store.read(tmp_path / "s", mask.array.replace("masks/", "series/").replace("-masks#", "#"))
        inside = store.read(tmp_path / "s", mask.array)[0] == LABELS["lung_nodule"].class_id
        ring = np.asarray(Image.fromarray(inside).convert("L").resize(inside.shape[::-1])) > 0
        assert -150 < np.median(pixels[ring]) < 150
        box = mask.labels[0].box
        assert box.x1 < 256  # the right lung is on the picture's left
        frame = Image.new("1", inside.shape[::-1])
        ImageDraw.Draw(frame).rectangle((box.x0 - 8, box.y0 - 8, box.x1 + 7, box.y1 + 7), outline=1)
        assert np.median(pixels[np.asarray(frame)]) < -500
