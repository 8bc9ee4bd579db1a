"""Grounded samples from masks alone: where a structure is, that it is not there, what lies in a box."""

from collections import Counter
from collections.abc import Iterator

from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.geometry import iou
from rrg.records import Lang, Mention, Region, Sample
from rrg.seeds import rng_for
from rrg.synth import templates
from rrg.synth.absences import Absences, pick
from rrg.synth.facts import Study
from rrg.synth.grounding_options import COMMAND, Options, form_of
from rrg.synth.negatives import rounded
from rrg.synth.samples import sample
from rrg.synth.seen import Found, Seen

ALIKE_IOU = 0.8
"""A box that fits another structure nearly as well can not be named."""


def detect_plan(study: Study, options: Options, counts: Counter[str]) -> list[tuple[list[str], list[str]]]:
    """Structures to ask for on each slice: (present, absent), the same in all languages."""
    if "detect" not in options.tasks:
        return [([], []) for _ in study.seen]
    rngs = [rng_for(options.seed, COMMAND, seen.slice.id) for seen in study.seen]
    quota = [rounded(options.per_slice * options.negatives_detect, rng) for rng in rngs]
    present = [
        pick(rng, seen.shown, options.per_slice - min(absent, len(seen.absent)))
        for seen, absent, rng in zip(study.seen, quota, rngs, strict=True)
    ]
    absences = Absences(study, (label for labels in present for label in labels))
    plan = [
        (labels, absences.pick(seen, absent, rng))
        for seen, labels, absent, rng in zip(study.seen, present, quota, rngs, strict=True)
    ]
    counts["detect.none_to_deny"] += sum(
        max(wanted - len(absent), 0) for wanted, (_, absent) in zip(quota, plan, strict=True)
    )
    return plan


def from_masks(
    seen: Seen, asked: tuple[list[str], list[str]], lang: Lang, options: Options, rng: Generator, counts: Counter[str]
) -> Iterator[Sample]:
    """Questions for what is present and absent, `asked`, and one for what lies in a box."""
    for label in (*asked[0], *asked[1]):
        yield _detect(seen, label, lang, options, rng)
    if "box-to-phrase" in options.tasks:
        names = seen.shown
        label = names[int(rng.integers(len(names)))] if names else ""
        if not names:
            counts["box-to-phrase.nothing_there"] += 1
        elif any(iou(seen.found[label].box, other.box) >= ALIKE_IOU for other in _others(seen, label)):
            counts["box-to-phrase.looks_alike"] += 1
        else:
            yield _box_to_phrase(seen, label, lang, options, rng)


def _others(seen: Seen, label: str) -> Iterator[Found]:
    return (other for name, other in seen.found.items() if name != label)


def _detect(seen: Seen, label: str, lang: Lang, options: Options, rng: Generator) -> Sample:
    """Where is it? An absent structure has a region without boxes, which the answer does not name."""
    form = form_of("detect", lang, options, rng)
    region = seen.region(label, "seg", components=options.components)
    where = region or Region(label=label, class_id=LABELS[label].class_id, boxes=(), origin="seg")
    phrase = templates.name(label, lang)
    return sample(
        seen,
        task="detect",
        lang=lang,
        question=templates.ask("detect", lang, phrase=label, form=form),
        answer_text="{m0}" if region else templates.NOT_HERE[lang],
        template=f"detect/{form}",
        facets={
            "source": "mask",
            "question": "detect",
            "label": label,
            "state": "present" if region else "absent",
        },
        mentions=(Mention(id="m0", phrase=phrase, regions=(where,)),),
        answer=phrase if region else templates.NOT_HERE[lang],
        needs_image=True,
    )


def _box_to_phrase(seen: Seen, label: str, lang: Lang, options: Options, rng: Generator) -> Sample:
    """What is there? The mention in the question has no phrase, so that only its box is shown."""
    form = form_of("box-to-phrase", lang, options, rng)
    region = seen.region(label, "seg")
    assert region is not None
    return sample(
        seen,
        task="box-to-phrase",
        lang=lang,
        question=templates.ask("box-to-phrase", lang, box_text="{m0}", form=form),
        answer_text=templates.escape(templates.name(label, lang)),
        template=f"box-to-phrase/{form}",
        facets={"source": "mask", "question": "box-to-phrase", "label": label, "state": "present"},
        mentions=(Mention(id="m0", phrase="", regions=(region,)),),
        question_type="open",
        answer=templates.name(label, lang),
        needs_image=True,
    )
