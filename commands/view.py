"""rrg view: slices with masks, cited sentences, samples or predictions as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from rrg.errors import UsageError


def command(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT]...", help="A data set folder, or record streams of any stage; none or - is stdin."
        ),
    ] = None,
    page: Annotated[Path, typer.Option(help="HTML file to write, self-contained.")] = Path("view.html"),
    store: Annotated[
        Path | None, typer.Option(help="Folder of the pixel arrays of a stream; a data set brings its own.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a data set folder.")] = "train",
    limit: Annotated[int, typer.Option(min=1, help="At most this many pictures, evenly chosen.")] = 24,
    lang: Annotated[str | None, typer.Option(help="de or en: only texts of this language.  [default: both]")] = None,
) -> None:
    """Slices with masks, cited sentences, samples or predictions as one HTML page. Needs no model.

    With samples and predictions in the input, answers stand beside what is right.

    Example:  rrg view dataset --split train --page train.html
    """
    from rrg.infer_inputs import kind_of, split_stream
    from rrg.outputs.view import write_view
    from rrg.pipe import talk

    if lang not in (None, "de", "en"):
        raise UsageError(f"--lang {lang}: expected de or en")
    given = tuple(inputs or ())
    kind = kind_of(given)
    if kind == "dataset":
        store, given = store or given[0] / "store", (split_stream(given[0], split),)
    elif kind != "stream":
        raise UsageError("rrg view shows streams and data sets; for pictures and studies use rrg infer --page")
    if store is None:
        raise UsageError("the pixels of a stream need --store STORE")
    done = write_view(given, store, page, limit=limit, lang=lang)
    left_out = f", {done.left_out} left out" if done.left_out else ""
    talk("view", f"{page}: {done.pictures} pictures, {done.cards} texts{left_out}")
