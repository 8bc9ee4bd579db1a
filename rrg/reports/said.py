"""The records of a sentence's structures and findings, from what its words are and stand under."""

import dataclasses
from typing import Literal, NamedTuple

from rrg.anatomy import LABELS
from rrg.records import Anatomy, Finding, Measurement, Side
from rrg.reports.changes import Change
from rrg.reports.context import UNSEEN, Context
from rrg.reports.counts import Count
from rrg.reports.findings import Stated
from rrg.reports.mentions import Mention

_GONE_BY_NOW = ("resol", "cleared", "regredient", "nicht mehr", "no longer", "bildet", "bildung")
"""Marks of the rules that say: it was there once."""
_WHY: dict[str, Literal["resected", "not_imaged"]] = {"resected": "resected", "not_imaged": "not_imaged"}


def anatomy_of(mention: Mention, sentence: int, context: Context, *, alone: bool) -> Anatomy:
    """`alone`: the sentence names no finding, so that "nicht abgrenzbar" speaks of the structure itself."""
    negated, _, history, prior, away, _ = context.over(mention.first, mention.last)
    unseen = alone and negated is not None and negated.startswith(UNSEEN)
    if negated is not None and (unseen or any(mark in negated for mark in _GONE_BY_NOW)):
        negated = None  # what was there is gone: the place is not denied
    cut = mention.gone and negated is None
    rules = [rule for rule in (mention.rule, negated, prior, away) if rule is not None]
    lost = away is not None and away.startswith("absent") and not any(word in away for word in _NOT_TAKEN)
    why = "resected" if cut or lost else _WHY.get((away or "").partition(":")[0])
    return Anatomy(
        span=mention.span,
        sentence=sentence,
        classes=mention.classes,
        side=mention.side,
        negated=negated is not None,
        prior=prior is not None,
        absent=cut or unseen or away is not None,
        absent_why=why,
        levels=mention.levels,
        rule=" ".join(rules + ([history] if history and mention.gone else [])),
    )


def _unjudged(rule: str) -> bool:
    """ "Der Tumor ist nicht beurteilbar": it is there, and what it is like can not be told."""
    return any(word in rule for word in ("beurteil", "assess", "evalu"))


def _settled(negated: str | None) -> bool:
    """ "Verdacht auf ... hat sich nicht bestätigt", "... ausgeschlossen": the doubt is over."""
    return negated is not None and negated.startswith(UNSEEN) and any(word in negated for word in _SETTLING)


_NOT_TAKEN = (
    "congenit",
    "Agenesie",
    "Aplasie",
    "angelegt",
    "beurteil",
    "assess",
    "evalu",
    "vorhanden",
    "visuali",
    "abgebildet",
)
_SETTLING = ("bestätigt", "bestätigen", "erhärte", "ausgeschlossen", "verneinen", "excluded", "ruled out")


class Told(NamedTuple):
    """What is known of a finding besides its words."""

    sentence: int
    links: tuple[int, ...]
    side: Side | None
    measured: list[Measurement]
    change: Change | None
    many: Count
    question: bool
    earlier: bool
    """It stands in a section on earlier studies."""


def finding_of(one: Stated, told: Told, context: Context) -> Finding:
    """The record of a finding."""
    negated, uncertain, history, prior, lacking, other = context.over(one.first, one.last)
    if told.question and negated is not None and "Ausschluss" in negated:
        negated = None  # "Ausschluss Blutung?"
    if negated is None and lacking is not None and lacking.startswith("absent") and not _unjudged(lacking):
        negated = lacking  # "fehlende Diffusionsstörung", "absent enhancement"
    history = history or (other if context.bygone else None)
    if (told.change == "resolved" and negated is not None) or told.change in ("unchanged", "larger", "smaller"):
        prior = None  # "der im Vor-CT beschriebene Herd ist nicht mehr nachweisbar" speaks of today
    gone_since = told.change == "resolved" and prior is None
    doubted = uncertain is not None and not _settled(negated)
    if negated is not None:
        doubted = doubted and "unlikely:" in f"{negated} {uncertain}"  # what is denied outright is certain
    absent = bool(negated or (one.rule == "denied" and not told.question) or gone_since)
    return Finding(
        span=one.span,
        sentence=told.sentence,
        name=one.name,
        state="absent" if absent else "present",
        certainty="uncertain" if doubted or told.question or one.rule == "suspected" else "certain",
        time="prior" if prior or told.earlier else "history" if history or one.rule == "operated" else "current",
        side=told.side,
        change=told.change,
        experiencer="other" if other else "patient",
        count=None if absent else told.many.number,  # "in 2 Ebenen keine Fraktur"
        multiple=told.many.multiple and not absent,
        anatomy=told.links,
        measurements=tuple(told.measured),
        rules=tuple(filter(None, (one.rule, negated, uncertain, history, prior, other))),
    )


def same_thing(
    finding: Finding, findings: list[Finding], anatomy: list[Anatomy], sentence: int, *, explains: bool
) -> Finding:
    """ "Läsion der Leber, V. a. Metastase": the guess lies where the thing lies that it explains."""
    explained = findings[-1] if findings and findings[-1].sentence == sentence else None
    guess = explains or finding.certainty == "uncertain"
    if explained is None or not guess or explained.state != finding.state:
        return finding
    own = {name.partition("_")[0] for i in finding.anatomy for name in anatomy[i].classes}
    its = {name.partition("_")[0] for i in explained.anatomy for name in anatomy[i].classes}
    narrower = finding.side is None or (finding.side == "both" and explained.side in ("left", "right"))
    if finding.anatomy and not (narrower and own == its):
        return finding  # but "mass of the upper lobe, likely lung cancer" is one
    if explained.certainty == "uncertain" and explained.name not in _GENERIC and "explains" not in explained.rules:
        return finding  # one guess does not explain the other
    return dataclasses.replace(
        finding,
        anatomy=explained.anatomy,
        side=explained.side if narrower else finding.side or explained.side,
        rules=(*finding.rules, "explains"),
    )


def shared_with(findings: list[Finding], joint: str, anatomy: list[Anatomy]) -> None:
    """Give the last finding but one the place (and, of two guesses, the size) that stands behind the last."""
    first, last = findings[-2], findings[-1]
    if first.sentence != last.sentence or first.side is not None or first.anatomy or first.state != last.state:
        return
    behind = all(anatomy[i].span[0] >= last.span[1] for i in last.anatomy)
    guesses = joint == "dd"
    if (last.side is None and not (guesses and last.anatomy)) or not behind:
        return
    findings[-2] = dataclasses.replace(
        first,
        side=last.side,
        anatomy=last.anatomy if guesses else first.anatomy,
        measurements=first.measurements or (last.measurements if guesses else ()),
    )


_GENERIC = frozenset(("lesion", "mass", "nodule", "opacity", "tumor"))


def lesion_of(one: Stated, finding: Finding, anatomy: list[Anatomy]) -> Anatomy:
    """The finding as a mention of ``lesion`` (and of the segmenter's own lesion classes where it has them)."""
    classes = ["lesion"]
    organs = {name for i in finding.anatomy for name in anatomy[i].classes}
    if one.name in ("nodule", "metastasis", "mass") and any(name.startswith("lung_") for name in organs):
        classes.insert(0, "lung_nodule")
    if one.name == "cyst":
        kidneys = [
            name.replace("kidney_", "kidney_cyst_")
            for name in sorted(organs)
            if name in ("kidney_left", "kidney_right")
        ]
        classes = [*(name for name in kidneys if name in LABELS), *classes]
    return Anatomy(
        span=one.span,
        sentence=finding.sentence,
        classes=tuple(classes),
        side=finding.side,
        negated=finding.state == "absent",
        prior=finding.time == "prior",
        absent=False,
        rule="finding",
    )
