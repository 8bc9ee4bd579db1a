"""What training will need, what it takes, and what to change when memory is out."""

import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.nn import Parameter

from rrg.errors import RrgError
from rrg.train_log import say

AFTER = 20
"""Steps after which a stage says how fast it is."""
WAITING = 0.05
"""Part of the time waiting for data from which on data is what bounds a stage."""
OPTIMISER = 0.4
"""The same for the optimiser."""


class Meter:
    """Where the time of a stage goes. Speaks once."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._spent = {"data": 0.0, "model": 0.0, "optimiser": 0.0}
        self._tokens = self._steps = 0
        self._began = self._elapsed = 0.0

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        """Count the time inside as that of "data", "model" or "optimiser"."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._spent[what] += time.perf_counter() - started

    @property
    def waiting(self) -> float:
        """Part of the time that went into waiting for data."""
        return self._spent["data"] / max(self._elapsed, 1e-9)

    @property
    def rate(self) -> float:
        """Tokens a second, pictures' included, padding not."""
        return self._tokens / max(self._elapsed, 1e-9)

    def step(self, tokens: int) -> None:
        """A step is over. The first one, in which memory is set up, does not count."""
        now = time.perf_counter()
        if self._steps == 0:
            self._spent, self._began = dict.fromkeys(self._spent, 0.0), now
        else:
            self._tokens += tokens
        self._elapsed = now - self._began
        self._steps += 1
        if self._steps == AFTER + 1:
            say(f"{self._stage}: {self.rate:,.0f} tokens/s, {100 * self.waiting:.1f} % of the time waiting for data; "
                f"{self.bound()}")  # fmt: skip

    def bound(self) -> str:
        """What bounds the stage, and what could help."""
        if self.waiting > WAITING:
            return "bound by data: put the data set on a faster disk, or keep features with --feature-cache"
        if self._spent["optimiser"] / max(self._elapsed, 1e-9) > OPTIMISER:
            return "bound by the optimiser: a larger batch, or --peft lora, would use the time better"
        return "bound by the model's own arithmetic"


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes the second time. Random numbers that it draws are drawn again by who comes next."""
    before = torch.get_rng_state()
    work()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    torch.set_rng_state(before)
    return seconds


def peak_bytes() -> int:
    """Most memory that this process had: of the GPU where there is one, else its resident set."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forecast(stage: str, steps: int, seconds: float, weights: Iterable[Parameter], optimiser: str) -> str:
    """One line before step 1. `seconds`: of a step of the longest chats. `weights`: those that learn.

    Memory is what was measured with gradients, and what the optimiser will add.
    """
    learn = sum(each.numel() for each in weights)
    state = {"adamw": 8, "muon": 6, "adafactor": 1}[optimiser] * learn
    total = peak_bytes() + state
    return (
        f"{stage}: {steps} steps, at most {_time(steps * seconds)} ({seconds:.2g} s a step, by the longest data), "
        f"{total / 1e9:.1f} GB of memory ({state / 1e9:.1f} GB of it for {optimiser} on {learn / 1e6:,.1f} M weights)"
    )


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


@contextmanager
def within_memory(stage: str, advice: str, ids: Sequence[str] = ()) -> Iterator[None]:
    """Where memory is out: RrgError(E_MEMORY) with the records that were read and the setting to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and not any(each in text for each in ("out of memory", "not enough memory", "can't allocate")):
            raise
        named = f" with {', '.join(list(ids)[:8])}" if ids else ""
        raise RrgError(f"stage {stage}: out of memory{named}; {advice}", "E_MEMORY") from None
