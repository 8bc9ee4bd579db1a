"""How large, how dense: questions whose answer is a number with a unit and a tolerance."""

from numpy.random import Generator

from rrg.records import Quantity
from rrg.synth import measure, terms
from rrg.synth.absences import pick
from rrg.synth.measure import Arrays
from rrg.synth.questions import Question, Said
from rrg.synth.seen import Found, Seen
from rrg.synth.templates import fields, say


def extent(seen: Seen, rng: Generator, _arrays: Arrays | None) -> Question | None:
    """How far a structure goes along an axis of the patient, in mm."""
    for found in _whole(seen, rng):
        if sizes := measure.extents_mm(seen.slice, found.box):
            axis = sorted(sizes)[int(rng.integers(len(sizes)))]
            quantity = measure.length("extent", sizes[axis], _spacing(seen))
            return _measured("extent", found, quantity, axis)
    return None


def area(seen: Seen, rng: Generator, _arrays: Arrays | None) -> Question | None:
    """What area a structure covers, in mm2 or cm2."""
    for found in _whole(seen, rng, several=True):
        value = measure.area_mm2(seen.slice, found.area_px)
        return _measured("area", found, measure.area("area", value, _spacing(seen)))
    return None


def diameter(seen: Seen, rng: Generator, arrays: Arrays | None) -> Question | None:
    """The longest diameter of a structure, in mm."""
    if arrays is None:
        return None
    for found in _whole(seen, rng):
        mask = arrays.mask(found)
        if mask.any():
            value = measure.longest_diameter_mm(mask, _spacing(seen))
            return _measured("diameter", found, measure.length("diameter", value, _spacing(seen)))
    return None


def density(seen: Seen, rng: Generator, arrays: Arrays | None) -> Question | None:
    """The mean CT number of a structure, in HU."""
    if arrays is None or seen.slice.unit != "HU":
        return None
    for label in pick(rng, seen.shown, 3):
        found = seen.found[label]
        if (value := arrays.mean_hu(found)) is not None:
            return _measured("density", found, measure.density("density", value))
    return None


def _whole(seen: Seen, rng: Generator, *, several: bool = False) -> list[Found]:
    """Structures that the border does not cut, in random order; in one piece unless `several` pieces may count."""
    labels = pick(rng, seen.shown, len(seen.found))
    whole = [found for label in labels if measure.can_measure(seen.slice, (found := seen.found[label]).box)]
    return [found for found in whole if several or len(found.components) == 1]


def _spacing(seen: Seen) -> tuple[float, float]:
    assert seen.slice.spacing_mm is not None
    return seen.slice.spacing_mm


def _measured(family: str, found: Found, quantity: Quantity, axis: int | None = None) -> Question:
    """`axis`: the patient axis that an extent runs along."""
    return Question(
        family=family,
        type="open",
        label=found.label,
        source="mask",
        needs_image=True,
        said=lambda lang, form: Said(
            say(family, lang, form, **fields(found.label, lang), along=terms.EXTENTS[axis or 0][lang]),
            measure.in_words(quantity, lang),
        ),
        measured=(quantity,),
    )
