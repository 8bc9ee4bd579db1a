"""Numbers of which there are as many as samples: gathered on the disk, read back a column at a time."""

import tempfile
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WAITING = 1 << 12
"""Numbers that wait in memory, at most, after `Column.spill`."""


class Column:
    """Numbers as they come, in a file without a name. Memory: those since the last `spill`."""

    def __init__(self, code: str, folder: Path | None = None) -> None:
        """`code`: of `array.array`. `folder`: where the file is; by default where temporary files are."""
        self._new: array[Any] = array(code)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed when it is taken, or with the process
        self._written = 0
        self.append = self._new.append

    def __len__(self) -> int:
        return self._written + len(self._new)

    def extend(self, numbers: Iterable[Any]) -> None:
        """Add numbers; an array must have the type of the column."""
        if isinstance(numbers, np.ndarray):
            self._new.frombytes(numbers.tobytes())
        else:
            self._new.extend(numbers)

    def spill(self, least: int = WAITING) -> None:
        """Bring to the disk what waits, if it is at least so much."""
        if len(self._new) >= least:
            self._file.write(self._new)
            self._written += len(self._new)
            del self._new[:]

    def read(self) -> NDArray[Any]:
        """All numbers, in memory."""
        self.spill(least=1)
        self._file.seek(0)
        return np.fromfile(self._file, np.dtype(self._new.typecode))

    def taken(self) -> NDArray[Any]:
        """All numbers, in memory; the column is empty then."""
        numbers = self.read()
        self._file.truncate(0)
        self._file.seek(0)
        self._written = 0
        return numbers
