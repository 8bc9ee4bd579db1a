"""The progress of a pipe's stages on stderr: a block that is drawn again on a terminal, else a line a minute."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rrg.progress import State, read
from rrg.recipes_plan import Pipe
from rrg.status import duration

TERMINAL_SECONDS, LINE_SECONDS = 0.5, 60.0


class Display:
    """Draws how far the stages of a pipe are."""

    def __init__(self, pipe: Pipe, files: Sequence[Path], total: int | None) -> None:
        """`files`: where each stage writes its progress; `total`: studies, where known from an earlier run."""
        self._pipe, self._files, self._total = pipe, files, total
        self._terminal = sys.stderr.isatty()
        self._drawn = 0
        self._last = self._start = time.monotonic()

    def clear(self) -> None:
        """Take the block off, so that a line may be written."""
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}A\x1b[J")
            sys.stderr.flush()
            self._drawn = 0

    def draw(self, *, last: bool = False) -> None:
        """Draw when it is time."""
        now = time.monotonic()
        if not last and now - self._last < (TERMINAL_SECONDS if self._terminal else LINE_SECONDS):
            return
        self._last = now
        lines = list(self.lines())
        if self._terminal:
            self.clear()
            self._drawn = 0 if last else len(lines)
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()

    def lines(self) -> list[str]:
        """A line for each stage."""
        width = max(len(placed.stage.name) for placed in self._pipe.placed)
        states = [read(path) for path in self._files]
        told = []
        for n, (placed, state) in enumerate(zip(self._pipe.placed, states, strict=True)):
            before = next((each for each in reversed(states[:n]) if each is not None), None)
            told.append(f"  {placed.stage.name:<{width}}  {self._one(state, before)}")
        return told

    def _one(self, state: State | None, before: State | None) -> str:
        if state is None:
            return f"running for {duration(time.monotonic() - self._start)}"
        seconds = max(state.at - state.started, 1e-9)
        rate = state.studies / seconds
        total = before.studies if before is not None and before.finished else self._total
        left = None
        if state.finished:
            left = "done"
        elif total and rate and total >= state.studies:
            left = f"{duration((total - state.studies) / rate)} left"
        of = f"/{total}" if total and not state.finished else ""
        words = [f"{state.studies}{of} studies in", f"{state.records} records out", f"{state.rejected} rejected"]
        words += [f"{rate * 60:.1f}/min", left or ""]
        return ", ".join(word for word in words if word)


def finished_counts(pipe: Pipe, files: Sequence[Path]) -> Mapping[str, dict[str, int]]:
    """Stage -> studies, records and rejects, of those that tell."""
    found = {}
    for placed, path in zip(pipe.placed, files, strict=True):
        if (state := read(path)) is not None:
            found[placed.stage.name] = {
                "studies": state.studies,
                "records": state.records,
                "rejected": state.rejected,
            }
    return found
