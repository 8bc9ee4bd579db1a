"""rrg train: train or fine-tune a grounded model on a data set."""

import math
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from rrg.errors import UsageError
from rrg.windows import Preset

from . import _options as opt


def command(
    dataset: Annotated[Path, typer.Argument(help="Data set folder of rrg pack.")],
    out: Annotated[Path, typer.Option(help="Run folder to make, whole or not at all.")],
    model: Annotated[str, typer.Option(help="tiny or tiny:SIZE (s, m, l), random at the start.")] = "tiny",
    init_from: Annotated[Path | None, typer.Option(help="Run folder to start from, instead of --model.")] = None,
    stages: Annotated[str, typer.Option(help="tower: learn from masks; sft: learn from questions.")] = "tower,sft",
    tower_steps: Annotated[int, typer.Option(min=0, help="Steps of the tower stage.")] = 3000,
    sft_steps: Annotated[int, typer.Option(min=0, help="Steps of the sft stage.")] = 1500,
    rate: Annotated[
        float, typer.Option(min=0, help="Peak learning rate of sft; matrices take 20 times as much.")
    ] = 1e-3,
    peft: Annotated[
        Literal["none", "lora"], typer.Option(help="none: all of the language model; lora: adapt.")
    ] = "none",
    lora_rank: Annotated[int, typer.Option(min=1, help="Rank of the adapters.")] = 16,
    box_format: Annotated[Literal["loc", "json", "text", "none"], typer.Option(help="How boxes are written.")] = "loc",
    bins: Annotated[int, typer.Option(min=2, max=10_000, help="Bins of a side of the slice.")] = 64,
    preset: Annotated[Preset, typer.Option(help="CT windows of the pictures.")] = "radgrounder",
    lang: Annotated[str, typer.Option(help="Languages to learn.")] = "de,en",
    mix: Annotated[
        str, typer.Option(help="How often tasks or kinds of questions are drawn: which=3,detect=0.5; others are 1.")
    ] = "",
    precision: Annotated[
        Literal["auto", "f32", "bf16"], typer.Option(help="auto: bf16 where the processor has tiles for it, else f32.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default: all cores.")] = None,
    seed: opt.Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do not train finished stages of a stopped run again.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")] = False,
) -> None:
    """Train a grounded model on a data set.

    Example:  rrg train dataset --model tiny --out run
    """
    if quiet:
        os.environ["RRG_QUIET"] = "1"
    languages = tuple(sorted(word.strip() for word in lang.split(",")))
    if not set(languages) <= {"de", "en"}:
        raise UsageError(f"--lang {lang}: expected de, en or de,en")
    import torch

    from rrg.train import Options, best_precision, train

    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    options = Options(
        model=model,
        stages=tuple(word.strip() for word in stages.split(",")),
        tower_steps=tower_steps,
        sft_steps=sft_steps,
        sft_rate=rate,
        peft=peft,
        lora_rank=lora_rank,
        box_format=box_format,
        bins=bins,
        preset=preset,
        languages=languages,
        mix=_mix(mix),
        precision=best_precision() if precision == "auto" else precision,
        seed=seed,
    )
    train(dataset, out, options, base=init_from, resume=resume)


def _mix(text: str) -> tuple[tuple[str, float], ...]:
    """``which=3,detect=0.5`` -> pairs in order of their names."""
    pairs: dict[str, float] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, number = part.partition("=")
        try:
            pairs[name] = float(number)
        except ValueError:
            pairs[name] = math.nan
        if not 0 <= pairs[name] < math.inf:
            raise UsageError(f"--mix {part}: expected NAME=WEIGHT with a weight of 0 or more")
    return tuple(sorted(pairs.items()))
