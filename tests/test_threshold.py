"""The threshold engine on real CT: overlap with a reference, sides, orientation; made-up bodies with known parts."""

from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from rrg.anatomy import LABELS, covers
from rrg.phantom_body import NUMBER, image, paint, tissue_values
from rrg.phantom_plan import Settings, patient_studies, patients
from rrg.threshold import FINDS, patient_order, segment_ct

Volume = np.ndarray[Any, Any]


def affine_of(image: sitk.Image) -> Volume:
    """(slice, row, column) -> mm LPS, by SimpleITK."""
    affine = np.eye(4)
    affine[:3, :3] = (np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return affine


def is_(volume: Volume, name: str) -> Volume:
    return np.asarray((volume == LABELS[name].class_id).any(axis=1))


def dice(a: Volume, b: Volume) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def reference(values: Volume, name: str) -> Volume:
    return np.isin(values, [LABELS[each].class_id for each in covers(name)])


@pytest.fixture(scope="module")
def abdomen(request: pytest.FixtureRequest) -> tuple[Volume, Volume, Volume]:
    """HU and reference labels of a CT of abdomen and pelvis, as stored in its NIfTI, and its affine."""
    folder = request.getfixturevalue("data") / "totalsegmentator-ct-mr"
    image = sitk.ReadImage(str(folder / "example_ct.nii.gz"))
    labels = sitk.ReadImage(str(folder / "example_seg_fast_force_split.nii.gz"))
    return sitk.GetArrayFromImage(image).astype(np.int16), sitk.GetArrayFromImage(labels), affine_of(image)


def test_bone_and_lungs_agree_with_totalsegmentator(abdomen: tuple[Volume, Volume, Volume]) -> None:
    hu, labels, affine = abdomen
    found = segment_ct(hu, affine)
    scores = {name: dice(is_(found, name), reference(labels, name)) for name in ("bone", "lung_left", "lung_right")}
    print("Dice", scores)
    assert scores["bone"] >= 0.85
    assert scores["lung_left"] >= 0.93
    assert scores["lung_right"] >= 0.93
    assert not is_(found, "airways").any()  # no trachea in an abdomen; gut gas is none
    outside = reference(labels, "bone") & ~is_(found, "body")
    assert outside.sum() < 0.001 * reference(labels, "bone").sum()
    mirrored = is_(found, "lung_left")[..., ::-1]
    assert dice(mirrored, reference(labels, "lung_left")) < 0.5  # control


def test_bone_holds_when_blood_is_enhanced(abdomen: tuple[Volume, Volume, Volume]) -> None:
    hu, labels, affine = abdomen
    enhanced = hu.copy()
    for name in ("aorta", "heart", "kidney_left", "kidney_right", "inferior_vena_cava", "spleen", "iliac_artery_left"):
        enhanced[labels == LABELS[name].class_id] += 250
    bone = is_(segment_ct(enhanced, affine), "bone")
    assert dice(bone, reference(labels, "bone")) >= 0.85
    assert (bone & (labels == LABELS["aorta"].class_id)).sum() < 0.1 * (labels == LABELS["aorta"].class_id).sum()


def test_orientation_of_the_array_does_not_matter(abdomen: tuple[Volume, Volume, Volume]) -> None:
    hu, _, affine = abdomen
    part, start = hu[:60], segment_ct(hu[:60], affine)
    matrix = np.eye(4)[:, [2, 0, 1, 3]]  # axes (column, slice, row)
    flipped = np.eye(4)
    flipped[2, 2], flipped[2, 3] = -1, part.shape[1] - 1
    found = segment_ct(part.transpose(2, 0, 1)[:, :, ::-1], affine @ matrix @ flipped)
    assert np.array_equal(found[:, :, :, ::-1].transpose(2, 1, 3, 0), start)


def test_patient_order_of_a_coronal_series() -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1.0], [3, 0, 0], [0, -1, 0]])  # slices to the back, rows to the feet
    assert patient_order(affine) == ([1, 0, 2], (slice(None, None, -1), slice(None, None, 1), slice(None, None, 1)))


@pytest.fixture(scope="module")
def chest(request: pytest.FixtureRequest) -> tuple[Volume, Volume]:
    folder = request.getfixturevalue("data") / "lidc-idri-0314-chest-ct/full_5mm"
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    fewer = np.diag([1.0, 2, 2, 1])  # every second row and column: four times as fast
    return sitk.GetArrayFromImage(image).astype(np.int16)[:, ::2, ::2], affine_of(image) @ fewer


def test_a_chest_has_two_lungs_airways_between_them_and_no_table(chest: tuple[Volume, Volume]) -> None:
    hu, affine = chest
    found = segment_ct(hu, affine)
    ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
    left, right, airways, body = (is_(found, name) for name in ("lung_left", "lung_right", "airways", "body"))
    assert 1500 < left.sum() * ml < 2400
    assert 700 < right.sum() * ml < 1500  # its upper lobe is collapsed
    assert 15 < airways.sum() * ml < 60
    x = [float(np.argwhere(mask)[:, 2].mean()) for mask in (right, airways, left)]
    assert x == sorted(x)  # columns grow to the patient's left
    assert np.median(hu[left]) < -750
    assert np.percentile(hu[airways], 90) < -850
    assert not (left & right).any()
    table = hu[:, 235:] > -300
    assert table.any()
    assert not (table & body[:, 235:]).any()
    assert (left <= body).all()
    assert (airways <= body).all()


def test_nothing_is_found_in_air_and_a_block_is_a_body() -> None:
    air = np.full((6, 40, 40), -1000, np.int16)
    assert not segment_ct(air, np.eye(4)).any()
    air[:, 10:30, 10:30] = 40
    found = segment_ct(air, np.diag([2.0, 1, 1, 1]))
    assert {name for name in FINDS if is_(found, name).any()} == {"body"}
    assert segment_ct(air[:1], np.eye(4)).shape == (1, 2, 40, 40)


def test_two_touching_lungs_are_cut_and_named_by_the_patient() -> None:
    z, y, x = np.mgrid[:40, :60, :90]
    hu = np.where(((y - 30) / 28) ** 2 + ((x - 45) / 43) ** 2 < 1, 40, -1000).astype(np.int16)
    one = ((z - 20) / 15) ** 2 + ((y - 30) / 15) ** 2 + ((x - 28) / 15) ** 2 < 1
    two = ((z - 20) / 15) ** 2 + ((y - 30) / 15) ** 2 + ((x - 62) / 15) ** 2 < 1
    bridge = (abs(z - 20) < 2) & (abs(y - 30) < 2) & (x > 30) & (x < 60)
    hu[one | two | bridge] = -850
    affine = np.diag([4.0, 4, 4, 1])[:, [2, 1, 0, 3]]
    found = segment_ct(hu, affine)
    assert dice(is_(found, "lung_right"), one) > 0.9
    assert dice(is_(found, "lung_left"), two) > 0.9
    affine[0, 2] = -4  # columns grow to the patient's right
    mirrored = segment_ct(hu, affine)
    assert dice(is_(mirrored, "lung_left"), one) > 0.9


PHANTOM = Settings(seed=5, studies=5, slices=24, size=128, modality="ct", noise=1, syntax="explicit")  # type: ignore[arg-type]
LUNGS = {
    "lung_left": ("lung_upper_left", "lung_lower_left"),
    "lung_right": ("lung_upper_right", "lung_middle_right", "lung_lower_right"),
}


def test_body_and_lungs_of_phantoms() -> None:
    """Slices of 12 mm, domes of liver and stomach gas under the lungs, lungs that an edge of the picture cuts."""
    compared = 0
    for patient in patients(PHANTOM):
        for study in patient_studies(patient, PHANTOM):
            tissue = paint(study.body, study.primary.body_grid, "CT")
            rng = np.random.default_rng(0)
            values = tissue_values(study.body, "CT", "CT", study.header.contrast, rng)
            hu = image(tissue, values, study.primary.noise, "CT", rng)
            found = segment_ct(hu, study.primary.body_grid.affine)
            assert dice(is_(found, "body"), tissue != NUMBER["air"]) >= 0.97
            assert not is_(found, "airways").any()  # a phantom has none
            for name, tissues in LUNGS.items():
                truth = np.isin(tissue, [NUMBER[each] for each in tissues])
                if truth.any():
                    assert dice(is_(found, name), truth) >= 0.97
                    compared += 1
                else:
                    assert not is_(found, name).any()  # removed
    assert compared >= 8


def test_airways_of_a_made_up_chest() -> None:
    """A trachea that parts into two bronchi between two lungs full of vessels; the wall of the tubes is 2 mm."""
    spacing = np.array([2.0, 1.0, 1.0])
    z, y, x = np.ogrid[:100, :150, :220]
    z, y, x = z * spacing[0], y - 75.0, x - 110.0
    hu = np.full((100, 150, 220), -1000, np.int16)
    hu[np.broadcast_to((x / 105) ** 2 + (y / 70) ** 2 < 1, hu.shape)] = 40
    lungs = {
        name: ((x - side * 52) / 38) ** 2 + (y / 46) ** 2 + ((z - 95) / 90) ** 2 < 1
        for name, side in (("lung_left", 1), ("lung_right", -1))
    }
    rng = np.random.default_rng(2)
    for lung in lungs.values():
        hu[lung] = -850
        hu[lung & (rng.random(hu.shape) < 0.02)] = -100

    def tubes(radius: float) -> Volume:
        trachea = (x**2 + y**2 < radius**2) & (z >= 90)
        branches = ((abs(x) - (100 - z) * 0.9) ** 2 + y**2 < radius**2) & (z >= 66) & (z < 100)
        return np.asarray(trachea | branches)

    hu[tubes(9.0)] = 0
    lumen = tubes(7.0)
    hu[lumen] = -990
    hu += rng.normal(0, 8, hu.shape).astype(np.int16)
    affine = np.diag([*spacing, 1.0])[:, [2, 1, 0, 3]]
    found = segment_ct(hu, affine)
    assert dice(is_(found, "airways"), lumen) >= 0.9
    for name, lung in lungs.items():
        assert dice(is_(found, name), np.asarray(lung) & ~tubes(9.0)) >= 0.97
