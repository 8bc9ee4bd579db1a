"""The one read-apply-write loop behind every command."""

import dataclasses
import enum
import functools
import hashlib
import json
import os
import signal
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TypeVar, cast

from rrg import collector, errors
from rrg.codec import content_id, decode, encode, schema_of, word_of
from rrg.errors import RecordError, RrgError, UsageError
from rrg.parallel import ordered_map
from rrg.progress import Progress
from rrg.records import KINDS, End, Error, Record, Run, Sample
from rrg.signals import at_once, careful
from rrg.stream import Line, Output, Place, line_at, open_input, places, read_lines

R = TypeVar("R", bound=Record)


class OnError(enum.StrEnum):
    """What to do with an input that fails."""

    RECORD = "record"
    FAIL = "fail"


@dataclasses.dataclass(frozen=True)
class Io:
    """How a command reads and writes: the shared options."""

    inputs: tuple[Path, ...] = ()
    out: Path | None = None
    tee: Path | None = None
    resume: bool = False
    workers: int = 1
    shard: tuple[int, int] | None = None
    """(i, n), one-based."""
    on_error: OnError = OnError.RECORD
    flush: bool = False
    exclude: frozenset[str] = frozenset()
    """Patients, by pseudonym, whose studies are not worked on and whose lines are not passed on."""

    def __post_init__(self) -> None:
        """Refuse combinations that can not work."""
        if self.out is not None and self.tee is not None:
            raise UsageError("--out and --tee exclude each other")
        target = self.out or self.tee
        for name in (target, target and target.with_name(f"{target.name}.partial")):
            if (
                name is not None
                and name.is_file()
                and any(each.is_file() and each.samefile(name) for each in self.inputs)
            ):
                raise UsageError(f"{name} is an input and would be overwritten; give another output")
        if self.resume and self.out is None and self.tee is None:
            raise UsageError("--resume needs --out FILE or --tee FILE: stdout keeps nothing to resume from")

    def has(self, key: str) -> bool:
        """True when this shard works on `key` (patient, else study or item)."""
        if key in self.exclude:
            return False
        if self.shard is None:
            return True
        number, of = self.shard
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % of == number - 1


class Count(NamedTuple):
    """A step yields it to add to the funnel of its run."""

    name: str
    n: int = 1


@dataclasses.dataclass(frozen=True)
class Group:
    """All records of one study that a step asked for, in stream order."""

    key: str
    """Study id."""
    records: tuple[Record, ...]

    def of(self, kind: type[R]) -> tuple[R, ...]:
        """The records of one kind."""
        return tuple(record for record in self.records if isinstance(record, kind))


class Item(NamedTuple):
    """Work of a command that makes records out of something else than records."""

    key: str
    """Stable identity; with the run id, the key of the journal."""
    shard_key: str
    payload: Any


Made = Record | Count
Step = Callable[[Any], Iterable[Made]]


def nothing(_group: Group) -> Iterable[Made]:
    """The step that makes nothing: lines are only passed on."""
    return ()


_BRACKETS = ("rrg.run/1", "rrg.end/1")


class _Lines(NamedTuple):
    """Part of the input: the lines of one study (or lines of no study, with `key` None)."""

    key: str | None
    lines: list[Line]
    shard_key: str = ""


class _Result(NamedTuple):
    body: bytes
    counts: dict[str, int]


def run_groups(
    step: Callable[[Group], Iterable[Made]],
    *,
    kinds: tuple[type[Record], ...],
    run: Run,
    io: Io,
    store: Path | None = None,
    tail: Callable[[], Iterable[Made]] | None = None,
    merge: bool = False,
    ready: Callable[[], object] | None = None,
    seen: Callable[[Sequence[Line]], None] | None = None,
    made: Callable[[bytes], None] | None = None,
    done: Callable[[dict[str, int]], Iterable[str]] | None = None,
) -> None:
    """Apply `step` to each study of the input and append what it makes to the study's lines.

    Every line of the input is passed on byte for byte. `step` must be picklable (a module-level function or a
    ``functools.partial`` of one). `store` is where it writes arrays: a finished study of the journal whose arrays are
    not there any more is done again. `tail` makes the last records, in this process. `ready` loads what the step needs
    for its first study, while that is still waited for; workers load it with theirs. `seen` is shown the lines of every
    study, in this process, also those of other shards and finished ones; `made` the lines that the step added to a
    study; `done` a copy of all counts when everything is written: it may take out those that it puts in words, and
    returns lines for stderr. Does not return: leaves the process with the exit code of the README.
    """
    names = {name for name, kind in KINDS.items() if kind in kinds}

    def work() -> Iterator[tuple[list[bytes], bytes | None, Any]]:
        if ready is not None and io.workers <= 1:
            ready()
        for part in studies_of(io.inputs, merge=merge):
            if seen is not None and part.key is not None:
                seen(part.lines)
            if part.key is None:
                if io.shard is None or io.shard[0] == 1 or all(_is_bracket(line) for line in part.lines):
                    yield [line.raw for line in part.lines if not _is_of(line, io.exclude)], None, None
            elif io.has(part.shard_key):
                wanted = [line.raw for line in part.lines if schema_of(line.head) in names]
                yield [line.raw for line in part.lines], _key(run, wanted), (part.key, wanted)

    apply = functools.partial(_apply_group, step, run, tuple(sorted(names)))
    _loop(work(), apply, run, io, tail, from_records=True, store=store, made=made, done=done)


def run_items(
    step: Step,
    items: Iterable[Item],
    *,
    run: Run,
    io: Io,
    store: Path | None = None,
    tail: Callable[[], Iterable[Made]] | None = None,
    made: Callable[[bytes], None] | None = None,
) -> None:
    """Apply `step` to the payload of each item. As `run_groups`, for commands without records as input.

    `made` is shown the lines that each item gave, in this process.
    """

    def work() -> Iterator[tuple[list[bytes], bytes | None, Any]]:
        for item in items:
            if io.has(item.shard_key):
                yield [], _key(run, [item.key.encode()]), (item.key, item.payload)

    apply = functools.partial(_apply_item, step, run)
    _loop(work(), apply, run, io, tail, from_records=False, store=store, made=made)


def read_records(inputs: Sequence[Path], kinds: tuple[type[Record], ...]) -> Iterator[Record]:
    """Records of the wanted kinds, and every run and end record; for commands at the end of a pipe."""
    names = {name for name, kind in KINDS.items() if kind in (*kinds, Run, End)}
    for line in read_lines(inputs):
        if (name := schema_of(line.head)) in names:
            yield _decode(line.raw, name)


def check_closed(seen: Iterable[Record], what: str) -> None:
    """Raise when a run record has no end record, or a record names a run that is not there."""
    opened: dict[str, str] = {}
    closed: set[str] = set()
    named: set[str] = set()
    for record in seen:
        if isinstance(record, Run):
            opened[record.id] = record.command
        elif isinstance(record, End):
            closed.add(record.run)
        elif record.run:
            named.add(record.run)
    if left := [f"{opened[run]} ({run})" for run in opened if run not in closed]:
        raise RrgError(
            f"{what}: the stream is cut short, no end record of {', '.join(left)}; "
            "run that stage again, or pass --partial"
        )
    if unknown := sorted(named - set(opened)):
        raise RrgError(
            f"{what}: records of run {unknown[0]} without its run record; keep rrg.run/1 lines, or pass --partial"
        )


def _is_of(line: Line, patients: frozenset[str]) -> bool:
    """The line names one of the patients."""
    return bool(patients) and isinstance(line.head, dict) and line.head.get("patient") in patients


def _is_bracket(line: Line) -> bool:
    return schema_of(line.head) in _BRACKETS


def _key(run: Run, raws: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256(run.id.encode())
    for raw in raws:
        digest.update(b"\n" + raw)
    return digest.digest()[:16]


def _decode(raw: bytes, name: str) -> Record:
    try:
        return decode(raw, KINDS[name])
    except RecordError as error:
        raise RrgError(f"input record refused: {error.message}") from None


def _study(line: Line) -> str | None:
    if (schema := schema_of(line.head)) in KINDS and schema not in _BRACKETS:
        study = line.head.get("study")
        return study if isinstance(study, str) else None
    return None


def _shard_key(lines: Iterable[Line], study: str) -> str:
    for line in lines:
        if isinstance(patient := line.head.get("patient") if isinstance(line.head, dict) else None, str):
            return patient
    return study


def studies_of(inputs: Sequence[Path], *, merge: bool) -> Iterator[_Lines]:
    """Cut the input into studies. Several files are merged by study; one stream must hold each study together."""
    if merge and (not inputs or Path("-") in inputs):
        with tempfile.NamedTemporaryFile(prefix="rrg-sort-") as spool:
            for line in read_lines(inputs):
                spool.write(line.raw + b"\n")
            spool.flush()
            yield from _merged([Path(spool.name)])
        return
    if merge or (len(inputs) > 1 and Path("-") not in inputs):
        yield from _merged(inputs)
        return
    seen: set[str] = set()
    study: str | None = None
    lines: list[Line] = []
    for line in read_lines(inputs):
        own = _study(line)
        if own is None and (study is None or _is_bracket(line)):
            if study is not None:
                yield _Lines(study, lines, _shard_key(lines, study))
                study, lines = None, []
            yield _Lines(None, [line])
        elif own is None or own == study:
            lines.append(line)
        else:
            if study is not None:
                yield _Lines(study, lines, _shard_key(lines, study))
            if own in seen:
                raise RrgError(f"study {own} comes back after another began; bring its records together with rrg sort")
            seen.add(own)
            study, lines = own, [line]
    if study is not None:
        yield _Lines(study, lines, _shard_key(lines, study))


def _merged(inputs: Sequence[Path]) -> Iterator[_Lines]:
    """Merge files by study through byte offsets: memory grows with the number of lines, not with their size."""
    studies: dict[str, list[Place]] = {}
    runs: dict[bytes, None] = {}
    ends: dict[bytes, None] = {}
    other: list[Place] = []
    for path in inputs:
        for place, head in places(path):
            line = Line(b"", head)
            if (study := _study(line)) is not None:
                studies.setdefault(study, []).append(place)
            elif _is_bracket(line):
                with open_input(path) as file:
                    raw = line_at({path: file}, place).raw
                (runs if schema_of(head) == "rrg.run/1" else ends).setdefault(raw)
            else:
                other.append(place)
    files = {path: open_input(path) for path in inputs}
    for raw in runs:
        yield _Lines(None, [Line(raw, {"schema": "rrg.run/1"})])
    for place in other:
        yield _Lines(None, [line_at(files, place)])
    for study, found in studies.items():
        lines = list({line.raw: line for line in (line_at(files, place) for place in found)}.values())  # each once
        yield _Lines(study, lines, _shard_key(lines, study))
    for raw in ends:
        yield _Lines(None, [Line(raw, {"schema": "rrg.end/1"})])
    for file in files.values():
        file.close()


def _encode_all(made: Iterable[Made], run: Run, study: str | None, source: str) -> _Result:
    """Stamp and encode what a step makes. A RecordError ends the step with an error record."""
    lines: list[bytes] = []
    counts: Counter[str] = Counter()

    def add(record: Record) -> None:
        name = word_of(record.schema)
        counts[f"error.{record.code}" if isinstance(record, Error) else name] += 1
        lines.append(encode(record) if isinstance(record, Run | End) else _stamped(record, run.id))

    try:
        for each in made:
            if isinstance(each, Count):
                counts[each.name] += each.n
            else:
                add(each)
    except RecordError as error:
        add(error_record(error, run.command, source, study=study))
    return _Result(b"".join(line + b"\n" for line in lines), dict(sorted(counts.items())))


_NO_ID, _NO_RUN = b'"id":""', b'"run":""'
"""In the bytes of a record without: inside of a text before them the quotation marks would be escaped."""


def _stamped(record: Record, run: str) -> bytes:
    """The line of a record with the id of its run, and one of its content where a step gave it none.

    Both are written into the bytes: a copy of the record costs more than encoding.
    """
    raw = encode(record)
    if isinstance(record, Sample) and not record.id and not record.run:
        raw = raw.replace(_NO_ID, b'"id":"%s"' % content_id(raw).encode(), 1)
    if not getattr(record, "run", run) and raw.count(_NO_RUN, 0, 200):
        return raw.replace(_NO_RUN, f'"run":"{run}"'.encode(), 1)
    return encode(dataclasses.replace(cast(Any, record), run=run))


def error_record(
    error: RecordError, command: str, source: str, *, study: str | None = None, patient: str | None = None
) -> Error:
    """The record of one rejected input. `source` is a record id or ``file/<keyed hash>``."""
    digest = hashlib.sha256(f"{command}\0{source}\0{error.code}\0{error.message}".encode()).hexdigest()[:20]
    return Error(
        id=digest, code=error.code, command=command, message=error.message, source=source, study=study, patient=patient
    )


def _apply_group(step: Step, run: Run, names: tuple[str, ...], task: tuple[str, list[bytes]]) -> _Result:
    study, raws = task
    by_name = {name: f'{{"schema":"{name}"'.encode() for name in names}

    def name_of(raw: bytes) -> str:
        for name, head in by_name.items():
            if raw.startswith(head):
                return name
        return cast(str, json.loads(raw)["schema"])

    records = tuple(_decode(raw, name_of(raw)) for raw in raws)
    return _encode_all(step(Group(study, records)), run, study, study)


def _apply_item(step: Step, run: Run, task: tuple[str, Any]) -> _Result:
    key, payload = task
    return _encode_all(step(payload), run, None, key)


class _Stop(BaseException):
    """A signal asked for an orderly end."""

    def __init__(self, code: int) -> None:
        self.code = code


def _on_signal(number: int, _frame: FrameType | None) -> None:
    code = errors.INTERRUPTED if number == signal.SIGINT else errors.INTERRUPTED_RESUMABLE
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(each, at_once(code))
    raise _Stop(code)


class _FirstFailure(BaseException):
    """The first error record under ``--on-error fail`` was written."""


def _loop(
    work: Iterator[tuple[list[bytes], bytes | None, Any]],
    apply: Callable[[Any], _Result],
    run: Run,
    io: Io,
    tail: Callable[[], Iterable[Made]] | None,
    *,
    from_records: bool,
    store: Path | None = None,
    made: Callable[[bytes], None] | None = None,
    done: Callable[[dict[str, int]], Iterable[str]] | None = None,
) -> None:
    """Write the run record, every item, the tail and the end record, then leave the process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, careful(_on_signal))
    output: Output | None = None
    totals: Counter[str] = Counter()
    progress = Progress.from_environment()
    try:
        output = Output(io.out, io.tee, resume=io.resume, flush=io.flush)
        if output.journal is not None:
            output.journal.run = run.id
        output.write([encode(run)])
        with collector.seldom():
            for result in _results(work, apply, output, io.workers, run.command, store):
                totals.update(result.counts)
                progress.add(*_told(result.counts), rejected=_rejected(result.counts))
                if made is not None:
                    made(result.body)
                if io.on_error is OnError.FAIL and _rejected(result.counts):
                    raise _FirstFailure
        if tail is not None:
            result = _encode_all(tail(), run, None, run.command)
            output.write_block(result.body)
            totals.update(result.counts)
            if io.on_error is OnError.FAIL and _rejected(result.counts):
                raise _FirstFailure
        shard = f"{io.shard[0]}/{io.shard[1]}" if io.shard is not None else None
        output.write([encode(End(run=run.id, counts=dict(sorted(totals.items())), shard=shard))])
        output.finish()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)  # all is written; what follows only tells about it
        progress.finish()
    except BrokenPipeError:
        _leave_silently()
        _exit(errors.READER_GONE)
    except _Stop as stop:
        _abandon(output)
        talk(run.command, "stopped; give the same command with --resume to go on")
        _exit(stop.code)
    except _FirstFailure:
        _abandon(output)
        complain(run.command, "stopped at the first rejected input (--on-error fail); its error record says why")
        _exit(errors.FAILED)
    except OSError as error:
        _abandon(output)
        complain(run.command, f"output: {error.strerror or error} [E_IO]")
        _exit(errors.FAILED)
    except RrgError:
        _abandon(output)
        raise
    shown = dict(totals)
    lines = list(done(shown)) if done is not None else []
    talk(run.command, "done: " + (", ".join(f"{name} {n}" for name, n in sorted(shown.items())) or "nothing made"))
    for line in lines:
        talk(run.command, line)
    usable = sum(n for name, n in totals.items() if name in _KIND_WORDS)
    if not usable and (_rejected(totals) or not (from_records or io.shard)):  # a part of few patients may be empty
        complain(run.command, "nothing usable came out" if totals else "no usable input")
        _exit(errors.FAILED)
    _exit(errors.RECORDS_FAILED if _rejected(totals) else 0)


def _rejected(counts: Mapping[str, int]) -> bool:
    """True when an input was rejected; objects that are no images, and exact copies, are only counted."""
    return any(name.startswith("error.") and name not in ("error.E_NOT_IMAGE", "error.E_DUPLICATE") for name in counts)


_KIND_WORDS = set(map(word_of, KINDS)) - {"run", "end", "error"} | {"image"}
"""Counts that say that something usable came out; `image`: headers of an index."""


def _told(counts: Mapping[str, int]) -> tuple[int, dict[str, int]]:
    """Number of records, and of error records by code."""
    errors_ = {name.removeprefix("error."): n for name, n in counts.items() if name.startswith("error.")}
    return sum(n for name, n in counts.items() if name in _KIND_WORDS), errors_


def _results(
    work: Iterator[tuple[list[bytes], bytes | None, Any]],
    apply: Callable[[Any], _Result],
    output: Output,
    workers: int,
    command: str,
    store: Path | None,
) -> Iterator[_Result]:
    """Apply in order; lines of no study and finished groups of the journal take their place in the order too."""
    journal = output.journal

    def is_known(key: bytes) -> bool:
        found = journal.get(key) if journal is not None else None
        if found is None or store is None:
            return found is not None
        from rrg.store import holds

        return holds(store, found[0])

    order: deque[tuple[list[bytes], bytes | None]] = deque()

    def tasks() -> Iterator[tuple[Callable[[Any], _Result] | None, Any]]:
        for lines, key, payload in work:
            order.append((lines, key))
            yield (None if key is None or is_known(key) else apply), payload

    for result in _shown(ordered_map(_call, tasks(), workers), command):
        lines, key = order.popleft()
        if lines:
            output.write(lines)
        if key is None:
            continue
        if result is not None and journal is not None:
            journal.put(key, result.body, result.counts)
        elif journal is not None and (found := journal.get(key)) is not None:
            result = _Result(*found)
        assert result is not None
        output.write_block(result.body)
        yield result


def _shown(results: Iterator[_Result | None], command: str) -> Iterable[_Result | None]:
    """With a progress bar where somebody sees it."""
    if not sys.stderr.isatty():
        return results
    from tqdm import tqdm  # takes as long to load as ten studies

    return cast(Iterable[_Result | None], tqdm(results, desc=f"rrg {command}", unit=" studies"))


def _call(task: tuple[Callable[[Any], _Result] | None, Any]) -> _Result | None:
    apply, payload = task
    return None if apply is None else apply(payload)


def talk(command: str, message: str) -> None:
    """One line to stderr."""
    if not os.environ.get("RRG_QUIET"):
        print(f"rrg {command}: {message}", file=sys.stderr)


def complain(command: str, message: str) -> None:
    """One line to stderr about what went wrong, with --quiet too."""
    print(f"rrg {command}: {message}", file=sys.stderr)


def _abandon(output: Output | None) -> None:
    if output is not None:
        output.abandon()


def _leave_silently() -> None:
    """Point fds that nobody reads at /dev/null, so that closing them can not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)


def _exit(code: int) -> None:
    """Leave now: buffers of the record stream are closed already or of no use."""
    sys.stderr.flush()
    os._exit(code)
