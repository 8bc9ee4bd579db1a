"""Masks, reports and headers -> questions whose answer follows from them.

Each kind of question has a file of its own, ``vqa_*.py``; here is which of them a slice is asked.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.random import Generator

from rrg.errors import UsageError
from rrg.llm_options import LlmOptions
from rrg.pipe import Count, Group, Made
from rrg.records import Lang, Run
from rrg.seeds import rng_for
from rrg.synth import templates, vqa_compare, vqa_header, vqa_measure, vqa_presence
from rrg.synth.absences import Absences, pick
from rrg.synth.facts import Study, read_study
from rrg.synth.measure import Arrays
from rrg.synth.options import one_of, run_of
from rrg.synth.questions import CHOICES, Question, sample_of
from rrg.synth.report_facts import Fact, facts_of, names_version
from rrg.synth.seen import Seen
from rrg.synth.vqa_header import header
from rrg.synth.vqa_presence import presence, which
from rrg.synth.vqa_report import report_questions, with_partners

if TYPE_CHECKING:
    from rrg.synth.llm_questions import Asked

COMMAND = "synth-vqa"
ENGINES = ("templates", "llm")
OF_A_REPORT = 2
"""Questions from reports that go before those from masks."""

MASK_FAMILIES: Mapping[str, Callable[[Seen, Generator, Arrays | None], Question | None]] = {
    "side": vqa_compare.side,
    "count": vqa_presence.count,
    "count-of": vqa_presence.count_of,
    "position": vqa_compare.position,
    "larger": vqa_compare.larger,
    "denser": vqa_compare.denser,
    "extent": vqa_measure.extent,
    "area": vqa_measure.area,
    "diameter": vqa_measure.diameter,
    "density": vqa_measure.density,
}
"""Those that are drawn from for the room that planned questions and those from reports leave."""
FROM_PIXELS = ("denser", "diameter", "density")
"""Left out without a store."""
FAMILIES = ("report", "presence", "which", *MASK_FAMILIES, *vqa_header.FAMILIES)


@dataclass(frozen=True)
class Options:
    """What to make."""

    languages: tuple[Lang, ...] = ("de", "en")
    slices: str = "40"
    findings: int = 5
    """Questions per slice and language from masks and reports."""
    metadata: int = 3
    """Questions per slice and language from the header."""
    families: tuple[str, ...] = FAMILIES
    min_area_px: int = 20
    min_score: float | None = None
    """Structures whose mask is trusted less are neither there nor absent."""
    pixels: bool = False
    """Ask what only pixels and masks themselves tell."""
    paraphrase: bool = False
    dialogues: tuple[str, ...] = ()
    """Tasks of conversations (rrg.synth.dialogue)."""
    dialogues_per_study: int = 20
    """Conversations per study and language, at most."""
    seed: int = 0


def check_store(store: Path | None, families: Sequence[str]) -> bool:
    """True when pixels can be read. UsageError for a store that is needed by what was asked for."""
    if store is None and (needed := [family for family in families if family in FROM_PIXELS]):
        raise UsageError(f"--families {','.join(needed)} needs --store: the answer is in the pixels")
    return store is not None


def talks_of(text: str | None) -> tuple[str, ...]:
    """Tasks of ``--dialogues``: None, some with commas, or ``all``. UsageError for others."""
    if not text:
        return ()
    from rrg.synth.dialogue import TASKS

    return TASKS if text == "all" else one_of(text, TASKS, "--dialogues")


def writer_of(engine: str, pairs: int, options: LlmOptions) -> "Asked | None":
    """The model of ``--engine llm``; None with ``templates``. UsageError for another engine, RrgError."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: expected {' or '.join(ENGINES)}")
    if engine == "templates":
        return None
    from rrg.synth.llm_questions import Asked

    return Asked(options.settings(), pairs)


def run_record(options: Options, more: Mapping[str, Any] | None = None, inputs: Mapping[str, str] | None = None) -> Run:
    """The run record; `more`, `inputs`: options and side inputs of a language model."""
    spoken: dict[str, str] = {}
    if options.dialogues:
        from rrg.synth.dialogue import dialogue_version

        spoken["dialogues"] = dialogue_version()
    return run_of(COMMAND, options, more, {"finding_names": names_version(), **spoken, **(inputs or {})})


def told(options: Options, _counts: dict[str, int]) -> list[str]:
    """Lines at the end, for people: what was left out."""
    left_out = [family for family in FROM_PIXELS if family in options.families and not options.pixels]
    return [f"no --store: no questions of the families {', '.join(left_out)}"] if left_out else []


def ask_all(options: Options, group: Group, store: Path | None = None, writer: "Asked | None" = None) -> Iterator[Made]:
    """Questions on a study, slice by slice, the same ones in each language, then those that a model writes (`writer`),
    then conversations. `store` where ``options.pixels``.

    Models and conversations read reports by rules that take longer to load than many studies take to be asked: late.
    UsageError for a store that is not there: in a pipe a stage before makes it, so nobody knows until a study comes.
    """
    if store is not None and not store.is_dir():
        raise UsageError(f"--store {store}: no such folder; give the one that extract-slices and segment wrote to")
    study = read_study(group, options.slices, options.min_area_px, min_score=options.min_score)
    yield from study.counts
    counts: Counter[str] = Counter()
    rngs = [rng_for(options.seed, COMMAND, seen.slice.id) for seen in study.seen]
    for seen, questions in zip(study.seen, questions_of(study, rngs, options, store), strict=True):
        for lang in options.languages:
            for number, question in enumerate(questions):
                form = 0
                if options.paraphrase:
                    words = rng_for(options.seed, COMMAND, f"{seen.slice.id} {lang} {number}")
                    form = int(words.integers(templates.forms(question.family, lang)))
                counts[f"question.{question.family}"] += 1
                yield sample_of(seen, question, lang, form)
    yield from (Count(key, n) for key, n in sorted(counts.items()))
    if writer is not None:
        from rrg.synth.llm_questions import written

        yield from written(study, options.languages, writer)
    if options.dialogues:
        from rrg.synth.dialogue import dialogues_of

        yield from dialogues_of(study, options.dialogues, options.languages, options.dialogues_per_study, options.seed)


def questions_of(
    study: Study, rngs: Sequence[Generator], options: Options, store: Path | None
) -> Iterator[list[Question]]:
    """The questions on each slice of a study; `rngs`: one for each slice."""
    shown = [pick(rng, seen.shown, 1) for seen, rng in zip(study.seen, rngs, strict=True)]
    rights = [pick(rng, seen.shown, 1) for seen, rng in zip(study.seen, rngs, strict=True)]
    absences = Absences(study, itertools.chain(*shown))
    wrongs = Absences(study, [*itertools.chain(*rights)] * (CHOICES - 1))
    facts = with_partners(study, [facts_of(study.said.get(seen.slice.id, ())) for seen in study.seen], rngs)
    for seen, present, right, stated, rng in zip(study.seen, shown, rights, facts, rngs, strict=True):
        absent = absences.pick(seen, 1, rng)
        wrong = [wrongs.pick(seen, CHOICES - 1, rng) for _ in right]
        planned: list[Question | None] = []
        if "presence" in options.families:
            planned += [*(presence(label, True) for label in present), *(presence(label, False) for label in absent)]
        if "which" in options.families:
            planned += [which(label, others, rng) for label, others in zip(right, wrong, strict=True)]
        arrays = Arrays(store, seen.slice) if options.pixels and store is not None else None
        yield [
            *itertools.islice(_of_findings(seen, planned, stated, options, rng, arrays), options.findings),
            *pick(rng, list(header(seen.slice, rng, options.families)), options.metadata),
        ]


def _of_findings(
    seen: Seen,
    planned: Sequence[Question | None],
    facts: Sequence[Fact],
    options: Options,
    rng: Generator,
    arrays: Arrays | None,
) -> Iterator[Question]:
    """Two from reports, those planned for the whole study, one of each other family, then the rest from reports."""
    reported = list(report_questions(seen, facts)) if "report" in options.families else []
    reported = pick(rng, reported, len(reported))
    yield from reported[:OF_A_REPORT]
    yield from (question for question in planned if question is not None)
    for family in pick(rng, list(MASK_FAMILIES), len(MASK_FAMILIES)):
        if family in options.families and (question := MASK_FAMILIES[family](seen, rng, arrays)) is not None:
            yield question
    yield from reported[OF_A_REPORT:]
