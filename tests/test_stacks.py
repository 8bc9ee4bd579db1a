"""Headers -> stacks: what is split, what stays together, in which order; what the places of a stack say."""

import math
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg.dicom import Header, read_header
from rrg.files import files_under
from rrg.stacks import MANY_GRIDS, Stack, layout_of, stacks_of, without_duplicates
from tests.headers import AXIAL, CORONAL, PHASE, SAGITTAL, header, volume

TILTED = (1.0, 0.0, 0.0, 0.0, math.cos(math.radians(14)), -math.sin(math.radians(14)))


def numbers(stacks: list[Stack]) -> list[list[int | None]]:
    return [[header.instance_number for header in stack.headers] for stack in stacks]


def phase(**values: float) -> tuple[float | None, ...]:
    """A phase with these values: acquisition, echo, temporal, b, trigger."""
    names = ("acquisition", "echo", "temporal", "b", "trigger")
    return tuple(values.get(name, PHASE[i]) for i, name in enumerate(names))


def interleaved(what: list[dict[str, Any]], slices: int = 4) -> list[Header]:
    """Each position once for each of `what`, position by position; numbers from 1."""
    return [
        header(1 + len(what) * place + i, **{"z": 3.0 * place, "modality": "MR", **values})
        for place in range(slices)
        for i, values in enumerate(what)
    ]


# --- what is split


@pytest.mark.parametrize(
    "values",
    [
        {"rows": 7},
        {"columns": 9},
        {"modality": "PT"},
        {"spacing": (0.5, 0.9)},
        {"spacing": None},
        {"orientation": CORONAL},
        {"orientation": SAGITTAL},
        {"orientation": (1.0, 0.0, 0.0, 0.0, 0.99995, 0.01)},
        {"slope": None},
        {"image_type": ("DERIVED", "SECONDARY", "MIP")},
        {"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")},
    ],
)
def test_slices_of_another_grid_or_kind_are_another_stack(values: dict[str, Any]) -> None:
    other = [header(10 + n, position=(2.5 + n, 2.5 + n, 2.5 + 5.0 * n), **values) for n in range(3)]
    assert sorted(len(stack.headers) for stack in stacks_of([*volume(6), *other])) == [3, 6]


def test_rounding_splits_nothing() -> None:
    rng = random.Random(0)
    made = [
        header(n, z=5.0 * n, spacing=(0.5 + rng.uniform(-4e-4, 4e-4), 0.8), orientation=(1.0, 0.0, 0.0, 0.0, 1.0, d))
        for n in range(30)
        for d in [rng.uniform(-4e-4, 4e-4)]
    ]
    assert numbers(stacks_of(made)) == [list(range(30))]


@pytest.mark.parametrize(
    "what",
    [
        [{"phase": phase(echo=10.0)}, {"phase": phase(echo=80.0)}],
        [{"phase": phase(b=0.0)}, {"phase": phase(b=50.0)}, {"phase": phase(b=800.0)}],
        [{"b_value": 0.0}, {"b_value": 800.0}],
        [{"image_type": ("ORIGINAL", "PRIMARY", "M")}, {"image_type": ("ORIGINAL", "PRIMARY", "P")}],
        [{"phase": phase(temporal=1.0)}, {"phase": phase(temporal=2.0)}],
        [{"phase": phase(trigger=0.0)}, {"phase": phase(trigger=40.0)}],
        [{"phase": phase(acquisition=2.0)}, {"phase": phase(acquisition=3.0)}],
        [{"thickness_mm": 1.0}, {"thickness_mm": 5.0}],
        [{"kernel": "lung"}, {"kernel": "soft"}],
        [{}, {}],
    ],
)
def test_slices_at_one_position_are_told_apart(what: list[dict[str, Any]]) -> None:
    made = interleaved(what)
    stacks = stacks_of(random.Random(1).sample(made, len(made)))
    assert numbers(stacks) == [[1 + i + len(what) * place for place in range(4)] for i in range(len(what))]


def test_two_things_that_differ_are_split_one_after_the_other() -> None:
    """Three b-values and the ADC map of one acquisition; two echoes at three times."""
    diffusion = [{"phase": phase(b=b), "sequence": "DWI"} for b in (0.0, 50.0, 800.0)]
    adc = {"image_type": ("DERIVED", "PRIMARY", "DIFFUSION", "ADC"), "sequence": "ADC"}
    stacks = stacks_of(interleaved([*diffusion, adc]))
    assert [(stack.role, len(stack.headers)) for stack in stacks] == [("primary", 4)] * 3 + [("derived", 4)]
    assert [{h.phase[3] for h in stack.headers} for stack in stacks] == [{0.0}, {50.0}, {800.0}, {None}]
    both = [{"phase": phase(echo=e, temporal=t)} for e in (10.0, 80.0) for t in (1.0, 2.0, 3.0)]
    stacks = stacks_of(interleaved(both))
    assert [({h.phase[1] for h in s.headers}, s.role, s.time_index) for s in stacks] == [
        ({echo}, "dynamic", time) for echo in (10.0, 80.0) for time in range(3)
    ]


def test_b_values_with_several_directions() -> None:
    what = [{"phase": phase(b=0.0)}, *[{"phase": phase(b=800.0)}] * 3]
    stacks = stacks_of(interleaved([{**each, "sequence": "DWI"} for each in what]))
    assert numbers(stacks) == [[1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15], [4, 8, 12, 16]]
    assert {stack.role for stack in stacks} == {"primary"}


def test_a_number_that_differs_on_every_slice_splits_nothing() -> None:
    """An acquisition number per rotation, a trigger time per slice: positions come once, so there is one stack."""
    made = [header(n, z=5.0 * n, phase=phase(acquisition=float(n), trigger=13.0 * n)) for n in range(8)]
    assert len(stacks_of(made)) == 1


def test_two_ranges_that_overlap_are_two_stacks() -> None:
    chest = [header(n, z=5.0 * n, phase=phase(acquisition=1.0)) for n in range(20)]
    abdomen = [header(20 + n, z=5.0 * (15 + n), phase=phase(acquisition=2.0)) for n in range(20)]
    stacks = stacks_of([*chest, *abdomen])
    assert numbers(stacks) == [list(range(20)), list(range(20, 40))]
    assert [(stack.role, stack.time_index) for stack in stacks] == [("primary", None)] * 2


def test_two_fields_of_view_at_one_height() -> None:
    made = [header(2 * n + side, position=(-100.0 + 150.0 * side, 0.0, 5.0 * n)) for n in range(5) for side in (0, 1)]
    stacks = stacks_of(made)
    assert [{h.position[0] for h in stack.headers if h.position} for stack in stacks] == [{-100.0}, {50.0}]
    assert {stack.role for stack in stacks} == {"primary"}


def test_one_slice_that_was_taken_again() -> None:
    stacks = stacks_of([*volume(30), header(31, z=50.0)])
    assert [(len(stack.headers), stack.role) for stack in stacks] == [(30, "primary"), (1, "primary")]


def test_without_positions_the_order_is_that_of_instance_numbers() -> None:
    made = [header(n, position=None, phase=phase(echo=float(n % 2))) for n in range(6)]
    assert numbers(stacks_of(made[::-1])) == [list(range(6))]
    unnumbered = [replace(h, instance_number=None) for h in made]
    assert [h.sop for h in stacks_of(unnumbered[::-1])[0].headers] == [h.sop for h in made]


def test_copies_of_a_uid_are_set_aside_by_name() -> None:
    made = [*volume(3), replace(header(9), sop="1.4.2", name="0"), replace(header(8), sop="", name="8")]
    first, again = without_duplicates(made)
    assert [h.sop for h in first] == ["1.4.1", "1.4.2", "1.4.3", ""]
    assert [h.name for h in again] == ["0"]


# --- order


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, TILTED, (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)])
def test_slices_are_in_order_along_the_normal(orientation: tuple[float, ...]) -> None:
    made = volume(9, orientation=orientation)
    for order in (made, made[::-1], random.Random(2).sample(made, 9)):
        assert numbers(stacks_of(order)) == [list(range(1, 10))]


HEADERS = st.lists(
    st.builds(
        header,
        st.integers(0, 30),
        z=st.sampled_from([0.0, 0.005, 5.0, 10.0, 10.3]),
        orientation=st.sampled_from([AXIAL, CORONAL, TILTED, None]),
        phase=st.tuples(*[st.sampled_from([None, 1.0, 2.0])] * 5),
        image_type=st.sampled_from([(), ("ORIGINAL", "PRIMARY"), ("DERIVED", "PRIMARY", "ADC"), ("LOCALIZER",)]),
        modality=st.sampled_from(["CT", "MR"]),
        sequence=st.sampled_from([None, "DWI"]),
    ),
    max_size=24,
)


@settings(max_examples=300, deadline=None)
@given(HEADERS, st.randoms(use_true_random=False))
def test_every_header_is_in_one_stack_and_no_position_twice(made: list[Header], rng: random.Random) -> None:
    made = [replace(each, sop=f"1.9.{i}") for i, each in enumerate(made)]
    stacks = stacks_of(made)
    assert sorted(h.sop for stack in stacks for h in stack.headers) == sorted(h.sop for h in made)
    assert [stack.number for stack in stacks] == list(range(len(stacks)))
    for stack in stacks:
        first = stack.headers[0]
        assert (stack.time_index is not None) == (stack.role == "dynamic")
        if first.orientation is not None:
            normal = np.cross(first.orientation[:3], first.orientation[3:])
            assert (np.diff([normal @ np.array(h.position) for h in stack.headers]) > 0.004).all()
            layout_of(stack.headers)
    shuffled = made[:]
    rng.shuffle(shuffled)
    assert stacks_of(shuffled) == stacks


# --- places


def test_an_even_stack() -> None:
    layout = layout_of(volume(10, gap_mm=1.25))
    assert layout.spacing_mm == pytest.approx(1.25)
    assert (layout.flags, layout.gaps_mm, layout.tilt_degrees) == ((), None, None)


def test_a_missing_slice_is_flagged_with_numbers() -> None:
    made = volume(10, gap_mm=1.25)
    layout = layout_of([*made[:4], *made[5:]])
    assert (layout.spacing_mm, layout.flags, layout.gaps_mm) == (None, ("gap_mm",), (1.25, 2.5))


def test_rounded_positions_are_even_and_half_a_slice_is_not() -> None:
    assert layout_of([header(n, z=round(0.625 * n, 1)) for n in range(9)]).flags == ("gap_mm",)
    assert layout_of([header(n, z=round(0.625 * n, 2)) for n in range(9)]).flags == ()


def test_one_slice_has_no_spacing() -> None:
    assert layout_of(volume(1)) == (None, (), None, None)


@pytest.mark.parametrize("count", [2, 3, 20])
def test_tilt_is_measured_also_of_two_slices(count: int) -> None:
    made = [header(n, z=5.0 * n, orientation=TILTED, tilt=-14.0) for n in range(count)]
    layout = layout_of(stacks_of(made)[0].headers)
    assert layout.flags == ("shear", "tilt")
    assert layout.tilt_degrees == pytest.approx(14, abs=0.01)
    assert layout.spacing_mm == pytest.approx(5 * math.cos(math.radians(14)))


def test_a_tag_that_claims_a_tilt_and_a_geometry_without_one() -> None:
    layout = layout_of(volume(5, tilt=12.0))
    assert (layout.flags, layout.tilt_degrees) == (("tilt",), None)
    assert layout.spacing_mm == pytest.approx(5)
    sheared = [header(n, position=(0.0, 1.0 * n, 5.0 * n)) for n in range(5)]
    layout = layout_of(sheared)
    assert layout.flags == ("shear", "tilt")
    assert layout.tilt_degrees == pytest.approx(math.degrees(math.atan(0.2)), abs=0.01)


def test_slices_that_jump_in_the_plane_are_no_even_stack() -> None:
    made = [header(n, position=(30.0 * (n % 2), 0.0, 5.0 * n)) for n in range(6)]
    layout = layout_of(made)
    assert layout.spacing_mm is None
    assert "gap_mm" in layout.flags
    assert layout.gaps_mm == (5.0, 5.0)


@pytest.mark.parametrize("values", [{"position": None}, {"orientation": None}, {"spacing": None}])
def test_without_a_place_there_are_no_millimetres(values: dict[str, Any]) -> None:
    assert "no_mm" in layout_of([header(n, **{"z": 5.0 * n, **values}) for n in range(4)]).flags


# --- size


def seconds(headers: list[Header]) -> tuple[float, list[Stack]]:
    start = time.process_time()
    stacks = stacks_of(headers)
    return time.process_time() - start, stacks


def test_twenty_thousand_slices_take_no_longer_than_their_number_allows() -> None:
    def series(count: int) -> list[Header]:
        made = [header(n, z=0.5 * (n // 4), phase=phase(temporal=float(n % 4)), modality="MR") for n in range(count)]
        random.Random(3).shuffle(made)
        return made

    few, _ = seconds(series(5_000))
    many, stacks = seconds(series(20_000))
    assert [len(stack.headers) for stack in stacks] == [5000] * 4
    assert many < 12 * few + 1


@pytest.mark.parametrize("what", ["every slice its own grid", "all at one position", "no numbers"])
def test_a_hostile_series_takes_no_longer_than_its_length_allows(what: str) -> None:
    rng = random.Random(4)

    def made(count: int) -> list[Header]:
        if what == "every slice its own grid":
            return [header(n, z=n, spacing=(rng.uniform(0.1, 9), rng.uniform(0.1, 9))) for n in range(count)]
        if what == "all at one position":
            return [header(n, phase=tuple(rng.random() for _ in range(5))) for n in range(count)]
        return [header(n, instance_number=None, sop="", position=None) for n in range(count)]

    short, _ = min((seconds(made(1000)) for _ in range(3)), key=lambda each: each[0])
    long, stacks = seconds(made(10_000))
    assert sum(len(stack.headers) for stack in stacks) == 10_000
    assert long < 30 * short + 1


def test_many_grids_are_kept_apart_and_exact_ones_together() -> None:
    made = [header(n, z=n, spacing=(1.0 + n % 100, 1.0)) for n in range(300)]
    assert len(stacks_of(made)) == 100 > MANY_GRIDS
    assert {len(stack.headers) for stack in stacks_of(made)} == {3}


# --- real series


def real(folder: Path) -> list[Header]:
    return [h for source in files_under([folder]) if isinstance(h := read_header(source), Header)]


def test_a_real_diffusion_series_with_its_adc_map_in_one_series(data: Path) -> None:
    """Same positions, told apart by Image Type as scanners send them when maps are kept in the series."""
    folders = sorted((data / "prostatex-0000-mr").glob("[78].*"))
    parts = [real(folder) for folder in folders]
    stacks = stacks_of([replace(h, series="one") for part in parts for h in part])
    assert [(len(stack.headers), stack.role) for stack in stacks] == [(19, "derived")] * 2
    by_sequence = [sorted({h.labels.sequence or "" for h in stack.headers}) for stack in stacks]
    assert sorted(by_sequence) == [["ADC"], ["DWI"]]
    assert all(layout_of(stack.headers).spacing_mm == pytest.approx(3.0) for stack in stacks)


@pytest.mark.parametrize(
    ("folder", "flags", "gaps", "tilt"),
    [
        ("failing/gantrytilting", ("shear", "tilt"), None, 14.0),
        ("failing/sliceincrement", ("gap_mm",), (5.0, 10.0), None),
        ("generic/anatomical", (), None, None),
    ],
)
def test_places_of_real_series(
    data: Path, folder: str, flags: tuple[str, ...], gaps: tuple[float, float] | None, tilt: float | None
) -> None:
    (stack,) = stacks_of(real(data / "dicom-edge-cases/dicom2nifti" / folder))
    layout = layout_of(stack.headers)
    assert (layout.flags, layout.gaps_mm, layout.tilt_degrees) == (flags, gaps, tilt)


def test_mixed_orientations_of_a_real_series(data: Path) -> None:
    stacks = stacks_of(real(data / "dicom-edge-cases/dicom2nifti/failing/sliceorientation"))
    assert [(len(stack.headers), stack.role) for stack in stacks] == [(2, "primary")] * 2
