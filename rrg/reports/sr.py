"""DICOM structured reports: the content tree as text (DICOM PS3.3 C.17.3), status and keys from the header (C.17.2)."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrg.errors import RecordError
from rrg.records import Lang
from rrg.reports.headings import CODES, HEADINGS, joined
from rrg.reports.named import Named, Standing, day_of, order_of

_SR = "1.2.840.10008.5.1.4.1.1.88."
REPORTS = frozenset(_SR + end for end in ("11", "22", "33", "34", "35"))
"""Basic Text, Enhanced, Comprehensive, Comprehensive 3D, Extensible SR. Dose reports, CAD and key images are none."""
_LANGUAGE = "121049"
"""Language of Content Item and Descendants (DCM)."""
_COUNTRY = "121046"
"""Country of Language (DCM)."""
_PROCEDURE = "121058"
"""Procedure reported (DCM)."""
_PLAIN = frozenset(
    ("121071", "121073", "121075", "121077", "121069", "121059", "121063", "121065", "121067", "121079", "121061")
)
"""Codes of single statements below the headings of CID 7001 ("Finding", "Impression", ...): no label of their own."""
_DEEPEST = 64
_LONGEST = 200_000
"""Content items."""

_HEADER = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "AccessionNumber",
    "PatientID",
    "StudyDate",
    "ContentDate",
    "ContentTime",
    "CompletionFlag",
    "VerificationFlag",
    "PreliminaryFlag",
    "PredecessorDocumentsSequence",
    "ReferencedRequestSequence",
    "ConceptNameCodeSequence",
)


def is_dicom(head: bytes) -> bool:
    """True for a file with the preamble of DICOM PS3.10."""
    return head[128:132] == b"DICM"


def _read(path: Path, only: tuple[str, ...] | None = None) -> Any:
    """The data set, or None when it can not be parsed. pydicom's warnings may quote values: they are kept back."""
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(only) if only else None)
            found.walk(lambda _data, _element: None)  # values are decoded here, not where a warning could escape
        except OSError:
            raise
        except Exception:  # a hostile file raises anything
            return None
    return found


def names(path: Path, *, alone: bool) -> Iterator[Named]:
    """The report of a file. Other DICOM objects are passed over; a file given by itself is told to be none."""
    found = _read(path, _HEADER)
    class_ = _text(found, "SOPClassUID") or _text(getattr(found, "file_meta", None), "MediaStorageSOPClassUID")
    if found is None or not class_:
        yield Named(path.name, problem="a DICOM file can not be parsed; export it again")
        return
    if class_ not in REPORTS:
        if alone:
            yield Named(path.name, problem="a DICOM file is no structured report with text; leave it out")
        return
    sop = _text(found, "SOPInstanceUID") or path.name
    earlier = [
        _text(instance, "ReferencedSOPInstanceUID")
        for study in _sequence(found, "PredecessorDocumentsSequence")
        for series in _sequence(study, "ReferencedSeriesSequence")
        for instance in _sequence(series, "ReferencedSOPSequence")
    ]
    requests = _sequence(found, "ReferencedRequestSequence")
    accessions = [_text(found, "AccessionNumber"), *(_text(each, "AccessionNumber") for each in requests)]
    studies = [_text(found, "StudyInstanceUID"), *(_text(each, "StudyInstanceUID") for each in requests)]
    yield Named(
        f"sr {sop}",
        accessions=tuple(dict.fromkeys(filter(None, accessions))),
        studies=tuple(dict.fromkeys(filter(None, studies))),
        patient=_text(found, "PatientID") or None,
        date=day_of(_text(found, "StudyDate")),
        standing=_standing(found, bool(earlier)),
        version=order_of(_text(found, "ContentDate") + _text(found, "ContentTime")),
        group=f"sr {sop}",
        replaces=tuple(f"sr {each}" for each in earlier if each),
    )


def _standing(found: Any, has_earlier: bool) -> Standing:
    """Preliminary Flag (0040,A496) decides; without it an unverified or partial document is preliminary."""
    if CODES.get(_code(found)[0]) == "addendum":
        return "addendum"
    flag = _text(found, "PreliminaryFlag")
    is_final = _text(found, "CompletionFlag") == "COMPLETE" and (
        flag == "FINAL" or (not flag and _text(found, "VerificationFlag") == "VERIFIED")
    )
    return ("corrected" if has_earlier else "final") if is_final else "preliminary"


def text(path: Path) -> str:
    """The content tree as text: containers are headings, the rest are lines. Raises RecordError(E_REPORT)."""
    found = _read(path)
    if found is None:
        raise RecordError("E_REPORT", "a DICOM file can not be parsed; export it again")
    walk = _Walk()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        walk.children(found, None, 0)
    if not walk.parts:
        raise RecordError("E_REPORT", "a structured report has no text, code or number; leave it out")
    return joined(walk.parts, walk.lang)


class _Walk:
    """Goes through the tree in order. Observers, subjects and other names of persons (HAS OBS CONTEXT) are left out."""

    def __init__(self) -> None:
        self.parts: list[tuple[str | None, str]] = []
        self.lang: Lang | None = None
        self._items = 0

    def children(self, item: Any, heading: str | None, depth: int) -> None:
        if depth > _DEEPEST:
            return
        for child in _sequence(item, "ContentSequence"):
            self._items += 1
            if self._items > _LONGEST:
                raise RecordError("E_REPORT", f"a structured report has more than {_LONGEST} content items")
            self._one(child, heading, depth)

    def _one(self, item: Any, heading: str | None, depth: int) -> None:
        code, meaning = _code(item)
        kind, relation = _text(item, "ValueType"), _text(item, "RelationshipType")
        if relation == "HAS CONCEPT MOD":
            if code == _LANGUAGE and (tag := _code(item, "ConceptCodeSequence")[0].lower()[:2]) in ("de", "en"):
                self.lang = "de" if tag == "de" else "en"
            if depth == 0 and code == _PROCEDURE and kind == "CODE" and (said := _said(item, kind)):
                self.parts.append(("technique", said))
            if depth == 0 or code in (_LANGUAGE, _COUNTRY):
                return
        if relation == "HAS OBS CONTEXT":
            return
        if kind == "CONTAINER":
            self.children(item, CODES.get(code) or meaning or heading, depth + 1)
            return
        own = CODES.get(code)
        label = "" if own or code in _PLAIN else meaning
        if said := _said(item, kind):
            head = own or heading
            if own is None and heading and meaning.lower() in (heading.lower(), _title(heading)):
                label = ""
            self.parts.append((head, f"{label}: {said}" if label else said))
        self.children(item, own or heading, depth + 1)


def _title(heading: str) -> str:
    return HEADINGS[heading]["en"].lower() if heading in HEADINGS else ""


def _said(item: Any, kind: str) -> str:
    """What a content item says; empty for persons, dates, references and coordinates."""
    if kind == "TEXT":
        return str(getattr(item, "TextValue", "") or "").strip()
    if kind == "CODE":
        return _code(item, "ConceptCodeSequence")[1]
    if kind == "NUM":
        for value in _sequence(item, "MeasuredValueSequence"):
            unit, name = _code(value, "MeasurementUnitsCodeSequence")
            unit = "" if unit in ("1", "{ratio}") else name if unit.startswith("{") else unit
            return f"{getattr(value, 'NumericValue', '')} {unit}".strip()
    return ""


def _text(item: Any, keyword: str) -> str:
    value = getattr(item, keyword, None)
    return "" if value is None else str(value).strip(" \0")


def _sequence(item: Any, keyword: str) -> list[Any]:
    from pydicom.sequence import Sequence

    value = getattr(item, keyword, None)
    return list(value) if isinstance(value, Sequence) else []


def _code(item: Any, keyword: str = "ConceptNameCodeSequence") -> tuple[str, str]:
    """(code value, meaning) of the first item; empty where absent."""
    for one in _sequence(item, keyword):
        value = _text(one, "CodeValue") or _text(one, "LongCodeValue") or _text(one, "URNCodeValue")
        return value, _text(one, "CodeMeaning")
    return "", ""
