"""rrg infer: reports, answers and boxes for a study, an image, a data set or a stream."""

from pathlib import Path
from typing import Annotated

import typer

from rrg.pipe import Io

from . import _options as opt


@opt.streaming
def command(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Study folder, series, DICOM files, PNG or JPEG files, a data set folder, or streams with samples; "
            "none or - is stdin.",
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of rrg train (answers with torch) or of rrg export (llama.cpp).")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="report, grounded-report, detect, phrase-to-box, vqa; several are asked one after the other. "
            "Of samples: only those of these tasks.  [default: grounded-report]"
        ),
    ] = None,
    question: Annotated[list[str] | None, typer.Option("--question", "-q", help="A question; may be repeated.")] = None,
    phrase: Annotated[list[str] | None, typer.Option(help="A structure or phrase to find; may be repeated.")] = None,
    lang: Annotated[
        str | None, typer.Option(help="de or en: language to ask and answer in. Of samples: only such.")
    ] = None,
    slices: Annotated[str, typer.Option(help="Slices of a study's main series: all, N evenly, or every:K.")] = "8",
    split: Annotated[str, typer.Option(help="Split of a data set folder.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many samples of a data set.")] = None,
    shuffle_images: Annotated[
        bool, typer.Option("--shuffle-images", help="Control: every sample gets another patient's picture.")
    ] = False,
    no_image: Annotated[bool, typer.Option("--no-image", help="Control: every picture is grey.")] = False,
    page: Annotated[Path | None, typer.Option(help="Also write an HTML page: slices, boxes, sentences.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the pixel arrays of a stream; a data set brings its own.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
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
    from rrg.infer_run import Request, run

    run(
        Request(
            model=model,
            tasks=tuple(task or ()),
            questions=tuple(question or ()),
            phrases=tuple(phrase or ()),
            lang=lang,
            slices=slices,
            split=split,
            limit=limit,
            shuffle_images=shuffle_images,
            no_image=no_image,
            page=page,
            store=store,
            max_new_tokens=max_new_tokens,
            key_file=key_file,
            seed=seed,
        ),
        io,
    )
