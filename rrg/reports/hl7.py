"""HL7 v2 observation reports (ORU^R01; documents, MDM): messages in a file, one report for each OBR.

Sections of HL7 v2.5.1: 2.5 delimiters, 2.7 escape sequences, 2.15.9 MSH, 3.4.2 PID, 7.4.1 OBR, 7.4.2 OBX; MLLP frames
(Transport Specification: MLLP, release 1); ZDS by IHE RAD TF-2, 4.4.
"""

import base64
import binascii
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rrg.errors import RecordError
from rrg.reports.headings import CODES, joined
from rrg.reports.named import Named, Standing, day_of, order_of, standing_of
from rrg.reports.text import clean, decode

_START = re.compile(rb"(?:\A|(?<=[\r\n\x0b\x1c]))(?:\xef\xbb\xbf)?[ \x0b]*MSH(?=[^\w\s]{4,6}|[^\w\s][^\w\s]{3})")
_FRAME = re.compile(rb"[\x0b\x1c]")
_BATCH = re.compile(rb"(?m)^(?:FHS|BHS|BTS|FTS)[^\w\s]")
_TYPES = ("ORU", "MDM")
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}(?=\W)")
_CHARSETS = {
    "ASCII": None,
    "8859/1": "cp1252",
    "8859/2": "iso8859_2",
    "8859/3": "iso8859_3",
    "8859/4": "iso8859_4",
    "8859/5": "iso8859_5",
    "8859/6": "iso8859_6",
    "8859/7": "iso8859_7",
    "8859/8": "iso8859_8",
    "8859/9": "iso8859_9",
    "8859/15": "iso8859_15",
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UNICODE UTF-16": "utf-16",
}
"""HL7 table 0211 -> codec. Senders write Windows-1252 under 8859/1; what says ASCII is looked at."""
_TEXT_TYPES = ("TX", "FT", "ST", "")
_DROPPED = ("D", "W", "X", "N", "I")
"""OBX-11 (table 0085): deleted, wrong patient, no results, not asked, pending: not part of the text."""
_STUDY_UID = "113014"
"""DCM code of Study Instance UID (DICOM PS3.16); else the words in OBX-3.2."""
_UID = re.compile(r"[0-2](?:\.\d+){3,}")


class _Report(NamedTuple):
    """An OBR with what belongs to it."""

    order: list[list[str]]
    """Segments ORC, OBR, IPC, ZDS that name it."""
    observations: list[list[str]]
    """OBX segments."""


class _Message:
    """One message, cut into segments and fields; fields keep their escapes."""

    def __init__(self, data: bytes) -> None:
        data = _FRAME.sub(b"", data).lstrip(b"\xef\xbb\xbf \r\n")
        self.separator = chr(data[3]) if len(data) > 3 else "|"
        codes = (data[4:8].decode("latin-1") + "^~\\&")[:4]
        if self.separator in codes:  # fewer are declared
            codes = codes.partition(self.separator)[0] + "^~\\&"[len(codes.partition(self.separator)[0]) :]
        self.component, self.repetition, self.escape, self.sub = codes[0], codes[1], codes[2], codes[3]
        header = data.partition(b"\r")[0].partition(b"\n")[0].decode("latin-1").split(self.separator)
        declared = header[17].partition(self.repetition)[0].strip().upper() if len(header) > 17 else ""
        self.charset = _CHARSETS.get(declared)
        self.segments = [line.split(self.separator) for line in self._lines(decode(data, self.charset))]

    def _lines(self, text: str) -> Iterator[str]:
        """Segments. They end with CR; with LF where a gateway changed it; a line that begins none goes on."""
        held = ""
        for line in re.split(r"\r\n|\r|\n", text):
            found = _SEGMENT.match(line)
            if found and line[3] == self.separator:
                if held:
                    yield held
                held = line
            elif held:
                held += "\n" + line
        if held:
            yield held.rstrip("\n")

    def field(self, segment: list[str], number: int) -> str:
        """Field as written, all repetitions; empty when absent. "" (two quotes) is an empty value."""
        at = number - 1 if segment[0] == "MSH" else number
        value = segment[at].strip() if at < len(segment) else ""
        return "" if value == '""' else value

    def part(self, segment: list[str], number: int, component: int = 1) -> str:
        """A component of the first repetition, without escapes."""
        parts = self.field(segment, number).partition(self.repetition)[0].split(self.component)
        return self.plain(parts[component - 1]).strip() if component <= len(parts) else ""

    def first(self, name: str) -> list[str]:
        """The first segment of a name; an empty one when there is none."""
        return next((each for each in self.segments if each[0] == name), [name])

    def plain(self, text: str) -> str:
        """Without escape sequences (2.7). Formatting becomes line ends and blanks, unknown ones go."""
        if self.escape not in text:
            return text
        sign = re.escape(self.escape)
        pattern = rf"((?:{sign}X(?:[0-9A-Fa-f]{{2}})+{sign})+)|{sign}([^{sign}\r\n]{{1,32}}){sign}"
        return re.sub(pattern, self._escaped, text)

    def _escaped(self, match: re.Match[str]) -> str:
        if match[1]:
            return decode(bytes.fromhex(re.sub(r"[^0-9A-Fa-f]|X", "", match[1])), self.charset)
        word = match[2]
        signs = {"F": self.separator, "S": self.component, "T": self.sub, "R": self.repetition, "E": self.escape}
        if word in signs:
            return signs[word]
        command = re.fullmatch(r"\.(br|sp|ce|sk|in|ti)\s*[+]?(-?\d{0,3})", word.strip())
        if command is None:
            return ""
        number = max(1, min(int(command[2] or 1), 100)) if command[2] != "-" else 1
        if command[1] == "sk":
            return " " * number
        return "\n" * (number if command[1] == "sp" else 1) if command[1] in ("br", "sp", "ce") else ""

    def reports(self) -> list[_Report]:
        """Each OBR with its segments. An OBR without text stands for no report, unless it is the only one."""
        shared: list[list[str]] = []
        order: list[list[str]] = []
        found: list[_Report] = []
        for segment in self.segments:
            if segment[0] == "ORC":
                order = [segment]
            elif segment[0] == "OBR":
                found.append(_Report([segment, *order], []))
            elif segment[0] == "OBX" and found:
                found[-1].observations.append(segment)
            elif segment[0] == "OBX":
                shared.append(segment)
            elif segment[0] in ("ZDS", "IPC"):
                for report in found:  # IHE puts one ZDS behind the last OBR of the study
                    report.order.append(segment)
        if not found and shared:
            found = [_Report([["OBR"]], shared)]
        with_text = [report for report in found if any(map(self._is_text, report.observations))]
        return with_text or found[:1]

    def _is_text(self, segment: list[str]) -> bool:
        return self.field(segment, 2) in (*_TEXT_TYPES, "ED") and bool(self.field(segment, 5))


def is_hl7(head: bytes) -> bool:
    """True when a file begins as messages, a frame or a batch do."""
    return _START.match(head) is not None or _BATCH.match(head.lstrip(b"\xef\xbb\xbf \r\n\x0b")) is not None


def names(path: Path) -> Iterator[Named]:
    """The reports of a file of messages; other messages than reports are passed over. The file is mapped, not read."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start: int | None = None
            for match in _START.finditer(data):
                if start is not None:
                    yield from _of_message(data[start : match.start()], start, match.start(), path.name)
                start = match.start()
            if start is not None:
                yield from _of_message(data[start:], start, len(data), path.name)


def _of_message(data: bytes, start: int, end: int, file_name: str) -> Iterator[Named]:
    message = _Message(data)
    if message.part(message.first("MSH"), 9) not in _TYPES:
        return
    found = message.reports()
    if not found:
        problem = "an HL7 message of a report has no OBR segment; expected OBR and OBX segments: export it again"
        yield Named(f"{file_name}\0{start}", start, end - start, problem=problem)
    for part, report in enumerate(found):
        yield _named(message, report, part)._replace(offset=start, size=end - start, part=part)


def _named(message: _Message, report: _Report, part: int) -> Named:
    header, patient = message.first("MSH"), message.first("PID")
    by_name: dict[str, list[list[str]]] = {}
    for segment in report.order:
        by_name.setdefault(segment[0], []).append(segment)
    obr, orc = by_name["OBR"][0], by_name.get("ORC", [["ORC"]])[0]
    filler = message.part(obr, 3) or message.part(orc, 3)
    accessions = [filler, *(message.part(each, 1) for each in by_name.get("IPC", ()))]
    studies = [message.part(each, 1) for each in by_name.get("ZDS", ())]
    studies += [message.part(each, 3) for each in by_name.get("IPC", ())]
    studies += [message.part(each, 5) for each in report.observations if _is_study_uid(message, each)]
    service = message.part(obr, 4) or message.part(obr, 4, 2)
    stamp = message.part(obr, 22) or message.part(header, 7)
    control = message.part(header, 10)
    return Named(
        f"hl7 {filler}\0{service}\0{control}\0{stamp}\0{part}",
        accessions=tuple(dict.fromkeys(filter(None, accessions))),
        studies=tuple(dict.fromkeys(uid for uid in studies if _UID.fullmatch(uid))),
        patient=_patient(message, patient),
        date=day_of(message.part(obr, 7)),
        standing=_standing(message, obr, report.observations),
        version=order_of(stamp),
        group=f"hl7 {filler}\0{service}" if filler else None,
    )


def _patient(message: _Message, segment: list[str]) -> str | None:
    """PID-3: the identifier of type MR, PI or PT, else the first."""
    found = [each.split(message.component) for each in message.field(segment, 3).split(message.repetition)]
    typed = [each for each in found if len(each) > 4 and each[4].strip() in ("MR", "PI", "PT")]
    return message.plain((typed or found)[0][0]).strip() or None


def _standing(message: _Message, obr: list[str], observations: list[list[str]]) -> Standing | None:
    """OBR-25; where it is empty, what all OBX-11 agree on, or else preliminary. All addendum: an addendum."""
    texts = [each for each in observations if message._is_text(each)]
    kinds = {_kind(message, each) for each in texts}
    if kinds == {"addendum"}:
        return "addendum"
    word = message.part(obr, 25)
    if word:
        return standing_of(word) if len(word) == 1 else None
    said = {standing_of(found) for each in texts if (found := message.part(each, 11))}
    if len(said) == 1:
        return said.pop()
    if said <= {"final", "corrected"}:
        return "corrected" if said else None
    return "preliminary"


def _is_study_uid(message: _Message, segment: list[str]) -> bool:
    return message.part(segment, 3) == _STUDY_UID or "study instance uid" in message.part(segment, 3, 2).lower()


def _kind(message: _Message, segment: list[str]) -> str | None:
    """Kind of section, by the code of OBX-3 or its suffix ("&IMP")."""
    code = message.field(segment, 3).partition(message.repetition)[0].partition(message.component)[0].strip()
    base, sign, suffix = code.partition(message.sub)
    return CODES.get(f"&{suffix}") if sign else CODES.get(base) or CODES.get(f"&{base}")


def text(data: bytes, part: int) -> str:
    """The text of report `part` of a message. Raises RecordError(E_REPORT) when it has none that can be read."""
    message = _Message(data)
    found = message.reports()
    if part >= len(found):
        raise RecordError("E_REPORT", "an HL7 report changed while it was read; run again")
    parts: list[tuple[str | None, str]] = []
    forms = 0
    for segment in found[part].observations:
        if message.part(segment, 11) in _DROPPED or _is_study_uid(message, segment):
            continue
        value, type_ = message.field(segment, 5), message.field(segment, 2)
        kind = _kind(message, segment)
        if type_ in _TEXT_TYPES:
            lines = [message.plain(each) for each in value.split(message.repetition)]
            parts.append((kind, "\n".join(lines) or " "))
        elif type_ == "ED":
            said = _encapsulated(message, value)
            forms += not said
            parts.append((kind, said))
        elif said := _value(message, segment, type_):
            parts.append((kind, said))
    if not any(said.strip() for _, said in parts):
        what = f"{forms} embedded documents that are no text" if forms else "no text in its OBX segments"
        raise RecordError("E_REPORT", f"an HL7 report has {what}; expected TX, FT, ST, or ED with text, HTML or RTF")
    return joined(_together(parts), None)


def _together(parts: list[tuple[str | None, str]]) -> Iterator[tuple[str | None, str]]:
    """Segments of one section are its lines, in order; an empty segment is an empty line."""
    lines: list[str] = []
    last: str | None = None
    for kind, said in parts:
        if kind != last and lines:
            yield last, "\n".join(lines)
            lines = []
        last = kind
        lines.append(said.rstrip())
    if lines:
        yield last, "\n".join(lines)


def _value(message: _Message, segment: list[str], type_: str) -> str:
    """A measured or coded observation as a line: "name: value unit"."""
    if type_ in ("CE", "CWE", "CNE"):
        said = message.part(segment, 5, 2) or message.part(segment, 5)
    elif type_ in ("NM", "SN"):
        said = message.plain(message.field(segment, 5).replace(message.component, " ")).strip()
        said = f"{said} {message.part(segment, 6)}".strip() if said else ""
    else:  # names of persons, dates, pointers
        return ""
    name = message.part(segment, 3, 2)
    return f"{name}: {said}" if said and name else said


def _encapsulated(message: _Message, value: str) -> str:
    """Text of an ED value: source ^ type ^ subtype ^ encoding ^ data (2.A.24). Empty for a PDF or a picture."""
    parts = value.split(message.component, 4)
    if len(parts) < 5:
        return ""
    encoding, held = parts[3].strip().lower(), message.plain(parts[4])
    try:
        if encoding == "base64":
            raw = base64.b64decode(re.sub(r"\s+", "", held), validate=True)
        elif encoding == "hex":
            raw = bytes.fromhex(held)
        else:
            return clean(held)
    except (binascii.Error, ValueError):
        return ""
    is_text = "text" in parts[1].lower() or re.search(r"(?i)rtf|html|plain|text", parts[2]) or raw[:5] == b"{\\rtf"
    return clean(decode(raw)) if is_text and raw[:5] != b"%PDF-" else ""
