"""rrg check: look at what a model is taught before trusting it."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    what: Annotated[Literal["boxes"], typer.Argument(help="boxes: are they where the model is told they are?")],
    run: Annotated[Path, typer.Argument(help="Run folder of rrg train.")],
    dataset: Annotated[Path, typer.Argument(help="Data set folder of rrg pack.")],
    draw: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("boxes.png"),
) -> None:
    """Draw 16 samples and an anchor image with the boxes of the records and those read back from the model's text.

    Exit code 1 when a corner is more than one bin off. No weights are loaded.

    Example:  rrg check boxes run dataset --draw boxes.png
    """
    from rrg.check_boxes import check_boxes
    from rrg.errors import RrgError
    from rrg.pipe import talk

    tiles = check_boxes(run, dataset, draw)
    wrong = [tile.title for tile in tiles if not tile.good]
    worst = max(tile.bins for tile in tiles)
    if wrong:
        raise RrgError(
            f"{draw}: boxes of {len(wrong)} of {len(tiles)} pictures are not as recorded ({', '.join(wrong[:4])}; "
            f"{worst:.1f} bins off); the box format does not fit the tokenizer or the pictures",
            "E_BOX",
        )
    talk("check", f"{draw}: anchor and {len(tiles) - 1} samples, corners at most {worst:.2f} bins off")
