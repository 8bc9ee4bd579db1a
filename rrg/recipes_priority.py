"""What the stages of a pipe leave to the one that all wait for."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rrg.progress import read
from rrg.recipes import Stage
from rrg.recipes_plan import Pipe, Placed

DEMANDING = frozenset({"segment", "train", "infer"})
"""Commands that the other stages of their pipe wait for."""
ASK_MODELS = frozenset({"--llm", "--blind-model"})
"""Options with which any other command is one of these, too."""
GIVES_WAY = 10
"""Niceness added to those others: where processors are few they take what is left. Not more, as work of others in the
same session would then leave them nothing."""


class Priority(NamedTuple):
    """What a stage gets."""

    nice: int = 0
    """Added to the niceness of the pipeline when it starts."""
    later: int = 0
    """Added to its niceness once the demanding stage has finished a study."""
    processors: frozenset[int] | None = None
    """That it may use from then on; None: all that the pipeline may."""


def priority(pipe: Pipe, placed: Placed, processors: frozenset[int]) -> Priority:
    """A stage that shares its pipe with a demanding one gives way, and leaves it one of the `processors`: the last.

    Without that one, whatever stage wakes up there makes the demanding one wait, and empties its caches. The last
    stage may use it all the same: no other waits for what it writes, and it is there when the demanding one waits.

    Stages before a demanding one do so later: it waits for what they make first, and those behind can wait for it.
    """
    demanding = [number for number, each in enumerate(pipe.placed) if is_demanding(each.stage)]
    number = pipe.placed.index(placed)
    if not demanding or number in demanding:
        return Priority()
    before = number < demanding[-1]
    leaves = len(processors) > 1 and placed is not pipe.placed[-1]
    return Priority(
        nice=0 if before else GIVES_WAY,
        later=GIVES_WAY if before else 0,
        processors=processors - {max(processors)} if leaves else None,
    )


class Leaving:
    """Stages of a pipe that leave the demanding one its place as soon as it has finished a study. Until then it mostly
    waits for them, and they use all."""

    def __init__(self, pipe: Pipe, files: Sequence[Path]) -> None:
        """`files`: where each stage writes its progress."""
        self._demanding = [file for placed, file in zip(pipe.placed, files, strict=True) if is_demanding(placed.stage)]
        self._waiting: list[tuple[subprocess.Popen[bytes], Priority]] = []

    def add(self, process: "subprocess.Popen[bytes]", own: Priority) -> None:
        """A stage was started."""
        if own.later or own.processors is not None:
            self._waiting.append((process, own))

    def look(self) -> None:
        """Leave it its place if it is time; to be called now and then."""
        if self._waiting and any(state.studies for state in map(read, self._demanding) if state is not None):
            for process, own in self._waiting:
                if process.poll() is None:
                    _give_way(process.pid, own)
            self._waiting.clear()


def _give_way(process: int, own: Priority) -> None:
    """Let a process, its threads and the processes that it started give way, and so what they start later."""
    for each in _threads(process):
        with contextlib.suppress(OSError):  # ended, or processors taken away meanwhile
            os.setpriority(os.PRIO_PROCESS, each, os.getpriority(os.PRIO_PROCESS, each) + own.later)
            if own.processors is not None:
                os.sched_setaffinity(each, own.processors)


def _threads(process: int) -> list[int]:
    """The threads of a process and of those that it started; where only processes have a priority, these."""
    import psutil  # only where there is something to leave

    found: list[int] = []
    with contextlib.suppress(psutil.Error):
        started = psutil.Process(process)
        for each in (started, *started.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # ended
                found += [thread.id for thread in each.threads()] if sys.platform == "linux" else [each.pid]
    return found


def is_demanding(stage: Stage) -> bool:
    """Whether others of its pipe wait for a stage: it asks a network for every slice, report or question."""
    return stage.command in DEMANDING or any(word.partition("=")[0] in ASK_MODELS for word in stage.arguments)


def usable() -> frozenset[int]:
    """Processors that this process may use; none where the system does not tell."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()
