"""References -> slices of the study, by series number and image number. Never the nearest slice.

What a reader calls "image 45" is the Instance Number (0020,0013), the frame of a multi-frame object, or the place in
the stack that the viewer shows. By default it is read as the first, for multi-frame objects as the second; another
reading is taken only where the references themselves show it: see `Votes.decide`.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, cast

from rrg.records import Reference
from rrg.reports.references_read import open_pair

Reading = Literal["instance", "frame", "index"]
READINGS: tuple[Reading, ...] = ("instance", "frame", "index")
LEAST_FOUND, LEAST_MORE, MOST_MISSED = 5, 3, 0.05
"""Another reading must find this many references, this many more than any other, and miss at most this share."""
MOST_DOUBT = 0.1
"""A reading that misses no more than this share of the references is not doubted: slices are lost, too."""


class Numbered(Protocol):
    """A slice, or its header: what a reader sees of it."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def series(self) -> str: ...  # noqa: D102
    @property
    def series_number(self) -> int | None: ...  # noqa: D102
    @property
    def instance_number(self) -> int | None: ...  # noqa: D102
    @property
    def frame(self) -> int | None: ...  # noqa: D102
    @property
    def plane(self) -> str | None: ...  # noqa: D102
    @property
    def role(self) -> str: ...  # noqa: D102


class Decision(NamedTuple):
    """How image numbers of one kind of object are read, and what speaks for it."""

    kind: str
    """``single`` or ``frames`` (multi-frame objects), with the modality where it is known."""
    reading: Reading
    sure: bool
    """False: another reading finds more, but not clearly; where they differ, references are ambiguous."""
    found: tuple[tuple[Reading, int], ...] = ()
    """Reading -> references whose images are all there, once each."""
    of: int = 0
    """References that were looked at."""

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {n}" for name, n in self.found)
        return f"{self.kind}: {self.reading}{'' if self.sure else ' (not sure)'} ({counts}; of {self.of} references)"


Decisions = Mapping[str, Decision]


def default_reading(kind: str) -> Reading:
    """Frame for multi-frame objects, Instance Number for the others."""
    return "frame" if kind.startswith("frames") else "instance"


class Slices:
    """The slices of one study, by the numbers that a reader sees. Time and memory grow with the slices."""

    def __init__(self, slices: Iterable[Numbered]) -> None:
        self._of: dict[str, list[Numbered]] = defaultdict(list)
        self._numbered: dict[int, list[str]] = defaultdict(list)
        for each in slices:
            if not self._of[each.series] and each.series_number is not None:
                self._numbered[each.series_number].append(each.series)
            self._of[each.series].append(each)
        self._tables: dict[tuple[str, Reading], dict[int, list[str]]] = {}

    def kind(self, series: str) -> str:
        """What kind of objects a series has: readings are decided for each kind."""
        first = self._of[series][0]
        modality = getattr(first, "modality", None)
        return ("single" if first.frame is None else "frames") + (f" {modality}" if modality else "")

    def series_of(self, reference: Reference) -> list[str] | None:
        """The series that a reference may mean; None when it names none and more than one comes into question."""
        if reference.series_number is not None:
            return self._numbered.get(reference.series_number, [])
        axial = [name for name, (one, *_) in self._of.items() if one.plane == "axial" and one.role == "primary"]
        if len(axial) == 1:
            return axial
        return list(self._of) if len(self._of) == 1 else None

    def found(self, series: Sequence[str], image: int, reading: Mapping[str, Reading] | Reading) -> list[str]:
        """Ids of the slices with this number, in each series read as its kind says."""
        ids: list[str] = []
        for name in series:
            how = (
                reading if isinstance(reading, str) else reading.get(self.kind(name), default_reading(self.kind(name)))
            )
            if how == "index" and len(series) > 1:  # several stacks: which place a viewer gives them is open
                ids += [each.id for each in self._of[name]][:2]
                continue
            ids += self._table(name, how).get(image, [])
        return ids

    def _table(self, series: str, reading: Reading) -> dict[int, list[str]]:
        known = self._tables.get((series, reading))
        if known is None:
            known = self._tables[series, reading] = {}
            for number, each in self._numbers(series, reading):
                known.setdefault(number, []).append(each.id)
        return known

    def _numbers(self, series: str, reading: Reading) -> Iterable[tuple[int, Numbered]]:
        slices = self._of[series]
        if reading == "instance":
            return [(each.instance_number, each) for each in slices if each.instance_number is not None]
        if reading == "frame":
            numbers = [(each.frame if each.frame is not None else each.instance_number, each) for each in slices]
            return [(number, each) for number, each in numbers if number is not None]
        count = getattr(slices[0], "count", None)
        count = count if isinstance(count, int) else None  # a header has none; a tuple's method is no number
        if any(each.instance_number is None for each in slices) or (count is not None and count != len(slices)):
            return []  # no order, or not all of them are here: places are not known
        order = sorted(slices, key=lambda each: (each.instance_number or 0, each.frame or 0, each.id))
        return list(enumerate(order, 1))

    def resolve(self, reference: Reference, decisions: Decisions | None = None) -> Reference:
        """The reference with its status and slices; its rule tells how the image number was read.

        ``resolved``: at least one of the images is there and none of them twice; ``slices`` holds those that are there.
        ``ambiguous``: an image stands for several slices, the series is open, or readings of the number that can not be
        told apart give different slices. ``missing``: no image is there.
        """
        if reference.prior:
            return dataclasses.replace(reference, status="prior", slices=())
        series = self.series_of(reference)
        if series is None:
            return dataclasses.replace(reference, status="ambiguous", slices=())
        known = decisions or {}
        kinds = dict.fromkeys(self.kind(name) for name in series)
        readings = {kind: known[kind].reading if kind in known else default_reading(kind) for kind in kinds}
        ids: list[str] = []
        for image in reference.image_numbers:
            found = self.found(series, image, readings)
            if len(found) > 1:
                return dataclasses.replace(reference, status="ambiguous", slices=())
            if any(kind in known and not known[kind].sure for kind in kinds) and self._differs(series, image, found):
                return dataclasses.replace(reference, status="ambiguous", slices=())
            ids.extend(found)
        rule = f"{reference.rule}+{'/'.join(dict.fromkeys(readings.values()))}" if readings else reference.rule
        status: Literal["resolved", "missing"] = "resolved" if ids else "missing"
        return dataclasses.replace(reference, status=status, slices=tuple(dict.fromkeys(ids)), rule=rule)

    def of_pair(self, reference: Reference, first: int, second: int) -> Reference:
        """The reference of "Bild 3/145", by which of its two meanings the study has: image 145 of series 3, or image 3
        of a series of 145. Both or none: as it is.
        """
        as_series = any(
            self.found([name], second, default_reading(self.kind(name))) for name in self._numbered.get(first, ())
        )
        counted = [name for name, slices in self._of.items() if len(slices) == second]
        as_count = any(self.found([name], first, default_reading(self.kind(name))) for name in counted)
        if reference.prior or as_series == as_count:
            return reference
        numbers = (first, (second,)) if as_series else (None, (first,))
        rule = f"{reference.rule.removesuffix('+carried')}+{'series' if as_series else 'count'}"
        return dataclasses.replace(reference, series_number=numbers[0], image_numbers=numbers[1], rule=rule)

    def _differs(self, series: Sequence[str], image: int, found: Sequence[str]) -> bool:
        return any(self.found(series, image, reading) not in ([], list(found)) for reading in READINGS)

    def tell(self, references: Iterable[Reference], votes: "Votes") -> None:
        """Add what references with a series number say of the readings."""
        for each in references:
            series = self._numbered.get(each.series_number, []) if each.series_number is not None else []
            if each.prior or len(series) != 1 or not each.image_numbers:
                continue
            kind = self.kind(series[0])
            votes.of[kind] += 1
            for reading in READINGS:
                if all(len(self.found(series, image, reading)) == 1 for image in each.image_numbers):
                    votes.found[kind][reading] += 1


class Votes:
    """What references say: how many there are of each kind of object, and how many each reading finds."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()
        self.found: dict[str, Counter[Reading]] = defaultdict(Counter)

    def decide(self) -> dict[str, Decision]:
        """The reading of each kind. The default stands unless another one clearly finds more."""
        return {kind: _decided(kind, self.found[kind], n) for kind, n in sorted(self.of.items())}


def _decided(kind: str, found: Counter[Reading], of: int) -> Decision:
    default = default_reading(kind)
    choices: Collection[Reading] = READINGS if kind.startswith("frames") else ("instance", "index")
    best = max(choices, key=lambda each: (found[each], each == default))
    more = found[best] - found[default]
    counts = tuple((each, found[each]) for each in choices)
    if not more or found[default] >= (1 - MOST_DOUBT) * of:
        return Decision(kind, default, True, counts, of)
    others = max(found[each] for each in choices if each != best)
    clear = found[best] >= LEAST_FOUND and found[best] - others >= LEAST_MORE and of - found[best] <= MOST_MISSED * of
    return Decision(kind, best if clear else default, clear, counts, of)


def resolve_all(
    references: Sequence[Reference],
    slices: Iterable[Numbered],
    reading: str = "auto",
    known: Decisions | None = None,
    text: str | None = None,
) -> tuple[Reference, ...]:
    """All references of a report against the slices of its study.

    `reading`: ``auto`` decides by `known` (of the whole input), or else by these references; otherwise as given.
    `text`: of the report, where "Bild 3/145" is to be read by what the study has.
    """
    table = Slices(slices)
    if text is not None:
        pairs = [open_pair(text[slice(*each.span)]) for each in references]
        references = [
            each if pair is None else table.of_pair(each, *pair) for each, pair in zip(references, pairs, strict=True)
        ]
    if reading != "auto":
        fixed = cast(Reading, reading)
        kinds = {table.kind(name) for name in table._of}
        known = {kind: Decision(kind, fixed, True) for kind in kinds}
    elif known is None:
        votes = Votes()
        table.tell(references, votes)
        known = votes.decide()
    return tuple(table.resolve(each, known) for each in references)
