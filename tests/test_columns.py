"""Columns of numbers come back as they were, however much of them lies on the disk."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from rrg.columns import WAITING, Column, Columns


@pytest.mark.parametrize("count", [0, 1, WAITING - 1, WAITING, 3 * WAITING + 5])
@pytest.mark.parametrize("code", ["b", "i", "I", "q", "Q", "f"])
def test_numbers_come_back(code: str, count: int, tmp_path: Path) -> None:
    column, numbers = Column(code, tmp_path), np.arange(count).astype(code)
    for number in numbers.tolist():
        column.append(number)
        column.spill()
    assert len(column) == count
    assert (column.read() == numbers).all()
    assert (column.read() == numbers).all(), "once more"
    column.extend(numbers[:7])
    assert column.taken().tolist() == [*numbers.tolist(), *numbers[:7].tolist()]
    assert (len(column), column.taken().tolist()) == (0, [])
    column.extend(numbers)
    column.spill()
    assert (column.taken() == numbers).all()
    assert not list(tmp_path.iterdir()), "the file has no name"


def test_what_is_on_the_disk_is_not_in_memory(tmp_path: Path) -> None:
    with Columns(tmp_path) as columns:
        many, few = columns.new("Q"), columns.new("Q")
        many.extend(np.arange(WAITING, dtype=np.uint64))
        few.append(7)
        columns.spill()
        assert (len(many._new), len(many), len(few._new)) == (0, WAITING, 1)
    assert (len(many), len(few)) == (0, 0), "closed, and forgotten"


@pytest.mark.parametrize("on_disk", [0, WAITING, WAITING + 100])
def test_a_part_is_that_of_all(on_disk: int, tmp_path: Path) -> None:
    """Parts lie on the disk, in memory, on both; more can come after they were read."""
    column, numbers = Column("i", tmp_path), np.arange(WAITING + 200, dtype=np.int32)
    column.extend(numbers[:on_disk])
    column.spill()
    column.extend(numbers[on_disk:])
    edges = sorted({0, 1, max(on_disk - 1, 0), on_disk, on_disk + 1, len(numbers), len(numbers) + 9})
    for start, end in itertools.product(edges, edges):
        assert column.part(start, end).tolist() == numbers[start:end].tolist()
    column.extend(np.arange(WAITING, dtype=np.int32))
    column.spill()
    assert column.taken().tolist() == [*numbers.tolist(), *range(WAITING)]


def test_a_file_that_was_cut_short_is_no_column(tmp_path: Path) -> None:
    column = Column("q", tmp_path)
    column.extend(np.arange(WAITING))
    column.spill()
    assert column._file is not None
    column._file.truncate(8 * WAITING - 3)
    with pytest.raises(EOFError, match="cut short"):
        column.read()
    column.close()
