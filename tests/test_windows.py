"""The picture path: values by hand, the pixel map both ways, and what must not depend on padding or size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from rrg.records import Box, ImageRef, Slice
from rrg.windows import (
    CT,
    PixelMap,
    Preset,
    Unit,
    Window,
    header_window,
    look,
    picture,
    picture_of,
    scaled_between,
    shown_by,
    to_uint8,
    voi,
    windowed,
)


def pixel(hu: float, preset: str = "radgrounder", dtype: str = "int16") -> list[int]:
    return windowed(np.array([[hu]], dtype), "HU", preset)[0, 0].tolist()  # type: ignore[arg-type, no-any-return]


@pytest.mark.parametrize(
    ("hu", "lung", "soft", "brain"),
    [(-1000, -0.800, -1, -1), (0, 0.089, -0.229, -1), (40, 0.124, 0.0, 0.0), (3000, 1, 1, 1)],
)
def test_radgrounder_windows_by_hand(hu: int, lung: float, soft: float, brain: float) -> None:
    """(width, level) 2250/-100, 350/40, 80/40, each to [-1, 1]; here to 0..255."""
    expected = [(value + 1) / 2 * 255 for value in (lung, soft, brain)]
    np.testing.assert_allclose(pixel(hu), expected, atol=0.51)


def test_radgrounder_bytes() -> None:
    assert pixel(0) == [139, 98, 0]  # (0 + 1225) / 2250, (0 + 135) / 350, (0 - 0) / 80
    assert pixel(40) == [143, 128, 128]
    assert pixel(-1000) == [26, 0, 0]


def test_padding_is_air() -> None:
    assert pixel(-2000) == pixel(-1000) == pixel(-32768) == pixel(-1000, dtype="float32")
    assert pixel(-2000, "lung") == pixel(-1000, "lung")


@pytest.mark.parametrize("preset", sorted(CT))
def test_every_preset_grows_with_hu_and_ends_at_its_window(preset: Preset) -> None:
    hu = np.arange(-1200, 3000, dtype=np.int16).reshape(1, -1)
    channels = windowed(hu, "HU", preset)[0].astype(int)
    assert (np.diff(channels, axis=0) >= 0).all()
    for channel, window in enumerate(CT[preset]):
        top = int(window.center + window.width / 2)
        assert channels[top + 1200, channel] == 255
        assert channels[top + 1200 - max(3, int(window.width / 100)), channel] < 255


def test_unsigned_hu_do_not_wrap() -> None:
    assert pixel(40, dtype="uint16") == pixel(40)


def test_mr_is_scaled_between_percentiles_and_grey() -> None:
    values = np.arange(1000, dtype=np.int16).reshape(20, 50)
    values[0, 0] = 32767  # one hot pixel must not darken the rest
    shown = windowed(values, "stored", "radgrounder")
    assert (shown[..., 0] == shown[..., 1]).all()
    assert (shown[..., 0] == shown[..., 2]).all()
    assert shown[10, 0, 0] == pytest.approx(255 * (500 - 5.0) / 990, abs=1.5)
    assert (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize("value", [0, -5, 700])
def test_a_constant_slice_is_black_not_nan(value: int) -> None:
    assert not windowed(np.full((4, 4), value, np.int16), "stored", "soft").any()


def test_monochrome1_is_turned_over_after_the_window_but_hu_are_not() -> None:
    values = np.arange(100, dtype=np.uint16).reshape(10, 10)
    plain, turned = (picture(values, "stored", invert=flag)[0] for flag in (False, True))
    np.testing.assert_array_equal(turned, 255 - plain)
    np.testing.assert_array_equal(picture(values, "HU", invert=True)[0], picture(values, "HU")[0])


def test_colour_pictures_pass() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(picture(rgb, "rgb")[0], rgb)


@settings(deadline=None)
@given(arrays(np.int16, st.tuples(st.integers(1, 20), st.integers(1, 20))), st.sampled_from(["HU", "stored"]))
def test_any_slice_gives_a_picture(pixels: np.ndarray, unit: str) -> None:
    shown, _ = picture(pixels, unit, "radgrounder", 16)  # type: ignore[arg-type]
    assert shown.shape == (16, 16, 3)
    assert shown.dtype == np.uint8
    assert shown.flags.writeable  # torch.from_numpy warns otherwise


sides = st.integers(8, 512)


@settings(deadline=None)
@given(sides, sides, sides, st.tuples(*[st.floats(0, 500)] * 4))
def test_boxes_go_to_the_picture_and_back(
    rows: int, columns: int, side: int, corners: tuple[float, float, float, float]
) -> None:
    x0, y0, width, height = corners
    box = Box(x0=x0, y0=y0, x1=x0 + width + 0.5, y1=y0 + height + 0.5)
    _, pixel_map = picture(np.zeros((rows, columns), np.int16), "HU", "soft", side)
    back = pixel_map.to_slice(pixel_map.to_picture(box))
    np.testing.assert_allclose(back.xyxy, box.xyxy, atol=1e-6)
    whole = pixel_map.to_picture(Box(x0=0, y0=0, x1=columns, y1=rows))
    np.testing.assert_allclose(whole.xyxy, (0, 0, side, side), atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(128, 128), (100, 160), (60, 40)])
def test_a_bright_block_is_where_the_map_says(rows: int, columns: int) -> None:
    values = np.full((rows, columns), -1000, np.int16)
    box = Box(x0=columns // 4, y0=rows // 2, x1=columns // 2, y1=rows - rows // 8)
    values[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = 1000
    shown, pixel_map = picture(values, "HU", "soft", 96)
    bright = np.argwhere(shown[..., 0] > 127)
    (y0, x0), (y1, x1) = bright.min(axis=0), bright.max(axis=0) + 1
    np.testing.assert_allclose((x0, y0, x1, y1), pixel_map.to_picture(box).xyxy, atol=1)


def test_rounding_is_to_the_nearest() -> None:
    assert to_uint8(np.array([0, 1, 2, 3]), 0, 255).tolist() == [0, 1, 2, 3]
    assert to_uint8(np.array([0.0, 0.4, 0.6, 300, -5]), 0, 255).tolist() == [0, 0, 1, 255, 0]


def test_without_a_side_the_slice_keeps_its_size() -> None:
    shown, pixel_map = picture(np.zeros((4, 9), np.int16), "HU")
    assert shown.shape == (4, 9, 3)
    assert pixel_map == PixelMap(1, 1)


def test_a_real_ct_shows_lung_in_red_and_bone_in_all(data: Path) -> None:
    from rrg.dicom import Header, read_headers
    from rrg.files import files_under
    from rrg.pixels import read_volume

    found = read_headers(list(files_under([data / "lidc-idri-0314-chest-ct" / "full_5mm"])))
    middle = [header for header in found if isinstance(header, Header)][len(found) // 2]
    values = read_volume([middle]).values[0]
    shown = windowed(values, "HU", "radgrounder").astype(int)
    lung, bone = (values > -900) & (values < -700), values > 500
    assert lung.sum() > 5000
    assert bone.sum() > 300
    assert (shown[lung] == [[0, 0, 0]]).all(axis=0).tolist() == [False, True, True]
    assert (shown[bone][:, 1:] == 255).all()
    assert shown[bone][:, 0].min() > shown[lung][:, 0].max()


# --- MedGemma


def test_medgemma_is_what_its_notebook_computes() -> None:
    """clip to (-1024, 1024), (-135, 215), (0, 80); (x - low) / (high - low) * 255 in float32; round."""
    hu = np.arange(-3000, 4000, dtype=np.int16).reshape(70, 100)
    shown = windowed(hu, "HU", "medgemma")
    for channel, (low, high) in enumerate([(-1024, 1024), (-135, 215), (0, 80)]):
        part = (np.clip(hu, low, high).astype(np.float32) - np.float32(low)) / np.float32(high - low) * np.float32(255)
        np.testing.assert_allclose(shown[..., channel].astype(int), np.round(part), atol=1)
        assert (shown[..., channel] == np.round(part)).mean() > 0.998
    assert pixel(-1024, "medgemma") == [0, 0, 0]
    assert pixel(-1000, "medgemma")[0] == 3  # no clip at -1000, unlike RadGrounder


# --- the window of the header


def a_slice(pixels: NDArray[Any], **fields: Any) -> Slice:
    base: dict[str, Any] = {
        "id": "a", "patient": "p", "study": "s", "series": "e", "index": 0, "count": 1, "pixels": "series/e#0",
        "sha256": "0", "rows": pixels.shape[0], "columns": pixels.shape[1], "dtype": pixels.dtype.name, "unit": "HU",
        "modality": "CT",
    }  # fmt: skip
    return Slice(**{**base, **fields})


def by_pydicom(values: NDArray[Any], window: Window, function: str, photometric: str = "MONOCHROME2") -> NDArray[Any]:
    """Grey values 0..255 of the reference implementation."""
    asked = Dataset()
    asked.PhotometricInterpretation, asked.BitsStored, asked.PixelRepresentation = photometric, 8, 0
    asked.WindowCenter, asked.WindowWidth, asked.VOILUTFunction = window.center, window.width, function
    with np.errstate(over="ignore"):  # of its sigmoid
        return apply_windowing(values, asked)


FUNCTIONS = ["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("window", [(40, 400), (-600, 1500), (40, 1), (40.5, 1), (0, 2), (-1000.25, 3.5), (50, 80)])
def test_header_windows_equal_pydicom(function: str, window: tuple[float, float]) -> None:
    hu = np.arange(-1500, 3000, dtype=np.int16).reshape(45, 100)
    slice_ = a_slice(hu, window=window, window_function=function)
    shown, _ = picture_of(slice_, hu, "header")
    np.testing.assert_allclose(shown[..., 0].astype(float), by_pydicom(hu, Window(*window), function), atol=0.51)
    assert (shown == shown[..., :1]).all()


@settings(deadline=None)
@given(
    arrays(np.float32, (4, 5), elements=st.floats(-5000, 5000, width=32)),
    st.floats(-3000, 3000),
    st.floats(1.01, 6000),
    st.sampled_from(FUNCTIONS),
)
def test_any_header_window_equals_pydicom(values: NDArray[Any], center: float, width: float, function: str) -> None:
    window = Window(round(center, 3), round(width, 3))
    np.testing.assert_allclose(
        voi(values, window, function).astype(float), by_pydicom(values, window, function), atol=1
    )


def test_a_width_of_one_is_a_threshold_and_never_a_division_by_zero() -> None:
    values = np.array([[39, 40, 41]], np.int16)
    assert voi(values, Window(40, 1)).tolist() == [[0, 255, 255]]  # x > c - 0.5
    assert voi(values, Window(40, 1), "LINEAR_EXACT").tolist() == [[0, 128, 255]]
    assert voi(values, Window(40, 1e-300), "LINEAR_EXACT").tolist() == [[0, 0, 255]]
    assert voi(values, Window(40, 1e-300), "SIGMOID").tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    ("window", "function", "usable"),
    [
        (None, None, False),
        ((40, 0), None, False),
        ((40, 0.5), "LINEAR", False),
        ((40, -5), "SIGMOID", False),
        ((float("nan"), 5), None, False),
        ((40, float("inf")), None, False),
        ((40, 0.5), "SIGMOID", True),
        ((40, 1), None, True),
    ],
)
def test_a_header_without_a_usable_window_has_a_named_stand_in(
    window: tuple[float, float] | None, function: str | None, usable: bool
) -> None:
    hu = np.arange(-500, 500, dtype=np.int16).reshape(20, 50)
    slice_ = a_slice(hu, window=window, window_function=function)
    assert (header_window(slice_) is not None) is usable
    assert shown_by(slice_, "header") == ("header" if usable else "soft")
    if not usable:
        np.testing.assert_array_equal(picture_of(slice_, hu, "header")[0], picture(hu, "HU", "soft")[0])
    magnetic = a_slice(hu, window=window, window_function=function, unit="stored", modality="MR")
    assert shown_by(magnetic, "header", "minmax") == ("header" if usable else "minmax")
    assert shown_by(magnetic, "lung") == "percentile"
    assert shown_by(slice_, "lung") == "lung"


def test_monochrome1_is_turned_over_after_the_header_window() -> None:
    values = np.arange(200, dtype=np.uint16).reshape(10, 20)
    for function in FUNCTIONS:
        fields: dict[str, Any] = {"unit": "stored", "window": (90, 60), "window_function": function}
        plain, _ = picture_of(a_slice(values, **fields), values, "header")
        turned, _ = picture_of(a_slice(values, flags=("monochrome1",), **fields), values, "header")
        np.testing.assert_array_equal(turned, 255 - plain)
        expected = 255 - by_pydicom(values, Window(90, 60), function, "MONOCHROME1")
        np.testing.assert_allclose(turned[..., 0].astype(float), expected, atol=0.51)


def test_a_slice_record_gives_the_picture_of_its_values() -> None:
    values = np.random.default_rng(0).integers(0, 900, (12, 9)).astype(np.int16)
    units: tuple[Unit, ...] = ("HU", "stored")
    for unit in units:
        for preset in CT:
            ours, theirs = picture_of(a_slice(values, unit=unit), values, preset, 16), picture(values, unit, preset, 16)
            np.testing.assert_array_equal(ours[0], theirs[0])
            assert ours[1] == theirs[1]


# --- what is not CT; padding; numbers that are none


def test_minmax_is_radgrounders_scaling_of_mr() -> None:
    """Per-image min-max to [-1, 1], copied to three channels; here through bytes: half a grey level."""
    values = np.random.default_rng(1).normal(300, 200, (40, 30)).astype(np.float32)
    shown = windowed(values, "stored", "radgrounder", scale="minmax")
    normalised = (shown / 255 - 0.5) / 0.5
    span = values.max() - values.min()
    expected = 2 * (values - values.min()) / span - 1
    np.testing.assert_allclose(normalised, np.stack([expected] * 3, -1), atol=1.01 / 255)
    assert (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize("scale", ["percentile", "minmax"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_padding_does_not_count_and_is_black(scale: Any, dtype: Any) -> None:
    values = np.random.default_rng(2).integers(100, 400, (30, 30)).astype(dtype)
    padded = np.full((30, 60), -2000, dtype)
    padded[:, :30] = values
    slice_ = a_slice(padded, unit="stored", modality="MR", padding=-2000.0)
    shown, _ = picture_of(slice_, padded, scale=scale)
    np.testing.assert_array_equal(shown[:, :30], picture(values, "stored", scale=scale)[0])
    assert not shown[:, 30:].any()
    turned, _ = picture_of(a_slice(padded, unit="stored", padding=-2000.0, flags=("monochrome1",)), padded, scale=scale)
    np.testing.assert_array_equal(turned[:, :30], 255 - shown[:, :30])
    assert not turned[:, 30:].any()
    only, _ = picture_of(slice_, np.full((3, 3), -2000, dtype), scale=scale)
    assert not only.any()


def test_padding_of_ct_is_air_whatever_its_value() -> None:
    hu = np.array([[3071, -1000, 40]], np.int16)
    slice_ = a_slice(hu, padding=3071.0, window=(0, 2))
    shown, _ = picture_of(slice_, hu)
    assert shown[0, 0].tolist() == shown[0, 1].tolist() == pixel(-1000)
    assert shown[0, 2].tolist() == pixel(40)
    assert picture_of(slice_, hu, "medgemma")[0][0, 0].tolist() == pixel(-1000, "medgemma")
    assert picture_of(slice_, hu, "header")[0][0].tolist() == [[0, 0, 0], [0, 0, 0], [255, 255, 255]]


numbers = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(deadline=None)
@given(
    arrays(np.float32, (3, 4), elements=numbers),
    st.sampled_from(["HU", "stored"]),
    st.sampled_from([*CT, "header"]),
    st.sampled_from(["percentile", "minmax"]),
    st.one_of(st.none(), st.floats(width=32, allow_nan=False)),
    st.sampled_from(FUNCTIONS),
    st.booleans(),
)
def test_any_float_gives_a_picture(
    values: NDArray[Any], unit: Any, preset: Any, scale: Any, padding: float | None, function: str, inverted: bool
) -> None:
    """No warning (they are errors here), no division by zero, NaN black."""
    flags = ("monochrome1",) if inverted else ()
    slice_ = a_slice(values, unit=unit, padding=padding, window=(0, 1), window_function=function, flags=flags)
    shown, _ = picture_of(slice_, values, preset, scale=scale)
    assert shown.dtype == np.uint8
    assert not shown[np.isnan(values)].any() or (unit == "HU" and preset != "header")
    low, high = scaled_between(values, scale, padding)
    assert np.isfinite([low, high]).all()
    assert low <= high


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_does_not_change_the_others(bad: float) -> None:
    values = np.arange(100, dtype=np.float32).reshape(10, 10)
    spoiled = values.copy()
    spoiled[9, 9] = bad
    clean = picture(np.append(values.ravel()[:99], 98).astype(np.float32).reshape(10, 10), "stored", scale="minmax")[0]
    shown = picture(spoiled, "stored", scale="minmax")[0]
    np.testing.assert_array_equal(shown.reshape(100, 3)[:99], clean.reshape(100, 3)[:99])
    assert shown[9, 9].tolist() == [255 if bad == np.inf else 0] * 3


@pytest.mark.parametrize("preset", [*CT, "header"])
@pytest.mark.parametrize("scale", ["percentile", "minmax"])
def test_a_constant_slice_never_divides_by_zero(preset: Any, scale: Any) -> None:
    for value in (0, -5, 700):
        for dtype in (np.int16, np.float32):
            values = np.full((4, 4), value, dtype)
            slice_ = a_slice(values, unit="stored", modality="MR")
            assert not picture_of(slice_, values, preset, scale=scale)[0].any()


def test_an_image_with_its_own_window_is_shown_in_it() -> None:
    values = np.linspace(-1200, 1500, 16).astype(np.int16).reshape(4, 4)
    image = ImageRef(id="i0", ref="series/s#0", rows=4, columns=4, unit="HU", preset="bone")
    shown = look(image, values, "lung", None)[0]
    by_hand = np.clip(np.rint((values.astype(float) - (400 - 900)) * 255 / 1800), 0, 255)
    np.testing.assert_array_equal(shown, np.repeat(by_hand[..., None], 3, axis=-1))
    without = ImageRef(id="i0", ref="series/s#0", rows=4, columns=4, unit="HU")
    assert not np.array_equal(look(without, values, "lung", None)[0], shown)
    with pytest.raises(ValueError, match="windows are radgrounder"):
        look(ImageRef(id="i0", ref="series/s#0", rows=4, columns=4, unit="HU", preset="nope"), values, "lung", None)
