"""Every one of the 121 classes is found in German and English, in the forms that reports use."""

from itertools import product

import pytest

from rrg.anatomy import LABELS
from rrg.records import Lang
from rrg.reports.parse import parse

CLASSES = [name for name, label in LABELS.items() if label.class_id <= 121]
ORGANS: dict[str, tuple[str, str]] = {
    "spleen": ("Milz; der Milzen; Lien; Milzzyste; Milzmetastasen; lienaler", "spleen; spleens; splenic"),
    "kidney": ("Niere; Nieren; renaler; Ren; Nierenzyste; Nieren-Zyste; NBKS", "kidney; kidneys; renal"),
    "gallbladder": ("Gallenblase; Gallenblasen; Gallenblasenpolyp; GB", "gallbladder; gallbladders; gall bladder"),
    "liver": ("Leber; Hepar; hepatische; Leberläsion; LEBER; Leberlappens", "liver; livers; hepatic"),
    "stomach": ("Magen; Magens; gastrale; Magenkarzinom", "stomach; stomachs; gastric"),
    "pancreas": ("Pankreas; Bauchspeicheldrüse; Pankreaskopfes; Pankreaszyste", "pancreas; pancreatic"),
    "adrenal_gland": ("Nebenniere; Nebennieren; NN; Nebennierenadenom", "adrenal gland; adrenal glands; adrenal"),
    "lung_upper_lobe": ("Oberlappen; Oberlappens; OL", "upper lobe; upper lobes"),
    "lung_lower_lobe": ("Unterlappen; Unterlappens; UL; Unterlappenatelektase", "lower lobe; lower lobes"),
    "lung_middle_lobe": ("Mittellappen; Mittellappens; Mittellappenatelektase", "middle lobe; RML"),
    "lung": ("Lunge; Lungen; pulmonale; Lungenrundherd; Lungenflügel", "lung; lungs; pulmonary"),
    "esophagus": ("Ösophagus; Oesophagus; Speiseröhre; Ösophaguskarzinom", "esophagus; oesophagus; esophageal"),
    "trachea": ("Trachea; Luftröhre; tracheale; Trachealstenose", "trachea; tracheal"),
    "thyroid_gland": ("Schilddrüse; Schilddruese; Schilddrüsenkarzinom; SD", "thyroid; thyroid gland; thyroid glands"),
    "small_bowel": ("Dünndarm; Duenndarm; Dünndarms; Jejunum; Ileums; Dünndarmtumor", "small bowel; jejunum; ileum"),
    "duodenum": ("Duodenum; Duodenums; Zwölffingerdarm; Duodenalstenose", "duodenum; duodenal"),
    "colon": ("Kolon; Colon; Kolons; Sigma; Dickdarm; Kolonkarzinom", "colon; colonic; sigmoid colon"),
    "urinary_bladder": ("Harnblase; Harnblasen; Harnblasentumor", "urinary bladder; bladder"),
    "prostate": ("Prostata; Prostatakarzinom", "prostate; prostatic"),
    "kidney_cyst": ("Nierenzyste", "renal cyst"),
    "sacrum": ("Os sacrum; Kreuzbein; Kreuzbeins; Sakrum; Sakrumfraktur", "sacrum; sacral"),
    "heart": ("Herz; Herzens; Myokards; kardiale; Herzthrombus", "heart; cardiac; myocardium"),
    "aorta": ("Aorta; Aorten; Bauchaorta; Aortenaneurysma", "aorta; aortic; abdominal aorta"),
    "pulmonary_vein": (
        "Lungenvene; Lungenvenen; Vv. pulmonales; Lungenvenenthrombose",
        "pulmonary vein; pulmonary veins",
    ),
    "brachiocephalic_trunk": ("Truncus brachiocephalicus; Arteria anonyma", "brachiocephalic trunk; innominate artery"),
    "subclavian_artery": ("A. subclavia; Arteria subclavia; Aa. subclaviae", "subclavian artery; subclavian arteries"),
    "common_carotid_artery": (
        "A. carotis communis; Arteria carotis communis; ACC; Karotisstenose",
        "common carotid artery; common carotid arteries",
    ),
    "brachiocephalic_vein": (
        "V. brachiocephalica; Vena brachiocephalica; Vv. brachiocephalicae",
        "brachiocephalic vein; brachiocephalic veins; innominate vein",
    ),
    "atrial_appendage": ("linkes Herzohr; linken Herzohrs; Vorhofohr", "left atrial appendage; LAA"),
    "superior_vena_cava": ("V. cava superior; Vena cava superior; VCS; obere Hohlvene", "superior vena cava; SVC"),
    "inferior_vena_cava": ("V. cava inferior; VCI; unteren Hohlvene; Cavathrombose", "inferior vena cava; IVC"),
    "portal_vein_and_splenic_vein": (
        "Pfortader; V. portae; Milzvene; Pfortaderthrombose",
        "portal vein; portal veins; splenic vein",
    ),
    "iliac_artery": ("A. iliaca communis; Aa. iliacae communes; Beckenarterien", "common iliac artery; iliac arteries"),
    "iliac_vena": (
        "V. iliaca communis; Vv. iliacae; Beckenvenen; Beckenvenenthrombose",
        "common iliac vein; iliac veins",
    ),
    "humerus": ("Humerus; Oberarmknochen; Humerusköpfe; Humerusfraktur", "humerus; humeral head; humeri"),
    "scapula": ("Skapula; Scapula; Schulterblätter; Skapulafraktur", "scapula; scapulae; shoulder blade"),
    "clavicula": ("Klavikula; Clavicula; Schlüsselbeins; Klavikulafraktur", "clavicle; clavicles"),
    "femur": ("Femur; Femurs; Schenkelhals; Hüftköpfe; Femurfraktur", "femur; femoral head; femurs"),
    "hip": ("Hüftbein; Os ilium; Darmbeins; Azetabulum; Beckenfraktur", "hip bone; hips; acetabulum"),
    "spinal_cord": ("Rückenmark; Rueckenmarks; Myelon; Spinalkanal; Spinalkanalstenose", "spinal cord; spinal canal"),
    "gluteus_maximus": ("M. gluteus maximus; Musculus gluteus maximus; Glutaeus maximus", "gluteus maximus muscle"),
    "gluteus_medius": ("M. gluteus medius; Mm. glutei medii", "gluteus medius; gluteus medius muscles"),
    "gluteus_minimus": ("M. gluteus minimus; Gluteus-minimus-Muskel", "gluteus minimus; glutei minimi"),
    "autochthon": ("autochthone Rückenmuskulatur; autochthonen Rueckenmuskulatur; M. erector spinae", "erector spinae"),
    "iliopsoas": ("M. iliopsoas; M. psoas; Psoas; Psoasmuskeln; Psoasabszess", "iliopsoas; psoas muscle"),
    "brain": ("Gehirn; Hirns; zerebrale; Kleinhirn; Hirninfarkt", "brain; cerebral; cerebellum"),
    "skull": ("Schädel; Schaedels; Kalotte; Schädelfraktur", "skull; calvarium; skull base"),
    "sternum": ("Sternum; Brustbeins; Sternumfraktur", "sternum; sternal"),
    "costal_cartilages": ("Rippenknorpel; Rippenknorpels", "costal cartilage; costal cartilages"),
    "intervertebral_discs": ("Bandscheibe; Bandscheiben; Bandscheibenvorfall", "intervertebral disc; discs; disks"),
    "vertebrae": ("Wirbel; Wirbelkörpern; Wirbelfraktur; Vertebrae", "vertebra; vertebrae; vertebral bodies"),
}
"""Class without its side -> (German forms, English forms)."""


def _stem(name: str) -> str:
    return name.removesuffix("_left").removesuffix("_right")


def _forms(name: str, lang: Lang) -> list[str]:
    if name.startswith("vertebrae_"):
        region, number = name.removeprefix("vertebrae_")[0], name.removeprefix("vertebrae_")[1:]
        word = {"C": "HWK", "T": "BWK", "L": "LWK", "S": "SWK"}[region]
        if lang == "en":
            return [f"the {region}{number} vertebra", f"the {region}{number} vertebral body"]
        return [f"{word} {number}", f"{word}{number}", f"Wirbelkörper {'Th' if region == 'T' else region}{number}"]
    if name.startswith("rib_"):
        number = int(name.rpartition("_")[2])
        ending = {1: "st", 2: "nd", 3: "rd"}.get(number, "th")
        return [f"{number}. Rippe", f"Rippe {number}"] if lang == "de" else [f"{number}{ending} rib", f"rib {number}"]
    return ORGANS[_stem(name)][lang == "en"].split("; ")


@pytest.mark.parametrize(("name", "lang"), list(product(CLASSES, ("de", "en"))))
def test_the_class_is_found(name: str, lang: Lang) -> None:
    for form in _forms(name, lang):
        text = f"Befund: {form} unauffällig." if lang == "de" else f"Findings: {form} unremarkable."
        found = {each for mention in parse(text, lang).anatomy for each in mention.classes}
        assert name in found, form


@pytest.mark.parametrize("name", [name for name, label in LABELS.items() if label.side and label.class_id <= 121])
def test_the_side_is_found(name: str) -> None:
    label = LABELS[name]
    if _stem(name) in ("kidney_cyst", "atrial_appendage", "lung_middle_lobe"):
        pytest.skip("named with its side, or a finding")
    for lang, form in (("de", _forms(name, "de")[0]), ("en", _forms(name, "en")[0])):
        words = {"left": "links", "right": "rechts"}
        text = f"{form} {words[label.side or '']}." if lang == "de" else f"The {label.side} {form}."
        found = {each for mention in parse(text, lang).anatomy for each in mention.classes}  # type: ignore[arg-type]
        assert found == {name}, text


@pytest.mark.parametrize(
    ("lang", "text", "classes"),
    [
        ("de", "Beide Lungen frei.", {"lung_left", "lung_right"}),
        ("en", "Both lungs are clear.", {"lung_left", "lung_right"}),
        ("de", "Nieren bds. unauffällig.", {"kidney_left", "kidney_right"}),
        ("de", "Ober- und Mittellappen rechts.", {"lung_upper_lobe_right", "lung_middle_lobe_right"}),
        ("de", "Fraktur der 3.-5. Rippe links.", {"rib_left_3", "rib_left_4", "rib_left_5"}),
        ("en", "Fractures of the left 3rd through 5th ribs.", {"rib_left_3", "rib_left_4", "rib_left_5"}),
        ("de", "Protrusion L4/5.", {"vertebrae_L4", "vertebrae_L5"}),
        ("en", "Mediastinum, pleura and lymph nodes are normal.", set()),
    ],
)
def test_the_phrase_means(lang: Lang, text: str, classes: set[str]) -> None:
    assert {each for mention in parse(text, lang).anatomy for each in mention.classes} == classes


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("Protrusion L4/5.", [("L4", "L5")]),
        ("Sinterung BWK 11-12.", [("T11", "T12")]),
        ("Fraktur der 4. und 5. Rippe rechts.", [("R4", "R5")]),
        ("Osteochondrose L5/S1.", [("L5", "S1")]),
        ("Wirbelkörper normal.", [()]),
    ],
)
def test_levels(text: str, levels: list[tuple[str, ...]]) -> None:
    assert [mention.levels for mention in parse(text, "de").anatomy] == levels
