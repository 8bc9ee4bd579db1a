"""Steps of a stage that survive kills: checkpoints beside the run folder, signals that wait for the end of a step."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from rrg.errors import INTERRUPTED, INTERRUPTED_RESUMABLE, RrgError, UsageError
from rrg.folders import SIGNALS
from rrg.records import Run
from rrg.signals import ONE_SECONDS, careful
from rrg.train_devices import ALONE, Devices
from rrg.train_log import say
from rrg.train_state import Stateful, Tree, read_state, write_state

KEPT = 2
"""Checkpoints of the running stage that are kept: the last one, and the one before should it be damaged."""
PASSING = ("optimiser", "order", "draws")
"""Parts that a finished stage does not need any more."""
MINUTES = 10.0
"""Between two checkpoints, where no number of steps is given."""


class Stop:
    """A signal that came in. While `patient`, the step that runs is finished and saved first."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.at = 0.0
        """When, in seconds of `time.monotonic`."""
        self.patient = False


@contextmanager
def stopping() -> Iterator[Stop]:
    """SIGTERM, SIGUSR1 and SIGINT let a patient step finish. A second one, some time later, acts at once."""
    stop = Stop()
    before: dict[int, Any] = {}

    def handler(number: int, frame: FrameType | None) -> None:
        if stop.number is None:
            stop.number, stop.at = number, time.monotonic()
        if not (stop.patient and time.monotonic() - stop.at <= ONE_SECONDS):
            if callable(before[number]):
                before[number](number, frame)
            raise SystemExit(INTERRUPTED if number == signal.SIGINT else INTERRUPTED_RESUMABLE)

    for each in map(int, SIGNALS):
        before[each] = signal.signal(each, careful(handler))
    try:
        yield stop
    finally:
        for each, former in before.items():
            signal.signal(each, former)


class Checkpoints:
    """The checkpoints of one run, in ``.NAME.stages`` beside its folder, until the run is whole.

    One file a checkpoint: weights that learn, optimiser, schedule (the step), random generators, place in the data, and
    the metrics so far. Finished stages keep their weights and metrics.
    """

    def __init__(
        self, out: Path, run: Run, stop: Stop, *, resume: bool = False, every: int = 0, devices: Devices = ALONE
    ) -> None:
        """`every`: steps between two checkpoints; 0: ten minutes. UsageError when `resume` meets another run."""
        self._folder = out.with_name(f".{out.name}.stages")
        self._run, self._stop, self._every, self._devices = run, stop, every, devices
        self._saved = time.monotonic()
        if not resume and devices.first:
            self.remove()
        elif resume:
            self._check()

    def _check(self) -> None:
        path = self._folder / "run.json"
        if not path.is_file():
            say("--resume: nothing to go on with; starting at the beginning")
            return
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["id"] == self._run.id:
            return
        ours = _plain(self._run)
        unlike = sorted(
            name
            for part in ("options", "inputs")
            for name in {*known[part], *ours[part]}
            if known[part].get(name) != ours[part].get(name)
        ) or ["version or seed"]
        raise UsageError(
            f"--resume: the stopped run had other options or data ({', '.join(unlike)}); give the same command, "
            "or leave --resume out to start anew"
        )

    def load(self, stage: str, parts: Mapping[str, Stateful]) -> bool:
        """Put back what a finished stage of this run left; False when it is not finished."""
        state = self._last(stage)
        if state is None or not state["done"]:
            return False
        self._restore(state, parts)
        say(f"{stage}: finished before, not trained again")
        return True

    def steps(self, stage: str, count: int, parts: Mapping[str, Stateful]) -> Iterator[int]:
        """The steps of a stage that are left, saved in between. `parts`: all that a step changes, "weights" among them.

        A signal ends the process behind the step that runs: state saved, exit code 75 (130 after SIGINT).
        """
        step = 0
        if (state := self._last(stage)) is not None:
            self._restore(state, parts)
            step = int(state["step"])
            say(f"{stage}: going on at step {step} of {count}")
        self._saved = time.monotonic()
        self._stop.patient = True
        self._ended = False
        try:
            while step < count:
                yield step
                step = count if self._ended else step + 1
                stopped = self._devices.any(self._stop.number is not None)
                if step < count and (stopped or self._due(step)):
                    self._save(stage, step, parts)
                if stopped and step < count:
                    self._leave(stage, step)
            if state is None or not state["done"]:
                left = {name: part for name, part in parts.items() if name not in PASSING}
                self._save(stage, count, left, done=True)
            if self._devices.any(self._stop.number is not None):
                self._leave(stage, count)
        finally:
            self._stop.patient = False

    def end(self) -> None:
        """Let the stage end behind the step that runs, as if that were its last."""
        self._ended = True

    def remove(self) -> None:
        """Forget all checkpoints."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _due(self, step: int) -> bool:
        if self._every:
            return step % self._every == 0
        return self._devices.any(self._devices.first and time.monotonic() - self._saved > MINUTES * 60)

    def _leave(self, stage: str, step: int) -> None:
        if self._devices.first:
            print(f"stopped; {stage} is saved at step {step}, go on with --resume", file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED if self._stop.number == signal.SIGINT else INTERRUPTED_RESUMABLE)

    def _save(self, stage: str, step: int, parts: Mapping[str, Stateful], *, done: bool = False) -> None:
        random = self._devices.gathered(_random())
        state = {name: part.state_dict() for name, part in parts.items()}
        if self._devices.first:
            run = self._folder / "run.json"
            if not run.is_file():
                self._folder.mkdir(parents=True, exist_ok=True)
                run.write_text(json.dumps(_plain(self._run)), encoding="utf-8")
            path = self._folder / f"{stage}-{step:09d}.safetensors"
            write_state(path, {"step": step, "done": done, "parts": state, "random": random})
            for old in self._files(stage)[1 if done else KEPT :]:
                old.unlink()
        self._saved = time.monotonic()

    def _files(self, stage: str) -> list[Path]:
        """Newest first."""
        return sorted(self._folder.glob(f"{stage}-*.safetensors"), reverse=True)

    def _last(self, stage: str) -> Tree:
        """The newest checkpoint that can be read, or None."""
        for path in self._files(stage):
            try:
                return read_state(path)
            except RrgError:
                say(f"{path.name} is damaged; taking the one before it")
        return None

    def _restore(self, state: Tree, parts: Mapping[str, Stateful]) -> None:
        for name, part in parts.items():
            if name in state["parts"]:
                part.load_state_dict(state["parts"][name])
        own = state["random"]
        torch.set_rng_state(own[self._devices.rank]["cpu"])
        if "cuda" in own[self._devices.rank] and torch.cuda.is_available():
            torch.cuda.set_rng_state(own[self._devices.rank]["cuda"])


def _random() -> dict[str, torch.Tensor]:
    """States of torch's own generators."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _plain(run: Run) -> dict[str, Any]:
    """A run record as JSON has it."""
    made: dict[str, Any] = json.loads(
        json.dumps({"id": run.id, "options": dict(run.options), "inputs": dict(run.inputs)})
    )
    return made
