"""What is asked and answered, in both languages. The only place with the wording of prompts.

Form 0 of each family is the canonical one that ``infer`` uses; the others are for training with ``--paraphrase``.
``{the}`` is a structure with its definite article in the nominative, ``{des}`` in the genitive, ``{den}`` in the
accusative, ``{in}`` in the dative after "in"; ``{is}`` is the verb. The words of answers are in `rrg.synth.terms`.
"""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence

from rrg import anatomy
from rrg.records import Lang
from rrg.synth import terms

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
        "en": ("Show on this image: {phrase}", "Where on this image is this: {phrase}?"),
        "de": ("Zeige auf diesem Bild: {phrase}", "Wo auf diesem Bild liegt das: {phrase}?"),
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
        "en": (
            "How many of these structures are visible on this image: {list}?",
            "How many of these does this image show: {list}?",
        ),
        "de": (
            "Wie viele dieser Strukturen sind auf diesem Bild zu sehen: {list}?",
            "Wie viele davon zeigt dieses Bild: {list}?",
        ),
    },
    "count-of": {
        "en": ("How many {kind} are visible on this image?", "How many {kind} does this image show?"),
        "de": ("Wie viele {kind} sind auf diesem Bild zu sehen?", "Wie viele {kind} zeigt dieses Bild?"),
    },
    "position": {
        "en": ("Which of the two lies {direction}?",),
        "de": ("Was von beidem liegt {direction}?",),
    },
    "larger": {
        "en": ("Which of the two covers the larger area on this image?",),
        "de": ("Was von beidem nimmt auf diesem Bild die größere Fläche ein?",),
    },
    "denser": {
        "en": ("Which of the two has the higher mean CT number on this image?",),
        "de": ("Was von beidem hat auf diesem Bild die höhere mittlere Dichte?",),
    },
    "extent": {
        "en": ("How large {is} {the} on this image {along}, in millimetres?", "Measure {the} {along}, in mm."),
        "de": ("Wie groß {is} {the} auf diesem Bild {along} in Millimetern?", "Miss {den} {along} in mm."),
    },
    "area": {
        "en": ("What is the area {des} on this image?", "Measure the area {des}."),
        "de": ("Wie groß ist die Fläche {des} auf diesem Bild?", "Miss die Fläche {des}."),
    },
    "diameter": {
        "en": (
            "What is the longest diameter {des} on this image, in millimetres?",
            "Measure the longest diameter {des}, in mm.",
        ),
        "de": (
            "Wie groß ist der längste Durchmesser {des} auf diesem Bild in Millimetern?",
            "Miss den längsten Durchmesser {des} in mm.",
        ),
    },
    "density": {
        "en": ("What is the mean CT number {des} on this image, in HU?", "Measure the density {des}, in HU."),
        "de": ("Wie hoch ist die mittlere Dichte {des} auf diesem Bild in HU?", "Miss die Dichte {des} in HU."),
    },
    "finding": {
        "en": ("Does this image show {finding}?",),
        "de": ("Zeigt dieses Bild {finding}?",),
    },
    "finding-in": {
        "en": ("Does this image show {finding} {place}?",),
        "de": ("Zeigt dieses Bild {finding} {place}?",),
    },
    "finding-what": {
        "en": ("What finding is there in {the}?",),
        "de": ("Welcher Befund liegt {in} vor?",),
    },
    "finding-where": {
        "en": ("Where is {finding}?",),
        "de": ("Wo liegt {finding}?",),
    },
    "finding-size": {
        "en": ("How large is {finding}?",),
        "de": ("Wie groß ist {finding}?",),
    },
    "modality": {
        "en": ("Which modality is this image?", "How was this image acquired?"),
        "de": ("Mit welchem Verfahren wurde dieses Bild aufgenommen?", "Welche Modalität ist das?"),
    },
    "is-modality": {
        "en": ("Is this image {term}?", "Was this image acquired with {term}?"),
        "de": ("Ist dies ein {term}-Bild?", "Stammt dieses Bild aus der {term}?"),
    },
    "plane": {
        "en": ("In which plane is this image?", "What is the plane of this slice?"),
        "de": ("In welcher Ebene liegt dieses Bild?", "Welche Schichtebene zeigt dieses Bild?"),
    },
    "is-plane": {
        "en": ("Is this {term} slice?",),
        "de": ("Liegt dieses Bild in {term} Ebene?",),
    },
    "region": {
        "en": ("Which region of the body was examined?", "Which part of the body is this an examination of?"),
        "de": ("Welche Körperregion wurde untersucht?", "Welcher Körperabschnitt wurde untersucht?"),
    },
    "is-region": {
        "en": ("Was {term} examined?", "Is this an examination of {term}?"),
        "de": ("Wurde {term} untersucht?", "Wurde hier {term} untersucht?"),
    },
    "contrast": {
        "en": ("Was contrast agent given?", "Is this image contrast-enhanced?"),
        "de": ("Wurde Kontrastmittel gegeben?", "Wurde dieses Bild nach Kontrastmittelgabe aufgenommen?"),
    },
    "contrast-which": {
        "en": ("Was this image acquired with or without contrast agent?",),
        "de": ("Wurde dieses Bild mit oder ohne Kontrastmittel aufgenommen?",),
    },
    "phase": {
        "en": ("Which contrast phase does this image show?",),
        "de": ("Welche Kontrastmittelphase zeigt dieses Bild?",),
    },
    "is-phase": {
        "en": ("Is this {term}?", "Does this image show {term}?"),
        "de": ("Ist dies {term}?", "Zeigt dieses Bild {term}?"),
    },
    "sequence": {
        "en": ("Which MR sequence is this image?",),
        "de": ("Welche MR-Sequenz zeigt dieses Bild?",),
    },
    "is-sequence": {
        "en": ("Is this {term}?",),
        "de": ("Ist dies {term}?",),
    },
    "window": {
        "en": ("In which CT window is this image shown?",),
        "de": ("In welchem CT-Fenster wird dieses Bild gezeigt?",),
    },
    "is-window": {
        "en": ("Is this image shown in {term}?",),
        "de": ("Wird dieses Bild im {term} gezeigt?",),
    },
}
"""Family -> language -> forms, the canonical one first."""

NOT_HERE: Mapping[Lang, str] = {"en": "not on this image", "de": "nicht auf diesem Bild"}
"""Answer of `detect` for a structure that is not there."""
_INDEFINITE = frozenset({"lesion", "lung_nodule", "kidney_cyst_left", "kidney_cyst_right"})
"""Not everybody has one: "a lesion", not "the lesion", when asked whether it is there."""


def version() -> str:
    """Changes with any wording: the first 12 hex digits of the SHA-256 of forms and terms."""
    words = [FORMS, NOT_HERE, {key: value for key, value in vars(terms).items() if key.isupper()}]
    return hashlib.sha256(json.dumps(words, sort_keys=True, default=sorted).encode()).hexdigest()[:12]


def name(label: str, lang: Lang) -> str:
    """How a structure is called, without article; an unknown label as it is written, blanks for underscores."""
    return anatomy.display(label, lang) if label in anatomy.LABELS else label.replace("_", " ")


@functools.cache
def fields(label: str, lang: Lang, *, indefinite: bool = False) -> Mapping[str, str]:
    """The words of the forms for a structure: ``the``, ``des``, ``den``, ``in``, ``is``, ``Is``.

    `indefinite`: "a lesion". English ``des`` is "of the liver".
    """
    plural = anatomy.is_plural(label, lang)
    if lang == "en":
        the = f"a {anatomy.display(label, 'en')}" if indefinite else anatomy.en_phrase(label)
        des, den, within, verb = f"of {the}", the, f"in {the}", "are" if plural else "is"
    else:
        article: anatomy.Article = "indefinite" if indefinite else "definite"
        the = anatomy.de_phrase(label, "nominative", article)
        des = anatomy.de_phrase(label, "genitive", article)
        den = anatomy.de_phrase(label, "accusative", article)
        within, verb = anatomy.de_in(label), "sind" if plural else "ist"
    return {"the": the, "des": des, "den": den, "in": within, "is": verb, "Is": verb.capitalize()}


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
