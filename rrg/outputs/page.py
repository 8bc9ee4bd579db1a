"""One HTML file that shows slices with boxes beside the sentences that mean them. Nothing is loaded from outside."""

import base64
import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape as _escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

from rrg.errors import RrgError, plain_target
from rrg.outputs.cards import Card, Mark, Statement, of_prediction, sentences
from rrg.outputs.pictures import CT_PRESETS, Picture
from rrg.outputs.words import FLAGS, KINDS, WORDS
from rrg.provenance import rrg_version
from rrg.records import Prediction, Sample

COLOURS = 8
"""Phrases of one answer take turns with this many colours."""
BOX = "▢"
"""Stands for a box without a phrase."""
MAX_PAGE_BYTES = 64 * 1024 * 1024
"""Slices beyond this size of the page are counted, not shown: browsers must still open it."""


UNSHOWABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of the text around them."""


def escape(text: str) -> str:
    """Text for HTML, in elements and in quoted attributes; characters that can not be shown become U+FFFD."""
    return _escape(UNSHOWABLE.sub("\ufffd", text))


class Fragment(NamedTuple):
    """The HTML of one picture (or of several that were asked about together) and of its entry in the list."""

    section: str
    entry: str


def write_page(
    path: Path,
    predictions: Iterable[Prediction],
    pictures: Mapping[str, Picture],
    references: Mapping[str, Sample] | None = None,
    *,
    lang: str = "en",
    title: str | tuple[str, str] = "rrg",
    notice: Mapping[str, str] | None = None,
) -> None:
    """Write a page of predictions.

    `pictures` by image reference; `references` are samples by id, shown beside the answers. `notice` is the text per
    language that stands on top. The file is whole or absent. Raises RrgError(E_IO).
    """
    samples = references or {}
    cards = [of_prediction(prediction, samples.get(prediction.id)) for prediction in predictions]
    write_document(path, fragments(cards, pictures), lang=lang, title=title, notice=notice or {})


def fragments(cards: Sequence[Card], pictures: Mapping[str, Picture]) -> Iterator[Fragment]:
    """The cards by the images they are about, in order along the volume. Cards without a picture are left out."""
    groups: dict[tuple[str, ...], list[Card]] = {}
    for card in cards:
        key = tuple(image.ref for image in card.images)
        if key and all(ref in pictures for ref in key):
            groups.setdefault(key, []).append(card)

    def place(key: tuple[str, ...]) -> tuple[int, str, int]:
        first = pictures[key[0]]
        return first.series_number or 0, key[0].partition("#")[0], first.index or 0

    for key in sorted(groups, key=place):
        yield fragment(key, groups[key], [pictures[ref] for ref in key])


def write_document(
    path: Path,
    parts: Iterable[Fragment],
    *,
    lang: str,
    title: str | tuple[str, str],
    notice: Mapping[str, str],
    made_by: str = "",
    tools: str = "",
    extra: tuple[str, ...] = (),
) -> int:
    """Write the page; the number of pictures that did not fit is returned and said on the page.

    `title` may be given in (German, English). `tools` is HTML for the bar on top; `extra` are further style sheets and
    scripts of ``rrg/pages``. Raises RrgError(E_IO).
    """
    pages = files("rrg").joinpath("pages")
    css, js = (
        "".join(pages.joinpath(name).read_text(encoding="utf-8") for name in (first, *extra) if name.endswith(kind))
        for first, kind in (("page.css", ".css"), ("page.js", ".js"))
    )
    head, tail = pages.joinpath("page.html").read_text(encoding="utf-8").split("<!-- slices -->\n")
    titles = (title, title) if isinstance(title, str) else title
    entries: list[str] = []
    left_out = size = 0
    partial = plain_target(path, "--page").with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            banner = _both(notice.get("de", ""), notice.get("en", "")) if notice else ""
            values = {
                "lang": escape(lang),
                "title": escape(titles[0 if lang == "de" else 1]),
                "heading": _both(*titles),
                "csp": f"default-src 'none'; img-src data:; style-src {_hash(css)}; script-src {_hash(js)}; "
                "base-uri 'none'; form-action 'none'",
                "css": css,
                "tools": tools,
                "notice": f'<p class="notice" role="note">{banner}</p>' if banner else "",
                "windows": "".join(
                    f'<button type="button" data-window="{name}" aria-pressed="{str(name == CT_PRESETS[0]).lower()}">'
                    f"{_ui(name)}</button>"
                    for name in CT_PRESETS
                ),
                **{f"ui_{key}": _ui(key) for key in WORDS},
            }
            file.write(Template(head).substitute(values))
            for part in parts:
                if size + len(part.section) > MAX_PAGE_BYTES:
                    left_out += 1
                    continue
                file.write(part.section)
                if part.entry:
                    entries.append(part.entry)
                size += len(part.section)
            if not entries:
                file.write(f'<p class="empty">{_ui("nothing")}</p>\n')
            values |= {
                "entries": "".join(entries),
                "left_out": f"<p>{left_out} {_ui('left_out')}</p>" if left_out else "",
                "made_by": f"rrg {escape(rrg_version())}" + (f" · {escape(made_by)}" if made_by else ""),
                "js": js,
            }
            file.write(Template(tail).substitute(values))
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise RrgError(f"{path.name}: {error.strerror or error}; choose another --page", "E_IO") from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return left_out


def _hash(text: str) -> str:
    """Source expression that allows exactly this inline text (Content Security Policy, level 2)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _both(de: str, en: str) -> str:
    return f'<span class="ui"><span lang="de">{escape(de)}</span><span lang="en">{escape(en)}</span></span>'


def _ui(key: str) -> str:
    return _both(*WORDS[key])


def words_of(key: str) -> str:
    """Words of the interface in both languages, as HTML."""
    return _ui(key)


def section_name(key: tuple[str, ...]) -> str:
    """The id of the section of some images, by their references."""
    return "s" + hashlib.sha256("\n".join(key).encode()).hexdigest()[:10]


def fragment(
    key: tuple[str, ...], cards: Sequence[Card], pictures: Sequence[Picture], tail: str = "", about: str = ""
) -> Fragment:
    """One entry of the page, named by `key`; `tail` is HTML below its cards, `about` says in the list what it is."""
    name = section_name(key)
    first = pictures[0]
    place = " · ".join(_place(first))
    figures = "".join(_figure(number, picture, cards) for number, picture in enumerate(pictures))
    shown = "".join(_card(number, card) for number, card in enumerate(cards))
    section = (
        f'<section class="slice" id="{name}" tabindex="-1">\n<h2>{place}</h2>\n'
        f'<div class="pictures">{figures}</div>\n<div class="cards">{shown}{tail}</div>\n</section>\n'
    )
    told = [each for card in cards for each in (card.question, card.answer) if each is not None]
    boxes = sum(len(mark.boxes) for each in told for mark in each.marks)
    about = about or (
        f"{len(cards)} {_ui('statements' if len(cards) > 1 else 'statement')}, "
        f"{boxes} {_ui('boxes_noun' if boxes != 1 else 'box_noun')}"
    )
    entry = (
        f'<li><a href="#{name}"><img src="{first.thumbnail}" alt=""><span>{place}</span>'
        f'<span class="count">{about}</span></a></li>\n'
    )
    return Fragment(section, entry)


def _place(picture: Picture) -> Iterator[str]:
    if picture.modality:
        yield escape(picture.modality)
    if picture.series_number is not None:
        yield f"{_ui('series')} {picture.series_number}"
    if picture.number is not None:
        yield f"{_ui('image')} {picture.number}"
    if picture.index is not None:
        yield f"{_ui('slice')} {picture.index + 1}/{picture.count}"
    else:
        yield _ui("picture")


def _figure(number: int, picture: Picture, cards: Sequence[Card]) -> str:
    width, ratio = picture.columns, picture.height_per_width
    height = picture.rows * ratio
    images = "".join(
        f'<image class="window {escape(name)}" href="{uri}" width="{width}" height="{height:.6g}" '
        'preserveAspectRatio="none"/>'
        for name, uri in picture.windows.items()
    )
    layers = ""
    for at, card in enumerate(cards):
        image = card.images[number].id
        for group, told in (("answer", card.answer), ("reference", card.reference), ("question", card.question)):
            if told is not None and (drawn := _boxes(f"{at}{group[0]}", told, image, ratio, width)):
                layers += f'<g class="{group}" data-card="{at}">{drawn}</g>'
    letters = ""
    if picture.edges:
        sides = zip(picture.edges._fields, picture.edges, strict=True)
        letters = "".join(f'<span class="edge {side}">{letter}</span>' for side, letter in sides)
    return (
        f'<figure data-image="{number}"><div class="stage"><svg viewBox="0 0 {width} {height:.6g}" role="group" '
        f'aria-label="{escape(picture.modality or "")} {picture.columns} x {picture.rows}">{images}{layers}</svg>'
        f"{letters}</div></figure>"
    )


def _boxes(group: str, told: Statement, image: str, ratio: float, width: int) -> str:
    """Rectangles and name tags, large boxes first so that small ones stay reachable."""
    drawn = [
        (number, mark, box) for number, mark in enumerate(told.marks) for where, box in mark.boxes if where == image
    ]
    drawn.sort(key=lambda item: -(item[2].x1 - item[2].x0) * (item[2].y1 - item[2].y0))
    out, outlined = "", set[int]()
    for number, mark, box in drawn:
        name = escape(mark.phrase or "?") + ("" if mark.confidence is None else f" · {mark.confidence:.0%}")
        top = box.y0 * ratio
        size = width / 26
        if mark.outline and number not in outlined:  # one outline goes around all of its boxes
            outlined.add(number)
            out += (
                f'<path class="outline c{number % COLOURS}" data-m="{group}{number}" transform="scale(1 {ratio:.6g})" '
                f'd="{escape(mark.outline)}"/>'
            )
        out += (
            f'<rect class="box c{number % COLOURS}" data-m="{group}{number}" tabindex="0" role="img" '
            f'aria-label="{name}" x="{box.x0:.6g}" y="{top:.6g}" width="{box.x1 - box.x0:.6g}" '
            f'height="{(box.y1 - box.y0) * ratio:.6g}"><title>{name}</title></rect>'
            f'<text class="tag c{number % COLOURS}" data-m="{group}{number}" x="{box.x0:.6g}" '
            f'y="{top - size * 0.3 if top > size * 1.2 else top + size:.6g}" font-size="{size:.6g}">{name}</text>'
        )
    return out


def _card(number: int, card: Card) -> str:
    kind = _both(*KINDS[card.kind]) if card.kind in KINDS else escape(card.kind)
    flags = "".join(f' <span class="flag">{_both(*FLAGS.get(flag, (flag, flag)))}</span>' for flag in card.flags)
    if card.confidence is not None:
        flags += f' <span class="sure">{_ui("confidence")} {card.confidence:.0%}</span>'
    lang = f'lang="{escape(card.lang)}"'
    question = (
        f'<p class="question" {lang}>{_told(f"{number}q", card.question)}</p>'
        if card.question and card.question.text
        else ""
    )
    reference = ""
    if card.reference is not None:
        reference = (
            f'<div class="reference"><h4>{_ui("reference_noun")}</h4>'
            f"<p {lang}>{_told(f'{number}r', card.reference)}</p></div>"
        )
    empty = "" if card.answer.text or card.answer.marks else _ui("empty")
    return (
        f'<article class="card" data-card="{number}"><h3>{kind}{flags}</h3>{question}'
        f'<p class="answer" {lang}>{_told(f"{number}a", card.answer)}{empty}</p>{reference}</article>\n'
    )


def _told(group: str, told: Statement) -> str:
    """A text as HTML: sentences, in them phrases, each linked to its boxes; phrases without a place come last."""
    out = ""
    placed = [(mark.span, number, mark) for number, mark in enumerate(told.marks) if mark.span]
    spans = sentences(told.text) or [(0, 0)]
    for start, end in spans:
        last_one = end == spans[-1][1]
        inside = [item for item in placed if start <= item[0][0] < end or (last_one and item[0][0] == end)]
        body, at = "", start
        for (first, last), number, mark in inside:
            body += escape(told.text[at:first]) + _mark(group, number, mark, told.text[first:last] or BOX)
            at = last
        links = " ".join(f"{group}{number}" for _, number, mark in inside if mark.boxes)
        out += f'<span class="sentence" data-links="{links}">{body}{escape(told.text[at:end])}</span>'
    loose = [(number, mark) for number, mark in enumerate(told.marks) if not mark.span]
    return out + "".join(" " + _mark(group, number, mark, mark.phrase or BOX) for number, mark in loose)


def _mark(group: str, number: int, mark: Mark, text: str) -> str:
    if not mark.boxes:
        return f'<span class="unplaced">{escape(text)}</span>'
    return f'<mark class="c{number % COLOURS}" data-m="{group}{number}" tabindex="0">{escape(text)}</mark>'
