"""rrg export: a run to a merged model, or to GGUF for a CPU."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    run: Annotated[Path, typer.Argument(help="Run folder of rrg train.")],
    out: Annotated[Path, typer.Option(help="Folder to make, whole or not at all.")],
    to: Annotated[Literal["gguf", "merged"], typer.Option(help="gguf: llama.cpp files; merged: safetensors.")] = "gguf",
    precision: Annotated[Literal["f16", "f32"], typer.Option(help="Of the matrices in GGUF files.")] = "f16",
    dataset: Annotated[
        Path | None, typer.Option(help="Data set whose test split the self-test asks; default: random pictures.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")] = False,
) -> None:
    """Export a run to GGUF files for a CPU, or to a merged model, after a self-test against torch.

    Example:  rrg export run --to gguf --out gguf
    """
    if quiet:
        os.environ["RRG_QUIET"] = "1"
    from rrg.export import export

    export(run, to, out, precision=precision, dataset=dataset)
