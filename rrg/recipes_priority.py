"""What the stages of a pipe leave to the one that all wait for."""

import contextlib
import os
import subprocess
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
    """Added to the niceness of the pipeline."""
    processors: frozenset[int] | None = None
    """That it may use once the demanding stage has finished a study; None: all that the pipeline may."""


def priority(pipe: Pipe, placed: Placed, processors: frozenset[int]) -> Priority:
    """A stage that shares its pipe with a demanding one gives way, and leaves it one of the `processors`: the last.

    Without that one, whatever stage wakes up there makes the demanding one wait, and empties its caches. The last
    stage may use it all the same: no other waits for what it writes, and it is there when the demanding one waits.
    """
    demanding = {each.stage.name for each in pipe.placed if is_demanding(each.stage)}
    if not demanding or placed.stage.name in demanding:
        return Priority()
    leaves = len(processors) > 1 and placed is not pipe.placed[-1]
    return Priority(GIVES_WAY, processors - {max(processors)} if leaves else None)


class Leaving:
    """Stages of a pipe that leave a processor to the demanding one as soon as it has finished a study. Until then it
    mostly waits for them, and they use all."""

    def __init__(self, pipe: Pipe, files: Sequence[Path]) -> None:
        """`files`: where each stage writes its progress."""
        self._demanding = [file for placed, file in zip(pipe.placed, files, strict=True) if is_demanding(placed.stage)]
        self._waiting: list[tuple[subprocess.Popen[bytes], frozenset[int]]] = []

    def add(self, process: "subprocess.Popen[bytes]", own: Priority) -> None:
        """A stage was started."""
        if own.processors is not None:
            self._waiting.append((process, own.processors))

    def look(self) -> None:
        """Leave the processor if it is time; to be called now and then."""
        if self._waiting and any(state.studies for state in map(read, self._demanding) if state is not None):
            for process, processors in self._waiting:
                if process.poll() is None:
                    _keep_to(process.pid, processors)
            self._waiting.clear()


def _keep_to(process: int, processors: frozenset[int]) -> None:
    """Leave a process, its threads and the processes that it started these processors, and so what they start later."""
    import psutil  # only where there is something to leave

    with contextlib.suppress(psutil.Error):
        own = psutil.Process(process)
        for each in (own, *own.children(recursive=True)):
            for thread in each.threads():
                with contextlib.suppress(OSError):  # ended, or processors taken away meanwhile
                    os.sched_setaffinity(thread.id, processors)


def is_demanding(stage: Stage) -> bool:
    """Whether others of its pipe wait for a stage: it asks a network for every slice, report or question."""
    return stage.command in DEMANDING or any(word.partition("=")[0] in ASK_MODELS for word in stage.arguments)


def usable() -> frozenset[int]:
    """Processors that this process may use; none where the system does not tell."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()
