"""What the stages of a pipe leave to the one that all wait for."""

import contextlib
import os
from typing import NamedTuple

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
    """That it may use; None: all that the pipeline may."""

    def take(self) -> None:
        """Of this process, for itself and those that it starts."""
        if self.nice:
            os.nice(self.nice)
        if self.processors is not None:
            with contextlib.suppress(OSError):  # taken away meanwhile, or not allowed: then all that there are
                os.sched_setaffinity(0, self.processors)


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


def is_demanding(stage: Stage) -> bool:
    """Whether others of its pipe wait for a stage: it asks a network for every slice, report or question."""
    return stage.command in DEMANDING or any(word.partition("=")[0] in ASK_MODELS for word in stage.arguments)


def usable() -> frozenset[int]:
    """Processors that this process may use; none where the system does not tell."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()
