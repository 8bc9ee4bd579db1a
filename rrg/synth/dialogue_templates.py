"""What users say in dialogues, and the frames of answers, in both languages. The first form is the canonical one."""

import hashlib
import json
from collections.abc import Mapping

from numpy.random import Generator

from rrg.records import Lang

SAYINGS: Mapping[str, Mapping[Lang, tuple[str, ...]]] = {
    "report": {
        "en": ("Describe this image.", "Write the findings of this image.", "What does this image show?"),
        "de": ("Beschreibe dieses Bild.", "Schreibe den Befund zu diesem Bild.", "Was zeigt dieses Bild?"),
    },
    "report-with-findings": {
        "en": (
            "Known findings: {list}.\nWrite the findings of this image as text.",
            "These findings are given: {list}.\nDescribe this image.",
            "Findings so far: {list}.\nTurn them into a short report of this image.",
        ),
        "de": (
            "Bekannte Befunde: {list}.\nSchreibe den Befund zu diesem Bild als Text.",
            "Diese Befunde sind gegeben: {list}.\nBeschreibe dieses Bild.",
            "Bisherige Befunde: {list}.\nMach daraus einen kurzen Bericht zu diesem Bild.",
        ),
    },
    "findings-list": {
        "en": (
            "List all findings of this image.",
            "Which findings are there? Give a list.",
            "Please name each finding with its place and size.",
            "Give me the findings as bullet points.",
        ),
        "de": (
            "Liste alle Befunde dieses Bildes auf.",
            "Welche Befunde liegen vor? Gib eine Liste.",
            "Nenne bitte jeden Befund mit Ort und Größe.",
            "Gib mir die Befunde als Stichpunkte.",
        ),
    },
    "is-there": {
        "en": ("Is there {what}?", "Do you see {what}?", "Does this image show {what}?"),
        "de": ("Gibt es hier {what}?", "Siehst du {what}?", "Zeigt dieses Bild {what}?"),
    },
    "check": {
        "en": (
            "Check your report against the image and correct what is wrong.",
            "Something in this report is not right. Please correct it.",
            "Please look at the image again and correct the report.",
        ),
        "de": (
            "Prüfe deinen Befund am Bild und verbessere, was nicht stimmt.",
            "Etwas an diesem Befund stimmt nicht. Bitte korrigiere ihn.",
            "Sieh dir das Bild bitte noch einmal an und korrigiere den Befund.",
        ),
    },
    "wrong-add": {
        "en": ("This image does not show {what}. Correct the report.", "I do not see {what}. Please correct that."),
        "de": ("Das Bild zeigt {no_what}. Korrigiere den Befund.", "Ich sehe {no_what}. Bitte verbessere das."),
    },
    "wrong-remove": {
        "en": (
            "A finding is missing: {finding}. Add it.",
            "You have missed something: {finding}. Complete the report.",
        ),
        "de": (
            "Es fehlt ein Befund: {finding}. Ergänze ihn.",
            "Etwas wurde übersehen: {finding}. Vervollständige den Befund.",
        ),
    },
    "wrong-side": {
        "en": ("The side is wrong ({finding}). Correct it.", "Left and right are mixed up: {finding}."),
        "de": (
            "Die Seitenangabe ist falsch ({finding}). Korrigiere sie.",
            "Links und rechts sind verwechselt: {finding}.",
        ),
    },
    "wrong-size": {
        "en": ("The size is wrong ({finding}): it is {size}.", "That is not the right size ({finding}). It is {size}."),
        "de": (
            "Die Größe ist falsch ({finding}): Es sind {size}.",
            "Die Größe stimmt nicht ({finding}). Richtig sind {size}.",
        ),
    },
    "wrong-negation-absent": {
        "en": ("This image does not show {what}. Correct the report.",),
        "de": ("Das Bild zeigt {no_what}. Korrigiere den Befund.",),
    },
    "wrong-negation-present": {
        "en": ("But this image does show {what}. Correct the report.",),
        "de": ("Das Bild zeigt aber {what}. Korrigiere den Befund.",),
    },
    "added": {
        "en": ("There is {what} {place}.", "{What} is seen {place}."),
        "de": ("{Place} findet sich {nominative}.", "{Place} zeigt sich {nominative}."),
    },
    "findings-given": {
        "en": ("These are the findings of the study:\n{text}", "The findings section reads:\n{text}"),
        "de": ("Das ist der Befund der Untersuchung:\n{text}", "Der Befundteil lautet:\n{text}"),
    },
    "impression": {
        "en": ("Write the impression.", "What is your impression?", "How would you conclude this report?"),
        "de": (
            "Schreibe die Beurteilung.",
            "Wie lautet deine Beurteilung?",
            "Wie würdest du diesen Befund abschließend beurteilen?",
        ),
    },
    "summary": {
        "en": ("Summarise that in a few points.", "Give me a short summary.", "What matters most, in bullet points?"),
        "de": (
            "Fasse das in wenigen Punkten zusammen.",
            "Gib mir eine kurze Zusammenfassung.",
            "Was ist das Wichtigste, in Stichpunkten?",
        ),
    },
    "plain-language": {
        "en": (
            "Explain that in plain language.",
            "How would you tell a patient what is seen here?",
            "Please say that without technical terms.",
        ),
        "de": (
            "Erkläre das in einfacher Sprache.",
            "Wie würdest du einer Patientin sagen, was hier zu sehen ist?",
            "Sag das bitte ohne Fachsprache.",
        ),
    },
    "plain-present": {
        "en": ("The image shows {lay}{term}{place}{size}.",),
        "de": ("Auf dem Bild sieht man {lay}{term}{place}{size}.",),
    },
    "plain-absent": {
        "en": ("The image does not show {lay}{term}{place}.",),
        "de": ("Auf dem Bild sieht man {lay}{term}{place}.",),
    },
    "plain-term": {"en": (" (medical term: {term})",), "de": (" (Fachwort: {term})",)},
    "plain-size": {"en": (", {size} in size",), "de": (", {size} groß",)},
    "region": {
        "en": ("Which structure is at {box}?", "What lies at {box}?"),
        "de": ("Welche Struktur liegt bei {box}?", "Was liegt bei {box}?"),
    },
    "region-findings": {
        "en": ("What is to be said about it?", "Describe this region.", "What do you see there?"),
        "de": ("Was ist dazu zu sagen?", "Beschreibe diese Region.", "Was siehst du dort?"),
    },
    "view-modality": {
        "en": ("Which modality is this?", "How was this image acquired?"),
        "de": ("Welche Modalität ist das?", "Mit welchem Verfahren wurde dieses Bild aufgenommen?"),
    },
    "view-plane": {
        "en": ("And in which plane?", "Which plane does it show?"),
        "de": ("Und in welcher Ebene?", "Welche Schichtebene zeigt es?"),
    },
    "view-phase": {
        "en": ("Which contrast phase is it?",),
        "de": ("Welche Kontrastmittelphase ist es?",),
    },
    "view-sequence": {
        "en": ("Which sequence is it?",),
        "de": ("Welche Sequenz ist es?",),
    },
}
"""What is said -> language -> forms."""
NOTHING: Mapping[Lang, str] = {"en": "no findings", "de": "keine Befunde"}
"""The list of findings where there is none."""


def version() -> str:
    """Changes with any wording: the first 12 hex digits of the SHA-256 of the forms."""
    return hashlib.sha256(json.dumps([SAYINGS, NOTHING], sort_keys=True).encode()).hexdigest()[:12]


def saying(key: str, lang: Lang, rng: Generator | None, **given: str) -> str:
    """A form drawn by `rng` (None: the canonical one) with its fields filled in."""
    forms = SAYINGS[key][lang]
    form = forms[0 if rng is None else int(rng.integers(len(forms)))]
    return form.format_map(given)
