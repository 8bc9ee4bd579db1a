"""Sizes in mm and HU of structures: by hand, on other grids of the same body, and what must not be measured."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg.records import Box, Mask, Sample
from rrg.store import write_array
from rrg.synth import measure
from rrg.synth.measure import Arrays
from rrg.synth.seen import Found
from rrg.synth.vqa import Options, ask_all
from tests.conftest import Rrg
from tests.synth_cases import COLUMNS, ROWS, a_mask, a_slice, group, rectangle, samples_of, stream


def ellipse(spacing: tuple[float, float], semi: tuple[float, float], turn: float) -> np.ndarray:
    """An ellipse of `semi` axes in mm, turned by `turn`, on a grid of `spacing` (rows, columns) of 140 mm."""
    rows, columns = (int(140 / each) for each in spacing)
    y = (np.arange(rows) - (rows - 1) / 2)[:, None] * spacing[0]
    x = (np.arange(columns) - (columns - 1) / 2)[None] * spacing[1]
    along, across = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    return np.asarray((along / semi[0]) ** 2 + (across / semi[1]) ** 2 <= 1)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(0.4, 3), st.floats(0.4, 3)),
    st.tuples(st.floats(15, 60), st.floats(10, 60)),
    st.floats(0, np.pi),
)
def test_a_body_has_the_same_size_on_every_grid(
    spacing: tuple[float, float], semi: tuple[float, float], turn: float
) -> None:
    """Anisotropic pixels included: the true size is within the tolerance, however the slice was sampled."""
    mask = ellipse(spacing, semi, turn)
    slice_ = a_slice("st", 0, rows=mask.shape[0], columns=mask.shape[1], spacing_mm=spacing)
    ys, xs = np.nonzero(mask)
    box = Box(x0=int(xs.min()), y0=int(ys.min()), x1=int(xs.max()) + 1, y1=int(ys.max()) + 1)
    wide = 2 * np.hypot(semi[0] * np.cos(turn), semi[1] * np.sin(turn))
    deep = 2 * np.hypot(semi[0] * np.sin(turn), semi[1] * np.cos(turn))
    extents = measure.extents_mm(slice_, box)
    for value, truth in (
        (extents[0], wide),
        (extents[1], deep),
        (measure.longest_diameter_mm(mask, spacing), 2 * max(semi)),
    ):
        quantity = measure.length("x", value, spacing)
        assert quantity.tolerance is not None
        assert abs(quantity.value[0] - truth) <= quantity.tolerance
    area = measure.area("area", measure.area_mm2(slice_, int(mask.sum())), spacing)
    assert area.tolerance is not None
    assert abs(area.value[0] - np.pi * semi[0] * semi[1]) <= area.tolerance


def test_forgetting_the_spacing_of_one_direction_is_far_off() -> None:
    """The control of the test above."""
    mask = ellipse((3.0, 0.5), (50, 20), 0)
    right = measure.longest_diameter_mm(mask, (3.0, 0.5))
    wrong = measure.longest_diameter_mm(mask, (3.0, 3.0))
    assert abs(right - 100) < 4
    assert wrong > 250


def test_by_hand() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1, 1] = True
    assert measure.longest_diameter_mm(mask, (3.0, 4.0)) == 5.0  # one pixel, corner to corner
    mask[1, 2:4] = True
    assert measure.longest_diameter_mm(mask, (3.0, 4.0)) == pytest.approx(np.hypot(3, 12))
    slice_ = a_slice("st", 0, spacing_mm=(2.0, 0.5))
    assert measure.extents_mm(slice_, Box(x0=0, y0=0, x1=10, y1=10)) == {0: 5.0, 1: 20.0}
    assert measure.area_mm2(slice_, 7) == 7.0
    coronal = a_slice("st", 0, spacing_mm=(2.0, 0.5), orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
    assert measure.extents_mm(coronal, Box(x0=0, y0=0, x1=10, y1=10)) == {0: 5.0, 2: 20.0}
    tipped = np.cos(np.deg2rad(12)), np.sin(np.deg2rad(12))
    oblique = a_slice("st", 0, orientation=(1.0, 0.0, 0.0, 0.0, *tipped))
    assert set(measure.extents_mm(oblique, Box(x0=0, y0=0, x1=10, y1=10))) == {0}, "12 degrees off are no axis"


@pytest.mark.parametrize(
    ("quantity", "german", "english"),
    [
        (measure.length("x", 33.51, (1, 1)), "34 mm", "34 mm"),
        (measure.length("x", 7.36, (1, 1)), "7,4 mm", "7.4 mm"),
        (measure.area("x", 640.4, (1, 1)), "640 mm²", "640 mm²"),
        (measure.area("x", 18432.0, (1, 1)), "184,3 cm²", "184.3 cm²"),
        (measure.density("x", -873.4), "-873 HU", "-873 HU"),
        (measure.density("x", -0.2), "0 HU", "0 HU"),
    ],
)
def test_numbers_in_words(quantity: measure.Quantity, german: str, english: str) -> None:
    assert (measure.in_words(quantity, "de"), measure.in_words(quantity, "en")) == (german, english)


def test_tolerances() -> None:
    assert measure.length("x", 100, (1, 1)).tolerance == 10
    assert measure.length("x", 8, (0.7, 0.5)).tolerance == 1.4
    assert measure.area("x", 100, (1, 1)).tolerance == 20
    assert measure.density("x", 57).tolerance == 10
    assert measure.density("x", -850).tolerance == 42.5


# Questions


def store_of(folder: Path, values: np.ndarray, layers: np.ndarray) -> Path:
    write_array(folder, "series/sts1", values[None])
    write_array(folder, "masks/sts1-masks", layers[None])
    return folder


def asked(store: Path | None, mask: Mask, *families: str, **fields: object) -> list[Sample]:
    slice_ = a_slice("st", 0, **fields)
    options = Options(slices="all", families=families, languages=("en",), pixels=store is not None)
    return samples_of(ask_all(options, group([slice_, mask]), store))


def test_hu_without_padding_and_of_the_right_layer(tmp_path: Path) -> None:
    """Two structures overlap in two layers; pixels outside of the scanned area do not count."""
    values = np.full((ROWS, COLUMNS), -50, np.int16)
    liver, lesion = rectangle(10, 10, 40, 40), rectangle(20, 20, 30, 30)
    values[liver], values[lesion] = 60, 10
    values[12:14, 10:40] = -2000
    layers = np.stack([np.where(liver, 5, 0), np.where(lesion, 200, 0)]).astype(np.uint8)
    mask = a_mask(a_slice("st", 0), {"liver": liver, "lesion": lesion})
    store = store_of(tmp_path, values, layers)
    expected = {"liver": (60 * (900 - 60 - 100) + 10 * 100) / 840, "lesion": 10.0}
    found: dict[str, float] = {}
    for seed in range(12):
        slice_ = a_slice("st", 0, padding=-2000.0)
        options = Options(slices="all", families=("density",), languages=("en",), pixels=True, seed=seed)
        for sample in samples_of(ask_all(options, group([slice_, mask]), store)):
            if sample.facets["source"] == "mask":
                found[sample.facets["label"]] = sample.measurements[0].value[0]
    assert found == pytest.approx(expected, abs=1e-3)
    assert not asked(store, mask, "density", unit="stored", modality="MR"), "no HU in MR"


def test_arrays_are_cut_to_the_box(tmp_path: Path) -> None:
    liver = rectangle(3, 5, 30, 20)
    store = store_of(tmp_path, np.zeros((ROWS, COLUMNS), np.int16), np.where(liver, 5, 0).astype(np.uint8)[None])
    slice_ = a_slice("st", 0)
    (label,) = a_mask(slice_, {"liver": liver}).labels
    found = Found("liver", 5, label.area_px, label.box, label.components, "masks/sts1-masks#0")
    mask = Arrays(store, slice_).mask(found)
    assert mask.shape == (15, 27)
    assert mask.all()


@pytest.mark.parametrize("family", ["extent", "area", "diameter"])
@pytest.mark.parametrize("cut", [(0, 10, 20, 30), (10, 0, 20, 30), (60, 10, COLUMNS, 30), (10, 40, 20, ROWS)])
def test_what_the_border_cuts_is_not_measured(tmp_path: Path, family: str, cut: tuple[int, int, int, int]) -> None:
    inside, at_border = rectangle(10, 10, 40, 40), rectangle(*cut)
    for drawn, expected in ((inside, 1), (at_border, 0)):
        layers = np.where(drawn, 5, 0).astype(np.uint8)[None]
        store = store_of(tmp_path, np.zeros((ROWS, COLUMNS), np.int16), layers)
        assert len(asked(store, a_mask(a_slice("st", 0), {"liver": drawn}), family)) == expected


@pytest.mark.parametrize("family", ["extent", "area", "diameter"])
def test_without_millimetres_nothing_is_measured(tmp_path: Path, family: str) -> None:
    drawn = rectangle(10, 10, 40, 40)
    store = store_of(tmp_path, np.zeros((ROWS, COLUMNS), np.int16), np.where(drawn, 5, 0).astype(np.uint8)[None])
    mask = a_mask(a_slice("st", 0), {"liver": drawn})
    assert not asked(store, mask, family, spacing_mm=None)
    assert not asked(store, mask, family, flags=("no_mm",))


def test_two_pieces_have_an_area_but_no_diameter(tmp_path: Path) -> None:
    drawn = rectangle(10, 10, 20, 20) | rectangle(40, 10, 50, 20)
    store = store_of(tmp_path, np.zeros((ROWS, COLUMNS), np.int16), np.where(drawn, 5, 0).astype(np.uint8)[None])
    mask = a_mask(a_slice("st", 0), {"liver": drawn})
    assert [sample.facets["question"] for sample in asked(store, mask, "extent", "area", "diameter")] == ["area"]


def test_the_command_says_what_it_leaves_out_without_a_store(rrg: Rrg, tmp_path: Path) -> None:
    records = [a_slice("st", 0), a_mask(a_slice("st", 0), {"liver": rectangle(10, 10, 40, 40)})]
    said = rrg("synth-vqa", stdin=stream(records)).stderr.decode()
    assert "no --store: no questions of the families denser, diameter, density" in said
    assert b"needs --store" in rrg("synth-vqa", "--families", "density", stdin=stream(records), code=2).stderr
    assert b"no such folder" in rrg("synth-vqa", "--store", tmp_path / "x", stdin=stream(records), code=2).stderr
    assert b"--families" in rrg("synth-vqa", "--families", "colour", stdin=stream(records), code=2).stderr
    (tmp_path / "empty").mkdir()
    failed = rrg(
        *("synth-vqa", "--store", tmp_path / "empty", "--families", "density"), stdin=stream(records), code=None
    )
    assert failed.returncode in (1, 3)
    assert b"give the --store that the records were made with" in failed.stdout + failed.stderr
