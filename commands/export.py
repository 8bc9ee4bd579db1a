"""rrg export: a run to a merged model or to GGUF for a CPU; a data set to the format of another program."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from rrg.windows import Preset


def command(
    source: Annotated[Path, typer.Argument(metavar="RUN|DATASET", help="Run folder of rrg train, or data set.")],
    out: Annotated[Path, typer.Option(help="Folder to make, whole or not at all.")],
    to: Annotated[
        Literal["gguf", "merged", "llava", "ms-swift", "radgrounder", "coco"],
        typer.Option(help="Of a run - gguf: llama.cpp files; merged: safetensors. Of a data set: the others."),
    ] = "gguf",
    precision: Annotated[
        Literal["f16", "f32", "q8_0", "q4_k_m"],
        typer.Option(help="Of the matrices in GGUF files; q8_0 and q4_k_m of the language model, with a tower in f16."),
    ] = "f16",
    dataset: Annotated[
        Path | None, typer.Option(help="Data set whose test split the self-test asks; default: random pictures.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="Of a LoRA run: exported folder of the run it started from; an adapter is written for it."),
    ] = None,
    probes: Annotated[int, typer.Option(min=1, help="Pictures of the self-test.")] = 8,
    preset: Annotated[Preset, typer.Option(help="CT windows of a data set's pictures.")] = "radgrounder",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")] = False,
) -> None:
    """Export a run to GGUF files or a merged model, after a self-test; or a data set to LLaVA, ms-swift, COCO, ...

    A data set keeps its splits; its pictures become PNG files, README.md tells the form of the boxes, and what the
    format can not say is counted. rrg pack --from reads it back.

    Example:  rrg export run --to gguf --out gguf
    """
    from rrg.errors import UsageError

    if quiet:
        os.environ["RRG_QUIET"] = "1"
    if to == "gguf" or to == "merged":
        from rrg.export import export

        if (source / "train.jsonl").is_file():
            raise UsageError(f"{source} is a data set; --to {to} takes a run folder of rrg train")
        export(source, to, out, precision=precision, dataset=dataset, probes=probes, base=base)
        return
    from rrg.export_data import export_data

    if dataset is not None:
        raise UsageError("--dataset is for the self-test of a run; give the data set in place of the run")
    export_data(source, to, out, preset=preset)
