"""Is the answer true of the phantom? Judged from the phantom's plan and the DICOM files alone.

Nothing of `rrg.synth` is used, and no mask record: questions are read as text, in both languages, by expressions of
their own; masks are painted again from the plan; pixels, spacing and directions come from the DICOM files.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from rrg.anatomy import LABELS, display
from rrg.phantom_body import FIRST_LESION, class_of_tissue, class_table, paint
from rrg.phantom_plan import Settings, StudyPlan, patient_studies, patients

SMALLEST_PX = 20
"""A structure counts as shown from this area on: the default of the command."""


@dataclass(frozen=True)
class Truth:
    """One image of the phantom."""

    classes: NDArray[np.uint8]
    """(rows, columns) class ids."""
    tissue: NDArray[np.uint8]
    study: StudyPlan
    header: pydicom.Dataset
    values: NDArray[np.float64]
    """HU for CT."""
    can_show: frozenset[str]
    """Structures that the phantom's masks tell."""

    def area(self, label: str) -> int:
        return int((self.classes == LABELS[label].class_id).sum())

    def lesions(self) -> list[Any]:
        """Those of the plan with a pixel here."""
        return [each for k, each in enumerate(self.study.body.lesions) if (self.tissue == FIRST_LESION + k).any()]

    def points(self, label: str) -> NDArray[np.float64]:
        """(n, 3) patient coordinates of the pixel centres of a structure."""
        rows, columns = np.nonzero(self.classes == LABELS[label].class_id)
        orientation = np.array(self.header.ImageOrientationPatient, float)
        spacing = [float(each) for each in self.header.PixelSpacing]
        origin = np.array(self.header.ImagePositionPatient, float)
        return origin + np.outer(columns * spacing[1], orientation[:3]) + np.outer(rows * spacing[0], orientation[3:])


def truths(folder: Path) -> dict[str, Truth]:
    """SHA-256 of the pixels as they are stored -> the truth of an image."""
    manifest = json.loads((folder / "manifest.json").read_text())
    settings = Settings(seed=manifest["seed"], **manifest["options"])
    files = {}
    for line in (folder / "truth.jsonl").read_text().splitlines():
        each = json.loads(line)
        files[each["series_uid"], each["sop_uid"]] = each["file"]
    found: dict[str, Truth] = {}
    for patient in patients(settings):
        for study in patient_studies(patient, settings):
            modality = study.header.modality
            table = class_of_tissue(modality, len(study.body.lesions))
            can_show = frozenset({*class_table(modality), "lesion"})
            for series in study.series:
                if series.role == "localizer":
                    continue
                tissue = paint(study.body, series.body_grid, modality)
                for index, sop in enumerate(series.header.sop_uids):
                    header = pydicom.dcmread(folder / files[series.header.uid, sop])
                    values = header.pixel_array.astype(np.float64)
                    slope, offset = header.get("RescaleSlope", 1), header.get("RescaleIntercept", 0)
                    values = values * float(slope) + float(offset)
                    key = hashlib.sha256(values.astype(np.int16).tobytes()).hexdigest()
                    other = hashlib.sha256(values.astype(np.uint16).tobytes()).hexdigest()
                    truth = Truth(table[tissue[index]], tissue[index], study, header, values, can_show)
                    assert key not in found, "two images are alike"
                    found[key] = found[other] = truth
    return found


# Reading the questions


_ARTICLES = frozenset(["der", "die", "das", "des", "dem", "den", "ein", "eine", "einen", "the", "a", "an", "of"])
_NOUN_ENDINGS = ("", "s", "es", "n", "en", "ens")


def _words(text: str) -> list[str]:
    return [word for word in text.split() if word not in _ARTICLES]


def _same_word(said: str, name: str) -> bool:
    """A word of a phrase is the word of a name, in whatever case."""
    if name[0].islower() and (stem := re.fullmatch(r"(.+?)(?:er|es|e)", name)):
        return said in {stem[1] + ending for ending in ("er", "es", "e", "en", "em")} | {name}
    return said in {name + ending for ending in _NOUN_ENDINGS}


@functools.cache
def _label_or_none(phrase: str, lang: str) -> str | None:
    words = _words(re.sub(r"^(im|in) ", "", phrase.strip()))
    fits = []
    for label in LABELS:
        name = _words(display(label, lang))
        if len(name) == len(words) and all(
            said == own if lang == "en" else _same_word(said, own) for said, own in zip(words, name, strict=True)
        ):
            fits.append(label)
    assert len(fits) <= 1, (phrase, fits)
    return fits[0] if fits else None


def label_of(phrase: str, lang: str) -> str:
    """The structure that a phrase names, in any case and with any article."""
    label = _label_or_none(phrase, lang)
    assert label is not None, phrase
    return label


ASKED: dict[str, tuple[tuple[str, str], ...]] = {
    "de": (
        ("presence", r"(?:Ist|Sind) (.+) auf diesem Bild zu sehen\?|Zeigt dieses Bild (.+)\?|"
                     r"(?:Ist|Sind) hier (.+) zu erkennen\?"),
        ("which", r"Welche dieser Strukturen ist auf diesem Bild zu sehen\?|Was davon zeigt dieses Bild\?"),
        ("side", r"Welche Seite ist auf diesem Bild zu sehen\?|Was von beidem zeigt dieses Bild\?"),
        ("count", r"Wie viele dieser Strukturen sind auf diesem Bild zu sehen: (.+)\?|"
                  r"Wie viele davon zeigt dieses Bild: (.+)\?"),
        ("count-of", r"Wie viele (.+) sind auf diesem Bild zu sehen\?|Wie viele (.+) zeigt dieses Bild\?"),
        ("position", r"Was von beidem liegt weiter (.+) im Körper des Patienten\?"),
        ("larger", r"Was von beidem nimmt auf diesem Bild die größere Fläche ein\?"),
        ("denser", r"Was von beidem hat auf diesem Bild die höhere mittlere Dichte\?"),
        ("extent", r"Wie groß (?:ist|sind) (.+) auf diesem Bild (von .+) in Millimetern\?|Miss (.+) (von .+) in mm\."),
        ("area", r"Wie groß ist die Fläche (.+) auf diesem Bild\?|Miss die Fläche (.+)\."),
        ("diameter", r"Wie groß ist der längste Durchmesser (.+) auf diesem Bild in Millimetern\?|"
                     r"Miss den längsten Durchmesser (.+) in mm\."),
        ("density", r"Wie hoch ist die mittlere Dichte (.+) auf diesem Bild in HU\?|Miss die Dichte (.+) in HU\."),
        ("finding-what", r"Welcher Befund liegt (.+) vor\?"),
        ("finding-where", r"Wo liegt d(?:er|ie|as) (.+)\?"),
        ("finding-size", r"Wie groß ist d(?:er|ie|as) (.+)\?"),
        ("modality", r"Mit welchem Verfahren wurde dieses Bild aufgenommen\?|Welche Modalität ist das\?"),
        ("is-modality", r"Ist dies ein (CT|MRT)-Bild\?|Stammt dieses Bild aus der (CT|MRT)\?"),
        ("plane", r"In welcher Ebene liegt dieses Bild\?|Welche Schichtebene zeigt dieses Bild\?"),
        ("is-plane", r"Liegt dieses Bild in (.+)er Ebene\?"),
        ("region", r"Welche Körperregion wurde untersucht\?|Welcher Körperabschnitt wurde untersucht\?"),
        ("is-region", r"Wurde (?:hier )?d(?:er|ie|as) (.+) untersucht\?"),
        ("contrast", r"Wurde Kontrastmittel gegeben\?|Wurde dieses Bild nach Kontrastmittelgabe aufgenommen\?"),
        ("contrast-which", r"Wurde dieses Bild mit oder ohne Kontrastmittel aufgenommen\?"),
        ("sequence", r"Welche MR-Sequenz zeigt dieses Bild\?"),
        ("is-sequence", r"Ist dies eine? (.+)\?"),
        ("window", r"In welchem CT-Fenster wird dieses Bild gezeigt\?"),
        ("is-window", r"Wird dieses Bild im (.+) gezeigt\?"),
    ),
    "en": (
        ("presence", r"(?:Is|Are) (.+) visible on this image\?|Does this image show (.+)\?|Can (.+) be seen here\?"),
        ("which", r"Which of these structures is visible on this image\?|Which of these does this image show\?"),
        ("side", r"Which side is visible on this image\?|Which of the two does this image show\?"),
        ("count", r"How many of these structures are visible on this image: (.+)\?|"
                  r"How many of these does this image show: (.+)\?"),
        ("count-of", r"How many (.+) are visible on this image\?|How many (.+) does this image show\?"),
        ("position", r"Which of the two lies (?:further|closer) to the (.+)\?"),
        ("larger", r"Which of the two covers the larger area on this image\?"),
        ("denser", r"Which of the two has the higher mean CT number on this image\?"),
        ("extent", r"How large (?:is|are) (.+) on this image (from .+), in millimetres\?|"
                   r"Measure (.+) (from .+), in mm\."),
        ("area", r"What is the area of (.+) on this image\?|Measure the area of (.+)\."),
        ("diameter", r"What is the longest diameter of (.+) on this image, in millimetres\?|"
                     r"Measure the longest diameter of (.+), in mm\."),
        ("density", r"What is the mean CT number of (.+) on this image, in HU\?|Measure the density of (.+), in HU\."),
        ("finding-what", r"What finding is there in (.+)\?"),
        ("finding-where", r"Where is the (.+)\?"),
        ("finding-size", r"How large is the (.+)\?"),
        ("modality", r"Which modality is this image\?|How was this image acquired\?"),
        ("is-modality", r"Is this image (CT|MR)\?|Was this image acquired with (CT|MR)\?"),
        ("plane", r"In which plane is this image\?|What is the plane of this slice\?"),
        ("is-plane", r"Is this an? (.+) slice\?"),
        ("region", r"Which region of the body was examined\?|Which part of the body is this an examination of\?"),
        ("is-region", r"Was the (.+) examined\?|Is this an examination of the (.+)\?"),
        ("contrast", r"Was contrast agent given\?|Is this image contrast-enhanced\?"),
        ("contrast-which", r"Was this image acquired with or without contrast agent\?"),
        ("sequence", r"Which MR sequence is this image\?"),
        ("is-sequence", r"Is this an? (.+)\?"),
        ("window", r"In which CT window is this image shown\?"),
        ("is-window", r"Is this image shown in the (.+)\?"),
    ),
}  # fmt: skip
"""Language -> (meaning, expression), the first that fits counts."""
FINDINGS = {
    "cyst": ("cyst", "Zyste"),
    "metastasis": ("metastasis", "Metastase"),
    "tumour": ("mass", "Raumforderung"),
    "nodule": ("nodule", "Rundherd"),
}
ANY = ("lesion", "Läsion", "opacity", "Verschattung")
"""Words for every kind of them."""
NEVER = (
    *("hydronephrosis", "Hydronephrose", "dilatation", "Dilatation", "aneurysm", "Aneurysma", "calculus", "Konkrement"),
    *("osteolysis", "Osteolyse", "infiltrate", "Infiltrat", "pericardial effusion", "Perikarderguss", "fracture"),
    *("Fraktur", "ascites", "Aszites"),
)
"""Findings that no phantom has: a "no" is always true of them."""
DIRECTIONS = {
    "patient's left": (0, 1), "patient's right": (0, -1), "back of the patient": (1, 1),
    "front of the patient": (1, -1), "patient's head": (2, 1), "patient's feet": (2, -1),
    "links": (0, 1), "rechts": (0, -1), "hinten": (1, 1), "vorn": (1, -1), "oben": (2, 1), "unten": (2, -1),
}  # fmt: skip
EXTENTS = {
    "from left to right": 0, "von links nach rechts": 0, "from front to back": 1, "von vorn nach hinten": 1,
    "from head to feet": 2, "von oben nach unten": 2,
}  # fmt: skip
KINDS = {
    "kidneys": "kidney_", "Nieren": "kidney_", "lobes of the lungs": "_lobe_", "Lungenlappen": "_lobe_",
    "lungs": "lung_", "Lungenflügel": "lung_", "lesions": "lesion", "Läsionen": "lesion",
}  # fmt: skip
MODALITIES = {"CT": "CT", "MR": "MR", "MRT": "MR"}
PLANES = {"axial": "axial", "coronal": "coronal", "koronar": "coronal", "sagittal": "sagittal"}
SEQUENCES = {"T1-weighted": "T1", "T2-weighted": "T2", "T1-gewichtet": "T1", "T2-gewichtet": "T2"}
REGIONS = {"abdomen": "ABDOMEN", "Abdomen": "ABDOMEN"}
WINDOWS = {
    "soft tissue window": (40, 400), "Weichteilfenster": (40, 400), "lung window": (-600, 1500),
    "Lungenfenster": (-600, 1500), "bone window": (400, 1800), "Knochenfenster": (400, 1800),
}  # fmt: skip
YES = {"ja": True, "yes": True, "nein": False, "no": False}


@dataclass(frozen=True)
class Read:
    """A question as it was read."""

    meaning: str
    about: tuple[str, ...]


def read_question(text: str, lang: str) -> Read:
    """What a question asks. ValueError for one that nobody wrote an expression for."""
    for meaning, expression in ASKED[lang]:
        if match := re.fullmatch(expression, text):
            about = tuple(group for group in match.groups() if group is not None)
            finding = meaning == "presence" and _finding_in(about[0], lang) is not None
            return Read("finding" if finding else meaning, about)
    raise ValueError(text)


def _finding_in(phrase: str, lang: str) -> tuple[str, str | None] | None:
    """(name of a finding, the structure it is asked in) of "a cyst in the liver"; None when it is a structure."""
    if _label_or_none(phrase, lang) is not None:
        return None
    bare = re.sub(r"^(an?|eine[nr]?|ein) ", "", phrase)
    named = [name for names in (*FINDINGS.values(), ANY, NEVER) for name in names]
    word = max((name for name in named if re.match(rf"{name}\b", bare)), key=len)
    place = bare.removeprefix(word).strip()
    return word, label_of(place, lang) if place else None


# Judging the answers


def _number(answer: str, lang: str) -> float:
    """Millimetres, square millimetres or HU."""
    match = re.fullmatch(r"(-?\d+(?:[.,]\d+)?) (mm|mm²|cm²|HU)", answer)
    assert match, answer
    assert {"de": ".", "en": ","}[lang] not in match[1], answer
    return float(match[1].replace(",", ".")) * (100 if match[2] == "cm²" else 1)


def _kinds(word: str) -> set[str]:
    return set(FINDINGS) if word in ANY else {kind for kind, names in FINDINGS.items() if word in names}


def _organ(lesion: Any) -> str:
    return str(lesion.organ)


def _located(lesion: Any, label: str) -> bool:
    """The lesion is in the structure: by the organ that the plan put it in, lungs with all of their lobes."""
    organ = _organ(lesion)
    return label == organ or (label.startswith("lung") and organ.startswith("lung") and label[-4:] == organ[-4:])


def entailed(sample: dict[str, Any], truth: Truth) -> bool:
    """True when the answer is true of the image."""
    lang, answer = sample["lang"], sample["answer"]
    text = sample["turns"][0]["content"][1]["text"].split("\n")
    read = read_question(text[0], lang)
    about = read.about
    assert tuple(text[1:]) == tuple(sample.get("choices", ()))
    choices = text[1:]
    if choices and answer not in choices:
        return False
    header = truth.header
    match read.meaning:
        case "presence":
            label = label_of(about[0], lang)
            area = truth.area(label)
            return label in truth.can_show and (area >= SMALLEST_PX if YES[answer] else area == 0)
        case "which":
            shown = {choice for choice in choices if truth.area(label_of(choice, lang)) > 0}
            return shown == {answer} and all(label_of(choice, lang) in truth.can_show for choice in choices)
        case "side":
            sides = {choice: label_of(choice, lang) for choice in choices if choice not in ("both", "beide")}
            shown = {choice for choice, label in sides.items() if truth.area(label)}
            assert {label.replace("left", "right") for label in sides.values()} == {max(sides.values(), key=len)}
            return len(shown) == 2 if answer in ("both", "beide") else shown == {answer}
        case "count":
            labels = [label_of(each, lang) for each in about[0].split(", ")]
            known = all(label in truth.can_show for label in labels)
            return known and int(answer) == sum(truth.area(label) > 0 for label in labels)
        case "count-of":
            if KINDS[about[0]] == "lesion":
                return int(answer) == len(truth.lesions())
            members = [label for label in truth.can_show if KINDS[about[0]] in label]
            return int(answer) == sum(truth.area(label) > 0 for label in members) and len(members) in (2, 5)
        case "position":
            axis, sign = DIRECTIONS[about[0]]
            first, second = (sign * truth.points(label_of(choice, lang))[:, axis] for choice in choices)
            (further, nearer) = (first, second) if answer == choices[0] else (second, first)
            return bool(further.min() > nearer.max() - 1e-6)
        case "larger":
            areas = {choice: truth.area(label_of(choice, lang)) for choice in choices}
            return areas[answer] == max(areas.values()) > 1.4 * min(areas.values()) > 0
        case "denser":
            means = {choice: _mean_hu(truth, label_of(choice, lang)) for choice in choices}
            return means[answer] == max(means.values()) > min(means.values()) + 19
        case "extent" | "area" | "diameter" | "density":
            return _measured(sample, truth, read)
        case "finding":
            return _finding(about[0], YES[answer], truth, lang)
        case "finding-what":
            inside = [lesion for lesion in truth.lesions() if _located(lesion, label_of(about[0], lang))]
            return any(lesion.tissue in _kinds(answer) for lesion in inside)
        case "finding-where":
            return any(
                lesion.tissue in _kinds(about[0]) and _located(lesion, label_of(answer, lang))
                for lesion in truth.lesions()
            )
        case "finding-size":
            sizes = [lesion.diameter_mm for lesion in truth.lesions() if lesion.tissue in _kinds(about[0])]
            return any(abs(_number(answer, lang) - size) <= 0.5 for size in sizes)
        case "modality":
            return MODALITIES[answer] == header.Modality
        case "is-modality":
            return YES[answer] == (MODALITIES[about[0]] == header.Modality)
        case "plane" | "is-plane":
            normal = np.cross(*np.array(header.ImageOrientationPatient, float).reshape(2, 3))
            plane = ("sagittal", "coronal", "axial")[int(np.abs(normal).argmax())]
            return PLANES[answer] == plane if read.meaning == "plane" else YES[answer] == (PLANES[about[0]] == plane)
        case "region":
            return REGIONS[answer] == header.BodyPartExamined
        case "is-region":
            return YES[answer] == (REGIONS.get(about[0]) == header.BodyPartExamined)
        case "contrast":
            return YES[answer] == ("ContrastBolusAgent" in header)
        case "contrast-which":
            return answer.split()[0] in (("with", "mit") if "ContrastBolusAgent" in header else ("without", "ohne"))
        case "sequence":
            return SEQUENCES[answer] == _weighting(header)
        case "is-sequence":
            return YES[answer] == any(about[0].startswith(n) and w == _weighting(header) for n, w in SEQUENCES.items())
        case "window" | "is-window":
            return _window(sample, read, answer, truth)
    raise AssertionError(read)


def _weighting(header: pydicom.Dataset) -> str:
    return str(header.SeriesDescription)[:2]


def _mean_hu(truth: Truth, label: str) -> float:
    values = truth.values[truth.classes == LABELS[label].class_id]
    return float(values.mean()) if values.size else float("nan")


def _finding(phrase: str, yes: bool, truth: Truth, lang: str) -> bool:
    found = _finding_in(phrase, lang)
    assert found is not None
    word, place = found
    kinds = _kinds(word)
    there = [each for each in truth.lesions() if each.tissue in kinds and (place is None or _located(each, place))]
    if yes:
        return bool(there)
    return not there and (bool(kinds) or word in NEVER)


def _measured(sample: dict[str, Any], truth: Truth, read: Read) -> bool:
    lang = sample["lang"]
    label = label_of(read.about[0], lang)
    (quantity,) = sample["measurements"]
    said, (exact,) = _number(sample["answer"], lang), quantity["value"]
    where = truth.classes == LABELS[label].class_id
    spacing = np.array(truth.header.PixelSpacing, float)
    if read.meaning == "density":
        value, unit = _mean_hu(truth, label), "HU"
    else:
        cut = where[0].any() or where[-1].any() or where[:, 0].any() or where[:, -1].any()
        if cut:
            return False
        unit = "mm2" if read.meaning == "area" else "mm"
        if read.meaning == "area":
            value = float(where.sum() * spacing[0] * spacing[1])
        elif read.meaning == "diameter":
            value = float(pdist(np.array(list(_outline(where))) * spacing).max())
        else:
            along = truth.points(label)[:, EXTENTS[read.about[1]]]
            step = np.diff(np.unique(np.round(along, 3))).min()
            value = float(along.max() - along.min() + step)
    near = 0.011 * abs(value) + 0.02
    rounding = 0.5 if unit != "mm2" else 6.0
    right = (
        abs(exact - value) <= near
        and abs(said - value) <= near + rounding
        and abs(said - exact) <= quantity["tolerance"]
    )
    return bool(right and quantity["unit"] == unit and quantity["tolerance"] > 0)


def _outline(where: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Corners of the pixels that have a neighbour outside."""
    padded = np.pad(where, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    for row, column in zip(*np.nonzero(where & ~inner), strict=True):
        yield from ((row, column), (row + 1, column), (row, column + 1), (row + 1, column + 1))


def _window(sample: dict[str, Any], read: Read, answer: str, truth: Truth) -> bool:
    """The picture that the sample asks for is the one that the window gives."""
    from rrg.records import ImageRef
    from rrg.windows import look

    (given,) = sample["images"]
    image = ImageRef(id="i0", ref="series/s#0", rows=1, columns=1, unit=given["unit"], preset=given["preset"])
    shown = look(image, truth.values.astype(np.int16), "radgrounder", None)[0][..., 0]

    def is_window(name: str) -> bool:
        if name not in WINDOWS:
            return False
        center, width = WINDOWS[name]
        grey = (np.maximum(truth.values, -1000) - (center - width / 2)) * 255 / width
        return bool(np.abs(np.clip(grey, 0, 255) - shown).max() <= 1)

    return is_window(answer) if read.meaning == "window" else YES[answer] == is_window(read.about[0])
