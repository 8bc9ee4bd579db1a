"""The frame of a sample that is made from a slice: image, turns, facets, provenance, an id of its content."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rrg.codec import encode
from rrg.records import Lang, Mention, Part, Report, Sample, Turn
from rrg.synth.seen import Seen

_IMAGE = Part(type="image", ref="i0")


def turns(question: str, answer: str) -> tuple[Turn, ...]:
    """One question about the image and its answer; both are texts of parts (braces escaped)."""
    asked = (_IMAGE, Part(type="text", text=question))
    return (
        Turn(role="user", content=asked),
        Turn(role="assistant", content=(Part(type="text", text=answer),), loss=True),
    )


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
    """A sample on one slice. Its id is a hash of its content: what is the same twice has the same id.

    `question` and `answer_text` are texts of parts. `facets` are added to those of the slice, `provenance` to
    generator and template. `preset`: the window that the picture must be shown in.
    """
    slice_ = seen.slice
    strata = {"modality": slice_.modality, "plane": slice_.plane, "body_part": slice_.body_part, **facets}
    bare = Sample(
        id="",
        from_=(slice_.id, *seen.masks, *reports),
        patient=slice_.patient,
        study=slice_.study,
        images=(seen.image if preset is None else replace(seen.image, preset=preset),),
        turns=turns(question, answer_text),
        mentions=mentions,
        lang=lang,
        task=task,
        facets={key: value for key, value in strata.items() if value is not None},
        provenance={"generator": "template", "template": template, **(provenance or {})},
        **fields,
    )
    # in place: nobody has it yet, and a copy costs as much as making it
    object.__setattr__(bare, "id", hashlib.sha256(encode(bare)).hexdigest()[:20])
    return bare


def sections_for(reports: Iterable[Report]) -> dict[str, str]:
    """Clinical information and question of the reports, as context of a sample. What is the same is said once."""
    context: dict[str, str] = {}
    for report in reports:
        for section in report.sections:
            text = " ".join(report.text[slice(*section.span)].split())
            if section.kind in ("clinical", "question") and text and text not in context.values():
                context.setdefault(section.kind, text)
    return context
