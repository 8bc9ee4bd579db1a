"""Which stack of a study is asked about, and which of its slices: by default, by number, or as a report points at them.

Image numbers are those a viewer shows and a report writes: Instance Number, or the frame of a multi-frame object; where
a stack has none, or one of them twice, the place in the stack, from 1.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rrg.dicom import Header
from rrg.errors import RecordError, UsageError
from rrg.records import Slice
from rrg.slices_records import Found, slice_id
from rrg.stacks import Stack, first_plane

ROLES = ("primary", "dynamic", "derived", "reformat", "mip", "vrt", "localizer", "bolus")
"""Which stacks are preferred; among equals the one with most slices."""
_LIST = re.compile(r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*")
_EVERY = re.compile(r"every[: ]\s*(\d+)")
MOST_LISTED = 100_000
"""A range of more image numbers is a slip of the pen."""


class Spec(NamedTuple):
    """A ``--slices``, read."""

    kind: Literal["even", "every", "all", "list", "referenced"]
    number: int = 0
    """Of ``even``: how many; of ``every``: each K-th."""
    listed: tuple[int, ...] = ()
    """Image numbers of ``list``, in order."""

    def __str__(self) -> str:
        """One form for each meaning: it goes into the run record."""
        if self.kind == "even":
            return str(self.number)
        if self.kind == "every":
            return f"every:{self.number}"
        return ",".join(map(str, self.listed)) + "," * (len(self.listed) == 1) if self.kind == "list" else self.kind


def spec_of(text: str) -> Spec:
    """``all``, ``8`` (so many, evenly), ``every:5``, ``referenced``, or image numbers: ``3,12-15``, ``45,``."""
    given = text.strip()
    if given in ("all", "referenced"):
        return Spec("all" if given == "all" else "referenced")
    if given.isascii() and given.isdigit() and int(given) > 0:
        return Spec("even", int(given))
    if (every := _EVERY.fullmatch(given)) and int(every.group(1)) > 0:
        return Spec("every", int(every.group(1)))
    if not given.isdigit() and _LIST.fullmatch(given.removesuffix(",")):
        ends = [tuple(map(int, part.split("-"))) for part in given.removesuffix(",").split(",")]
        if all(end[0] <= end[-1] for end in ends) and sum(end[-1] - end[0] for end in ends) < MOST_LISTED:
            return Spec("list", listed=tuple(dict.fromkeys(n for e in ends for n in range(e[0], e[-1] + 1))))
    raise UsageError(
        f"--slices {text}: expected all, a number (so many, evenly), every:K, referenced, or image numbers such as "
        "12,40-45 (one alone: 12,)"
    )


def spread(count: int, spec: Spec) -> tuple[int, ...]:
    """Zero-based places in a stack of `count` slices: all, every K-th, or N in the middles of N equal parts."""
    if spec.kind == "all":
        return tuple(range(count))
    if spec.kind == "every":
        return tuple(range(0, count, spec.number))
    n = min(spec.number, count)
    return tuple((2 * i + 1) * count // (2 * n) for i in range(n))


def image_numbers(headers: Sequence[Header]) -> tuple[int, ...]:
    """The numbers of a stack's slices, in its order; each is there once."""
    numbers = [header.instance_number if header.frame is None else header.frame for header in headers]
    if None in numbers or len(set(numbers)) < len(numbers):
        return tuple(range(1, len(headers) + 1))
    return tuple(number for number in numbers if number is not None)


class Chosen(NamedTuple):
    """A stack of a study, and which of its slices to ask about."""

    series: str
    stack: Stack
    reason: str
    """Why this one, in few words."""
    indices: tuple[int, ...]
    missing: tuple[int, ...] = ()
    """Image numbers that were named and that the stack does not have."""

    def __str__(self) -> str:
        first, count = self.stack.headers[0], len(self.stack.headers)
        number = f"series {first.series_number}" if first.series_number is not None else "a series without number"
        what = ", ".join(word for word in (first.modality, first_plane(self.stack.headers)) if word)
        numbers = image_numbers(self.stack.headers)
        which = "all" if len(self.indices) == count else ranges([numbers[index] for index in self.indices])
        return f"{number} ({what}; {self.reason}): images {which} of {count}"


def ranges(numbers: Sequence[int]) -> str:
    """``3-5, 9``: numbers in order, neighbours joined."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}{'-' if len(p) > 2 else ', '}{p[-1]}" for p in parts)


def choose(
    found: Sequence[Found], spec: Spec, key: bytes, *, series_number: int | None = None, cited: frozenset[str]
) -> list[Chosen]:
    """The stacks to ask about: one, or of ``referenced`` all that hold a slice of `cited` (slice ids).

    RecordError(E_REFERENCE) where the study has no such series or none of the listed images.
    """
    if spec.kind == "referenced":
        return _referenced(found, key, cited)
    usable = [each for each in found if series_number in (None, each.stack.headers[0].series_number)]
    if not usable:
        there = sorted({n for each in found if (n := each.stack.headers[0].series_number) is not None})
        raise RecordError(
            "E_REFERENCE", f"--series {series_number}: the study has series {ranges(there) or 'without numbers'}"
        )
    best = min(usable, key=lambda each: (ROLES.index(each.stack.role), -len(each.stack.headers), each.id))
    alike = sum(each.stack.role == best.stack.role for each in usable)
    if series_number is not None:
        reason = "as asked" if len(usable) == 1 else f"the largest of {len(usable)} stacks"
    else:
        role = best.stack.role
        reason = f"the largest of {alike} {role} series" if alike > 1 else f"the only {role} series"
        reason += f" of {len(usable)}" if len(usable) > alike else ""
    if spec.kind == "list":
        places = {number: place for place, number in enumerate(image_numbers(best.stack.headers))}
        indices = tuple(sorted(places[number] for number in spec.listed if number in places))
        if not indices:
            raise RecordError(
                "E_REFERENCE",
                f"--slices {spec}: series {best.stack.headers[0].series_number} has images {ranges(list(places))}",
            )
        return [Chosen(best.id, best.stack, reason, indices, tuple(n for n in spec.listed if n not in places))]
    return [Chosen(best.id, best.stack, reason, spread(len(best.stack.headers), spec))]


def _referenced(found: Sequence[Found], key: bytes, cited: frozenset[str]) -> list[Chosen]:
    chosen = []
    for each in found:
        indices = [place for place, header in enumerate(each.stack.headers) if slice_id(key, header) in cited]
        if indices:
            chosen.append(Chosen(each.id, each.stack, "the report points at it", tuple(indices)))
    return sorted(chosen, key=lambda one: (one.stack.headers[0].series_number or 0, one.series))


def image_number(slice_: Slice) -> int:
    """The number of a slice as a report writes it."""
    number = slice_.instance_number if slice_.frame is None else slice_.frame
    return slice_.index + 1 if number is None else number
