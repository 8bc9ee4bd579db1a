"""rrg parse-reports: German and English reports to facts with spans, linked to slices."""

import enum
import functools
from pathlib import Path
from typing import Annotated

import typer

from rrg.llm_options import LlmOptions
from rrg.pipe import Io, run_groups, run_items

from . import _llm
from . import _options as opt
from . import _report_options as more


class UnmatchedChoice(enum.StrEnum):
    """What becomes of a report that belongs to no study of the stream."""

    ERROR = "error"
    KEEP = "keep"
    IGNORE = "ignore"


@opt.streaming
@_llm.with_llm
def command(
    inputs: opt.Inputs = None,
    reports: Annotated[
        list[Path] | None,
        typer.Option(
            help="Report file (.txt .rtf .html .csv .json .jsonl), or a folder of them; may be repeated. A text "
            "file is named by accession number, Study Instance UID or study id, then .de or .en if it is known."
        ),
    ] = None,
    text_column: Annotated[str, typer.Option(help="Column or JSON field of the text.")] = "text",
    id_column: Annotated[
        str, typer.Option(help="Column or JSON field of the accession number or Study Instance UID.")
    ] = "id",
    unmatched: Annotated[
        UnmatchedChoice,
        typer.Option(help="Reports of no study in the stream: an error record each, a report each, or nothing."),
    ] = UnmatchedChoice.ERROR,
    index: Annotated[
        Path | None,
        typer.Option(help="Header index of extract-slices: references are resolved on it, no slice records are read."),
    ] = None,
    key_file: opt.KeyFile = None,
    engine: more.EngineOption = more.Engine.RULES,
    rules: more.Rules = None,
    coverage: more.Coverage = None,
    evaluate: more.Evaluate = None,
    at_least: more.AtLeast = None,
    errors: more.Errors = False,
    format: more.Format = more.EvaluationFormat.TABLE,
    *,
    llm: LlmOptions,
    io: Io,
) -> None:
    """Find in reports what they say: sections, structures, findings, sizes, and the slices they point at.

    Each study of slice records (or, with --index, of the index) gets the records of its reports. Without either:
    --unmatched keep < /dev/null. Names and dates in the text are not masked yet: give pseudonymised reports only.

    Example:  rrg parse-reports slices.jsonl --reports demo/reports > facts.jsonl
    """
    from rrg.errors import UsageError
    from rrg.index import open_index
    from rrg.keys import fingerprint, load_key
    from rrg.provenance import make_run
    from rrg.records import Slice
    from rrg.reports.clinic import read_rules, use_rules
    from rrg.reports.coverage import Gathering
    from rrg.reports.lexicon import lexicon_version
    from rrg.reports.llm_run import closing, reader_of
    from rrg.reports.settings import Settings
    from rrg.reports.sources import Where, digest
    from rrg.reports.steps import Unmatched, indexed_items, parse_indexed, parse_study

    clinic = read_rules(rules) if rules else None
    use_rules(clinic)
    if evaluate:
        from rrg.reports.scoreboard import run_evaluation

        as_json = format is more.EvaluationFormat.JSON
        raise SystemExit(
            run_evaluation((*evaluate, *io.inputs), at_least=at_least or (), errors=errors, as_json=as_json, out=io.out)
        )
    if not reports:
        raise UsageError("--reports is missing: name the reports, or with --evaluate the gold files")
    where = Where(tuple(map(str, reports)), text_column, id_column, load_key(key_file))
    gathered = Gathering(coverage, resume=io.resume)
    reader = reader_of(llm, where, wanted=engine is more.Engine.LLM)
    settings = Settings(where=where, llm=reader.settings, rules=clinic, coverage=gathered.folder)
    left = Unmatched(settings, io, keep=unmatched is UnmatchedChoice.KEEP)
    run = make_run(
        "parse-reports",
        {"unmatched": unmatched.value, "text_column": text_column, "id_column": id_column, **reader.options},
        inputs={"lexicon": lexicon_version(), "key": fingerprint(where.key), "reports": digest(where), **reader.inputs},
    )
    tail = closing(reader, None if unmatched is UnmatchedChoice.IGNORE else left.tail)
    if index is not None:
        if io.inputs:
            raise UsageError("--index takes the place of slice records: give no FILE")
        items = indexed_items(open_index(index), where, left, io.has)
        with gathered:
            run_items(functools.partial(parse_indexed, settings=settings), items, run=run, io=io, tail=tail)
    step = functools.partial(parse_study, settings=settings)
    with gathered:
        run_groups(step, kinds=(Slice,), run=run, io=io, seen=left.seen, tail=tail)
