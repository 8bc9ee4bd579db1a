"""What the DICOM header answers: modality, plane, region, contrast, phase, MR sequence; and the picture's window."""

from collections.abc import Iterator, Sequence

from numpy.random import Generator

from rrg.records import Slice
from rrg.synth import terms
from rrg.synth.questions import Question, Said, of_a_list, yes_no
from rrg.synth.templates import say

FAMILIES = ("modality", "plane", "region", "contrast", "phase", "sequence", "window")
WINDOW_SHARE = 0.1
"""Share of CT slices with a question about the window: each needs a picture of its own."""


def header(slice_: Slice, rng: Generator, families: Sequence[str] = FAMILIES) -> Iterator[Question]:
    """One question of each of the `families` that the header answers."""
    for family in FAMILIES:
        if family in families and (question := _MAKERS[family](slice_, rng)) is not None:
            yield question


def _modality(slice_: Slice, rng: Generator) -> Question | None:
    if slice_.modality not in terms.MODALITIES:
        return None
    return of_a_list("modality", terms.MODALITIES, slice_.modality, _others(terms.MODALITIES, slice_.modality), rng)


def _plane(slice_: Slice, rng: Generator) -> Question | None:
    plane = slice_.plane
    if plane not in terms.PLANES or plane is None:
        return None
    return of_a_list("plane", terms.PLANES, plane, _others(terms.PLANES, plane), rng)


def _region(slice_: Slice, rng: Generator) -> Question | None:
    """Which region was examined. Neighbours are no wrong answers: a scan often shows them, whatever it is called."""
    region = slice_.body_part or ""
    if region not in terms.REGIONS:
        return None
    start, end = terms.STRETCH[region]
    far = [name for name, (first, last) in terms.STRETCH.items() if first - end >= 2 or start - last >= 2]
    return of_a_list("region", terms.REGIONS, region, far, rng)


def _contrast(slice_: Slice, rng: Generator) -> Question | None:
    given = slice_.contrast
    if given is None or slice_.modality not in ("CT", "MR") or _contradicts(slice_):
        return None
    if rng.random() < 0.5:
        return Question(
            family="contrast",
            type="closed",
            label="contrast",
            source="header",
            needs_image=None,
            said=lambda lang, form: Said(say("contrast", lang, form), yes_no(given, lang)),
        )
    offered = ["with", "without"] if rng.random() < 0.5 else ["without", "with"]
    answer = "with" if given else "without"
    single = bool(rng.integers(2))
    return Question(
        family="contrast-which",
        type="single" if single else "open",
        label="contrast",
        source="header",
        needs_image=None,
        said=lambda lang, form: Said(
            say("contrast-which", lang, form),
            terms.CONTRAST[answer][lang].answer,
            tuple(terms.CONTRAST[each][lang].answer for each in offered) if single else (),
        ),
    )


def _phase(slice_: Slice, rng: Generator) -> Question | None:
    phase = slice_.contrast_phase
    if phase is None or slice_.modality not in ("CT", "MR") or _contradicts(slice_):
        return None
    return of_a_list("phase", terms.PHASES, phase, _others(terms.PHASES, phase), rng)


def _contradicts(slice_: Slice) -> bool:
    """Contrast agent in a native phase, or an enhanced phase without: the header is wrong somewhere."""
    if slice_.contrast is None or slice_.contrast_phase is None:
        return False
    return slice_.contrast == (slice_.contrast_phase == "native")


def _sequence(slice_: Slice, rng: Generator) -> Question | None:
    sequence = slice_.sequence
    if sequence is None or slice_.modality != "MR":
        return None
    alike = frozenset().union(*(group for group in terms.ALIKE_SEQUENCES if sequence in group), {sequence})
    return of_a_list("sequence", terms.SEQUENCES, sequence, [s for s in terms.SEQUENCES if s not in alike], rng)


def _window(slice_: Slice, rng: Generator) -> Question | None:
    """Asked of a picture that is shown in the window, whatever window the model's other pictures have."""
    if slice_.unit != "HU" or rng.random() >= WINDOW_SHARE:
        return None
    names = [name for name in terms.WINDOWS if name != "brain" or slice_.body_part in ("BRAIN", "HEAD")]
    shown = names[int(rng.integers(len(names)))]
    wrong = [name for name in names if name != shown]
    return of_a_list("window", terms.WINDOWS, shown, wrong, rng, needs_image=True, preset=shown)


def _others(words: terms.Terms, answer: str) -> list[str]:
    return [word for word in words if word != answer]


_MAKERS = {
    "modality": _modality,
    "plane": _plane,
    "region": _region,
    "contrast": _contrast,
    "phase": _phase,
    "sequence": _sequence,
    "window": _window,
}
