"""What an MR header says, in closed words: class of the sequence, fat suppression, field strength."""

import re
from typing import Literal, NamedTuple

Sequence = Literal["T1", "T2", "PD", "FLAIR", "STIR", "DWI", "ADC", "SWI", "TOF", "PERFUSION"]


class Parameters(NamedTuple):
    """What the header says of the sequence in terms of the standard. Times in ms; None when absent."""

    kinds: frozenset[str]
    """Scanning Sequence: SE, IR, GR, EP, RM."""
    options: frozenset[str]
    """Scan Options."""
    contrast: str
    """Acquisition Contrast of enhanced objects; empty when absent."""
    repetition_ms: float | None
    echo_ms: float | None
    inversion_ms: float | None
    b_value: float | None
    """s/mm²"""


# --- class of the sequence

_STAR = re.compile(r" (?:t2 ?star|t2st|t2stern|t2 stern|hemo|haemo|t2 (?:ffe|gre|fl2d|flash)|[tT]2w? ffe) ")
_MAP = re.compile(r" (?:t1|t2|t2star|pd) ?(?:map|maps|mapping|images map) | molli | (?:t1|t2)map(?:s|ping)? ")
_SUFFIX = r"(?:w|wi|gew|ax|tra|sag|cor|tse|se|fse|spir|spair|vibe|fs|fl3d|fl2d|tfl3d|3d|2d)?"
_WEIGHTS: dict[Sequence, re.Pattern[str]] = {
    "T1": re.compile(
        rf" (?:t1{_SUFFIX}|mprage|mp rage|vibe|lava|thrive|bravo|ir ?fspgr|ir ?spgr|fspgr|spgr|tfl3d\w*|3d t1\w*) "
    ),
    "T2": re.compile(rf" (?:t2{_SUFFIX}|haste|ssfse|mrcp|frfse) "),
    "PD": re.compile(rf" (?:pd{_SUFFIX}|proton density|protonendichte) "),
}
_WORDS: tuple[tuple[Sequence, re.Pattern[str]], ...] = (
    ("ADC", re.compile(r" (?:adc|dadc|eadc|apparent diffusion coefficient\w*) ")),
    ("PERFUSION", re.compile(r" (?:perf\w*|dsc|asl|pcasl|pasl|cbf|cbv|mtt|ttp|tmax|rcbf|rcbv) ")),
    ("DWI", re.compile(r" (?:dwi\w*|dwibs|diff|diffusion\w*|dti|tracew?|ep2d diff|ep b\d+\w*|epb\d+\w*|b\d{3,4}) ")),
    ("SWI", re.compile(r" (?:swi\d?d?\w*|swan|susceptibility|swip|venbold) ")),
    ("TOF", re.compile(r" (?:tof\w*|time of flight) ")),
)
_FLAIR = re.compile(r" (?:\w*flair\w*|dark fluid|darkfluid|fluid attenuated\w*) ")
_STIR = re.compile(r" (?:stir\w*|tirm\w*|short tau|short ti) ")
_TYPES: tuple[tuple[Sequence, re.Pattern[str]], ...] = (
    ("ADC", re.compile(r" adc ")),
    ("PERFUSION", re.compile(r" (?:perfusion|asl|cbf|cbv|mtt|ttp|tmax|rcbf|rcbv) ")),
    ("DWI", re.compile(r" (?:tracew|diffusion) ")),
    ("SWI", re.compile(r" (?:swi|minip sw) ")),
    ("TOF", re.compile(r" tof ")),
    ("FLAIR", re.compile(r" fluid attenuated ")),
    ("STIR", re.compile(r" stir ")),
    ("T1", re.compile(r" t1 ")),
    ("T2", re.compile(r" t2 ")),
    ("PD", re.compile(r" proton density ")),
)
"""Words of Image Type. FA and other tensor maps are no class of ours."""
_TENSOR = re.compile(r" (?:fa|colfa|tensor|exp|exponential) ")
_CONTRASTS: dict[str, Sequence] = {
    "DIFFUSION": "DWI", "FLUID_ATTENUATED": "FLAIR", "PERFUSION": "PERFUSION", "PROTON_DENSITY": "PD", "STIR": "STIR",
    "T1": "T1", "T2": "T2", "TOF": "TOF",
}  # fmt: skip
"""Defined terms of Acquisition Contrast (DICOM PS3.3 C.8.13.3.1); T2_STAR, TAGGING .. are no class of ours."""


def sequence_class(texts: tuple[str, str, str], kind: str, parameters: Parameters) -> Sequence | None:
    """Class from words, else from the parameters.

    `texts`: words of Series Description, of Protocol Name, of the names of the sequence; `kind`: of Image Type.
    T2*-weighted images and maps of T1 and T2 are none of the classes.
    """
    if _TENSOR.search(kind):
        return None
    if found := next((name for name, pattern in _TYPES[:3] if pattern.search(kind)), None):
        return found
    for words in texts[:2]:
        told, found = _by_words(words, parameters)
        if told:
            return found
    if parameters.b_value:
        return "DWI"
    if found := next((name for name, pattern in _TYPES[3:] if pattern.search(kind)), None):
        return found
    if parameters.contrast in _CONTRASTS:
        return _CONTRASTS[parameters.contrast]
    told, found = _by_words(texts[2], parameters)
    return found if told else by_times(parameters)


def _by_words(words: str, parameters: Parameters) -> tuple[bool, Sequence | None]:
    """(the words decide, class)."""
    if _MAP.search(words) or _STAR.search(words):
        return True, None
    for name, pattern in _WORDS:
        if pattern.search(words):
            return True, name
    weights = {name for name, pattern in _WEIGHTS.items() if pattern.search(words)}
    if _FLAIR.search(words):
        return True, "T1" if weights == {"T1"} else "FLAIR"  # T1 FLAIR is a T1-weighted image
    if _STIR.search(words):
        return True, "FLAIR" if (parameters.inversion_ms or 0) >= FLUID_TI_MS[0] else "STIR"
    if len(weights) == 1:
        return True, weights.pop()
    if weights == {"PD", "T2"}:  # a double echo
        by_echo = by_times(parameters._replace(kinds=frozenset({"SE"})))
        return True, by_echo if by_echo in weights else None
    return bool(weights), None


SHORT_TE_MS, LONG_TE_MS, SHORT_TR_MS, LONG_TR_MS = 30.0, 60.0, 800.0, 1500.0
"""Spin echo: a short TE is below 30 ms, a short TR about the mean T1, a long TR above 1500 ms (IMAIOS e-MRI, "Signal
weighting"; 350 to 800 ms are in use for T1, 60 ms and more for T2). What lies between them is not classed."""
FAT_TI_MS, FLUID_TI_MS = (80.0, 280.0), (1500.0, 3000.0)
"""Inversion times that null fat (T1 of fat 200 to 370 ms, times ln 2) and fluid (T1 of CSF about 4 s, TR limited)."""
RAPID_TI_MS, RAPID_TE_MS = (400.0, 1500.0), 10.0
"""Inversion-prepared gradient echo (MP-RAGE): T1-weighted."""


def by_times(parameters: Parameters) -> Sequence | None:
    """Class by Scanning Sequence, TR, TE and TI; None outside of the clear cases, and for plain gradient echo."""
    kinds, repetition, echo = parameters.kinds, parameters.repetition_ms, parameters.echo_ms
    if repetition is None or echo is None or "EP" in kinds:
        return None
    inversion = parameters.inversion_ms or 0.0
    if "IR" in kinds and inversion > 0:
        if "GR" in kinds:
            return "T1" if RAPID_TI_MS[0] <= inversion <= RAPID_TI_MS[1] and echo <= RAPID_TE_MS else None
        if FAT_TI_MS[0] <= inversion <= FAT_TI_MS[1]:
            return "STIR"
        return "FLAIR" if FLUID_TI_MS[0] <= inversion <= FLUID_TI_MS[1] and echo >= LONG_TE_MS else None
    if not {"SE"} <= kinds or {"GR", "IR"} & kinds:
        return None
    if echo >= LONG_TE_MS:
        return "T2" if repetition >= LONG_TR_MS else None
    if echo > SHORT_TE_MS:
        return None
    if repetition >= LONG_TR_MS:
        return "PD"
    return "T1" if repetition <= SHORT_TR_MS else None


# --- fat suppression, b-value, field strength

_FAT = re.compile(
    r" (?:fs|fatsat\w*|fat ?sat|fat ?supp\w*|fettsaettigung|fettgesaettigt|spir|spair|chess|t[12]fs|pdfs|water|stir) "
)
_NOT_FAT = re.compile(r" (?:nofs|non? fs|ohne fs|no fat ?sat|non fat ?sat|without fs) ")
_DIXON = re.compile(r" (?:dixon|opp|inphase|in phase|opposed|ideal|mdixon|flex|in|fat|f|w) ")


def fat_suppressed(words: str, sequence: str | None, parameters: Parameters) -> bool | None:
    """True by words, STIR or Scan Options FS (DICOM PS3.3 C.8.3.1); False when Scan Options are given without it.

    None when the header is silent, and for Dixon sequences, which give images with and without fat.
    """
    if _NOT_FAT.search(words):
        return False
    if _FAT.search(words) or sequence == "STIR" or parameters.options & {"FS", "FATSAT", "WE"}:
        return True
    return False if parameters.options and not _DIXON.search(words) else None


_SIEMENS_B = re.compile(r"\*?ep_b(\d{1,5})(?:t|#\d+)?", re.ASCII)


def b_value_of(sequence_name: str) -> float | None:
    """b-value in s/mm² of a Siemens Sequence Name (``*ep_b800t``, ``ep_b50#3``); None for several (``ep_b50_800``)."""
    match = _SIEMENS_B.fullmatch(sequence_name.strip())
    return usable_b_value(float(match[1])) if match else None


def usable_b_value(value: float | None) -> float | None:
    """A b-value from 0 to 20,000 s/mm², or None."""
    return round(value, 1) if value is not None and 0 <= value <= 20_000 else None


def field_strength(value: float | None) -> float | None:
    """Magnetic Field Strength in tesla, to 0.1 T. Some scanners give gauss (15000); impossible values are None."""
    if value is None:
        return None
    tesla = value / 10_000 if value >= 500 else value
    return round(tesla, 1) if 0.05 <= tesla <= 25 else None
