"""Reference patterns from outside: how they are written, and the proof that they can not take forever."""

import re
import time
from collections.abc import Iterator
from typing import Any

from rrg.errors import RrgError
from rrg.reports.references_added import WINDOW
from rrg.reports.references_words import LIST

LONGEST_WRITTEN = 300
"""Characters of a pattern or template."""
_GROUPS = {"series", "images"}
_PUMPED = "\x01"
_SLOW_S = 0.05
"""CPU seconds on one window; usual patterns take microseconds."""


class PatternError(RrgError):
    """A pattern that can not be used; the message is the part after its place."""


def from_template(template: str) -> str:
    """``Bildnr {image} aus Se{series}`` as a checked pattern. White space stands for any, full stops may lack."""
    if len(template) > LONGEST_WRITTEN:
        raise PatternError(f"{len(template)} characters; expected at most {LONGEST_WRITTEN}")
    parts = re.split(r"(\{[^{}]*\})", template)
    names = [part[1:-1] for part in parts if part.startswith("{") and part.endswith("}")]
    for name in names:
        if name not in ("image", "images", "series"):
            raise PatternError(f"{{{name}}} is not known; expected {{image}} and {{series}}")
    if sum(name != "series" for name in names) != 1 or names.count("series") > 1:
        raise PatternError("expected {image} once, and {series} once or not at all")
    if not any(any(map(str.isalpha, part)) for part in parts if not part.startswith("{")):
        raise PatternError("expected a word beside the numbers, such as Bildnr {image}")
    made = ""
    for part in parts:
        if part == "{series}":
            made += r"(?P<series>\d{1,6})(?!\d)"
        elif part.startswith("{"):
            made += f"(?P<images>{LIST})"
        else:
            made += r"\s{0,3}".join(re.escape(each).replace(r"\.", r"\.?") for each in re.split(r"\s+", part))
            made += r"\s{0,3}" if part and not part[-1].isspace() else ""
    return checked((r"(?<![\w.])" if template[0].isalpha() else "") + made, probe=False)


def checked(pattern: str, *, probe: bool = True) -> str:
    """The pattern. PatternError when it does not compile, lacks a group, matches nothing, or may take too long."""
    if probe and len(pattern) > LONGEST_WRITTEN:
        raise PatternError(f"{len(pattern)} characters; expected at most {LONGEST_WRITTEN}")
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"{pattern!r} is no regular expression: {error}") from None
    names = set(compiled.groupindex)
    if "images" not in names or names - _GROUPS:
        seen = ", ".join(sorted(names)) or "none"
        raise PatternError(f"expected a group (?P<images>...) and perhaps (?P<series>...); seen {seen}")
    if compiled.match("") is not None:
        raise PatternError(f"{pattern!r} matches an empty text")
    for text in _probes(pattern) if probe else ():
        start = time.process_time()
        compiled.search(text)
        if time.process_time() - start > _SLOW_S:
            raise PatternError(
                f"{pattern!r} takes too long on {len(text)} characters; give its repeats an upper bound, such as "
                r"\d{1,4}, and do not repeat what is repeated inside"
            )
    return pattern


def _probes(pattern: str) -> Iterator[str]:
    """Texts that make a pattern backtrack: each of its repeats pumped up, with an end that does not fit.

    The length grows by small steps, so that time is seen to explode before it does.
    """
    # the parse tree has no public reader; its shape is that of the engine since Python 3.4
    tree: Any = re._parser.parse(pattern, re.IGNORECASE)  # type: ignore[attr-defined]
    repeats: list[Any] = []
    _collect(tree, repeats)
    for n in (*range(1, 30), *range(30, 60, 5), *range(60, WINDOW, 15)):
        for which in repeats:
            text = _sample(tree, which, n)
            begun = text[: text.rindex(_PUMPED)].replace(_PUMPED, "")
            if len(begun) <= WINDOW:
                yield begun + "\x00"
                yield begun + "\n"


def _collect(tree: Any, found: list[Any]) -> None:
    for operation, value in tree:
        if str(operation) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            found.append(value)
            _collect(value[2], found)
        elif str(operation) == "SUBPATTERN":
            _collect(value[-1], found)
        elif str(operation) == "BRANCH":
            for branch in value[1]:
                _collect(branch, found)
        elif str(operation) == "ATOMIC_GROUP":
            _collect(value, found)


def _sample(tree: Any, pumped: Any, n: int) -> str:
    """A text that the pattern begins to match, with one repeat taken `n` times and all others as often as needed."""
    return "".join(_piece(str(operation), value, pumped, n) for operation, value in tree)


def _piece(operation: str, value: Any, pumped: Any, n: int) -> str:
    if operation == "LITERAL":
        return chr(value)
    if operation == "NOT_LITERAL":
        return "a" if value != ord("a") else "b"
    if operation == "ANY":
        return "1"
    if operation == "IN":
        return _one_of(value)
    if operation in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        low, high, inner = value
        inside = _holds(inner, pumped)
        times = min(n, int(high)) if value is pumped else max(low, 1 if inside else low)
        made = _sample(inner, pumped, n) * min(times, WINDOW)
        return made + _PUMPED if value is pumped else made
    if operation == "SUBPATTERN":
        return _sample(value[-1], pumped, n)
    if operation == "ATOMIC_GROUP":
        return _sample(value, pumped, n)
    if operation == "BRANCH":
        branch = next((each for each in value[1] if _holds(each, pumped)), value[1][0])
        return _sample(branch, pumped, n)
    return ""  # looks around and marks take no characters


def _holds(tree: Any, wanted: Any) -> bool:
    found: list[Any] = []
    _collect(tree, found)
    return any(each is wanted for each in found)


def _one_of(members: Any) -> str:
    for operation, value in members:
        name = str(operation)
        if name == "LITERAL":
            return chr(value)
        if name == "RANGE":
            return chr(value[0])
        if name == "CATEGORY":
            return {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a"}.get(str(value), ".")
    return "."
