"""The worst items of a score as one HTML page: picture, boxes, question, prediction, reference, scores."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrg.errors import RecordError, UsageError
from rrg.formats.items import Item
from rrg.infer_pixels import pixels_of, read_picture
from rrg.metrics.options import TaskOptions
from rrg.metrics.output import Result
from rrg.outputs.cards import Card, Statement
from rrg.outputs.page import Fragment, escape, fragment, words_of, write_document
from rrg.outputs.pictures import Picture, picture_of
from rrg.outputs.score_cases import TASKS, Size, natural_size, statements
from rrg.outputs.score_table import number
from rrg.records import ImageRef

TITLE = ("Bewertung: die schlechtesten Fälle zuerst", "Score: the worst cases first")
HIGHER = {"fraction": 1.0, "score100": 100.0, "score10": 10.0}
"""Units in which more is better, and their best value."""
SHOWN = 3
"""Values that stand on top of the page."""


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """The page of the command line."""

    page: Path
    items: int = 50
    images: Path | None = None
    """Folder of the pictures that rows name."""
    store: Path | None = None
    """Store of the slices of rrg's own samples."""


def write_score_page(result: Result, options: PageOptions, task_options: TaskOptions) -> None:
    """Write the page, whole or not at all. UsageError for a task without texts, boxes or masks; RrgError(E_IO)."""
    task, metrics = result.body["task"], result.body["metrics"]
    if task not in TASKS:
        raise UsageError(f"--page: {task} has nothing to show; it is for {', '.join(TASKS)}")
    lines = list(result.items())
    ranked = sorted(range(len(lines)), key=lambda n: (worth(lines[n]["scores"], metrics), n))[: options.items]

    def parts() -> Iterator[Fragment]:
        for rank, n in enumerate(ranked, 1):
            yield _part(rank, result.cases[n], lines[n], task, options, task_options, metrics)

    values = ", ".join(f"{name} {number(each['value'])}" for name, each in list(metrics.items())[:SHOWN])
    told = f"{task} {result.body['protocol']}: {values}"
    notice = {"de": f"{told} · {len(ranked)} von {len(lines)} Fällen", "en": f"{told} · {len(ranked)} of {len(lines)}"}
    german = sum(item.reference.lang == "de" for item in result.cases) * 2 > len(result.cases)
    lang = "de" if german else "en"
    write_document(options.page, parts(), lang=lang, title=TITLE, notice=notice, made_by=result.body["signature"])


def worth(scores: Mapping[str, Any], metrics: Mapping[str, Any]) -> float:
    """How good an item is: the mean of its scores of which more is better; of boxes in pictures, fewer wrong ones.

    An item without a score comes last.
    """
    if "at50.fp" in scores:
        return -float(scores["at50.fp"] + scores["at50.fn"])
    best = {name: HIGHER[each["unit"]] for name, each in metrics.items() if each["unit"] in HIGHER}
    found = [value / best[name] for name, value in scores.items() if name in best and isinstance(value, int | float)]
    return sum(found) / len(found) if found else float("inf")


def _part(
    rank: int,
    item: Item,
    line: Mapping[str, Any],
    task: str,
    options: PageOptions,
    task_options: TaskOptions,
    metrics: Mapping[str, Any],
) -> Fragment:
    picture, lacking = _picture(item, options)
    if picture is None:
        picture = _blank(natural_size(task, item, task_options))
    size = (float(picture.columns), float(picture.rows))
    said, wanted = statements(task, item, task_options, size, "i0")
    it = item.reference
    image = ImageRef(id="i0", ref=f"{rank}", rows=picture.rows, columns=picture.columns)
    question = it.question or str(it.facets.get("phrase", ""))
    card = Card(
        kind=KINDS.get(task, task),
        lang=it.lang or "en",
        images=(image,),
        question=Statement(question) if question else None,
        answer=said,
        reference=wanted,
        flags=(),
        answered=True,
    )
    scores = {name: value for name, value in line["scores"].items() if name in metrics}
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(number(value))}</dd>" for name, value in scores.items())
    flags = [lacking, "no_prediction" if item.missing else "", "unparsed" if line["unparsed"] else ""]
    told = "".join(f'<span class="flag">{words_of(flag)}</span>' for flag in flags if flag)
    tail = (
        f'<article class="scores"><h3>{rank}. {escape(it.id)} {told}</h3>'
        f'<p class="facets">{escape(_facets(item))}</p><h4>{words_of("scores")}</h4><dl>{rows}</dl></article>'
    )
    first = next(((name, value) for name, value in scores.items() if value is not None), ("", None))
    about = escape(f"{rank}. {it.id} · {first[0]} {number(first[1])}")
    return fragment((it.id, str(rank)), [card], [picture], tail=tail, about=about)


KINDS = {"refer": "phrase-to-box", "grounded-text": "grounded-report", "boxes": "detect"}
"""Task -> the task whose heading its card has."""


def _facets(item: Item) -> str:
    return " · ".join(f"{name}: {value}" for name, value in item.reference.facets.items() if value != "")[:300]


def _picture(item: Item, options: PageOptions) -> tuple[Picture | None, str]:
    """The picture of an item, or why there is none: a word of the page."""
    image = item.reference.image
    if image is None:
        return None, "picture_unnamed"
    try:
        if isinstance(image, ImageRef):
            return picture_of(image, pixels_of(image, store=options.store, held={})), ""
        root = (options.images or Path()).resolve()
        path = (root / str(image)).resolve()
        if options.images is None or not path.is_relative_to(root):
            return None, "picture_missing"
        pixels = read_picture(path)
    except (RecordError, OSError):
        return None, "picture_missing"
    shown = ImageRef(id="i0", ref="-", rows=pixels.shape[0], columns=pixels.shape[1], unit="rgb")
    return picture_of(shown, pixels), ""


def _blank(size: Size) -> Picture:
    """A grey picture in the place of one that is not there, so that boxes can still be drawn."""
    columns, rows = (max(1, round(each)) for each in size)
    grey = np.full((rows, columns, 3), 64, np.uint8)
    return picture_of(ImageRef(id="i0", ref="-", rows=rows, columns=columns, unit="rgb"), grey)
