"""``[[expect]]``: what must hold when a recipe has ended. A recipe is its own test.

``file`` names a JSON file, a stream or a folder that must be there; ``value`` a number in the JSON file
(``metrics.iou.value``) or, of a stream, the number of records of a kind (``sample``); ``at-least``, ``at-most`` and
``equals`` its bounds. With ``when = "fixture"`` or ``when = "full"`` it is asked in that form of the recipe only.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrg.codec import schema_of
from rrg.recipes_check import Source
from rrg.recipes_matrix import fill
from rrg.stream import read_lines

KEYS = ("file", "value", "at-least", "at-most", "equals", "when")


@dataclass(frozen=True)
class Expect:
    """One expectation."""

    file: Path
    value: str | None
    at_least: float | None
    at_most: float | None
    equals: Any


def read_expect(source: Source, tables: Any, values: Mapping[str, str], *, fixture: bool) -> tuple[Expect, ...]:
    """The expectations of this form of the recipe. UsageError for a key that is none."""
    if not isinstance(tables, list):
        raise source.wrong("expect", None, "expect is no list of tables; write [[expect]]")
    found = []
    for table in tables:
        for key in table:
            if key not in KEYS:
                raise source.wrong(key, None, f"[[expect]] has no key {key!r}", source.near(key, KEYS))
        for key in ("at-least", "at-most"):
            if key in table and (isinstance(table[key], bool) or not isinstance(table[key], int | float)):
                raise source.wrong(key, None, f"{key} = {table[key]!r}, expected a number")
        if not isinstance(table.get("file"), str):
            raise source.wrong("expect", None, "[[expect]] without file = ...")
        if table.get("when", "fixture" if fixture else "full") != ("fixture" if fixture else "full"):
            continue
        found.append(
            Expect(
                Path(fill(source, table["file"], values)),
                table.get("value"),
                table.get("at-least"),
                table.get("at-most"),
                table.get("equals"),
            )
        )
    return tuple(found)


def missed(expected: Sequence[Expect]) -> Iterator[str]:
    """A line for each expectation that does not hold."""
    for each in expected:
        if not each.file.exists():
            yield f"{each.file} is not there"
            continue
        if each.value is None:
            continue
        seen = _value(each.file, each.value)
        name = f"{each.file}: {each.value}"
        if seen is None:
            yield f"{name} is not there"
        elif each.equals is not None and seen != each.equals:
            yield f"{name} is {seen}, expected {each.equals}"
        elif each.at_least is not None and not seen >= each.at_least:
            yield f"{name} is {seen}, expected at least {each.at_least}"
        elif each.at_most is not None and not seen <= each.at_most:
            yield f"{name} is {seen}, expected at most {each.at_most}"


def _value(path: Path, name: str) -> Any:
    if path.suffix == ".jsonl":
        return sum((schema_of(line.head) or "").startswith(f"rrg.{name}/") for line in read_lines([path]))
    return lookup(json.loads(path.read_bytes()), name)


def lookup(body: Any, name: str) -> Any:
    """The value at a dotted name; keys may hold dots themselves (``metrics.closed.accuracy.value``)."""
    if not name:
        return body
    if not isinstance(body, dict):
        return None
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        key = ".".join(parts[:n])
        if key in body:
            return lookup(body[key], ".".join(parts[n:]))
    return None
