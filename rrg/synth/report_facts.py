"""What sentences about a slice state, free of their language: a finding, where it is, how large."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from rrg.anatomy import LABELS
from rrg.records import Finding, Lang, Report
from rrg.synth.facts import Said
from rrg.synth.seen import NEVER_ASKED

LESION_LABELS = frozenset({"lesion", "lung_nodule", "kidney_cyst_left", "kidney_cyst_right"})
"""Labels that are findings themselves: not where a finding is."""


class Name(NamedTuple):
    """How a finding is said."""

    en_article: str
    en: str
    gender: str
    de: str
    de_accusative: str


def _read(text: str) -> dict[str, Name]:
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")][1:]
    return {row[0]: Name(*row[1:]) for row in rows}


_TABLE = files("rrg").joinpath("lexicon/finding_names.tsv").read_text(encoding="utf-8")
NAMES: Mapping[str, Name] = _read(_TABLE)
"""Canonical name of a finding -> how it is said."""
OF_ITS_PLACE = frozenset(
    {
        *("aneurysm", "atrophy", "calcification", "cirrhosis", "congestion", "contusion", "degenerative change"),
        *("dilatation", "dissection", "edema", "enlargement", "fibrosis", "fracture", "hydronephrosis", "hypertrophy"),
        *("inflammation", "ischemia", "luxation", "malformation", "microangiopathy", "occlusion", "osteochondrosis"),
        *("osteoporosis", "perforation", "rupture", "sclerosis", "spondylolisthesis", "steatosis", "stenosis"),
        *("thrombosis", "wall thickening"),
    }
)
"""Findings that are of a structure rather than in it: "a stenosis of the aorta"."""
NAMES_ITS_PLACE = frozenset(
    {
        *("appendicitis", "ascites", "cardiomegaly", "cholangitis", "cholecystitis", "cholestasis", "colitis"),
        *("disc herniation", "disc protrusion", "diverticulitis", "diverticulosis", "effusion", "goiter"),
        *(
            "hepatomegaly",
            "hydrocephalus",
            "ileus",
            "joint effusion",
            "midline shift",
            "pancreatitis",
            "pericardial effusion",
        ),
        *("pleural effusion", "pneumomediastinum", "pneumonia", "pneumothorax", "portal hypertension"),
        *("pulmonary embolism", "scoliosis", "sinusitis", "splenomegaly"),
    }
)
"""Findings whose name says where they are: nobody asks for "a pancreatitis in the pancreas"."""
_DEFINITE = {"m": "der ", "f": "die ", "n": "das "}
_WITHOUT_ARTICLE = {"ascites": "m", "free air": "f", "portal hypertension": "f", "sludge": "m"}
"""Gender of German names that take no indefinite article: "Zeigt dieses Bild Aszites?"."""
_ACCUSATIVE = {"m": "einen ", "f": "eine ", "n": "ein ", "-": ""}


def names_version() -> str:
    """Changes with the words for findings: the first 12 hex digits of a SHA-256."""
    said = "\n".join((_TABLE, *sorted(OF_ITS_PLACE), "", *sorted(NAMES_ITS_PLACE)))
    return hashlib.sha256(said.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Fact:
    """A finding that a sentence about the slice states or denies for certain."""

    name: str
    present: bool
    labels: tuple[str, ...]
    """Structures where it is; empty when the sentence names none."""
    size_mm: tuple[float, ...]
    """Empty when no size, or more than one, is given."""
    reports: tuple[str, ...]
    """Ids of the reports that say so."""

    def called(self, lang: Lang) -> str:
        """The bare name: "cyst", "Zyste"."""
        return NAMES[self.name].en if lang == "en" else NAMES[self.name].de

    def definite(self, lang: Lang) -> str:
        """With its definite article, as the subject: "the cyst", "die Zyste", "der Aszites"."""
        said = NAMES[self.name]
        return f"the {said.en}" if lang == "en" else _DEFINITE[_WITHOUT_ARTICLE.get(self.name, said.gender)] + said.de

    def accusative(self, lang: Lang) -> str:
        """With its indefinite article, as the object of a verb: "a cyst", "eine Zyste"."""
        said = NAMES[self.name]
        if lang == "en":
            return f"{said.en_article} {said.en}".strip()
        return _ACCUSATIVE[said.gender] + (said.de_accusative or said.de)

    def size(self, lang: Lang) -> str:
        """ "12 x 8 mm", with a decimal comma in German."""
        numbers = " x ".join(f"{value:.1f}".removesuffix(".0") for value in self.size_mm)
        return f"{numbers.replace('.', ',') if lang == 'de' else numbers} mm"


def facts_of(said: Sequence[Said]) -> tuple[Fact, ...]:
    """The facts of sentences, each once though several reports (one per language) may say it.

    Left out: uncertain findings, those of the past, those without a display name, and findings that are both stated
    and denied of the same place.
    """
    found: dict[tuple[str, tuple[str, ...]], list[Fact]] = {}
    for each in said:
        for finding in each.report.findings:
            if finding.sentence == each.sentence and _is_plain(finding):
                fact = _fact(each.report, finding)
                found.setdefault((fact.name, fact.labels), []).append(fact)
    return tuple(joined for facts in found.values() if (joined := _joined(facts)) is not None)


def _is_plain(finding: Finding) -> bool:
    return finding.certainty == "certain" and finding.time == "current" and finding.name in NAMES


def _fact(report: Report, finding: Finding) -> Fact:
    classes = (label for index in finding.anatomy for label in report.anatomy[index].classes)
    labels = {label for label in classes if label in LABELS} - LESION_LABELS - NEVER_ASKED
    sizes = {measured.value_mm for measured in finding.measurements}
    return Fact(
        name=finding.name,
        present=finding.state == "present",
        labels=tuple(sorted(labels)),
        size_mm=sizes.pop() if len(sizes) == 1 else (),
        reports=(report.id,),
    )


def _joined(facts: Iterable[Fact]) -> Fact | None:
    """One fact for several that speak of the same finding at the same place; None when they contradict."""
    all_ = list(facts)
    if len({fact.present for fact in all_}) > 1:
        return None
    sizes = {fact.size_mm for fact in all_ if fact.size_mm}
    reports = tuple(dict.fromkeys(report for fact in all_ for report in fact.reports))
    return Fact(all_[0].name, all_[0].present, all_[0].labels, sizes.pop() if len(sizes) == 1 else (), reports)
