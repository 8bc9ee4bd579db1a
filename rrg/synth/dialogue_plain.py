"""Dialogues in plain language: the findings of a slice in words for patients, from ``lexicon/plain_names.tsv``."""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import NamedTuple

from numpy.random import Generator

from rrg.records import Lang
from rrg.synth import templates
from rrg.synth.dialogue_chat import Chat, Exchange, facts_on, opened, place
from rrg.synth.dialogue_templates import saying
from rrg.synth.facts import Study
from rrg.synth.report_facts import Fact

_ARTICLES = {"m": "einen", "f": "eine", "n": "ein"}
_INSIDE = frozenset({"calcification", "edema", "hydronephrosis", "thrombosis"})
"""Their plain words lie in a structure, where the term is of it: "ein Blutgerinnsel in der Pfortader"."""


class Lay(NamedTuple):
    """How a finding is told."""

    en: str
    gender: str
    de_accusative: str


def _read(text: str) -> dict[str, Lay]:
    rows = [row.split("\t") for row in text.splitlines() if row and not row.startswith("#")][1:]
    return {row[0]: Lay(*row[1:]) for row in rows}


LAY: Mapping[str, Lay] = _read(files("rrg").joinpath("lexicon/plain_names.tsv").read_text(encoding="utf-8"))
"""Canonical name of a finding -> its plain words."""


def explanations(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """What the sentences about a slice state and deny, each in one plain sentence; all of it, or nothing."""
    for seen in study.seen:
        facts = facts_on(study, seen)
        if not facts or any(fact.name not in LAY for fact in facts):
            continue
        before, told = opened(study, seen, lang, rng)
        answer = " ".join(plain_sentence(fact, lang) for fact in facts)
        yield Chat(
            seen=seen,
            task="plain-language",
            exchanges=(*before, Exchange(saying("plain-language", lang, rng), templates.escape(answer))),
            reports=tuple(sorted({report for fact in facts for report in fact.reports})),
            facts=facts,
            facets={"start": "report" if told else "image"},
            provenance={"answer": "rules"},
            needs_image=not told,
        )


def plain_sentence(fact: Fact, lang: Lang) -> str:
    """ "Auf dem Bild sieht man einen mit Flüssigkeit gefüllten Hohlraum (Fachwort: Zyste) in der Leber.".

    A German relative clause at the end of the plain words is closed by a comma where the sentence goes on. The term is
    left out where the plain words say it.
    """
    lay = LAY[fact.name]
    article = _ARTICLES[lay.gender]
    words = lay.en if lang == "en" else f"{article if fact.present else 'k' + article} {lay.de_accusative}"
    where = place(fact, lang, inside=fact.name in _INSIDE)
    term, before = fact.called(lang), ", " if lang == "de" and "," in lay.de_accusative else " "
    size = saying("plain-size", lang, None, size=fact.size(lang)) if fact.size_mm else ""
    return saying(
        "plain-present" if fact.present else "plain-absent",
        lang,
        None,
        lay=words,
        term="" if term.lower() in words.lower() else saying("plain-term", lang, None, term=term),
        place=f"{before}{where}" if where else "",
        size=size if fact.present else "",
    )
