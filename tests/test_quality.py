"""Quality gates: real volumes as they are trip none that is fatal; mirrored ones, swapped and damaged labels do."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure as sk

from rrg.anatomy import BY_ID, LABELS, other_side
from rrg.quality import Judged, judge, judge_measured
from rrg.quality_measures import measure
from rrg.quality_tables import LARGER, LEVELS, LIMITS, NEAR, ORDERS, PLACES, SPINE, quality_version
from tests.quality_cases import REAL, Array, Measured, Volume, fatal, measured, pairs, phantoms, real, swapped

AXES = {"x": 3, "y": 2, "z": 0}
"""Patient axis -> axis of a label volume in the orientation of the files used here."""


def id_of(name: str) -> int:
    return LABELS[name].class_id


@pytest.mark.parametrize("case", list(REAL))
def test_real_volumes_trip_no_fatal_gate_and_mirrored_ones_do(data: Path, case: str) -> None:
    _, _, mr, count = REAL[case]
    volume, affine, hu = real(data, case)
    judged = judge(volume, affine, hu)
    assert len(judged.verdicts) == count
    assert judged.flags == ()
    assert fatal(judged) == {}
    minor = {name for name, each in judged.verdicts.items() if set(each.flags) - {"cut"}}
    assert minor <= {"pancreas"}  # it is in three or four pieces in these masks
    assert all(each.score == 1 for name, each in judged.verdicts.items() if name not in minor)
    for axis, flag in (("x", "SUSPECT_LR"), ("y", "SUSPECT_ORDER"), ("z", "SUSPECT_ORDER")):
        if mr and axis == "z":
            continue  # 6 cm without single vertebrae: nothing tells above from below
        mirrored = judge(np.flip(volume, AXES[axis]), affine, hu)
        assert flag in mirrored.flags, axis
        assert all(each.score <= 0.1 and flag in each.flags for each in mirrored.verdicts.values())
    # image and mask mirrored together, as by a wrong header
    together = judge(np.flip(volume, 3), affine, None if hu is None else np.flip(hu, 2))
    assert together.flags == ("SUSPECT_LR",)


PAIRS = (
    ("kidney_left", "kidney_right"),
    ("liver", "spleen"),
    ("aorta", "inferior_vena_cava"),
    ("adrenal_gland_left", "kidney_left"),
    ("gallbladder", "urinary_bladder"),
    ("lung_lower_lobe_right", "liver"),
    ("vertebrae_L1", "vertebrae_L2"),
    ("rib_left_12", "rib_right_12"),
    ("hip_left", "hip_right"),
    ("sacrum", "stomach"),
    # like density, and cut or next to each other: found by the place beside the spine, the height, or the length
    ("kidney_right", "iliopsoas_right"),
    ("rib_left_8", "rib_left_9"),
    ("spinal_cord", "autochthon_left"),
    ("vertebrae_L4", "vertebrae_L2"),
    ("gluteus_medius_left", "gluteus_minimus_left"),
    ("spleen", "rib_left_9"),
    ("iliac_artery_left", "iliac_vena_left"),
)


@pytest.fixture(scope="module")
def abdomen(data: Path) -> Measured:
    return measured(real(data, "abdomen and pelvis"))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_swapped_labels_of_a_real_ct_trip_a_gate(abdomen: Measured, one: str, other: str) -> None:
    flagged = fatal(swapped(abdomen, one, other))
    assert {one, other} & flagged.keys()
    assert len(flagged) <= 6  # and few others


def test_swapped_measures_are_those_of_swapped_labels(data: Path) -> None:
    labels, affine, hu = real(data, "MR")
    given = measured((labels, affine, hu))
    for one, other in (("liver", "spleen"), ("kidney_left", "colon"), ("aorta", "vertebrae")):
        table = np.arange(256, dtype=np.uint8)
        table[id_of(one)], table[id_of(other)] = id_of(other), id_of(one)
        assert swapped(given, one, other) == judge(table[labels], affine, hu)


@pytest.mark.parametrize(("case", "share"), [("upper abdomen", 0.96), ("slab of DICOM slices", 0.9), ("MR", 0.88)])
def test_most_swaps_of_two_labels_are_found(data: Path, case: str, share: float) -> None:
    given = measured(real(data, case))
    some = pairs(given)[::7]
    found = [bool({one, other} & fatal(swapped(given, one, other)).keys()) for one, other in some]
    assert sum(found) >= share * len(some)


def test_a_mask_of_another_place_does_not_fit_the_densities(data: Path) -> None:
    volume, affine, hu = real(data, "abdomen and pelvis")
    assert hu is not None
    outside = np.full_like(hu, -1000)
    judged = judge(volume, affine, outside)
    assert judged.flags == ("SUSPECT_HU",)
    assert judge(volume, affine, None).flags == ()  # control: without HU nothing is said


@pytest.fixture(scope="module")
def made() -> list[Volume]:
    return list(phantoms(6, seed=3))


def test_phantoms_as_they_are_mirrored_and_swapped(made: list[Volume]) -> None:
    assert len(made) == 6
    for volume, affine, hu in made:
        assert fatal(judge(volume, affine, hu)) == {}
        assert judge(volume[..., ::-1], affine, hu).flags == ("SUSPECT_LR",)
        present = {BY_ID[int(value)].name for value in np.unique(volume) if value}
        for one, other in (("kidney_left", "kidney_right"), ("liver", "spleen")):
            if {one, other} <= present:
                assert {one, other} & fatal(swapped(measured((volume, affine, hu)), one, other)).keys()


def test_axis_order_and_direction_of_the_array_do_not_matter(made: list[Volume]) -> None:
    volume, affine, _ = made[0]
    start = judge(volume, affine)
    for axes in itertools.permutations(range(3)):
        matrix = np.eye(4)[:, [*axes, 3]]
        values = volume[:, 0].transpose(axes)[::-1]
        flip = np.eye(4)
        flip[0, 0], flip[0, 3] = -1, values.shape[0] - 1
        assert judge(values[:, None], affine @ matrix @ flip).verdicts.keys() == start.verdicts.keys()
        assert fatal(judge(values[:, None], affine @ matrix @ flip)) == {}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_measures_are_those_of_scikit_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    volume = rng.choice([0, 1, 5, 25, 200], (4, 2, 7, 6)).astype(np.uint8)
    volume[:, 1][volume[:, 1] == volume[:, 0]] = 0  # layers hold other classes at each place
    hu = rng.integers(-1100, 3200, (4, 7, 6)).astype(np.int16)
    affine = np.eye(4)
    affine[:3] = rng.normal(size=(3, 4))
    found = measure(volume, affine, hu)
    for class_id in (1, 5, 25, 200):
        inside = (volume == class_id).any(axis=1)
        if not inside.any():
            assert BY_ID[class_id].name not in found
            continue
        (region,) = sk.regionprops(inside.astype(np.uint8))
        ours = found[BY_ID[class_id].name]
        assert ours.voxels == region.area
        assert np.allclose(ours.centre_mm, affine[:3, :3] @ region.centroid + affine[:3, 3])
        assert [(part.start, part.stop) for part in ours.box] == list(
            zip(region.bbox[:3], region.bbox[3:], strict=True)
        )
        assert ours.ml == pytest.approx(region.area * abs(np.linalg.det(affine[:3, :3])) / 1000)
        clipped = hu[inside].clip(-1024, 3071)
        for seen, part in ((ours.hu, 50), (ours.hu_top, 90)):
            assert seen is not None
            assert abs(seen - np.percentile(clipped, part, method="inverted_cdf")) <= 4.5
        assert ours.whole != any(region.bbox[a] == 0 or region.bbox[a + 3] == inside.shape[a] for a in range(3))
        sizes = np.subtract(region.bbox[3:], region.bbox[:3]) * np.linalg.norm(affine[:3, :3], axis=0)
        assert ours.long_mm == pytest.approx(sizes.max())  # fewer than 200 voxels: none is far out


def ball(centre: tuple[int, int, int], radius: float, shape: tuple[int, int, int] = (50, 60, 60)) -> Array:
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return np.asarray((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2)


SPACING = np.diag([3.0, 3.0, 3.0, 1])[:, [2, 1, 0, 3]]


def spleen(*parts: Array) -> Array:
    volume = np.zeros((50, 1, 60, 60), np.uint8)
    for part in parts:
        volume[:, 0][part] = id_of("spleen")
    return volume


@pytest.mark.parametrize(
    ("change", "flags", "score"),
    [
        (lambda v: v, (), 1.0),
        (lambda v: np.where(ball((25, 30, 30), 7)[:, None], 0, v), ("holes",), None),
        (lambda v: np.maximum(v, spleen(ball((9, 9, 9), 8))), ("fragments",), None),
        (lambda v: np.roll(v, -25, 0), ("cut",), 1.0),
        (lambda v: v[:, :, :, 18:], ("cut",), 1.0),
        (lambda v: spleen(ball((25, 30, 30), 5)), ("SUSPECT_LENGTH", "SUSPECT_VOLUME"), 0.25),
        (lambda v: spleen(ball((25, 30, 30), 1)), (), 1.0),  # 7 voxels: too few to judge
    ],
)
def test_shape_of_one_structure(change: Callable[[Array], Array], flags: tuple[str, ...], score: float | None) -> None:
    volume = change(spleen(ball((25, 30, 30), 12)))
    (verdict,) = judge(volume, SPACING).verdicts.values()
    assert verdict.flags == flags
    if score is not None:
        assert verdict.score == score
    elif flags == ("holes",):
        inside, hole = ball((25, 30, 30), 12).sum(), ball((25, 30, 30), 7).sum()
        assert verdict.score == pytest.approx(1 - hole / inside, abs=1e-3)
    else:
        big, small = ball((25, 30, 30), 12).sum(), ball((9, 9, 9), 8).sum()
        assert verdict.score == pytest.approx(big / (big + small), abs=1e-3)


def test_a_hole_that_holds_another_structure_is_none_and_the_body_is_no_structure() -> None:
    volume = spleen(ball((25, 30, 30), 12))
    inner = ball((25, 30, 30), 7)
    layers = np.concatenate([volume, np.full_like(volume, id_of("body"))], axis=1)
    layers[:, 0][inner] = id_of("lesion")
    assert judge(layers, SPACING).verdicts["spleen"].flags == ()
    layers[:, 0][inner] = 0
    assert judge(layers, SPACING).verdicts["spleen"].flags == ("holes",)


def test_neighbours_that_lie_apart() -> None:
    volume = np.zeros((60, 1, 60, 60), np.uint8)
    volume[:, 0][ball((30, 30, 18), 16, (60, 60, 60))] = id_of("liver")
    volume[:, 0][ball((30, 30, 38), 4, (60, 60, 60))] = id_of("gallbladder")  # 1 voxel = 3 mm beyond the liver
    assert fatal(judge(volume, SPACING)) == {}
    volume = np.where(volume == id_of("gallbladder"), 0, volume)
    volume[:, 0][ball((30, 30, 48), 4, (60, 60, 60))] = id_of("gallbladder")
    assert fatal(judge(volume, SPACING)) == {"gallbladder": {"SUSPECT_PLACE"}}


def body_with(**places: tuple[float, float, float]) -> Measured:
    """Three vertebrae in a column, and balls of 12 mm at (left, front, up) mm of the middle one."""
    volume = np.zeros((60, 1, 100, 120), np.uint8)
    whole = (60, 100, 120)
    for number, name in enumerate(("vertebrae_L3", "vertebrae_L2", "vertebrae_L1")):
        volume[:, 0][ball((18 + 12 * number, 70, 60), 5.5, whole)] = id_of(name)
    for name, (left, front, up) in places.items():
        volume[:, 0][ball((30 + round(up / 3), 70 - round(front / 3), 60 + round(left / 3)), 4, whole)] = id_of(name)
    return measured((volume, SPACING, None))


@pytest.mark.parametrize(
    ("name", "place", "suspect"),
    [
        ("adrenal_gland_left", (45, 30, 20), False),
        ("adrenal_gland_left", (120, 30, 20), True),  # too far to the side
        ("adrenal_gland_left", (45, 160, 20), True),  # before the front wall
        ("adrenal_gland_left", (45, 30, -80), True),  # below L4
        ("spinal_cord", (0, -30, 0), False),
        ("spinal_cord", (40, -30, 0), True),
    ],
)
def test_places_are_judged_beside_the_spine(name: str, place: tuple[float, float, float], *, suspect: bool) -> None:
    given = body_with(**{name: place})
    flags = fatal(judge_measured(given.found, given.forms, given.voxel_mm)).get(name, set())
    assert ("SUSPECT_PLACE" in flags) is suspect


def test_without_a_spine_no_place_is_judged() -> None:
    given = body_with(adrenal_gland_left=(120, 160, -80))
    alone = {"adrenal_gland_left": given.found["adrenal_gland_left"]}
    assert "SUSPECT_PLACE" not in fatal(judge_measured(alone, {name: given.forms[name] for name in alone}, 3.0)).get(
        "adrenal_gland_left", set()
    )


def test_stray_voxels_do_not_make_a_structure_long() -> None:
    volume = spleen(ball((25, 30, 30), 12))
    far = volume.copy()
    far[2, 0, 2, 2] = id_of("spleen")
    one, two = (measured((each, SPACING, None)).found["spleen"] for each in (volume, far))
    assert two.long_mm == one.long_mm


def test_fine_grids_are_judged_in_cells_and_say_the_same() -> None:
    coarse = spleen(ball((25, 30, 30), 12) & ~ball((25, 30, 30), 7), ball((9, 9, 9), 8))
    fine = coarse.repeat(2, 0).repeat(4, 2).repeat(4, 3)
    affine = SPACING.copy()
    affine[:3, :3] = SPACING[:3, :3] @ np.diag([1 / 2, 1 / 4, 1 / 4])
    one, two = (judge(v, a).verdicts["spleen"] for v, a in ((coarse, SPACING), (fine, affine)))
    assert one.flags == two.flags == ("fragments", "holes")
    assert two.score == pytest.approx(one.score, abs=0.02)


def test_nothing_is_said_of_an_empty_volume() -> None:
    assert judge(np.zeros((3, 2, 4, 4), np.uint8), np.eye(4)) == Judged({}, ())


def test_the_tables_know_every_label_and_only_labels() -> None:
    assert LIMITS.keys() == LABELS.keys()
    for limits in LIMITS.values():
        assert limits.source
        for each in (limits.ml, limits.hu):
            assert each is None or each[0] < each[1]
    names = {name for order in ORDERS for name in (order.first, order.second)}
    names |= {name for pair in (*NEAR, *LARGER) for name in (pair.first, pair.second)}
    assert names <= LABELS.keys() | {SPINE}
    assert PLACES.keys() == LABELS.keys()
    assert LEVELS.keys() <= LABELS.keys()
    for body in PLACES.values():
        for place in (body.side_mm, body.front_mm, body.levels, body.long_mm):
            assert place is None or place[0] < place[1]
    ordered = {(order.first, order.second) for order in ORDERS if order.axis == 0}
    for name, label in LABELS.items():
        if label.side == "right" and (partner := other_side(name)):
            assert (name, partner) in ordered
    assert quality_version().startswith("rrg-quality/2:")
