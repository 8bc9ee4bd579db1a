"""Run the pipes of a recipe: real processes, real pipes, one display, and a state that a second run goes on from."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock, Thread
from typing import IO

from rrg.errors import FAILED, INTERRUPTED, INTERRUPTED_RESUMABLE, READER_GONE, RECORDS_FAILED, RrgError, UsageError
from rrg.parallel import PR_SET_PDEATHSIG
from rrg.progress import VARIABLE, read
from rrg.recipes_anew import let_go, set_aside
from rrg.recipes_plan import Digests, Pipe, Placed, State, is_finished, made_by, read_state, stage_keys, write_state
from rrg.recipes_priority import Leaving, priority, usable
from rrg.recipes_show import Display, finished_counts

LAST_LINES = 5
"""Lines of a failed stage's stderr that are shown again at the end."""
LEAST_STUDIES = 20
"""Before this many studies a share of rejects says little."""
TICK_SECONDS = 0.1
GRACE_SECONDS = 60.0
"""Stages that were asked to stop, and did not, are killed after this."""


@dataclass(frozen=True)
class Rules:
    """How to run."""

    resume: bool = False
    """Use what journals hold even where inputs have other times of change."""
    again: bool = False
    """Do finished pipes again, from the start."""
    max_reject: float | None = None
    """Share of studies, 0..1, that may have rejected inputs."""
    quiet: bool = False
    launch: tuple[str, ...] = ()
    """Words before ``-m rrg`` in place of Python: a launcher of several processes."""


@dataclass(frozen=True)
class Decision:
    """What is to be done with a pipe."""

    pipe: Pipe
    keys: dict[str, str]
    finished: State | None
    """The state of a pipe that need not run."""
    resumed: frozenset[str]
    """Stages that go on from their journals."""
    total: int | None
    """Studies, as an earlier run counted them."""


def decide(pipe: Pipe, work: Path, rules: Rules, digests: Digests) -> Decision:
    """Is a pipe finished, and which of its stages can go on?"""
    state = read_state(work / f"{pipe.name}.json")
    keys = stage_keys(pipe, digests)
    if rules.again:
        return Decision(pipe, keys, None, frozenset(), None)
    known = state.keys if state is not None else {}
    resumed = {
        placed.stage.name
        for placed in pipe.placed
        if placed.resumes and (rules.resume or known.get(placed.stage.name) == keys[placed.stage.name])
    }
    finished = state if is_finished(pipe, state, keys, digests) else None
    totals = [counts["studies"] for counts in state.counts.values()] if state is not None else []
    return Decision(pipe, keys, finished, frozenset(resumed), max(totals, default=None))


def shown(decisions: Iterable[Decision]) -> Iterator[str]:
    """What --dry-run says: a line a stage. What is finished and reads what will be made before it depends on that."""
    anew: set[Path] = set()
    for decision in decisions:
        pipe = decision.pipe
        depends = any(anew.intersection((path, *path.parents)) for placed in pipe.placed for path in placed.named())
        if depends or decision.finished is None:
            for placed in pipe.placed:
                anew.update(filter(None, (*placed.stage.makes, placed.tee, pipe.output)))
        for placed in pipe.placed:
            what = "goes on" if placed.stage.name in decision.resumed else "to do"
            if decision.finished is not None:
                what = "depends" if depends else "finished"
            yield f"{pipe.number:02d}  {what:<8}  {placed.stage.name}"


def run_recipe(planned: Sequence[Pipe], work: Path, rules: Rules, made: frozenset[Path]) -> int:
    """Run all pipes in order; the exit code is 0, or 3 when some records failed. Raises RrgError at the first failure.

    A pipe that ended and would read and make the same is not run again.
    """
    work.mkdir(parents=True, exist_ok=True)
    digests = Digests(made)
    worst = 0
    for pipe in planned:
        for placed in pipe.placed[:1]:
            if placed.source is not None and not placed.source.is_file():
                raise UsageError(
                    f"--from {placed.stage.name}: {placed.source} is not there; run the stages before it first"
                )
        decision = decide(pipe, work, rules, digests)
        if decision.finished is not None:
            worst = max(worst, decision.finished.code or 0)
            continue
        state = work / f"{pipe.name}.json"
        known = read_state(state)
        set_aside(pipe, work, decision.keys, digests)
        write_state(state, State(decision.keys, None, known.made if known else {}, {}))
        files = [work / "progress" / f"{pipe.number:02d}-{placed.stage.name}.json" for placed in pipe.placed]
        code = _Running(decision, files, rules).run()
        digests.forget()
        counts = finished_counts(pipe, files)
        keys = stage_keys(pipe, digests)
        write_state(state, State(keys, code, made_by(pipe, digests), counts))
        let_go(pipe)
        worst = max(worst, code)
    return worst


class _Running:
    """One pipe at work."""

    def __init__(self, decision: Decision, files: Sequence[Path], rules: Rules) -> None:
        self._decision, self._files, self._rules = decision, files, rules
        self._pipe = decision.pipe
        self._display = Display(self._pipe, files, decision.total)
        self._lock = Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._tails: list[deque[str]] = []
        self._readers: list[Thread] = []
        self._leaving = Leaving(self._pipe, files)

    def run(self) -> int:
        """Start it, wait for it, give its output a name. A stage that fails takes the others with it."""
        output = self._pipe.output
        unfinished = output.with_name(output.name + ".partial") if output else None
        for path in self._files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        for stage in (placed.stage for placed in self._pipe.placed):
            for made in stage.makes:
                made.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._start(unfinished)
            why = self._watch()
        except BaseException:
            self._stop()
            raise
        codes = [process.wait() for process in self._processes]
        for reader in self._readers:
            reader.join()
        if why is not None:
            raise RrgError(why, "E_IO")
        self._check(codes)
        if reason := self._too_many(last=True):
            raise RrgError(reason, "E_IO")
        if unfinished is not None and output is not None:
            unfinished.replace(output)
        if not self._rules.quiet and sys.stderr.isatty():
            self._display.draw(last=True)
        return max(codes, default=0)

    def _start(self, unfinished: Path | None) -> None:
        source: IO[bytes] | int = subprocess.DEVNULL
        processors = usable()
        for placed, file in zip(self._pipe.placed, self._files, strict=True):
            target: IO[bytes] | int | None = subprocess.PIPE
            if placed is self._pipe.placed[-1]:
                target = subprocess.DEVNULL if placed.tee else None
                if unfinished is not None:
                    unfinished.parent.mkdir(parents=True, exist_ok=True)
                    target = unfinished.open("wb")
            own = priority(self._pipe, placed, processors)
            process = subprocess.Popen(
                [*(self._rules.launch or (sys.executable,)), "-m", "rrg", *self._argv(placed)],
                stdin=source,
                stdout=target,
                stderr=subprocess.PIPE,
                env={**os.environ, VARIABLE: str(file)},
                preexec_fn=partial(_prepare, own.nice),
            )
            for each in (source, target):
                if each is not None and not isinstance(each, int):
                    each.close()
            self._processes.append(process)
            self._leaving.add(process, own)
            self._tails.append(deque(maxlen=LAST_LINES))
            self._readers.append(Thread(target=self._relay, args=(process.stderr, self._tails[-1]), daemon=True))
            self._readers[-1].start()
            if process.stdout is not None:
                source = process.stdout

    def _argv(self, placed: Placed) -> list[str]:
        return placed.argv(resume=placed.stage.name in self._decision.resumed)

    def _watch(self) -> str | None:
        """Wait for all processes; the reason where too much is rejected."""
        while any(process.poll() is None for process in self._processes):
            time.sleep(TICK_SECONDS)
            self._leaving.look()
            if not self._rules.quiet:
                with self._lock:
                    self._display.draw()
            if reason := self._too_many(last=False):
                self._stop()
                return reason
        return None

    def _too_many(self, *, last: bool) -> str | None:
        """Says so when a stage rejects more than it may: a mount that died rejects everything, one by one."""
        limit = self._rules.max_reject
        if limit is None:
            return None
        for placed, path in zip(self._pipe.placed, self._files, strict=True):
            state = read(path)
            if state is None or (state.studies < LEAST_STUDIES and not last) or not state.studies:
                continue
            if state.rejected / state.studies > limit:
                codes = ", ".join(f"{code} {n}" for code, n in sorted(state.errors.items()))
                return (
                    f"stage {placed.stage.name}: {state.rejected} of {state.studies} studies have rejected inputs"
                    f" ({codes}), more than --max-reject {limit:.0%}; look at its input, then give the same command"
                )
        return None

    def _stop(self) -> None:
        """Ask all stages to stop, and end those that do not."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _check(self, codes: Sequence[int]) -> None:
        """Raise RrgError for the stage that failed first."""
        failed = [
            (placed.stage, code, tail)
            for placed, code, tail in zip(self._pipe.placed, codes, self._tails, strict=True)
            if code not in (0, RECORDS_FAILED)
        ]
        if not failed:
            return
        # the stage that died first is the one that was not merely cut off by its reader
        stage, code, tail = next((each for each in failed if each[1] not in (READER_GONE, -signal.SIGPIPE)), failed[0])
        for line in list(tail)[:-1]:
            print(f"rrg pipeline: {stage.name}: {line}", file=sys.stderr)
        said = tail[-1] if tail else "no message"
        stopped = code in (INTERRUPTED_RESUMABLE, INTERRUPTED)
        error = RrgError(f"stage {stage.name} ended with {code}: {said}; give the same command to go on")
        error.exit_code = code if stopped else FAILED
        raise error

    def _relay(self, source: IO[bytes] | None, tail: "deque[str]") -> None:
        """Pass a stage's stderr on, and remember its last lines."""
        assert source is not None
        for raw in iter(source.readline, b""):
            with self._lock:
                self._display.clear()
                os.write(2, raw)
            tail.append(raw.decode(errors="replace").rstrip().rpartition("\r")[2])


def _prepare(nice: int) -> None:
    """In a stage's process, before it starts. A pipeline that is killed takes its stages along: they would hold their
    outputs, and nobody would look."""
    os.nice(nice)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def part_of(work: Path, shard: str) -> Path:
    """The work folder of one task of an array."""
    return work / f"part-{shard.partition('/')[0]}"


def merged(planned: Sequence[Pipe], work: Path, parts: int) -> list[Pipe]:
    """The same pipes with the outputs of all tasks of an array as input of the first stage."""
    first = planned[0].placed[0]
    if first.source is None:
        raise UsageError(
            f"--merge: {first.stage.name} reads no records of a stage before; begin with --from such a one"
        )
    sources = [work / f"part-{n}" / first.source.name for n in range(1, parts + 1)]
    if absent := [path for path in sources if not path.is_file()]:
        raise UsageError(f"--merge {parts}: {absent[0]} is not there; run that part first")
    stage = replace(first.stage, arguments=(*map(str, sources), *first.stage.arguments))
    placed = (replace(first, stage=stage, source=None), *planned[0].placed[1:])
    return [replace(planned[0], placed=placed), *planned[1:]]
