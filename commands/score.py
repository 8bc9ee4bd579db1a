"""rrg score: predictions against references, with intervals."""

from pathlib import Path
from typing import Annotated

import typer

from rrg.errors import RECORDS_FAILED, UsageError


def command(
    task: Annotated[str | None, typer.Argument(help="vqa, report, refer, grounded-text or compare.")] = None,
    predictions: Annotated[Path | None, typer.Argument(help="Predictions, or both sides; - is stdin.")] = None,
    references: Annotated[Path | None, typer.Argument(help="References.")] = None,
    protocols: Annotated[bool, typer.Option("--protocols", help="List protocols and metrics, read no file.")] = False,
    protocol: Annotated[str | None, typer.Option(help="How to score; default: the first of --protocols.")] = None,
    out: Annotated[Path, typer.Option(help="JSON result; - is stdout.")] = Path("-"),
    per_item: Annotated[Path | None, typer.Option(help="One JSON line per item.")] = None,
    value: Annotated[str | None, typer.Option(metavar="METRIC", help="Print this one number instead.")] = None,
    metrics: Annotated[str | None, typer.Option(metavar="A,B", help="Only these metrics.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Only references with this.")] = None,
    by: Annotated[str | None, typer.Option(metavar="FIELD,...", help="Strata; none: no strata.")] = None,
    cluster: Annotated[str | None, typer.Option(metavar="FIELD", help="Resample these groups, e.g. patient.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="Bootstrap and permutation draws; 0: no intervals.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 12_345,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Missing predictions: exit 0, not 3.")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Score a stream that was cut short.")] = False,
    id_field: Annotated[str | None, typer.Option(help="Field of the id.")] = None,
    prediction_field: Annotated[str | None, typer.Option(help="Field of the prediction.")] = None,
    reference_field: Annotated[str | None, typer.Option(help="Field of the reference, or several: A,B.")] = None,
    format: Annotated[str | None, typer.Option(help="Format of the files when the fields are ambiguous.")] = None,
    keep_tags: Annotated[bool | None, typer.Option("--keep-tags", help="Leave inline box tags in texts.")] = None,
    box_format: Annotated[str | None, typer.Option(help="refer: xyxy, xywh or cxcywh.")] = None,
    box_unit: Annotated[str | None, typer.Option(help="refer: pixel, norm01, norm1000, bins512, bins1024.")] = None,
    max_out_of_range: Annotated[float | None, typer.Option(help="refer: share of boxes out of range. [0.05]")] = None,
    syntax: Annotated[str | None, typer.Option(help="grounded-text: radgrounder, paligemma or json.")] = None,
    match: Annotated[str | None, typer.Option(help="grounded-text: exact, or a JSONL of a, b, score.")] = None,
    tokenize: Annotated[str | None, typer.Option(help="sacrebleu: 13a, none, intl, char or zh.")] = None,
    lowercase: Annotated[bool | None, typer.Option("--lowercase", help="sacrebleu: ignore case.")] = None,
    rouge_tokenizer: Annotated[str | None, typer.Option(help="rouge-score: default, stem or unicode.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No table on stderr.")] = False,
) -> None:
    """Score predictions against references, joined by id, with 95 % intervals.

    Example:  rrg score vqa predictions.jsonl dataset/test.jsonl --where lang=de --out scores.json
    """
    from rrg.metrics.listing import listing, text_options
    from rrg.metrics.output import deliver
    from rrg.score import Options, score
    from rrg.score_compare import compare

    if protocols:
        print(listing(task))
        return
    if task is None or predictions is None:
        raise UsageError("TASK and PREDICTIONS are needed; rrg score --protocols lists the tasks")
    known, given = text_options(
        keep_tags=keep_tags,
        tokenize=tokenize,
        lowercase=lowercase,
        rouge_tokenizer=rouge_tokenizer,
        box_format=box_format,
        box_unit=box_unit,
        max_out_of_range=max_out_of_range,
        syntax=syntax,
        match=match,
    )
    options = Options(
        protocol=protocol,
        metrics=tuple(metrics.split(",")) if metrics else None,
        where=tuple(_condition(each) for each in where or ()),
        by=None if by is None else () if by == "none" else tuple(by.split(",")),
        cluster=cluster,
        samples=samples,
        seed=seed,
        format=format,
        id_field=id_field,
        prediction_field=prediction_field,
        reference_field=reference_field,
        partial=partial,
        text=known,
        given=given,
    )
    if task == "compare":
        result = compare(predictions, references, options)
    else:
        result = score(task, predictions, references, options)
    deliver(result, out=out, per_item=per_item, value=value, quiet=quiet)
    if result.missing and not allow_missing:
        raise SystemExit(RECORDS_FAILED)


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--where {text}: expected FIELD=VALUE")
    return name, value.strip()
