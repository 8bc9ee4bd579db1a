"""The audit of labels: one page with pictures, boxes, outlines and buttons, a CSV for the verdicts, and its result."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import LABELS, covers
from rrg.errors import RecordError, RrgError, UsageError
from rrg.infer_pixels import pixels_of
from rrg.metrics.bootstrap import wilson
from rrg.outputs.audit_draw import Item
from rrg.outputs.cards import Card, Statement, of_sample
from rrg.outputs.page import Fragment, escape, fragment, words_of, write_document
from rrg.outputs.pictures import picture_of
from rrg.records import Mention, Region
from rrg.store import read

COLUMNS = ("item", "source", "task", "lang", "size", "of", "label", "score", "sample", "mention", "verdict")
"""Of the CSV. ``of``: labels of this source, task, language and size in all that was made."""
VERDICTS = ("right", "wrong", "unclear")
TITLE = ("Prüfung der Beschriftungen", "Audit of labels")


def write_audit(items: Sequence[Item], store: Path, folder: Path, *, lang: str = "en") -> int:
    """Write ``audit.html`` and ``audit.csv`` into `folder`; the number of labels on the page.

    Labels whose pictures can not be read, or that do not fit on the page, are left out of both. RrgError when there is
    nothing to judge.
    """
    shown: list[Item] = []

    def parts() -> Iterator[Fragment]:
        for item in items:
            if (part := _part(item, store, len(shown) + 1)) is not None:
                shown.append(item)
                yield part

    page = folder / "audit.html"
    left_out = write_document(
        page, parts(), lang=lang, title=TITLE, notice={}, tools=_tools(), extra=("audit.css", "audit.js")
    )
    if not shown:
        page.unlink()
        raise RrgError("--audit: nothing to judge: no sample has boxes, or no picture can be read; check --store")
    fitting = shown[: len(shown) - left_out]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*_row(item), ""] for item in fitting)
    try:
        (folder / "audit.csv").write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise RrgError(f"audit.csv: {error.strerror or error}; choose another --audit-out", "E_IO") from None
    return len(fitting)


def _row(item: Item) -> list[str]:
    """A line of the CSV, without the verdict. No text of a report is in it."""
    scores = [region.score for region in item.mention.regions if region.score is not None]
    score = f"{min(scores):.3g}" if scores else ""
    return [item.id, *item.stratum, str(item.of), _labels(item), score, item.sample.id, item.mention.id]


def _part(item: Item, store: Path, number: int) -> Fragment | None:
    """The picture with the boxes of one phrase; None when it can not be read."""
    image = item.sample.images[0]
    try:
        picture = picture_of(image, pixels_of(image, store=store, held={}), item.slice)
    except RecordError:
        return None
    others = {mention.id for mention in item.sample.mentions} - {item.mention.id}
    mentions = tuple(_bare(mention) if mention.id in others else mention for mention in item.sample.mentions)
    cards = [_outlined(card, item.mention, store) for card in of_sample(replace(item.sample, mentions=mentions))]
    about = escape(f"{number}. {_labels(item)}")
    return fragment((item.id, image.ref), cards[:1], [picture], tail=_verdict(item, number), about=about)


def _labels(item: Item) -> str:
    return "+".join(dict.fromkeys(region.label for region in item.mention.regions))


def _bare(mention: Mention) -> Mention:
    """A phrase that is not asked about here: its words stay, its boxes go."""
    return replace(mention, regions=tuple(replace(region, boxes=()) for region in mention.regions))


def _outlined(card: Card, mention: Mention, store: Path) -> Card:
    """The card with the outline of the mask at the marks that have boxes."""
    path = "".join(_outline(region, store) for region in mention.regions if region.boxes)

    def marked(told: Statement | None) -> Statement | None:
        if told is None:
            return None
        return replace(told, marks=tuple(replace(m, outline=path if m.boxes else "") for m in told.marks))

    answer = marked(card.answer)
    assert answer is not None
    return replace(card, question=marked(card.question), answer=answer)


def _outline(region: Region, store: Path) -> str:
    """SVG path around the pixels of a region, in pixels of the slice; empty when there is no mask to read."""
    if region.mask is None or region.label not in LABELS:
        return ""
    try:
        layers = read(store, region.mask)
    except RecordError:
        return ""
    ids = [LABELS[label].class_id for label in (region.label, *covers(region.label))]
    own = np.asarray(layers == ids[0]).any(axis=0)
    return outline_path(np.asarray(own if own.any() else np.isin(layers, ids).any(axis=0)))


def outline_path(mask: NDArray[Any]) -> str:
    """The edges of the pixels of a (rows, columns) mask as an SVG path of horizontal and vertical lines."""
    padded = np.pad(mask.astype(bool), 1)
    flat, upright = padded[1:] != padded[:-1], padded[:, 1:] != padded[:, :-1]  # edges above rows, left of columns
    path = "".join(f"M{start - 1} {y}H{end - 1}" for y, row in enumerate(flat) for start, end in _runs(row))
    return path + "".join(f"M{x} {start - 1}V{end - 1}" for x, row in enumerate(upright.T) for start, end in _runs(row))


def _runs(row: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Half-open ranges of True."""
    steps = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    return zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True)


def _tools() -> str:
    """How far one is, and the button that saves the CSV."""
    return (
        '<span class="group audit"><output id="judged" aria-live="polite"></output>'
        f'<button type="button" id="save">{words_of("save_csv")}</button></span>'
    )


def _verdict(item: Item, number: int) -> str:
    """The buttons of one label; they carry its line of the CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(_row(item))
    keys = {"right": "Y", "wrong": "N", "unclear": "U"}
    buttons = "".join(
        f'<button type="button" data-verdict="{verdict}" aria-pressed="false" aria-keyshortcuts="{keys[verdict]}">'
        f"{words_of(verdict)} <kbd>{keys[verdict]}</kbd></button>"
        for verdict in VERDICTS
    )
    told = " · ".join((*item.stratum, _labels(item)))
    return (
        f'<div class="verdict" role="group" aria-labelledby="v{item.id}" data-head="{",".join(COLUMNS)}" '
        f'data-row="{escape(text.getvalue())}"><h3 id="v{item.id}">{number}. {words_of("is_it_right")}</h3>'
        f'<p class="stratum">{escape(told)}</p>{buttons}</div>'
    )


# Reading back


def read_verdicts(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV with verdicts. UsageError for a file that is none, RrgError for words that are no verdict."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"--audit-read {path.name}: {reason}") from None
    delimiter = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","  # Excel
    rows: list[dict[str, str]] = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise UsageError(f"--audit-read {path.name}: expected the columns {', '.join(COLUMNS)} and at least one line")
    for number, row in enumerate(rows, start=2):
        row["verdict"] = (row["verdict"] or "").strip().casefold()
        if row["verdict"] not in ("", *VERDICTS):
            raise RrgError(
                f"{path.name} line {number}: verdict {row['verdict'][:20]!r}; expected right, wrong, unclear or nothing"
            )
        if not (row["of"] or "").isdigit():
            raise RrgError(f"{path.name} line {number}: of {(row['of'] or '')[:20]!r}; expected a whole number")
    if doubled := [item for item, n in Counter(row["item"] for row in rows).items() if n > 1]:
        raise RrgError(f"{path.name}: item {doubled[0]} stands there twice; keep one line of each")
    return rows


def precision(rows: Sequence[Mapping[str, str]]) -> str:
    """A table: per source and for all, how many labels are right, with the 95 % Wilson interval.

    ``precision`` is right of right and wrong, as judged; ``weighted`` is what all labels would have: each stratum
    counts with its labels, not with those drawn from it. Unclear and open ones are in neither.
    """
    sources = sorted({row["source"] for row in rows})
    lines = [["source", "judged", "right", "wrong", "unclear", "open", "precision", "95 % interval", "weighted"]]
    for source in (*sources, "all"):
        mine = [row for row in rows if source in (row["source"], "all")]
        n = Counter(row["verdict"] for row in mine)
        decided = n["right"] + n["wrong"]
        low, high = wilson(n["right"], decided) if decided else (0.0, 0.0)
        told = (f"{n['right'] / decided:.3f}", f"{low:.3f} .. {high:.3f}") if decided else ("-", "-")
        counts = (decided + n["unclear"], *(n[verdict] for verdict in VERDICTS), n[""])
        lines.append([source, *map(str, counts), *told, _weighted(mine)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in lines)
    return "".join("  ".join(row).rstrip() + "\n" for row in cells)


def _weighted(rows: Sequence[Mapping[str, str]]) -> str:
    """Precision of all labels from that of each stratum; strata without a decided label are left out."""
    strata: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    of: dict[tuple[str, ...], int] = {}
    for row in rows:
        key = tuple(row[name] for name in ("source", "task", "lang", "size"))
        strata[key][row["verdict"]] += 1
        of[key] = int(row["of"])
    decided = {key: n["right"] + n["wrong"] for key, n in strata.items()}
    total = sum(of[key] for key, n in decided.items() if n)
    right = sum(of[key] * strata[key]["right"] / n for key, n in decided.items() if n)
    return f"{right / total:.3f}" if total else "-"
