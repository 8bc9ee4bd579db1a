"""FHIR R4 and R5 reports in JSON: DiagnosticReport, alone, in a Bundle or a line each; forms (Questionnaire) as text.

Fields by http://hl7.org/fhir/R4/diagnosticreport.html and http://hl7.org/fhir/R5/diagnosticreport.html.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

from rrg.errors import RecordError
from rrg.reports.headings import joined
from rrg.reports.named import Named, day_of, lang_of, order_of, standing_of
from rrg.reports.text import clean, decode

_FORMS = ("Questionnaire", "QuestionnaireResponse")
_CONTEXT = ("ImagingStudy", "Patient", "ServiceRequest")
_DEEPEST = 50
"""Levels of nested form items."""

Resource = dict[str, Any]


def is_resource(item: Any) -> bool:
    """True for a JSON object that says it is a FHIR resource."""
    return isinstance(item, dict) and isinstance(item.get("resourceType"), str)


def is_context(item: Any) -> bool:
    """True for a resource that tells something about reports, without being one."""
    return is_resource(item) and item["resourceType"] in (*_CONTEXT, "Bundle")


class Around:
    """The identifiers of the resources that reports point at. The resources themselves are not kept."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._known: dict[str, list[Resource]] = {}
        for item in items:
            for resource, url in _all(item):
                if is_context(resource):
                    identifiers = _list(resource.get("identifier"))
                    for name in (f"{resource['resourceType']}/{resource.get('id')}", url):
                        if name:
                            self._known[name] = identifiers

    def identifiers(self, reference: Any, report: Resource) -> list[Resource]:
        """Of what a Reference means: its own, of a contained resource, or of one beside the report."""
        if not isinstance(reference, dict):
            return []
        found = [reference["identifier"]] if isinstance(reference.get("identifier"), dict) else []
        target = reference.get("reference")
        if not isinstance(target, str):
            return found
        if target.startswith("#"):
            inside = (each for each in _list(report.get("contained")) if each.get("id") == target[1:])
            return found + [each for one in inside for each in _list(one.get("identifier"))]
        short = "/".join(target.partition("/_history")[0].split("/")[-2:])
        return found + (self._known.get(target) or self._known.get(short) or [])


def names(item: Resource, around: Around, otherwise: str, file_name: str) -> Iterator[Named]:
    """The reports of a resource; `part` counts them. `otherwise` stands for an id, `file_name` for a form's key."""
    if item["resourceType"] == "Bundle":
        around = Around([item]) if not around._known else around
    for part, resource in enumerate(_reports(item)):
        yield _named(resource, around, f"{otherwise}\0{part}", file_name)._replace(part=part)


def _named(report: Resource, around: Around, otherwise: str, file_name: str) -> Named:
    if report["resourceType"] in _FORMS:
        return Named(otherwise, name=file_name)
    identifiers = _list(report.get("identifier"))
    orders = [each for one in _list(report.get("basedOn")) for each in around.identifiers(one, report)]
    pointers = [*_list(report.get("imagingStudy")), *_list(report.get("study"))]
    shown = [each for one in pointers for each in around.identifiers(one, report)]
    accessions = [_value(each) for each in (*identifiers, *orders, *shown) if _is_accession(each)]
    studies = [_value(each).removeprefix("urn:oid:") for each in shown if _is_uid(each)]
    own = [f"{each.get('system') or ''}|{_value(each)}" for each in identifiers if not _is_accession(each)]
    id_ = report.get("id")
    group = f"fhir {id_}" if isinstance(id_, str) else f"fhir {own[0]}" if own else None
    patients = [_value(each) for each in around.identifiers(report.get("subject"), report)]
    period = report.get("effectivePeriod")
    start = report.get("effectiveDateTime") or (period.get("start") if isinstance(period, dict) else None)
    meta = report.get("meta") if isinstance(report.get("meta"), dict) else {}
    stamp = report.get("issued") or cast(Resource, meta).get("lastUpdated")
    status = report.get("status")
    version = order_of(stamp) if isinstance(stamp, str) else None
    return Named(
        f"{group or otherwise}\0{version or ''}",
        accessions=tuple(dict.fromkeys(filter(None, accessions))),
        studies=tuple(dict.fromkeys(filter(None, studies))),
        patient=next(filter(None, patients), None),
        date=day_of(start if isinstance(start, str) else None),
        lang=lang_of(report.get("language")),
        standing=standing_of(status) if isinstance(status, str) else None,
        version=version,
        group=group,
    )


def text(item: Resource, part: int) -> str:
    """The text of report `part`. Raises RecordError(E_REPORT) when it has none.

    The issued form (plain text, HTML or RTF) is the report; else the narrative. The conclusion follows as impression
    where the text does not hold it already.
    """
    report = next((each for at, each in enumerate(_reports(item)) if at == part), None)
    if report is None:
        raise RecordError("E_REPORT", "a FHIR report changed while it was read; run again")
    if report["resourceType"] in _FORMS:
        return "\n".join(_form(report.get("item"), 0))
    forms = _list(report.get("presentedForm"))
    found = next(filter(None, (_form_text(form, kind) for kind in ("plain", "html", "rtf", "") for form in forms)), "")
    narrative = report.get("text")
    if not found and isinstance(narrative, dict) and isinstance(narrative.get("div"), str):
        found = clean(cast(str, narrative["div"]))
    conclusion = report.get("conclusion")
    conclusion = clean(conclusion) if isinstance(conclusion, str) else ""
    if conclusion and _bare(conclusion) not in _bare(found):
        return joined([(None, found), ("impression", conclusion)], lang_of(report.get("language")))
    if not found:
        kinds = ", ".join(sorted({re.sub(r"[^a-z/+.-]", "", str(each.get("contentType"))) for each in forms}))
        what = f"forms of type {kinds}" if forms else "no form, narrative or conclusion"
        raise RecordError("E_REPORT", f"a FHIR report has {what}; expected text, HTML or RTF: export it as text")
    return found


def _form_text(form: Resource, kind: str) -> str:
    """The clean text of an Attachment of this kind ("" is any text); empty when it is none."""
    content, data = str(form.get("contentType") or "").lower(), form.get("data")
    if not isinstance(data, str) or (kind or "text/") not in (content or "text/"):
        return ""
    try:
        raw = base64.b64decode(re.sub(r"\s+", "", data), validate=True)
    except (binascii.Error, ValueError):
        return ""
    if raw[:5] == b"%PDF-":
        return ""
    charset = re.search(r"charset\s*=\s*\"?([\w-]+)", content)
    return clean(decode(raw, charset[1] if charset else None))


def _bare(text: str) -> str:
    return "".join(text.split())


def _form(items: Any, depth: int) -> Iterator[str]:
    """A form as lines: what is asked, then what may be or was answered."""
    for item in _list(items):
        title = str(item.get("text") or item.get("linkId") or "").strip()
        answers = [*_list(item.get("answer")), *_list(item.get("initial")), *_list(item.get("answerOption"))]
        said = ", ".join(filter(None, (_answer(each) for each in answers)))
        if title or said:
            yield f"{title}: {said}" if said else f"{title}:" if item.get("item") else title
        if depth < _DEEPEST:
            yield from _form(item.get("item"), depth + 1)


def _answer(answer: Resource) -> str:
    for name, value in answer.items():
        if name.startswith("value"):
            if isinstance(value, dict):
                number = " ".join(str(value[key]) for key in ("value", "unit") if key in value)
                return str(value.get("display") or number or "")
            return str(value)
    return ""


# --- the shape of resources


def _all(item: Any) -> Iterator[tuple[Resource, str | None]]:
    """(resource, its full URL): an item, or the entries of a Bundle."""
    if not is_resource(item):
        return
    if item["resourceType"] != "Bundle":
        yield item, None
        return
    for entry in _list(item.get("entry")):
        if is_resource(entry.get("resource")):
            url = entry.get("fullUrl")
            yield entry["resource"], url if isinstance(url, str) else None


def _reports(item: Resource) -> Iterator[Resource]:
    for resource, _ in _all(item):
        if resource["resourceType"] in ("DiagnosticReport", *_FORMS):
            yield resource


def _list(value: Any) -> list[Resource]:
    """The objects of a repeated element."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, dict)]


def _value(identifier: Resource) -> str:
    value = identifier.get("value")
    return value.strip() if isinstance(value, str) else ""


def _is_accession(identifier: Resource) -> bool:
    """Type ACSN of HL7 v2 table 0203."""
    types = _list(identifier.get("type"))
    return any(coding.get("code") == "ACSN" for one in types for coding in _list(one.get("coding")))


def _is_uid(identifier: Resource) -> bool:
    """``urn:dicom:uid`` is the system of DICOM UIDs, written ``urn:oid:1.2.3``."""
    value = _value(identifier)
    oid = re.fullmatch(r"(?:urn:oid:)?[0-2](?:\.\d+)+", value) is not None
    return oid and (identifier.get("system") == "urn:dicom:uid" or value.startswith("urn:oid:"))
