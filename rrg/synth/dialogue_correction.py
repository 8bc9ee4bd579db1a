"""Dialogues on a report with one error: the user says what is wrong, or asks to look again; the answer is the original.

Images of a slice, sentences about it; the error is one that the slice shows to be one (rrg.synth.dialogue_errors).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.records import Lang
from rrg.synth import templates
from rrg.synth.dialogue_chat import Chat, Exchange, Spoken, facts_on, line, no_what, spoken_on, what
from rrg.synth.dialogue_errors import KINDS, Wrong, inject
from rrg.synth.dialogue_templates import saying
from rrg.synth.facts import NEVER_ASKED, Seen, Study, pick
from rrg.synth.report_facts import LESION_LABELS, NAMES, Fact


def corrections(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """One correction for each slice that has room for one; the kinds of errors in balance over the study."""
    used: Counter[str] = Counter()
    for seen in study.seen:
        spoken = spoken_on(study, seen, lang)
        if spoken is None:
            continue
        places = _places(seen, spoken)
        for kind in sorted(pick(rng, KINDS, len(KINDS)), key=lambda each: used[each]):
            if (wrong := inject(spoken.sentences, lang, kind, rng, places)) is not None:
                used[kind] += 1
                yield _chat(study, seen, spoken, wrong, lang, rng)
                break


def _places(seen: Seen, spoken: Spoken) -> list[str]:
    """Structures that the slice shows and its sentences speak of: an unmentioned finding there would be an error."""
    said = {
        label
        for each in spoken.report.anatomy
        if each.sentence in spoken.numbers and not each.absent and not each.prior
        for label in each.classes
    }
    return sorted((said & set(seen.found)) - LESION_LABELS - NEVER_ASKED)


def _chat(study: Study, seen: Seen, spoken: Spoken, wrong: Wrong, lang: Lang, rng: Generator) -> Chat:
    told = _told(wrong, spoken.report.id, lang, rng) if rng.random() < 0.5 else None
    return Chat(
        seen=seen,
        task="correction",
        exchanges=(
            Exchange(saying("report", lang, rng), templates.escape(wrong.text), loss=False),
            Exchange(templates.escape(told or saying("check", lang, rng)), templates.escape(spoken.text)),
        ),
        reports=(spoken.report.id,),
        facts=facts_on(study, seen),
        facets={"error": wrong.kind, "told": "yes" if told else "no", "label": wrong.finding.name},
        provenance={"error": wrong.kind, "error_at": f"{wrong.span[0]}-{wrong.span[1]}"},
        needs_image=told is None,
    )


def _told(wrong: Wrong, report: str, lang: Lang, rng: Generator) -> str | None:
    """What the user says is wrong; None for a finding that has no name to be said by."""
    finding = wrong.finding
    if finding.name not in NAMES:
        return None
    sizes = [each.value_mm for each in finding.measurements]
    labels: Sequence[str] = [label for label in wrong.labels if label not in LESION_LABELS]
    fact = Fact(finding.name, True, tuple(labels), sizes[0] if len(sizes) == 1 else (), (report,))
    absent = finding.state == "absent" or wrong.kind == "add"
    fact = replace(fact, present=not absent)
    if absent and finding.side in ("left", "right") and not any(LABELS[label].side for label in fact.labels):
        return None
    words = {"what": what(fact, lang), "no_what": no_what(fact, lang) if lang == "de" else ""}
    if wrong.kind == "size":
        return saying("wrong-size", lang, rng, finding=fact.called(lang), size=fact.size(lang)) if sizes else None
    if wrong.kind == "negation":
        return saying(f"wrong-negation-{finding.state}", lang, rng, **words)
    named = fact.called(lang) if wrong.kind == "side" else line(fact, lang)
    return saying(f"wrong-{wrong.kind}", lang, rng, finding=named, **words)
