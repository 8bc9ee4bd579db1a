"""The records of a sentence's structures and findings, from what its words are and stand under."""

import dataclasses
from typing import Literal, NamedTuple

from rrg.anatomy import LABELS
from rrg.records import Anatomy, Finding, Measurement
from rrg.reports.changes import Change, Count
from rrg.reports.context import UNSEEN, Context
from rrg.reports.findings import Stated
from rrg.reports.mentions import Mention


def _first(column: list[str | None], first: int, last: int) -> str | None:
    for i in range(first, last):
        if column[i] is not None:
            return column[i]
    return None


_WHY: dict[str, Literal["resected", "not_imaged"]] = {"resected": "resected", "not_imaged": "not_imaged"}


def anatomy_of(mention: Mention, sentence: int, context: Context, earlier: bool, *, alone: bool) -> Anatomy:
    """`alone`: the sentence names no finding, so that "nicht abgrenzbar" speaks of the structure itself."""
    first, last = mention.first, mention.last
    rules = [mention.rule]
    for column in (context.negated, context.prior, context.absent):
        if (rule := _first(column, first, last)) is not None:
            rules.append(rule)
    history = _first(context.history, first, last)
    negated = _first(context.negated, first, last)
    unseen = alone and negated is not None and negated.startswith(UNSEEN)
    cut = mention.gone and negated is None
    away = _first(context.absent, first, last)
    why = "resected" if cut else _WHY.get((away or "").partition(":")[0])
    return Anatomy(
        span=mention.span,
        sentence=sentence,
        classes=mention.classes,
        side=mention.side,
        negated=negated is not None,
        prior=earlier or _first(context.prior, first, last) is not None,
        absent=cut or unseen or away is not None,
        absent_why=why,
        levels=mention.levels,
        rule=" ".join(rules + ([history] if history and mention.gone else [])),
    )


class Told(NamedTuple):
    """What is known of a finding besides its words."""

    sentence: int
    links: tuple[int, ...]
    measured: list[Measurement]
    change: Change | None
    many: Count
    question: bool
    earlier: bool
    """It stands in a section on earlier studies."""


def finding_of(one: Stated, told: Told, context: Context, anatomy: list[Anatomy]) -> Finding:
    """The record of a finding."""
    negated = _first(context.negated, one.first, one.last)
    uncertain = _first(context.uncertain, one.first, one.last)
    history = _first(context.history, one.first, one.last)
    prior = _first(context.prior, one.first, one.last)
    other = _first(context.other, one.first, one.last)
    sides = {anatomy[i].side for i in told.links}
    return Finding(
        span=one.span,
        sentence=told.sentence,
        name=one.name,
        state="absent" if negated or one.rule == "denied" else "present",
        certainty="uncertain" if uncertain or told.question else "certain",
        time="prior" if prior or told.earlier else "history" if history else "current",
        side=None if None in sides or not sides else sides.pop() if len(sides) == 1 else "both",
        change=told.change,
        experiencer="other" if other else "patient",
        count=told.many.number,
        multiple=told.many.multiple,
        anatomy=told.links,
        measurements=tuple(told.measured),
        rules=tuple(rule for rule in (one.rule, negated, uncertain, history, prior, other) if rule),
    )


_GENERIC = frozenset(("lesion", "mass", "nodule", "opacity", "tumor"))


def same_thing(finding: Finding, findings: list[Finding], anatomy: list[Anatomy], sentence: int) -> Finding:
    """ "Läsion der Leber, 29 mm, V. a. Metastase": the guess has the place and the size of what it explains."""
    explained = findings[-1] if findings and findings[-1].sentence == sentence else None
    if (
        explained is None
        or explained.name not in _GENERIC
        or explained.state != finding.state
        or finding.certainty != "uncertain"
        or explained.certainty == "uncertain"
        or finding.measurements
    ):
        return finding
    own = {name for i in finding.anatomy for name in anatomy[i].classes}
    its = {name for i in explained.anatomy for name in anatomy[i].classes}
    return dataclasses.replace(
        finding,
        anatomy=explained.anatomy if not own or (its and its <= own) else finding.anatomy,
        side=finding.side or explained.side,
        measurements=explained.measurements,
        rules=(*finding.rules, "explains"),
    )


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
