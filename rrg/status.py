"""How far the work in a folder is, read from journals and outputs while it runs.

A stage is all outputs whose names differ in the number of a task only (``masks.1.jsonl``, ``masks.2.jsonl``).
"""

import json
import os
import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rrg.codec import word_of
from rrg.errors import UsageError
from rrg.records import KINDS
from rrg.stream import read_lines

JOURNAL, PARTIAL = ".journal", ".partial"
_WORDS = frozenset(map(word_of, KINDS))
ARRAYS = frozenset({"series", "masks", "private"})
"""Folders of a store: no outputs lie there, but many files."""
TAIL = 1 << 16
"""Bytes at the end of an output that hold its end record."""
_TASK = re.compile(r"(?<=\.)\d+(?=\.jsonl$)|(?<=part-)\d+(?=/)")
_OF_PIPELINE = re.compile(r"(.*/)?\d\d-\d\d-[^/]+")
"""Outputs in the work folder of `rrg pipeline`, which have their number in front."""
WINDOW_SECONDS = 600.0
"""The rate is that of the last minutes of work."""
State = Literal["finished", "running", "stopped", "stale"]


class Entry(NamedTuple):
    """Head of a journal's entry: one finished study."""

    key: str
    run: str
    at: float | None
    """Seconds since 1970; None in journals of older versions."""
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Task:
    """One output and how far it is."""

    name: str
    """Path below the folder."""
    state: State
    done: int | None
    """Finished studies; None where only the records of a finished output are known."""
    counts: Mapping[str, int]
    per_second: float
    """Studies per second over the last minutes that it worked."""
    last: float | None
    """When the last study was finished."""
    bytes: int


@dataclass(frozen=True)
class Stage:
    """All tasks of one stage."""

    name: str
    tasks: tuple[Task, ...]

    @property
    def done(self) -> int | None:
        """Finished studies of all tasks; None where some task does not tell."""
        numbers = [task.done for task in self.tasks]
        return None if None in numbers else sum(number or 0 for number in numbers)

    @property
    def finished(self) -> bool:
        """All tasks are."""
        return all(task.state == "finished" for task in self.tasks)

    def told(self, total: int | None) -> dict[str, Any]:
        """What `rrg status --json` says of the stage."""
        counts: Counter[str] = Counter()
        for task in self.tasks:
            counts.update(task.counts)
        per_second = sum(task.per_second for task in self.tasks if task.state == "running")
        done, states = self.done, Counter(task.state for task in self.tasks)
        if self.finished and done is not None:
            total = done
        left = None if total is None or done is None else max(0, total - done)
        return {
            "stage": self.name,
            "tasks": dict(sorted(states.items())),
            "done": done,
            "total": total,
            "per_hour": round(3600 * per_second, 1),
            "seconds_left": round(left / per_second) if left and per_second else (0 if left == 0 else None),
            "records": {name: n for name, n in sorted(counts.items()) if name in _WORDS},
            "rejected": {
                name.removeprefix("error."): n for name, n in sorted(counts.items()) if name.startswith("error.")
            },
            "bytes": sum(task.bytes for task in self.tasks),
            "behind": [task.name for task in self.tasks if task.state in ("stopped", "stale")],
        }


def entries(path: Path) -> Iterator[Entry]:
    """Heads of a journal's entries. A last one that is being written, or was torn, is left out."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while head := file.readline():
            try:
                body = json.loads(head)
                end = file.tell() + int(body["bytes"])
                entry = Entry(body["key"], body.get("run", ""), body.get("at"), body["counts"])
            except (ValueError, KeyError, TypeError):
                return
            if end > size:
                return
            file.seek(end)
            yield entry


def stages(folder: Path, *, stale_seconds: float, now: float | None = None) -> list[Stage]:
    """The stages whose outputs lie at or below `folder`, by name. UsageError where there is no such folder.

    A task that nobody holds is stopped; one that is held, but has not finished a study for `stale_seconds`, is stale:
    so is one on another machine, whose hold can not be seen.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give the one that outputs and journals lie in")
    held = _held()
    found: dict[str, list[Task]] = defaultdict(list)
    for path in sorted(_outputs(folder)):
        task = _task(path, folder, held, stale_seconds, time.time() if now is None else now)
        if task is not None:
            found[_TASK.sub("*", task.name)].append(task)
    return [Stage(name, tuple(tasks)) for name, tasks in sorted(found.items())]


def totals(found: Iterable[Stage], of: int | None) -> Iterator[tuple[Stage, int | None]]:
    """Each stage with the number of studies that it will see: `of`, or in a pipeline what the stage before made."""
    before: Stage | None = None
    for stage in found:
        known = of
        if known is None and before is not None and before.finished and _OF_PIPELINE.fullmatch(stage.name):
            known = before.done
        yield stage, known
        before = stage if _OF_PIPELINE.fullmatch(stage.name) else None


def _outputs(folder: Path) -> set[Path]:
    """Outputs that are there or to come: of every journal, and every stream."""
    found: set[Path] = set()
    for root, folders, names in os.walk(folder):
        if "manifest.json" in names:  # a data set or model, not a stage's stream
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in ARRAYS and not name.startswith(".")]
        for name in names:
            if name.endswith((JOURNAL, PARTIAL)):
                found.add(Path(root, name.removesuffix(JOURNAL).removesuffix(PARTIAL)))
            elif name.endswith(".jsonl"):
                found.add(Path(root, name))
    return found


def _task(path: Path, folder: Path, held: frozenset[int] | None, stale: float, now: float) -> Task | None:
    """What is known of one output; None for a file that no stage made."""
    journal, partial = path.with_name(path.name + JOURNAL), path.with_name(path.name + PARTIAL)
    name = path.relative_to(folder).as_posix()
    try:
        known = list(entries(journal)) if journal.exists() else None
        finished = path.is_file() and not partial.exists()
        size = sum(each.stat().st_size for each in (path, journal, partial) if each.exists())
        if known is None:
            counts = _end_counts(path) if finished else {}
            if counts is None:
                return None
            state: State = "finished" if finished else _state(partial, None, held, stale, now)
            return Task(name, state, None if finished else 0, counts, 0.0, None, size)
        current = known[-1].run if known else ""
        own = list({entry.key: entry for entry in known if entry.run == current}.values())
        counts = Counter[str]()
        for entry in own:
            counts.update(entry.counts)
        times = [entry.at for entry in own if entry.at is not None]
        last = times[-1] if times else None
        state = "finished" if finished else _state(partial, last, held, stale, now)
        return Task(name, state, len(own), counts, _rate(times), last, size)
    except FileNotFoundError:  # renamed between two looks
        return _task(path, folder, held, stale, now) if path.exists() or journal.exists() else None


def _rate(times: list[float]) -> float:
    """Studies per second in the last window, pauses of stopped runs included only if within it."""
    recent = [at for at in times if at >= times[-1] - WINDOW_SECONDS]
    return (len(recent) - 1) / span if len(recent) > 1 and (span := recent[-1] - recent[0]) > 0 else 0.0


def _state(partial: Path, last: float | None, held: frozenset[int] | None, stale: float, now: float) -> State:
    """Of an output that has not its name yet."""
    if not partial.exists():
        return "stopped"
    found = partial.stat()
    is_held = held is not None and found.st_ino in held
    quiet = now - max(last or 0.0, found.st_mtime)
    if quiet > stale:
        return "stale"
    return "running" if is_held or held is None else "stopped"


def _held() -> frozenset[int] | None:
    """Inodes of files that processes of this machine hold a lock on; None where the system does not tell."""
    try:
        rows = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    return frozenset(int(found[1]) for row in rows if (found := re.search(r" [0-9a-f]+:[0-9a-f]+:(\d+) ", row)))


def _end_counts(path: Path) -> Mapping[str, int] | None:
    """Counts of the end record that closes a stream; None for a file that is none."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        lines = file.read().splitlines()
    try:
        last = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    if not isinstance(last, dict) or last.get("schema") != "rrg.end/1" or not isinstance(last.get("counts"), dict):
        return None
    counts: dict[str, int] = last["counts"]
    return counts


def total_of(text: str) -> int:
    """Number of studies: a number, the folder of a header index, or a file of records. UsageError for others."""
    if text.isdigit():
        return int(text)
    path = Path(text)
    if path.is_dir():
        from rrg.index import open_index

        return open_index(path).totals()["study"]
    told = (line.head.get("study") for line in read_lines([path]) if isinstance(line.head, dict))
    return len({study for study in told if isinstance(study, str)})


def disk(folder: Path) -> tuple[int, int]:
    """(free, total) bytes of the file system."""
    found = shutil.disk_usage(folder)
    return found.free, found.total


def table(told: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The stages as a person reads them."""
    rows = [("stage", "state", "done", "total", "per hour", "left", "rejected", "MB")]
    behind: list[str] = []
    for each in told:
        rows.append(
            (
                each["stage"],
                ", ".join(f"{n} {state}" if sum(each["tasks"].values()) > 1 else state for state, n in _tasks(each)),
                _or_dash(each["done"]),
                _or_dash(each["total"]),
                f"{each['per_hour']:,.0f}" if each["per_hour"] else "-",
                "-" if set(each["tasks"]) == {"finished"} else duration(each["seconds_left"]),
                ", ".join(f"{code} {n}" for code, n in each["rejected"].items()) or "-",
                f"{each['bytes'] / 1e6:,.1f}",
            )
        )
        behind += each["behind"]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if behind:
        yield f"behind (give the same command with --resume): {', '.join(behind)}"


def _tasks(told: Mapping[str, Any]) -> list[tuple[str, int]]:
    return list(told["tasks"].items())


def _or_dash(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def duration(seconds: float | None) -> str:
    """``3 h 20 min``; a dash for None."""
    if seconds is None:
        return "-"
    minutes = int(seconds) // 60
    if minutes >= 48 * 60:
        return f"{minutes / 1440:.1f} days"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min" if minutes else "< 1 min"
