"""rrg where: the passport of a slice, and what stands behind any id."""

from pathlib import Path
from typing import Annotated

import typer

from rrg.errors import UsageError
from rrg.windows import Preset

from . import _options as opt


def command(
    asked: Annotated[
        list[str],
        typer.Argument(
            metavar="RECORD...",
            help="Ids of patients, studies, series, slices, reports, samples, masks, predictions or error sources; "
            "series/<id>#17; original UIDs; a record as a JSON line; - is records from stdin.",
        ),
    ],
    store: opt.Store,
    records: Annotated[
        list[Path] | None,
        typer.Option(help="File of records to look ids up in; repeat for more. Samples and reports lead to slices."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="Instead: the slice and pixel of its series at this mm (LPS).")
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="PNG file to draw the slices to, with boxes and sides.")] = None,
    window: Annotated[
        Preset, typer.Option(help="CT window of the drawing; the default is the one of training.")
    ] = "radgrounder",
) -> None:
    """Passport of any id: DICOM UID <-> index <-> patient mm (LPS), boxes in mm, report phrases; one JSON line each.

    UIDs and file names come from the store's private folder. Exit code 1 when an id is not known.

    Example:  rrg where "$(grep -Eom1 'series/[0-9a-f]{20}' slices.jsonl)" --store store --draw series.png
    """
    import json

    from rrg.passport import asked_of, at_point, passports
    from rrg.passport_draw import draw as draw_to
    from rrg.pipe import talk

    point = None if at is None else _point(at)
    told = []
    for _, found in passports(asked_of(asked), store, records or ()):
        lines = found if point is None else at_point(found, store, point)
        told += lines
        for line in lines:
            print(json.dumps(line, sort_keys=True, ensure_ascii=False))
    if draw is not None:
        drawn = draw_to(told, store, draw, window)
        talk("where", f"{draw}: {drawn} slice{'s' if drawn != 1 else ''}")


def _point(text: str) -> list[float]:
    try:
        x, y, z = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"--at {text}: expected X,Y,Z in mm, as -12.5,30,101.2") from None
    return [x, y, z]
