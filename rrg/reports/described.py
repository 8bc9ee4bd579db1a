"""The findings of a sentence with all that it says of them: place, side, size, change and number."""

import bisect
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rrg.records import Anatomy, Finding, Lang, Measurement, Span
from rrg.reports.asked import doubted, question_from
from rrg.reports.changes import changes_of, findings_only, hits_of
from rrg.reports.context import Context
from rrg.reports.counts import counts_of
from rrg.reports.findings import LESION_LIKE, Stated, named_at
from rrg.reports.mentions import Mention, free_sides
from rrg.reports.places import places
from rrg.reports.places_shared import explains, goes_with, shares, sides_around
from rrg.reports.said import Told, finding_of, lesion_of, same_thing, shared_with
from rrg.reports.side_words import SideWord
from rrg.reports.sides import finding_side, side_places
from rrg.reports.sizes import set_apart, sizes
from rrg.reports.words import Words

_UNSIDED = frozenset(("midline shift", "cardiomegaly", "heart failure", "scoliosis"))
"""Findings of the middle: a side beside them is that of another."""
_JOINTS = frozenset(("knee", "ankle", "elbow", "wrist", "hip", "shoulder", "joint", "subdural", "glenohumeral"))


class Read(NamedTuple):
    """What is known of a sentence before its findings are described."""

    at: int
    """Number of the sentence."""
    kind: str
    """Kind of its section."""
    lang: Lang
    words: Words
    context: Context
    sides: list[SideWord]
    mentions: list[Mention]
    recorded: Mapping[int, int]
    """Mention -> index of its record."""
    measured: list[Measurement]


def describe(read: Read, stated: list[Stated], findings: list[Finding], anatomy: list[Anatomy]) -> list[Stated]:
    """Add the records of a sentence's findings, and of the lesions among them. Gives those that are findings."""
    words, lang, context, mentions = read.words, read.lang, read.context, read.mentions
    hits = hits_of(words, lang)
    stated = findings_only(words, stated, hits)
    if not stated:
        return stated
    negated = context.negated if context.reaches else ()
    denied = [any(negated[one.first : one.last]) for one in stated]
    compared = context.reaches and (bool(context.compared) or any(context.prior))
    changes = changes_of(words, lang, hits, stated, denied, compared=compared)
    counts = counts_of(words, hits, stated)
    owned = _sizes(read, stated, denied)
    sided = _sided(read, stated) if read.sides else None
    asked = question_from(words, in_question=read.kind == "question")
    questioned = "?" in words.raw
    for i, one in enumerate(stated):
        where, carried = places(words, one, mentions, stated)
        around = []
        if where:
            where = [j for j in where if not mentions[j].gone]
            around = sides_around(words, [mentions[j] for j in where])
            one = named_at(one, words.keys[one.last - 1], [mentions[j].classes for j in where])
        links = tuple([read.recorded[j] for j in where if j in read.recorded])
        side = None
        if one.name not in _UNSIDED and (around or sided is not None):
            end, sides, free = (one.last, [], []) if sided is None else sided.of(i)
            alone = len(stated) == 1
            side = finding_side(words, lang, one.first, end, around, sides, free, carried=carried, alone=alone)
        if one.name == "effusion" and not links:
            chest = lang == "en" and side is not None and words.keys[max(0, one.first - 1)] not in _JOINTS
            if chest or "pleura" in words.keys[: one.first]:
                one = one._replace(name="pleural effusion")
        if side is None and not links and i and goes_with(words, stated[i - 1].last, one.first, one.name):
            side = findings[-1].side
        question = one.first >= asked or (questioned and doubted(words, one.first, one.last))
        told = Told(read.at, links, side, owned[i], changes[i], counts[i], question, read.kind == "comparison")
        made = finding_of(one, told, context)
        if i:
            made = same_thing(made, findings, anatomy, read.at, explains=explains(words, one.first))
        findings.append(made)
        if i and (joint := shares(words, lang, stated[i - 1], one)):
            shared_with(findings, joint, anatomy)
        if one.name in LESION_LIKE and not _inside(one.span, mentions):
            anatomy.append(lesion_of(one, made, anatomy))
    return stated


def _inside(span: Span, mentions: Sequence[Mention]) -> bool:
    """A mention has characters of the span; mentions are in text order, without overlap."""
    at = bisect.bisect_left(mentions, span[1], key=_start)
    return at > 0 and mentions[at - 1].span[1] > span[0]


def _start(mention: Mention) -> int:
    return mention.span[0]


def _sizes(read: Read, stated: Sequence[Stated], denied: Sequence[bool]) -> list[list[Measurement]]:
    """The sizes of each finding; what is denied has none that a comma or a denial sets apart."""
    owned = sizes(read.words, stated, read.measured, read.mentions)
    if read.measured and any(denied):
        return [
            [each for each in own if not (lost and set_apart(read.words, each.span, one.span))]
            for own, lost, one in zip(owned, denied, stated, strict=True)
        ]
    return owned


class _Sided(NamedTuple):
    """The words of side around the findings of a sentence."""

    ends: list[int]
    """Of each finding, one past the last word that a side stands behind."""
    sides: list[SideWord]
    free: list[SideWord]
    """Those of no structure."""
    attached: list[list[int]]
    """Of each finding, the words of side that are its own; empty for a single finding."""
    owners: Mapping[int, int]
    """Word of side -> findings that have it for their own."""

    def of(self, i: int) -> tuple[int, list[SideWord], list[SideWord]]:
        """(end, words of side, those that may be its own) of finding `i`."""
        free = self.free
        if self.attached:
            free = [side for side in free if self.owners[side.at] <= (side.at in self.attached[i])]
        return self.ends[i], self.sides, free


def _sided(read: Read, stated: list[Stated]) -> _Sided:
    words, lang, mentions = read.words, read.lang, read.mentions
    free = free_sides(words, lang, read.sides, mentions)
    sides = [side for side in read.sides if not any(each.first <= side.at < each.last for each in mentions)]
    # an adjective has the side of its noun: "verkalktes Granulom rechts"
    # and one behind its level or its unpaired place: "Osteochondrose L5/S1 rechts"
    ends = [
        then.last if then.first == one.last else one.last for one, then in itertools.pairwise([*stated, stated[-1]])
    ]
    unsided = {mention.first: mention.last for mention in mentions if mention.side is None}
    ends = [unsided.get(end, end) for end in ends]
    attached: list[list[int]] = []
    if len(stated) > 1 and sides:
        attached = [side_places(words, lang, one.first, end, sides) for one, end in zip(stated, ends, strict=True)]
    return _Sided(ends, sides, free, attached, Counter(itertools.chain.from_iterable(attached)))
