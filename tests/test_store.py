"""The array store: standard Zarr, whole or absent, same bytes, hostile references refused."""

import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rrg import store
from rrg.errors import RecordError, RrgError


def values(seed: int = 0, shape: tuple[int, ...] = (5, 16, 12), dtype: str = "int16") -> NDArray[np.generic]:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("dtype", store.DTYPES)
@pytest.mark.parametrize("shape", [(1, 3, 4), (5, 16, 12), (3, 2, 8, 8), (4, 7)])
def test_what_is_written_is_read_back_by_us_and_by_zarr(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    import zarr

    wanted = values(1, shape, dtype)
    wanted[-1] = 0  # an empty chunk
    store.write_array(tmp_path, "series/a", wanted)
    np.testing.assert_array_equal(store.read_volume(tmp_path, "series/a"), wanted)
    for index in range(len(wanted)):
        got = store.read(tmp_path, f"series/a#{index}")
        np.testing.assert_array_equal(got, wanted[index])
        assert got.dtype == wanted.dtype
        assert got.flags.writeable
    oracle = zarr.open_array(store=tmp_path / "series/a", mode="r")
    np.testing.assert_array_equal(np.asarray(oracle[...]), wanted)
    assert oracle.shards == shape
    assert oracle.chunks == (1, *shape[1:])


def test_float_values_and_negative_ones_survive(tmp_path: Path) -> None:
    wanted = np.array([[[-1.5, 3e38], [0, 1e-30]]], np.float32)
    store.write_array(tmp_path, "series/a", wanted)
    np.testing.assert_array_equal(store.read(tmp_path, "series/a#0"), wanted[0])
    store.write_array(tmp_path, "series/b", np.array([[[-32768, 32767]]], np.int16))
    assert store.read(tmp_path, "series/b#0").tolist() == [[-32768, 32767]]


def test_big_endian_and_strided_input_is_stored_by_value(tmp_path: Path) -> None:
    plain = values(3)
    store.write_array(tmp_path, "series/a", plain)
    store.write_array(tmp_path, "series/b", plain.astype(">i2"))
    store.write_array(tmp_path, "series/c", np.asfortranarray(plain))
    assert tree(tmp_path / "series/a") == tree(tmp_path / "series/b") == tree(tmp_path / "series/c")


def test_an_array_of_another_layout_is_read_through_zarr(tmp_path: Path) -> None:
    import zarr

    wanted = values(4)
    other = zarr.create_array(store=tmp_path / "series/a", shape=wanted.shape, dtype="int16", chunks=(2, 8, 8))
    other[...] = wanted
    np.testing.assert_array_equal(store.read(tmp_path, "series/a#3"), wanted[3])
    np.testing.assert_array_equal(store.read_volume(tmp_path, "series/a"), wanted)


def test_same_values_same_bytes_and_no_litter(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        store.write_array(tmp_path / folder, "series/a", values())
    store.write_array(tmp_path / "x", "series/a", values())
    assert tree(tmp_path / "x") == tree(tmp_path / "y")
    assert sorted(tree(tmp_path / "x")) == ["series/a/c/0/0/0", "series/a/zarr.json"]


def test_other_values_replace_and_are_seen(tmp_path: Path) -> None:
    store.write_array(tmp_path, "series/a", values(1))
    np.testing.assert_array_equal(store.read(tmp_path, "series/a#2"), values(1)[2])
    store.write_array(tmp_path, "series/a", values(2))
    np.testing.assert_array_equal(store.read(tmp_path, "series/a#2"), values(2)[2])
    assert len(tree(tmp_path)) == 2


HOSTILE = ["", "#", "a#1", "series/a", "series/a#", "series/a#-1", "series/a#1.0", "series/a# 1", "series/a#1\n"]
HOSTILE += ["../x#1", "series/../x#1", "/etc/passwd#0", "series//a#1", "series/.#1", "series/a\0b#1", "series/a#²"]
HOSTILE += ["series/a#٣", "series/.hidden#1", "series\\a#1", "series/a#01", "series/ä#1", "series/a#99999999999"]
HOSTILE += ["series/" + "a" * 300 + "#1", "C:/x#0#", "series/a/#1", "~/x#1", "series/$(id)#1", "series/a b#1"]


@pytest.mark.parametrize("ref", HOSTILE)
def test_hostile_references_are_refused(tmp_path: Path, ref: str) -> None:
    for attempt in (lambda: store.split_reference(ref), lambda: store.read(tmp_path, ref)):
        with pytest.raises(RecordError) as caught:
            attempt()
        assert caught.value.code == "E_PATH"
        assert "\n" not in caught.value.message


@given(st.text(max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_reference_is_refused_or_stays_inside(ref: str) -> None:
    try:
        array, index = store.split_reference(ref)
    except RecordError:
        return
    assert not Path(array).is_absolute()
    assert ".." not in Path(array).parts
    assert store.reference(array, index) == ref


@pytest.mark.parametrize("name", ["../a", "a", "/a/b", "series/..", "series/a#1"])
def test_hostile_array_names_are_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecordError):
        store.write_array(tmp_path / "s", name, values())
    assert not list(tmp_path.rglob("*.json"))


def test_missing_arrays_and_indices_say_what_to_do(tmp_path: Path) -> None:
    store.write_array(tmp_path, "series/a", values())
    with pytest.raises(RecordError, match="holds 5 slices"):
        store.read(tmp_path, "series/a#5")
    with pytest.raises(RecordError, match="--store"):
        store.read(tmp_path, "series/b#0")


@pytest.mark.parametrize("cut", [1, 3, 60, 10_000])
def test_a_damaged_shard_is_an_error_not_wrong_pixels(tmp_path: Path, cut: int) -> None:
    store.write_array(tmp_path, "series/a", values())
    shard = tmp_path / "series/a/c/0/0/0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-cut])
    with pytest.raises(RecordError, match="make"):
        store.read(tmp_path, "series/a#0")
    flipped = bytearray(whole)
    flipped[-cut % len(whole)] ^= 0xFF
    shard.write_bytes(flipped)
    if cut < 80:  # inside the index, which has a checksum
        with pytest.raises(RecordError, match="make"):
            store.read(tmp_path, "series/a#0")


def test_a_read_only_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RrgError, match="E_IO"):
        store.write_array(tmp_path / "file", "series/a", values())


@pytest.mark.parametrize("bad", [np.zeros((0, 2, 2), np.int16), np.zeros((2, 2, 2), np.float64), np.zeros(3, np.int16)])
def test_what_can_not_be_stored_is_refused(tmp_path: Path, bad: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="expected"):
        store.write_array(tmp_path, "series/a", bad)


WRITER = """
import sys, numpy as np
from pathlib import Path
from rrg import store
big = np.random.default_rng(int(sys.argv[2])).integers(0, 4000, (24, 128, 128)).astype("int16")
print("ready", flush=True)
for _ in range(int(sys.argv[3])):
    store.write_array(Path(sys.argv[1]), "series/a", big)
"""


def test_a_killed_writer_leaves_nothing_or_everything_and_its_litter_goes(tmp_path: Path) -> None:
    whole = np.random.default_rng(7).integers(0, 4000, (24, 128, 128)).astype("int16")
    store.write_array(tmp_path / "whole", "series/a", whole)
    rng, killed = np.random.default_rng(0), 0
    for turn in range(12):
        folder = tmp_path / str(turn)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), "7", "1"], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(float(rng.uniform(0, 0.06)))
        writer.send_signal(signal.SIGKILL)
        killed += writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        if (folder / "series/a").exists():
            np.testing.assert_array_equal(store.read_volume(folder, "series/a"), whole)
        store.write_array(folder, "series/a", whole)
        assert tree(folder) == tree(tmp_path / "whole")
        assert [path.name for path in (folder / "series").iterdir()] == ["a"]
    assert killed > 0


def test_two_writers_of_different_values_never_tear(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(seed), "15"], stdout=subprocess.DEVNULL)
        for seed in (1, 2)
    ]
    known = [np.random.default_rng(seed).integers(0, 4000, (24, 128, 128)).astype("int16") for seed in (1, 2)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        store._open.cache_clear()
        if (tmp_path / "series/a").exists():
            got = store.read_volume(tmp_path, "series/a")
            assert any(np.array_equal(got, each) for each in known)
            seen += 1
    assert [writer.wait() for writer in writers] == [0, 0]
    assert seen > 0
    assert [path.name for path in (tmp_path / "series").iterdir()] == ["a"]


def _read_hash(arguments: tuple[str, int]) -> str:
    folder, index = arguments
    return store.sha256_pixels(store.read(Path(folder), f"series/a#{index}"))


def test_processes_read_the_same_pixels(tmp_path: Path) -> None:
    wanted = values(5, (8, 32, 32))
    store.write_array(tmp_path, "series/a", wanted)
    store.read(tmp_path, "series/a#0")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        hashes = pool.map(_read_hash, [(str(tmp_path), index) for index in range(8)])
    assert hashes == [store.sha256_pixels(each) for each in wanted]


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    for number in range(store.OPEN_ARRAYS + 30):
        store.write_array(tmp_path, f"series/a{number}", values(number, (1, 4, 4)))
    store._open.cache_clear()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(store.OPEN_ARRAYS + 30):
        store.read(tmp_path, f"series/a{number}#0")
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= store.OPEN_ARRAYS


def test_single_slices_read_faster_than_through_zarr(tmp_path: Path) -> None:
    """Interleaved, so that a busy machine slows both. The factor is small, to hold anywhere."""
    import zarr

    wanted = values(6, (40, 128, 128))
    store.write_array(tmp_path, "series/a", wanted)
    peer = zarr.open_array(store=tmp_path / "series/a", mode="r")
    order = np.random.default_rng(0).permutation(40)
    ratios = []
    for _ in range(5):
        start = time.perf_counter()
        for index in order:
            store.read(tmp_path, f"series/a#{index}")
        middle = time.perf_counter()
        for index in order:
            np.asarray(peer[int(index)])
        ratios.append((time.perf_counter() - middle) / (middle - start))
    assert sorted(ratios)[2] > 2


def test_hash_does_not_depend_on_layout() -> None:
    plain = np.arange(12, dtype=np.int16).reshape(3, 4)
    assert store.sha256_pixels(plain) == store.sha256_pixels(plain.astype(">i2"))
    assert store.sha256_pixels(plain) == store.sha256_pixels(np.asfortranarray(plain))
    assert store.sha256_pixels(plain) != store.sha256_pixels(plain[::-1])
