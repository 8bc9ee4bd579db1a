"""Numbers of which there are as many as samples: gathered on the disk, read back a column at a time."""

import io
import tempfile
from array import array
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

WAITING = 1 << 12
"""Numbers that wait in memory, at most, after `Column.spill`."""


class Column:
    """Numbers as they come; the most in a file without a name. Memory: those since the last `spill`."""

    def __init__(self, code: str, folder: Path | None = None) -> None:
        """`code`: of `array.array`. `folder`: where the file is; None: where temporary files are."""
        self._new: array[Any] = array(code)
        self._folder = folder
        self._file: io.BufferedRandom | None = None
        self._written = 0
        self.append = self._new.append

    def __len__(self) -> int:
        return self._written + len(self._new)

    def extend(self, numbers: NDArray[Any]) -> None:
        """Add numbers of the type of the column."""
        self._new.frombytes(numbers.tobytes())

    def spill(self) -> None:
        """Bring to the disk what waits, if it is much."""
        if len(self._new) >= WAITING:
            if self._file is None:
                self._file = tempfile.TemporaryFile("w+b", dir=self._folder)  # noqa: SIM115 - closed when it is let go
            self._file.seek(0, io.SEEK_END)
            self._file.write(self._new)
            self._written += len(self._new)
            del self._new[:]

    def read(self) -> NDArray[Any]:
        """All numbers, in memory."""
        return self.part(0, len(self))

    def part(self, start: int, end: int) -> NDArray[Any]:
        """Numbers `start` to `end`, as far as they are there, in memory."""
        end = min(end, len(self))
        numbers = np.empty(max(end - start, 0), self._new.typecode)
        on_disk = max(min(end, self._written) - start, 0)
        numbers[on_disk:] = self._new[max(start - self._written, 0) : max(end - self._written, 0)]
        if on_disk and self._file is not None:
            self._file.seek(start * numbers.itemsize)
            part = numbers[:on_disk].view(np.uint8).data
            if self._file.readinto(part) != len(part):
                raise EOFError("a column was cut short")
        return numbers

    def taken(self) -> NDArray[Any]:
        """All numbers, in memory; the column is empty then."""
        numbers = self.read()
        self.close()
        return numbers

    def close(self) -> None:
        """Forget all numbers."""
        del self._new[:]
        self._written = 0
        if self._file is not None:
            self._file.close()
            self._file = None


class Columns:
    """Columns that are filled at the same time; on exit all are closed."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where their files are; None: where temporary files are."""
        self._folder = folder
        self._columns: list[Column] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for column in self._columns:
            column.close()

    def new(self, code: str) -> Column:
        """One more; `code`: of `array.array`."""
        self._columns.append(Column(code, self._folder))
        return self._columns[-1]

    def spill(self) -> None:
        """Bring to the disk what waits, where it is much."""
        for column in self._columns:
            column.spill()
