"""rrg train: train or fine-tune a grounded model on a data set."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from rrg.boxes import BINS, Dialect, Kind
from rrg.errors import UsageError
from rrg.windows import Preset

from . import _options as opt


def command(
    dataset: Annotated[Path, typer.Argument(help="Data set folder of rrg pack.")],
    out: Annotated[Path, typer.Option(help="Run folder to make, whole or not at all.")],
    model: Annotated[
        str, typer.Option(help="tiny or tiny:SIZE (s, m, l), random at the start; or a model folder.")
    ] = "tiny",
    init_from: Annotated[Path | None, typer.Option(help="Run folder to start from, instead of --model.")] = None,
    stages: Annotated[
        str,
        typer.Option(
            help="tower: learn from masks; sft: learn from questions; of a model folder: align, sft.",
            show_default="tower,sft; of a model folder sft",
        ),
    ] = "",
    tower_steps: Annotated[int, typer.Option(min=0, help="Steps of the tower stage.")] = 3000,
    sft_steps: Annotated[int, typer.Option(min=0, help="Steps of the sft stage.")] = 1500,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Peak learning rate; of tiny in sft, where matrices take 20 times as much.",
            show_default="1e-3; of a model folder 5e-5",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples a step, of a model folder.")] = 16,
    micro_batch: Annotated[int, typer.Option(min=1, help="Of these, as many pass a model folder at once.")] = 1,
    optimiser: Annotated[Literal["adamw", "adafactor"], typer.Option(help="Of a model folder.")] = "adamw",
    context: Annotated[int, typer.Option(min=64, help="Longest chat in tokens, of a model folder.")] = 2048,
    peft: Annotated[
        Literal["none", "lora"], typer.Option(help="none: all of the language model; lora: adapt.")
    ] = "none",
    lora_rank: Annotated[int, typer.Option(min=1, help="Rank of the adapters.")] = 16,
    lora_targets: Annotated[str, typer.Option(help="Layers to adapt, of a model folder.")] = "",
    lora_dropout: Annotated[float, typer.Option(min=0, max=0.9, help="Of a model folder.")] = 0.0,
    box_format: Annotated[
        Kind | None, typer.Option(help="How boxes are written.", show_default="loc; of a model folder its own")
    ] = None,
    bins: Annotated[
        int | None,
        typer.Option(min=2, max=10_000, help="Bins of a side of the slice.", show_default="the format's; loc: 64"),
    ] = None,
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

    from rrg.model.settings import read_settings
    from rrg.train import Options, best_precision, parse_mix, train

    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    base = init_from if init_from is not None and read_settings(init_from).family != "tiny" else None
    if base is not None or (model.partition(":")[0] != "tiny" and Path(model).is_dir()):
        from rrg.model.families import LINEAR
        from rrg.model.load import MODEL
        from rrg.train_family import Options as FamilyOptions
        from rrg.train_family import train_family

        if mix or resume or precision == "bf16":
            raise UsageError(
                "--mix, --resume and --precision bf16 are for --model tiny; leave them out with a model folder"
            )
        kept = read_settings(base).dialect if base is not None else None
        chosen = FamilyOptions(
            stages=tuple(word.strip() for word in (stages or "sft").split(",")),
            steps=sft_steps,
            batch=batch,
            micro=micro_batch,
            rate=5e-5 if rate is None else rate,
            optimiser=optimiser,
            peft=peft,
            lora_rank=lora_rank,
            lora_targets=tuple(lora_targets.split(",")) if lora_targets else LINEAR,
            lora_dropout=lora_dropout,
            dialect=Dialect(box_format, bins or BINS.get(box_format, 512)) if box_format else kept,
            preset=preset,
            languages=languages,
            context=context,
            seed=seed,
        )
        train_family(dataset, out, Path(model) if base is None else base / MODEL, chosen)
        return
    foreign = {"--batch": batch != 16, "--micro-batch": micro_batch != 1, "--optimiser": optimiser != "adamw"}
    foreign |= {"--context": context != 2048, "--lora-targets": lora_targets, "--lora-dropout": lora_dropout}
    if named := ", ".join(name for name, given in foreign.items() if given):
        raise UsageError(f"{named}: for a model folder (--model FOLDER); leave it out with --model tiny")
    options = Options(
        model=model,
        stages=tuple(word.strip() for word in (stages or "tower,sft").split(",")),
        tower_steps=tower_steps,
        sft_steps=sft_steps,
        sft_rate=1e-3 if rate is None else rate,
        peft=peft,
        lora_rank=lora_rank,
        box_format=box_format or "loc",
        bins=bins or 64,
        preset=preset,
        languages=languages,
        mix=parse_mix(mix),
        precision=best_precision() if precision == "auto" else precision,
        seed=seed,
    )
    train(dataset, out, options, base=init_from, resume=resume)
