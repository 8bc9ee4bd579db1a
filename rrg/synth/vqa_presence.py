"""Is it there, which of these is there, and how many."""

from collections.abc import Mapping, Sequence

from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.records import Box
from rrg.synth import templates, terms
from rrg.synth.absences import pick
from rrg.synth.measure import Arrays
from rrg.synth.questions import CHOICES, Question, Said, choice_of_structures, yes_no
from rrg.synth.seen import Seen
from rrg.synth.templates import name, say

LESION = "lesion"
SMALLEST_SIDE_PX = 3
"""A lesion with a shorter box may be a crumb of another's outline: then nobody is asked how many there are."""
NONE_SHARE = 0.2
"""Share of the answer 0 where a kind that is there could be counted instead."""


def presence(label: str, yes: bool) -> Question:
    """Is the structure there?"""
    return Question(
        family="presence",
        type="closed",
        label=label,
        source="mask",
        needs_image=True,
        said=lambda lang, form: Said(templates.presence(label, lang, form), yes_no(yes, lang)),
    )


def which(right: str, wrong: Sequence[str], rng: Generator) -> Question | None:
    """One structure of the slice among absent ones."""
    if len(wrong) < CHOICES - 1:
        return None
    return choice_of_structures("which", right, pick(rng, [right, *wrong], CHOICES), right, needs_image=True)


def count(seen: Seen, rng: Generator, _arrays: Arrays | None) -> Question | None:
    """How many of three named structures are there."""
    present, absent = seen.shown, seen.missing
    possible = [n for n in range(4) if n <= len(present) and 3 - n <= len(absent)]
    if not possible:
        return None
    n = possible[int(rng.integers(len(possible)))]
    named = pick(rng, [*pick(rng, present, n), *pick(rng, absent, 3 - n)], 3)
    return Question(
        family="count",
        type="open",
        label="count",
        source="mask",
        needs_image=True,
        said=lambda lang, form: Said(
            say("count", lang, form, list=", ".join(name(label, lang) for label in named)), str(n)
        ),
    )


def _named(*prefixes: str) -> tuple[str, ...]:
    return tuple(label for label in LABELS if label.startswith(prefixes))


MEMBERS: Mapping[str, tuple[str, ...]] = {
    "kidneys": _named("kidney_left", "kidney_right"),
    "adrenal_glands": _named("adrenal_gland_"),
    "lungs": ("lung_left", "lung_right"),
    "lung_lobes": _named("lung_upper_lobe_", "lung_middle_lobe_", "lung_lower_lobe_"),
    "ribs": _named("rib_"),
    "scapulae": _named("scapula_"),
    "clavicles": _named("clavicula_"),
    "humeri": _named("humerus_"),
    "femora": _named("femur_"),
    "hip_bones": _named("hip_"),
}
"""Kind of `terms.KINDS` -> the structures that are counted, each of which is one."""


def count_of(seen: Seen, rng: Generator, _arrays: Arrays | None) -> Question | None:
    """How many of a kind are there: kidneys, ribs, lobes, lesions; where every one of them was looked for."""
    counted = {kind: n for kind, members in MEMBERS.items() if (n := _members(seen, members)) is not None}
    if (lesions := _lesions(seen)) is not None:
        counted["lesions"] = lesions
    some = [kind for kind, n in counted.items() if n]
    none = [kind for kind, n in counted.items() if not n]
    kinds = none if none and (not some or rng.random() < NONE_SHARE) else some
    if not kinds:
        return None
    kind = kinds[int(rng.integers(len(kinds)))]
    return Question(
        family="count-of",
        type="open",
        label=kind,
        source="mask",
        needs_image=True,
        said=lambda lang, form: Said(say("count-of", lang, form, kind=terms.KINDS[kind][lang]), str(counted[kind])),
    )


def _members(seen: Seen, members: Sequence[str]) -> int | None:
    """How many of the structures are there; None unless each is known to be there or not."""
    if all(label in seen.found or label in seen.absent for label in members):
        return sum(label in seen.found for label in members)
    return None


def _lesions(seen: Seen) -> int | None:
    """Connected regions of lesion; None when nobody looked, or one is too small to be sure."""
    if LESION in seen.absent:
        return 0
    if (found := seen.found.get(LESION)) is None or not found.components:
        return None
    return len(found.components) if all(map(_is_whole, found.components)) else None


def _is_whole(box: Box) -> bool:
    return min(box.x1 - box.x0, box.y1 - box.y0) >= SMALLEST_SIDE_PX
