"""Are boxes where a run's model is told they are? Samples and an anchor image through its pictures, text and tokens."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rrg.boxes import Dialect, decode, encode_phrase
from rrg.errors import RecordError, UsageError, plain_target
from rrg.model.load import MODEL
from rrg.model.settings import Settings, read_settings
from rrg.prompt import MEDIA, render
from rrg.records import Box, ImageRef, Sample
from rrg.seeds import rng_for
from rrg.train_data import Pictures, check_dataset, read_part
from rrg.windows import Preset, look

SAMPLES = 16
LIMIT, ANCHOR_LIMIT = 1.0, 1.5
"""Most steps between a corner and itself read back; of the anchor half a pixel more: its edges are seen in pixels."""
TILE = 280
"""Side of a drawn picture."""
ANCHOR_ROWS, ANCHOR_COLUMNS = 300, 200
ANCHOR = Box(x0=30, y0=60, x1=90, y1=240)
"""A bright block left of the middle and higher than wide, on a slice that is not square: every mix-up shows."""
TRUE, READ = "#00d000", "#ff3030"


@dataclass(frozen=True)
class Tile:
    """One picture with boxes in its own pixels."""

    title: str
    picture: NDArray[np.uint8]
    true: tuple[Box, ...]
    read: tuple[Box, ...]
    bins: float
    """Largest distance of a corner, in steps of the dialect (at least a pixel); infinite when a box was lost."""

    @property
    def good(self) -> bool:
        """The boxes are where they should be."""
        return self.bins <= (ANCHOR_LIMIT if self.title == "anchor" else LIMIT) + 1e-6


def check_boxes(run: Path, dataset: Path, target: Path) -> list[Tile]:
    """Write a picture of the anchor and `SAMPLES` samples of the data set to `target` (PNG); returns what was drawn.

    Green is the record, red what is read back from the text that the model learns, after the run's tokenizer. Of the
    anchor green is what can be seen in the picture itself. Raises UsageError when the data set has no box.
    """
    from transformers import AutoTokenizer

    target = plain_target(target, "--draw")
    settings = read_settings(run)
    if settings.dialect.kind == "none":
        raise UsageError(f"{run}: this model writes no boxes")
    if settings.dialect.kind == "seg":
        raise UsageError(f"{run}: a mask head draws what this model means; there are no boxes in its text to check")
    tokenizer = cast(Any, AutoTokenizer).from_pretrained(run / MODEL, local_files_only=True, trust_remote_code=False)
    check_dataset(dataset)
    samples = [each for each in read_part(dataset, "train", settings.languages).samples if _boxes(each)]
    if not samples:
        raise UsageError(f"{dataset}: no sample with a box in its train split")
    order = rng_for(0, "check", "boxes").permutation(len(samples))
    pictures = Pictures(dataset, cast(Preset, settings.preset), settings.side)
    tiles = [anchor(settings, tokenizer)]
    for number in order[:SAMPLES]:
        sample = samples[number]
        image = sample.images[0]
        text = _spoken(sample, settings.dialect, tokenizer)
        read = _read(text, image.rows, image.columns, settings.dialect)
        shown = pictures.picture(pictures.add(image))
        tiles.append(_tile(sample.task, shown, _boxes(sample), read, image.rows, image.columns, settings))
    _draw(tiles, target)
    return tiles


def anchor(settings: Settings, tokenizer: Any) -> Tile:
    """The anchor: where the block is seen in the model's picture, and where its text says it is."""
    values = np.zeros((ANCHOR_ROWS, ANCHOR_COLUMNS, 3), np.uint8)
    values[int(ANCHOR.y0) : int(ANCHOR.y1), int(ANCHOR.x0) : int(ANCHOR.x1)] = 255
    image = ImageRef(id="i0", ref="anchor", rows=ANCHOR_ROWS, columns=ANCHOR_COLUMNS, unit="rgb")
    shown = look(image, values, cast(Preset, settings.preset), settings.side)[0]
    rows, columns = np.nonzero(shown.mean(-1) >= 128)
    across, down = ANCHOR_COLUMNS / settings.side, ANCHOR_ROWS / settings.side
    seen = Box(
        x0=float(columns.min()) * across, y0=float(rows.min()) * down,
        x1=float(columns.max() + 1) * across, y1=float(rows.max() + 1) * down,
    )  # fmt: skip
    text = encode_phrase("anchor", [ANCHOR], ANCHOR_ROWS, ANCHOR_COLUMNS, settings.dialect)
    read = _read(through(tokenizer, text), ANCHOR_ROWS, ANCHOR_COLUMNS, settings.dialect)
    return _tile("anchor", shown, (seen,), read, ANCHOR_ROWS, ANCHOR_COLUMNS, settings)


def through(tokenizer: Any, text: str) -> str:
    """A text as it is after encoding and decoding, as the model's answers are."""
    return str(tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)))


def _spoken(sample: Sample, dialect: Dialect, tokenizer: Any) -> str:
    """What the model learns to say."""
    try:
        return "".join(through(tokenizer, p.text.replace(MEDIA, "")) for p in render(sample, dialect).pieces if p.loss)
    except RecordError as error:
        raise UsageError(f"sample {sample.id}: {error.message}") from None


def _boxes(sample: Sample) -> tuple[Box, ...]:
    """Boxes on the first image that answers name, in the order of the answers."""
    if not sample.images:
        return ()
    said = [part.text or "" for turn in sample.turns if turn.role == "assistant" and turn.loss for part in turn.content]
    named = [(text.find(f"{{{m.id}}}"), number, m) for number, text in enumerate(said) for m in sample.mentions]
    placed = sorted(((number, at, m) for at, number, m in named if at >= 0), key=lambda each: each[:2])
    first = sample.images[0].id
    return tuple(box for *_, m in placed for region in m.regions if region.image == first for box in region.boxes)


def _read(text: str, rows: int, columns: int, dialect: Dialect) -> tuple[Box, ...]:
    found = decode(text, rows, columns, dialect).mentions
    return tuple(box for mention in found for region in mention.regions for box in region.boxes)


def _tile(
    title: str, shown: NDArray[np.uint8], true: Sequence[Box], read: Sequence[Box], rows: int, columns: int,
    settings: Settings,
) -> Tile:  # fmt: skip
    """Boxes of a slice of `rows` x `columns` pixels in the picture's pixels, and how far they are apart."""
    across, down = settings.side / columns, settings.side / rows

    def scaled(box: Box) -> Box:
        return Box(x0=box.x0 * across, y0=box.y0 * down, x1=box.x1 * across, y1=box.y1 * down)

    ours, theirs = tuple(map(scaled, true)), tuple(map(scaled, read))
    step = settings.side / min(settings.dialect.bins, settings.side)
    gaps = [abs(a - b) / step for p, q in zip(ours, theirs, strict=False) for a, b in zip(p.xyxy, q.xyxy, strict=True)]
    far = max(gaps, default=0.0) if len(ours) == len(theirs) else float("inf")
    return Tile(title, shown, ours, theirs, far)


def _draw(tiles: Sequence[Tile], target: Path) -> None:
    from PIL import Image, ImageDraw

    across = 6
    down = -(-len(tiles) // across)
    sheet = Image.new("RGB", (across * TILE, down * (TILE + 16)), "black")
    pen = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        x, y = number % across * TILE, number // across * (TILE + 16)
        sheet.paste(Image.fromarray(tile.picture).resize((TILE - 4, TILE - 4)), (x, y + 16))
        factor = (TILE - 4) / tile.picture.shape[0]
        for boxes, colour, width in ((tile.true, TRUE, 3), (tile.read, READ, 1)):
            for box in boxes:
                corners = [v * factor + move for v, move in zip(box.xyxy, (x, y + 16) * 2, strict=True)]
                pen.rectangle(corners, outline=colour, width=width)
        pen.text((x + 3, y + 2), f"{tile.title}: {tile.bins:.2f} bins", fill="white")
    file = io.BytesIO()
    sheet.save(file, "PNG")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.write_bytes(file.getvalue())
    temporary.replace(target)
