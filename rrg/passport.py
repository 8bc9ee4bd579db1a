"""The passport of a slice: record -> slice -> SOP Instance UID <-> index in the volume <-> patient mm -> phrase.

What stands behind an id comes from the private folder of a store; what a record says about a slice (boxes, phrases,
citations) from the record, given or looked up by its id in files of records. Nothing is written.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg import private
from rrg.codec import decode, schema_of, word_of
from rrg.errors import RecordError, RrgError
from rrg.geometry import plane_of, slice_normal
from rrg.outputs.pictures import edges
from rrg.records import KINDS, Box, Error, ImageRef, Mask, Mention, Prediction, Record, Report, Sample, Series, Slice
from rrg.store import reference
from rrg.stream import read_lines

Line = dict[str, Any]
"""One passport, as it is printed: plain JSON values, absent where not known."""
_NAMES = re.compile(rb'"(?:id|patient|pixels|array)"\s*:\s*"([^"\\]*)"')
_REFERENCE = re.compile(r"series/([^#]+)#(\d+)")


class Asked(NamedTuple):
    """What a user wants the passport of."""

    id: str
    record: Record | None = None
    """When the record itself was given."""


# --- what is asked, and the records that belong to it


def asked_of(words: Iterable[str]) -> list[Asked]:
    """Ids, references, original UIDs or JSON records; ``-`` is records from stdin. RrgError for what is no record."""
    found: list[Asked] = []
    for word in words:
        if word == "-":
            found += [_given(line.raw, line.value) for line in read_lines([]) if _is_asked(line.value)]
        elif word.startswith("{"):
            try:
                found.append(_given(word.encode(), json.loads(word)))
            except (ValueError, RecursionError):
                raise RrgError("the argument begins with { and is not JSON; give a record as one JSON line") from None
        else:
            found.append(Asked(word))
    return found


def _is_asked(value: Any) -> bool:
    return schema_of(value) not in ("rrg.run/1", "rrg.end/1")


def _given(raw: bytes, value: Any) -> Asked:
    kind = KINDS.get(schema_of(value) or "")
    if kind is None or not isinstance(value.get("id"), str):
        raise RrgError("not a record of rrg: no known schema and id; rrg schema lists the kinds")
    return Asked(value["id"], decode(raw, kind))


class Known:
    """Records of files by id, as far as they are asked for or linked from what is; and the studies of patients."""

    def __init__(self, asked: Sequence[Asked], files: Sequence[Path]) -> None:
        self.records: dict[str, list[Record]] = {}
        self.studies: dict[str, set[str]] = {}
        for each in asked:
            if each.record is not None:
                self.records.setdefault(each.id, []).append(each.record)
        done: set[str] = set()
        wanted = {each.id for each in asked} | {link for each in asked for link in _links(each.record)}
        while files and wanted:
            done |= wanted
            wanted = {link for record in self._scan(files, wanted) for link in _links(record)} - done

    def _scan(self, files: Sequence[Path], wanted: set[str]) -> list[Record]:
        names = {name.encode() for name in wanted}
        found: list[Record] = []
        for line in read_lines(files):
            if names.isdisjoint(_NAMES.findall(line.raw)):
                continue
            value = line.value
            kind = KINDS.get(schema_of(value) or "")
            if kind is None:
                continue
            if value.get("patient") in wanted and isinstance(value.get("study"), str):
                self.studies.setdefault(value["patient"], set()).add(value["study"])
            own = {value.get("id"), value.get("pixels"), value.get("array")} & wanted
            if own:
                record = decode(line.raw, kind)
                found.append(record)
                for name in own | {value.get("id")}:
                    known = self.records.setdefault(name, [])
                    if record not in known:
                        known.append(record)
        return found

    def slice(self, name: str) -> Slice | None:
        """The slice record of an id or reference."""
        return next((record for record in self.records.get(name, ()) if isinstance(record, Slice)), None)

    def report(self, name: str) -> Report | None:
        """The report record of an id."""
        return next((record for record in self.records.get(name, ()) if isinstance(record, Report)), None)


def _links(record: Record | None) -> Iterator[str]:
    """Ids of the slices that a record is about, and of the reports that it quotes."""
    if isinstance(record, Mask):
        yield record.slice
    elif isinstance(record, Report):
        yield from (name for each in record.references for name in each.slices)
    elif isinstance(record, Sample | Prediction):
        yield from (image.slice or image.ref for image in record.images)
        yield from (mention.source.report for mention in record.mentions if mention.source)
        if not record.images:
            yield from record.from_
    elif isinstance(record, Error):
        yield record.source


# --- passports


def passports(asked: Sequence[Asked], store: Path, files: Sequence[Path] = ()) -> Iterator[tuple[Asked, list[Line]]]:
    """What is asked, and its passports: one per slice that a record is about, else one per thing behind the id.

    RrgError for an id that neither the store's private folder nor the `files` know. Positions and corners are
    (x, y, z) in mm, LPS; boxes are half-open pixels of the slice.
    """
    known = Known(asked, files)
    for each in asked:
        lines = list(_of(each, store, known))
        if not lines:
            where = "the store's private folder and the records do" if files else "the store's private folder does"
            raise RrgError(f"{each.id[:80]}: {where} not know it; give the --store it was made with, or --records FILE")
        yield each, [{"id": each.id} | line for line in lines]


def _of(asked: Asked, store: Path, known: Known) -> Iterator[Line]:
    records = [asked.record] if asked.record is not None else known.records.get(asked.id, [])
    slices_too = [record for record in records if not isinstance(record, Slice)]
    for record in slices_too:
        yield from _of_record(record, store, known)
    if len(slices_too) < len(records) or not records:
        yield from _of_name(asked.id, store, known)


def _of_name(name: str, store: Path, known: Known, study: str | None = None) -> Iterator[Line]:
    """Of an id, a reference or an original UID; looked for in `study` first, where it is known."""
    if found := _REFERENCE.fullmatch(name):
        yield from _of_reference(found[1], int(found[2]), store, known, study)
        return
    plain = name.removeprefix("series/")
    record = known.slice(plain)
    study = record.study if record else study
    lines = list(private.find(store, plain, study=study)) or (list(private.find(store, plain)) if study else [])
    for study in sorted(known.studies.get(plain, set()) - {line.get("study") for line in lines}):
        lines += [line | {"kind": "patient", "patient": plain} for line in private.find(store, study, study=study)]
    if not lines and record is not None:
        lines = [_of_slice(record)]
    for line in lines:
        own = known.slice(line["slice"]) if "slice" in line else None
        yield _placed(line | (_of_slice(own) if own else {}))


def _of_reference(series: str, index: int, store: Path, known: Known, study: str | None) -> Iterator[Line]:
    record = known.slice(reference(f"series/{series}", index))
    if record is not None:
        yield from _of_name(record.id, store, known)
        return
    slices = (private.slices_of(store, series, study=study) if study else []) or private.slices_of(store, series)
    yield from (_placed(line) for line in slices if line["index"] == index)
    if not slices:  # a store of an older version does not know places
        yield from _of_name(series, store, known)


def _of_slice(record: Slice) -> Line:
    """What a slice record says, under the names of the private folder."""
    line: Line = {"kind": "slice", "slice": record.id}
    for name in ("patient", "study", "series", "index", "frame", "position_mm", *private.GRID):
        if (value := getattr(record, name)) is not None:
            line[name] = list(value) if isinstance(value, tuple) else value
    return line


def _placed(line: Line) -> Line:
    """A passport with what follows from its numbers; other lines as they are."""
    if line.get("kind") != "slice" or "index" not in line:
        return line
    line = line | {"pixels": reference(f"series/{line['series']}", line["index"])}
    if line.get("orientation"):
        line |= {"plane": plane_of(line["orientation"]), "edges": edges(line["orientation"])._asdict()}
    if (place := place_of(line)) is not None:
        middle = place.patient_from_pixel(np.array([[(line["rows"] - 1) / 2, (line["columns"] - 1) / 2]]))
        line |= {"centre_mm": _rounded(middle[0])}
    return line


def _of_record(record: Record, store: Path, known: Known) -> Iterator[Line]:
    """One line per slice that the record is about; without slices one that says what the record is."""
    kind = word_of(record.schema)
    if isinstance(record, Series | Error):
        name = record.id if isinstance(record, Series) else record.source
        fields = ("patient", "study", "role", "taken", "reason", "code", "message", "source")
        own = {field: value for field in fields if (value := getattr(record, field, None)) is not None}
        yield from (line | own for line in list(_of_name(name, store, known, record.study)) or [{"kind": kind}])
        return
    said = list(_said(record, known))
    names = list(dict.fromkeys(name for name, _ in said))
    if isinstance(record, Sample | Prediction) and not record.images:
        names = [line for each in record.from_ for r in known.records.get(each, ()) for line in _links(r)]
    for name in names:
        here = [phrase for at, phrase in said if at == name and phrase]
        lines = list(_of_name(name, store, known, getattr(record, "study", None))) or [{"slice": name}]
        for line in lines:
            place = place_of(line)
            yield line | {"kind": kind, "phrases": [_in_mm(phrase, place) for phrase in here]}
    if not names:
        head = {name: getattr(record, name, None) for name in ("patient", "study")}
        yield {"kind": kind} | {name: value for name, value in head.items() if value} | {"phrases": []}


def _said(record: Record, known: Known) -> Iterator[tuple[str, Line]]:
    """(slice id or reference, phrase) of a record; an empty phrase for a slice that it says nothing of."""
    if isinstance(record, Mask):
        yield record.slice, {}
        for found in record.labels:
            yield record.slice, {"label": found.label, "box": _rounded(found.box.xyxy)}
    elif isinstance(record, Report):
        for each in record.references:
            start, end = record.sentences[each.sentence].span
            phrase = {"phrase": record.text[slice(*each.span)], "sentence": record.text[start:end]}
            yield from ((name, phrase | {"report": record.id, "span": list(each.span)}) for name in each.slices)
    elif isinstance(record, Sample | Prediction):
        images = {image.id: image for image in record.images}
        yield from ((_name(image), {}) for image in record.images)
        for mention in record.mentions:
            phrase = {"phrase": mention.phrase} | _source(mention, known)
            for region in mention.regions:
                image = images.get(region.image)
                if image is not None:
                    own = phrase | {"label": region.label}
                    yield from ((_name(image), own | {"box": _rounded(box.xyxy)}) for box in region.boxes)
                    if not region.boxes:
                        yield _name(image), own


def _name(image: ImageRef) -> str:
    return image.slice or image.ref


def _source(mention: Mention, known: Known) -> Line:
    """The place in the report that a phrase comes from, with its words where the report is at hand."""
    if mention.source is None:
        return {}
    line: Line = {"report": mention.source.report, "span": list(mention.source.span)}
    if (report := known.report(mention.source.report)) is not None:
        line["report_phrase"] = report.text[slice(*mention.source.span)]
    return line


# --- pixels and millimetres


class Place(NamedTuple):
    """A slice in the patient: its own grid of pixels."""

    position: NDArray[np.float64]
    """(3,) centre of pixel (0, 0): (x, y, z) in mm, LPS."""
    axes: NDArray[np.float64]
    """(2, 3) step from row to row and from column to column, in mm."""
    normal: NDArray[np.float64]

    def patient_from_pixel(self, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) (row, column) at pixel centres -> (n, 3) (x, y, z) in mm, LPS."""
        return self.position + pixel @ self.axes

    def pixel_from_patient(self, point: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """(3,) (x, y, z) in mm, LPS -> (2,) (row, column) of its foot on the plane, and mm along the normal to it."""
        way = point - self.position
        off = float(way @ self.normal)
        # Rows and columns may be up to 1 % off a right angle: solve, do not project.
        return np.asarray(np.linalg.lstsq(self.axes.T, way - self.normal * off, rcond=None)[0], float), off


def place_of(line: Mapping[str, Any]) -> Place | None:
    """The place that a passport tells; None where it has no millimetres."""
    if not (line.get("position_mm") and line.get("orientation") and line.get("spacing_mm")):
        return None
    along_row, along_column = np.array(line["orientation"][:3], float), np.array(line["orientation"][3:], float)
    between_rows, between_columns = line["spacing_mm"]
    axes = np.stack([along_column * between_rows, along_row * between_columns])
    return Place(np.array(line["position_mm"], float), axes, slice_normal(line["orientation"]))


def corners_mm(box: Box, place: Place) -> NDArray[np.float64]:
    """(4, 3) corners of a box in mm, LPS: (x0, y0), (x1, y0), (x1, y1), (x0, y1). A pixel's corner is half a pixel
    from its centre."""
    columns, rows = np.array([box.x0, box.x1, box.x1, box.x0]), np.array([box.y0, box.y0, box.y1, box.y1])
    return place.patient_from_pixel(np.column_stack([rows, columns]) - 0.5)


def _in_mm(phrase: Line, place: Place | None) -> Line:
    if "box" not in phrase or place is None:
        return phrase
    x0, y0, x1, y1 = phrase["box"]
    corners = corners_mm(Box(x0=x0, y0=y0, x1=x1, y1=y1), place)
    return phrase | {"corners_mm": [_rounded(each) for each in corners], "centre_mm": _rounded(corners.mean(axis=0))}


def _rounded(values: Iterable[float]) -> list[float]:
    """Micrometres are enough for people and machines."""
    return [round(float(value), 4) for value in values]


def at_point(lines: Sequence[Line], store: Path, point: Sequence[float]) -> list[Line]:
    """For each series of the passports: its slice whose plane is nearest to `point` (x, y, z) in mm, LPS, and where.

    Adds ``at``: row and column (of pixel centres; may lie outside of the slice) and mm off the plane along the normal.
    RrgError for a series without places.
    """
    found: list[Line] = []
    for series in dict.fromkeys(line["series"] for line in lines if isinstance(line.get("series"), str)):
        seen = [(line, place) for line in private.slices_of(store, series) if (place := place_of(line)) is not None]
        if not seen:
            raise RrgError(f"series {series}: its slices have no places in mm; no point can be looked up")
        target = np.array(point, float)
        at = [(*place.pixel_from_patient(target), line) for line, place in seen]
        pixel, off, line = min(at, key=lambda each: (abs(each[1]), each[2]["index"]))
        here = {"row": round(float(pixel[0]), 4), "column": round(float(pixel[1]), 4), "off_mm": round(off, 4)}
        found.append({"id": lines[0]["id"]} | _placed(line) | {"at": here})
    if not found:
        raise RrgError("a point needs the id of a series or a slice")
    return found


def shown(lines: Sequence[Line], store: Path, most: int) -> list[Line]:
    """Passports of the slices to draw: those of `lines`, of a series `most` evenly chosen ones; RecordError: none."""
    found: list[Line] = []
    for line in lines:
        if line.get("kind") == "series":
            slices = private.slices_of(store, line["series"])
            chosen = sorted({round(float(at)) for at in np.linspace(0, len(slices) - 1, most)}) if slices else []
            found += [_placed(slices[number]) for number in chosen]
        elif "pixels" in line:
            found.append(line)
    if not found:
        raise RecordError("E_REFERENCE", "nothing to draw: no slice with a known place; give a slice or a series")
    return found
