"""Passports as a picture: slices as training sees them, in their true shape, with what records say about them."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rrg import store
from rrg.errors import RrgError, plain_target
from rrg.passport import Line, shown
from rrg.windows import Preset, picture

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

MOST = 12
"""Slices drawn of a series."""
ONE_SIDE, MANY_SIDE = 768, 384
"""Longest side of a slice in the picture, in pixels: alone, and among others."""
MARGIN = 3
COLOURS = ("#ffd400", "#00c8ff", "#ff5ad2", "#58e000", "#ff8c1a", "#b48cff", "#ffffff")
LETTER = "#7ee0a8"


def draw(lines: Sequence[Line], folder: Path, target: Path, preset: Preset = "radgrounder") -> int:
    """Write the slices of the passports as one PNG file, whole or not at all; returns how many there are.

    Pictures are those of `rrg.windows.picture`, stretched so that a millimetre is the same in both directions; letters
    at the edges are the patient's directions (R: right). Larger slices shrink. Raises RecordError and RrgError.
    """
    target = plain_target(target, "--draw")
    chosen = shown(lines, folder, MOST)
    sheet = _sheet([_tile(line, folder, preset, ONE_SIDE if len(chosen) == 1 else MANY_SIDE) for line in chosen])
    file = io.BytesIO()
    sheet.save(file, "PNG")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(file.getvalue())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RrgError(f"{target}: {error.strerror}; choose another folder", "E_IO") from None
    return len(chosen)


def _tile(line: Line, folder: Path, preset: Preset, side: int) -> "Image.Image":
    """One slice with boxes, letters and its number."""
    from PIL import Image, ImageDraw, ImageFont

    inverted = "monochrome1" in (line.get("flags") or ())
    pixels = store.read(folder, line["pixels"])
    values, _ = picture(pixels, line["unit"], preset, invert=inverted, padding=line.get("padding"))
    rows, columns = values.shape[:2]
    between_rows, between_columns = line.get("spacing_mm") or (1.0, 1.0)
    height, width = rows * between_rows / between_columns, float(columns)
    grow = side / max(height, width)
    size = max(round(width * grow), 1), max(round(height * grow), 1)
    tile = Image.fromarray(values).resize(size, Image.Resampling.BILINEAR)
    pen, font = ImageDraw.Draw(tile), cast("ImageFont.FreeTypeFont", ImageFont.load_default(max(side // 32, 12)))
    by_column, by_row = size[0] / columns, size[1] / rows
    for number, phrase in enumerate(line.get("phrases", ())):
        if "box" not in phrase:
            continue
        colour = COLOURS[number % len(COLOURS)]
        x0, y0, x1, y1 = phrase["box"]
        left, top = x0 * by_column, y0 * by_row
        corners = left, top, max(x1 * by_column - 1, left), max(y1 * by_row - 1, top)
        pen.rectangle(corners, outline=colour, width=max(side // 256, 1))
        word = phrase.get("phrase") or phrase.get("label", "")
        if number % 2:  # names of neighbours do not cover each other
            _write(pen, (corners[0] + 3, corners[3] - 3), word, font, colour, "ld")
        else:
            _write(pen, (corners[0] + 3, corners[1] + 1), word, font, colour)
    if letters := line.get("edges"):
        middle, centre = size[0] / 2, size[1] / 2
        _write(pen, (MARGIN, centre), letters["left"], font, LETTER, "lm")
        _write(pen, (size[0] - MARGIN, centre), letters["right"], font, LETTER, "rm")
        _write(pen, (middle, MARGIN), letters["top"], font, LETTER, "ma")
        _write(pen, (middle, size[1] - MARGIN), letters["bottom"], font, LETTER, "md")
    _write(pen, (MARGIN, MARGIN), f"{line['index'] + 1}/{line['count']}", font, LETTER)
    return tile


def _write(
    pen: "ImageDraw.ImageDraw", at: tuple[float, float], text: str, font: Any, colour: str, anchor: str = "la"
) -> None:
    pen.text(at, text, fill=colour, font=font, anchor=anchor, stroke_width=2, stroke_fill="black")


def _sheet(tiles: Sequence["Image.Image"]) -> "Image.Image":
    """Tiles in rows, at most four beside each other."""
    from PIL import Image

    if len(tiles) == 1:
        return tiles[0]
    across = min(len(tiles), 4 if len(tiles) > 3 else len(tiles))
    width, height = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    down = int(np.ceil(len(tiles) / across))
    sheet = Image.new("RGB", (across * (width + MARGIN) - MARGIN, down * (height + MARGIN) - MARGIN), "#303030")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % across * (width + MARGIN), number // across * (height + MARGIN)))
    return sheet
