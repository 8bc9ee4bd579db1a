"""Words that the answers of synth-vqa are made of: modalities, planes, regions, phases, sequences, windows, directions.

The first word of a pair is the answer; the second stands in a yes/no question and is in the case that it needs there.
"""

from collections.abc import Mapping
from typing import NamedTuple

from rrg.records import Lang


class Term(NamedTuple):
    """One word of a closed list, in one language."""

    answer: str
    asked: str
    """As it stands in a yes/no question."""


Terms = Mapping[str, Mapping[Lang, Term]]


def _same(word: str) -> dict[Lang, Term]:
    return {"en": Term(word, word), "de": Term(word, word)}


def _term(en: str, en_asked: str, de: str, de_asked: str) -> dict[Lang, Term]:
    return {"en": Term(en, en_asked), "de": Term(de, de_asked)}


YES: Mapping[Lang, str] = {"en": "yes", "de": "ja"}
NO: Mapping[Lang, str] = {"en": "no", "de": "nein"}
BOTH: Mapping[Lang, str] = {"en": "both", "de": "beide"}
MODALITIES: Terms = {"CT": _same("CT"), "MR": _term("MR", "MR", "MRT", "MRT")}
"""DICOM Modality."""
PLANES: Terms = {
    "axial": _term("axial", "an axial", "axial", "axialer"),
    "coronal": _term("coronal", "a coronal", "koronar", "koronarer"),
    "sagittal": _term("sagittal", "a sagittal", "sagittal", "sagittaler"),
}
"""Asked as "an axial slice" and "in axialer Ebene"."""
REGIONS: Terms = {
    "ABDOMEN": _term("abdomen", "the abdomen", "Abdomen", "das Abdomen"),
    "BRAIN": _term("brain", "the brain", "Gehirn", "das Gehirn"),
    "BREAST": _term("breast", "the breast", "Mamma", "die Mamma"),
    "CHEST": _term("chest", "the chest", "Thorax", "der Thorax"),
    "CSPINE": _term("cervical spine", "the cervical spine", "Halswirbelsäule", "die Halswirbelsäule"),
    "HEAD": _term("head", "the head", "Kopf", "der Kopf"),
    "HEART": _term("heart", "the heart", "Herz", "das Herz"),
    "KNEE": _term("knee", "the knee", "Knie", "das Knie"),
    "LSPINE": _term("lumbar spine", "the lumbar spine", "Lendenwirbelsäule", "die Lendenwirbelsäule"),
    "NECK": _term("neck", "the neck", "Hals", "der Hals"),
    "PELVIS": _term("pelvis", "the pelvis", "Becken", "das Becken"),
    "PROSTATE": _term("prostate", "the prostate", "Prostata", "die Prostata"),
    "SHOULDER": _term("shoulder", "the shoulder", "Schulter", "die Schulter"),
    "SPINE": _term("spine", "the spine", "Wirbelsäule", "die Wirbelsäule"),
    "TSPINE": _term("thoracic spine", "the thoracic spine", "Brustwirbelsäule", "die Brustwirbelsäule"),
}
"""DICOM Body Part Examined."""
STRETCH: Mapping[str, tuple[int, int]] = {
    "BRAIN": (0, 0),
    "HEAD": (0, 0),
    "NECK": (1, 1),
    "CSPINE": (1, 1),
    "SHOULDER": (1, 2),
    "BREAST": (2, 2),
    "CHEST": (2, 2),
    "HEART": (2, 2),
    "TSPINE": (2, 3),
    "ABDOMEN": (3, 3),
    "LSPINE": (3, 4),
    "PELVIS": (4, 4),
    "PROSTATE": (4, 4),
    "SPINE": (1, 4),
    "KNEE": (6, 6),
}
"""From where to where a region goes, down the body: 0 head, 1 neck, 2 chest, 3 abdomen, 4 pelvis, 6 knee. A scan of one
region often shows its neighbours, so only what lies two steps away is certainly another region."""
PHASES: Terms = {
    "native": _term("unenhanced phase", "the unenhanced phase", "native Phase", "die native Phase"),
    "arterial": _term("arterial phase", "the arterial phase", "arterielle Phase", "die arterielle Phase"),
    "portal": _term("portal venous phase", "the portal venous phase", "portalvenöse Phase", "die portalvenöse Phase"),
    "delayed": _term("delayed phase", "the delayed phase", "Spätphase", "die Spätphase"),
}
CONTRAST: Terms = {
    "with": _term("with contrast agent", "", "mit Kontrastmittel", ""),
    "without": _term("without contrast agent", "", "ohne Kontrastmittel", ""),
}
SEQUENCES: Terms = {
    "T1": _term("T1-weighted", "a T1-weighted image", "T1-gewichtet", "ein T1-gewichtetes Bild"),
    "T2": _term("T2-weighted", "a T2-weighted image", "T2-gewichtet", "ein T2-gewichtetes Bild"),
    "PD": _term(
        *("proton density-weighted", "a proton density-weighted image"),
        *("protonendichtegewichtet", "ein protonendichtegewichtetes Bild"),
    ),
    "FLAIR": _term("FLAIR", "a FLAIR image", "FLAIR", "ein FLAIR-Bild"),
    "STIR": _term("STIR", "a STIR image", "STIR", "ein STIR-Bild"),
    "DWI": _term(
        "diffusion-weighted", "a diffusion-weighted image", "diffusionsgewichtet", "ein diffusionsgewichtetes Bild"
    ),
    "ADC": _term("ADC map", "an ADC map", "ADC-Karte", "eine ADC-Karte"),
    "SWI": _term(
        *("susceptibility-weighted", "a susceptibility-weighted image"),
        *("suszeptibilitätsgewichtet", "ein suszeptibilitätsgewichtetes Bild"),
    ),
    "TOF": _term(
        *("time-of-flight angiography", "a time-of-flight angiography image"),
        *("Time-of-Flight-Angiographie", "ein Bild einer Time-of-Flight-Angiographie"),
    ),
    "PERFUSION": _term("perfusion", "a perfusion image", "Perfusion", "ein Perfusionsbild"),
}
ALIKE_SEQUENCES: tuple[frozenset[str], ...] = (
    frozenset({"T2", "FLAIR", "STIR", "PERFUSION", "SWI"}),
    frozenset({"DWI", "ADC", "T2"}),
    frozenset({"T1", "TOF", "PERFUSION"}),
)
"""Sequences that share their weighting, or one of which is made from the other: none is a wrong answer for another."""
WINDOWS: Terms = {
    "soft": _term("soft tissue window", "the soft tissue window", "Weichteilfenster", "Weichteilfenster"),
    "lung": _term("lung window", "the lung window", "Lungenfenster", "Lungenfenster"),
    "bone": _term("bone window", "the bone window", "Knochenfenster", "Knochenfenster"),
    "brain": _term("brain window", "the brain window", "Hirnfenster", "Hirnfenster"),
}
"""Names of `rrg.windows.CT` that can be told from each other by eye."""
DIRECTIONS: Mapping[str, Mapping[Lang, str]] = {
    "left": {"en": "further to the patient's left", "de": "weiter links im Körper des Patienten"},
    "right": {"en": "further to the patient's right", "de": "weiter rechts im Körper des Patienten"},
    "back": {"en": "further to the back of the patient", "de": "weiter hinten im Körper des Patienten"},
    "front": {"en": "further to the front of the patient", "de": "weiter vorn im Körper des Patienten"},
    "head": {"en": "closer to the patient's head", "de": "weiter oben im Körper des Patienten"},
    "feet": {"en": "closer to the patient's feet", "de": "weiter unten im Körper des Patienten"},
}
EXTENTS: tuple[Mapping[Lang, str], ...] = (
    {"en": "from left to right", "de": "von links nach rechts"},
    {"en": "from front to back", "de": "von vorn nach hinten"},
    {"en": "from head to feet", "de": "von oben nach unten"},
)
"""Along patient x, y, z."""
KINDS: Mapping[str, Mapping[Lang, str]] = {
    "kidneys": {"en": "kidneys", "de": "Nieren"},
    "adrenal_glands": {"en": "adrenal glands", "de": "Nebennieren"},
    "lungs": {"en": "lungs", "de": "Lungenflügel"},
    "lung_lobes": {"en": "lobes of the lungs", "de": "Lungenlappen"},
    "ribs": {"en": "ribs", "de": "Rippen"},
    "scapulae": {"en": "shoulder blades", "de": "Schulterblätter"},
    "clavicles": {"en": "clavicles", "de": "Schlüsselbeine"},
    "humeri": {"en": "humeri", "de": "Oberarmknochen"},
    "femora": {"en": "femora", "de": "Oberschenkelknochen"},
    "hip_bones": {"en": "hip bones", "de": "Hüftbeine"},
    "lesions": {"en": "lesions", "de": "Läsionen"},
}
"""What can be counted, in the plural: nominative and accusative of the German words are the same."""
