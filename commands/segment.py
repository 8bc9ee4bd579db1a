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
    consensus: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Engine masks: keep what N readers agree on (docs/segment.md). [all that is drawn]"
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", envvar="TOTALSEG_WEIGHTS_PATH", help="Engine totalsegmentator: unpacked Dataset... folders."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Task of TotalSegmentator, or name of a nested label map. [total for CT, total_mr for MR]"),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Engine totalsegmentator: its 3 mm model.")] = False,
    roi_subset: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Engine totalsegmentator: only these classes, with commas, after a rough pass."
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "gpu"], typer.Option(help="Engine totalsegmentator: where it runs.")
    ] = "auto",
    timeout: Annotated[
        float, typer.Option(min=1, help="Engine totalsegmentator: seconds for one volume; then E_MODEL, and the next.")
    ] = 3600.0,
    memory_limit: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="GB",
            help="Engine totalsegmentator: for its process, else E_MEMORY. [what the machine has]",
        ),
    ] = None,
    share: Annotated[
        bool,
        typer.Option(help="Reformats, and other kernels of one acquisition, take the mask of its thinnest volume."),
    ] = True,
    min_slices: Annotated[
        int | None,
        typer.Option(min=1, help="Fewest slices of a volume that is segmented. [totalsegmentator: 10, else 1]"),
    ] = None,
    min_fov_mm: Annotated[
        float | None,
        typer.Option(min=0, help="Shortest side of its slices, in mm. [totalsegmentator: 100, else 0]"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Added to the engine's name, to tell several runs of one engine apart.")
    ] = None,
    key_file: opt.KeyFile = None,
    *,
    io: Io,
) -> None:
    """Find structures on each slice: masks to the store, boxes to the records.

    One mask record per slice, also where nothing was found. Localizers, MIP and VRT get none. A mask on another grid
    than its series is refused (E_GRID). Run it again with another engine, or another --name, to add more masks to a
    stream.

    Example:  rrg segment slices.jsonl --store store --engine masks --masks demo/masks > masks.jsonl
    """
    from rrg.keys import fingerprint, load_key
    from rrg.masks_files import load_labels
    from rrg.provenance import make_run
    from rrg.segment import check, segment_study
    from rrg.segment_engines import Settings, ready
    from rrg.segment_forecast import Forecast, volumes_ahead

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
        consensus=consensus,
        weights=weights,
        fast=fast,
        roi_subset=tuple(filter(None, map(str.strip, roi_subset.split(",")))) if roi_subset is not None else None,
        device=device,
        timeout_s=timeout,
        memory_gb=memory_limit,
        min_slices=min_slices,
        min_fov_mm=min_fov_mm,
        share=share,
    )
    settings, sides = check(settings)
    if key:
        sides["key"] = fingerprint(key)
    forecast = None
    if engine == "totalsegmentator":
        forecast = Forecast(volumes_ahead(io, settings.gates.min_slices))
    run_groups(
        functools.partial(segment_study, settings=settings),
        kinds=(Slice, Mask),
        run=make_run("segment", settings.options, inputs=sides),
        io=io,
        store=store,
        ready=functools.partial(ready, settings),
        made=forecast.made if forecast else None,
        done=forecast.done if forecast else None,
    )
