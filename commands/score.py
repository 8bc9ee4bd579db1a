"""rrg score: predictions against references, with intervals."""

import gc
from pathlib import Path
from typing import Annotated, Any

import typer

from rrg.errors import RECORDS_FAILED, UsageError

from ._score_judge import with_judge
from ._score_models import with_models
from ._score_options import with_task_options
from ._score_page import with_page


@with_judge
@with_models
@with_page
@with_task_options
def command(
    task: Annotated[str | None, typer.Argument(help="What is scored: vqa, report, ...; see --protocols.")] = None,
    predictions: Annotated[Path | None, typer.Argument(help="Predictions, or both sides; - is stdin.")] = None,
    references: Annotated[Path | None, typer.Argument(help="References.")] = None,
    protocols: Annotated[bool, typer.Option("--protocols", help="List protocols and metrics, read no file.")] = False,
    protocol: Annotated[str | None, typer.Option(help="How to score; default: the first of --protocols.")] = None,
    out: Annotated[Path, typer.Option(help="JSON result; - is stdout.")] = Path("-"),
    per_item: Annotated[Path | None, typer.Option(help="One JSON line per item.")] = None,
    table: Annotated[Path | None, typer.Option(metavar="FILE", help="Also a table: .md or .tex.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Also a forest plot: .svg.")] = None,
    value: Annotated[str | None, typer.Option(metavar="METRIC", help="Print this one number instead.")] = None,
    metrics: Annotated[str | None, typer.Option(metavar="A,B", help="Only these metrics.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Only references with this.")] = None,
    by: Annotated[str | None, typer.Option(metavar="FIELD,...", help="Strata; none: no strata.")] = None,
    cluster: Annotated[str | None, typer.Option(metavar="FIELD", help="Resample these groups, e.g. patient.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=0, help="Bootstrap draws; 0: no intervals.  [10000; 1000 for AP and the like]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 12_345,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Missing predictions: exit 0, not 3.")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Score a stream that was cut short.")] = False,
    id_field: Annotated[str | None, typer.Option(help="Field of the id.")] = None,
    prediction_field: Annotated[str | None, typer.Option(help="Field of the prediction.")] = None,
    reference_field: Annotated[str | None, typer.Option(help="Field of the reference, or several: A,B.")] = None,
    format: Annotated[str | None, typer.Option(help="Format of the files when the fields are ambiguous.")] = None,
    sanity: Annotated[bool, typer.Option("--sanity", help="Also score trivial answers: majority, constant.")] = False,
    baseline: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="Also score these predictions, e.g. without image.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No table on stderr.")] = False,
    task_options: Any = None,
    page: Any = None,
    models: Any = None,
    judge: Any = None,
) -> None:
    """Score predictions against references, joined by id, with 95 % intervals.

    Example:  rrg score vqa predictions.jsonl dataset/test.jsonl --where lang=de --out scores.json
    """
    from rrg.metrics.listing import listing
    from rrg.metrics.options import task_options as read_options
    from rrg.metrics.output import deliver
    from rrg.outputs.score_files import extra_files
    from rrg.score import score
    from rrg.score_compare import compare
    from rrg.score_options import SAMPLES, Options, baseline_of, condition, names

    gc.disable()  # a short process: many rows and no cycles, a quarter of the time is the collector's
    if protocols:
        print(listing(task))
        return
    if task is None or predictions is None:
        raise UsageError("TASK and PREDICTIONS are needed; rrg score --protocols lists the tasks")
    of_task, given = read_options(task_options)
    options = Options(
        protocol=protocol,
        metrics=names(metrics),
        where=tuple(condition(each) for each in where or ()),
        by=names(by),
        cluster=cluster,
        samples=SAMPLES if samples is None else samples,
        drawn_samples=samples,
        seed=seed,
        format=format,
        id_field=id_field,
        prediction_field=prediction_field,
        reference_field=reference_field,
        partial=partial,
        sanity=sanity,
        baselines=tuple(baseline_of(each) for each in baseline or ()),
        judge=judge,
        models=models,
        task=of_task,
        given=given,
    )
    if task == "compare":
        if sanity or baseline or any(each is not None for each in (judge, models, page)):
            raise UsageError("--sanity, --baseline, --judge-url, --page and models are for one system; score each")
        result = compare(predictions, references, options)
    else:
        result = score(task, predictions, references, options)
    also = extra_files(result.body, result.items, table, plot)
    if page is not None:
        from rrg.outputs.score_page import write_score_page

        write_score_page(result, page, of_task)
    deliver(result, out=out, per_item=per_item, value=value, quiet=quiet, also=also)
    if result.missing and not allow_missing:
        raise SystemExit(RECORDS_FAILED)
