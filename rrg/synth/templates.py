"""What is asked and answered, in both languages. The only place with the wording of prompts.

Form 0 of each family is the canonical one that ``infer`` uses; the others are for training with ``--paraphrase``.
``{the}`` is a structure with its definite article in the nominative, ``{den}`` in the accusative, ``{is}`` the verb.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

from rrg import anatomy
from rrg.records import Lang

TASKS = ("report", "grounded-report", "vqa", "detect", "phrase-to-box", "box-to-phrase")
LANGUAGES: tuple[Lang, ...] = ("de", "en")

FORMS: Mapping[str, Mapping[Lang, tuple[str, ...]]] = {
    "report": {
        "en": ("Describe this image.", "What does this image show?", "Write the findings of this image."),
        "de": ("Beschreibe dieses Bild.", "Was zeigt dieses Bild?", "Schreibe den Befund zu diesem Bild."),
    },
    "grounded-report": {
        "en": (
            "Describe this image and show the structures.",
            "What does this image show, and where?",
            "Write the findings of this image with their locations.",
        ),
        "de": (
            "Beschreibe dieses Bild und zeige die Strukturen.",
            "Was zeigt dieses Bild, und wo?",
            "Schreibe den Befund zu diesem Bild mit den Lokalisationen.",
        ),
    },
    "detect": {
        "en": ("Where {is} {the}?", "Show {the} on this image.", "Find {the}."),
        "de": ("Wo {is} {the}?", "Zeige {den} auf diesem Bild.", "Finde {den}."),
    },
    "phrase-to-box": {
        "en": ("Show on this image: {phrase}", "Where on this image: {phrase}"),
        "de": ("Zeige auf diesem Bild: {phrase}", "Wo auf diesem Bild: {phrase}"),
    },
    "box-to-phrase": {
        "en": ("Which structure is at {box}?", "What lies at {box}?"),
        "de": ("Welche Struktur liegt bei {box}?", "Was liegt bei {box}?"),
    },
    "presence": {
        "en": ("{Is} {the} visible on this image?", "Does this image show {the}?", "Can {the} be seen here?"),
        "de": ("{Is} {the} auf diesem Bild zu sehen?", "Zeigt dieses Bild {den}?", "{Is} hier {the} zu erkennen?"),
    },
    "which": {
        "en": ("Which of these structures is visible on this image?", "Which of these does this image show?"),
        "de": ("Welche dieser Strukturen ist auf diesem Bild zu sehen?", "Was davon zeigt dieses Bild?"),
    },
    "side": {
        "en": ("Which side is visible on this image?", "Which of the two does this image show?"),
        "de": ("Welche Seite ist auf diesem Bild zu sehen?", "Was von beidem zeigt dieses Bild?"),
    },
    "count": {
        "en": ("How many of these structures are visible on this image: {list}?",),
        "de": ("Wie viele dieser Strukturen sind auf diesem Bild zu sehen: {list}?",),
    },
    "position": {
        "en": ("Which of the two lies further {direction}?",),
        "de": ("Was von beidem liegt weiter {direction}?",),
    },
    "larger": {
        "en": ("Which of the two covers the larger area on this image?",),
        "de": ("Was von beidem nimmt auf diesem Bild die größere Fläche ein?",),
    },
    "finding": {
        "en": ("Does this image show {finding}?",),
        "de": ("Zeigt dieses Bild {finding}?",),
    },
    "finding-in": {
        "en": ("Does this image show {finding} in {the}?",),
        "de": ("Zeigt dieses Bild {finding} {in}?",),
    },
    "finding-what": {
        "en": ("What finding is there in {the}?",),
        "de": ("Welcher Befund liegt {in} vor?",),
    },
    "finding-where": {
        "en": ("Where is the finding: {finding}?",),
        "de": ("Wo liegt der Befund: {finding}?",),
    },
    "finding-size": {
        "en": ("How large is the finding: {finding}?",),
        "de": ("Wie groß ist der Befund: {finding}?",),
    },
    "modality": {
        "en": ("Which modality is this image?",),
        "de": ("Mit welchem Verfahren wurde dieses Bild aufgenommen?",),
    },
    "plane": {
        "en": ("In which plane is this image?",),
        "de": ("In welcher Ebene liegt dieses Bild?",),
    },
    "region": {
        "en": ("Which region of the body does this image show?",),
        "de": ("Welche Körperregion zeigt dieses Bild?",),
    },
    "contrast": {
        "en": ("Was contrast agent given?",),
        "de": ("Wurde Kontrastmittel gegeben?",),
    },
}
"""Family -> language -> forms, the canonical one first."""

YES: Mapping[Lang, str] = {"en": "yes", "de": "ja"}
NO: Mapping[Lang, str] = {"en": "no", "de": "nein"}
NOT_HERE: Mapping[Lang, str] = {"en": "not on this image", "de": "nicht auf diesem Bild"}
"""Answer of `detect` for a structure that is not there."""
BOTH: Mapping[Lang, str] = {"en": "both", "de": "beide"}
DIRECTIONS: Mapping[str, Mapping[Lang, str]] = {
    "left": {"en": "to the left of the patient", "de": "auf der linken Seite des Patienten"},
    "right": {"en": "to the right of the patient", "de": "auf der rechten Seite des Patienten"},
    "back": {"en": "to the back", "de": "hinten"},
    "front": {"en": "to the front", "de": "vorn"},
    "head": {"en": "towards the head", "de": "oben im Körper"},
    "feet": {"en": "towards the feet", "de": "unten im Körper"},
}
MODALITIES: Mapping[str, Mapping[Lang, str]] = {"CT": {"en": "CT", "de": "CT"}, "MR": {"en": "MR", "de": "MR"}}
"""DICOM Modality -> how it is said."""
PLANES: Mapping[str, Mapping[Lang, str]] = {
    "axial": {"en": "axial", "de": "axial"},
    "coronal": {"en": "coronal", "de": "koronar"},
    "sagittal": {"en": "sagittal", "de": "sagittal"},
}
REGIONS: Mapping[str, Mapping[Lang, str]] = {
    "ABDOMEN": {"en": "abdomen", "de": "Abdomen"},
    "BRAIN": {"en": "brain", "de": "Gehirn"},
    "BREAST": {"en": "breast", "de": "Brust"},
    "CHEST": {"en": "chest", "de": "Thorax"},
    "CSPINE": {"en": "cervical spine", "de": "Halswirbelsäule"},
    "HEAD": {"en": "head", "de": "Kopf"},
    "HEART": {"en": "heart", "de": "Herz"},
    "KNEE": {"en": "knee", "de": "Knie"},
    "LSPINE": {"en": "lumbar spine", "de": "Lendenwirbelsäule"},
    "NECK": {"en": "neck", "de": "Hals"},
    "PELVIS": {"en": "pelvis", "de": "Becken"},
    "PROSTATE": {"en": "prostate", "de": "Prostata"},
    "SHOULDER": {"en": "shoulder", "de": "Schulter"},
    "SPINE": {"en": "spine", "de": "Wirbelsäule"},
    "TSPINE": {"en": "thoracic spine", "de": "Brustwirbelsäule"},
}
"""DICOM Body Part Examined -> how it is said."""

_INDEFINITE = frozenset({"lesion", "lung_nodule", "kidney_cyst_left", "kidney_cyst_right"})
"""Not everybody has one: "a lesion", not "the lesion", when asked whether it is there."""


def version() -> str:
    """Changes with any wording: the first 12 hex digits of the forms' SHA-256."""
    return hashlib.sha256(json.dumps(FORMS, sort_keys=True).encode()).hexdigest()[:12]


def name(label: str, lang: Lang) -> str:
    """How a structure is called, without article; an unknown label as it is written, blanks for underscores."""
    return anatomy.display(label, lang) if label in anatomy.LABELS else label.replace("_", " ")


def fields(label: str, lang: Lang, *, indefinite: bool = False) -> dict[str, str]:
    """What the forms say of a structure: ``the``, ``den``, ``is``, ``Is``, ``in``. `indefinite`: "a lesion"."""
    plural = anatomy.is_plural(label, lang)
    if lang == "en":
        the = f"a {anatomy.display(label, 'en')}" if indefinite else anatomy.en_phrase(label)
        den, within, verb = the, f"in {the}", "are" if plural else "is"
    else:
        article: anatomy.Article = "indefinite" if indefinite else "definite"
        the = anatomy.de_phrase(label, "nominative", article)
        den = anatomy.de_phrase(label, "accusative", article)
        within, verb = anatomy.de_in(label), "sind" if plural else "ist"
    return {"the": the, "den": den, "in": within, "is": verb, "Is": verb.capitalize()}


def escape(text: str) -> str:
    """Plain text for a text part: braces doubled."""
    return text.replace("{", "{{").replace("}", "}}")


def forms(family: str, lang: Lang) -> int:
    """How many forms a family has."""
    return len(FORMS[family][lang])


def say(family: str, lang: Lang, form: int = 0, **given: str) -> str:
    """One form of a family with its fields filled in."""
    return FORMS[family][lang][form].format_map(given)


def ask(task: str, lang: str, phrase: str | None = None, box_text: str | None = None, form: int = 0) -> str:
    """The prompt of a task, as it is trained and as it is asked.

    `phrase`: for detect a label of ``rrg.anatomy``, its display name, or any phrase; for phrase-to-box the phrase; for
    vqa the question. `box_text`: for box-to-phrase the box, rendered or as a placeholder. They are inserted as they
    are: what goes into a text part is escaped by the caller. Raises ValueError for an unknown task or language.
    """
    if task not in TASKS or lang not in LANGUAGES:
        raise ValueError(f"no prompt for task {task!r} in {lang!r}; tasks are {', '.join(TASKS)}, languages de, en")
    language: Lang = "de" if lang == "de" else "en"
    if task == "vqa":
        return phrase or ""
    if task == "detect":
        label = _label_of(phrase or "", language)
        if label is None:
            return say("phrase-to-box", language, phrase=phrase or "")
        return say(task, language, form, **fields(label, language))
    return say(task, language, form, phrase=phrase or "", box=box_text or "")


def with_choices(question: str, choices: Sequence[str]) -> str:
    """A choice question: the choices follow the question, one a line."""
    return "\n".join((question, *choices))


def presence(label: str, lang: Lang, form: int = 0) -> str:
    """Is the structure there?"""
    return say("presence", lang, form, **fields(label, lang, indefinite=label in _INDEFINITE))


def _label_of(phrase: str, lang: Lang) -> str | None:
    """The label that `phrase` names: a label itself, or a display name in any case."""
    if phrase in anatomy.LABELS:
        return phrase
    said = phrase.strip().casefold()
    return next((label for label in anatomy.LABELS if anatomy.display(label, lang).casefold() == said), None)
