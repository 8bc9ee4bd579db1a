"""rrg doctor: what works on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rrg.errors import FAILED, UsageError

from . import _options as opt


def command(
    folder: Annotated[Path, typer.Option(help="Where the work will be: its disk is looked at.")] = Path(),
    weights: Annotated[Path | None, typer.Option(help="Weights folder of TotalSegmentator.")] = None,
    llm: Annotated[str | None, typer.Option(help="GGUF file of a language model; with --accept also a URL.")] = None,
    key_file: opt.KeyFile = None,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Also run, on made-up studies: a train step of MODEL (as of train --model), its boxes, an answer; "
            "one volume with --weights; one call of --llm.",
        ),
    ] = None,
    states: Annotated[
        bool, typer.Option("--states", help="Instead: what of rrg was run for real, simulated, or never run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding.")] = False,
) -> None:
    """What is installed, which engines and weights work, disk, memory, decoders, Slurm, GPU: a line each.

    Exit code 1 when something that rrg needs is broken; what is merely absent is told with what it would be for.

    Example:  rrg doctor --folder .
    """
    from itertools import chain

    from rrg.doctor import findings
    from rrg.doctor_accept import accept as run
    from rrg.states import table

    if states:
        print("\n".join(table()))
        return
    broken = False
    served = llm is not None and "://" in llm
    if served and accept is None:
        raise UsageError("--llm with a URL is called by --accept MODEL only; give a GGUF file, or add --accept")
    more = run(accept, weights, llm) if accept is not None else ()
    for found in chain(findings(folder, weights, Path(llm) if llm and not served else None, key_file), more):
        broken = broken or found.state == "broken"
        remedy = f" -> {found.remedy}" if found.remedy else ""
        print(
            json.dumps(found._asdict()) if as_json else f"{found.state:<7} {found.part}: {found.said}{remedy}",
            flush=True,
        )
    raise typer.Exit(FAILED if broken else 0)
