"""What the header of an image says of it, in closed words. Free text is read here and does not leave.

Only words that can be told are given: whatever is silent, ambiguous or contradictory is None. Words are matched whole,
in German and English, umlauts in any spelling.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal, Protocol, get_args

from rrg import labels_ct, labels_mr

Hint = Literal["localizer", "mip", "vrt", "reformat", "bolus", "dynamic", "derived"]
"""What the texts of a header say of the role of its series."""
Scanner = Literal[
    "siemens", "ge", "philips", "canon", "toshiba", "hitachi", "fujifilm", "united-imaging", "neusoft", "other"
]
Sex = Literal["F", "M", "O"]
AgeBand = Literal["0-17", "18-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80+"]
KERNELS: tuple[str, ...] = get_args(labels_ct.Kernel)
CONTRAST_PHASES: tuple[str, ...] = get_args(labels_ct.Phase)
SEQUENCES: tuple[str, ...] = get_args(labels_mr.Sequence)
HINTS: tuple[str, ...] = get_args(Hint)
SCANNERS: tuple[str, ...] = get_args(Scanner)
SEXES: tuple[str, ...] = get_args(Sex)
AGE_BANDS: tuple[str, ...] = get_args(AgeBand)


class Tags(Protocol):
    """The tags of one data set, by number ``0xGGGGEEEE``."""

    def raw(self, tag: int) -> bytes | None:
        """The value as it is in the file; None when absent."""

    def binary(self, tag: int, size: int = 2, *, real: bool = False) -> float | None:
        """First value of a US (2 bytes) or, with `real`, FD (8 bytes) element; None when absent or not finite."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Closed words about one image. None: not known."""

    hints: tuple[Hint, ...] = ()
    thickness_mm: float | None = None
    kernel: str | None = None
    contrast_phase: str | None = None
    sequence: str | None = None
    fat_suppressed: bool | None = None
    scanner: str | None = None
    field_strength_t: float | None = None
    sex: str | None = None
    age_band: str | None = None
    b_value: float | None = None
    """Diffusion b-value in s/mm²: Diffusion b-value, else that of a Siemens Sequence Name (``*ep_b800t``). Private tags
    (Siemens (0019,100C), GE (0043,1039), Philips (2001,1003)) are not read."""


TAGS: Mapping[str, int] = {
    "image_type": 0x00080008,
    "study_date": 0x00080020,
    "modality": 0x00080060,
    "manufacturer": 0x00080070,
    "series_description": 0x0008103E,
    "calculation": 0x00089207,  # Volume Based Calculation Technique
    "acquisition_contrast": 0x00089209,
    "birth_date": 0x00100030,
    "sex": 0x00100040,
    "age": 0x00101010,
    "body_part": 0x00180015,
    "scanning_sequence": 0x00180020,
    "scan_options": 0x00180022,
    "sequence_name": 0x00180024,
    "thickness": 0x00180050,
    "repetition_time": 0x00180080,
    "echo_time": 0x00180081,
    "inversion_time": 0x00180082,
    "field_strength": 0x00180087,
    "protocol": 0x00181030,
    "kernel": 0x00181210,
    "pulse_sequence": 0x00189005,
    "b_value": 0x00189087,
}
"""What `labels_of` reads."""
_COMMON = (
    "modality", "image_type", "series_description", "calculation", "manufacturer", "sex", "age", "birth_date",
    "study_date", "body_part", "thickness",
)  # fmt: skip
_OF_CT = (*_COMMON, "kernel")
_OF_MR = (
    *_COMMON, "protocol", "sequence_name", "pulse_sequence", "scanning_sequence", "scan_options",
    "acquisition_contrast", "repetition_time", "echo_time", "inversion_time", "field_strength",
)  # fmt: skip
_CT_TAGS, _MR_TAGS = tuple(TAGS[name] for name in _OF_CT), tuple(TAGS[name] for name in _OF_MR)


def labels_of(tags: Tags) -> Labels:
    """Labels of an image from its header."""
    raw = tags.raw
    if (raw(TAGS["modality"]) or b"").startswith(b"MR"):
        return _labels(tuple(map(raw, _MR_TAGS)), tags.binary(TAGS["b_value"], 8, real=True))
    return _labels(tuple(map(raw, _CT_TAGS)), None)


@lru_cache(maxsize=4096)  # the slices of a series say the same; most files are answered from here
def _labels(values: tuple[bytes | None, ...], b_value: float | None) -> Labels:
    magnetic = len(values) == len(_OF_MR)
    read = {name: _decoded(value) for name, value in zip(_OF_MR if magnetic else _OF_CT, values, strict=True) if value}

    def text(name: str) -> str:
        return read.get(name, "")

    def number(name: str) -> float | None:
        return _number(text(name))

    scanner = scanner_of(text("manufacturer"))
    computed = text("modality") == "CT"
    # Protocol Name is the series' own in MR; in CT it names the whole examination ("Abdomen nativ art ven").
    described = words_of(text("series_description"), text("protocol"))
    kind = words_of(text("image_type"), text("calculation"))
    names = words_of(text("sequence_name"), text("pulse_sequence"))
    own = Labels(
        hints=_hints(described, kind),
        thickness_mm=_thickness(number("thickness")),
        scanner=scanner,
        sex=text("sex").upper() if text("sex").upper() in SEXES else None,
        age_band=age_band(text("age"), text("birth_date"), text("study_date")),
    )
    if computed:
        place = words_of(text("series_description"), text("body_part"))
        kernel = labels_ct.kernel_class(text("kernel").partition("\\")[0], scanner, place)
        phase = labels_ct.contrast_phase(words_of(text("series_description")))
        return _with(own, kernel=kernel, contrast_phase=phase)
    if not magnetic:
        return own
    b_value = labels_mr.usable_b_value(b_value)
    if b_value is None:
        b_value = labels_mr.b_value_of(text("sequence_name"))
    parameters = labels_mr.Parameters(
        kinds=frozenset(text("scanning_sequence").upper().replace(" ", "").split("\\")),
        options=frozenset(text("scan_options").upper().replace(" ", "").split("\\")) - {""},
        contrast=text("acquisition_contrast").upper(),
        repetition_ms=number("repetition_time"),
        echo_ms=number("echo_time"),
        inversion_ms=number("inversion_time"),
        b_value=b_value,
    )
    texts = (words_of(text("series_description")), words_of(text("protocol")), names)
    sequence = labels_mr.sequence_class(texts, kind, parameters)
    return _with(
        own,
        contrast_phase=labels_ct.contrast_phase(words_of(text("series_description")), abbreviations=False),
        sequence=sequence,
        fat_suppressed=labels_mr.fat_suppressed("".join(texts), sequence, parameters),
        field_strength_t=labels_mr.field_strength(number("field_strength")),
        b_value=b_value,
    )


def _with(labels: Labels, **changes: str | float | None) -> Labels:
    return Labels(**{**{name: getattr(labels, name) for name in Labels.__slots__}, **changes})


# --- texts


def _decoded(value: bytes) -> str:
    """ASCII, else UTF-8, else Latin-1; NFC; without padding."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return unicodedata.normalize("NFC", text).strip(" \0\t\r\n")


_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
_STAR = re.compile(r"(?<=[tT]2)\s?\*")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^0-9a-z]+")
_PURPOSE = re.compile(
    r" (?:fuer|fur|for|zur|zum)(?: (?:mprs?|mips?|3d|vrt?s?|und|u|and|rekon\w*|reformat\w*|bolus\w*))+(?= )"
)


def words_of(*texts: str) -> str:
    """Words of texts, folded, one space before and after each; twice where capitals divide a word ("LungeMIP").

    What a series is meant for ("dünn für MPR und MIP") is not what it is, and is left out.
    """
    folded = []
    for text in texts:
        plain = _STAR.sub("star", text.translate(_UMLAUTS))
        divided = _CAMEL.sub(" ", plain)
        for form in (plain,) if divided == plain else (plain, divided):
            words = _NOT_WORD.sub(" ", form.lower()).strip()
            if words:
                folded.append(_PURPOSE.sub(" ", f" {words} "))
    return "|".join(folded)


def _has(words: str, terms: tuple[str, ...]) -> bool:
    return any(f" {term} " in words for term in terms)


_HINTS: Mapping[Hint, tuple[str, ...]] = {
    "localizer": (
        "localizer", "localizers", "localiser", "lokalizer", "lokalisator", "loc", "scout", "scouts", "surview",
        "topogram", "topogramm", "topo", "scanogram", "scanogramm", "survey", "pilot", "uebersichtsaufnahme",
    ),
    "mip": (
        "mip", "mips", "minip", "maxip", "meanip", "max ip", "min ip", "mean ip", "intensity projection",
        "projection image", "thickmip", "thinmip",
    ),
    "vrt": (
        "vrt", "vr", "ssd", "volume rendering", "volume rendered", "volume render", "surface render", "rendering",
        "3d editor", "3d saved state", "cinematic",
    ),
    "reformat": (
        "mpr", "mprs", "reformat", "reformats", "reformatted", "reformation", "reformatierung", "multiplanar", "cpr",
        "curved", "curved mpr", "mpvr", "dmpr",
    ),
    "bolus": (
        "bolus", "testbolus", "bolustracking", "bolustrack", "premonitoring", "premon", "premonitor", "monitoring",
        "monitor", "smartprep", "smart prep", "surestart", "sure start", "carebolus", "tracker", "timing bolus",
    ),
    "dynamic": (
        "dynamic", "dynamisch", "dynamik", "dyn", "4d", "multiphase", "multiphasic", "dce", "dsc", "twist", "tricks",
        "perf", "perfusion", "cine", "time resolved",
    ),
    "derived": (
        "sub", "subs", "subtr", "subtraction", "subtracted", "subtraktion", "difference", "adc", "eadc", "map", "maps",
        "cbf", "cbv", "mtt", "ttp", "tmax", "rbf", "rbv", "calc bval", "calcbval", "dyndistcalc bval", "fa", "colfa",
        "screen save", "screensave", "screen capture", "screenshot", "dose report", "dose info", "dosisbericht",
        "dosisprotokoll", "patient protocol", "patientenprotokoll", "protokollseite", "fused", "fusion", "vnc",
        "virtual non contrast", "iodine", "summary", "results",
    ),
}  # fmt: skip
_TYPE_HINTS: Mapping[Hint, tuple[str, ...]] = {
    "localizer": ("som5 top", "som7 top", "som8 top"),
    "bolus": ("som5 mon", "som7 mon", "som8 mon"),
    "derived": ("subtraction", "exponential", "adc", "fa"),
}
"""Words that mean this in Image Type only; Siemens writes the mode of a CT scan in its fourth value."""


def _hints(described: str, kind: str) -> tuple[Hint, ...]:
    return tuple(
        hint
        for hint, terms in _HINTS.items()
        if _has(described, terms) or _has(kind, terms) or _has(kind, _TYPE_HINTS.get(hint, ()))
    )


@lru_cache(maxsize=1024)
def type_hints(image_type: tuple[str, ...]) -> tuple[Hint, ...]:
    """Hints of the values of Image Type (or Frame Type) alone."""
    return _hints("", words_of("\\".join(image_type)))


# --- numbers, scanner, patient


def _number(text: str) -> float | None:
    """First value of a decimal string; None when it is not a finite number."""
    try:
        value = float(text.partition("\\")[0])
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None  # NaN and infinity are not


def _thickness(value: float | None) -> float | None:
    return round(value, 3) if value is not None and 0.05 <= value <= 100 else None


_SCANNERS: tuple[tuple[Scanner, re.Pattern[str]], ...] = (
    ("siemens", re.compile(r"siemens")),
    ("ge", re.compile(r"^ge\b|^gems\b|general electric")),
    ("philips", re.compile(r"philips|marconi|^picker\b|^adac\b")),
    ("canon", re.compile(r"^canon")),
    ("toshiba", re.compile(r"toshiba")),
    ("hitachi", re.compile(r"hitachi")),
    ("fujifilm", re.compile(r"fuji")),
    ("united-imaging", re.compile(r"united.?imaging|^uih\b")),
    ("neusoft", re.compile(r"neusoft")),
)


def scanner_of(manufacturer: str) -> Scanner | None:
    """The manufacturer from a closed list; ``other`` for any other text, None for none."""
    text = manufacturer.lower()
    if not text or text in ("unknown", "anonymized", "anonymous", "none", "n/a"):
        return None
    return next((name for name, pattern in _SCANNERS if pattern.search(text)), "other")


_AGE = re.compile(r"(\d{1,3})([DWMY])", re.IGNORECASE | re.ASCII)
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.44, "Y": 365.25}
_DATE = re.compile(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)", re.ASCII)
_BANDS: tuple[tuple[int, AgeBand], ...] = (
    (18, "0-17"), (30, "18-29"), (40, "30-39"), (50, "40-49"), (60, "50-59"), (70, "60-69"), (80, "70-79"),
)  # fmt: skip


def age_band(age: str, born: str, studied: str) -> AgeBand | None:
    """From Patient's Age (``nnnD``, ``W``, ``M``, ``Y``), else from the dates of birth and study; else None.

    An age of zero is a mark of headers that were stripped, and is not believed.
    """
    years: float | None = None
    if (match := _AGE.fullmatch(age)) and int(match[1]) > 0:
        years = int(match[1]) * _DAYS[match[2].upper()] / 365.25
    elif (birth := _date(born)) and (study := _date(studied)) and birth < study:
        years = study.year - birth.year - ((study.month, study.day) < (birth.month, birth.day))
    if years is None or years >= 130:
        return None
    return next((band for limit, band in _BANDS if years < limit), "80+")


def _date(text: str) -> date | None:
    match = _DATE.fullmatch(text)
    try:
        return date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None
