"""The draft report of a study as a part of its page: each sentence knows the slices and boxes that it rests on."""

from collections.abc import Sequence
from typing import Any

from rrg.outputs.cards import Card
from rrg.outputs.page import Fragment, escape, section_name, words_of
from rrg.records import Prediction


def draft_fragment(summary: Prediction, answers: Sequence[Prediction], cards: Sequence[Card]) -> Fragment:
    """The panel above the slices. `cards` are those of `answers`, in their order, as `fragments` was given them.

    ``data-cites`` holds ``SECTION:MARK`` of every box behind a sentence, ``data-slices`` the sections it cites.
    """
    place = _marks_of(answers, cards)
    extra: dict[str, Any] = dict(summary.extra or {})
    body, kind = "", ""
    for told in extra["sentences"]:
        if told["kind"] != kind:
            body += ("</ul>" if kind else "") + f"<h3>{words_of(told['kind'])}</h3><ul>"
            kind = told["kind"]
        sections = [place[cite["from"]][0] for cite in told["cites"] if cite["from"] in place]
        marks = [f"{place[c['from']][0]}:{place[c['from']][1]}{m[1:]}" for c in told["cites"] for m in c["mentions"]]
        start, end = told["span"]
        body += _item(summary.text[start:end], sections, marks, summary.lang)
    body += "</ul>" if kind else f"<p>{words_of('no_statements')}</p>"
    if extra["contradictions"]:
        body += f'<h3 class="warn">{words_of("contradictions")}</h3><ul>'
        for each in extra["contradictions"]:
            sections = [place[name][0] for name in each["from"] if name in place]
            body += _item(each["text"], sections, [], summary.lang)
        body += "</ul>"
    every = " ".join(dict.fromkeys(section for section, _ in place.values()))
    return Fragment(
        f'<section class="draft" data-sections="{every}"><h2>{words_of("draft")}</h2>{body}</section>\n', ""
    )


def _item(text: str, sections: Sequence[str], marks: Sequence[str], lang: str) -> str:
    return (
        f'<li lang="{escape(lang)}" tabindex="0" role="button" data-slices="{" ".join(dict.fromkeys(sections))}" '
        f'data-cites="{" ".join(dict.fromkeys(marks))}">{escape(text)}</li>'
    )


def _marks_of(answers: Sequence[Prediction], cards: Sequence[Card]) -> dict[str, tuple[str, str]]:
    """Answer -> (section of its images, prefix of its marks there): cards are numbered within a section."""
    numbers: dict[tuple[str, ...], int] = {}
    found = {}
    for answer, card in zip(answers, cards, strict=True):
        key = tuple(image.ref for image in card.images)
        number = numbers.get(key, 0)
        numbers[key] = number + 1
        found[answer.id] = section_name(key), f"{number}a"
    return found
