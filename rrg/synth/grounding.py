"""Reports and masks -> grounded samples. The rule: mentioned in a sentence about the slice, and present on it."""

import functools
from collections import Counter
from collections.abc import Iterator

from rrg.pipe import Count, Group, Made
from rrg.seeds import rng_for
from rrg.synth.consistency import agreement
from rrg.synth.facts import Study, read_study
from rrg.synth.grounding_masks import detect_plan, from_masks
from rrg.synth.grounding_options import COMMAND, Options, Part
from rrg.synth.grounding_reports import from_reports, no_such_phrase
from rrg.synth.negatives import SHARES, AbsentPhrases
from rrg.synth.pairing import by_largest_area
from rrg.synth.reworded import said_in
from rrg.synth.seen import at_border


def ground(options: Options, group: Group) -> Iterator[Made]:
    """Grounded samples of a study, slice by slice."""
    gates = (options.min_area_px, options.min_score, options.border == "drop")
    study = read_study(
        *(group, options.slices, options.min_area_px),
        min_score=options.min_score,
        drop_border=options.border == "drop",
        pair=functools.partial(by_largest_area, *gates) if options.pair == "mask" else None,
    )
    yield from study.counts
    counts, inferred = Counter(_structures(study)), Counter[str]()
    counts.update(agreement(study))
    plan = detect_plan(study, options, counts)
    parts = [
        Part(seen, lang, rng_for(options.seed, COMMAND, f"{seen.slice.id} {lang}"))
        for seen in study.seen
        for lang in options.languages
    ]
    for part in parts:
        cited, paired = (
            tuple(said_in(said.get(part.seen.slice.id, ()), part.lang)) for said in (study.said, study.paired)
        )
        part.samples += from_reports(part, cited, options, counts, None)
        part.samples += from_reports(part, paired, options, inferred, "inferred")
    for lang in options.languages:
        mine = [part for part in parts if part.lang == lang]
        phrases = AbsentPhrases(lang, [part.asked for part in mine], options.negatives_phrase)
        for part in mine:
            part.denied = list(phrases.pick(part.seen, part.asked, part.rng, counts))
    for number, part in enumerate(parts):
        made = (
            *part.samples,
            *(no_such_phrase(part, each, options) for each in part.denied),
            *from_masks(part.seen, plan[number // len(options.languages)], part.lang, options, part.rng, counts),
        )
        for each in made:
            (inferred if "pairing" in each.facets else counts)[f"task.{each.task}"] += 1
            if each.task in SHARES:
                counts[f"{each.task}.{each.facets['state']}"] += 1
            yield each
    counts.update({f"inferred.{name}": n for name, n in inferred.items()})
    yield from (Count(name, n) for name, n in sorted(counts.items()) if n)


def _structures(study: Study) -> Iterator[str]:
    """What became of each structure on each chosen slice: ``structures.seen`` is the sum of what follows it."""
    for seen in study.seen:
        for found in seen.found.values():
            yield "structures.seen"
            yield "structures.used"
            if at_border(found.box, seen.slice):
                yield "structures_used.at_border"
            if found.score is None:
                yield "structures_used.not_judged"
        for gate in seen.gates.values():
            yield "structures.seen"
            yield f"structures.{gate}"
