"""``[matrix]``: a stage for every combination of values; and the values of ``{name}``."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rrg.recipes_check import Source

_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Cell:
    """One combination. ``values`` has the value of every dimension, and under ``cell`` a name for files."""

    values: Mapping[str, str]

    def name_of(self, named: frozenset[str]) -> str:
        """A name of the dimensions that are named; of all when ``cell`` is."""
        wanted = [name for name in self.values if name != "cell" and (name in named or "cell" in named)]
        return "-".join(_plain(name, self.values[name]) for name in wanted)


def cells_of(source: Source, matrix: Mapping[str, Any], values: Mapping[str, str]) -> tuple[Cell, ...]:
    """All combinations, the last dimension fastest; none without a matrix."""
    lists: dict[str, list[str]] = {}
    for name, listed in matrix.items():
        if not isinstance(listed, list) or not listed or any(isinstance(each, list | dict) for each in listed):
            raise source.wrong(name, None, f"{name} = {listed!r}, expected a list of values")
        if name in values or name == "cell":
            raise source.wrong(name, None, f"{name} is in [vars] too, or reserved; give the dimension another name")
        lists[name] = [fill(source, str(each), values) for each in listed]
        if len({_plain(name, each) for each in lists[name]}) < len(listed):
            raise source.wrong(name, None, f"{name}: two values look alike in file names; make them differ in letters")
    if not lists:
        return ()
    found = []
    for combination in itertools.product(*lists.values()):
        own = dict(zip(lists, combination, strict=True))
        found.append(Cell({**own, "cell": "-".join(_plain(name, value) for name, value in own.items())}))
    return tuple(found)


def _plain(name: str, value: str) -> str:
    """``mix``, ``which=2,side=2`` -> ``mix_which2_side2``, fit for a file name."""
    return f"{name}_{re.sub(r'[^A-Za-z0-9]+', '_', value.replace('=', '')).strip('_') or 'none'}"


def names_in(table: Mapping[str, Any]) -> frozenset[str]:
    """The ``{names}`` in the texts of a stage."""
    texts = [each for value in table.values() for each in (value if isinstance(value, list) else [value])]
    return frozenset(name for text in texts if isinstance(text, str) for name in _NAME.findall(text))


def fill(source: Source, word: str, values: Mapping[str, str]) -> str:
    """`word` with values in place of ``{names}``."""

    def one(match: re.Match[str]) -> str:
        if match[1] not in values:
            hint = source.near(match[1], values)
            raise source.wrong_text(match[0], f"{match[0]} is not in [vars]{hint}")
        return str(values[match[1]])

    return _NAME.sub(one, word)
