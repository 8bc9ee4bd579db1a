"""German in every template: the page of forms is what the code says, and no form breaks the rules of the language."""

import re
from pathlib import Path

import pytest

from rrg.anatomy import LABELS, de_phrase, is_plural
from rrg.synth.report_facts import NAMES, NAMES_ITS_PLACE, OF_ITS_PLACE
from rrg.synth.templates import FORMS, LANGUAGES, forms
from tests.forms_table import OF_A_STRUCTURE, page, sentence

PAGE = Path(__file__).parent.parent / "docs" / "forms.de.md"
NOMINATIVE = {"m": "der", "f": "die", "n": "das", "pl": "die"}
ACCUSATIVE = {**NOMINATIVE, "m": "den"}
GENITIVE = {"m": "des", "f": "der", "n": "des", "pl": "der"}


def test_the_page_is_up_to_date() -> None:
    """It was read by eye: look at the difference before `make forms`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_both_languages_have_the_same_families_and_numbers_of_forms() -> None:
    for family, words in FORMS.items():
        assert set(words) == set(LANGUAGES)
        assert forms(family, "de") == forms(family, "en"), family
        fields = [{field for text in words[lang] for field in re.findall(r"{(\w+)}", text)} for lang in LANGUAGES]
        cases = {"the", "den", "des", "in", "is", "Is"}
        assert fields[0] - cases == fields[1] - cases, family


@pytest.mark.parametrize("family", OF_A_STRUCTURE)
def test_articles_and_verbs_of_every_structure(family: str) -> None:
    """An oracle of its own: the article that must stand before the name, by gender and case, and the verb's number."""
    own = ("lesion", "lung_nodule", "kidney_cyst_left", "kidney_cyst_right")
    for label in LABELS:
        gender = LABELS[label].gender
        for form in range(forms(family, "de")):
            text = sentence(family, label, form)
            assert "  " not in text
            assert not re.search(r"[{}]|\b(in dem|zu der|von dem)\b", text), text
            if text == "-" or (family == "presence" and label in own):
                continue
            article, verb = {
                "presence": (NOMINATIVE if "{den}" not in FORMS[family]["de"][form] else ACCUSATIVE, True),
                "detect": (NOMINATIVE if form == 0 else ACCUSATIVE, form == 0),
                "extent": (NOMINATIVE if form == 0 else ACCUSATIVE, form == 0),
                "area": (GENITIVE, False),
                "diameter": (GENITIVE, False),
                "density": (GENITIVE, False),
                "finding-in": ({"m": "im", "f": "in der", "n": "im", "pl": "in den"}, False),
                "finding-what": ({"m": "im", "f": "in der", "n": "im", "pl": "in den"}, False),
            }[family]
            noun = LABELS[label].de.split(" ")[-1 if LABELS[label].de[0].islower() else 0]
            assert f" {article[gender]} " in text, text
            assert noun.rstrip(".")[:4] in text, text
            if verb and "Zeigt" not in text:
                assert bool(re.search(r"\b[Ss]ind\b", text)) == is_plural(label, "de"), text


def test_genitives_end_as_german_and_latin_nouns_do() -> None:
    latin = ("us", "as", "um", "is")
    for label, one in LABELS.items():
        phrase = de_phrase(label, "genitive")
        head = next(word for word in one.de.split(" ") if word[0].isupper())
        if one.gender in ("m", "n"):
            declined = f"{head}s" in phrase or f"{head}ens" in phrase
            assert declined or head.endswith(latin) or head in ("HWK", "BWK", "LWK", "SWK"), phrase
        else:
            assert head in phrase


def test_findings_are_in_a_place_or_of_it_or_name_it() -> None:
    assert set(NAMES) >= OF_ITS_PLACE
    assert set(NAMES) >= NAMES_ITS_PLACE
    assert not OF_ITS_PLACE & NAMES_ITS_PLACE
