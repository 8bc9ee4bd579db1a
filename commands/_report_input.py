"""Options of `rrg parse-reports` about its input: where reports are, what columns mean, which study they go to."""

import enum
from pathlib import Path
from typing import Annotated

import typer


class UnmatchedChoice(enum.StrEnum):
    """What becomes of a report that belongs to no study of the stream."""

    ERROR = "error"
    KEEP = "keep"
    IGNORE = "ignore"


class ImageNumberChoice(enum.StrEnum):
    """What the number of an image means."""

    AUTO = "auto"
    INSTANCE = "instance"
    FRAME = "frame"
    INDEX = "index"


Reports = Annotated[
    list[Path] | None,
    typer.Option(
        help="Report file, or a folder of them; may be repeated: text, RTF, HTML, CSV, JSON(L), HL7 v2 ORU messages, "
        "FHIR DiagnosticReport, DICOM SR. A text file is named by accession number, Study Instance UID or study id, "
        "then .de or .en if it is known."
    ),
]
TextColumn = Annotated[str, typer.Option(help="Column or JSON field of the text.")]
IdColumn = Annotated[str, typer.Option(help="Column or JSON field of the accession number or Study Instance UID.")]
Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=COLUMN",
        help="Column or JSON field of: text, id, accession, study_uid, patient, date, status, lang, version, or of a "
        "section (findings, impression, clinical, question, technique, comparison, recommendation, addendum), which "
        "gets its heading; may be repeated.",
    ),
]
Link = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="Study of a report by: study-uid, accession, patient+date, or a CSV file with the columns id and "
        "study_uid or accession. Default: its Study Instance UID if it has one, else its accession number.",
    ),
]
Unmatched = Annotated[
    UnmatchedChoice,
    typer.Option(help="Reports of no study in the stream: an error record each, a report each, or nothing."),
]
HeaderIndex = Annotated[
    Path | None,
    typer.Option(help="Header index of extract-slices: references are resolved on it, no slice records are read."),
]
ImageNumber = Annotated[
    ImageNumberChoice,
    typer.Option(
        help='What "image 45" means: Instance Number, frame, or place in the stack. auto: Instance Number (of '
        "multi-frame objects the frame), unless the references clearly show another one."
    ),
]
