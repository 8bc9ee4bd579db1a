"""How fast volumes are segmented, and how long the rest will take: lines for stderr, never in the data."""

import json
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rrg.acquisitions import NEVER
from rrg.pipe import Io, talk
from rrg.stream import open_input

SERIES = re.compile(rb'"series":"([^"]+)"')
SLICE = b'{"schema":"rrg.slice/1"'
FIRST, THEN = 5, 10
"""Volumes before the first line, and the factor to each next one."""
START_SECONDS = 2.0
"""Until a study took so long, studies come out of the journal of an earlier run: imports alone take longer."""


def volumes_ahead(io: Io, min_slices: int) -> list[int] | None:
    """Number of series of each study of this shard that may be segmented, in order; None when the input is a pipe.

    An upper bound: series that take the mask of another one are known only when their study is looked at.
    """
    if not io.inputs or Path("-") in io.inputs or not all(path.is_file() for path in io.inputs):
        return None
    studies: dict[str, tuple[str, set[str]]] = {}
    try:
        for path in io.inputs:
            _look_ahead(path, studies, min_slices)
    except (ValueError, KeyError, TypeError):
        return None  # whoever reads the records will say what is wrong
    return [len(series) for patient, series in studies.values() if io.has(patient)]


def _look_ahead(path: Path, studies: dict[str, tuple[str, set[str]]], min_slices: int) -> None:
    """Add the series of a file to `studies`: study -> (patient, series). One line of each run of slices is decoded."""
    last = b""
    with open_input(path) as file:
        for line in file:
            found = SERIES.search(line) if line.startswith(SLICE) else None
            if found is None or found[1] == last:
                continue
            last, slice_ = found[1], json.loads(line)
            series = studies.setdefault(slice_["study"], (slice_["patient"], set()))[1]
            if slice_.get("role") not in NEVER and slice_["count"] >= min_slices:
                series.add(slice_["series"])


class Forecast:
    """Counts what `run_groups` tells it, and says what comes of it."""

    def __init__(self, ahead: list[int] | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._ahead, self._clock = ahead, clock
        self._start = self._last = clock()
        self._warm = False
        self._studies = self._first_study = self._volumes = 0
        self._next = FIRST

    def made(self, body: bytes) -> None:
        """The lines of one more study."""
        now = self._clock()
        self._studies += 1
        if not self._warm and now - self._last < START_SECONDS:
            self._start = self._last = now
            self._first_study = self._studies
            return
        self._warm, self._last = True, now
        masks = (line for line in body.splitlines() if line.startswith(b'{"schema":"rrg.mask/1"'))
        own = {found[1] for line in masks if b'"shared_from":' not in line and (found := SERIES.search(line))}
        self._volumes += len(own)
        if self._volumes >= self._next:
            while self._next <= self._volumes:
                self._next *= THEN
            talk("segment", f"{self._speed()}{self._rest()}")

    def done(self, _counts: dict[str, int]) -> Iterable[str]:
        """The last line."""
        if self._volumes:
            yield self._speed()

    def _speed(self) -> str:
        seconds = self._last - self._start
        volumes = "1 volume" if self._volumes == 1 else f"{self._volumes} volumes"
        return f"{volumes} in {_said(seconds)}, {3600 * self._volumes / seconds:.0f} volumes/h"

    def _rest(self) -> str:
        if self._ahead is None:
            return "; how many are left is not known: the input is a pipe"
        behind, left = sum(self._ahead[self._first_study : self._studies]), sum(self._ahead[self._studies :])
        if not left:
            return "; none left"
        seconds = (self._last - self._start) / behind * left if behind else 0.0
        return f"; at most {left} left, about {_said(seconds)}"


def _said(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
