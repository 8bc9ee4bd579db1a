"""What a stream or data set holds, as a page: slices with masks, cited sentences, samples and predictions."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rrg.errors import RrgError
from rrg.infer import NOTICES
from rrg.infer_pixels import pixels_of
from rrg.outputs.cards import Card, of_mask, of_prediction, of_report, of_sample
from rrg.outputs.page import Fragment, fragments, write_document
from rrg.outputs.pictures import pictures_of
from rrg.pipe import read_records
from rrg.records import Mask, Prediction, Record, Report, Sample, Slice
from rrg.synth.seen import image_of

TITLE = ("Datensatz", "Data set")
ORDER = ("cited", "grounded-report", "report", "masks")
"""Kinds of texts that stand first beside a picture; the others follow as they came."""


class View(NamedTuple):
    """What went onto a page."""

    pictures: int
    cards: int
    left_out: int
    """Pictures whose pixels could not be read, or that did not fit."""


def write_view(inputs: tuple[Path, ...], store: Path, page: Path, *, limit: int, lang: str | None) -> View:
    """Write a page of at most `limit` pictures. RrgError when the input holds nothing that can be shown."""
    records = list(read_records(inputs, (Slice, Mask, Report, Sample, Prediction)))
    slices = {record.id: record for record in records if isinstance(record, Slice)}
    cards = list(_cards(records, slices, lang))
    chosen = _chosen(cards, limit)
    shown = [card for card in cards if _key(card) in chosen]
    if not shown:
        raise RrgError("no slice, mask, sample or prediction in the input; nothing to show")
    pixels = functools.lru_cache(8)(functools.partial(pixels_of, store=store, held={}))
    unread = 0

    def parts() -> Iterator[Fragment]:
        nonlocal unread
        for key in chosen:
            own = sorted((card for card in shown if _key(card) == key), key=_rank)
            made = list(fragments(own, pictures_of(own[0].images, pixels, slices)))
            unread += not made
            yield from made
        if unread == len(chosen):
            raise RrgError(
                f"none of the {unread} pictures can be read; give the --store that the records were made with", "E_IO"
            )

    left_out = write_document(page, parts(), lang=lang or "en", title=TITLE, notice=_notice(records))
    return View(len(chosen) - unread - left_out, len(shown), unread + left_out)


def _notice(records: Iterable[Record]) -> Mapping[str, str]:
    """The notice of the predictions, in both languages where it is one of ours; empty without predictions."""
    told = next((record.notice for record in records if isinstance(record, Prediction) and record.notice), None)
    if told is None:
        return {}
    return next((pair for pair in NOTICES.values() if told in pair.values()), {"de": told, "en": told})


def _key(card: Card) -> tuple[str, ...]:
    return tuple(image.ref for image in card.images)


def _cards(records: Iterable[Record], slices: dict[str, Slice], lang: str | None) -> Iterator[Card]:
    """Predictions with what was asked, other samples, cited sentences, masks."""
    records = list(records)
    samples = {record.id: record for record in records if isinstance(record, Sample)}
    answered = {record.id for record in records if isinstance(record, Prediction)}
    for record in records:
        if isinstance(record, Prediction) and lang in (None, record.lang):
            yield of_prediction(record, samples.get(record.id))
        elif isinstance(record, Sample) and record.id not in answered and lang in (None, record.lang):
            yield from of_sample(record)
        elif isinstance(record, Report) and lang in (None, record.lang):
            for name in dict.fromkeys(name for reference in record.references for name in reference.slices):
                if name in slices and (card := of_report(record, image_of(slices[name]), name)) is not None:
                    yield card
        elif isinstance(record, Mask) and record.slice in slices:
            yield of_mask(record, image_of(slices[record.slice]), lang or "en")


def _rank(card: Card) -> int:
    return ORDER.index(card.kind) if card.kind in ORDER else len(ORDER)


def _worth(card: Card) -> int:
    """Answers of a model and reports first, then other texts, then masks; nothing for an empty mask."""
    if card.kind == "masks":
        return 1 if card.answer.marks else 0
    return 3 if card.answered or card.kind in ORDER else 2


def _chosen(cards: Iterable[Card], limit: int) -> list[tuple[str, ...]]:
    """Pictures to show, in order: those with the worthiest texts; of pictures alike in that, evenly chosen ones."""
    keys: dict[tuple[str, ...], int] = {}
    for card in cards:
        keys[_key(card)] = max(_worth(card), keys.get(_key(card), 0))
    chosen: list[tuple[str, ...]] = []
    for worth in sorted(set(keys.values()) - {0}, reverse=True):
        alike = sorted((key for key in keys if keys[key] == worth), key=_place)
        n = min(limit - len(chosen), len(alike))
        chosen += [alike[(2 * i + 1) * len(alike) // (2 * n)] for i in range(n)]
    return sorted(chosen, key=_place)


def _place(key: tuple[str, ...]) -> tuple[str, int]:
    array, _, index = key[0].partition("#")
    return array, int(index) if index.isdigit() else 0
