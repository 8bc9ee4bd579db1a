"""Gold files (docs/gold.md): what texts say, written down by people. Quoted pieces become spans."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from rrg.anatomy import LABELS
from rrg.errors import RrgError
from rrg.records import Anatomy, Finding, Lang, Measurement, Reference, Section, Span

T = TypeVar("T")
_LEVEL = re.compile(r"C[1-7]|T(?:[1-9]|1[0-2])|L[1-5]|S1|R(?:[1-9]|1[0-2])")
_LISTS = ("anatomy", "findings", "measurements", "references", "sections", "sentences")
_FIELDS = {
    "anatomy": "at nth classes side negated prior absent levels",
    "findings": "at nth name state certainty time change experiencer side count multiple where sizes",
    "measurements": "at nth mm prior",
    "references": "at nth series images prior open_end",
    "sections": "at nth kind heading",
}
_TYPES: dict[str, Any] = {**get_type_hints(Finding), **get_type_hints(Section), **get_type_hints(Anatomy)}
_TYPES["absent"] = _TYPES["absent_why"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldSection:
    """A section as it should be found."""

    kind: str
    start: int
    """Of the content."""
    heading: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldText:
    """A text and every fact that it states, as records; their ``sentence`` is always 0."""

    id: str
    lang: Lang
    text: str
    anatomy: tuple[Anatomy, ...] = ()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    references: tuple[Reference, ...] = ()
    sections: tuple[GoldSection, ...] | None = None
    """None: not written down, so not scored."""
    sentences: tuple[Span, ...] | None = None


class _WrongError(Exception):
    """What is wrong with a line; becomes the one line for the user."""


def read_gold(paths: Iterable[Path]) -> tuple[GoldText, ...]:
    """All texts of gold files, in order. RrgError names file, line and id of the first that is wrong."""
    found: list[GoldText] = []
    wrong: list[str] = []
    seen: dict[str, str] = {}
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise RrgError(f"--evaluate {path}: {_reason(error)}; give gold files, as docs/gold.md says") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            name = ""
            try:
                body = _json(line)
                name = f" {body['id']}:" if isinstance(body.get("id"), str) else ""
                made = _text(body)
                if made.id in seen:
                    raise _WrongError(f"the id stands in {seen[made.id]} already; give each text its own")
                seen[made.id] = f"{path.name}:{number}"
                found.append(made)
            except _WrongError as error:
                wrong.append(f"{path}:{number}:{name} {error}")
    if wrong:
        more = f" (and {len(wrong) - 1} more lines are wrong)" if len(wrong) > 1 else ""
        raise RrgError(wrong[0] + more)
    if not found:
        raise RrgError("--evaluate: the gold files hold no text; expected JSON lines, as docs/gold.md says")
    return tuple(found)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "can not be read" if isinstance(error, OSError) else "is no UTF-8 text"


def _json(line: str) -> dict[str, Any]:
    try:
        body = json.loads(line)
    except json.JSONDecodeError as error:
        raise _WrongError(f"no JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(body, dict):
        raise _WrongError("expected a JSON object")
    return body


def _text(body: Mapping[str, Any]) -> GoldText:
    known = {"id", "lang", "text", "note", *_LISTS}
    if extra := sorted(set(body) - known):
        raise _WrongError(f"unknown field {extra[0]!r}; expected {', '.join(sorted(known))}")
    for field in ("id", "lang", "text"):
        if not isinstance(body.get(field), str) or not body[field]:
            raise _WrongError(f"{field} is missing or no text")
    if body["lang"] not in get_args(Lang):
        raise _WrongError(f"lang is {body['lang']!r}; expected de or en")
    text, lang = body["text"], body["lang"]
    anatomy = tuple(_each(body, "anatomy", text, _anatomy))
    measurements = tuple(_each(body, "measurements", text, _measurement))

    def finding(text: str, span: Span, entry: Mapping[str, Any]) -> Finding:
        return _finding(text, span, entry, anatomy, measurements)

    return GoldText(
        id=body["id"],
        lang=lang,
        text=text,
        anatomy=anatomy,
        findings=tuple(_each(body, "findings", text, finding)),
        measurements=measurements,
        references=tuple(_each(body, "references", text, _reference)),
        sections=tuple(_each(body, "sections", text, _section)) if "sections" in body else None,
        sentences=tuple(_sentences(body["sentences"], text)) if "sentences" in body else None,
    )


def _each(
    body: Mapping[str, Any], name: str, text: str, make: Callable[[str, Span, Mapping[str, Any]], T]
) -> Iterator[T]:
    entries = body.get(name, [])
    if not isinstance(entries, list):
        raise _WrongError(f"{name} is no list")
    spans: set[tuple[Span, Any]] = set()
    for number, entry in enumerate(entries, 1):
        where = f"{name} {number}"
        if not isinstance(entry, dict):
            raise _WrongError(f"{where} is no object")
        if extra := sorted(set(entry) - set(_FIELDS[name].split())):
            raise _WrongError(f"{where}: unknown field {extra[0]!r}; expected {', '.join(_FIELDS[name].split())}")
        try:
            span = _place(text, entry)
            if (span, entry.get("name")) in spans:
                raise _WrongError(f"{entry['at']!r} stands in the list twice; say nth for another place")
            spans.add((span, entry.get("name")))
            yield make(text, span, entry)
        except _WrongError as error:
            raise _WrongError(f"{where}: {error}") from None
        except (TypeError, ValueError) as error:
            raise _WrongError(f"{where}: {error}") from None


def _place(text: str, entry: Mapping[str, Any]) -> Span:
    """The span of a quoted piece. White space in the quote stands for any white space."""
    at, nth = entry.get("at"), entry.get("nth", 1)
    if not isinstance(at, str) or not at.strip():
        raise _WrongError("at is missing; quote a piece of the text")
    if not isinstance(nth, int) or isinstance(nth, bool) or nth < 1:
        raise _WrongError(f"nth is {nth!r}; expected a number from 1")
    start = -1
    for _ in range(nth):
        start = text.find(at, start + 1)
        if start < 0:
            seen = text.count(at)
            raise _WrongError(f"{at!r} stands {seen} times in the text, and not {nth}; quote it as it stands")
    return start, start + len(at)


def _word(entry: Mapping[str, Any], field: str, default: Any) -> Any:
    """A value of a closed list, as the record's field defines it."""
    value = entry.get(field, default)
    allowed = [each for part in (_TYPES[field], *get_args(_TYPES[field])) for each in get_args(part)]
    words = [each for each in allowed if isinstance(each, str)]
    if (value is not None and value not in words) or (value is None and default is not None):
        raise _WrongError(f"{field} is {value!r}; expected {', '.join(words)}")
    return value


def _flag(entry: Mapping[str, Any], field: str) -> bool:
    value = entry.get(field, False)
    if not isinstance(value, bool):
        raise _WrongError(f"{field} is {value!r}; expected true or false")
    return value


def _numbers(entry: Mapping[str, Any], field: str, kind: Any) -> list[Any]:
    values = entry.get(field)
    if not isinstance(values, list) or not values:
        raise _WrongError(f"{field} is {values!r}; expected a list of numbers")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, kind) or not value > 0:
            raise _WrongError(f"{field} holds {value!r}; expected positive numbers")
    return values


def _anatomy(text: str, span: Span, entry: Mapping[str, Any]) -> Anatomy:
    classes, levels = entry.get("classes"), entry.get("levels", [])
    if not isinstance(classes, list) or not classes:
        raise _WrongError(f"classes is {classes!r}; expected names of rrg/lexicon/anatomy.tsv")
    for name in classes:
        if name not in LABELS:
            raise _WrongError(f"no structure is named {name!r}; expected names of rrg/lexicon/anatomy.tsv")
    for level in levels:
        if not isinstance(level, str) or not _LEVEL.fullmatch(level):
            raise _WrongError(f"levels holds {level!r}; expected C1..C7, T1..T12, L1..L5, S1, R1..R12")
    why = _word(entry, "absent", None)
    return Anatomy(
        span=span,
        sentence=0,
        classes=tuple(classes),
        side=_word(entry, "side", None),
        negated=_flag(entry, "negated"),
        prior=_flag(entry, "prior"),
        absent=why is not None,
        absent_why=why,
        levels=tuple(levels),
    )


def _measurement(text: str, span: Span, entry: Mapping[str, Any]) -> Measurement:
    mm = _numbers(entry, "mm", (int, float))
    return Measurement(span=span, value_mm=tuple(float(each) for each in mm), prior=_flag(entry, "prior"))


def _reference(text: str, span: Span, entry: Mapping[str, Any]) -> Reference:
    series = entry.get("series")
    if series is not None and (isinstance(series, bool) or not isinstance(series, int)):
        raise _WrongError(f"series is {series!r}; expected a number or null")
    return Reference(
        span=span,
        sentence=0,
        image_numbers=tuple(_numbers(entry, "images", int)),
        series_number=series,
        prior=_flag(entry, "prior"),
        open_end=_flag(entry, "open_end"),
    )


def _finding(
    text: str,
    span: Span,
    entry: Mapping[str, Any],
    anatomy: Sequence[Anatomy],
    measurements: Sequence[Measurement],
) -> Finding:
    name, count = entry.get("name"), entry.get("count")
    if not isinstance(name, str) or not name:
        raise _WrongError("name is missing; expected the canonical English name")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
        raise _WrongError(f"count is {count!r}; expected a number or null")
    places = _links(text, span, entry, "where", [each.span for each in anatomy])
    sizes = _links(text, span, entry, "sizes", [each.span for each in measurements])
    return Finding(
        span=span,
        sentence=0,
        name=name,
        state=_word(entry, "state", "present"),
        certainty=_word(entry, "certainty", "certain"),
        time=_word(entry, "time", "current"),
        change=_word(entry, "change", None),
        experiencer=_word(entry, "experiencer", "patient"),
        count=count,
        multiple=_flag(entry, "multiple"),
        side=_word(entry, "side", None),
        anatomy=tuple(places),
        measurements=tuple(measurements[i] for i in sizes),
    )


def _links(text: str, own: Span, entry: Mapping[str, Any], field: str, spans: Sequence[Span]) -> Iterator[int]:
    """Indices of the entries that a finding names by their `at`; of several equal ones the nearest, or the nth."""
    links = entry.get(field, [])
    if not isinstance(links, list):
        raise _WrongError(f"{field} is no list")
    for link in links:
        if isinstance(link, dict):
            wanted = [i for i, span in enumerate(spans) if span == _place(text, link)]
        else:
            wanted = [i for i, span in enumerate(spans) if text[slice(*span)] == link]
        if not wanted:
            kind = "anatomy" if field == "where" else "measurements"
            raise _WrongError(f"{field} names {link!r}, which is the at of no entry of {kind}")
        yield min(wanted, key=lambda i: (max(spans[i][0] - own[1], own[0] - spans[i][1]), i))


def _section(text: str, span: Span, entry: Mapping[str, Any]) -> GoldSection:
    heading = entry.get("heading")
    if heading is not None and not isinstance(heading, str):
        raise _WrongError(f"heading is {heading!r}; expected text or null")
    if heading is not None and heading not in text:
        raise _WrongError(f"heading {heading!r} does not stand in the text; write it as it stands")
    if "kind" not in entry:
        raise _WrongError("kind is missing")
    return GoldSection(kind=_word(entry, "kind", ""), start=span[0], heading=heading)


def _sentences(listed: Any, text: str) -> Iterator[Span]:
    if not isinstance(listed, list):
        raise _WrongError("sentences is no list")
    end = 0
    for number, sentence in enumerate(listed, 1):
        if not isinstance(sentence, str) or not sentence.strip():
            raise _WrongError(f"sentence {number} is no text")
        pattern = r"\s+".join(map(re.escape, sentence.split()))
        match = re.compile(pattern).search(text, end)
        if match is None:
            raise _WrongError(f"sentence {number} does not stand in the text behind the one before it")
        yield match.span()
        end = match.end()
