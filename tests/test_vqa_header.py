"""Questions on the header: each field openly, as a choice and as yes/no, and no wrong answer that is right."""

from collections import Counter
from typing import Any

import pytest

from rrg.records import Sample
from rrg.synth.vqa import Options, ask_all
from tests.synth_cases import a_slice, group, samples_of


def asked(family: str, seeds: int = 60, lang: str = "en", **fields: Any) -> list[Sample]:
    options = Options(slices="all", families=(family,), languages=(lang,))  # type: ignore[arg-type]
    return [
        sample
        for seed in range(seeds)
        for sample in samples_of(ask_all(options, group([a_slice("st", seed, **{"count": 1000, **fields})])))
    ]


def said(sample: Sample) -> tuple[str, str]:
    return (sample.turns[0].content[1].text or "").split("\n")[0], str(sample.answer)


@pytest.mark.parametrize(
    ("family", "fields", "open_", "yes", "no"),
    [
        (
            "modality",
            {"modality": "MR", "unit": "stored"},
            ("Which modality is this image?", "MR"),
            "Is this image MR?",
            "Is this image CT?",
        ),
        (
            "plane",
            {"plane": "coronal"},
            ("In which plane is this image?", "coronal"),
            "Is this a coronal slice?",
            "Is this an axial slice?",
        ),
        (
            "region",
            {"body_part": "PELVIS"},
            ("Which region of the body was examined?", "pelvis"),
            "Was the pelvis examined?",
            "Was the chest examined?",
        ),
        (
            "phase",
            {"contrast_phase": "portal"},
            ("Which contrast phase does this image show?", "portal venous phase"),
            "Is this the portal venous phase?",
            "Is this the arterial phase?",
        ),
        (
            "sequence",
            {"modality": "MR", "unit": "stored", "sequence": "FLAIR"},
            ("Which MR sequence is this image?", "FLAIR"),
            "Is this a FLAIR image?",
            "Is this a T1-weighted image?",
        ),
    ],
)
def test_open_choice_and_yes_no(family: str, fields: dict[str, Any], open_: tuple[str, str], yes: str, no: str) -> None:
    made = asked(family, seeds=150, **fields)
    types = Counter(sample.question_type for sample in made)
    assert set(types) == {"open", "closed", "single"}
    assert min(types.values()) > 8
    found = {said(sample) for sample in made}
    assert open_ in found
    assert (yes, "yes") in found
    assert (no, "no") in found
    assert not {(yes, "no"), (no, "yes")} & found
    for sample in made:
        if sample.question_type == "single":
            assert sample.answer == open_[1]
            assert 2 <= len(set(sample.choices)) == len(sample.choices) <= 4
        assert sample.needs_image is None
        assert sample.weight == 0.25
    answers = Counter(sample.answer for sample in made if sample.question_type == "closed")
    assert min(answers.values()) > 0.25 * answers.total()


def test_both_languages_say_the_same() -> None:
    made = {lang: asked("region", lang=lang, body_part="CSPINE") for lang in ("de", "en")}
    assert ("Welche Körperregion wurde untersucht?", "Halswirbelsäule") in {said(s) for s in made["de"]}
    assert ("Wurde die Halswirbelsäule untersucht?", "ja") in {said(s) for s in made["de"]}
    assert [s.question_type for s in made["de"]] == [s.question_type for s in made["en"]]


@pytest.mark.parametrize(
    ("region", "never"),
    [
        ("ABDOMEN", ("chest", "pelvis", "lumbar spine", "spine", "thoracic spine", "prostate")),
        ("SPINE", ("chest", "abdomen", "neck", "pelvis")),
        ("HEAD", ("brain", "neck", "cervical spine")),
        ("CHEST", ("heart", "breast", "shoulder", "abdomen", "neck")),
    ],
)
def test_a_neighbour_is_no_wrong_region(region: str, never: tuple[str, ...]) -> None:
    """A scan of the abdomen shows lungs and pelvis: who says so is not wrong."""
    for sample in asked("region", body_part=region):
        if sample.question_type == "single":
            assert not set(sample.choices) & set(never)
        if sample.answer == "no":
            assert not any(f"the {word} examined" in said(sample)[0] for word in never)


@pytest.mark.parametrize(
    ("sequence", "never"), [("T2", ("FLAIR", "STIR", "ADC map")), ("ADC", ("diffusion-weighted",))]
)
def test_a_sequence_of_the_same_weighting_is_no_wrong_answer(sequence: str, never: tuple[str, ...]) -> None:
    for sample in asked("sequence", modality="MR", unit="stored", sequence=sequence):
        assert not set(sample.choices) & set(never)
        if sample.answer == "no":
            assert not any(word.split()[0] in said(sample)[0] for word in never)


def test_contrast() -> None:
    given = {said(s) for s in asked("contrast")}
    assert given == {
        ("Was contrast agent given?", "yes"),
        ("Was this image acquired with or without contrast agent?", "with contrast agent"),
    }
    assert ("Wurde Kontrastmittel gegeben?", "nein") in {said(s) for s in asked("contrast", lang="de", contrast=False)}
    assert not asked("contrast", contrast=None)


@pytest.mark.parametrize(("contrast", "phase"), [(True, "native"), (False, "arterial")])
def test_a_header_that_contradicts_itself_is_not_asked(contrast: bool, phase: str) -> None:
    assert not asked("contrast", contrast=contrast, contrast_phase=phase)
    assert not asked("phase", contrast=contrast, contrast_phase=phase)


def test_nothing_known_nothing_asked() -> None:
    assert not asked("plane", plane=None)
    assert not asked("plane", plane="oblique")
    assert not asked("region", body_part="UNKNOWN")
    assert not asked("modality", modality="OT")
    assert not asked("sequence", sequence="T1")  # of a CT
    assert not asked("window", modality="MR", unit="stored")


def test_the_window_is_that_of_the_picture_and_rare() -> None:
    made = asked("window", seeds=600)
    assert 30 < len(made) < 100
    words = {"soft": "soft tissue window", "lung": "lung window", "bone": "bone window"}
    for sample in made:
        shown = words[str(sample.images[0].preset)]
        question, answer = said(sample)
        right = answer == shown if sample.question_type != "closed" else (answer == "yes") == (shown in question)
        assert right, (question, answer, shown)
        assert sample.needs_image is True
    assert {sample.images[0].preset for sample in asked("window", seeds=600, body_part="HEAD")} == {*words, "brain"}
    assert {sample.images[0].preset for sample in asked("plane")} == {None}
