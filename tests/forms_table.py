"""The German forms of every structure and every template, as one page to read: docs/forms.de.md (`make forms`)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from rrg.anatomy import LABELS, Article, Case, de_in, de_phrase
from rrg.synth import templates, terms
from rrg.synth.report_facts import LESION_LABELS, NAMES, NAMES_ITS_PLACE, OF_ITS_PLACE, Fact
from rrg.synth.templates import FORMS, fields, presence, say

ARTICLES: tuple[Article, ...] = ("definite", "indefinite", "negative")
OF_A_STRUCTURE = ("presence", "detect", "extent", "area", "diameter", "density", "finding-in", "finding-what")
"""Families whose German sentences hold the name of a structure."""
SHOWN_IN_ALL_FORMS = ("stomach", "liver", "pancreas", "heart", "intervertebral_discs", "portal_vein_and_splenic_vein")
OF_A_LIST = {
    "is-modality": terms.MODALITIES,
    "is-plane": terms.PLANES,
    "is-region": terms.REGIONS,
    "is-phase": terms.PHASES,
    "is-sequence": terms.SEQUENCES,
    "is-window": terms.WINDOWS,
}


def page() -> str:
    """The whole page."""
    parts = (
        [
            "# German forms",
            "",
            "Made by `make forms`; a test keeps it equal to what the code says. For reading by eye.",
        ],
        ["## Cases", "", *_table(("structure", *_columns(), "where"), _cases())],
        ["## Sentences", "", *_table(("structure", *OF_A_STRUCTURE), _sentences())],
        ["## Every form of the families with a structure", "", *_all_forms()],
        ["## Words of closed lists", "", *_lists()],
        ["## Other families", "", *_others()],
        ["## Findings", "", *_table(("finding", "in a structure", "where", "how large"), _findings())],
    )
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _columns() -> Iterator[str]:
    for article in ARTICLES:
        for case in get_args(Case):
            yield f"{article} {case}"


def _cases() -> Iterator[Sequence[str]]:
    for label in LABELS:
        cells = [de_phrase(label, case, article) for article in ARTICLES for case in get_args(Case)]
        yield label, *cells, de_in(label)


def sentence(family: str, label: str, form: int = 0) -> str:
    """One German sentence of a family about a structure."""
    if family == "presence":
        return presence(label, "de", form)
    if family in ("finding-in", "finding-what") and label in LESION_LABELS:
        return "-"
    lesion = Fact("lesion", True, (label,), (), ()).accusative("de")
    given = {"along": terms.EXTENTS[0]["de"], "finding": lesion, "place": fields(label, "de")["in"]}
    return say(family, "de", form, **fields(label, "de"), **given)


def _sentences() -> Iterator[Sequence[str]]:
    for label in LABELS:
        yield label, *(sentence(family, label) for family in OF_A_STRUCTURE)


def _all_forms() -> Iterator[str]:
    for label in SHOWN_IN_ALL_FORMS:
        for family in OF_A_STRUCTURE:
            for form in range(templates.forms(family, "de")):
                yield f"- {sentence(family, label, form)}"


def _lists() -> Iterator[str]:
    for family, words in OF_A_LIST.items():
        for term in words.values():
            yield from (f"- {say(family, 'de', form, term=term['de'].asked)}" for form in range(_n(family)))
            yield f"- {say(family.removeprefix('is-'), 'de')} - {term['de'].answer}"
    for kind in terms.KINDS.values():
        yield from (f"- {say('count-of', 'de', form, kind=kind['de'])}" for form in range(_n("count-of")))
    yield from (f"- {say('position', 'de', direction=direction['de'])}" for direction in terms.DIRECTIONS.values())
    yield from (
        f"- {say('extent', 'de', form, along=along['de'], **fields('liver', 'de'))}"
        for along in terms.EXTENTS
        for form in range(_n("extent"))
    )
    yield f"- {say('contrast-which', 'de')} - {', '.join(each['de'].answer for each in terms.CONTRAST.values())}"


def _n(family: str) -> int:
    return templates.forms(family, "de")


def _others() -> Iterator[str]:
    told = (
        *OF_A_STRUCTURE,
        *OF_A_LIST,
        "count-of",
        "position",
        "contrast-which",
        "finding",
        "finding-where",
        "finding-size",
    )
    for family in FORMS:
        if family not in told:
            given = {"phrase": "Leberzyste", "box": "(Kasten)", "list": "Leber, linke Niere, LWK 3"}
            yield from (f"- {family}: {say(family, 'de', form, **given)}" for form in range(_n(family)))


def _findings() -> Iterator[Sequence[str]]:
    for name in NAMES:
        fact = Fact(name, True, (), (), ())
        place = fields("aorta", "de")["des" if name in OF_ITS_PLACE else "in"]
        found = fact.accusative("de")
        yield (
            name,
            say("finding", "de", finding=found)
            if name in NAMES_ITS_PLACE
            else say("finding-in", "de", finding=found, place=place),
            say("finding-where", "de", finding=fact.definite("de")),
            say("finding-size", "de", finding=fact.definite("de")),
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(page(), end="")
