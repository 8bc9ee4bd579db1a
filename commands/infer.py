"""rrg infer: reports, answers and boxes for a study, an image, a data set or a stream."""

from pathlib import Path
from typing import Annotated

import typer

from rrg.pipe import Io

from . import _infer as own
from . import _options as opt


@opt.streaming
def command(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Study folder, series, DICOM or NIfTI files, PNG or JPEG files, a data set folder, or streams with "
            "samples; none or - is stdin.",
        ),
    ] = None,
    model: own.Model = None,
    task: own.Task = None,
    question: own.Question = None,
    phrase: own.Phrase = None,
    ground: own.Ground = None,
    describe: own.Describe = None,
    lang: own.Lang = None,
    clinical: own.Clinical = None,
    indication: own.Indication = None,
    experts: own.Experts = None,
    slices: own.Slices = "8",
    series: own.SeriesNumber = None,
    modality: own.Modality = None,
    report: own.ReportFile = None,
    split: own.Split = "test",
    limit: own.Limit = None,
    shuffle_images: own.Shuffle = False,
    no_image: own.NoImage = False,
    page: own.Page = None,
    dicom: own.Dicom = None,
    nifti: own.Nifti = None,
    compact: own.Compact = False,
    allow_demo: own.AllowDemo = False,
    masks: own.Masks = None,
    summary: own.Summary = True,
    chat: own.Chat = False,
    turns: own.Turns = None,
    store: own.Store = None,
    max_new_tokens: own.MaxNewTokens = 256,
    grammar: own.Grammar = False,
    model_name: own.ModelName = None,
    box_dialect: own.BoxDialect = None,
    image_side: own.ImageSide = 896,
    parallel: own.Parallel = 4,
    answer_cache: own.Cache = None,
    timeout_s: own.TimeoutS = 300.0,
    key_env: own.KeyEnv = None,
    key_file: opt.KeyFile = None,
    seed: opt.Seed = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only what went wrong.")] = False,
    *,
    io: Io,
) -> None:
    """Reports, answers and boxes for a study, an image, a data set or a stream.

    Greedy decoding: the same input gives the same answer, with either back end. Boxes are pixels of the slice.

    Example:  rrg infer demo/dicom/PH0N00001 --model gguf --lang de -q "Wo ist die Leber?" > answers.jsonl
    """
    from rrg.infer_request import Request
    from rrg.infer_run import run

    run(
        Request(
            model=model,
            tasks=tuple(task or ()),
            questions=tuple(question or ()),
            phrases=tuple(phrase or ()),
            grounds=tuple(ground or ()),
            boxes=tuple(describe or ()),
            lang=lang,
            context={name: text for name, text in (("clinical", clinical), ("question", indication)) if text},
            experts=tuple(experts or ()),
            slices=slices,
            series=series,
            modality=modality.value if modality else None,
            report=report,
            split=split,
            limit=limit,
            shuffle_images=shuffle_images,
            no_image=no_image,
            page=page,
            dicom=dicom,
            nifti=nifti,
            compact=compact,
            allow_demo=allow_demo,
            masks=tuple(masks or ()),
            summary=summary,
            chat=chat,
            turns=turns,
            store=store,
            max_new_tokens=max_new_tokens,
            grammar=grammar,
            model_name=model_name,
            box_dialect=box_dialect,
            image_side=image_side,
            parallel=parallel,
            answer_cache=answer_cache,
            timeout_s=timeout_s,
            key_env=key_env,
            key_file=key_file,
            seed=seed,
        ),
        io,
    )
