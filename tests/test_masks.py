"""Label volumes -> records and grids: against scikit-image and SimpleITK, under flips, turns and shears."""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import measure
from skimage.draw import line, polygon

from rrg.anatomy import BY_ID, LABELS, label_map_version
from rrg.errors import RecordError, UsageError
from rrg.keys import pseudonym
from rrg.masks import add_layer, label_name, labels_on, mask_records, remap, stacked
from rrg.masks_contours import draw, read_contours
from rrg.masks_files import load_labels
from rrg.masks_grid import LPS_FROM_RAS, Grid, grid_of, onto
from rrg.records import Box, MaskLabel, Slice
from tests.conftest import Rrg
from tests.mask_cases import make_slices, masks, ras_affine, records

KEY = b"a key for tests only, 32 bytes ok"
LABEL_PLANES = hnp.arrays(np.uint8, (2, 9, 11), elements=st.sampled_from([0, 0, 0, 1, 2, 5, 204]))


def by_scikit_image(plane: np.ndarray[Any, Any]) -> dict[int, tuple[int, tuple[float, ...], set[tuple[float, ...]]]]:
    """Class -> (area, box, boxes of its 8-connected components), x0 y0 x1 y1."""
    found = {}
    for whole in measure.regionprops(plane.astype(int)):
        r0, c0, r1, c1 = whole.bbox
        parts = measure.regionprops(measure.label(plane == whole.label, connectivity=2))
        boxes = {(float(p.bbox[1]), float(p.bbox[0]), float(p.bbox[3]), float(p.bbox[2])) for p in parts}
        found[int(whole.label)] = (int(whole.area), (float(c0), float(r0), float(c1), float(r1)), boxes)
    return found


def same(label: MaskLabel, expected: tuple[int, tuple[float, ...], set[tuple[float, ...]]]) -> bool:
    area, box, boxes = expected
    return (label.area_px, label.box.xyxy, {part.xyxy for part in label.components}) == (area, box, boxes)


@settings(deadline=None)
@given(LABEL_PLANES)
def test_boxes_and_areas_are_those_of_scikit_image(layers: np.ndarray[Any, Any]) -> None:
    found = labels_on(layers)
    for number, plane in enumerate(layers):
        expected = by_scikit_image(plane)
        ours = {label.class_id: label for label in found if label.layer == number}
        assert ours.keys() == expected.keys()
        assert all(same(ours[value], expected[value]) for value in expected)
    assert [(label.class_id, label.layer) for label in found] == sorted((m.class_id, m.layer) for m in found)


def test_noise_is_refused_before_the_first_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = make_slices(np.zeros((2, 16, 16), np.int16), tmp_path, KEY, "1.2.3.4.5")
    volume = np.zeros((2, 1, 16, 16), np.uint8)
    volume[1, 0, ::2, ::2] = LABELS["liver"].class_id
    given = {"engine": "masks", "array": "a", "fingerprint": "f", "looked_for": None}
    monkeypatch.setattr("rrg.masks.MOST_PIECES", 64)
    assert [len(each.labels) for each in mask_records(slices, volume, **given)] == [0, 1]  # type: ignore[arg-type]
    monkeypatch.setattr("rrg.masks.MOST_PIECES", 63)
    with pytest.raises(RecordError, match="more than 63 pieces on one slice") as raised:
        next(mask_records(slices, volume, **given))  # type: ignore[arg-type]
    assert raised.value.code == "E_MALFORMED"


@pytest.mark.parametrize(
    ("file", "least"),
    [
        ("example_seg_dicom.nii.gz", 400),
        ("example_seg_fast_force_split.nii.gz", 1500),
        ("example_seg.nii.gz", 700),
        ("example_seg_mr.nii.gz", 250),
    ],
)
def test_boxes_on_every_slice_and_class_of_a_real_mask(data: Path, file: str, least: int) -> None:
    values = np.asarray(nibabel.load(data / "totalsegmentator-ct-mr" / file).dataobj).astype(np.uint8)
    compared = several = 0
    for plane in values.transpose(2, 1, 0):
        found = {label.class_id: label for label in labels_on(plane[None])}
        expected = by_scikit_image(plane)
        assert found.keys() == expected.keys()
        for value, label in found.items():
            assert same(label, expected[value])
            parts = measure.regionprops(measure.label(plane == value, connectivity=2))
            area = {tuple(part.bbox): int(part.area) for part in parts}
            if len(area) == len(parts):  # two parts with one box can not be told apart by it
                sizes = [area[tuple(int(box.xyxy[i]) for i in (1, 0, 3, 2))] for box in label.components]
                assert sizes == sorted(sizes, reverse=True)  # largest first
            several += len(parts) > 1
        compared += len(expected)
    assert compared > least
    assert several > 20


def test_a_real_mr_through_the_pipe_has_the_boxes_of_scikit_image(rrg: Rrg, data: Path, tmp_path: Path) -> None:
    folder = data / "totalsegmentator-ct-mr"
    image, mask = folder / "example_mr_sm.nii.gz", folder / "example_seg_mr.nii.gz"
    rrg("extract-slices", image, "--modality", "MR", "--store", tmp_path / "s", "--out", tmp_path / "mr.jsonl")
    done = rrg(
        *("segment", tmp_path / "mr.jsonl", "--store", tmp_path / "s", "--engine", "masks"),
        *("--masks", mask, "--labels", folder / "labels.json"),
    )
    names = {int(value): name for value, name in json.loads((folder / "labels.json").read_text())["total_mr"].items()}
    oriented = sitk.DICOMOrient(sitk.ReadImage(str(mask)), "LPS")  # SimpleITK's reading, not ours
    values, lowest_z = sitk.GetArrayFromImage(oriented), oriented.GetOrigin()[2]
    made = masks(done.stdout)
    where = {slice_.id: slice_ for slice_ in records(done.stdout) if isinstance(slice_, Slice)}
    compared = 0
    for each in made:
        position = where[each.slice].position_mm
        assert position is not None
        plane = values[round((position[2] - lowest_z) / oriented.GetSpacing()[2])]
        expected = {names[p.label]: (p.area, p.bbox) for p in measure.regionprops(plane.astype(int))}
        found = {m.label: (m.area_px, tuple(int(m.box.xyxy[i]) for i in (1, 0, 3, 2))) for m in each.labels}
        assert found == expected
        compared += len(found)
    assert compared > 250
    middle = {label.label: label.box for label in made[len(made) // 2].labels}
    assert middle["liver"].x0 < middle["spleen"].x0  # the patient's right is on the picture's left
    assert middle["kidney_right"].x1 < middle["kidney_left"].x0
    assert all(label.score == 1 for each in made for label in each.labels)
    assert not any(each.flags for each in made)


def test_consensus_of_lidc_readers_is_that_of_scikit_image(data: Path, tmp_path: Path) -> None:
    given_marks = json.loads((data / "lidc-idri-0314-chest-ct/nodule_annotations.json").read_text())

    def polygons(reader: Any, inside: bool) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for contour in reader["contours"]:
            if contour["inclusion"] == inside:
                drawn.setdefault(contour["sop_instance_uid"], []).append(contour["points_x_y"])
        return drawn

    readers = [
        {"slices": polygons(reader, True), "holes": polygons(reader, False)} for reader in given_marks["readers"]
    ]

    def filled(points: Any) -> Any:
        inside = np.zeros((512, 512), bool)
        inside[polygon(points[:, 1], points[:, 0], (512, 512))] = True
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
            inside[line(y0, x0, y1, x1)] = False  # LIDC draws just outside of the nodule
        return inside

    votes: dict[str, Any] = {}
    for reader in readers:
        for uid, drawn in reader["slices"].items():
            inside = np.any([filled(np.asarray(points)) for points in drawn], axis=0)
            for points in reader["holes"].get(uid, ()):
                inside &= ~filled(np.asarray(points))
            votes[uid] = votes.get(uid, 0) + inside.astype(int)
    uids = sorted(votes)
    slices = [
        dataclasses.replace(slice_, sop_instance=pseudonym(KEY, "sop", uid))
        for uid, slice_ in zip(
            uids, make_slices(np.zeros((len(uids), 512, 512), np.int16), tmp_path, KEY, "1.2.3"), strict=True
        )
    ]
    for least in (1, 2, 3, 4):
        file = tmp_path / f"{least}.json"
        file.write_text(
            json.dumps({"label": "lung_nodule", "min_readers": least, "border": "excluded", "readers": readers})
        )
        labelled = draw(read_contours(file), slices, KEY)
        assert labelled is not None
        for index, uid in enumerate(uids):
            assert np.array_equal(labelled.volume[index, 0] == LABELS["lung_nodule"].class_id, votes[uid] >= least)
    assert 0 < sum((v >= 4).sum() for v in votes.values()) < sum((v >= 3).sum() for v in votes.values())


@pytest.mark.parametrize("read", [read_contours, load_labels])
@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}", b"", b'{"label": "lesion"}'])
def test_json_that_is_none_is_refused_in_one_line(read: Any, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "given.json").write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read(tmp_path / "given.json")
    assert "given.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_hand_made_boxes() -> None:
    plane = np.zeros((1, 5, 6), np.uint8)
    plane[0, 0, 0] = 1  # one pixel in the corner
    plane[0, 2:5, 3:6] = 5  # at the edge, with a hole
    plane[0, 3, 4] = 0
    plane[0, 4, 0] = 5  # a second part
    one, five = labels_on(plane)
    assert (one.label, one.box, one.area_px) == ("spleen", Box(x0=0, y0=0, x1=1, y1=1), 1)
    assert five.box == Box(x0=0, y0=2, x1=6, y1=5)
    assert five.components == (Box(x0=3, y0=2, x1=6, y1=5), Box(x0=0, y0=4, x1=1, y1=5))
    assert labels_on(np.zeros((2, 5, 6), np.uint8)) == ()


@pytest.fixture
def slices(tmp_path: Path) -> list[Slice]:
    return make_slices(np.zeros((5, 6, 7), np.int16), tmp_path, KEY, "1.2.3.4.5")


def test_every_slice_has_a_record_and_an_empty_one_says_none(slices: list[Slice]) -> None:
    volume = np.zeros((5, 1, 6, 7), np.uint8)
    volume[3, 0, 2:4, 1:5] = 5
    made = list(
        mask_records(
            slices, volume, engine="masks", array="masks/x-masks", fingerprint="f", looked_for=("liver", "spleen")
        )
    )
    assert [[label.label for label in mask.labels] for mask in made] == [[], [], [], ["liver"], []]
    assert [mask.array for mask in made] == [f"masks/x-masks#{i}" for i in range(5)]
    assert all(mask.from_ == (mask.slice,) and mask.label_map == label_map_version() for mask in made)
    assert all(mask.looked_for == ("spleen", "liver") for mask in made)
    again, other = (
        list(mask_records(slices, volume, engine="masks", array="a", fingerprint=f, looked_for=None))
        for f in ("f", "g")
    )
    assert [m.id for m in again] == [m.id for m in made]
    assert not {m.id for m in other} & {m.id for m in made}
    assert len({m.id for m in made}) == 5


def test_overlaps_go_to_further_layers() -> None:
    layers: list[np.ndarray[Any, Any]] = []
    body, liver, lesion = (np.zeros((1, 4, 4), np.uint8) for _ in range(3))
    body[:], liver[:, :2], lesion[:, 3:] = 202, 5, 200
    for values in (body, liver, lesion):
        add_layer(layers, values.copy())
    assert len(layers) == 2  # liver and lesion do not touch
    assert (layers[0] == 202).all()
    assert {label.label for label in labels_on(stacked(layers)[0])} == {"body", "liver", "lesion"}


@given(st.dictionaries(st.integers(1, 300), st.sampled_from(sorted(BY_ID)), max_size=6))
def test_remap_keeps_named_values_and_drops_others(classes: dict[int, int]) -> None:
    values = np.arange(300, dtype=np.uint16)
    assert remap(values, classes).tolist() == [classes.get(value, 0) if value else 0 for value in range(300)]


def test_label_names() -> None:
    assert label_name("Kidney Left") == "kidney_left"
    assert label_name("lung_nodules") == "lung_nodule"
    assert label_name("torso_fat") is None


# grids


def turned(axes: tuple[int, ...], flips: tuple[bool, ...], values: Any, affine: Any) -> tuple[Any, Any]:
    """The same volume in another axis order and direction, with the affine that says so."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for new, old in enumerate(axes):
        matrix[old, new] = -1 if flips[new] else 1
        matrix[old, 3] = values.shape[old] - 1 if flips[new] else 0
    moved = values.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return moved, affine @ matrix


def some_grid(shear: float = 0.0) -> tuple[Grid, Any]:
    """An oblique, anisotropic grid, and its affine for (column, row, slice)."""
    turn = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.1, 0.3).GetMatrix()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(turn, (3, 3)) @ np.diag([0.7, 0.9, 3.0]) + shear * np.array(
        [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    )
    affine[:3, 3] = (-100, -150, 40)
    return Grid((4, 5, 6), affine[:, [2, 1, 0, 3]]), affine


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product([False, True], repeat=3)))
def test_a_mask_in_any_axis_order_and_direction_is_the_same_mask(axes: Any, flips: Any) -> None:
    for shear in (0.0, 0.4):
        grid, affine = some_grid(shear)
        values = np.random.default_rng(0).integers(0, 5, (6, 5, 4)).astype(np.uint8)
        given_values, given_affine = turned(axes, flips, values, affine)
        found = onto(given_values, given_affine, grid, resample=False)
        assert np.array_equal(found, values.transpose(2, 1, 0))


@given(st.sampled_from([0, 1, 2]), st.sampled_from([-1, 1]), st.floats(0.02, 3))
def test_a_shifted_mask_is_refused_by_place_not_by_index(axis: int, sign: int, shift_mm: float) -> None:
    grid, affine = some_grid()
    moved = affine.copy()
    moved[axis, 3] += sign * shift_mm
    with pytest.raises(RecordError, match=r"6 x 5 x 4 voxels of 0.70 x 0.90 x 3.00 mm") as caught:
        onto(np.zeros((6, 5, 4), np.uint8), moved, grid, resample=False)
    assert caught.value.code == "E_GRID"
    moved[axis, 3] = affine[axis, 3] + sign * 0.005  # rounding of decimals
    onto(np.zeros((6, 5, 4), np.uint8), moved, grid, resample=False)


def test_a_mirrored_array_with_the_old_affine_does_not_give_the_same_boxes() -> None:
    grid, affine = some_grid()
    values = np.zeros((6, 5, 4), np.uint8)
    values[0, 0, 0] = 1
    right = onto(values, affine, grid, resample=False)
    assert not np.array_equal(right, onto(values[::-1], affine, grid, resample=False))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_resampling_is_simpleitk_s_nearest_neighbour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid, target = some_grid()
    turn = np.reshape(sitk.Euler3DTransform((0, 0, 0), *rng.uniform(-0.5, 0.5, 3)).GetMatrix(), (3, 3))
    spacing, origin = rng.uniform(0.6, 3.1, 3), target[:3, 3] + rng.uniform(-3, 3, 3)
    values = rng.integers(0, 9, (8, 9, 7)).astype(np.uint8)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * spacing, origin
    source = sitk.GetImageFromArray(values.transpose(2, 1, 0))
    source.SetSpacing(spacing)
    source.SetOrigin(origin)
    source.SetDirection(turn.ravel())
    onto_this = sitk.Image(6, 5, 4, sitk.sitkUInt8)
    onto_this.SetSpacing((0.7, 0.9, 3.0))
    onto_this.SetOrigin(target[:3, 3])
    onto_this.SetDirection((target[:3, :3] / (0.7, 0.9, 3.0)).ravel())
    expected = sitk.GetArrayFromImage(sitk.Resample(source, onto_this, sitk.Transform(), sitk.sitkNearestNeighbor))
    found = onto(values, affine, grid, resample=True)
    assert (found != expected).mean() <= 1 / 120  # a voxel half-way between two may go either way


def test_grid_of_slices_is_what_nibabel_and_dicom_say(slices: list[Slice]) -> None:
    grid = grid_of(slices)
    assert grid.shape == (5, 6, 7)
    assert np.allclose(LPS_FROM_RAS @ ras_affine(slices), grid.affine[:, [2, 1, 0, 3]])
    assert np.allclose(grid_of(slices[2:4]).affine, grid.affine)  # some slices stand for all
    assert np.allclose(grid_of(slices[3:4]).affine, grid.affine)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"position_mm": None}, "no millimetres"),
        ({"flags": ("gap_mm",)}, "gap_mm"),
        ({"position_mm": (0.0, 0.0, 3.0)}, "parallel and evenly spaced"),
        ({"rows": 9}, "differ in size"),
    ],
)
def test_series_without_an_even_grid_are_refused(slices: list[Slice], changes: dict[str, Any], says: str) -> None:
    import dataclasses

    at = 0 if "position_mm" in changes and changes["position_mm"] is None else 2
    slices[at] = dataclasses.replace(slices[at], **changes)
    with pytest.raises(RecordError, match=says) as caught:
        grid_of(slices)
    assert caught.value.code == "E_GEOMETRY"
