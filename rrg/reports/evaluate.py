"""``rrg parse-reports --evaluate``: the rules against gold texts, fact by fact."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rrg.records import Anatomy, Finding, Lang, Measurement, Reference, Section, Sentence, Span
from rrg.reports.gold import GoldSection, GoldText
from rrg.reports.matching import Miss, Pair, Tally, agreeing, attribute, pairs, presence
from rrg.reports.parse import parse

FACTS = (
    "sections",
    "headings",
    "sentences",
    "anatomy",
    "anatomy_spans",
    "findings",
    "finding_spans",
    "negation",
    "certainty",
    "time",
    "anatomy_prior",
    "change",
    "experiencer",
    "laterality",
    "levels",
    "absent",
    "absent_why",
    "measurements",
    "measurements_prior",
    "count",
    "multiple",
    "where",
    "sizes",
    "references",
    "slices",
)
"""What is counted, in the order of the table. ``slices``: single (series, image) pairs of the current study."""


class Said(NamedTuple):
    """What a parser found in a text."""

    sections: Sequence[Section]
    sentences: Sequence[Sentence]
    anatomy: Sequence[Anatomy]
    findings: Sequence[Finding]
    measurements: Sequence[Measurement]
    references: Sequence[Reference]


class Error(NamedTuple):
    """One false positive or false negative."""

    id: str
    lang: Lang
    fact: str
    miss: Miss
    piece: str
    """The text at the place."""


class Score(NamedTuple):
    """One line of the table."""

    lang: Lang
    fact: str
    tp: int
    fp: int
    fn: int

    @property
    def gold(self) -> int:
        """How many the gold has."""
        return self.tp + self.fn

    @property
    def found(self) -> int:
        """How many were found."""
        return self.tp + self.fp

    @property
    def precision(self) -> float | None:
        """None where nothing was found."""
        return self.tp / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """None where the gold has none."""
        return self.tp / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where there is nothing to find and nothing was found."""
        return 2 * self.tp / (self.gold + self.found) if self.gold + self.found else None


Parser = Callable[[str, Lang], Said]


def by_rules(text: str, lang: Lang) -> Said:
    """The parser that is scored."""
    made = parse(text, lang)
    return Said(made.sections, made.sentences, made.anatomy, made.findings, made.measurements, made.references)


def evaluate(gold: Iterable[GoldText], parser: Parser = by_rules) -> tuple[list[Score], list[Error]]:
    """Scores per language and fact, and every error in the order of the texts."""
    scores: dict[tuple[Lang, str], list[int]] = {}
    errors: list[Error] = []
    for one in gold:
        tallies = score(one, parser(one.text, one.lang))
        for fact in FACTS:
            tally = tallies[fact]
            sums = scores.setdefault((one.lang, fact), [0, 0, 0])
            for k, n in enumerate((tally.tp, tally.fp, tally.fn)):
                sums[k] += n
            errors += [
                Error(one.id, one.lang, fact, miss, one.text[slice(*miss.span)])
                for miss in sorted(tally.misses, key=lambda each: (each.span, each.kind))
            ]
    languages = sorted({lang for lang, _ in scores})
    return [Score(lang, fact, *scores[lang, fact]) for lang in languages for fact in FACTS], errors


def score(gold: GoldText, said: Said) -> dict[str, Tally]:
    """Counts of every fact of one text."""
    tallies = {fact: Tally() for fact in FACTS}
    _parts(tallies, gold, said)
    # mentions of a lesion are findings, and are counted there (docs/gold.md)
    anatomy = [each for each in said.anatomy if each.rule != "finding"]
    places = agreeing(gold.anatomy, anatomy, _same_classes)
    presence(tallies["anatomy"], pairs(gold.anatomy, anatomy, _same_classes, exact=True), _classes)
    presence(tallies["anatomy_spans"], pairs(gold.anatomy, anatomy), _classes)
    stated = agreeing(gold.findings, said.findings, lambda a, b: a.name == b.name)
    presence(
        tallies["findings"], pairs(gold.findings, said.findings, lambda a, b: a.name == b.name), lambda each: each.name
    )
    presence(tallies["finding_spans"], stated, lambda each: each.name)
    attribute(tallies["negation"], stated, lambda each: each.state, "present")
    attribute(tallies["negation"], places, lambda each: "absent" if each.negated else "present", "present")
    attribute(tallies["certainty"], stated, lambda each: each.certainty, "certain")
    attribute(tallies["time"], stated, lambda each: each.time, "current")
    attribute(tallies["anatomy_prior"], places, lambda each: each.prior, False)
    attribute(tallies["change"], stated, lambda each: each.change, None)
    attribute(tallies["experiencer"], stated, lambda each: each.experiencer, "patient")
    attribute(tallies["laterality"], stated, lambda each: each.side, None)
    attribute(tallies["laterality"], places, lambda each: each.side, None)
    attribute(tallies["levels"], places, lambda each: sorted(each.levels), [])
    attribute(tallies["absent"], places, lambda each: each.absent, False)
    attribute(tallies["absent_why"], places, lambda each: each.absent_why, None)
    attribute(tallies["count"], stated, lambda each: each.count, None)
    attribute(tallies["multiple"], stated, lambda each: each.multiple, False)
    measured = agreeing(gold.measurements, said.measurements, _same_size)
    presence(
        tallies["measurements"], pairs(gold.measurements, said.measurements, _same_size), lambda each: each.value_mm
    )
    attribute(tallies["measurements_prior"], measured, lambda each: each.prior, False)
    _links(tallies["where"], stated, places, gold.anatomy, said.anatomy)
    _sizes(tallies["sizes"], stated, measured)
    presence(tallies["references"], pairs(gold.references, said.references, _same_reference), _reference)
    _slices(tallies["slices"], gold.references, said.references)
    return tallies


def _parts(tallies: dict[str, Tally], gold: GoldText, said: Said) -> None:
    if gold.sections is not None:
        # a heading without content can not be quoted: it is not counted
        filled = [each for each in said.sections if each.span[0] < each.span[1]]
        expected = {each.start: each for each in gold.sections}
        seen = {each.span[0]: each for each in filled}
        _keyed(tallies["sections"], {(s, g.kind) for s, g in expected.items()}, {(s, f.kind) for s, f in seen.items()})
        headings = {(start, _heading(each)) for start, each in expected.items() if each.heading is not None}
        written = {
            (start, _bare(gold.text[slice(*each.heading)])) for start, each in seen.items() if each.heading is not None
        }
        _keyed(tallies["headings"], headings, written)
    if gold.sentences is not None:
        wanted, given = set(gold.sentences), {each.span for each in said.sentences}
        tally = tallies["sentences"]
        tally.tp += len(wanted & given)
        for span in sorted(wanted - given):
            tally.missed(span, gold.text[slice(*span)])
        for span in sorted(given - wanted):
            tally.wrong(span, gold.text[slice(*span)])


def _keyed(tally: Tally, wanted: set[tuple[int, str]], given: set[tuple[int, str]]) -> None:
    tally.tp += len(wanted & given)
    for start, what in sorted(wanted - given):
        tally.missed((start, start + 20), what)
    for start, what in sorted(given - wanted):
        tally.wrong((start, start + 20), what)


def _heading(section: GoldSection) -> str:
    return _bare(section.heading or "")


def _bare(heading: str) -> str:
    return " ".join(heading.strip(" \n*:-–").split())


def _same_classes(a: Anatomy, b: Anatomy) -> bool:
    return set(a.classes) == set(b.classes)


def _classes(one: Anatomy) -> str:
    return "+".join(sorted(one.classes))


def _same_size(a: Measurement, b: Measurement) -> bool:
    return len(a.value_mm) == len(b.value_mm) and all(
        abs(x - y) < 1e-6 for x, y in zip(a.value_mm, b.value_mm, strict=True)
    )


def _reference_key(one: Reference) -> tuple[Any, ...]:
    return one.series_number, frozenset(one.image_numbers), one.prior, one.open_end


def _same_reference(a: Reference, b: Reference) -> bool:
    return _reference_key(a) == _reference_key(b)


def _reference(one: Reference) -> str:
    series = "" if one.series_number is None else one.series_number
    images = ",".join(map(str, one.image_numbers[:8])) + (",..." if len(one.image_numbers) > 8 else "")
    return f"{'prior ' if one.prior else ''}{series}/{images}{'ff' if one.open_end else ''}"


def _links(
    tally: Tally,
    stated: Sequence[Pair[Finding]],
    places: Sequence[Pair[Anatomy]],
    gold: Sequence[Anatomy],
    seen: Sequence[Anatomy],
) -> None:
    """Findings to structures: a link is right when both its ends are pairs."""
    mine = {pair.seen.span: pair.gold.span for pair in places if pair.seen is not None and pair.gold is not None}
    for wanted, found in stated:
        expected = {gold[i].span for i in wanted.anatomy} if wanted is not None else set()
        given = {seen[i].span for i in found.anatomy if seen[i].rule != "finding"} if found is not None else set()
        _count_links(tally, wanted or found, expected, given, mine)


def _sizes(tally: Tally, stated: Sequence[Pair[Finding]], measured: Sequence[Pair[Measurement]]) -> None:
    mine = {pair.seen.span: pair.gold.span for pair in measured if pair.seen is not None and pair.gold is not None}
    for wanted, found in stated:
        expected = {each.span for each in wanted.measurements} if wanted is not None else set()
        given = {each.span for each in found.measurements} if found is not None else set()
        _count_links(tally, wanted or found, expected, given, mine)


def _count_links(
    tally: Tally, owner: Finding | None, expected: set[Span], given: set[Span], mine: dict[Span, Span]
) -> None:
    assert owner is not None
    right = {mine[span] for span in given if span in mine and mine[span] in expected}
    tally.tp += len(right)
    for span in sorted(expected - right):
        tally.missed(span, owner.name)
    for span in sorted(span for span in given if mine.get(span) not in right):
        tally.wrong(span, owner.name)


def _slices(tally: Tally, gold: Sequence[Reference], seen: Sequence[Reference]) -> None:
    """Single images of the current study: what pairing lives on."""
    wanted, given = _images(gold), _images(seen)
    tally.tp += sum(min(len(spans), len(given.get(key, ()))) for key, spans in wanted.items())
    for key, spans in wanted.items():
        for span in spans[len(given.get(key, ())) :]:
            tally.missed(span, _pair(key))
    for key, spans in given.items():
        for span in spans[len(wanted.get(key, ())) :]:
            tally.wrong(span, _pair(key))


def _images(references: Sequence[Reference]) -> dict[tuple[int | None, int], list[Span]]:
    found: dict[tuple[int | None, int], list[Span]] = {}
    for one in references:
        if not one.prior:
            for image in one.image_numbers:
                found.setdefault((one.series_number, image), []).append(one.span)
    return found


def _pair(key: tuple[int | None, int]) -> str:
    return f"{'' if key[0] is None else key[0]}/{key[1]}"
