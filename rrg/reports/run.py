"""How `rrg parse-reports` runs: what is found out before, the studies, what is left at the end."""

import functools
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rrg.errors import UsageError
from rrg.index import Index, open_index
from rrg.keys import fingerprint, load_key
from rrg.llm_options import LlmOptions
from rrg.pipe import Io, run_groups, run_items, talk
from rrg.provenance import make_run
from rrg.records import Slice
from rrg.reports import linked, linking
from rrg.reports.clinic import Clinic
from rrg.reports.coverage import Gathering
from rrg.reports.lexicon import lexicon_version
from rrg.reports.link import Decision
from rrg.reports.llm_run import closing, reader_of
from rrg.reports.phi_run import Watch, phi_of, recorded
from rrg.reports.rewrite_run import by_model, rewriting_of
from rrg.reports.settings import Settings
from rrg.reports.sources import Where, digest
from rrg.reports.sources_columns import columns_of
from rrg.reports.sources_keys import ACCESSION, PATIENT_DATE, STUDY_UID, link_table
from rrg.reports.steps import indexed_items, parse_alone, parse_indexed, parse_study, ready
from rrg.stream import read_lines

COMMAND = "parse-reports"


@dataclass(frozen=True, kw_only=True)
class Task:
    """The options of the command."""

    reports: tuple[Path, ...]
    text_column: str
    id_column: str
    columns: tuple[str, ...]
    """``FIELD=COLUMN``."""
    link: str | None
    image_number: str
    unmatched: linked.Unmatched
    index: Path | None
    key_file: Path | None
    rules: Clinic | None
    coverage: str | None
    rewrite: tuple[str, ...]
    """Of ``static`` and ``translation``."""
    translations: Path | None
    llm: LlmOptions
    engine: str
    """``rules`` or ``llm``."""
    phi: str
    """``mask``, ``fail`` or ``off``."""
    phi_known: Path | None
    phi_map: bool


def run_parsing(task: Task, io: Io) -> None:
    """Do what the options say. Does not return."""
    if not task.reports:
        raise UsageError("--reports is missing: name the reports, or with --evaluate the gold files")
    if task.index is not None and io.inputs:
        raise UsageError("--index takes the place of slice records: give no FILE")
    columns = columns_of(task.columns, task.text_column, task.id_column)
    where = Where(tuple(map(str, task.reports)), columns, load_key(task.key_file), task.link or "")
    table = link_table(where.link)
    gathered = Gathering(task.coverage, resume=io.resume)
    translating = by_model(task.rewrite, task.translations, task.llm)
    reader = reader_of(task.llm, where, wanted=task.engine == "llm" or translating)
    rewriting, reworded = rewriting_of(task.rewrite, task.translations, reader.settings if translating else None)
    phi = phi_of(task.phi, task.phi_known, task.key_file, where.key, maps=task.phi_map)
    watch = Watch(phi)
    settings = Settings(
        where=where,
        phi=phi,
        llm=reader.settings if task.engine == "llm" else None,
        rewriting=rewriting,
        rules=task.rules,
        coverage=gathered.spool,
        image_number=task.image_number,
    )
    with _seekable(io, where) as io:
        opened = open_index(task.index) if task.index is not None else None
        plan = _plan(opened, io, where)
        settings = replace(settings, plan=linking.save(plan))
        decisions = _decisions(opened, settings)
        settings = replace(settings, decisions=decisions)
        how = task.link if task.link in (None, STUDY_UID, ACCESSION, PATIENT_DATE) else "table"
        options: dict[str, Any] = {
            "unmatched": task.unmatched,
            "columns": dict(columns.pairs),
            "link": how,
            "image_number": task.image_number,
            **({} if decisions is None else {"readings": {each.kind: each.reading for each in decisions}}),
            **reader.options,
            **({"engine": task.engine} if reader.options else {}),
            **({"rewrite": sorted(task.rewrite)} if task.rewrite else {}),
            **recorded(phi)[0],
        }
        inputs = {"lexicon": lexicon_version(), "key": fingerprint(where.key), "reports": digest(where)}
        inputs |= recorded(phi)[1]
        inputs |= {"studies": known} if (known := linking.plan_digest(plan)) else {}
        inputs |= {"link": linking.table_digest(table)} if table is not None else {}
        run = make_run(COMMAND, options, inputs={**inputs, **reader.inputs, **reworded})
        left = linked.Reports(settings, io, task.unmatched, parse_alone)
        tail = gathered.closing(watch.closing(closing(reader, left.tail)))
        if opened is not None:
            items = indexed_items(opened, settings, left, io.has)
            run_items(
                functools.partial(parse_indexed, settings=settings), items, run=run, io=io, tail=tail, made=watch.made
            )
        step = functools.partial(parse_study, settings=settings)
        load = functools.partial(ready, settings)
        run_groups(step, kinds=(Slice,), run=run, io=io, ready=load, seen=left.seen, tail=tail, made=watch.made)


def _plan(opened: Index | None, io: Io, where: Where) -> linking.Plan:
    """What all studies tell, where they can be read twice."""
    if opened is not None:
        return linking.survey_index(opened, where)
    if io.inputs and all(map(_is_plain, io.inputs)):
        return linking.survey_lines(io.inputs, where)
    return linking.NOTHING


def _decisions(opened: Index | None, settings: Settings) -> tuple[Decision, ...] | None:
    """How image numbers are read, by all reports of an index; said on stderr."""
    if opened is None or settings.image_number != "auto":
        return None
    decisions = tuple(linking.decide_readings(opened, settings).values())
    said = "; ".join(map(str, decisions)) or "no reference with a series number to decide by"
    talk(COMMAND, f"image numbers: {said}")
    return decisions


@contextmanager
def _seekable(io: Io, where: Where) -> Iterator[Io]:
    """Patient and day need all studies before the first: what comes by a pipe is kept in a file without a name."""
    if where.link != PATIENT_DATE or (io.inputs and all(map(_is_plain, io.inputs))):
        yield io
        return
    with tempfile.TemporaryFile(prefix="rrg-reports-") as spool:
        for line in read_lines(io.inputs):
            spool.write(line.raw + b"\n")
        spool.flush()
        yield replace(io, inputs=(Path(f"/dev/fd/{spool.fileno()}"),))


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return False
