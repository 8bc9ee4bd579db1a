"""Roles of stacks: by words, by Image Type, and by geometry alone."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from rrg.records import Role
from rrg.stacks import Stack, stacks_of
from tests.headers import AXIAL, CORONAL, SAGITTAL, header, volume


def roles(*headers: Any) -> list[tuple[Role, int]]:
    """(role, slices) of the stacks."""
    return [(stack.role, len(stack.headers)) for stack in stacks_of(headers)]


def one(stacks: Sequence[Stack]) -> Role:
    assert len({stack.role for stack in stacks}) == 1
    return stacks[0].role


# --- words and Image Type


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("ORIGINAL\\PRIMARY\\AXIAL", "primary"),
        ("ORIGINAL\\PRIMARY\\LOCALIZER", "localizer"),
        ("DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE", "reformat"),
        ("DERIVED\\SECONDARY\\MIP", "mip"),
        ("DERIVED\\PRIMARY\\VOLUME\\VOLUME_RENDER", "vrt"),
        ("DERIVED\\PRIMARY\\AXIAL", "derived"),
        ("DERIVED\\PRIMARY\\DIFFUSION\\ADC", "derived"),
        ("", "primary"),
    ],
)
def test_image_type(kind: str, role: Role) -> None:
    made = volume(20, image_type=tuple(kind.split("\\")) if kind else ())
    assert one(stacks_of(made)) == role


@pytest.mark.parametrize(
    ("hint", "role"),
    [
        ("mip", "mip"),
        ("vrt", "vrt"),
        ("derived", "derived"),
        ("bolus", "primary"),
        ("dynamic", "primary"),
        ("localizer", "primary"),
        ("reformat", "primary"),
    ],
)
def test_words_are_believed_where_a_long_original_axial_ct_allows_it(hint: str, role: Role) -> None:
    assert one(stacks_of(volume(40, hints=(hint,)))) == role


def test_words_of_a_reformat_and_of_a_localizer_elsewhere() -> None:
    assert one(stacks_of(volume(40, orientation=CORONAL, hints=("reformat",)))) == "reformat"
    assert one(stacks_of(volume(40, image_type=("DERIVED", "SECONDARY"), hints=("reformat",)))) == "reformat"
    assert one(stacks_of(volume(40, modality="MR", orientation=SAGITTAL, hints=("localizer",)))) == "localizer"
    assert one(stacks_of(volume(5, hints=("localizer",)))) == "localizer"


def test_image_type_derived_for_its_compression_only_is_primary() -> None:
    assert one(stacks_of(volume(9, image_type=("DERIVED", "PRIMARY", "AXIAL"), lossy=True))) == "primary"
    assert one(stacks_of(volume(9, image_type=("DERIVED", "SECONDARY", "AXIAL"), lossy=True))) == "derived"


# --- geometry alone: headers that were stripped


def test_a_few_slices_across_a_long_stack_are_a_localizer() -> None:
    scout = volume(2, modality="MR", orientation=CORONAL)
    assert roles(*volume(20, modality="MR"), *scout) == [("primary", 20), ("localizer", 2)]
    assert roles(*volume(7, modality="MR"), *scout) == [("primary", 7), ("primary", 2)]


def test_a_few_slices_in_all_three_planes_are_a_localizer() -> None:
    planes = [AXIAL, CORONAL, SAGITTAL]
    made = [h for plane in planes for h in volume(3, modality="MR", orientation=plane)]
    assert roles(*made) == [("localizer", 3)] * 3
    many = [h for plane in planes for h in volume(12, modality="MR", orientation=plane)]
    assert roles(*many) == [("primary", 12)] * 3


def test_a_ct_projection_is_a_localizer_even_alone() -> None:
    assert roles(*volume(1, orientation=CORONAL)) == [("localizer", 1)]
    assert roles(*volume(1, orientation=SAGITTAL, image_type=())) == [("localizer", 1)]
    assert roles(*volume(1, modality="MR", orientation=CORONAL)) == [("primary", 1)]
    assert roles(*volume(1)) == [("primary", 1)]
    assert roles(*volume(1, orientation=CORONAL, image_type=("DERIVED", "SECONDARY"))) == [("reformat", 1)]


def test_derived_ct_across_the_scan_is_a_reformat() -> None:
    derived = ("DERIVED", "SECONDARY")
    assert one(stacks_of(volume(30, orientation=CORONAL, image_type=derived))) == "reformat"
    assert one(stacks_of(volume(30, image_type=derived))) == "derived"
    assert one(stacks_of(volume(30, modality="MR", orientation=CORONAL, image_type=derived))) == "derived"


def test_views_from_around_are_no_reformats() -> None:
    views = [
        header(n, orientation=plane, image_type=("DERIVED", "SECONDARY"))
        for n, plane in enumerate([CORONAL, (0.866, 0.5, 0.0, 0.0, 0.0, -1.0), SAGITTAL])
    ]
    assert roles(*views) == [("derived", 1)] * 3


# --- the same positions several times


def times(count: int, slices: int, **values: Any) -> list[Any]:
    """`count` phases of a volume, one after the other, told apart by temporal position."""
    made: list[Any] = []
    for time in range(count):
        made += volume(slices, start=slices * time, phase=(1.0, None, float(time + 1), None, None), **values)
    return made


def dynamic(stacks: Iterable[Stack]) -> list[tuple[Role, int | None, int]]:
    return [(stack.role, stack.time_index, len(stack.headers)) for stack in stacks]


def test_phases_are_dynamic_in_order_of_time() -> None:
    assert dynamic(stacks_of(times(3, 5, modality="MR"))) == [("dynamic", time, 5) for time in range(3)]
    backwards = times(3, 5, modality="MR")[::-1]
    assert dynamic(stacks_of(backwards)) == [("dynamic", time, 5) for time in range(3)]


def test_phases_without_any_tag_are_dynamic() -> None:
    made = [header(number, z=5.0 * (number % 4)) for number in range(12)]
    assert dynamic(stacks_of(made)) == [("dynamic", time, 4) for time in range(3)]


def test_a_phase_that_lost_many_slices_is_not_dynamic() -> None:
    made = times(2, 10)
    assert dynamic(stacks_of(made[:-1])) == [("dynamic", 0, 10), ("dynamic", 1, 9)]
    assert dynamic(stacks_of(made[:-5])) == [("primary", None, 10), ("primary", None, 5)]


def test_directions_and_b_values_without_a_tag_are_no_phases() -> None:
    assert dynamic(stacks_of(times(3, 5, modality="MR", sequence="DWI"))) == [("primary", None, 5)] * 3


def test_derived_images_stay_derived_when_their_words_say_so() -> None:
    kind = ("DERIVED", "PRIMARY", "M", "MOCO")
    assert {s.role for s in stacks_of(times(3, 5, modality="MR", image_type=kind))} == {"dynamic"}
    assert {s.role for s in stacks_of(times(3, 5, modality="MR", hints=("derived",)))} == {"derived"}


def test_one_position_many_times_is_bolus_tracking() -> None:
    assert roles(*times(8, 1)) == [("bolus", 1)] * 8  # by geometry alone
    assert roles(*times(2, 1)) == [("dynamic", 1)] * 2
    assert roles(*times(8, 1, modality="MR")) == [("dynamic", 1)] * 8  # a cine
    assert roles(*times(8, 1, modality="MR", hints=("bolus",))) == [("bolus", 1)] * 8
    assert roles(*times(8, 4)) == [("dynamic", 4)] * 8  # CT perfusion
    assert roles(*volume(1, hints=("bolus",))) == [("bolus", 1)]  # premonitoring
    assert roles(*volume(30, hints=("bolus",))) == [("primary", 30)]


def test_bolus_tracking_of_a_real_series(data: Any) -> None:
    from rrg.dicom import Header, read_header
    from rrg.files import files_under

    folder = data / "dicom-edge-cases/dicom2nifti/failing/notavolume"
    found = [h for source in files_under([folder]) if isinstance(h := read_header(source), Header)]
    assert roles(*found) == [("bolus", 1)] * 4
