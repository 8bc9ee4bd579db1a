"""rrg segment: structures on each slice, as masks and boxes."""

import functools
from pathlib import Path
from typing import Annotated, Literal

import typer

from rrg.pipe import Io, run_groups
from rrg.records import Mask, Slice

from . import _options as opt


@opt.streaming
def command(
    inputs: opt.Inputs = None,
    store: opt.Store = Path("store"),
    engine: Annotated[
        Literal["masks", "threshold", "totalsegmentator"],
        typer.Option(
            help="masks: files that exist; threshold: body, lungs, airways, bone on CT, no weights; "
            "totalsegmentator: CT and MR, needs --weights."
        ),
    ] = "threshold",
    masks: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Engine masks: files, or folders of them, named by Series Instance UID: NIfTI (.nii, .nii.gz), "
            "folders of one NIfTI per label, DICOM SEG, contours (.json). One file of another name is matched by its "
            "grid. May be given several times.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="Engine masks: value -> name; else names in the file, else class ids."),
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Engine masks: nearest neighbour in the patient for other grids.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="TOTALSEG_WEIGHTS_PATH",
            help="Engine totalsegmentator: the unpacked Dataset... folders.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task of TotalSegmentator, or name of a nested label map. Default: total for CT, total_mr for MR."
        ),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Engine totalsegmentator: its 3 mm model.")] = False,
    device: Annotated[
        Literal["auto", "cpu", "gpu"], typer.Option(help="Engine totalsegmentator: where it runs.")
    ] = "auto",
    name: Annotated[
        str | None, typer.Option(help="Added to the engine's name, to tell several runs of one engine apart.")
    ] = None,
    key_file: opt.KeyFile = None,
    *,
    io: Io,
) -> None:
    """Find structures on each slice: masks to the store, boxes to the records.

    One mask record per slice, also where nothing was found. A mask on another grid than its series is refused (E_GRID).
    Run it again with another engine, or another --name, to add more masks to a stream.

    Example:  rrg segment slices.jsonl --store store --engine masks --masks demo/masks > masks.jsonl
    """
    from rrg.keys import fingerprint, load_key
    from rrg.masks_files import load_labels
    from rrg.provenance import make_run
    from rrg.segment import Settings, check, segment_study

    key = load_key(key_file) if engine == "masks" else b""
    settings = Settings(
        engine=engine,
        store=store,
        name=name,
        key=key,
        masks=tuple(masks or ()),
        labels=load_labels(labels) if labels else None,
        task=task,
        resample=resample,
        weights=weights,
        fast=fast,
        device=device,
    )
    sides = check(settings) | ({"key": fingerprint(key)} if key else {})
    run_groups(
        functools.partial(segment_study, settings=settings),
        kinds=(Slice, Mask),
        run=make_run("segment", settings.options, inputs=sides),
        io=io,
    )
