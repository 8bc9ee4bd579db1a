"""rrg synth-ground: grounded reports and phrases: mentioned and present on the slice."""

import enum
import functools
from typing import Annotated

import typer

from rrg.pipe import Io, run_groups
from rrg.records import Mask, Report, Slice

from . import _options as opt


class Boxes(enum.StrEnum):
    """Which boxes a region has."""

    UNION = "union"
    COMPONENTS = "components"


@opt.streaming
def command(
    inputs: opt.Inputs = None,
    tasks: Annotated[
        str, typer.Option(help="Of: report, grounded-report, phrase-to-box, detect, box-to-phrase.")
    ] = "report,grounded-report,phrase-to-box,detect,box-to-phrase",
    languages: Annotated[str, typer.Option(help="Languages of the samples.")] = "de,en",
    slices: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="all, referenced, every:K, or a number per series, evenly spaced; referenced ones always.",
        ),
    ] = "40",
    per_slice: Annotated[
        int, typer.Option(min=0, help="Detect questions per slice and language, half of them for absent structures.")
    ] = 4,
    min_area_px: Annotated[int, typer.Option(min=1, help="Smallest area of a structure, in pixels.")] = 20,
    boxes: Annotated[
        Boxes, typer.Option(help="One union box per structure, or one box per connected component.")
    ] = Boxes.UNION,
    paraphrase: Annotated[bool, typer.Option("--paraphrase", help="Draw the wording of prompts at random.")] = False,
    seed: opt.Seed = 0,
    *,
    io: Io,
) -> None:
    """Make grounded samples from slices, masks and reports.

    A phrase gets boxes when its structure is mentioned in a sentence about the slice (not negated, not of an earlier
    study) and is present on the slice. Detect and box-to-phrase questions come from the masks alone.

    Example:  rrg synth-ground masks.jsonl --languages de --per-slice 6 > samples.jsonl
    """
    from rrg.synth.facts import check_choice, languages_of, one_of, run_of
    from rrg.synth.grounding import COMMAND, TASKS, Options, ground

    options = Options(
        languages=languages_of(languages),
        tasks=one_of(tasks, TASKS, "--tasks"),
        slices=check_choice(slices),
        per_slice=per_slice,
        min_area_px=min_area_px,
        components=boxes is Boxes.COMPONENTS,
        paraphrase=paraphrase,
        seed=seed,
    )
    run_groups(functools.partial(ground, options), kinds=(Slice, Report, Mask), run=run_of(COMMAND, options), io=io)
