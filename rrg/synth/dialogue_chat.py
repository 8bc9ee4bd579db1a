"""A conversation about a slice before it is a sample, and what its turns are made of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.records import Lang, Mention, Part, Report, Sample, Turn
from rrg.synth import dialogue_templates, templates
from rrg.synth.dialogue_templates import saying
from rrg.synth.facts import Said, Study
from rrg.synth.questions import EASY_WEIGHT
from rrg.synth.report_facts import NAMES_ITS_PLACE, OF_ITS_PLACE, Fact, facts_of
from rrg.synth.samples import sample
from rrg.synth.seen import Seen
from rrg.synth.snippets import snippet


class Exchange(NamedTuple):
    """What the user says and what is answered. Texts of parts: braces of data are escaped."""

    user: str
    assistant: str
    loss: bool = True


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A conversation about one slice."""

    seen: Seen
    task: str
    exchanges: tuple[Exchange, ...]
    """The last one is the task's."""
    reports: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()
    facts: tuple[Fact, ...] = ()
    type: Literal["open", "closed"] | None = None
    """Of the last question, where its answer is short."""
    needs_image: bool | None = None
    facets: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def plain(text: str) -> str:
    """A text of parts without placeholders as it is read."""
    return text.replace("{{", "{").replace("}}", "}")


def sample_of(chat: Chat, lang: Lang) -> Sample:
    """The sample of a conversation, without an id as `rrg.synth.samples.sample` makes it."""
    last = chat.exchanges[-1]
    bare = sample(
        chat.seen,
        task=chat.task,
        lang=lang,
        question=last.user,
        answer_text=last.assistant,
        template=f"dialogue/{chat.task}",
        facets={"source": "report" if chat.reports else "header", "question": chat.task, **chat.facets},
        reports=chat.reports,
        mentions=chat.mentions,
        provenance={"dialogue_templates": dialogue_templates.version(), **chat.provenance},
        findings=structured(chat.facts),
        question_type=chat.type,
        answer=plain(last.assistant),
        needs_image=chat.needs_image,
        weight=1.0 if chat.reports else EASY_WEIGHT,
    )
    return replace(bare, turns=tuple(_turns(chat.exchanges)))


def _turns(exchanges: Sequence[Exchange]) -> Iterator[Turn]:
    for number, each in enumerate(exchanges):
        image = (Part(type="image", ref="i0"),) if number == 0 else ()
        yield Turn(role="user", content=(*image, Part(type="text", text=each.user)))
        yield Turn(role="assistant", content=(Part(type="text", text=each.assistant),), loss=each.loss)


def structured(facts: Sequence[Fact]) -> dict[str, Any]:
    """`Sample.findings`: name -> state, structures, size; of several of one name a list."""
    found: dict[str, list[dict[str, Any]]] = {}
    for fact in facts:
        one: dict[str, Any] = {"state": "present" if fact.present else "absent", "labels": list(fact.labels)}
        if fact.size_mm:
            one["size_mm"] = list(fact.size_mm)
        found.setdefault(fact.name, []).append(one)
    return {name: each[0] if len(each) == 1 else each for name, each in sorted(found.items())}


class Spoken(NamedTuple):
    """The sentences of one report about a slice, as they stand today: nothing of earlier studies."""

    report: Report
    numbers: tuple[int, ...]
    """Indices of sentences, in text order."""
    sentences: tuple[str, ...]
    """Their texts without slice references."""

    @property
    def text(self) -> str:
        """All of them."""
        return " ".join(self.sentences)


def spoken_on(study: Study, seen: Seen, lang: Lang) -> Spoken | None:
    """What the first report of the language says of the slice; None when it says nothing."""
    said = [each for each in study.said.get(seen.slice.id, ()) if is_plain(each, lang)]
    if not said:
        return None
    report = said[0].report
    numbers = tuple(each.sentence for each in said if each.report.id == report.id)
    kept = [(number, text) for number in numbers if (text := snippet(report, (number,)).plain)]
    return Spoken(report, tuple(n for n, _ in kept), tuple(text for _, text in kept)) if kept else None


def is_plain(said: Said, lang: Lang) -> bool:
    """A sentence of the language that states what there is, compares with nothing and is not in dispute."""
    report, number = said
    sentence = report.sentences[number]
    return (
        sentence.lang == lang
        and not sentence.prior
        and not sentence.disputed
        and all(each.time == "current" and each.change is None for each in report.findings if each.sentence == number)
        and not any(each.prior for each in report.anatomy if each.sentence == number)
        and not any(each.prior for each in report.measurements if each.sentence == number)
        and not any(each.prior for each in report.references if each.sentence == number)
    )


def facts_on(study: Study, seen: Seen) -> tuple[Fact, ...]:
    """What the plain sentences of all reports state or deny of the slice."""
    said = study.said.get(seen.slice.id, ())
    plain_ones = [each for each in said if is_plain(each, each.report.sentences[each.sentence].lang)]
    sided = {
        finding.name
        for each in plain_ones
        for finding in each.report.findings
        if finding.sentence == each.sentence and finding.state == "absent" and finding.side in ("left", "right")
    }
    return tuple(fact for fact in facts_of(plain_ones) if fact.present or fact.name not in sided or _names_side(fact))


def _names_side(fact: Fact) -> bool:
    """The words of a denial say its side; else "no effusion on the left" would become "no effusion"."""
    return fact.name not in NAMES_ITS_PLACE and any(LABELS[label].side for label in fact.labels)


def opened(
    study: Study, seen: Seen, lang: Lang, rng: Generator, *, always: bool = False
) -> tuple[tuple[Exchange, ...], bool]:
    """Half of the conversations begin with the report of the slice: it was written before, and is not learnt here."""
    spoken = spoken_on(study, seen, lang)
    asked, with_report = saying("report", lang, rng), rng.random() < 0.5 or always
    if spoken is None or not with_report:
        return (), False
    return (Exchange(asked, templates.escape(spoken.text), loss=False),), True


def place(fact: Fact, lang: Lang, *, inside: bool = False) -> str:
    """ "in der Leber", "der Aorta", "in der Leber oder in der Milz"; empty where the name of the finding says it.

    `inside`: "in der Aorta", also where the name of the finding would take "der Aorta".
    """
    if fact.name in NAMES_ITS_PLACE:
        return ""
    where = [
        templates.fields(label, lang)["des" if fact.name in OF_ITS_PLACE and not inside else "in"]
        for label in fact.labels
    ]
    return _BETWEEN[lang][not fact.present].join(where)


_BETWEEN: Mapping[Lang, tuple[str, str]] = {"en": (" and ", " or "), "de": (" und ", " oder ")}
"""Of places where something is, and where nothing is."""


def what(fact: Fact, lang: Lang) -> str:
    """ "eine Zyste in der Leber", as the object of a verb."""
    return " ".join(part for part in (fact.accusative(lang), place(fact, lang)) if part)


def no_what(fact: Fact, lang: Lang) -> str:
    """ "keine Zyste in der Leber"; English has no need of it."""
    said = what(fact, lang)
    return (
        f"k{said}" if said.startswith(("ein ", "eine ", "einen ")) else f"{_NO_ARTICLE.get(fact.name, 'keine')} {said}"
    )


_NO_ARTICLE = {"ascites": "keinen", "sludge": "keinen"}
"""German names without an article that are not feminine."""


def line(fact: Fact, lang: Lang) -> str:
    """ "Zyste (Leber), 24 mm": a finding in a list."""
    where = ", ".join(templates.name(label, lang) for label in fact.labels)
    known = f"{fact.called(lang)} ({where})" if where and fact.name not in NAMES_ITS_PLACE else fact.called(lang)
    return f"{known}, {fact.size(lang)}" if fact.size_mm else known
