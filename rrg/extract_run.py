"""How `rrg extract-slices` runs: which of its ways of working the options ask for."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rrg import extract, index, private, series_rules
from rrg.errors import UsageError
from rrg.files import files_under
from rrg.keys import Dates, fingerprint, load_key
from rrg.pipe import Count, Io, Item, Made, run_groups, run_items, talk
from rrg.provenance import make_run
from rrg.records import Report
from rrg.slices import COMMAND, Settings


@dataclass(frozen=True, kw_only=True)
class Task:
    """The options of the command."""

    store: Path | None
    index: Path | None
    everything: bool
    only_referenced: bool
    context: int
    list_only: bool
    series: Path | None
    resample: bool
    modality: str | None
    dates: Dates
    phi_report: Path | None
    forget: tuple[Path, ...]
    max_mb: int
    key_file: Path | None


def check(task: Task, io: Io) -> None:
    """Refuse options that contradict each other, before anything is read."""
    if task.only_referenced and task.index is None:
        raise UsageError("--only-referenced needs --index DIR: slices are found by their headers")
    if task.only_referenced and (task.everything or task.list_only):
        raise UsageError("--only-referenced excludes --all and --list")
    if task.context and not task.only_referenced:
        raise UsageError("--context needs --only-referenced")
    if task.everything and task.index is None:
        raise UsageError("--all needs --index DIR; without an index every study under PATH is extracted")
    if not task.only_referenced and not io.inputs and task.index is None:
        raise UsageError("no input: give PATHs, or --index DIR")
    if task.index is not None and not task.only_referenced:
        if io.inputs and io.shard:
            raise UsageError(
                "an index has one writer: first rrg extract-slices PATH... --index DIR, then each --shard without PATH"
            )
        if not io.inputs and not (task.everything or task.list_only or task.forget):
            raise UsageError("--index without PATH: say what to extract, --all or --only-referenced (or --list)")
        if task.store is not None and not task.everything:
            raise UsageError("--index and --store: say what to extract, --all or --only-referenced")
    if task.store is None and (task.only_referenced or task.everything or task.index is None) and not task.list_only:
        raise UsageError("no place for the pixels: give --store FOLDER, or --list for series records only")
    if task.phi_report is not None and task.store is None:
        raise UsageError("--phi-report tells what the store's source files held: give --store")
    if task.phi_report is not None and not task.phi_report.absolute().parent.is_dir():
        raise UsageError(f"--phi-report {task.phi_report}: no such folder")
    if task.forget and (task.index is None or task.only_referenced or io.shard):
        raise UsageError("--forget takes files out of an --index: give that, and neither --shard nor --only-referenced")


def run_extraction(task: Task, io: Io) -> None:
    """Do what the options say. Does not return."""
    check(task, io)
    if not task.only_referenced:
        next(files_under(io.inputs), None)  # a path that is not there is a usage error, before anything is written
    key = load_key(task.key_file, create=io.shard is None)
    if task.store is not None:
        private.check_key(task.store, fingerprint(key))
    rules = series_rules.load_rules(task.series) if task.series is not None else None
    settings = Settings(
        key=key,
        folder=None if task.list_only else task.store,
        max_bytes=task.max_mb * 1_000_000,
        rules=rules,
        dates=task.dates,
        resample=task.resample,
        modality=task.modality,
        phi=task.phi_report is not None,
    )
    options = {"max_mb": task.max_mb, "dates": task.dates, "resample": task.resample, "modality": task.modality}
    inputs = {"key": fingerprint(key)} | ({"series": series_rules.digest(rules)} if rules is not None else {})
    table = series_rules.Table()
    tail = functools.partial(_say_where, task, table)
    if task.only_referenced:
        assert task.index is not None
        index.open_index(task.index).close()  # no index: say so before anything is written
        find = functools.partial(extract.extract_referenced, folder=task.index, settings=settings, context=task.context)
        run = make_run(COMMAND, options | {"only_referenced": True, "context": task.context}, inputs=inputs)
        run_groups(find, kinds=(Report,), run=run, io=io, store=settings.folder, tail=tail, made=table.add)
        return
    run = make_run(COMMAND, options, inputs=inputs)
    if task.index is not None and not (task.everything or task.list_only):
        _index_only(task, key, settings, io, options, inputs)
        return
    items = _passing_items(task, io, key) if task.index is None else _indexed_items(task, task.index, io, key)
    step = functools.partial(extract.extract, settings=settings)
    run_items(step, items, run=run, io=io, store=settings.folder, tail=tail, made=table.add)


def _outputs(task: Task) -> list[Path]:
    """Folders of ours that may lie below an input."""
    return [each for each in (task.store, task.index) if each is not None]


def _passing_items(task: Task, io: Io, key: bytes) -> Iterator[Item]:
    opened = index.temporary()
    opened.scan(io.inputs, workers=io.workers, skip=_outputs(task))
    yield from extract.rejected_items(opened, key)
    yield from extract.study_items(opened, key, io.has, workers=io.workers)


def _renew(task: Task, folder: Path, io: Io) -> None:
    """Take out what is to be forgotten, take in what lies under the paths. In the loop, so that signals are told."""
    if task.forget:
        talk(COMMAND, f"index: {index.forget(folder, task.forget)} files forgotten")
    if io.inputs:
        changes = index.update(folder, io.inputs, workers=io.workers, skip=_outputs(task))
        talk(COMMAND, f"index: {changes.known} files known, {changes.read} read, {changes.gone} gone")


def _indexed_items(task: Task, folder: Path, io: Io, key: bytes) -> Iterator[Item]:
    _renew(task, folder, io)
    opened = index.open_index(folder)
    yield from extract.rejected_items(opened, key)
    yield from extract.study_items(opened, key, io.has, workers=io.workers)


def _index_only(
    task: Task, key: bytes, settings: Settings, io: Io, options: Mapping[str, Any], inputs: dict[str, str]
) -> None:
    """Tell what the index holds: error records of the files that give no image, and counts."""
    assert task.index is not None
    folder = task.index

    def items() -> Iterator[Item]:
        _renew(task, folder, io)
        yield from extract.rejected_items(index.open_index(folder), key)

    def totals() -> Iterator[Made]:
        counts = index.open_index(folder).totals()
        yield Count("file", counts["image"])
        for name in ("image", "study", "series"):
            yield Count(name, counts[name])

    run_items(
        functools.partial(extract.extract, settings=settings),
        items(),
        run=make_run(COMMAND, {**options, "index": True}, inputs=inputs),
        io=replace(io, inputs=()),
        tail=totals,
    )


def _say_where(task: Task, table: series_rules.Table) -> tuple[()]:
    if task.store is not None:
        if task.phi_report is not None:
            from rrg import phi

            phi.write_report(task.store, task.phi_report, task.dates)
        talk(COMMAND, f"{task.store}/private says which files and UIDs stand behind the ids: keep it to yourself")
    if task.series is not None or task.list_only:
        for line in str(table).splitlines():
            talk(COMMAND, line)
    return ()
