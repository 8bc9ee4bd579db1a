"""A volume that is too large for the memory costs itself only, and is refused before work where that can be known."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rrg import totalsegmentator
from rrg.errors import RecordError
from rrg.totalsegmentator_memory import GB, check_memory, least_bytes, physical_bytes
from rrg.totalsegmentator_tasks import Work, own_grid_mm
from tests.tiny_totalsegmentator import make_weights

FAST = Work("total", fast=True)
CUBE = np.hstack([np.diag([3.0, 3.0, 3.0]), np.zeros((3, 1))])
AFFINE = np.vstack([CUBE, [0, 0, 0, 1]])
"""(slice, row, column) in steps of 3 mm, the grid of the fast task."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield make_weights(tmp_path_factory.mktemp("weights"), FAST, Work("total"))
    totalsegmentator._stop()


def test_the_bound_is_the_scores_of_the_widest_network_on_the_grid_of_the_task(weights: Path) -> None:
    volume = np.ones((30, 40, 50), np.int16)
    fast = least_bytes(volume, AFFINE, FAST, weights)
    assert fast == 30 * 40 * 50 * 118 * 2 // 3  # 117 classes and background
    finer = AFFINE @ np.diag([0.5, 1, 1, 1])
    assert least_bytes(volume, finer, FAST, weights) == fast // 2
    parts = least_bytes(volume, AFFINE, Work("total"), weights)  # eight times the voxels, of at most 26 ribs' classes
    assert parts == 8 * 30 * 40 * 50 * 27 * 2 // 3
    volume[:15] = 0
    assert least_bytes(volume, AFFINE, FAST, weights) == fast // 2  # nnU-Net cuts off what is 0
    assert least_bytes(0 * volume, AFFINE, FAST, weights) == 0


def test_no_bound_where_a_rough_pass_chooses_the_region() -> None:
    assert own_grid_mm(FAST) == 3.0
    assert own_grid_mm(Work("total")) == 1.5
    assert own_grid_mm(Work("total", roi_subset=("liver",))) is None
    assert own_grid_mm(Work("liver_lesions")) is None


def test_a_volume_that_can_not_fit_is_refused_before_work(weights: Path) -> None:
    volume = np.ones((30, 40, 50), np.int16)
    needed = least_bytes(volume, AFFINE, FAST, weights)
    check_memory(volume, AFFINE, FAST, weights, limit_gb=1.01 * needed / GB)
    check_memory(volume, AFFINE, FAST, weights, limit_gb=None)
    with pytest.raises(RecordError, match=r"at least 0.0047 GB for 30x40x50 voxels, --memory-limit is 0.0047") as small:
        check_memory(volume, AFFINE, FAST, weights, limit_gb=0.99 * needed / GB)
    assert small.value.code == "E_MEMORY"
    huge = np.broadcast_to(np.int16(1), (30, 40, 50))
    metres = AFFINE @ np.diag([*[(4 * physical_bytes() / needed) ** (1 / 3)] * 3, 1])
    with pytest.raises(RecordError, match="this machine has"):
        totalsegmentator.predict(huge, metres, FAST, weights, device="cpu", timeout_s=None)


def test_a_process_at_its_limit_costs_its_volume_only(weights: Path) -> None:
    """Scores of 192 x 192 x 192 voxels are 1.7 GB; the process itself, with PyTorch, has 1.2 GB."""

    def asked(side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        volume = np.full((side, side, side), 40, np.int16)
        return totalsegmentator.predict(volume, AFFINE, FAST, weights, device="cpu", timeout_s=300, memory_gb=2.4)

    small = asked(24)
    with pytest.raises(RecordError, match="ran out of memory") as large:
        asked(192)
    assert large.value.code == "E_MEMORY"
    assert np.array_equal(asked(24), small)
