"""The label table: names, class numbers, display names and codes of every structure that rrg knows.

The table is ``lexicon/anatomy.tsv``. Its checksum is the label map version that is stored with every mask.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, cast

Gender = Literal["m", "f", "n", "pl"]
Case = Literal["nominative", "genitive", "dative", "accusative"]
Article = Literal["definite", "indefinite", "negative", "none"]
"""der linke / ein linker / kein linker / linker."""


@dataclass(frozen=True, slots=True)
class Label:
    """One structure."""

    name: str
    """Our name, e.g. ``kidney_left``; the segmenter's where it has the class."""
    class_id: int
    """Value in mask arrays. 1-117 are those of TotalSegmentator ``total``, 118-121 exist in MR only, own from 200."""
    en: str
    """English display name, without article."""
    de: str
    """German display name, nominative, without article."""
    gender: Gender
    """Of the German noun; ``pl`` for a plural."""
    side: Literal["left", "right"] | None
    """The patient's side."""
    snomed: str | None
    """SNOMED CT code of the structure without its side."""
    mr_class_id: int | None
    """Class number in TotalSegmentator ``total_mr``."""
    de_genitive: str | None
    """The German noun in the genitive, where it is irregular."""


_TABLE = files("rrg").joinpath("lexicon/anatomy.tsv").read_bytes()


def _read(table: bytes) -> dict[str, Label]:
    labels: dict[str, Label] = {}
    lines = [line for line in table.decode().splitlines() if line and not line.startswith("#")]
    for line in lines[1:]:
        class_id, name, en, de, gender, side, snomed, mr_class_id, genitive = line.split("\t")
        labels[name] = Label(
            name=name,
            class_id=int(class_id),
            en=en,
            de=de,
            gender=cast(Gender, gender),
            side=cast(Literal["left", "right"] | None, side or None),
            snomed=snomed or None,
            mr_class_id=int(mr_class_id) if mr_class_id else None,
            de_genitive=genitive or None,
        )
    return labels


LABELS: Mapping[str, Label] = _read(_TABLE)
"""Name -> label, by class number."""
BY_ID: Mapping[int, Label] = {label.class_id: label for label in LABELS.values()}
"""Class number -> label."""
MR_TO_UNIFIED: Mapping[int, int] = {
    label.mr_class_id: label.class_id for label in LABELS.values() if label.mr_class_id is not None
}
"""Class number of ``total_mr`` -> our class number, joined by name."""

_VERTEBRAE = tuple(name for name in LABELS if name.startswith("vertebrae_"))
_BONES = (
    *("sacrum", "vertebrae", *_VERTEBRAE, "skull", "sternum"),
    *(name for name in LABELS if name.startswith(("rib_", "humerus_", "scapula_", "clavicula_", "femur_", "hip_"))),
)
_IMPLIED: Mapping[str, tuple[str, ...]] = {
    "lung_left": ("lung_upper_lobe_left", "lung_lower_lobe_left"),
    "lung_right": ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    "vertebrae": _VERTEBRAE,
    "sacrum": ("vertebrae_S1",),
    "bone": _BONES,
    "airways": ("trachea",),
    "lesion": ("lung_nodule",),
    "body": tuple(name for name in LABELS if name != "body"),
}


def label_map_version() -> str:
    """``rrg-labels/1:`` and the first 12 hex digits of the table's SHA-256."""
    return f"rrg-labels/1:{hashlib.sha256(_TABLE).hexdigest()[:12]}"


def covers(name: str) -> tuple[str, ...]:
    """The other classes whose presence implies this one: the lobes for a lung. Empty for most."""
    if name not in LABELS:
        raise KeyError(name)
    return _IMPLIED.get(name, ())


def other_side(name: str) -> str | None:
    """The same structure of the other side; None for one without a side or without a partner."""
    side = LABELS[name].side
    other = name.replace(side, "right" if side == "left" else "left") if side else name
    return other if other != name and other in LABELS else None


def mr_to_unified(mr_class_id: int) -> int:
    """Our class number of a class of ``total_mr``. Raises KeyError for numbers that task does not have."""
    return MR_TO_UNIFIED[mr_class_id]


def display(name: str, lang: str) -> str:
    """Display name without article: "left kidney", "linke Niere"."""
    label = LABELS[name]
    return label.de if lang == "de" else label.en


_ARTICLE: Mapping[Article, Mapping[Case, Mapping[Gender, str]]] = {
    "definite": {
        "nominative": {"m": "der", "f": "die", "n": "das", "pl": "die"},
        "genitive": {"m": "des", "f": "der", "n": "des", "pl": "der"},
        "dative": {"m": "dem", "f": "der", "n": "dem", "pl": "den"},
        "accusative": {"m": "den", "f": "die", "n": "das", "pl": "die"},
    },
    "indefinite": {
        "nominative": {"m": "ein", "f": "eine", "n": "ein", "pl": ""},
        "genitive": {"m": "eines", "f": "einer", "n": "eines", "pl": ""},
        "dative": {"m": "einem", "f": "einer", "n": "einem", "pl": ""},
        "accusative": {"m": "einen", "f": "eine", "n": "ein", "pl": ""},
    },
    "negative": {
        "nominative": {"m": "kein", "f": "keine", "n": "kein", "pl": "keine"},
        "genitive": {"m": "keines", "f": "keiner", "n": "keines", "pl": "keiner"},
        "dative": {"m": "keinem", "f": "keiner", "n": "keinem", "pl": "keinen"},
        "accusative": {"m": "keinen", "f": "keine", "n": "kein", "pl": "keine"},
    },
}
_STRONG: Mapping[Case, Mapping[Gender, str]] = {
    "nominative": {"m": "er", "f": "e", "n": "es", "pl": "e"},
    "genitive": {"m": "en", "f": "er", "n": "en", "pl": "er"},
    "dative": {"m": "em", "f": "er", "n": "em", "pl": "en"},
    "accusative": {"m": "en", "f": "e", "n": "es", "pl": "e"},
}
"""Endings of an adjective that no article stands before. Others: Duden grammar, weak and mixed inflection."""
_ADJECTIVE_ENDINGS = {"m": "er", "f": "e", "n": "es", "pl": "e"}


def _ending(article: str, kind: Article, case: Case, gender: Gender) -> str:
    if not article:
        return _STRONG[case][gender]
    if case in ("genitive", "dative") or gender == "pl":
        return "en"
    if case == "accusative" and gender == "m":
        return "en"
    if kind == "definite":
        return "e"
    return _STRONG[case][gender]


def _noun(label: Label, noun: str, case: Case) -> str:
    head, blank, rest = noun.partition(" ")
    if case == "dative" and (label.de_genitive or "").endswith("ens"):
        return (label.de_genitive or "").removesuffix("s")
    if case == "genitive" and label.gender in ("m", "n"):
        return label.de_genitive or f"{head}s{blank}{rest}"
    if case == "dative" and label.gender == "pl" and not head.endswith(("n", "s")):
        return f"{head}n{blank}{rest}"
    return noun


def de_phrase(name: str, case: Case = "nominative", article: Article = "definite") -> str:
    """The German name in a case: "die linke Niere", "der linken Niere", "das Pankreas", "des Magens".

    Of two nouns each has its article: "die Pfortader und die Milzvene".
    """
    label = LABELS[name]
    return " und ".join(_declined(label, part, case, article) for part in label.de.split(" und "))


def _declined(label: Label, display_name: str, case: Case, article: Article) -> str:
    words = display_name.split(" ")
    adjectives: list[str] = []
    while words[0][0].islower():
        adjectives.append(words.pop(0).removesuffix(_ADJECTIVE_ENDINGS[label.gender]))
    said = "" if article == "none" else _ARTICLE[article][case][label.gender]
    if case == "genitive" and not said and not adjectives and label.gender == "pl":
        said, case = "von", "dative"  # nothing else would tell the case: "von Lungenvenen"
    ending = _ending(said, article, case, label.gender)
    noun = _noun(label, " ".join(words), case)
    return " ".join(part for part in (said, *(stem + ending for stem in adjectives), noun) if part)


def de_in(name: str) -> str:
    """Where: "in der linken Niere", "im Pankreas", "in den Bandscheiben"."""
    phrase = de_phrase(name, "dative")
    return f"im{phrase.removeprefix('dem')}" if phrase.startswith("dem ") else f"in {phrase}"


def en_phrase(name: str) -> str:
    """The English name with its article: "the left kidney", "the L1 vertebra", "left rib 3"."""
    label = LABELS[name]
    return label.en if name.startswith("rib_") else f"the {label.en}"


def de_pronoun(name: str, case: Literal["nominative", "dative", "accusative"] = "nominative") -> str:
    """ "er", "sie", "es" for a structure, in a case."""
    forms = {
        "nominative": {"m": "er", "f": "sie", "n": "es", "pl": "sie"},
        "dative": {"m": "ihm", "f": "ihr", "n": "ihm", "pl": "ihnen"},
        "accusative": {"m": "ihn", "f": "sie", "n": "es", "pl": "sie"},
    }
    return forms[case][LABELS[name].gender]


_EN_PLURAL = frozenset(
    {
        "pulmonary_vein",
        "portal_vein_and_splenic_vein",
        "costal_cartilages",
        "intervertebral_discs",
        "vertebrae",
        "airways",
        "bone",
        "autochthon_left",
        "autochthon_right",
    }
)


def is_plural(name: str, lang: str) -> bool:
    """True when the verb of the display name stands in the plural: "sind die Bandscheiben", "are the airways"."""
    if lang == "en":
        return name in _EN_PLURAL
    return LABELS[name].gender == "pl" or " und " in LABELS[name].de
