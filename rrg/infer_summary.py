"""The study summary as a record: the draft report of all slices, its phrases with their boxes, what contradicts."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rrg.records import ImageRef, Lang, Mention, Prediction, Region, Slice
from rrg.summary import Draft, Merged, Written, contradiction_line, merge, statements_of, written

TASK = "study-report"
SOURCES = ("grounded-report", "report")
"""Tasks whose answers are merged; the first that was asked."""


def summary_of(answers: Sequence[Prediction], slices: Sequence[Slice], lang: Lang) -> Prediction | None:
    """The summary of the answers to one study; None when fewer than two slices were reported on."""
    place = {each.id: number for number, each in enumerate(slices)}
    for task in SOURCES:
        own = [
            each for each in answers if each.task == task and len(each.images) == 1 and each.images[0].slice in place
        ]
        own.sort(key=lambda each: place[each.images[0].slice or ""])
        if len({each.images[0].slice for each in own}) > 1:
            known = {each.id: each for each in slices}
            told = [s for each in own for s in statements_of(each, known[each.images[0].slice or ""])]
            return _record(merge(told), own, lang)
    return None


def _record(draft: Draft, answers: Sequence[Prediction], lang: Lang) -> Prediction:
    text = written(draft, lang)
    cited = {slice_.id for each in draft.sentences for slice_ in each.slices}
    cited |= {one.slice.id for each in draft.contradictions for one in (each.stated, each.denied)}
    refs: dict[str, ImageRef] = {}
    for each in answers:
        image = each.images[0]
        if image.slice in cited and image.slice not in refs:
            refs[image.slice or ""] = dataclasses.replace(image, id=f"i{len(refs)}")
    mentions = tuple(_mentions(draft, {name: image.id for name, image in refs.items()}))
    first = answers[0]
    sources = tuple(each.id for each in answers)
    name = hashlib.sha256("\n".join((TASK, lang, *sources)).encode()).hexdigest()[:20]
    sure = [each.confidence for each in answers if each.confidence is not None]
    return dataclasses.replace(
        first,
        id=name,
        from_=sources,
        images=tuple(refs.values()),
        task=TASK,
        lang=lang,
        question="",
        raw=text.text,
        text=text.text,
        mentions=mentions,
        flags=("contradictions",) if draft.contradictions else (),
        confidence=round(sum(sure) / len(sure), 4) if sure else None,
        extra=_links(draft, text, refs, lang),
    )


def _mentions(draft: Draft, image_of: Mapping[str, str]) -> Iterator[Mention]:
    """The phrases of the sentences that are written, each with its boxes on every slice that the sentence cites."""
    number = 0
    for merged in draft.sentences:
        for mention in merged.best.mentions:
            regions = tuple(_regions(mention, merged, image_of))
            yield Mention(id=f"m{number}", phrase=mention.phrase, regions=regions)
            number += 1


def _regions(mention: Mention, merged: Merged, image_of: Mapping[str, str]) -> Iterator[Region]:
    wanted = {region.label for region in mention.regions}
    for each in merged.statements:
        for other in each.mentions:
            if other.phrase == mention.phrase or wanted & {region.label for region in other.regions}:
                for region in other.regions:
                    yield dataclasses.replace(region, image=image_of[each.slice.id])


def _links(draft: Draft, text: Written, refs: Mapping[str, ImageRef], lang: Lang) -> dict[str, Any]:
    """``sentences`` and ``contradictions``: where each stands in the text, and the answers and phrases behind it."""
    return {
        "sentences": [
            {
                "span": list(span),
                "kind": each.kind,
                "confidence": each.best.confidence,
                "cites": [
                    {
                        "slice": one.slice.id,
                        "image": refs[one.slice.id].id,
                        "from": one.source,
                        "mentions": [mention.id for mention in one.mentions],
                    }
                    for one in each.statements
                ],
            }
            for each, span in zip(draft.sentences, text.spans, strict=True)
        ],
        "contradictions": [
            {
                "kind": each.kind,
                "text": contradiction_line(each, lang),
                "slices": [each.stated.slice.id, each.denied.slice.id],
                "from": [each.stated.source, each.denied.source],
            }
            for each in draft.contradictions
        ],
        "statements": draft.given,
    }
