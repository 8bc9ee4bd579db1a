"""rrg synth-vqa: questions and answers from reports, masks, pixels and headers."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from rrg.errors import UsageError
from rrg.llm_options import LlmOptions
from rrg.pipe import Io, run_groups
from rrg.records import Mask, Report, Slice

from . import _llm
from . import _options as opt


@opt.streaming
@_llm.with_llm
def command(
    inputs: opt.Inputs = None,
    languages: Annotated[str, typer.Option(help="Languages of the samples.")] = "de,en",
    slices: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="all, referenced, every:K, or a number per series, evenly spaced; referenced ones always.",
        ),
    ] = "40",
    findings: Annotated[
        int, typer.Option(min=0, help="Questions per slice and language from masks and reports, at most.")
    ] = 5,
    metadata: Annotated[
        int, typer.Option(min=0, help="Questions per slice and language from the header, at most.")
    ] = 3,
    families: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Kinds of questions, with commas: see docs/questions.md.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder of the arrays, for questions on HU and diameters; without it they are left out."),
    ] = None,
    min_area_px: Annotated[int, typer.Option(min=1, help="Smallest area of a structure, in pixels.")] = 20,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Smallest trust in the mask of a structure; those nobody judged pass."),
    ] = None,
    paraphrase: Annotated[bool, typer.Option("--paraphrase", help="Draw the wording of questions at random.")] = False,
    dialogues: Annotated[
        str | None, typer.Option(metavar="TASKS", help="Conversations too, with commas, or all: see docs/dialogues.md.")
    ] = None,
    dialogues_per_study: Annotated[
        int, typer.Option(min=0, help="Conversations per study and language, at most.")
    ] = 20,
    engine: Annotated[
        str,
        typer.Option(
            metavar="ENGINE", help="templates, or llm: the model of --llm writes questions too; rules check them."
        ),
    ] = "templates",
    llm_pairs: Annotated[int, typer.Option(min=1, max=20, help="Questions of the model per slice and language.")] = 5,
    blind_model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Text-only model, as --llm: it tries each question without the image (see pack --drop-blind).",
        ),
    ] = None,
    seed: opt.Seed = 0,
    *,
    llm: LlmOptions,
    io: Io,
) -> None:
    """Make questions and answers from slices, masks and reports.

    Every answer follows from a mask, from a sentence about the slice, from the pixels, or from the header.

    Example:  rrg synth-vqa masks.jsonl --languages en --metadata 0 > samples.jsonl
    """
    from rrg.synth.blind_model import model_of, tried
    from rrg.synth.options import languages_of, one_of, told_of
    from rrg.synth.slice_choice import check_choice
    from rrg.synth.vqa import FAMILIES, Options, ask_all, check_store, run_record, talks_of, told, writer_of

    wanted = FAMILIES if families is None else one_of(families, FAMILIES, "--families")
    options = Options(
        languages=languages_of(languages),
        slices=check_choice(slices),
        findings=findings,
        metadata=metadata,
        families=wanted,
        min_area_px=min_area_px,
        min_score=min_score,
        pixels=check_store(store, () if families is None else wanted),
        paraphrase=paraphrase,
        dialogues=talks_of(dialogues),
        dialogues_per_study=dialogues_per_study,
        seed=seed,
    )
    if blind_model is None and engine != "llm" and llm != LlmOptions():
        raise UsageError("options of the language model (--llm...) need --engine llm or --blind-model")
    blind = model_of(blind_model, llm)
    writer = writer_of(engine, llm_pairs, llm)
    step = functools.partial(ask_all, options, store=store, writer=writer)
    run_groups(
        functools.partial(tried, step, blind.settings) if blind else step,
        kinds=(Slice, Report, Mask),
        run=run_record(options, **told_of(writer, blind)),
        io=io,
        done=functools.partial(told, options),
    )
