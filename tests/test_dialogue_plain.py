"""Findings in plain language: whole German sentences, with their commas, for every finding that has plain words."""

import itertools
import re

import pytest

from rrg.synth.dialogue_plain import LAY, plain_sentence
from rrg.synth.report_facts import NAMES, NAMES_ITS_PLACE, Fact

FINDINGS = sorted(LAY.keys() & NAMES.keys())
CLAUSES = {"mass", "lesion", "hernia", "infarction", "osteolysis"}
"""Their German plain words end with a relative clause."""


def fact(name: str, *, present: bool = True, place: str = "pancreas", size: float | None = None) -> Fact:
    return Fact(name, present, (place,) if place else (), (size,) if size else (), ())


def test_a_mass_as_a_patient_reads_it() -> None:
    clause = "Auf dem Bild sieht man eine Ansammlung von Gewebe, die Platz einnimmt (Fachwort: Raumforderung)"
    assert plain_sentence(fact("mass"), "de") == f"{clause}, im Pankreas."
    assert plain_sentence(fact("mass", size=26), "de") == f"{clause}, im Pankreas, 26 mm groß."
    assert plain_sentence(fact("mass", place="", size=26), "de") == f"{clause}, 26 mm groß."
    assert plain_sentence(fact("mass", place=""), "de") == f"{clause}."
    denied = plain_sentence(fact("mass", present=False), "de")
    assert denied == f"{clause.replace('eine', 'keine', 1)}, im Pankreas."


@pytest.mark.parametrize("name", FINDINGS)
def test_relative_clauses_are_closed_and_nothing_else_is(name: str) -> None:
    said = plain_sentence(fact(name), "de")
    clause = re.search(r", (?:die|der|das|durch die|an der) ", said)
    assert bool(clause) is (name in CLAUSES)
    if clause is None:
        assert "," not in said
    else:
        assert said.count(",") == 2
        assert re.search(r"(?:\)|\w), (?:im|in der|des|der) ", said)


@pytest.mark.parametrize("name", FINDINGS)
def test_sentences_are_well_formed(name: str) -> None:
    for present, place, size, lang in itertools.product((True, False), ("liver", ""), (None, 12), ("de", "en")):
        said = plain_sentence(fact(name, present=present, place=place, size=size), lang)  # type: ignore[arg-type]
        assert said.endswith(".")
        assert not re.search(r"\s[,.]|\s\s|,,|\(\)|\{|\}", said)
        assert (" 12 mm" in said) is bool(present and size)
        assert (
            ("Leber" in said.split(")")[-1] or "liver" in said.split(")")[-1]) or name in NAMES_ITS_PLACE or not place
        )
        term = NAMES[name].de if lang == "de" else NAMES[name].en
        assert said.lower().count(term.lower()) >= 1  # the term, or plain words that are the term
        assert f"{term} (Fachwort: {term})" not in said


@pytest.mark.parametrize(
    ("name", "place", "says"),
    [
        ("thrombosis", "portal_vein_and_splenic_vein", "ein Blutgerinnsel (Fachwort: Thrombose) in der Pfortader"),
        ("calcification", "aorta", "eine Kalkablagerung (Fachwort: Verkalkung) in der Aorta"),
        ("hydronephrosis", "kidney_left", "einen Rückstau von Urin (Fachwort: Hydronephrose) in der linken Niere"),
        ("stenosis", "aorta", "eine Engstelle (Fachwort: Stenose) der Aorta"),
    ],
)
def test_plain_words_choose_their_own_preposition(name: str, place: str, says: str) -> None:
    assert says in plain_sentence(fact(name, place=place), "de")
