"""How each dialect writes a phrase and its boxes, and how it is found again in a model's answer. Numbers only.

Sources: RadGrounder's released code (512 bins, corners x0 y0 x1 y1); PaliGemma's documentation (1024 location tokens,
corners y0 x0 y1 x1 before the name, names closed by `` ;``); the grounding notebook and ``qwen-vl-finetune`` of
QwenLM/Qwen3-VL (``bbox_2d`` and ``label`` as JSON; pixels after the resize for 2.5, 0 to 1000 for 3); InternVL's chat
data documentation (``<ref>``, ``<box>[[...]]</box>``, 0 to 1000); LLaVA's instruction data (shares of the side).
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

OPEN = "<p>"
"""Opens a phrase that boxes follow (`loc`), so that a phrase can be read back exactly out of a sentence."""
SEGMENTS = 128
"""``<seg000>`` to ``<seg127>`` are in PaliGemma's vocabulary; RadGrounder names classes by them."""
Numbers = Sequence[int]
"""Corners of one box in the order of the dialect."""


class Run(NamedTuple):
    """A stretch of an answer."""

    plain: str
    """Text to keep."""
    phrase: str
    """What the boxes belong to."""
    groups: list[list[int]]
    """Groups of numbers; four each when well-formed."""
    class_id: int | None = None
    tag: bool = False
    """The phrase has a mask instead of boxes."""


@dataclass(frozen=True)
class Grammar:
    """One dialect's text form."""

    write: Callable[[str, Sequence[Numbers], int | None, int], str]
    """(phrase, boxes, class number, bins) -> text."""
    read: Callable[[str], Iterator[Run]]
    """An answer as runs, in order. Never raises."""
    rows_first: bool = False
    """Corners are y0 x0 y1 x1."""
    edges: bool = False
    """Numbers are places 0..bins on the side, both ends included; else they are bins 0..bins-1."""


def loc_token(number: int, bins: int) -> str:
    """The token of one bin, zero-padded: ``<loc07>`` of 64, ``<loc0007>`` of PaliGemma's 1024."""
    return f"<loc{number:0{len(str(bins - 1))}d}>"


def _locs(groups: Sequence[Numbers], width: int) -> str:
    return "".join(f"<loc{number:0{width}d}>" for group in groups for number in group)


def _write_loc(phrase: str, groups: Sequence[Numbers], class_id: int | None, bins: int) -> str:
    return OPEN + phrase + _locs(groups, len(str(bins - 1)))


_LOC = re.compile(r"<loc(\d+)>")
_MARKED = re.compile(r"<p>|(?:<loc\d+>)+")


def _fours(text: str) -> list[list[int]]:
    numbers = [int(found) for found in _LOC.findall(text)]
    return [numbers[i : i + 4] for i in range(0, len(numbers), 4)]


def _read_loc(raw: str) -> Iterator[Run]:
    at, phrase_start = 0, None
    pending = ""
    for match in _MARKED.finditer(raw):
        pending += raw[at : match.start()]
        at = match.end()
        if match.group() == OPEN:
            if phrase_start is not None:
                yield Run(pending, "", [[]])  # opened and never given a box
                pending = ""
            phrase_start = len(pending)
            continue
        phrase = pending[phrase_start:] if phrase_start is not None else ""
        yield Run(pending, phrase, _fours(match.group()))
        pending, phrase_start = "", None
    yield Run(pending + raw[at:], "", [[]] if phrase_start is not None else [])


def _write_radgrounder(phrase: str, groups: Sequence[Numbers], class_id: int | None, bins: int) -> str:
    last = len(groups) - 1
    return "".join(tag(group, class_id, phrase if n == last else "") for n, group in enumerate(groups))


def tag(numbers: Numbers, class_id: int | None, phrase: str) -> str:
    """RadGrounder's tag of one box; a phrase with several boxes stands in the last of their tags."""
    told = f" id=<seg{class_id:03d}>" if class_id is not None and 0 <= class_id < SEGMENTS else ""
    return f"<p bbox={_locs([numbers], 4)}{told}>{phrase}</p>"


TAG = re.compile(r"<p bbox=((?:<loc\d+>)*)(?: id=<seg(\d+)>)?>(.*?)</p>", re.IGNORECASE | re.DOTALL)
"""RadGrounder's tag: location tokens, class number, phrase."""
_TAG_PIECE = re.compile(r"<p bbox=>?|</p>|<loc\d+>|(?: id=)?<seg\d*>>?|</seg>")


def _read_radgrounder(raw: str) -> Iterator[Run]:
    """Tags without a text, right before another one, give their boxes to its phrase."""
    at = 0
    held: list[list[int]] = []
    for match in TAG.finditer(raw):
        if held and match.start() != at:
            yield Run("", "", held)
            held = []
        if between := raw[at : match.start()]:
            yield _broken(between)
        at = match.end()
        held += _fours(match.group(1)) or [[]]
        if match.group(3):
            inner = _broken(match.group(3))
            class_id = int(match.group(2)) if match.group(2) else None
            yield Run(inner.plain, inner.plain, held + inner.groups, class_id)
            held = []
    if held:
        yield Run("", "", held)
    yield _broken(raw[at:])


def _broken(text: str) -> Run:
    """Text without what is left of tags that are not whole; with one empty group when there was any."""
    clean = _TAG_PIECE.sub("", text)
    return Run(clean, "", [] if clean == text else [[]])


def _write_paligemma(phrase: str, groups: Sequence[Numbers], class_id: int | None, bins: int) -> str:
    return f"{_locs(groups, 4)} {phrase.replace(' ;', ';').strip()} ;"


_NAMED = re.compile(r"((?:<loc\d+>)+)[ ]?(.*?)(?:\s;[ ]?|(?=<loc\d+>)|(?=\n)|\Z)", re.DOTALL)


def _read_paligemma(raw: str) -> Iterator[Run]:
    at = 0
    for match in _NAMED.finditer(raw):
        yield Run(raw[at : match.start()], "", [])
        at = match.end()
        closed = match.group().endswith(("; ", "\n"))
        yield Run(match.group(2) + (" " if closed and raw[at:] else ""), match.group(2), _fours(match.group(1)))
    yield Run(raw[at:], "", [])


def _write_qwen(phrase: str, groups: Sequence[Numbers], class_id: int | None, bins: int) -> str:
    return json.dumps([{"bbox_2d": list(group), "label": phrase} for group in groups], ensure_ascii=False)


_OBJECTS = re.compile(r"(?:```json\s*)?\[?\s*(?:\{[^{}]*\"bbox_2d\"[^{}]*\}\s*,?\s*)+\]?(?:\s*```)?")
_OBJECT = re.compile(r"\{[^{}]*\}")
_CORNERS = re.compile(r"\"bbox_2d\"\s*:\s*\[([^\]]*)\]?")
_LABEL = re.compile(r"\"label\"\s*:\s*(\"(?:[^\"\\]|\\.)*\")")


def _read_qwen(raw: str) -> Iterator[Run]:
    """JSON objects, in a list or not, fenced or not; those of one list with one label are boxes of one phrase."""
    at = 0
    for match in _OBJECTS.finditer(raw):
        yield _unread(raw[at : match.start()])
        at = match.end()
        named: dict[str, list[list[int]]] = {}
        for found in _OBJECT.findall(match.group()):
            corners, label = _CORNERS.search(found), _LABEL.search(found)
            named.setdefault(_text(label.group(1)) if label else "", []).append(
                integers(corners.group(1)) if corners else []
            )
        for number, (label_text, groups) in enumerate(named.items()):
            yield Run((", " if number else "") + label_text, label_text, groups)
    yield _unread(raw[at:])


def _unread(text: str) -> Run:
    """Text between objects; with an empty group when an object was begun and never ended."""
    return Run(text, "", [[]] if '"bbox_2d"' in text else [])


def _text(quoted: str) -> str:
    try:
        return str(json.loads(quoted, strict=False))
    except ValueError:
        return quoted.strip('"')


def _write_internvl(phrase: str, groups: Sequence[Numbers], class_id: int | None, bins: int) -> str:
    return f"<ref>{phrase}</ref><box>{json.dumps([list(group) for group in groups])}</box>"


_REF = re.compile(r"(?:<ref>(.*?)</ref>\s*)?<box>(.*?)</box>", re.DOTALL)
_REF_PIECE = re.compile(r"</?ref>|</?box>")


def _read_internvl(raw: str) -> Iterator[Run]:
    at = 0
    for match in _REF.finditer(raw):
        yield _no_ref(raw[at : match.start()])
        at = match.end()
        phrase = _REF_PIECE.sub("", match.group(1) or "")
        groups = [integers(found) for found in re.findall(r"\[([^\[\]]*)\]", match.group(2))]
        yield Run(phrase, phrase, groups or [[]])
    yield _no_ref(raw[at:])


def _no_ref(text: str) -> Run:
    clean = _REF_PIECE.sub("", text)
    return Run(clean, "", [] if clean == text else [[]])


def _write_seg(phrase: str, groups: Sequence[Numbers], class_id: int | None, bins: int) -> str:
    return f"<seg>{phrase}</seg>"


_SEG = re.compile(r"</?seg>")


def _read_seg(raw: str) -> Iterator[Run]:
    """One run with `tag` per ``</seg>``, so that the i-th of them is the i-th mask, also where one was not opened."""
    at, opened = 0, False
    for match in _SEG.finditer(raw):
        between = raw[at : match.start()]
        at = match.end()
        if match.group() == "<seg>":
            yield Run(between, "", [[]] if opened else [])
            opened = True
            continue
        yield Run(between, between.strip() if opened else "", [] if opened else [[]], tag=True)
        opened = False
    yield Run(raw[at:], "", [[]] if opened else [])


def _lists(groups: Sequence[Numbers], form: Callable[[int], str]) -> list[str]:
    return [f"[{', '.join(map(form, group))}]" for group in groups]


def _write_json(phrase: str, groups: Sequence[Numbers], class_id: int | None, bins: int) -> str:
    listed = (f'{{"box": {each}}}' for each in _lists(groups, str))
    return f"{phrase} {' '.join(listed)}"


def _write_text(phrase: str, groups: Sequence[Numbers], class_id: int | None, bins: int) -> str:
    return f"{phrase} {' '.join(_lists(groups, str))}"


def _write_shares(phrase: str, groups: Sequence[Numbers], class_id: int | None, bins: int) -> str:
    return f"{phrase} {' '.join(_lists(groups, lambda number: f'{number / bins:.3f}'))}"


_JSON = re.compile(r'\s*(?:\{\s*"box"\s*:\s*\[([^\][{}]*)\]\s*\}\s*)+')
_TEXT = re.compile(r"\s*(?:\[([-\d.,\s]*)\]\s*)+")
_PHRASE = re.compile(r"[^.:;!?\n\]}]*$")


def _reader(pattern: re.Pattern[str], numbers: Callable[[str], list[int]]) -> Callable[[str], Iterator[Run]]:
    """Of plain text: the phrase of a box is what stands before it in its clause."""

    def read(raw: str) -> Iterator[Run]:
        at = 0
        for match in pattern.finditer(raw):
            plain = raw[at : match.start()]
            at = match.end()
            clause = _PHRASE.search(plain)
            groups = [numbers(found) for found in re.findall(r"\[([^\]]*)\]", match.group())]
            tail = " " if match.group()[-1:].isspace() and raw[at:] else ""
            yield Run(plain + tail, clause.group() if clause else "", groups)
        yield Run(raw[at:], "", [])

    return read


def integers(listed: str) -> list[int]:
    """``1, 2, 3, 4`` -> numbers; empty when it is no list of numbers."""
    return [int(number) for number in _numbers(listed)]


def _thousandths(listed: str) -> list[int]:
    return [round(1000 * number) for number in _numbers(listed)]


def _numbers(listed: str) -> list[Any]:
    try:
        found: list[Any] = json.loads(f"[{listed}]")
        return found if all(abs(number) < 1e6 for number in found) else []
    except (ValueError, TypeError):
        return []


GRAMMARS = {
    "loc": Grammar(_write_loc, _read_loc),
    "json": Grammar(_write_json, _reader(_JSON, integers)),
    "text": Grammar(_write_text, _reader(_TEXT, integers)),
    "none": Grammar(lambda phrase, groups, class_id, bins: phrase, lambda raw: iter([Run(raw, "", [])])),
    "radgrounder": Grammar(_write_radgrounder, _read_radgrounder),
    "paligemma": Grammar(_write_paligemma, _read_paligemma, rows_first=True),
    "llava": Grammar(_write_shares, _reader(_TEXT, _thousandths), edges=True),
    "qwen2.5-vl": Grammar(_write_qwen, _read_qwen, edges=True),
    "qwen3-vl": Grammar(_write_qwen, _read_qwen, edges=True),
    "internvl": Grammar(_write_internvl, _read_internvl, edges=True),
    "seg": Grammar(_write_seg, _read_seg),
}
"""Name of a dialect -> its text form."""
