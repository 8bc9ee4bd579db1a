"""Text of a report -> the text that is stored: what identifies somebody gives way to a placeholder.

``[NAME] [DATE] [ID] [PHONE] [EMAIL] [URL] [ADDRESS] [INSTITUTION] [AGE]``. Rules and lists, German and English alike;
they miss some and take some too many. The result is pseudonymised, and still personal data.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from rrg.errors import RecordError
from rrg.reports import phi_known
from rrg.reports.phi_dates import dates_of
from rrg.reports.phi_institutions import institutions_of
from rrg.reports.phi_known import EMPTY, Known
from rrg.reports.phi_map import Place
from rrg.reports.phi_names import names_of
from rrg.reports.phi_places import places_of
from rrg.reports.phi_residual import residual_of
from rrg.reports.phi_rules import numbers_of
from rrg.reports.phi_spans import PLACEHOLDER, Spot, tokens_of
from rrg.reports.phi_words import lists_digest

VERSION = "rrg-phi/1"
WARNING = "report text is pseudonymised, still personal data; rules miss some"
_ORDER = ("email", "url", "phone", "id", "date", "age", "address", "institution", "name")
"""Kinds by what wins where places overlap; the place is the union."""
RESIDUAL = "residual"
"""Key of the ledger: places that the second look holds possible."""


@dataclass(frozen=True, kw_only=True)
class Phi:
    """What becomes of identifying text. Plain values: every worker gets it."""

    mode: Literal["mask", "fail"] = "mask"
    known: str | None = None
    """Path of the ``--phi-known`` table."""
    known_digest: str = ""
    """Keyed hash of that table at the start of the run."""
    maps: str | None = None
    """Folder of the offset maps; None: none are written."""


class Masked(NamedTuple):
    """A text without what the rules found."""

    text: str
    places: tuple[Place, ...]
    ledger: Mapping[str, int]
    """Rule -> places; ``residual`` -> what may be left."""
    left: Mapping[str, int]
    """The residual by reason."""


@cache
def version() -> str:
    """``rrg-phi/1:`` and the checksum of its word lists."""
    return f"{VERSION}:{lists_digest()}"


def mask(text: str, known: Known = EMPTY, report: phi_known.Report | None = None) -> Masked:
    """Mask a cleaned text. `report` says whose it is, for rows of `known` that are limited. Linear in the length."""
    report = report or phi_known.Report()
    places = _placed(_joined(text, _spots(text, known, report)))
    parts: list[str] = []
    at = 0
    for place in places:
        parts += [text[at : place.original_start], placeholder(place.rule)]
        at = place.original_end
    masked = "".join((*parts, text[at:]))
    left = residual_of(masked, known, report)
    ledger = dict(sorted(Counter(place.rule for place in places).items()))
    return Masked(masked, places, ledger | {RESIDUAL: sum(left.values())}, left)


def placeholder(rule: str) -> str:
    """``name.title`` -> ``[NAME]``."""
    return f"[{rule.partition('.')[0].upper()}]"


def masked_or_refused(text: str, phi: Phi, key: bytes, names: Iterable[str]) -> Masked:
    """`mask` as the command was told to. `names`: keyed hashes of the report's patient, study and accession number.

    Raises RecordError(E_PHI) under ``fail`` when a rule found something: names of rules and counts, never the text.
    """
    known = phi_known.load(phi.known, key, phi.known_digest) if phi.known else EMPTY
    masked = mask(text, known, phi_known.Report(frozenset(names)))
    found = {rule: n for rule, n in masked.ledger.items() if rule != RESIDUAL}
    if phi.mode == "fail" and found:
        listed = ", ".join(f"{rule} {n}" for rule, n in found.items())
        raise RecordError("E_PHI", f"identifying text in the report ({listed}); mask it at the source, or --phi mask")
    return masked


def _spots(text: str, known: Known, report: phi_known.Report) -> list[Spot]:
    tokens = tokens_of(text)
    found = [*numbers_of(text), *dates_of(text), *places_of(text), *institutions_of(text), *names_of(text, tokens)]
    found += phi_known.known_of(text, tokens, known, report)
    written = [match.span() for match in PLACEHOLDER.finditer(text)]
    return _outside(sorted(spot for spot in found if spot.start < spot.end), written)


def _outside(spots: list[Spot], written: Sequence[tuple[int, int]]) -> list[Spot]:
    """The spots that do not touch a placeholder which the text had before."""
    if not written:
        return spots
    kept: list[Spot] = []
    at = 0
    for spot in spots:
        while at < len(written) and written[at][1] <= spot.start:
            at += 1
        if at == len(written) or spot.end <= written[at][0]:
            kept.append(spot)
    return kept


def _rank(rule: str) -> int:
    return _ORDER.index(rule.partition(".")[0])


def _precedence(spot: Spot) -> tuple[bool, int, bool]:
    return not spot.rule.endswith(".known"), _rank(spot.rule), spot.rule.endswith(".again")


def _joined(text: str, spots: Sequence[Spot]) -> list[Spot]:
    """One spot for what overlaps, and for parts of one name side by side."""
    made: list[Spot] = []
    for spot in spots:
        last = made[-1] if made else None
        if last is not None and spot.start < last.end:
            rule = min((last, spot), key=_precedence).rule
            made[-1] = Spot(last.start, max(last.end, spot.end), rule)
        elif (
            last is not None
            and last.rule.startswith("name.")
            and spot.rule.startswith("name.")
            and text[last.end : spot.start] in (" ", ", ", "-", " - ", ",", ". ")
            and (text[last.end : spot.start] != ". " or last.end - last.start == 1)
        ):
            made[-1] = Spot(last.start, spot.end, last.rule if not last.rule.endswith(".again") else spot.rule)
        else:
            made.append(spot)
    return made


def _placed(spots: Sequence[Spot]) -> tuple[Place, ...]:
    places: list[Place] = []
    shift = 0
    for start, end, rule in spots:
        first = start + shift
        last = first + len(placeholder(rule))
        places.append(Place(first, last, start, end, rule))
        shift = last - end
    return tuple(places)
