"""GREEN from a judge's counts: matched findings / (matched + clinically significant errors)."""

from collections.abc import Mapping, Sequence
from typing import Any

from rrg.formats.items import Item
from rrg.formats.judge_counts import Counts
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Scored

NORMAL = "a pair of normal reports without a matched finding scores 0; so does a judge's answer that has no counts"


FIELDS = (
    "matched_findings", "false_finding", "missed_finding", "wrong_location", "wrong_severity", "comparison_made_up",
    "comparison_missed",
)  # fmt: skip
"""What a judge is asked to count: matched findings, then GREEN's six kinds of clinically significant errors."""
SYSTEM = "You compare two radiology reports and count. Answer with JSON only: one whole number for each field."
RUBRIC = """Two reports of the same study follow: the reference, written by a radiologist, and a candidate.
Count findings of the candidate, clinically significant errors only; insignificant differences are no errors.
matched_findings: findings that both reports state alike.
false_finding: findings of the candidate that the reference does not have.
missed_finding: findings of the reference that the candidate lacks.
wrong_location: findings with another location or side than in the reference.
wrong_severity: findings with another severity than in the reference.
comparison_made_up: comparisons with earlier studies that the reference does not make.
comparison_missed: changes against earlier studies that the reference states and the candidate omits.

Reference: {reference}
Candidate: {prediction}
"""
"""Ours, after the six kinds of errors of the GREEN paper (Ostmeier et al. 2024); not the prompt of its own model."""


def counts_of(said: Mapping[str, float]) -> Counts:
    """A judge's answer as counts."""
    matched, *errors = (int(said[name]) for name in FIELDS)
    return Counts(matched, tuple(errors))


def green(counts: Counts) -> float:
    """0 when nothing is matched."""
    return counts.matched / (counts.matched + sum(counts.significant)) if counts.matched else 0.0


def score(items: Sequence[Item], _options: TaskOptions) -> list[Scored]:
    """GREEN of each pair of reports."""
    made = []
    for item in items:
        counts = item.prediction
        extra: Mapping[str, Any] = {}
        if counts is not None:
            extra = {"matched": counts.matched, "significant": list(counts.significant)}
        value = 0.0 if counts is None else green(counts)
        made.append(Scored(scores={"green": value}, unparsed=counts is None and not item.missing, extra=extra))
    return made
