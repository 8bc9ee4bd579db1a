"""rrg synth-ground: grounded reports and phrases: mentioned and present on the slice."""

import enum
import functools
import sys
from pathlib import Path
from typing import Annotated

import typer

from rrg.errors import UsageError
from rrg.pipe import Io, run_groups
from rrg.records import Mask, Report, Slice

from . import _options as opt


class Boxes(enum.StrEnum):
    """Which boxes a region has."""

    UNION = "union"
    COMPONENTS = "components"


class Border(enum.StrEnum):
    """What to do with structures that reach the border of the image."""

    KEEP = "keep"
    DROP = "drop"


class Pair(enum.StrEnum):
    """How a sentence that cites no slice gets one."""

    MASK = "mask"


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
        int, typer.Option(min=0, help="Detect questions per slice and language, for structures there and not there.")
    ] = 4,
    negatives: Annotated[
        str,
        typer.Option(
            metavar="SHARE", help="Share of questions for what is not there: one, or detect=SHARE,phrase-to-box=SHARE."
        ),
    ] = "detect=0.5,phrase-to-box=0.2",
    min_area_px: Annotated[int, typer.Option(min=1, help="Smallest area of a structure, in pixels.")] = 20,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Leave out structures whose mask was judged worse; not judged ones stay."),
    ] = None,
    border: Annotated[
        Border, typer.Option(help="Structures that reach the border of the image: use them, or leave them out.")
    ] = Border.KEEP,
    pair: Annotated[
        Pair | None,
        typer.Option(
            help="mask: sentences that cite no slice get the one of the primary series where their structure is "
            "largest, marked pairing=inferred.  [default: none]"
        ),
    ] = None,
    boxes: Annotated[
        Boxes, typer.Option(help="One union box per structure, or one box per connected component.")
    ] = Boxes.UNION,
    audit: Annotated[
        int | None, typer.Option(min=1, help="Draw this many labels, over all strata, as a page and a CSV to judge.")
    ] = None,
    audit_out: Annotated[Path, typer.Option(help="Folder for audit.html and audit.csv.")] = Path("audit"),
    audit_read: Annotated[
        Path | None, typer.Option(help="A judged audit.csv: print how many labels are right, per source; no input.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Folder of the pixel and mask arrays, for --audit.")] = None,
    paraphrase: Annotated[bool, typer.Option("--paraphrase", help="Draw the wording of prompts at random.")] = False,
    seed: opt.Seed = 0,
    *,
    io: Io,
) -> None:
    """Make grounded samples from slices, masks and reports.

    A phrase gets boxes when its structure is mentioned in a sentence about the slice (not negated, not of an earlier
    study, not removed) and is present on the slice. Detect and box-to-phrase questions come from the masks alone.
    How often reports and masks agree is said at the end (docs/grounding.md).

    Example:  rrg synth-ground masks.jsonl --languages de --per-slice 6 > samples.jsonl
    """
    from rrg.metrics.agreement import told
    from rrg.outputs.audit_draw import Draw
    from rrg.synth.grounding import ground
    from rrg.synth.grounding_options import COMMAND, TASKS, Options
    from rrg.synth.negatives import shares_of
    from rrg.synth.options import languages_of, one_of, run_of
    from rrg.synth.slice_choice import check_choice

    if audit_read is not None:
        from rrg.outputs.audit import precision, read_verdicts

        sys.stdout.write(precision(read_verdicts(audit_read)))
        return
    if audit is not None and store is None:
        raise UsageError("--audit needs --store STORE: it shows pictures")
    shares = shares_of(negatives)
    options = Options(
        languages=languages_of(languages),
        tasks=one_of(tasks, TASKS, "--tasks"),
        slices=check_choice(slices),
        per_slice=per_slice,
        negatives_detect=shares["detect"],
        negatives_phrase=shares["phrase-to-box"],
        min_area_px=min_area_px,
        min_score=min_score,
        border=border.value,
        pair=pair.value if pair else None,
        components=boxes is Boxes.COMPONENTS,
        paraphrase=paraphrase,
        seed=seed,
    )
    draw = Draw(audit, seed) if audit is not None else None

    def done(counts: dict[str, int]) -> list[str]:
        lines = told(counts)
        if draw is not None and store is not None:
            from rrg.outputs.audit import write_audit

            lines.append(f"{write_audit(draw.items(), store, audit_out)} labels to judge: {audit_out / 'audit.html'}")
        return lines

    run_groups(
        functools.partial(ground, options),
        kinds=(Slice, Report, Mask),
        run=run_of(COMMAND, options),
        io=io,
        seen=draw.seen if draw else None,
        made=draw.made if draw else None,
        done=done,
    )
