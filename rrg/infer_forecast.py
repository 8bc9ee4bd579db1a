"""How long the rest of a study takes, told once its first slice is answered. On stderr only."""

import time

from rrg.infer_inputs import Work
from rrg.pipe import talk
from rrg.records import Sample

TOLD_FROM_S = 2.0
"""A shorter rest is not worth a line."""


class Forecast:
    """Watches the answers to one study."""

    def __init__(self, work: Work) -> None:
        self._left = {image.ref for sample in work.samples for image in sample.images}
        self._all = len(self._left)
        self._now = ""
        self._start = 0.0

    def next(self, sample: Sample) -> None:
        """Called before each answer, samples of one picture together."""
        ref = sample.images[0].ref if sample.images else ""
        if ref == self._now:
            return
        if self._now:
            self._left.discard(self._now)
            if len(self._left) == self._all - 1:
                took = time.monotonic() - self._start
                rest = took * len(self._left)
                if rest >= TOLD_FROM_S:
                    talk("infer", f"the first slice took {took:.1f} s; {len(self._left)} to go, about {_told(rest)}")
        self._now, self._start = ref, time.monotonic()


def _told(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
