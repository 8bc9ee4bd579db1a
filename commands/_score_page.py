"""Options of the page of `rrg score`; they reach the command as one ``page``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rrg.errors import UsageError

from ._bundle import bundled

_OPTIONS: dict[str, Any] = {
    "page": Annotated[Path | None, typer.Option(metavar="FILE", help="Also an HTML page, the worst cases first.")],
    "page_items": Annotated[int | None, typer.Option(min=1, help="At most this many cases on it. [50]")],
    "page_images": Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the pictures that the references name.")
    ],
    "page_store": Annotated[Path | None, typer.Option(metavar="DIR", help="Store of the slices, for samples of rrg.")],
}
"""Option -> its type and help."""


def _page(given: dict[str, Any]) -> Any:
    """`PageOptions`, or None without a page."""
    page, items, images, store = given.values()
    if page is None:
        if any(each is not None for each in (items, images, store)):
            raise UsageError("--page-items, --page-images and --page-store need --page")
        return None
    from rrg.outputs.score_page import PageOptions

    return PageOptions(page=page, items=items or 50, images=images, store=store)


with_page = bundled("page", _OPTIONS, _page)
"""Gives a command the options of the page."""
