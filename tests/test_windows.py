"""The picture path: values by hand, the pixel map both ways, and what must not depend on padding or size."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rrg.records import Box
from rrg.windows import CT, PixelMap, picture, to_uint8, windowed


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
def test_every_preset_grows_with_hu_and_ends_at_its_window(preset: str) -> None:
    hu = np.arange(-1200, 3000, dtype=np.int16).reshape(1, -1)
    channels = windowed(hu, "HU", preset)[0].astype(int)  # type: ignore[arg-type]
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
def test_any_slice_gives_a_picture(pixels: np.ndarray, unit: str) -> None:  # type: ignore[type-arg]
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
