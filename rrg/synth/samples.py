"""The frame of a sample that is made from a slice: image, turns, facets, provenance."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rrg.records import Lang, Mention, Part, Report, Sample, Turn
from rrg.synth.seen import Seen

_IMAGE = Part(type="image", ref="i0")
MOST_TURNS = 4096
"""Turns that are kept to be used again: most questions and answers come back on other slices."""


def turns(question: str, answer: str) -> tuple[Turn, ...]:
    """One question about the image and its answer; both are texts of parts (braces escaped)."""
    return _asked(question), _answered(answer)


@functools.lru_cache(MOST_TURNS)
def _asked(question: str) -> Turn:
    return Turn(role="user", content=(_IMAGE, Part(type="text", text=question)))


@functools.lru_cache(MOST_TURNS)
def _answered(answer: str) -> Turn:
    return Turn(role="assistant", content=(Part(type="text", text=answer),), loss=True)


def sample(
    seen: Seen,
    *,
    task: str,
    lang: Lang,
    question: str,
    answer_text: str,
    template: str,
    facets: Mapping[str, str | None],
    reports: Sequence[str] = (),
    mentions: tuple[Mention, ...] = (),
    provenance: Mapping[str, str] | None = None,
    preset: str | None = None,
    **fields: Any,
) -> Sample:
    """A sample on one slice, without an id: it gets that of its content when it is written (`rrg.pipe`).

    `question` and `answer_text` are texts of parts. `facets` are added to those of the slice, `provenance` to
    generator and template. `preset`: the window that the picture must be shown in.
    """
    slice_ = seen.slice
    return Sample(
        id="",
        from_=(slice_.id, *seen.masks, *reports),
        patient=slice_.patient,
        study=slice_.study,
        images=(seen.image if preset is None else replace(seen.image, preset=preset),),
        turns=turns(question, answer_text),
        mentions=mentions,
        lang=lang,
        task=task,
        facets=seen.strata | {key: value for key, value in facets.items() if value is not None},
        provenance={"generator": "template", "template": template, **(provenance or {})},
        **fields,
    )


def sections_for(reports: Iterable[Report]) -> dict[str, str]:
    """Clinical information and question of the reports, as context of a sample. What is the same is said once."""
    context: dict[str, str] = {}
    for report in reports:
        for section in report.sections:
            text = " ".join(report.text[slice(*section.span)].split())
            if section.kind in ("clinical", "question") and text and text not in context.values():
                context.setdefault(section.kind, text)
    return context
