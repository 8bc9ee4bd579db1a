"""The runs of a stream that is packed: which there were, whether they were closed, and their lines."""

from collections import Counter
from typing import Any

from rrg.codec import decode, encode, schema_of
from rrg.errors import RecordError, RrgError
from rrg.pipe import check_closed
from rrg.records import End, Record, Run
from rrg.stream import Line


def decoded(raw: bytes, kind: type[Any]) -> Any:
    """A record of the input. Raises RrgError where it is none: a data set is whole or not at all."""
    try:
        return decode(raw, kind)
    except RecordError as error:
        raise RrgError(f"input record refused: {error.message}") from None


class Runs:
    """Runs of the stream, and one record of each run that records name."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self._ends: dict[str, set[tuple[str | None, tuple[tuple[str, int], ...]]]] = {}
        """Run -> the different end records that it has, one of each shard: (shard, counts)."""
        self._named: dict[str, Record] = {}

    def bracket(self, line: Line) -> None:
        """Take a run or end record."""
        if schema_of(line.value) == "rrg.run/1":
            run = decoded(line.raw, Run)
            self.runs.setdefault(run.id, run)
        else:
            end = decoded(line.raw, End)
            self._ends.setdefault(end.run, set()).add((end.shard, tuple(sorted(end.counts.items()))))

    def names(self, record: Record, run: str) -> None:
        """Remember that a record was made by a run."""
        if run:
            self._named.setdefault(run, record)

    def check(self, *, partial: bool) -> None:
        """Refuse a truncated stream, or close what is open when `partial`."""
        if not partial:
            ends = [End(run=run, counts={}) for run in self._ends]
            check_closed([*self.runs.values(), *ends, *self._named.values()], "input")
        for run in self._named:
            self.runs.setdefault(run, Run(id=run, command="unknown", version="unknown", options={}))

    def opening(self) -> list[bytes]:
        """Run lines, in an order that does not depend on the stream."""
        return [encode(run) for run in self._sorted()]

    def closing(self) -> list[bytes]:
        """Their end lines: of shards one line with the sum, in whatever order they came."""
        return [encode(End(run=run, counts=counts)) for run, counts in self.ends().items()]

    def ends(self) -> dict[str, dict[str, int]]:
        """Run -> its counts."""
        return {run.id: self._summed(run.id) for run in self._sorted()}

    def _summed(self, run: str) -> dict[str, int]:
        total: Counter[str] = Counter()
        for _shard, counts in self._ends.get(run, ()):
            total.update(dict(counts))
        return dict(sorted(total.items()))

    def _sorted(self) -> list[Run]:
        return sorted(self.runs.values(), key=lambda run: (run.command, run.id))
