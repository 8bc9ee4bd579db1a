"""rrg extract-slices: DICOM studies to slice records, pixels to a store."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from rrg.pipe import Io

from . import _options as opt


class DatesChoice(enum.StrEnum):
    """What becomes of the study date."""

    SHIFT = "shift"
    YEAR = "year"
    KEEP = "keep"


class ModalityChoice(enum.StrEnum):
    """What NIfTI files hold."""

    CT = "CT"
    MR = "MR"


@opt.streaming
def command(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Files or folders: DICOM, zip, zstd, DICOMDIR, NIfTI. With --only-referenced: streams of reports.",
        ),
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Folder of the pixel arrays.")] = None,
    index: Annotated[
        Path | None, typer.Option(help="Header index: made or renewed from PATH, and read instead of the files.")
    ] = None,
    forget: Annotated[
        list[Path] | None, typer.Option(help="Take what lay under this path out of the --index; may be repeated.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Extract every study of the --index.")] = False,
    only_referenced: Annotated[
        bool, typer.Option("--only-referenced", help="Extract the slices that report records point at.")
    ] = False,
    context: Annotated[int, typer.Option(min=0, help="Neighbours on each side of a referenced slice.")] = 0,
    list_: Annotated[bool, typer.Option("--list", help="Only series records; no pixel is read.")] = False,
    series: Annotated[Path | None, typer.Option(help="TOML rules: which series are taken.")] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Make sheared stacks (gantry tilt) orthogonal; flag resampled.")
    ] = False,
    modality: Annotated[ModalityChoice | None, typer.Option(help="Of NIfTI files, which do not tell.")] = None,
    dates: Annotated[
        DatesChoice, typer.Option(help="Study date: day shifted per patient, the year, or as it is.")
    ] = DatesChoice.SHIFT,
    phi_report: Annotated[
        Path | None, typer.Option(help="Write which identifying attributes the files held (Markdown).")
    ] = None,
    max_mb: Annotated[int, typer.Option(min=1, help="Largest stack to read, in MB of decoded pixels.")] = 4096,
    key_file: opt.KeyFile = None,
    *,
    io: Io,
) -> None:
    """DICOM studies to slice records, pixels to a store. Files are told by content, whatever their names.

    CT pixels are stored in HU, all others as stored values after rescale. Every file gives slices or one error record.
    With PATH and --index but no --store the headers are indexed: unchanged files are never opened again.

    Example:  rrg extract-slices demo/dicom --store store > slices.jsonl
    """
    from rrg.extract_run import Task, run_extraction

    run_extraction(
        Task(
            store=store,
            index=index,
            forget=tuple(forget or ()),
            everything=all_,
            only_referenced=only_referenced,
            context=context,
            list_only=list_,
            series=series,
            resample=resample,
            modality=modality.value if modality else None,
            dates=dates.value,
            phi_report=phi_report,
            max_mb=max_mb,
            key_file=key_file,
        ),
        io,
    )
