"""What a model wrote -> a value that fits the schema. Linear in the length of the answer."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Json = Any
LONGEST = 1 << 20
"""Characters of an answer; more is noise."""
_OPEN_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning|analysis)>|\[THINK\]|◁think▷", re.IGNORECASE)
_END_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning|analysis)>|\[/THINK\]|◁/think▷", re.IGNORECASE)
_FINAL = re.compile(
    r"<\|channel\|>final[^<]{0,40}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>|assistantfinal(?=[\s{\[`])"
)
"""Where the answer begins behind an ``analysis`` channel, with its marks or with the marks taken out."""
_CHANNEL = re.compile(r"\A\s*(?:<\|channel\|>(?:analysis|commentary)|analysis(?=[A-Z]))")
_CLOSING = re.compile(r"<\|(?:return|end|eot_id|im_end|endoftext)\|>")
_PIECES = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|,(?=\s*[}\]])', re.DOTALL)
"""Texts (also one that never ends, so that no other begins inside of it), and commas before a closing bracket."""
_STARTS = 8
"""Unclosed brackets that are passed over before the search ends."""


class Found(NamedTuple):
    """The value of an answer."""

    value: Json | None
    """None: none that fits."""
    problem: str = ""
    dropped: int = 0
    """Items of lists that did not fit and were left out."""


class _UnfitError(ValueError):
    pass


def without_reasoning(text: str) -> str:
    """The answer behind the reasoning, of whatever family of marks; empty when the reasoning never ended."""
    if ends := [match.end() for match in _FINAL.finditer(text)]:
        return _CLOSING.split(text[ends[-1] :], maxsplit=1)[0].strip()
    if _CHANNEL.match(text):
        return ""
    if ends := [match.end() for match in _END_THOUGHT.finditer(text)]:
        text = text[ends[-1] :]
    if (opened := _OPEN_THOUGHT.search(text)) is not None:
        text = text[: opened.start()]
    return _CLOSING.sub("", text).strip()


def read(text: str, finish: str, schema: Mapping[str, Json]) -> Found:
    """The last value in an answer that fits the schema; else why there is none."""
    if finish in ("refused", "uncached"):
        known = {"refused": "the model's server does not take this prompt", "uncached": "not in the answer cache"}
        return Found(None, known[finish])
    if len(text) > LONGEST:
        return Found(None, f"an answer of {len(text)} characters")
    answer = without_reasoning(text)
    if not answer:
        return Found(None, "no end" if finish == "length" else "an empty answer")
    best: Found | None = None
    problem = ""
    for candidate in (*_candidates(answer), answer):
        try:
            value = json.loads(_PIECES.sub(_no_comma, candidate), parse_constant=_no_constant, strict=False)
            value, dropped = fit(value, schema)
            best = Found(value, "", dropped)
        except _UnfitError as error:
            problem = str(error)
        except (ValueError, RecursionError):
            continue
    if best is not None:
        return best
    return Found(None, problem or ("no end" if finish == "length" else "no JSON"))


def fit(value: Json, schema: Mapping[str, Json]) -> tuple[Json, int]:
    """(`value` in the form of the schema, items left out). Raises ValueError with what does not fit.

    Forgiven: a list in place of the object that holds only it, an item in place of a list, case and blanks around
    words of a list of choices, fields that the schema does not know, a missing list beside other fields, null for
    ``none``, items of a list that do not fit beside others that do. Known words: type, enum, properties, required,
    items, maxItems, minLength, maxLength, minimum, maximum.
    """
    kind = schema.get("type")
    if "enum" in schema:
        return _choice(value, schema["enum"]), 0
    if kind == "object":
        return _object(value, schema)
    if kind == "array":
        return _array(value, schema)
    if kind == "string":
        if not isinstance(value, str):
            raise _UnfitError("a text is missing")
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", LONGEST):
            raise _UnfitError("a text of another length")
        return value, 0
    if kind == "boolean":
        if not isinstance(value, bool):
            raise _UnfitError("a yes or no is missing")
        return value, 0
    if kind in ("integer", "number"):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not isinstance(value, int | float) or (kind == "integer" and not whole):
            raise _UnfitError("a number is missing")
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            raise _UnfitError("a number outside of its range")
        return (int(value) if kind == "integer" else value), 0
    raise AssertionError(f"schema of type {kind!r}")


def _choice(value: Json, choices: list[Json]) -> Json:
    if value in choices:
        return value
    folded = " ".join(value.split()).casefold() if isinstance(value, str) else value
    for choice in choices:
        if isinstance(choice, str) and choice.casefold() == folded:
            return choice
    raise _UnfitError("a word that is not among the choices")


def _object(value: Json, schema: Mapping[str, Json]) -> tuple[Json, int]:
    fields: Mapping[str, Json] = schema["properties"]
    lists = [name for name, inner in fields.items() if inner.get("type") == "array"]
    if len(fields) == len(lists) == 1:
        bare = value and lists[0] not in value if isinstance(value, dict) else isinstance(value, list)
        value = {lists[0]: value} if bare else value
    if not isinstance(value, dict):
        raise _UnfitError("no object")
    made: dict[str, Json] = {}
    dropped = 0
    for name, inner in fields.items():
        if value.get(name) is None:
            if len(fields) > 1 and inner.get("type") == "array":
                made[name] = []
            elif "none" in inner.get("enum", ()):
                made[name] = "none"
            elif name in schema.get("required", ()):
                raise _UnfitError(f"{name} is missing")
            continue
        made[name], inside = fit(value[name], inner)
        dropped += inside
    return made, dropped


def _array(value: Json, schema: Mapping[str, Json]) -> tuple[Json, int]:
    items = value if isinstance(value, list) else [value]
    room = schema.get("maxItems", len(items))
    made: list[Json] = []
    dropped, problem = max(0, len(items) - room), ""
    for item in items[:room]:
        try:
            fitted, inside = fit(item, schema["items"])
        except _UnfitError as error:
            problem, inside = str(error), 1
        else:
            made.append(fitted)
        dropped += inside
    if problem and not made:
        raise _UnfitError(problem)
    return made, dropped


def _candidates(text: str) -> Iterator[str]:
    """Balanced {...} and [...] of the outermost level, in order. Quotation marks count inside of brackets only."""
    start = 0
    for _ in range(_STARTS):
        unclosed = None
        depth, first = 0, 0
        inside = escaped = False
        for at in range(start, len(text)):
            letter = text[at]
            if inside:
                inside = escaped or letter != '"'
                escaped = not escaped and letter == "\\"
            elif letter == '"':
                inside = depth > 0
            elif letter in "{[":
                if depth == 0:
                    first = unclosed = at
                depth += 1
            elif letter in "}]" and depth:
                depth -= 1
                if depth == 0:
                    unclosed = None
                    yield text[first : at + 1]
        if unclosed is None:
            return
        start = unclosed + 1


def _no_comma(match: re.Match[str]) -> str:
    return "" if match.group() == "," else match.group()


def _no_constant(name: str) -> Json:
    raise ValueError(name)
