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
from rrg.synth.absences import pick
from rrg.synth.dialogue_chat import Chat, Exchange, Spoken, facts_on, line, no_what, spoken_on, what
from rrg.synth.dialogue_errors import KINDS, Kind, Wrong, inject
from rrg.synth.dialogue_templates import saying
from rrg.synth.facts import Study
from rrg.synth.negatives import rounded
from rrg.synth.report_facts import LESION_LABELS, NAMES, Fact
from rrg.synth.seen import NEVER_ASKED, Seen

RARE: tuple[Kind, ...] = ("remove", "side", "size")
"""Few slices have room for these errors. The others are put in as often, in the mean, as one of these."""
AT_LEAST = 0.05
"""Errors of each other kind in a study, in the mean, where there is room for no rare one."""


def corrections(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """Corrections on different slices of a study, so that over many studies all kinds of errors are about as frequent.

    The kind comes first, then the slice. A denial to turn around and a finding to add are found nearly everywhere; left
    alone they would be nearly all of it.
    """
    room: dict[Kind, list[tuple[Seen, Spoken, Wrong]]] = {kind: [] for kind in KINDS}
    for seen in study.seen:
        if (spoken := spoken_on(study, seen, lang)) is None:
            continue
        places = _places(seen, spoken)
        for kind in KINDS:
            if (wrong := inject(spoken.sentences, lang, kind, rng, places)) is not None:
                room[kind].append((seen, spoken, wrong))
    taken: set[str] = set()
    given = Counter[Kind]()

    def made(kind: Kind, most: int) -> Iterator[Chat]:
        free = [each for each in room[kind] if each[0].slice.id not in taken]
        for seen, spoken, wrong in pick(rng, free, most):
            given[kind] += 1
            taken.add(seen.slice.id)
            yield _chat(study, seen, spoken, wrong, lang, rng)

    for _ in study.seen:  # they share slices: the kind that was given least takes the next one
        for kind in sorted(pick(rng, RARE, len(RARE)), key=lambda each: given[each]):
            yield from made(kind, 1)
    mean = sum(given[kind] for kind in RARE) / len(RARE)
    for kind in KINDS:
        if kind not in RARE:
            yield from made(kind, rounded(mean or AT_LEAST, rng))


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
