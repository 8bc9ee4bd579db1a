"""``--series RULES.toml``: which series to take, and which of several reconstructions of one acquisition.

A file of rules has ``[[take]]`` and ``[[drop]]`` tables, tried in the order of the file; the first whose conditions all
hold decides. ``otherwise`` decides where none does. Then ``[prefer]`` keeps the best of each group of twins. Conditions
use closed words only; see ``examples/series.toml``.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from rrg.errors import UsageError
from rrg.series_choice import (
    CONDITIONS,
    NEAREST,
    ORDERED,
    RANGES,
    SIZES,
    TRUTHS,
    UNKNOWN,
    WORDS,
    Decision,
    Per,
    Prefer,
    Rule,
    Rules,
    StackFacts,
    Value,
    choose,
    digest,
)
from rrg.series_table import Table

__all__ = ["Decision", "Rules", "StackFacts", "Table", "choose", "digest", "load_rules"]

_NAME = re.compile(r"[a-z0-9][a-z0-9 _.-]{0,39}")
_BODY_PART = re.compile(r"[A-Z]{2,20}")


def load_rules(path: Path) -> Rules:
    """Rules of a TOML file. UsageError with file, line, what was seen, and the nearest valid word."""
    try:
        text = path.read_text(encoding="utf-8")
        said = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    return _Reader(path, text).rules(said)


class _Reader:
    """Turns the tables of one file into rules, and says in which line something is wrong."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.lines = path, text.splitlines()
        heads = [re.match(r"\s*\[\[?\s*(\w+)\s*\]\]?\s*(?:#.*)?$", line) for line in self.lines]
        self.tables = [(match[1], number) for number, match in enumerate(heads) if match]
        """(name, line from 0) of each table, in order."""

    def rules(self, said: Mapping[str, Any]) -> Rules:
        for key in said:
            self._known(key, ("take", "drop", "prefer", "otherwise"), None)
        rules: list[Rule] = []
        left = {name: list(self._list_of_tables(said, name)) for name in ("take", "drop")}
        order = [(name, line) for name, line in self.tables if name in left]
        if len(order) != sum(map(len, left.values())):
            raise UsageError(f"{self.path}: write each rule as a table of its own, headed [[take]] or [[drop]]")
        for name, line in order:
            number = 1 + sum(rule.takes is (name == "take") for rule in rules)
            rules.append(self._rule(name == "take", f"{name} {number}", left[name].pop(0), line))
        otherwise = said.get("otherwise", "drop" if any(rule.takes for rule in rules) else "take")
        self._word("otherwise", otherwise, ("take", "drop"), None)
        prefer = said.get("prefer")
        names: set[str] = set()
        for (_, line), rule in zip(order, rules, strict=True):
            if rule.name in names:
                raise self._wrong("name", f"two rules have the name {rule.name!r}", line)
            names.add(rule.name)
        return Rules(tuple(rules), otherwise == "take", None if prefer is None else self._prefer(prefer))

    def _list_of_tables(self, said: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
        tables = said.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._wrong(name, f"{name} is a list of tables; write [[{name}]]", None)
        return tables

    def _rule(self, takes: bool, default: str, table: Mapping[str, Any], line: int) -> Rule:
        for key in table:
            self._known(key, ("name", *CONDITIONS), line)
        name = table.get("name", default)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self._wrong(
                "name", "a name has up to 40 characters of a-z, 0-9, space, '_', '.', '-' and starts with no mark", line
            )
        if name == "otherwise" or name.startswith(("no rules", "prefer ")):
            raise self._wrong("name", f"the name {name!r} is taken; choose another", line)
        conditions = {key: self._condition(key, table[key], line) for key in CONDITIONS if key in table}
        low, high = conditions.get("min_slices", 1), conditions.get("max_slices", 2**31)
        if low > high:  # type: ignore[operator]
            raise self._wrong("min_slices", f"min_slices {low} is more than max_slices {high}", line)
        return Rule(takes, name, tuple(conditions.items()))

    def _condition(self, key: str, value: Any, line: int) -> Value:
        if key in TRUTHS:
            if not isinstance(value, bool):
                raise self._wrong(key, f"{key} = {_shown(value)}, expected true or false", line)
            return value
        if key in SIZES:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise self._wrong(key, f"{key} = {_shown(value)}, expected a number of slices from 1", line)
            return value
        if key in RANGES:
            if not (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))):
                raise self._wrong(key, f"{key} = {_shown(value)}, expected [from, to]", line)
            if not 0 <= value[0] <= value[1] < float("inf"):
                raise self._wrong(key, f"{key} = {_shown(value)}, expected 0 <= from <= to", line)
            return float(value[0]), float(value[1])
        return self._words(key, value, line, unknown=key != "flag")

    def _words(self, key: str, value: Any, line: int | None, *, unknown: bool = True) -> tuple[str, ...]:
        words = value if isinstance(value, list) else [value]
        if not words:
            raise self._wrong(key, f"{key} = [], expected at least one word", line)
        for word in words:
            self._word(key, word, WORDS[key], line, unknown=unknown)
        return tuple(words)

    def _prefer(self, said: Any) -> Prefer:
        line = next((line for name, line in self.tables if name == "prefer"), None)
        if not isinstance(said, dict):
            raise self._wrong("prefer", "prefer is a table; write [prefer]", None)
        for key in said:
            self._known(key, ("per", "keep", "by"), line)
        per, keep, by = said.get("per", "acquisition"), said.get("keep", 1), said.get("by")
        self._word("per", per, get_args(Per), line)
        if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
            raise self._wrong("keep", f"keep = {_shown(keep)}, expected a number from 1", line)
        if not isinstance(by, list) or not by or not all(isinstance(each, dict) and len(each) == 1 for each in by):
            raise self._wrong("by", 'by is a list like [{ kernel = ["soft"] }, { slices = "most" }]', line)
        criteria: list[tuple[str, tuple[str, ...] | float | str]] = []
        for each in by:
            ((name, value),) = each.items()
            self._known(name, (*ORDERED, *NEAREST, "slices"), line)
            if name in NEAREST:
                if not _is_number(value) or not 0 <= value < float("inf"):
                    raise self._wrong(name, f"{name} = {_shown(value)}, expected the wanted number of mm", line)
                criteria.append((name, float(value)))
            elif name == "slices":
                self._word(name, value, ("most", "fewest"), line)
                criteria.append((name, str(value)))
            else:
                criteria.append((name, self._words(name, value, line)))
        return Prefer(per, keep, tuple(criteria))

    def _known(self, key: str, known: Sequence[str], line: int | None) -> None:
        if key not in known:
            raise self._wrong(key, f"unknown key {_shown(key)}{_near(key, known)}", line)

    def _word(
        self, key: str, word: Any, known: Sequence[str] | None, line: int | None, *, unknown: bool = False
    ) -> None:
        if known is None:
            if not (isinstance(word, str) and (word == UNKNOWN or _BODY_PART.fullmatch(word))):
                raise self._wrong(key, f"{key} = {_shown(word)}, expected a term such as CHEST, in capitals", line)
        elif not isinstance(word, str) or word not in (*known, *([UNKNOWN] if unknown else [])):
            words = (*known, UNKNOWN) if unknown else tuple(known)
            raise self._wrong(key, f"{key} = {_shown(word)} is no word of rules{_near(word, words)}", line)

    def _wrong(self, key: str, what: str, table: int | None) -> UsageError:
        """An error with the line of `key` in the table that begins at line `table` (from 0), or before all tables."""
        start = 0 if table is None else table
        heads = [line for _, line in self.tables if line > start]
        end = min(heads, default=len(self.lines))
        own = range(start, end if table is not None else len(self.lines))
        pattern = re.compile(rf"(?:^|[\s{{,\[\"']){re.escape(key)}[\"']?\s*[=\]]")
        line = next((n for n in own if pattern.search(self.lines[n])), table)
        where = f"{self.path}, line {line + 1}" if line is not None else str(self.path)
        return UsageError(f"{where}: {what}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _near(word: Any, known: Sequence[str]) -> str:
    if isinstance(word, str) and (near := difflib.get_close_matches(word, known, n=1)):
        return f"; did you mean {near[0]!r}?"
    return f"; one of {', '.join(known)}"
