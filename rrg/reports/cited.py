"""The records of a sentence's slice references: their series, and whether they point at an earlier study."""

import re
from collections.abc import Sequence

from rrg.records import Measurement, Reference
from rrg.reports.context import Context
from rrg.reports.references_words import Found
from rrg.reports.words import MASK, Words, within, word_set

_DATING = word_set(
    """ct mrt mr mri pet vom von der die dem from of dated on dort there then damals study scan exam in auf am
    januar februar maerz april mai juni juli august september oktober november dezember january february march may
    june july october december"""
)
"""What may stand between a comparison and the reference into the earlier study."""


_EARLIER = word_set(
    "prior previous previously vu vormals prev baseline earlier last voruntersuchung voraufnahme vorbefund zuvor "
    "formerly outside auswaertigen externen"
)
_OF = frozenset(("of", "on", "from", "in", "der"))


_EVENTS = re.compile(
    r"(?:chemo|radiat|bestrahl|therap|operat|resek|resect|ektom|ectom|transplant|karzinom|carcinom|cancer|malignom|diagnos|"
    r"implant|biops|punktion|surger|surgical|seit|since|befallen|positiv|involved|nodes?\b|lymphknoten|\blk\b|sentinel|"
    r"\bop\b|\bed\b|letzte|last\b|prior|previous|vor[abu]\w*|kontroll|follow|monat|month|week|woche|norm|\bn[01x]|"
    r"range|years?|jahre|weeks?|durchwahl|tel\b|cpt|code)",
    re.IGNORECASE,
)
"""Words that a month ("4/18"), a count of lymph nodes or a range stands behind."""
_SPOKEN_OF = frozenset(("findings", "impression", "addendum", "body"))


def shows(
    words: Words, at: int, kind: str, context: Context, facts: Sequence[int], measured: Sequence[Measurement]
) -> bool:
    """Numbers that may be a date or a range ("(2/18)", "(3-45)") are a reference where the clause in front of word `at`
    names what is seen: a finding or structure (`facts`: their first words) or a size, and nothing that has a date.
    """
    first = at
    while first > 0 and words.raw[first - 1] not in ",;":
        first -= 1
    clause = range(first, at)
    if kind not in _SPOKEN_OF or any(context.history[i] or context.prior[i] for i in clause):
        return False
    sized = any(within(words, each.span).start in clause and not each.prior for each in measured)
    event = any(_EVENTS.search(words.keys[i]) for i in clause)
    return sized or (not event and any(fact in clause for fact in facts))


def gathered(words: Words, written: list[Found]) -> list[Found]:
    """ "(Bild 12 und 34), alle in Serie 3": what is said of all gives the images in front of it their series."""
    for at, each in enumerate(written):
        if each.series is None or each.images:
            continue
        start = within(words, each.span).start
        if at and not _ALL.isdisjoint(words.keys[max(0, start - 3) : start]):
            return [one._replace(series=one.series or each.series) for one in written[:at]] + written[at:]
    return written


_ALL = word_set("alle allesamt saemtlich saemtliche beide jeweils all both each")


class Carry:
    """The series that a bare "(Bild 47)" takes: of the sentence, else of the section."""

    def __init__(self) -> None:
        self.series: int | None = None
        self.section = -1
        self.earlier: tuple[int, int, int] | None = None
        """Sentence, word behind it and series of the last reference into an earlier study."""


def reference_of(
    found: Found,
    section: int,
    sentence: int,
    words: Words,
    context: Context,
    carry: Carry,
    earlier_section: bool,
    behind_earlier: bool,
) -> list[Reference]:
    """The record of a reference; none for a series alone, which is only carried on."""
    inside = within(words, found.span)
    at = inside.start - 1 if words.raw[max(0, inside.start - 1)] == "." else inside.start  # "prev. image 70"
    before = words.keys[max(0, at - 1) : at]
    after = words.keys[inside.stop : inside.stop + 4]
    on_date = words.raw[max(0, inside.start - 2) : inside.start] == [MASK, "("]
    said_earlier = (
        (before and before[0] in _EARLIER)
        or (
            after
            and (after[0] in _OF or after[1:2] == [":"])  # "Bild 39 der VU", "Bild 39 VU: 17 mm"
            and any(key in _EARLIER for key in (after if after[0] in _OF else after[:1]))
        )
    )
    prior = (
        behind_earlier
        or on_date
        or bool(said_earlier)
        or earlier_section
        or behind_earlier
        or found.dated
        or any(context.prior[i] for i in inside)
        or _compared(words, context, inside)
    )
    series = found.series
    if series is None and (shared := _shared(words, inside, sentence, carry)) is not None:
        series, prior = shared, True
    if prior and series is not None:
        carry.earlier = (sentence, inside.stop, series)
    if carry.section != section:
        carry.series, carry.section = None, section
    rule = found.rule
    if series is None and not prior:
        series = carry.series
        rule += "+carried" if series is not None else ""
    elif series is not None and not prior:
        carry.series = series
    if not found.images:
        return []
    return [
        Reference(
            span=found.span,
            sentence=sentence,
            series_number=series,
            image_numbers=found.images,
            prior=prior,
            open_end=found.open_end,
            status="prior" if prior else "unresolved",
            rule=rule,
        )
    ]


def _shared(words: Words, inside: range, sentence: int, carry: Carry) -> int | None:
    """ "(damals Serie 5, Bild 23 und Bild 31)": the series of the earlier reference that "und" ties it to."""
    if carry.earlier is None or carry.earlier[0] != sentence or not carry.earlier[1] < inside.start:
        return None
    between = words.keys[carry.earlier[1] : inside.start]
    return carry.earlier[2] if all(key in _TIES for key in between) else None


_TIES = frozenset((",", "und", "and", "u", ".", "sowie", "&", "/"))


def _compared(words: Words, context: Context, inside: range) -> bool:
    """ "im Vergleich zur VU vom 12.03.2021, Serie 3, Bild 40": only a date stands between."""
    return any(
        last <= inside[0]
        and all(
            words.raw[i] in ",.:(-/" or words.raw[i] == MASK or words.raw[i][0].isdigit() or words.keys[i] in _DATING
            for i in range(last, inside[0])
        )
        for last in context.compared
    )
