"""Numbers with units in an answer: "1.2 cm", "12 x 9 mm", "1,2 cm", "45 degrees"."""

import re
from collections.abc import Iterator

LENGTH = {"µm": 0.001, "μm": 0.001, "um": 0.001, "mm": 1.0, "cm": 10.0, "dm": 100.0, "m": 1000.0}
ANGLE = dict.fromkeys(("°", "deg", "degree", "degrees", "grad"), 1.0) | {"rad": 57.29577951308232}
AREA = {"mm²": 1.0, "mm2": 1.0, "mm^2": 1.0, "cm²": 100.0, "cm2": 100.0, "cm^2": 100.0}
VOLUME = {
    **dict.fromkeys(("mm³", "mm3", "mm^3", "µl", "μl"), 1.0),
    **dict.fromkeys(("cm³", "cm3", "cm^3", "cc", "ml"), 1000.0),
    "l": 1e6,
}
DIMENSIONS = (LENGTH, ANGLE, AREA, VOLUME)
"""Unit -> how many of the dimension's first unit it is: mm, degrees, mm², mm³."""
WORDS = {
    "millimeter": "mm", "millimeters": "mm", "millimetre": "mm", "millimetres": "mm", "millimetern": "mm",
    "centimeter": "cm", "centimeters": "cm", "centimetre": "cm", "centimetres": "cm", "zentimeter": "cm",
    "zentimetern": "cm", "milliliter": "ml", "milliliters": "ml", "millilitre": "ml", "millilitres": "ml",
    "liter": "l", "litre": "l",
}  # fmt: skip
"""Units in words."""
_UNIT = "|".join(
    sorted(map(re.escape, {*WORDS, *(name for each in DIMENSIONS for name in each)}), key=len, reverse=True)
)
_POINT = r"(?<![\w.,])([-+]?\d+(?:\.\d+)?)"
_COMMA = r"(?<![\w.,])([-+]?\d+(?:[.,]\d+)?)"
_TAIL = rf"\s*(?:({_UNIT})(?![\w²³]|\^))?"


def parse(text: str, count: int, unit: str) -> tuple[float, ...] | None:
    """`count` numbers of an answer in `unit`; None when it does not hold exactly that many.

    A number without a unit has that of the next number that has one ("12 x 9 mm"). Where any number has a unit, those
    without one are left out ("9 mm on slice 34"); where none has, they are in `unit`. A comma inside of a number is
    decimal ("1,2 cm"), unless only a list makes the count right ("11,18").
    """
    text = re.sub(r"(?<=\d)\s*[x×*]\s*(?=\d)", " x ", text)
    for pattern in (_COMMA, _POINT):
        found = list(_numbers(text if pattern is _COMMA else text.replace(",", " , "), pattern))
        if any(of for _, of in found):
            found = [(value, of) for value, of in found if of]
        if len(found) == count:
            values = [_convert(value, of or unit, unit) for value, of in found]
            return None if None in values else tuple(value for value in values if value is not None)
    return None


def _numbers(text: str, pattern: str) -> Iterator[tuple[float, str]]:
    """(number, unit); a number without one has that of the next number when nothing but a joint lies between."""
    rows: list[tuple[float, str]] = []
    spans: list[tuple[int, int]] = []
    for match in re.finditer(pattern + _TAIL, text, re.IGNORECASE):
        rows.append((float(match[1].replace(",", ".")), (match[2] or "").lower()))
        spans.append(match.span())
    for n in range(len(rows) - 2, -1, -1):
        between = text[spans[n][1] : spans[n + 1][0]]
        if not rows[n][1] and re.fullmatch(r"\s*(?:[x×*/,;]|by|mal|and|und|to|bis|-)?\s*", between, re.IGNORECASE):
            rows[n] = rows[n][0], rows[n + 1][1]
    yield from rows


def _convert(value: float, own: str, wanted: str) -> float | None:
    """A value in another unit of the same dimension; None for another dimension."""
    own, wanted = (WORDS.get(each.lower(), each.lower()) for each in (own, wanted))
    if own == wanted:
        return value
    for units in DIMENSIONS:
        if own in units and wanted in units:
            return value * units[own] / units[wanted]
    return None
