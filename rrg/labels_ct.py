"""What a CT header says, in closed words: class of the kernel and phase of contrast."""

import re
from typing import Literal

Kernel = Literal["soft", "lung", "bone", "brain"]
Phase = Literal["native", "arterial", "portal", "delayed"]

# --- kernels

_NAMED: tuple[tuple[Kernel, re.Pattern[str]], ...] = (
    ("lung", re.compile(r"lung")),
    ("bone", re.compile(r"bone|knochen|osteo")),
    ("brain", re.compile(r"brain|hirn|neuro|cerebral")),
    ("soft", re.compile(r"soft|standard|stnd|routine|smooth|weich")),
)
"""Names that say it, of any vendor: GE's STANDARD, SOFT, LUNG, BONE, BONEPLUS; "Brain Standard" is brain."""
_SIEMENS = re.compile(r"([a-z])([a-z]?)(\d\d)[a-z]?(?:\W.*)?")
_TOSHIBA = re.compile(r"fc(\d\d)\b.*")
_SHARP_GE = frozenset({"edge", "ultra"})
_LUNG_PLACE = re.compile(r" (?:lungen?|lunge|lungs?|thorax|thx|chest|pulmo\w*|hrct) ")
_BONE_PLACE = re.compile(
    r" (?:knochen\w*|bones?|ossaer\w*|skelett\w*|[cltsh]?spine|wirbelsaeule|[hbl]ws|extremity|knee|knie|foot|fuss|hand"
    r"|wrist|handgelenk|ankle|sprunggelenk|elbow|ellenbogen|shoulder|schulter|hip|hueft\w*|pelvis|becken|skull"
    r"|schaedel|head|kopf|ear|felsenbein|jaw|kiefer|sinus|nnh) "
)


def kernel_class(kernel: str, scanner: str | None, place: str) -> Kernel | None:
    """Class of a Convolution Kernel (its first value). `place`: words of Series Description and Body Part Examined.

    Sharp kernels serve lung and bone alike: the place decides, and without one the class is None.
    Siemens: body kernels below 50 are for soft tissue, from 50 sharp, U for bone (SOMATOM Sensation Cardiac operating
    instructions, A60, body kernels; for Br, Bl, Hr .. the same scale). Philips and Canon/Toshiba: as these are used in
    their protocols; codes with several uses are None.
    """
    text = kernel.strip().lower()
    for name, pattern in _NAMED:
        if pattern.search(text):
            return name
    if text in _SHARP_GE or "sharp" in text:
        return _sharp(place)
    if text == "detail":
        return "soft"
    if match := _TOSHIBA.fullmatch(text):
        return _toshiba(int(match[1]), place)
    if (match := _SIEMENS.fullmatch(text)) and scanner in (None, "siemens", "other"):
        return _siemens(match[1], match[2], int(match[3]), place)
    return _philips(text, place) if scanner == "philips" else None


def _sharp(place: str) -> Kernel | None:
    lung, bone = bool(_LUNG_PLACE.search(place)), bool(_BONE_PLACE.search(place))
    if lung == bone:
        return None
    return "lung" if lung else "bone"


def _siemens(family: str, kind: str, sharpness: int, place: str) -> Kernel | None:
    """Old names (B30f, H31s, I70f, J30s, U90u) and new ones (Br40d, Bl57, Hr38, Qr36): higher is sharper."""
    if kind == "l" and family == "b":
        return "lung"
    if family in "hj":
        return "brain" if sharpness < 50 else "bone"
    if family == "u":
        return "bone" if kind != "l" else "lung"
    if family not in "biq":
        return None  # S: physical measurements; T: topograms
    return "soft" if sharpness < 50 else _sharp(place)


def _toshiba(number: int, place: str) -> Kernel | None:
    if 1 <= number <= 19:
        return "soft"
    if 20 <= number <= 29 or 40 <= number <= 49 or 60 <= number <= 69:
        return "brain"
    if 30 <= number <= 39:
        return "bone"
    if 50 <= number <= 59:
        return "lung"
    return _sharp(place) if 80 <= number <= 89 else None


def _philips(text: str, place: str) -> Kernel | None:
    if text in ("a", "b", "c", "xa", "xb", "xc", "ca", "cb", "cc"):
        return "soft"
    if text in ("ua", "ub", "uc"):
        return "brain"
    if text == "l":
        return "lung"
    return _sharp(place) if text in ("d", "e", "f", "ya", "yb", "yc", "yd", "ye") else None


# --- phase of contrast

_COMPOUND = re.compile(r" (?:late|spaet|spat|frueh|early) (?=arteri)")
_PHASES: tuple[tuple[Phase, re.Pattern[str]], ...] = (
    (
        "native",
        re.compile(
            r" (?:nativ(?:e[snmr]?)?|unenhanced|non (?:contrast|enhanced)|noncontrast|precontrast|pre contrast|ncct"
            r"|(?:without|wo|w o|no) contrast|ohne (?:km|kontrastmittel)|o km|kein km) "
        ),
    ),
    (
        "arterial",
        re.compile(r" (?:arteriell(?:e[snmr]?)?|arterial|(?:spaet|frueh)arteriell(?:e[snmr]?)?|(?:spaet|frueh)art) "),
    ),
    (
        "portal",
        re.compile(r" (?:portal|(?:portal|porto)(?:ven(?:oe?s(?:e[snmr]?)?|ous)?)|ven(?:oe?s(?:e[snmr]?)?|ous)|pvp) "),
    ),
    (
        "delayed",
        re.compile(
            r" (?:spa?et(?:e[snmr]?)?|spae?tphase|late|delay(?:ed)?|equilibrium|excretory|ausscheidungsphase"
            r"|urogra(?:f|ph)isch(?:e[snmr]?)?) "
        ),
    ),
)
_SHORT: tuple[tuple[Phase, re.Pattern[str]], ...] = (
    ("arterial", re.compile(r" art ")),
    ("portal", re.compile(r" (?:pv|ven) ")),
)


def contrast_phase(words: str, *, abbreviations: bool = True) -> Phase | None:
    """Phase that the words of a Series Description name; None when they name none or several. Never guessed.

    `abbreviations`: believe "art", "pv" and "ven" (in MR they mean other things too).
    """
    if " virtual " in words or " vnc " in words:
        return None  # computed without contrast, not scanned so
    plain = _COMPOUND.sub(" ", words)
    found = {phase for phase, pattern in (*_PHASES, *(_SHORT if abbreviations else ())) if pattern.search(plain)}
    return found.pop() if len(found) == 1 else None
