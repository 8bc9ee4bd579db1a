"""The label table against the segmenter's own, and German grammar against forms written by hand."""

import hashlib
import re
from importlib.resources import files

import pytest

from rrg.anatomy import (
    BY_ID,
    LABELS,
    MR_TO_UNIFIED,
    Case,
    covers,
    de_in,
    de_phrase,
    display,
    en_phrase,
    is_plural,
    label_map_version,
    mr_to_unified,
)
from rrg.errors import RrgError
from rrg.totalsegmentator_tasks import check_names


@pytest.fixture(scope="module")
def class_map() -> dict[str, dict[int, str]]:
    module = pytest.importorskip("totalsegmentator.map_to_binary")
    maps: dict[str, dict[int, str]] = module.class_map
    return maps


def test_ct_class_numbers_are_the_segmenters(class_map: dict[str, dict[int, str]]) -> None:
    assert {number: BY_ID[number].name for number in range(1, 118)} == class_map["total"]


def test_mr_classes_join_by_name(class_map: dict[str, dict[int, str]]) -> None:
    assert {number: BY_ID[mr_to_unified(number)].name for number in MR_TO_UNIFIED} == class_map["total_mr"]
    assert [LABELS[name].class_id for name in ("lung_left", "lung_right", "intervertebral_discs", "vertebrae")] == [
        118,
        119,
        120,
        121,
    ]


@pytest.mark.parametrize(
    ("task", "value", "name"), [("total", 5, "spleen"), ("total_mr", 49, "femur"), ("total", 118, "x")]
)
def test_a_segmenter_with_other_names_is_refused_at_run_time(
    class_map: dict[str, dict[int, str]], monkeypatch: pytest.MonkeyPatch, task: str, value: int, name: str
) -> None:
    check_names()
    monkeypatch.setitem(class_map, task, {**class_map[task], value: name})
    with pytest.raises(RrgError, match=f"task {task} disagree on 1 classes: {value} \\({name}.*E_MODEL"):
        check_names()


def test_codes_are_those_that_the_segmenter_ships() -> None:
    csv = pytest.importorskip("csv")
    package = pytest.importorskip("totalsegmentator")
    table = files(package).joinpath("resources/totalsegmentator_snomed_mapping.csv").read_text()
    shipped = {row[0]: row[5] for row in csv.reader(table.splitlines())}
    for label in LABELS.values():
        if label.name in shipped:
            assert label.snomed == shipped[label.name], label.name


def test_names_numbers_and_display_names_are_unique() -> None:
    assert len(BY_ID) == len(LABELS) == 126
    assert len({label.de for label in LABELS.values()}) == len({label.en for label in LABELS.values()}) == 126


def test_the_side_of_a_label_is_in_its_names() -> None:
    for label in LABELS.values():
        assert (label.side is not None) == bool(re.search(r"_(left|right)(_|\Z)", label.name)) or "middle" in label.name
        if label.side:
            assert label.side in label.en
            assert {"left": "link", "right": "recht"}[label.side] in label.de


def test_version_is_the_checksum_of_the_file() -> None:
    table = files("rrg").joinpath("lexicon/anatomy.tsv").read_bytes()
    assert label_map_version() == f"rrg-labels/1:{hashlib.sha256(table).hexdigest()[:12]}"


@pytest.mark.parametrize(
    ("name", "case", "expected"),
    [
        ("liver", "nominative", "die Leber"),
        ("liver", "dative", "der Leber"),
        ("pancreas", "accusative", "das Pankreas"),
        ("pancreas", "genitive", "des Pankreas"),
        ("stomach", "accusative", "den Magen"),
        ("stomach", "genitive", "des Magens"),
        ("heart", "genitive", "des Herzens"),
        ("heart", "dative", "dem Herzen"),
        ("heart", "accusative", "das Herz"),
        ("portal_vein_and_splenic_vein", "accusative", "die Pfortader und die Milzvene"),
        ("portal_vein_and_splenic_vein", "dative", "der Pfortader und der Milzvene"),
        ("humerus_left", "genitive", "des linken Humerus"),
        ("humerus_left", "accusative", "den linken Humerus"),
        ("kidney_left", "dative", "der linken Niere"),
        ("kidney_left", "nominative", "die linke Niere"),
        ("hip_right", "nominative", "das rechte Hüftbein"),
        ("hip_right", "dative", "dem rechten Hüftbein"),
        ("femur_left", "accusative", "das linke Femur"),
        ("femur_left", "genitive", "des linken Femurs"),
        ("lung_upper_lobe_right", "genitive", "des rechten Oberlappens der Lunge"),
        ("rib_left_3", "dative", "der linken 3. Rippe"),
        ("intervertebral_discs", "dative", "den Bandscheiben"),
        ("vertebrae", "dative", "den Wirbeln"),
        ("costal_cartilages", "dative", "den Rippenknorpeln"),
        ("autochthon_left", "accusative", "die linke autochthone Rückenmuskulatur"),
        ("vertebrae_L3", "dative", "dem LWK 3"),
    ],
)
def test_german_cases(name: str, case: Case, expected: str) -> None:
    assert de_phrase(name, case) == expected


def test_german_without_and_with_other_articles() -> None:
    assert de_phrase("kidney_left", "dative", "none") == "linker Niere"
    assert de_phrase("femur_left", "nominative", "indefinite") == "ein linkes Femur"
    assert de_phrase("hip_left", "accusative", "negative") == "kein linkes Hüftbein"
    assert de_phrase("femur_left", "accusative", "negative") == "kein linkes Femur"
    assert de_phrase("airways", "nominative", "negative") == "keine Atemwege"
    assert de_phrase("vertebrae", "genitive", "indefinite") == "von Wirbeln"
    assert de_in("pancreas") == "im Pankreas"
    assert de_in("kidney_left") == "in der linken Niere"
    assert de_in("airways") == "in den Atemwegen"


@pytest.mark.parametrize("case", ["nominative", "genitive", "dative", "accusative"])
def test_every_label_declines(case: Case) -> None:
    for name, label in LABELS.items():
        phrase = de_phrase(name, case)
        assert phrase.split()[0] in ("der", "die", "das", "des", "dem", "den")
        if label.side and "_cyst_" not in name:
            assert re.search(r" (linke|rechte)n? ", phrase), phrase


def test_english_phrases_and_number() -> None:
    assert en_phrase("kidney_left") == "the left kidney"
    assert en_phrase("rib_left_3") == "left rib 3"
    assert display("kidney_left", "de") == "linke Niere"
    assert is_plural("airways", "en")
    assert is_plural("airways", "de")
    assert not is_plural("liver", "de")
    assert is_plural("portal_vein_and_splenic_vein", "de")


def test_lobes_imply_their_lung() -> None:
    assert set(covers("lung_right")) == {f"lung_{lobe}_lobe_right" for lobe in ("upper", "middle", "lower")}
    assert "vertebrae_L3" in covers("vertebrae")
    assert covers("liver") == ()
    for name in LABELS:
        assert name not in covers(name)
    with pytest.raises(KeyError):
        covers("no such structure")
