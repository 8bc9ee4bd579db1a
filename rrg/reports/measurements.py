"""Sizes in the text, in mm: "1,2 x 0,9 cm", "bis 14 mm", "5-mm"."""

import re
from collections.abc import Iterator

from rrg.records import Measurement

_NUMBER = r"\d{1,4}(?:[.,]\d{1,2})?"
_UNIT = r"(?:mm|cm|Millimetern?|Zentimetern?|Centimetern?|millimet(?:er|re)s?|centimet(?:er|re)s?)"
_TIMES = r"\s*(?:x|X|×|\*|mal|by)\s*"
_SIZE = re.compile(
    rf"(?<![\w.,/])(?P<low>{_NUMBER})(?:\s*(?P<unit1>{_UNIT})?(?P<times>{_TIMES})(?P<b>{_NUMBER})"
    rf"(?:\s*(?P<unit2>{_UNIT})?{_TIMES}(?P<c>{_NUMBER}))?|\s*(?P<range>-|–|bis|to)\s*(?P<high>{_NUMBER}))?"
    rf"[\s-]?(?P<unit>{_UNIT})(?![²³\w^/]|\s*(?:Hg|H2O|/))"
)
_CM = 10.0
LONGEST_MM = 2000.0
"""Longer than a patient: not a size of a finding."""


def measurements_of(text: str, start: int, end: int) -> Iterator[Measurement]:
    """Sizes in ``text[start:end]``. A range ("3-4 mm") counts with its upper end."""
    for match in _SIZE.finditer(text, start, end):
        unit = match["unit"]
        if match["high"]:
            values = [(match["high"], unit)]
        else:
            values = [(match["low"], match["unit1"] or match["unit2"] or unit)]
            if match["b"]:
                values.append((match["b"], match["unit2"] or unit))
            if match["c"]:
                values.append((match["c"], unit))
        mm = tuple(round(float(value.replace(",", ".")) * _factor(each), 4) for value, each in values)
        if all(0 < each <= LONGEST_MM for each in mm):
            yield Measurement(span=match.span(), value_mm=mm)


def _factor(unit: str) -> float:
    return _CM if unit[0] in "cCZz" else 1.0
