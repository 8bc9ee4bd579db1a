"""The gold texts themselves: every quoted place stands in its text, every class and series of facts is well formed."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from rrg.anatomy import LABELS
from rrg.records import Section

FILES = sorted(Path(__file__).parent.joinpath("gold").glob("*.jsonl"))
FACTS: Mapping[str, Mapping[str, tuple[Any, ...] | type]] = {
    "anatomy": {
        "classes": list,
        "side": ("left", "right", "both"),
        "negated": bool,
        "prior": bool,
        "absent": ("resected", "not_imaged"),
        "levels": list,
    },
    "findings": {
        "name": str,
        "state": ("present", "absent"),
        "certainty": ("certain", "uncertain"),
        "time": ("current", "prior", "history"),
        "change": ("new", "unchanged", "larger", "smaller", "resolved"),
        "experiencer": ("patient", "other"),
        "side": ("left", "right", "both"),
        "count": int,
        "multiple": bool,
        "where": list,
        "sizes": list,
    },
    "measurements": {"mm": list, "prior": bool},
    "references": {"series": int, "images": list, "prior": bool, "open_end": bool},
    "sections": {"kind": get_args(Section.__annotations__["kind"]), "heading": str},
}
NULLABLE = {"side", "absent", "change", "count", "series", "heading"}
CLASSES = set(LABELS)
BULLET = re.compile(r"(?:[-–•*>+]|\d{1,2}[.)]|[a-z]\))\s*\Z")
NOT_LISTED = {"lesion", "lung_nodule", "kidney_cyst_left", "kidney_cyst_right", "body"}
LEVELS = {
    f"{region}{number}"
    for region, last in (("C", 7), ("T", 12), ("L", 5), ("S", 1), ("R", 12))
    for number in range(1, last + 1)
}


def _items(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _start(text: str, fact: Mapping[str, Any]) -> int:
    """Where a quoted place begins in `text`, -1 when it is not there."""
    assert fact["at"], "an empty place"
    start = -1
    for _ in range(fact.get("nth", 1)):
        start = text.find(fact["at"], start + 1)
        if start < 0:
            return -1
    return start


def _wrong_fields(facts: str, fact: Mapping[str, Any]) -> Iterator[str]:
    allowed = FACTS[facts]
    for name, value in fact.items():
        if name in ("at", "nth"):
            continue
        if name not in allowed:
            yield f"unknown field {name}"
        elif value is None:
            if name not in NULLABLE:
                yield f"{name} is null"
        elif isinstance(kind := allowed[name], tuple):
            if value not in kind:
                yield f"{name} is {value}"
        elif type(value) is not kind:
            yield f"{name} is a {type(value).__name__}"


def _quoted(fact: Mapping[str, Any], field: str) -> set[str]:
    """What its links quote; one of several equal pieces is told by its number."""
    return {link["at"] if isinstance(link, dict) else link for link in fact.get(field, ())}


def _wrong_facts(item: Mapping[str, Any]) -> Iterator[str]:
    text = item["text"]
    for facts in FACTS:
        for fact in item.get(facts, ()):
            yield from (f"{facts}: {wrong}" for wrong in _wrong_fields(facts, fact))
            if _start(text, fact) < 0:
                yield f"{facts}: {fact['at']!r} ({fact.get('nth', 1)}) is not in the text"
    for fact in item.get("anatomy", ()):
        if not fact["classes"] or not set(fact["classes"]) <= CLASSES - NOT_LISTED:
            yield f"anatomy: classes {fact['classes']}"
        if not set(fact.get("levels", ())) <= LEVELS:
            yield f"anatomy: levels {fact['levels']}"
        wrong_side = {"left": "_right", "right": "_left"}.get(fact.get("side") or "", "?")
        if any(wrong_side in name for name in fact["classes"] if name != "atrial_appendage_left"):
            yield f"anatomy: {fact['at']!r} has classes of the other side"
    places = {fact["at"] for fact in item.get("anatomy", ())}
    sizes = {fact["at"] for fact in item.get("measurements", ())}
    for fact in item.get("findings", ()):
        if not places >= _quoted(fact, "where") or not sizes >= _quoted(fact, "sizes"):
            yield f"findings: {fact['at']!r} lies where no structure or has a size that is no measurement"
        if fact.get("count", 1) != 1 and not fact.get("multiple"):
            yield f"findings: {fact['at']!r} has a count and is not multiple"
    for fact in item.get("measurements", ()):
        if not 1 <= len(fact["mm"]) <= 3 or not all(number > 0 for number in fact["mm"]):
            yield f"measurements: {fact['mm']}"
    for fact in item.get("references", ()):
        if not fact["images"] or not all(type(number) is int and number > 0 for number in fact["images"]):
            yield f"references: images {fact['images']}"
    yield from _wrong_order(item)


def _wrong_order(item: Mapping[str, Any]) -> Iterator[str]:
    """Sentences and sections stand in the text one after the other."""
    text, at = item["text"], 0
    for sentence in item.get("sentences", ()):
        start = text.find(sentence, at)
        if start < 0 or sentence != sentence.strip():
            yield f"sentences: {sentence!r} is not where it should be"
            return
        at = start + len(sentence)
    starts = [_start(text, section) for section in item.get("sections", ())]
    if starts != sorted(set(starts)):
        yield "sections: not in order"
    for section, start in zip(item.get("sections", ()), starts, strict=True):
        heading = section.get("heading")
        if heading and not BULLET.sub("", text[:start]).rstrip().endswith(heading):
            yield f"sections: the heading {heading!r} does not stand before {section['at']!r}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_fact_stands_in_its_text(path: Path) -> None:
    """Places, classes, levels, fields and their values."""
    wrong = [f"{item['id']}: {fault}" for item in _items(path) for fault in _wrong_facts(item)]
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_items_are_many_and_named_once(path: Path) -> None:
    """At least 300 sentences, 40 reports or 150 held-out texts a file; ids and texts unique, in the file's language."""
    items = _items(path)
    reports = path.name.startswith("reports.")
    assert len(items) >= (40 if reports else 150 if path.name.startswith("heldout.") else 300)
    for field in ("id", "text"):
        assert not [value for value, times in Counter(item[field] for item in items).items() if times > 1]
    assert {item["lang"] for item in items} == {path.name.split(".")[1]}
    if reports:
        assert all(item.get("sections") and item.get("sentences") for item in items)


def test_ids_are_unique_over_all_files() -> None:
    """One id names one text."""
    ids = Counter(item["id"] for path in FILES for item in _items(path))
    assert not [name for name, times in ids.items() if times > 1]
