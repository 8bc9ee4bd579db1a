"""rrg synth-vqa: questions and answers from reports, masks and headers."""

import functools
from typing import Annotated

import typer

from rrg.pipe import Io, run_groups
from rrg.records import Mask, Report, Slice

from . import _options as opt


@opt.streaming
def command(
    inputs: opt.Inputs = None,
    languages: Annotated[str, typer.Option(help="Languages of the samples.")] = "de,en",
    slices: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="all, referenced, every:K, or a number per series, evenly spaced; referenced ones always.",
        ),
    ] = "40",
    findings: Annotated[
        int, typer.Option(min=0, help="Questions per slice and language from masks and reports, at most.")
    ] = 5,
    metadata: Annotated[
        int, typer.Option(min=0, help="Questions per slice and language from the header, at most.")
    ] = 3,
    min_area_px: Annotated[int, typer.Option(min=1, help="Smallest area of a structure, in pixels.")] = 20,
    paraphrase: Annotated[bool, typer.Option("--paraphrase", help="Draw the wording of questions at random.")] = False,
    seed: opt.Seed = 0,
    *,
    io: Io,
) -> None:
    """Make questions and answers from slices, masks and reports.

    Every answer follows from a mask, from a sentence about the slice, or from the header.

    Example:  rrg synth-vqa masks.jsonl --languages en --metadata 0 > samples.jsonl
    """
    from rrg.synth.facts import check_choice, languages_of, run_of
    from rrg.synth.vqa import COMMAND, Options, ask_all

    options = Options(
        languages=languages_of(languages),
        slices=check_choice(slices),
        findings=findings,
        metadata=metadata,
        min_area_px=min_area_px,
        paraphrase=paraphrase,
        seed=seed,
    )
    run_groups(functools.partial(ask_all, options), kinds=(Slice, Report, Mask), run=run_of(COMMAND, options), io=io)
