"""synth-vqa: every answer follows from the mask, the report or the header; German that reads right; same bytes."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg.anatomy import LABELS, de_phrase, display, is_plural
from rrg.prompt import render
from rrg.records import Mask, MaskLabel, Record, Sample
from rrg.synth import templates
from rrg.synth.facts import Said
from rrg.synth.report_facts import NAMES, Fact, facts_of
from rrg.synth.vqa import Options, ask_all
from tests.conftest import Rrg
from tests.synth_cases import a_mask, a_report, a_slice, a_study, group, read, rectangle, samples_of, stream

YES, NO = {"de": "ja", "en": "yes"}, {"de": "nein", "en": "no"}


def ask(records: list[Record], **options: object) -> list[Sample]:
    return samples_of(ask_all(Options(**{"slices": "all", **options}), group(records)))  # type: ignore[arg-type]


def question(sample: Sample) -> str:
    return (sample.turns[0].content[1].text or "").split("\n")[0]


def named(text: str, lang: str) -> str:
    """The label of a display name."""
    (label,) = [label for label in LABELS if display(label, lang) == text]
    return label


def entailed(sample: Sample, mask: Mask) -> bool:
    """An oracle of its own: is the answer what the mask record says? Phantoms are judged in test_vqa_truth.py."""
    there = {label.label: label for label in mask.labels}
    lang, family = sample.lang, sample.facets["question"]
    assert sample.answer is not None
    if family == "presence":
        return sample.answer == (YES if sample.facets["label"] in there else NO)[lang]
    if family == "which":
        return named(sample.answer, lang) in there and sum(named(c, lang) in there for c in sample.choices) == 1
    if family == "side":
        left, right = sample.facets["label"].split("+")
        both = {"de": "beide", "en": "both"}[lang]
        seen = [label for label in (left, right) if label in there]
        return sample.answer == (both if len(seen) == 2 else display(seen[0], lang))
    if family == "count":
        listed = question(sample).split(": ")[1].rstrip("?").split(", ")
        return sample.answer == str(sum(named(text, lang) in there for text in listed))
    if family == "larger":
        areas = {named(choice, lang): there[named(choice, lang)].area_px for choice in sample.choices}
        return areas[named(sample.answer, lang)] == max(areas.values()) >= 1.5 * min(areas.values())
    if family == "position":
        return _further(sample, there, lang)
    if family == "extent":
        (size,) = (size for words, size in EXTENTS[lang] if words in question(sample))
        box = there[sample.facets["label"]].box
        mm = {"x": box.x1 - box.x0, "y": box.y1 - box.y0}[size] * 0.8
        return abs(float(sample.answer.removesuffix(" mm").replace(",", ".")) - mm) <= 0.5
    if family == "area":
        mm2 = there[sample.facets["label"]].area_px * 0.64
        english = f"{mm2:.0f} mm²" if mm2 < 1000 else f"{mm2 / 100:.1f} cm²"
        return sample.answer == (english.replace(".", ",") if lang == "de" else english)
    assert family == "count-of"
    pair = [label in there for label in ("kidney_left", "kidney_right")]
    return sample.facets["label"] == "kidneys" and sample.answer == str(sum(pair))


EXTENTS = {
    "en": (("from left to right", "x"), ("from front to back", "y")),
    "de": (("von links nach rechts", "x"), ("von vorn nach hinten", "y")),
}


def _further(sample: Sample, there: dict[str, MaskLabel], lang: str) -> bool:
    """On an axial slice of a supine patient columns grow to the patient's left, rows to the back."""
    words = {
        ("further to the patient's left", "weiter links im Körper des Patienten"): ("x", 1),
        ("further to the patient's right", "weiter rechts im Körper des Patienten"): ("x", -1),
        ("further to the back of the patient", "weiter hinten im Körper des Patienten"): ("y", 1),
        ("further to the front of the patient", "weiter vorn im Körper des Patienten"): ("y", -1),
    }
    ((axis, sign),) = [where for said, where in words.items() if said[lang == "de"] in question(sample)]
    boxes = {choice: there[named(choice, lang)].box for choice in sample.choices}
    low, high = f"{axis}0", f"{axis}1"
    first, second = (boxes[choice] for choice in sample.choices)
    assert getattr(first, high) <= getattr(second, low) or getattr(second, high) <= getattr(first, low)
    return sample.answer == max(boxes, key=lambda choice: sign * getattr(boxes[choice], low))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_answer_follows_from_the_mask(seed: int) -> None:
    records = a_study("st", np.random.default_rng(seed), n=6)
    masks = {record.slice: record for record in records if isinstance(record, Mask)}
    made = ask(records, seed=seed, metadata=0)
    assert len({sample.id for sample in made}) == len(made)
    for sample in made:
        key = str(sample.images[0].slice)
        assert entailed(sample, masks[key]), sample
        assert sample.answer == sample.turns[-1].content[0].text
        assert len(set(sample.choices)) == len(sample.choices)
        assert not sample.choices or sample.answer in sample.choices
        assert (sample.question_type == "single") == bool(sample.choices)
        render(sample)


def test_the_oracle_can_fail() -> None:
    """The control of the test above: masks of another slice do not entail the answers."""
    records = a_study("st", np.random.default_rng(5), n=30)
    masks = [record for record in records if isinstance(record, Mask)]
    other = {mask.slice: masks[(number + 7) % len(masks)] for number, mask in enumerate(masks)}
    made = [s for s in ask(records, metadata=0) if s.facets["question"] in ("presence", "which")]
    right = sum(entailed(s, other[str(s.images[0].slice)]) for s in made)
    assert right < 0.8 * len(made)


def test_numbers_per_slice_and_both_languages_ask_the_same() -> None:
    made = ask(a_study("st", np.random.default_rng(1), n=20))
    for source, most in (("mask", 5), ("header", 3)):
        per_slice = Counter((s.images[0].slice, s.lang) for s in made if s.facets["source"] == source)
        assert max(per_slice.values()) == most
    pairs = {
        lang: [(s.images[0].slice, s.facets["question"], s.facets["label"]) for s in made if s.lang == lang]
        for lang in ("de", "en")
    }
    assert pairs["de"] == pairs["en"]


def test_presence_is_even_for_each_structure() -> None:
    """As often no as yes: a name alone tells nothing (the rest is the balance of pack)."""
    made = ask(a_study("st", np.random.default_rng(2), n=150), languages=("en",), metadata=0)
    presence = [s for s in made if s.facets["question"] == "presence"]
    for label in {s.facets["label"] for s in presence if s.answer == "yes"}:
        answers = [s.answer for s in presence if s.facets["label"] == label]
        assert 0.3 < answers.count("yes") / len(answers) < 0.7, (label, Counter(answers))


def test_the_right_choice_stands_anywhere() -> None:
    made = ask(a_study("st", np.random.default_rng(4), n=300), languages=("en",), metadata=0)
    places = Counter(s.choices.index(str(s.answer)) for s in made if s.facets["question"] == "which")
    assert set(places) == {0, 1, 2, 3}
    assert min(places.values()) > 0.6 * max(places.values())


def test_mirrored_orientation_turns_the_sides() -> None:
    """On a slice whose columns grow to the patient's right, the left-most box is further to the left."""
    drawn = {"liver": rectangle(2, 10, 20, 30), "spleen": rectangle(50, 10, 70, 30)}
    for along_row, further_left in ((1.0, "spleen"), (-1.0, "liver")):
        for index in range(30):
            slice_ = a_slice("st", index, orientation=(along_row, 0.0, 0.0, 0.0, 1.0, 0.0))
            made = ask([slice_, a_mask(slice_, drawn)], languages=("en",), metadata=0)
            for sample in made:
                if sample.facets["question"] == "position" and "left" in question(sample):
                    assert sample.answer == further_left


def test_no_position_without_geometry() -> None:
    slice_ = a_slice("st", 1, orientation=None, position_mm=None, spacing_mm=None)
    drawn = {"liver": rectangle(2, 10, 20, 30), "spleen": rectangle(50, 10, 70, 30)}
    made = [s for i in range(10) for s in ask([slice_, a_mask(slice_, drawn)], metadata=0, seed=i)]
    assert made
    assert all(s.facets["question"] != "position" for s in made)


def test_a_structure_that_is_not_trusted_is_neither_there_nor_absent() -> None:
    slice_ = a_slice("st", 1)
    mask = a_mask(slice_, {"liver": rectangle(2, 10, 20, 30), "spleen": rectangle(50, 10, 70, 30)})
    liver, spleen = sorted(mask.labels, key=lambda label: label.label)
    doubtful = replace(mask, labels=(replace(liver, score=0.3), replace(spleen, score=0.9)))

    def labels(**options: object) -> set[str]:
        made = [s for seed in range(40) for s in ask([slice_, doubtful], metadata=0, seed=seed, **options)]
        return {part for sample in made for part in sample.facets["label"].split("+")}

    assert {"liver", "spleen"} <= labels()
    assert "spleen" in labels(min_score=0.5)
    assert "liver" not in labels(min_score=0.5)


# Reports

REPORT = (
    "Einzelne <f cyst 0>Zyste</f> der <a liver>Leber</a>, <mm 12.5>12,5 mm</mm> <r k>(Serie 3, Bild 5)</r>.\n"
    "Kein <d effusion>Erguss</d> <r k>(Serie 3, Bild 5)</r>.\n"
    "<f nodule>Rundherd</f> in der Lunge."
)


def from_report(lang: str, marked: str = REPORT) -> dict[str, Sample]:
    slice_ = a_slice("st", 4)
    found: dict[str, Sample] = {}
    for seed in range(25):  # two report questions are drawn for a slice
        report = a_report(marked, slices={"k": [slice_.id]})
        for sample in ask([slice_, a_mask(slice_, {}), report], metadata=0, seed=seed):
            if sample.lang == lang and sample.facets["source"] == "report":
                found[f"{sample.facets['question']} {sample.facets['label']}"] = sample
    return found


def test_questions_from_a_report_in_german() -> None:
    asked = {key: (question(s), s.answer) for key, s in from_report("de").items()}
    assert asked == {
        "finding-in cyst": ("Zeigt dieses Bild eine Zyste in der Leber?", "ja"),
        "finding-what cyst": ("Welcher Befund liegt in der Leber vor?", "Zyste"),
        "finding-where cyst": ("Wo liegt die Zyste?", "Leber"),
        "finding-size cyst": ("Wie groß ist die Zyste?", "12,5 mm"),
        "finding effusion": ("Zeigt dieses Bild einen Erguss?", "nein"),
    }


def test_questions_from_a_german_report_in_english() -> None:
    asked = {key: (question(s), s.answer) for key, s in from_report("en").items()}
    assert asked["finding-in cyst"] == ("Does this image show a cyst in the liver?", "yes")
    assert asked["finding-size cyst"] == ("How large is the cyst?", "12.5 mm")
    assert asked["finding effusion"] == ("Does this image show an effusion?", "no")
    assert not any("nodule" in key for key in asked), "that sentence points at no slice"


def test_a_stated_lesion_has_a_partner_without_one() -> None:
    """The same question with the other answer, on a slice where an engine looked for lesions and found none."""
    slices = [a_slice("st", index) for index in range(6)]
    liver = {"liver": rectangle(0, 0, 30, 30)}
    both = {**liver, "lesion": rectangle(40, 40, 50, 50)}
    masks = [a_mask(s, both if s.index < 3 else liver, ("liver", "lesion")) for s in slices]
    report = a_report("<f cyst 0>Zyste</f> der <a liver>Leber</a> <r k>(Bild 1)</r>.", slices={"k": [slices[0].id]})

    def asked(masks: list[Mask]) -> set[tuple[str, int]]:
        records = [*slices, *masks, report]
        made = [s for seed in range(12) for s in ask(records, metadata=0, languages=("de",), seed=seed)]
        cysts = [s for s in made if question(s) == "Zeigt dieses Bild eine Zyste in der Leber?"]
        return {(str(s.answer), int(str(s.images[0].slice).removeprefix("sts1i"))) for s in cysts}

    with_lesions = asked(masks)
    assert {index for answer, index in with_lesions if answer == "nein"} == {3, 4, 5}
    assert {index for answer, index in with_lesions if answer == "ja"} == {0}
    unknown = asked([replace(mask, looked_for=("liver",)) for mask in masks])
    assert {answer for answer, _ in unknown} == {"ja"}


def test_a_report_that_contradicts_itself_is_not_asked() -> None:
    assert not from_report(
        "de",
        "<f effusion>Erguss</f> <r k>(Serie 3, Bild 5)</r>.\nKein <d effusion>Erguss</d> <r k>(Serie 3, Bild 5)</r>.",
    )


def test_a_denial_that_something_else_on_the_slice_may_break_is_not_asked() -> None:
    """No *further* lesion, no effusion *on the left*: a no to the question without its place would be wrong."""
    asked = from_report(
        "de",
        "<f cyst 0>Zyste</f> der <a liver>Leber</a> <r k>(Serie 3, Bild 5)</r>.\n"
        "Keine weitere <d lesion>Läsion</d> <r k>(Serie 3, Bild 5)</r>.\n"
        "Kein <d effusion 1>Erguss</d> in der <n lung_left>linken Lunge</n> <r k>(Serie 3, Bild 5)</r>.",
    )
    assert not any("effusion" in key or key.startswith("finding ") for key in asked)
    alone = from_report("de", "Keine <d lesion>Läsion</d> <r k>(Serie 3, Bild 5)</r>.")
    assert {(question(s), s.answer) for s in alone.values()} == {("Zeigt dieses Bild eine Läsion?", "nein")}


@pytest.mark.parametrize(
    ("name", "label", "german", "english"),
    [
        (
            "stenosis",
            "aorta",
            "Zeigt dieses Bild eine Stenose der Aorta?",
            "Does this image show a stenosis of the aorta?",
        ),
        (
            "abscess",
            "liver",
            "Zeigt dieses Bild einen Abszess in der Leber?",
            "Does this image show an abscess in the liver?",
        ),
        ("pancreatitis", "pancreas", "Zeigt dieses Bild eine Pankreatitis?", "Does this image show pancreatitis?"),
    ],
)
def test_a_finding_is_in_its_place_or_of_it_or_names_it(name: str, label: str, german: str, english: str) -> None:
    marked = f"<f {name} 0>X</f> <a {label}>Y</a> <r k>(Serie 3, Bild 5)</r>."
    for lang, expected in (("de", german), ("en", english)):
        texts = {question(s) for s in from_report(lang, marked).values() if s.question_type == "closed"}
        assert texts == {expected}


def test_two_languages_of_one_report_make_one_fact() -> None:
    german = a_report(REPORT, slices={"k": ["s"]})
    english = a_report(
        "<f cyst 0>Cyst</f> of the <a liver>liver</a> <r k>(Series 3, image 5)</r>.", "en", slices={"k": ["s"]}
    )
    said = (Said(german, 0), Said(german, 1), Said(english, 0))
    facts = facts_of(said)
    assert [(fact.name, fact.present, fact.labels) for fact in facts] == [
        ("cyst", True, ("liver",)),
        ("effusion", False, ()),
    ]
    assert facts[0].reports == (german.id, english.id)


@pytest.mark.parametrize("name", NAMES)
def test_findings_are_said_with_the_right_article(name: str) -> None:
    fact = Fact(name, True, (), (), ())
    article, noun = re.fullmatch(r"(einen |eine |ein |)(.+)", fact.accusative("de")).groups()  # type: ignore[union-attr]
    assert article == {"m": "einen ", "f": "eine ", "n": "ein ", "-": ""}[NAMES[name].gender]
    assert noun.split()[-1][0].isupper()
    english = fact.accusative("en")
    if english.startswith(("a ", "an ")):
        assert english.startswith("an ") == (english.split(" ", 1)[1][0] in "aeiou")


@pytest.mark.parametrize("label", LABELS)
def test_presence_of_every_label_in_good_german(label: str) -> None:
    said = templates.presence(label, "de")
    verb = "Sind" if is_plural(label, "de") else "Ist"
    own = label in ("lesion", "lung_nodule", "kidney_cyst_left", "kidney_cyst_right")
    subject = de_phrase(label, "nominative", "indefinite" if own else "definite")
    assert said == f"{verb} {subject} auf diesem Bild zu sehen?"
    assert templates.presence("lesion", "en") == "Is a lesion visible on this image?"


def test_paraphrases_are_drawn_only_when_asked_for() -> None:
    records = a_study("st", np.random.default_rng(8), n=20)
    plain, varied = ask(records), ask(records, paraphrase=True)
    assert {s.provenance["template"].split("/")[1] for s in plain} == {"0"}
    assert {s.provenance["template"].split("/")[1] for s in varied} >= {"0", "1", "2"}
    assert [s.answer for s in plain] == [s.answer for s in varied]


# The command


def test_same_bytes_with_two_workers(rrg: Rrg) -> None:
    rng = np.random.default_rng(9)
    records = [record for n in range(4) for record in a_study(f"study{n}", rng, n=4, patient=f"p{n}")]
    whole = rrg("synth-vqa", stdin=stream(records)).stdout
    assert rrg("synth-vqa", "--workers", "2", stdin=stream(records)).stdout == whole
    made = [record for record in read(whole) if isinstance(record, Sample)]
    assert {sample.task for sample in made} == {"vqa"}
    assert {sample.split for sample in made} == {None}


def test_empty_stdin(rrg: Rrg) -> None:
    assert [record.schema for record in read(rrg("synth-vqa").stdout)] == ["rrg.run/1", "rrg.end/1"]


def test_a_stream_of_both_synth_commands(rrg: Rrg) -> None:
    records = a_study("st", np.random.default_rng(10), n=3)
    vqa = rrg("synth-vqa", stdin=stream(records)).stdout
    both = rrg("synth-ground", stdin=vqa).stdout
    assert set(vqa.splitlines()) < set(both.splitlines())
    assert len({r.id for r in read(both) if isinstance(r, Sample)}) == sum(isinstance(r, Sample) for r in read(both))
