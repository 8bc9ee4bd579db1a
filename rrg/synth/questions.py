"""A question about a slice in every language, and the sample that it becomes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from numpy.random import Generator

from rrg.records import Lang, Quantity, Sample
from rrg.synth import templates, terms
from rrg.synth.absences import pick
from rrg.synth.samples import sample
from rrg.synth.seen import Seen
from rrg.synth.templates import name, say, with_choices
from rrg.synth.terms import Terms

EASY_WEIGHT = 0.25
"""Training weight of questions that do not need the image, such as those on the header: they are learnt at once."""
CHOICES = 4


@dataclass(frozen=True)
class Said:
    """A question in one language."""

    question: str
    answer: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question about a slice, in every language."""

    family: str
    """Its key in `templates.FORMS`."""
    type: Literal["open", "closed", "single"]
    label: str
    """What it asks about: a class, a pair of classes, a finding, a value of the header."""
    source: Literal["mask", "report", "header"]
    needs_image: bool | None
    """False where knowledge of anatomy is enough; None where it often is, or a data set may have one answer only."""
    said: Callable[[Lang, int], Said]
    """(language, form) -> the words."""
    reports: tuple[str, ...] = ()
    measured: tuple[Quantity, ...] = ()
    """What the answer gives in numbers."""
    preset: str | None = None
    """Window that the picture must be shown in."""


def sample_of(seen: Seen, question: Question, lang: Lang, form: int) -> Sample:
    """The sample of a question about a slice."""
    said = question.said(lang, form)
    return sample(
        seen,
        task="vqa",
        lang=lang,
        question=templates.escape(with_choices(said.question, said.choices) if said.choices else said.question),
        answer_text=templates.escape(said.answer),
        template=f"{question.family}/{form}",
        facets={"source": question.source, "question": question.family, "label": question.label},
        reports=question.reports,
        preset=question.preset,
        question_type=question.type,
        choices=said.choices,
        answer=said.answer,
        measurements=question.measured,
        needs_image=question.needs_image,
        weight=1.0 if question.needs_image else EASY_WEIGHT,
    )


def yes_no(yes: bool, lang: Lang) -> str:
    """The answer to a closed question."""
    return terms.YES[lang] if yes else terms.NO[lang]


def choice_of_structures(
    family: str,
    label: str,
    choices: Sequence[str],
    answer: str,
    *,
    needs_image: bool | None,
    **words: Mapping[Lang, str],
) -> Question:
    """A choice between structures (or ``both``); `words` are further fields of the form."""

    def called(choice: str, lang: Lang) -> str:
        return terms.BOTH[lang] if choice == "both" else name(choice, lang)

    return Question(
        family=family,
        type="single",
        label=label,
        source="mask",
        needs_image=needs_image,
        said=lambda lang, form: Said(
            say(family, lang, form, **{key: word[lang] for key, word in words.items()}),
            called(answer, lang),
            tuple(called(choice, lang) for choice in choices),
        ),
    )


def of_a_list(
    family: str,
    words: Terms,
    answer: str,
    wrong: Sequence[str],
    rng: Generator,
    *,
    needs_image: bool | None = None,
    preset: str | None = None,
) -> Question:
    """A question whose answer is a word of a closed list: open, as a choice, or yes/no about one word of it.

    `wrong`: words that are certainly not the answer. Without any it can be asked openly, or with the answer yes.
    """
    kind = ("open", "single", "closed")[int(rng.integers(3))]
    if kind == "single" and not wrong:
        kind = "open"
    if kind == "closed":
        asked = wrong[int(rng.integers(len(wrong)))] if wrong and rng.random() < 0.5 else answer
        return Question(
            family=f"is-{family}",
            type="closed",
            label=asked,
            source="header",
            needs_image=needs_image,
            said=lambda lang, form: Said(
                say(f"is-{family}", lang, form, term=words[asked][lang].asked), yes_no(asked == answer, lang)
            ),
            preset=preset,
        )
    offered = pick(rng, [answer, *pick(rng, wrong, CHOICES - 1)], CHOICES) if kind == "single" else []
    return Question(
        family=family,
        type="single" if offered else "open",
        label=family,
        source="header",
        needs_image=needs_image,
        said=lambda lang, form: Said(
            say(family, lang, form),
            words[answer][lang].answer,
            tuple(words[choice][lang].answer for choice in offered),
        ),
        preset=preset,
    )
