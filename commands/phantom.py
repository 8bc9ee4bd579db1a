"""rrg phantom: make CT and MR studies with organs, lesions, reports and exact truth."""

import enum
from pathlib import Path
from typing import Annotated

import typer


class Modality(enum.StrEnum):
    """Which scanners."""

    CT = "ct"
    MR = "mr"
    BOTH = "both"


class Syntax(enum.StrEnum):
    """How the pixels are stored."""

    RAW = "raw"
    RLE = "rle"
    J2K = "j2k"


def command(
    out: Annotated[
        Path | None, typer.Option(help="Folder to make; new or empty. Complete when its manifest.json is there.")
    ] = None,
    studies: Annotated[int, typer.Option(min=1, max=99_999, help="Studies, earlier ones of a patient included.")] = 60,
    slices: Annotated[int, typer.Option(min=1, max=2_000, help="Slices of an axial series.")] = 40,
    size: Annotated[int, typer.Option(min=32, max=2_048, help="Rows and columns of an axial slice.")] = 256,
    modality: Annotated[Modality, typer.Option(help="Kind of studies.")] = Modality.BOTH,
    transfer_syntax: Annotated[Syntax, typer.Option(help="Explicit little endian, RLE or JPEG 2000 lossless.")] = (
        Syntax.RAW
    ),
    noise: Annotated[
        str,
        typer.Option(
            metavar="NOISE",
            help="Factor on the noise of the images (0: clean), or any of pixels=FACTOR,slice=SHARE,side=SHARE: the "
            "shares of wrong slice references and swapped sides to plant in the reports, told in report_truth.jsonl.",
        ),
    ] = "1",
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Seed of all random choices.")] = 0,
    fault: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Make a small folder with this one fault instead; see its fault.json. all: a folder of each.",
        ),
    ] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Name, row and outcome of each fault.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")] = False,
) -> None:
    """Make CT and MR studies with organs, lesions, reports and exact truth.

    Writes dicom/, masks/, reports/, truth.jsonl, report_truth.jsonl, labels.json, files.sha256 and, last,
    manifest.json into --out. With --fault: input/ and fault.json, which says what a reader should come to.

    Example:  rrg phantom --out demo --studies 4 && head -1 demo/truth.jsonl
    """
    import os
    import sys

    from rrg.errors import UsageError
    from rrg.pipe import talk

    if quiet:
        os.environ["RRG_QUIET"] = "1"
    if list_faults or fault == "list":
        from rrg.phantom_faults import listing

        sys.stdout.write(listing())
        return
    if out is None:
        raise UsageError("--out is missing: give the folder to make")
    if fault is not None:
        from rrg.phantom_faults import make_fault, make_faults

        if fault == "all":
            talk("phantom", f"done: {make_faults(out, seed)} faults")
        else:
            talk("phantom", f"fault {fault}: {'done' if make_fault(out, fault, seed) else 'complete already'}")
        return

    from rrg.phantom import make_phantom
    from rrg.phantom_noise import noise_of
    from rrg.phantom_plan import Settings

    wanted = noise_of(noise)
    settings = Settings(
        seed=seed,
        studies=studies,
        slices=slices,
        size=size,
        modality=modality.value,
        noise=wanted.pixels,
        syntax=transfer_syntax.value,
        wrong_slices=wanted.slice,
        wrong_sides=wanted.side,
    )
    counts = make_phantom(out, settings, workers)
    talk(
        "phantom",
        "complete already" if counts is None else "done: " + ", ".join(f"{n} {name}" for name, n in counts.items()),
    )
