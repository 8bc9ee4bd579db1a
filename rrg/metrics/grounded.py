"""Text with boxes: phrases matched one to one, then their boxes compared."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rrg.errors import RrgError
from rrg.formats.items import Item, PhraseBox
from rrg.metrics.bootstrap import Array, ratio
from rrg.metrics.boxes import SLACK, iou
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Block, Scored, Sums

HALF = 0.5
_RADGROUNDER = re.compile(
    r"<p bbox=<loc(\d+)><loc(\d+)><loc(\d+)><loc(\d+)>(?: id=<seg\d+>)?>(.*?)</p>", re.IGNORECASE | re.DOTALL
)
_PALIGEMMA = re.compile(r"<loc(\d{4})><loc(\d{4})><loc(\d{4})><loc(\d{4})>\s*([^<;\n]*)")
RADGROUNDER_BINS, PALIGEMMA_BINS = 512, 1024
Similarity = Mapping[tuple[str, str], float]


def phrases(value: Any, syntax: str | None) -> tuple[PhraseBox, ...]:
    """Phrases with boxes, in text order. `value` is a text in `syntax`, or phrases that are read already."""
    if not isinstance(value, str):
        return tuple(value or ())
    if syntax == "radgrounder":
        return tuple(_binned(found, (1, 2, 3, 4), RADGROUNDER_BINS) for found in _RADGROUNDER.finditer(value))
    if syntax == "paligemma":
        return tuple(_binned(found, (2, 1, 4, 3), PALIGEMMA_BINS) for found in _PALIGEMMA.finditer(value))
    return _json_phrases(value)


def _binned(found: re.Match[str], order: Sequence[int], bins: int) -> PhraseBox:
    return _phrase(found[5], [int(found[k]) / bins for k in order])


def _phrase(phrase: str, box: Sequence[float]) -> PhraseBox:
    return PhraseBox(phrase=phrase.strip().lower(), box=(box[0], box[1], box[2], box[3]))


def _json_phrases(text: str) -> tuple[PhraseBox, ...]:
    """Every JSON object of the text with ``bbox_2d`` or ``bbox`` and a ``label`` or ``phrase``; numbers as given."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            at += 1
            continue
        box = value.get("bbox_2d", value.get("bbox"))
        phrase = value.get("label", value.get("phrase"))
        four = isinstance(box, list) and len(box) == 4 and all(isinstance(n, int | float) for n in box)
        if isinstance(phrase, str) and four:
            found.append(_phrase(phrase, box))
    return tuple(found)


def match(wanted: Sequence[PhraseBox], said: Sequence[PhraseBox]) -> list[tuple[PhraseBox, PhraseBox, float]]:
    """(reference, prediction, similarity): each reference phrase takes the first unused equal prediction."""
    left = list(said)
    pairs = []
    for reference in wanted:
        found = next((each for each in left if each.phrase == reference.phrase), None)
        if found is not None:
            left.remove(found)
            pairs.append((reference, found, 1.0))
    return pairs


def match_by(
    wanted: Sequence[PhraseBox], said: Sequence[PhraseBox], similarity: Similarity
) -> list[tuple[PhraseBox, PhraseBox, float]]:
    """Greedy one to one by given similarity, highest first, ties in text order; pairs without one do not match."""
    scores = [
        (-value, n, k)
        for n, reference in enumerate(wanted)
        for k, each in enumerate(said)
        if (value := _similar(reference.phrase, each.phrase, similarity)) > 0
    ]
    used: tuple[set[int], set[int]] = set(), set()
    pairs = []
    for value, n, k in sorted(scores):
        if n not in used[0] and k not in used[1]:
            used[0].add(n)
            used[1].add(k)
            pairs.append((wanted[n], said[k], -value))
    return pairs


def _similar(a: str, b: str, similarity: Similarity) -> float:
    return similarity.get((a, b), similarity.get((b, a), 1.0 if a == b else 0.0))


def read_similarity(path: str) -> Similarity:
    """A JSONL of ``a, b, score`` as phrase pairs (stripped, lower case)."""
    from pathlib import Path

    from rrg.formats.read import read_source

    source = read_source(Path(path))
    found = {}
    for row in source.rows:
        try:
            a, b, score = str(row.value["a"]), str(row.value["b"]), float(row.value["score"])
        except (KeyError, TypeError, ValueError):
            raise RrgError(f"{source.where(row.line)}: expected a, b and score") from None
        found[a.strip().lower(), b.strip().lower()] = score
    return found


COLUMNS = ("reference", "predicted", "matched", "hit50", "iou_sum", "grounding_sum")


def sample_stats(item: Item, syntax: str | None, similarity: Similarity | None) -> Array:
    """(6,) of one sample: boxes wanted, said, matched, hit at 0.5; sums of IoU and of IoU x similarity."""
    wanted = phrases(item.reference.value, syntax)
    said = () if item.missing else phrases(item.prediction, syntax)
    pairs = match(wanted, said) if similarity is None else match_by(wanted, said, similarity)
    overlaps = [iou(a.box, b.box) if a.image == b.image else 0.0 for a, b, _ in pairs]
    weighted = sum(overlap * pair[2] for overlap, pair in zip(overlaps, pairs, strict=True))
    hits = sum(overlap >= HALF - SLACK for overlap in overlaps)
    return np.array([len(wanted), len(said), len(pairs), hits, sum(overlaps), weighted], float)


def all_stats(items: Sequence[Item], options: TaskOptions) -> Array:
    """(items, 6) as `sample_stats`."""
    similarity = None if options.match == "exact" else read_similarity(options.match)
    rows = [sample_stats(item, options.syntax, similarity) for item in items]
    return np.array(rows).reshape(len(items), len(COLUMNS))


def score(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """grounding_iou of each sample: 0 when one side has no box or is missing, undefined when none has a box."""
    made = []
    for item, row in zip(items, all_stats(items, options), strict=True):
        most = max(row[0], row[1])
        scores = {"grounding_iou": float(row[5] / most) if most else 0.0 if item.missing else None}
        counts = {name: int(row[k]) for k, name in enumerate(COLUMNS[:4])}
        unparsed = not item.missing and bool(row[0]) and not row[1]
        made.append(Scored(unparsed=unparsed, scores=scores, extra={"boxes": counts}))
    return made


def block(items: Sequence[Item], options: TaskOptions) -> Block:
    """Counts of boxes, P, R, F1 of phrases and of boxes at 0.5, mean IoU of matched pairs: every sample counts."""
    return Block(sums=sums_of(all_stats(items, options)))


def score_radgrounder(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """As `score`, with upstream's averages: grounding_iou over samples with a phrase in the reference, matched.iou over
    samples with a match, each with the mean of its own pairs."""
    made = []
    for each, row in zip(score(items, options), all_stats(items, options), strict=True):
        own = {
            "grounding_iou": each.scores["grounding_iou"] if row[0] else None,
            "matched.iou": float(row[4] / row[2]) if row[2] else None,
        }
        made.append(dataclasses.replace(each, scores=own))
    return made


def block_radgrounder(items: Sequence[Item], options: TaskOptions) -> Block:
    """Totals over samples that have boxes on both sides; invented and missed reports cost nothing."""
    stats = all_stats(items, options)
    both, all_ = (stats[:, 0] > 0) & (stats[:, 1] > 0), np.ones(len(items), bool)
    sums = {
        name: each if name.startswith("tags.") else dataclasses.replace(each, counted=both, of_kind=all_)
        for name, each in sums_of(stats).items()
        if name != "matched.iou"
    }
    return Block(sums=sums)


def sums_of(stats: Array) -> dict[str, Sums]:
    """All metrics that are computed from sums of `sample_stats`."""
    reference, predicted, matched, hit = (stats[:, k] for k in range(4))
    made = {
        "boxes.reference": _count(reference),
        "boxes.predicted": _count(predicted),
        "boxes.matched": _count(matched),
        "boxes.hit50": _count(hit),
    }
    for prefix, right in (("matched", matched), ("at50", hit)):
        made[f"{prefix}.precision"] = _ratio(right, predicted)
        made[f"{prefix}.recall"] = _ratio(right, reference)
        made[f"{prefix}.f1"] = _ratio(2 * right, predicted + reference)
    made["matched.iou"] = _ratio(stats[:, 4], matched)
    made["tags.only_prediction"] = _count((predicted > 0) & (reference == 0))
    made["tags.only_reference"] = _count((predicted == 0) & (reference > 0))
    made["tags.neither"] = _count((predicted == 0) & (reference == 0))
    return made


def _count(column: Any) -> Sums:
    return Sums(stats=np.asarray(column, float)[:, None], value=lambda sums: np.asarray(sums[:, 0]))


def _ratio(above: Array, below: Array) -> Sums:
    return Sums(stats=np.column_stack([above, below]), value=ratio)
