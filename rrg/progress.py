"""How far a running command is: a small file that whoever started it may read at any time."""

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

VARIABLE = "RRG_PROGRESS"
"""Environment variable with the name of the file. Without it nothing is written."""
SECONDS = 0.5
"""Between two writes."""


class State(NamedTuple):
    """What the file says."""

    studies: int
    """Studies (or files that belong to none) that are finished, those of the journal included."""
    records: int
    """Records made, error records aside."""
    rejected: int
    """Of the studies, those with an input that was rejected."""
    errors: Mapping[str, int]
    """Code -> error records."""
    started: float
    """Seconds since 1970."""
    at: float
    """When the file was written."""
    finished: bool


class Progress:
    """Counts what a command finishes, and writes it down: the first study, then twice a second at most. A file that
    fails is let go."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._studies = self._records = self._rejected = 0
        self._errors: Counter[str] = Counter()
        self._started = time.time()
        self._written = 0.0
        self._write(finished=False)

    @classmethod
    def from_environment(cls) -> "Progress":
        """As $RRG_PROGRESS says."""
        return cls(Path(path) if (path := os.environ.get(VARIABLE)) else None)

    def add(self, records: int, errors: Mapping[str, int], *, rejected: bool) -> None:
        """A study is finished: `records` made, `errors` by code; `rejected`: an input of it was."""
        if self._path is None:
            return
        self._studies += 1
        self._records += records
        self._rejected += rejected
        self._errors.update(errors)
        if self._studies == 1 or time.time() - self._written >= SECONDS:
            self._write(finished=False)

    def finish(self) -> None:
        """All is done."""
        self._write(finished=True)

    def _write(self, *, finished: bool) -> None:
        if self._path is None:
            return
        self._written = time.time()
        state = State(
            self._studies,
            self._records,
            self._rejected,
            dict(self._errors),
            self._started,
            self._written,
            finished,
        )
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # a full disk stops the output, which tells it better
            temporary.write_text(json.dumps(state._asdict()))
            temporary.replace(self._path)


def read(path: Path) -> State | None:
    """What a progress file says; None when there is none."""
    try:
        return State(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
