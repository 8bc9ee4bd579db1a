"""Options of `rrg infer`, by what they are about. Each has one help text here."""

import enum
from pathlib import Path
from typing import Annotated

import typer


class ModalityChoice(enum.StrEnum):
    """Modality of files that do not tell."""

    CT = "CT"
    MR = "MR"


# --- what is asked

Task = Annotated[
    list[str] | None,
    typer.Option(
        help="report, grounded-report, detect, ground, describe, vqa; several are asked one after the other. "
        "Of samples: only those of these tasks.  [default: grounded-report]"
    ),
]
Question = Annotated[list[str] | None, typer.Option("--question", "-q", help="A question; may be repeated.")]
Phrase = Annotated[list[str] | None, typer.Option(help="A structure to detect, or a phrase to find; may be repeated.")]
Ground = Annotated[list[str] | None, typer.Option(help="A phrase to find on each slice; may be repeated.")]
Describe = Annotated[
    list[str] | None,
    typer.Option(metavar="X0,Y0,X1,Y1", help="A box to describe, in pixels of the slice; may be repeated."),
]
Lang = Annotated[str | None, typer.Option(help="de or en: language to ask and answer in. Of samples: only such.")]
Clinical = Annotated[str | None, typer.Option(help="Clinical information; stands before what is asked.")]
Indication = Annotated[str | None, typer.Option(help="What the examination is to answer; stands before what is asked.")]

Experts = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="JSONL",
        help="What other models found, put before what is asked: masks of rrg segment, or lines of a classifier "
        "(docs/infer.md). May be given several times.",
    ),
]

# --- which slices

Slices = Annotated[
    str,
    typer.Option(
        help="Slices of a study: all; N, evenly; every:K; referenced (by --report); or image numbers as a viewer shows "
        "them, such as 12,40-45 (one alone: 12,)."
    ),
]
SeriesNumber = Annotated[
    int | None, typer.Option("--series", help="Series Number to ask about.  [default: the largest primary series]")
]
Modality = Annotated[ModalityChoice | None, typer.Option(help="Of NIfTI files, which do not tell.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Text of the study's report, for --slices referenced.")
]
Split = Annotated[str, typer.Option(help="Split of a data set folder.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many samples of a data set.")]
Shuffle = Annotated[
    bool, typer.Option("--shuffle-images", help="Control: every sample gets another patient's picture.")
]
NoImage = Annotated[bool, typer.Option("--no-image", help="Control: every picture is grey.")]
Store = Annotated[Path | None, typer.Option(help="Folder of the pixel arrays of a stream; a data set brings its own.")]

# --- how it is answered

Model = Annotated[
    str | None,
    typer.Option(
        help="Folder of rrg train (answers with torch) or of rrg export (llama.cpp), or http://host:port/v1 of an "
        "OpenAI-compatible server (several with commas).",
        show_default="the demonstration model inside rrg",
    ),
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest answer.")]
Grammar = Annotated[bool, typer.Option("--grammar", help="llama.cpp: boxes are always written whole.")]
ModelName = Annotated[str | None, typer.Option(help="Of a server: name of the model.  [default: the only one]")]
BoxDialect = Annotated[
    str | None,
    typer.Option(help="Of a server: how its model writes boxes, such as qwen3-vl, internvl, json, or none."),
]
ImageSide = Annotated[int, typer.Option(min=28, help="Of a server: side of the square pictures it is sent, in pixels.")]
Parallel = Annotated[int, typer.Option(min=1, help="Of a server: questions in flight, of each process.")]
Cache = Annotated[Path | None, typer.Option(help="Of a server: folder that keeps its answers.")]
TimeoutS = Annotated[float, typer.Option(min=1, help="Of a server: longest wait for an answer.")]
KeyEnv = Annotated[str | None, typer.Option(metavar="NAME", help="Of a server: environment variable with its key.")]

# --- what is written

Page = Annotated[Path | None, typer.Option(help="Also write an HTML page: slices, boxes, sentences.")]
Dicom = Annotated[
    Path | None,
    typer.Option(help="Also write a DICOM SEG and SR of each study below this folder; they hold the patient's data."),
]
Nifti = Annotated[Path | None, typer.Option(help="Also write NIfTI masks of each study below this folder.")]
Compact = Annotated[bool, typer.Option("--compact", help="SEG without empty frames; some viewers then shift masks.")]
AllowDemo = Annotated[bool, typer.Option("--allow-demo", help="DICOM output of a demonstration model all the same.")]
Masks = Annotated[
    list[Path] | None,
    typer.Option(help="Masks of rrg segment, with their --store: outlines for phrases, masks for DICOM and NIfTI."),
]
Summary = Annotated[
    bool, typer.Option("--summary/--no-summary", help="Of a study: merge the slices' reports into one draft.")
]
Chat = Annotated[bool, typer.Option("--chat", help="The report first, then a conversation about it; /help in it.")]
Turns = Annotated[Path | None, typer.Option(help="File with a turn a line, in place of a person.  [default: stdin]")]
