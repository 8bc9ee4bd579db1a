"""Do reports and masks agree? How often a cited slice shows what the sentence names, and how often slice or side is
wrong.

A pair is a sentence, a structure that it names (current, not denied, looked for on that slice) and a slice that it
cites. A wrong slice may show the structure by chance: on average as often as the other slices of its series do, so that
share is counted for each pair, which is what any number of random shuffles would come to. The other slices are those
that are left without the meant ones: as many as the sentence cites, each of which shows the structure. A wrong side is
told only by slices that show one side of a pair alone; pairs whose slice shows neither or both tell nothing of it.

Everything is a sum of whole numbers (shares in millionths), so that studies, shards and resumed runs add up.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rrg.anatomy import LABELS, covers, other_side
from rrg.records import Mask, Report
from rrg.synth.facts import Study
from rrg.synth.mentions import not_current
from rrg.synth.seen import NEVER_ASKED

PREFIX = "consistency."
MILLION = 1_000_000
_WHOLES = {whole: parts for whole in LABELS if (parts := covers(whole))}


class _Shown(NamedTuple):
    """What the masks of one slice show, whatever its size, and what else they know to be absent."""

    there: frozenset[str]
    absent: frozenset[str]

    def state(self, labels: Sequence[str]) -> bool | None:
        """True when any of `labels` is there, False when all are known to be absent, else None."""
        if any(label in self.there or not self.there.isdisjoint(covers(label)) for label in labels):
            return True
        return False if all(label in self.absent for label in labels) else None


def _shown(masks: Sequence[Mask]) -> _Shown:
    there = {each.label for mask in masks for each in mask.labels if each.label in LABELS}
    looked_for = {label for mask in masks for label in mask.looked_for or () if label in LABELS}
    looked_for |= {whole for whole, parts in _WHOLES.items() if looked_for.issuperset(parts)}
    for whole in there - NEVER_ASKED:  # a lung outlined as one: which lobe it is, nobody knows
        if there.isdisjoint(covers(whole)):
            looked_for.difference_update(covers(whole))
    return _Shown(frozenset(there), frozenset(looked_for - there))


class _Chance(NamedTuple):
    """Shares of the other slices of a series, for a structure that its own slices show."""

    neither: float
    said: float
    other: float
    """The other side alone; 0 for structures without a partner."""


def agreement(study: Study) -> Counter[str]:
    """The pairs of a study, counted per source: ``consistency.<source>.<what>``; see rrg.metrics.agreement for what."""
    counts: Counter[str] = Counter()
    series_of = {slice_.id: slice_.series for slice_ in study.usable}
    series: dict[str, list[_Shown]] = {}
    shown: dict[str, _Shown] = {}
    cited = {series_of[slice_id] for slice_id in study.said}
    for slice_ in study.usable:
        if slice_.series in cited and (masks := study.masks.get(slice_.id)):
            shown[slice_.id] = _shown(masks)
            series.setdefault(slice_.series, []).append(shown[slice_.id])
    named = {report.id: _named(report, said) for report, said in _sentences(study).values()}
    cited_there = Counter(
        (report.id, sentence, series_of[key]) for key, said in study.said.items() for report, sentence in said
    )
    chances: dict[tuple[str, tuple[str, ...], tuple[str, ...], int], _Chance | None] = {}
    for slice_id, said in study.said.items():
        engine = "+".join(dict.fromkeys(mask.engine for mask in study.masks.get(slice_id, ())))
        for report, sentence in said:
            source = f"{PREFIX}{report.lang}/{report.engine}/{engine or 'no mask'}."
            for labels in named[report.id].get(sentence, ()):
                if slice_id not in shown or (here := shown[slice_id].state(labels)) is None:
                    counts[f"{source}not_looked_for"] += 1
                    continue
                twins = _twins(labels)
                other = shown[slice_id].state(twins) if twins else None
                own = cited_there[report.id, sentence, series_of[slice_id]]
                key = series_of[slice_id], labels, twins if other is not None else (), own
                if key not in chances:
                    chances[key] = _chance(*key[1:], series[key[0]])
                if (chance := chances[key]) is None:
                    counts[f"{source}one_slice_only"] += 1
                    continue
                counts.update({f"{source}{what}": n for what, n in _outcome(here, other, chance).items()})
    return counts


def _outcome(here: bool, other: bool | None, chance: _Chance) -> dict[str, int]:
    """What one pair adds. Does the slice show the structure, and its partner of the other side (None: it has none)?"""
    added = {
        "pairs": 1,
        "agree": int(here),
        "neither": int(not here and not other),
        "neither_ppm": round(MILLION * chance.neither),
    }
    if other is not None:
        added |= {
            "said_alone": int(here and not other),
            "other_alone": int(other and not here),
            "said_alone_ppm": round(MILLION * chance.said),
            "other_alone_ppm": round(MILLION * chance.other),
        }
    return added


def _sentences(study: Study) -> dict[str, tuple[Report, set[int]]]:
    """Report id -> the report and its sentences that cite a slice."""
    found: dict[str, tuple[Report, set[int]]] = {}
    for said in study.said.values():
        for report, sentence in said:
            found.setdefault(report.id, (report, set()))[1].add(sentence)
    return found


def _named(report: Report, sentences: set[int]) -> dict[int, list[tuple[str, ...]]]:
    """Sentence -> the structures of each of its current mentions, each once; not those inside of a reference."""
    cited = [reference.span for reference in report.references]
    found: dict[int, list[tuple[str, ...]]] = {}
    for fact in report.anatomy:
        labels = tuple(sorted({label for label in fact.classes if label in LABELS} - NEVER_ASKED))
        if fact.sentence not in sentences or not labels or not_current(fact):
            continue
        named = found.setdefault(fact.sentence, [])
        if labels not in named and not any(start < fact.span[1] and fact.span[0] < end for start, end in cited):
            named.append(labels)
    return found


def _twins(labels: Sequence[str]) -> tuple[str, ...]:
    """The same structures of the other side; empty where one has no partner or both sides are meant."""
    twins = tuple(other for label in labels if (other := other_side(label)) is not None)
    return twins if len(twins) == len(labels) and set(twins).isdisjoint(labels) else ()


def _chance(labels: tuple[str, ...], twins: tuple[str, ...], own: int, slices: Sequence[_Shown]) -> _Chance | None:
    """Shares among the slices of the series but `own` ones that show the structure; None when there is no other slice.

    Which ones these are is not known where a slice is wrong: those with one side and those with both count alike.
    """
    states = [(each.state(labels), each.state(twins) if twins else False) for each in slices]
    known = Counter((bool(said), bool(other)) for said, other in states if said is not None and other is not None)
    if (others := known.total() - own) < 1:
        return None
    shown = known[True, False] + known[True, True]
    left = max(shown - own, 0) / shown if shown else 0.0
    shares = (known[False, False], known[True, False] * left, known[False, True])
    return _Chance(*(min(share / others, 1.0) for share in shares))
