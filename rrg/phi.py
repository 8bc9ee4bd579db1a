"""Which identifying attributes the input files held, never a value: the facts behind ``--phi-report``."""

import contextlib
import json
import os
import secrets
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict, cast

import pydicom
from pydicom import config
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag

from rrg import private
from rrg.burned_in import likely_burned_in
from rrg.errors import RecordError, RrgError, plain_target, unreadable
from rrg.files import open_file
from rrg.keys import Dates
from rrg.phi_tags import IDENTIFYING_VRS, PRIVATE_FILE, PROFILE, Deed, deed

config.settings.reading_validation_mode = config.IGNORE  # a bad value must not reach a log

MAX_DEPTH = 64
"""Sequences in sequences: nothing a scanner writes is nested deeper than about ten."""


class PhiFacts(TypedDict):
    """What some files hold: names of attributes and counts only, so it is JSON as it stands."""

    files: int
    unread: int
    """Files whose header could not be parsed as a whole; they count for nothing else."""
    keywords: dict[str, int]
    """Files by identifying attribute with a value, at any depth."""
    claims: dict[str, int]
    """Files by ``BurnedInAnnotation YES``, ``PatientIdentityRemoved NO`` and so on."""
    private: int
    """Private elements (creators not counted; the content of private sequences not counted again)."""
    private_orphans: int
    """Those whose private creator is missing or empty."""
    private_files: int
    overlay_files: int
    icon_files: int
    """Files with an embedded icon image: a small copy of the pixels, text included."""
    burned_in_files: int
    """Files with text likely in the pixels (`likely_burned_in`)."""


def no_facts() -> PhiFacts:
    """The facts of no file."""
    return PhiFacts(
        files=0,
        unread=0,
        keywords={},
        claims={},
        private=0,
        private_orphans=0,
        private_files=0,
        overlay_files=0,
        icon_files=0,
        burned_in_files=0,
    )


def merge(one: Mapping[str, Any], two: Mapping[str, Any]) -> PhiFacts:
    """Sum of the facts of different files, in any order and grouping the same."""
    summed: dict[str, Any] = {}
    for name in no_facts():
        a, b = one[name], two[name]
        summed[name] = dict(sorted((Counter(a) + Counter(b)).items())) if isinstance(a, dict) else a + b
    return cast(PhiFacts, summed)


def facts_of_files(paths: Iterable[str]) -> PhiFacts:
    """Facts of several files, by `facts_of`; those that can not be read are counted as ``unread``."""
    total = no_facts()
    for path in paths:
        try:
            total = merge(total, facts_of(path))
        except RecordError:
            total = merge(total, {**no_facts(), "files": 1, "unread": 1})
    return total


def facts_of(path: str) -> PhiFacts:
    """Facts of one DICOM file (see `rrg.files.Source.path`), from its whole header without the pixels.

    RecordError: E_PATH (can not be read), E_NOT_DICOM, E_MALFORMED, and what `open_file` refuses.
    """
    try:
        if "\0" not in path and not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            raise RecordError("E_NOT_DICOM", "not a regular file (folder, pipe, socket or device)")
        with open_file(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _facts(pydicom.dcmread(file, stop_before_pixels=True, force=True))
    except RecordError:
        raise
    except OSError as error:
        raise unreadable(error) from None
    except Exception as error:  # pydicom raises whatever a hostile header provokes, RecursionError too
        raise RecordError(
            "E_MALFORMED", f"header can not be parsed ({type(error).__name__}); leave the file out"
        ) from None


class _Told(NamedTuple):
    burned_in: bool
    sop_class: str
    modality: str
    image_type: tuple[str, ...]


def _facts(dataset: Dataset) -> PhiFacts:
    meta = getattr(dataset, "file_meta", Dataset())
    if not any(_text(place, keyword) for place, keyword in _marks(dataset, meta)):
        raise RecordError("E_NOT_DICOM", "no DICOM data set can be read from it; leave the file out")
    counts: Counter[str] = Counter()
    keywords = sorted({keyword for place in (meta, dataset) for keyword in _walk(place, counts, 0)})
    words = {name: _yes_no(dataset, name) for name in ("BurnedInAnnotation", "PatientIdentityRemoved")}
    told = _Told(
        words["BurnedInAnnotation"] == "YES",
        _text(dataset, "SOPClassUID") or _text(meta, "MediaStorageSOPClassUID"),
        _text(dataset, "Modality").upper(),
        tuple(part.strip().upper() for part in _text(dataset, "ImageType").split("\\")),
    )
    return PhiFacts(
        files=1,
        unread=0,
        keywords=dict.fromkeys(keywords, 1),
        claims={f"{name} {word}": 1 for name, word in words.items() if word},
        private=counts["private"],
        private_orphans=counts["orphan"],
        private_files=int(counts["private"] > 0),
        overlay_files=int(counts["overlay"] > 0),
        icon_files=int("IconImageSequence" in keywords),
        burned_in_files=int(likely_burned_in(told)),
    )


def _marks(dataset: Dataset, meta: Dataset) -> tuple[tuple[Dataset, str], ...]:
    """Where a DICOM object says that it is one: text read as tags has none of these."""
    return (
        (dataset, "SOPClassUID"),
        (dataset, "SOPInstanceUID"),
        (dataset, "Modality"),
        (meta, "MediaStorageSOPClassUID"),
    )


def _walk(dataset: Dataset, counts: Counter[str], depth: int) -> Iterator[str]:
    """Keywords of the identifying attributes with a value; private elements and overlays are counted."""
    if depth > MAX_DEPTH:
        raise RecordError("E_MALFORMED", f"sequences nested deeper than {MAX_DEPTH}; leave the file out")
    for tag in sorted(dataset.keys()):
        if tag.is_private:
            if not tag.is_private_creator:
                counts["private"] += 1
                counts["orphan"] += not _has_creator(dataset, tag)
            continue
        if 0x6000 <= tag.group <= 0x60FF:
            counts["overlay"] += tag.element == 0x3000
            if tag.element == 0x4000 and _filled(dataset, tag):
                yield "OverlayComments"
            continue
        if not dictionary_has_tag(tag) or not _filled(dataset, tag):
            continue
        keyword, vr = keyword_for_tag(tag), _vr(dataset, tag)
        if keyword in PROFILE or vr in IDENTIFYING_VRS or (vr == "UI" and _is_own_uid(_text(dataset, keyword))):
            yield keyword
        if vr == "SQ":
            value = dataset[tag].value
            for item in value if isinstance(value, Items) else ():
                yield from _walk(item, counts, depth + 1)


def _vr(dataset: Dataset, tag: BaseTag) -> str:
    """VR of the file, or of the dictionary where the file names none."""
    found = dataset.get_item(tag)
    named = getattr(found, "VR", None)
    return dictionary_VR(tag) if named in (None, "UN") else str(named)


def _has_creator(dataset: Dataset, tag: BaseTag) -> bool:
    block = tag.element >> 8
    return block >= 0x10 and _filled(dataset, BaseTag(tag.group << 16 | block))


def _filled(dataset: Dataset, tag: BaseTag) -> bool:
    """The element is there and holds more than blanks."""
    value = dataset.get_item(tag).value if tag in dataset else None
    if isinstance(value, bytes):
        return bool(value.strip(b" \0"))
    if isinstance(value, str):
        return bool(value.strip(" \0"))
    return value is not None and (not hasattr(value, "__len__") or len(value) > 0)


def _text(dataset: Dataset, keyword: str) -> str:
    """Raw text of an element, for comparison only."""
    tag = BaseTag(tag_for_keyword(keyword) or 0)
    value = dataset.get_item(tag).value if tag in dataset else ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    return "\\".join(map(str, value)) if isinstance(value, list | MultiValue) else str(value or "")


def _yes_no(dataset: Dataset, keyword: str) -> Literal["YES", "NO"] | None:
    word = _text(dataset, keyword).upper()
    return "YES" if word == "YES" else "NO" if word == "NO" else None


def _is_own_uid(text: str) -> bool:
    """A UID that somebody made, not one of the standard."""
    return any(part and not part.startswith("1.2.840.10008.") for part in text.split("\\"))


# --- the report

DATES: dict[Dates, str] = {
    "keep": "kept as the real date (`--dates keep`): identifying",
    "shift": "shifted by a secret number of days per patient (`--dates shift`)",
    "year": "reduced to the year (`--dates year`)",
}


def write_report(store: Path, path: Path, dates: Dates) -> None:
    """Write `report_markdown` of all that a store remembers (`rrg.private`) to `path`, whole or not at all."""
    facts, burned_in = no_facts(), []
    for each in sorted((private.folder(store) / "studies").glob("*.json")):
        known = json.loads(each.read_bytes())
        facts = merge(facts, {**no_facts(), **known.get("phi", {})})
        burned_in += [name for entry in known.get("series", {}).values() for name in _burned_in_slices(entry)]
    target = plain_target(path, "--phi-report")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(report_markdown(facts, sorted(burned_in), dates))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RrgError(f"--phi-report {path}: {error.strerror}; give another file", "E_IO") from None


def _burned_in_slices(entry: Mapping[str, Any]) -> Iterator[str]:
    """Ids of the slices with the flag ``burned_in``; flags stand with the slice where they differ from its series'."""
    shared = entry.get("grid", {}).get("flags", ())
    for name, own in entry.get("slices", {}).items():
        if "burned_in" in own.get("flags", shared):
            yield name


def report_markdown(facts: PhiFacts, burned_in: Sequence[str], dates: Dates) -> str:
    """The report, for people: what was found, what rrg does with each, burned-in images by slice id. No values.

    `burned_in` are the ids of the extracted slices with text likely in the pixels, `dates` what ``--dates`` says.
    """
    said: dict[Deed, str] = {
        "pseudonymised": "pseudonymised: keyed hash",
        "date": DATES[dates],
        "closed word": "read, and reduced to a word of a closed list",
        "never copied": "never copied to records",
    }
    found = sorted(facts["keywords"].items())
    lines = [
        "# Identifying data in the input files",
        "",
        "What rrg writes is pseudonymised, still personal data: pixels, rare findings and the combination of facts can",
        "point at a person, and whoever has the key file can rebuild the pseudonyms. Attribute names and counts only;",
        "no value of a header stands here.",
        "",
        f"Files looked at: {facts['files']}, of these {facts['unread']} with a header that can not be parsed whole.",
        "",
        "## Attributes",
        "",
        "Attributes of DICOM PS3.15 Table E.1-1 (2024b), and every person name, date, time and own UID.",
        "",
        "| attribute | files | what rrg does |",
        "|---|---|---|",
        *(f"| {keyword} | {count} | {said[deed(keyword)]}{_also(keyword)} |" for keyword, count in found),
        "",
        "The store's `private` folder (mode 0700, never packed) keeps UIDs and file names, to lead results back.",
        "",
        "## Private attributes",
        "",
        f"{facts['private']} private elements in {facts['private_files']} files, {facts['private_orphans']} of them"
        " without a private creator: never copied.",
        "",
        "## Pixels",
        "",
        f"* Overlays: {facts['overlay_files']} files; never copied.",
        f"* Embedded icon images: {facts['icon_files']} files; never copied.",
        *(f"* {claim}: {count} files; a claim of the sender, not checked." for claim, count in facts["claims"].items()),
        "* Text likely burned in (Burned In Annotation YES, ultrasound, secondary capture, saved screens):"
        f" {facts['burned_in_files']} files.",
        "  Their slices carry the flag `burned_in` and are left out of synthesis. Text that no header tells of can be",
        "  in any picture, and a face can be rebuilt from thin slices of a head.",
        "",
    ]
    if burned_in:
        lines += ["Slices with text likely burned in:", "", *(f"* {name}" for name in burned_in), ""]
    return "\n".join(lines)


def _also(keyword: str) -> str:
    return "; as it is in the store's `private` folder" if keyword in PRIVATE_FILE else ""
