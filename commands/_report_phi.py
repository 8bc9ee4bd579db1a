"""Options of `rrg parse-reports` about identifying text."""

import enum
from pathlib import Path
from typing import Annotated

import typer


class PhiChoice(enum.StrEnum):
    """What becomes of names, dates, numbers and addresses in the text."""

    MASK = "mask"
    FAIL = "fail"
    OFF = "off"


Phi = Annotated[
    PhiChoice,
    typer.Option(
        help="mask: names, dates, numbers, addresses become [NAME], [DATE] ...; what is left is pseudonymised, still "
        "personal data, and rules miss some. fail: such a report becomes an E_PHI error record. off: texts as they are."
    ),
]
PhiKnown = Annotated[
    Path | None,
    typer.Option(
        help="CSV of names, numbers and birth dates to mask wherever they stand (docs/phi.md); rows may be limited by "
        "patient or accession."
    ),
]
PhiMap = Annotated[
    bool,
    typer.Option(help="Keep where each placeholder stood, in KEY_FILE.d/reports (folder 0700, files 0600, no text)."),
]
