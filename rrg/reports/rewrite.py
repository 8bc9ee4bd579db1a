"""``--rewrite``: other wordings of the sentences of a report, each with the same facts, or none."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from rrg.errors import RecordError
from rrg.llm_settings import LlmSettings
from rrg.records import Anatomy, Lang, Report, Rewrite
from rrg.reports.rewrite_check import facts_of, static_problem, translation_problem
from rrg.reports.rewrite_given import plain, read_translations
from rrg.reports.rewrite_static import static

_NOT_REWRITTEN = frozenset(("clinical", "question", "technique", "comparison"))
"""Sections that no caption is made of."""


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """What is made beside the text itself; plain values for workers."""

    static: bool = False
    translations: str | None = None
    """File of translations that the user gives."""
    llm: LlmSettings | None = None
    """The language model that translates what the file does not hold."""


def rewritten(report: Report, how: Rewriting) -> tuple[Report, Counter[str], RecordError | None]:
    """The report with all its rewrites, the counts, and E_LLM when a model gave no usable answer for a sentence."""
    counts: Counter[str] = Counter()
    problem = None
    if how.static:
        report, more = with_static(report)
        counts += more
    if how.translations is not None:
        given = read_translations(how.translations)
        found = {}
        for number, text in enumerate(_sources(report)):
            if text is not None and (one := given.get((report.id, text), given.get(("", text)))) is not None:
                found[number] = one
        report, more = with_translations(report, found, "given")
        counts += more
    if how.llm is not None:
        report, more, problem = _by_model(report, how.llm)
        counts += more
    return report, counts, problem


def with_static(report: Report) -> tuple[Report, Counter[str]]:
    """The report with a static wording of each sentence that speaks of an earlier examination; counts by outcome.

    ``rewrites.static``: worded anew; ``rewrites.dropped``: it only compares; ``rewrites.rejected.X``: the new wording
    had another X, so the sentence stands as it is.
    """
    counts: Counter[str] = Counter()
    made: list[Rewrite] = []
    for number, sentence in enumerate(report.sentences):
        if report.sections[sentence.section].kind in _NOT_REWRITTEN:
            continue
        text = report.text[slice(*sentence.span)]
        reworded = static(text, sentence.lang)
        if not reworded.rules:
            continue
        problem = static_problem(facts_of(text, sentence.lang), reworded, sentence.lang)
        if problem:
            counts[f"rewrites.rejected.{problem}"] += 1
            continue
        counts["rewrites.static" if reworded.text else "rewrites.dropped"] += 1
        made.append(_rewrite("static", number, sentence.lang, reworded.text, reworded.rules))
    return dataclasses.replace(report, rewrites=(*report.rewrites, *made)), counts


def with_translations(report: Report, given: Mapping[int, str], origin: str) -> tuple[Report, Counter[str]]:
    """The report with translations of its sentences (index -> text in the other language) that pass the check.

    A sentence with a static wording is translated in that wording. `origin` becomes the rule: ``given``, or ``llm:``
    and the model. Counts: ``translations.accepted``, ``translations.rejected.X``.
    """
    counts: Counter[str] = Counter()
    made: list[Rewrite] = []
    sources = _sources(report)
    for number, translated in sorted(given.items()):
        text, lang = sources[number], report.sentences[number].lang
        if text is None:
            continue
        translated = plain(translated)
        problem = wrong_translation(text, lang, translated)
        if problem:
            counts[f"translations.rejected.{problem}"] += 1
            continue
        counts["translations.accepted"] += 1
        made.append(_rewrite("translation", number, _other(lang), translated, (origin,)))
    return dataclasses.replace(report, rewrites=(*report.rewrites, *made)), counts


def wrong_translation(text: str, lang: Lang, translated: str) -> str:
    """Why a translation of a sentence is refused: the name of what differs; empty for a good one."""
    return translation_problem(facts_of(text, lang), text, lang, translated, _other(lang))


def _by_model(report: Report, settings: LlmSettings) -> tuple[Report, Counter[str], RecordError | None]:
    from rrg.reports.rewrite_llm import Work, translated

    done = {each.sentence for each in report.rewrites if each.kind == "translation"}
    works = [
        Work(number, text, report.sentences[number].lang)
        for number, text in enumerate(_sources(report))
        if text is not None and number not in done
    ]
    found, problem = translated(
        works, settings, lambda work, made: wrong_translation(work.text, work.lang, plain(made))
    )
    made, counts = with_translations(report, found, f"llm:{settings.identity}")
    return made, counts, problem


def _sources(report: Report) -> list[str | None]:
    """For each sentence what is translated: its static wording, else itself; None for nothing."""
    found: list[str | None] = [
        None if report.sections[sentence.section].kind in _NOT_REWRITTEN else plain(report.text[slice(*sentence.span)])
        for sentence in report.sentences
    ]
    for each in report.rewrites:
        if each.kind == "static":
            found[each.sentence] = each.text or None
    return found


def _other(lang: Lang) -> Lang:
    return "en" if lang == "de" else "de"


def _rewrite(kind: str, sentence: int, lang: Lang, text: str, rules: tuple[str, ...]) -> Rewrite:
    return Rewrite(
        sentence=sentence,
        kind="static" if kind == "static" else "translation",
        lang=lang,
        text=text,
        anatomy=mentions(text, lang),
        rules=rules,
    )


def mentions(text: str, lang: Lang) -> tuple[Anatomy, ...]:
    """Mentions of structures in a text that stands alone, as `Rewrite.anatomy` has them."""
    return tuple(dataclasses.replace(each, sentence=0) for each in facts_of(text, lang).anatomy) if text else ()
