"""Errors planted in made-up reports: wrong slice numbers and swapped sides, each remembered with what was meant."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rrg.anatomy import LABELS, other_side
from rrg.errors import UsageError
from rrg.phantom_body import class_table
from rrg.phantom_report import Fact, Meant, Pointer, SeriesView, StudyView, pointer_to

KINDS = ("normal", "lesion")
"""Facts that errors are planted in: those that say what the study itself shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What ``--noise`` asks for."""

    pixels: float = 1.0
    """Factor on the noise of the images."""
    slice: float = 0.0
    """Share of the slice references that point at other slices of their series."""
    side: float = 0.0
    """Share of the facts on one side that are told of the other."""


def noise_of(text: str) -> Noise:
    """``0.5`` for the images, or any of ``pixels=F,slice=SHARE,side=SHARE``. UsageError for anything else."""
    try:
        if "=" not in text:
            noise = Noise(pixels=float(text))
        else:
            parts = (part.partition("=") for part in text.split(","))
            noise = Noise(**{name.strip(): float(value) for name, _, value in parts})
    except (TypeError, ValueError):
        noise = Noise(pixels=-1)
    if 0 <= noise.pixels <= 20 and 0 <= noise.slice <= 1 and 0 <= noise.side <= 1:
        return noise
    raise UsageError(
        f"--noise {text}: expected a factor from 0 to 20, or pixels=FACTOR,slice=SHARE,side=SHARE with shares up to 1"
    )


def plant(facts: Sequence[Fact], study: StudyView, noise: Noise, rng: np.random.Generator) -> tuple[Fact, ...]:
    """`facts` with errors, each drawn by itself. A higher rate only adds errors."""
    return tuple(_planted(fact, study, noise, rng) if fact.kind in KINDS else fact for fact in facts)


def planted(facts: Sequence[Fact]) -> Counter[str]:
    """How many errors `facts` hold, and in how many places they could be: ``wrong_slices`` of ``references``, ..."""
    counts: Counter[str] = Counter()
    for fact in facts:
        if fact.kind in KINDS:
            counts["references"] += len(fact.pointers)
            counts["wrong_slices"] += sum(pointer.meant is not None for pointer in fact.pointers)
            counts["sides"] += fact.pointers != () and all(map(other_side, fact.classes)) and len(fact.classes) == 1
            counts["wrong_sides"] += fact.meant_classes is not None
    return counts


def _planted(fact: Fact, study: StudyView, noise: Noise, rng: np.random.Generator) -> Fact:
    draws = rng.random(1 + len(fact.pointers))
    pointers = tuple(
        _moved(pointer, study, rng) if draw < noise.slice else pointer
        for pointer, draw in zip(fact.pointers, draws[1:], strict=True)
    )
    fact = dataclasses.replace(fact, pointers=pointers)
    return _swapped(fact, study) if pointers and draws[0] < noise.side else fact


def _swapped(fact: Fact, study: StudyView) -> Fact:
    """The fact told of the other side; as it is when it has no side, both, or no partner in this modality."""
    if fact.side not in ("left", "right") or len(fact.classes) != 1:
        return fact
    other = other_side(fact.classes[0])
    if other is None or other not in class_table(study.modality):
        return fact
    return dataclasses.replace(fact, side=LABELS[other].side, classes=(other,), meant_classes=fact.classes)


def _moved(pointer: Pointer, study: StudyView, rng: np.random.Generator) -> Pointer:
    """As many other slices of the same series, a run staying a run; the pointer itself when there are none."""
    view = next(view for view in study.series if view.uid == pointer.series_uid)
    own = [view.instance_numbers.index(number) for number in pointer.instance_numbers]
    places = list(_places(view, own))
    if not places:
        return pointer
    there = pointer_to(view, places[int(rng.integers(len(places)))])
    meant = Meant(instance_numbers=pointer.instance_numbers, sop_uids=pointer.sop_uids)
    return dataclasses.replace(there, meant=meant)


def _places(view: SeriesView, own: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Where slices with the same distances lie that share none with `own`."""
    first, last = min(own), max(own)
    for start in range(len(view.instance_numbers) - (last - first)):
        place = tuple(start + index - first for index in own)
        if set(place).isdisjoint(own):
            yield place
