"""Dialogues on places and on the picture itself: what lies at a box and what is said of it; modality, plane, phase."""

from collections.abc import Iterator

from numpy.random import Generator

from rrg.geometry import iou
from rrg.records import Lang, Mention
from rrg.synth import templates, terms
from rrg.synth.absences import pick
from rrg.synth.dialogue_chat import Chat, Exchange, Spoken, facts_on, spoken_on
from rrg.synth.dialogue_templates import saying
from rrg.synth.facts import Study
from rrg.synth.grounding_masks import ALIKE_IOU
from rrg.synth.report_facts import LESION_LABELS
from rrg.synth.seen import NEVER_ASKED, Seen


def regions(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """A box, the structure in it, and the sentences about that structure."""
    for seen in study.seen:
        spoken = spoken_on(study, seen, lang)
        candidates = _labels(seen, spoken) if spoken is not None else []
        if spoken is None or not candidates:
            continue
        (label,) = pick(rng, candidates, 1)
        region = seen.region(label, "report+seg")
        assert region is not None
        numbers = {each.sentence for each in spoken.report.anatomy if label in each.classes}
        said = " ".join(
            text for number, text in zip(spoken.numbers, spoken.sentences, strict=True) if number in numbers
        )
        yield Chat(
            seen=seen,
            task="region",
            exchanges=(
                Exchange(saying("region", lang, rng, box="{m0}"), templates.escape(templates.name(label, lang))),
                Exchange(saying("region-findings", lang, rng), templates.escape(said)),
            ),
            reports=(spoken.report.id,),
            mentions=(Mention(id="m0", phrase="", regions=(region,)),),
            facts=tuple(fact for fact in facts_on(study, seen) if label in fact.labels),
            facets={"label": label},
            needs_image=True,
        )


def _labels(seen: Seen, spoken: Spoken) -> list[str]:
    """Structures on the slice that a sentence names alone, and whose box fits no other."""
    named = {
        each.classes[0]
        for each in spoken.report.anatomy
        if each.sentence in spoken.numbers and len(each.classes) == 1 and not each.absent and not each.prior
    }
    usable = (named & set(seen.found)) - LESION_LABELS - NEVER_ASKED
    return [
        label
        for label in sorted(usable)
        if all(iou(seen.found[label].box, other.box) < ALIKE_IOU for name, other in seen.found.items() if name != label)
    ]


def views(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """Modality, plane, and sequence or phase, as far as the header tells."""
    for seen in study.seen:
        slice_ = seen.slice
        told = [
            ("view-modality", terms.MODALITIES, slice_.modality),
            ("view-plane", terms.PLANES, slice_.plane),
            ("view-phase", terms.PHASES, slice_.contrast_phase),
            ("view-sequence", terms.SEQUENCES, slice_.sequence if slice_.modality == "MR" else None),
        ]
        exchanges = tuple(
            Exchange(saying(key, lang, rng), words[value][lang].answer)
            for key, words, value in told
            if value is not None and value in words and not (key == "view-phase" and _contradicts(seen))
        )
        if len(exchanges) > 1 and slice_.modality in terms.MODALITIES:
            yield Chat(seen=seen, task="view", exchanges=exchanges, type="open", needs_image=None)


def _contradicts(seen: Seen) -> bool:
    """The header names a phase and denies the agent, or the other way round."""
    given, phase = seen.slice.contrast, seen.slice.contrast_phase
    return given is not None and given == (phase == "native")
