"""How made-up reports say a fact, in German and in English. Data only; the wording is our own.

A template may hold ``{ref}`` (a slice reference with what goes before it), ``{size}``, ``{old}`` (earlier size),
``{date}`` and ``{oldref}`` (of the earlier study) and words of the patient's side. ``{ref}.`` at the end allows
references with a comma, any other place only those in brackets.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Phrase(NamedTuple):
    """One way to say a fact."""

    text: str
    denies: tuple[str, ...] = ()
    """Findings that the wording denies on its way, e.g. "steinfrei"."""
    uncertain: bool = False


P = Phrase
Phrases = tuple[Phrase, ...]

SIDE_WORDS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "de": {
        "left": {"links": "links", "linke": "linke", "linken": "linken", "linker": "linker", "Li": "li."},
        "right": {"links": "rechts", "linke": "rechte", "linken": "rechten", "linker": "rechter", "Li": "re."},
    },
    "en": {"left": {"left": "left"}, "right": {"left": "right"}},
}
"""Words for the side in templates: they are spelt with the left side and stand for either."""

LOBES: Mapping[str, Mapping[str, str]] = {
    "lung_upper_lobe": {"de": "Oberlappen", "en": "upper lobe"},
    "lung_middle_lobe": {"de": "Mittellappen", "en": "middle lobe"},
    "lung_lower_lobe": {"de": "Unterlappen", "en": "lower lobe"},
}

NORMAL: Mapping[str, Mapping[str, Phrases]] = {
    "liver": {
        "de": (
            P("Die Leber ist homogen{ref}."),
            P("Die Leber{ref} ist glatt begrenzt und homogen."),
            P("Unauffälliges Leberparenchym{ref}."),
            P("Leber ohne fokale Läsion{ref}.", ("lesion",)),
            P("Keine fokale Leberläsion{ref}.", ("lesion",)),
            P("Regelrechte Darstellung der Leber{ref}."),
        ),
        "en": (
            P("The liver is homogeneous{ref}."),
            P("The liver{ref} has smooth margins and is homogeneous."),
            P("Unremarkable liver parenchyma{ref}."),
            P("No focal liver lesion{ref}.", ("lesion",)),
            P("The liver shows no focal lesion{ref}.", ("lesion",)),
            P("Normal appearance of the liver{ref}."),
        ),
    },
    "spleen": {
        "de": (
            P("Die Milz ist homogen{ref}."),
            P("Milz glatt begrenzt und unauffällig{ref}."),
            P("Regelrechte Milz{ref}."),
            P("Kein Nachweis einer Milzläsion{ref}.", ("lesion",)),
            P("Die Milz{ref} stellt sich regelrecht dar."),
        ),
        "en": (
            P("The spleen is homogeneous{ref}."),
            P("Spleen with smooth margins, unremarkable{ref}."),
            P("Normal spleen{ref}."),
            P("No evidence of a splenic lesion{ref}.", ("lesion",)),
            P("The spleen{ref} is normal."),
        ),
    },
    "kidney": {
        "de": (
            P("Die {linke} Niere ist unauffällig{ref}."),
            P("{linke} Niere ohne Harnstau{ref}.", ("hydronephrosis",)),
            P("Kein Harnstau der {linken} Niere{ref}.", ("hydronephrosis",)),
            P("Die {linke} Niere{ref} ist orthotop gelegen."),
            P("Niere {links} regelrecht{ref}."),
            P("Unauffälliges Parenchym der {linken} Niere{ref}."),
        ),
        "en": (
            P("The {left} kidney is unremarkable{ref}."),
            P("No hydronephrosis of the {left} kidney{ref}.", ("hydronephrosis",)),
            P("{left} kidney without hydronephrosis{ref}.", ("hydronephrosis",)),
            P("The {left} kidney{ref} lies in its normal place."),
            P("Normal kidney on the {left}{ref}."),
            P("Unremarkable parenchyma of the {left} kidney{ref}."),
        ),
    },
    "kidneys": {
        "de": (
            P("Beide Nieren sind unauffällig{ref}."),
            P("Nieren bds. ohne Harnstau{ref}.", ("hydronephrosis",)),
            P("Die Nieren sind beidseits regelrecht{ref}."),
        ),
        "en": (
            P("Both kidneys are unremarkable{ref}."),
            P("Kidneys without hydronephrosis on both sides{ref}.", ("hydronephrosis",)),
            P("The kidneys are normal bilaterally{ref}."),
        ),
    },
    "stomach": {
        "de": (
            P("Der Magen ist regelrecht{ref}."),
            P("Magen mit Flüssigkeits-Luft-Spiegel, sonst unauffällig{ref}."),
            P("Unauffällige Magenwand{ref}."),
            P("Keine Raumforderung des Magens{ref}.", ("mass",)),
        ),
        "en": (
            P("The stomach is normal{ref}."),
            P("Stomach with an air-fluid level, otherwise unremarkable{ref}."),
            P("Unremarkable gastric wall{ref}."),
            P("No mass of the stomach{ref}.", ("mass",)),
        ),
    },
    "gallbladder": {
        "de": (
            P("Die Gallenblase ist steinfrei{ref}.", ("gallstone",)),
            P("Gallenblase ohne Konkremente{ref}.", ("gallstone",)),
            P("Zartwandige Gallenblase{ref}."),
            P("Die Gallenblase{ref} stellt sich regelrecht dar."),
        ),
        "en": (
            P("The gallbladder is free of stones{ref}.", ("gallstone",)),
            P("Gallbladder without calculi{ref}.", ("gallstone",)),
            P("Thin-walled gallbladder{ref}."),
            P("The gallbladder{ref} is normal."),
        ),
    },
    "pancreas": {
        "de": (
            P("Das Pankreas ist regelrecht konturiert{ref}."),
            P("Bauchspeicheldrüse ohne Raumforderung{ref}.", ("mass",)),
            P("Unauffälliges Pankreas{ref}."),
            P("Kein Nachweis einer Pankreasraumforderung{ref}.", ("mass",)),
        ),
        "en": (
            P("The pancreas has a normal contour{ref}."),
            P("Pancreas without a mass{ref}.", ("mass",)),
            P("Unremarkable pancreas{ref}."),
            P("No evidence of a pancreatic mass{ref}.", ("mass",)),
        ),
    },
    "aorta": {
        "de": (
            P("Die Aorta ist normkalibrig{ref}."),
            P("Kein Aneurysma der Aorta{ref}.", ("aneurysm",)),
            P("Die Aorta{ref} ist nicht erweitert.", ("dilatation",)),
            P("Regelrechte Weite der Aorta{ref}."),
        ),
        "en": (
            P("The aorta is of normal calibre{ref}."),
            P("No aneurysm of the aorta{ref}.", ("aneurysm",)),
            P("The aorta{ref} is not dilated.", ("dilatation",)),
            P("Normal width of the aorta{ref}."),
        ),
    },
    "vertebrae_L1": {
        "de": (
            P("LWK 1 ist regelrecht{ref}."),
            P("Keine Sinterung von LWK 1{ref}.", ("compression fracture",)),
            P("Erster Lendenwirbelkörper ohne Höhenminderung{ref}.", ("compression fracture",)),
            P("Unauffälliger 1. LWK{ref}."),
        ),
        "en": (
            P("L1 is unremarkable{ref}."),
            P("No compression fracture of L1{ref}.", ("compression fracture",)),
            P("First lumbar vertebra without loss of height{ref}.", ("compression fracture",)),
            P("Normal L1 vertebral body{ref}."),
        ),
    },
    "vertebrae": {
        "de": (
            P("Die Wirbelkörper sind regelrecht{ref}."),
            P("Unauffällige Wirbelsäule{ref}."),
            P("Keine Osteolyse der Wirbelkörper{ref}.", ("osteolysis",)),
        ),
        "en": (
            P("The vertebrae are normal{ref}."),
            P("Unremarkable spine{ref}."),
            P("No osteolysis of the vertebrae{ref}.", ("osteolysis",)),
        ),
    },
    "sacrum": {
        "de": (
            P("Das Kreuzbein ist unauffällig{ref}."),
            P("Os sacrum ohne Destruktion{ref}.", ("destruction",)),
            P("Regelrechtes Os sacrum{ref}."),
        ),
        "en": (
            P("The sacrum is unremarkable{ref}."),
            P("Sacrum without destruction{ref}.", ("destruction",)),
            P("Normal sacrum{ref}."),
        ),
    },
    "urinary_bladder": {
        "de": (
            P("Die Harnblase ist gut gefüllt{ref}."),
            P("Harnblase glatt begrenzt{ref}."),
            P("Unauffällige Harnblasenwand{ref}."),
            P("Die gefüllte Harnblase{ref} ist unauffällig."),
        ),
        "en": (
            P("The urinary bladder is well filled{ref}."),
            P("Urinary bladder with smooth margins{ref}."),
            P("Unremarkable wall of the urinary bladder{ref}."),
            P("The filled urinary bladder{ref} is unremarkable."),
        ),
    },
    "heart": {
        "de": (
            P("Das Herz ist, soweit erfasst, unauffällig{ref}."),
            P("Kein Perikarderguss, Herz unauffällig{ref}.", ("pericardial effusion",)),
            P("Regelrechte Darstellung des Herzens{ref}."),
        ),
        "en": (
            P("The heart is unremarkable as far as covered{ref}."),
            P("No pericardial effusion, heart unremarkable{ref}.", ("pericardial effusion",)),
            P("Normal appearance of the heart{ref}."),
        ),
    },
    "lobe": {
        "de": (
            P("Der {linke} {lobe} ist frei belüftet{ref}."),
            P("Kein Rundherd im {linken} {lobe}{ref}.", ("nodule",)),
            P("{lobe} {links} ohne Infiltrat{ref}.", ("infiltrate",)),
            P("Keine Verdichtung im {linken} {lobe}{ref}.", ("opacity",)),
        ),
        "en": (
            P("The {left} {lobe} is well aerated{ref}."),
            P("No nodule in the {left} {lobe}{ref}.", ("nodule",)),
            P("{left} {lobe} without infiltrate{ref}.", ("infiltrate",)),
            P("No opacity in the {left} {lobe}{ref}.", ("opacity",)),
        ),
    },
    "lung": {
        "de": (
            P("Die {linke} Lunge ist, soweit erfasst, unauffällig{ref}."),
            P("Kein Rundherd in der {linken} Lunge{ref}.", ("nodule",)),
            P("Lunge {links} regelrecht belüftet{ref}."),
        ),
        "en": (
            P("The {left} lung is unremarkable as far as covered{ref}."),
            P("No nodule in the {left} lung{ref}.", ("nodule",)),
            P("Normal aeration of the {left} lung{ref}."),
        ),
    },
    "lungs": {
        "de": (
            P("Beide Lungen sind belüftet{ref}."),
            P("Lungen bds. ohne Infiltrat{ref}.", ("infiltrate",)),
            P("Beidseits regelrechte Lungenbelüftung{ref}."),
        ),
        "en": (
            P("Both lungs are aerated{ref}."),
            P("Lungs without infiltrate on both sides{ref}.", ("infiltrate",)),
            P("Normal aeration of both lungs{ref}."),
        ),
    },
}
"""An organ that is there and has no lesion."""

ABSENT: Mapping[str, Mapping[str, Phrases]] = {
    "gallbladder": {
        "de": (
            P("Z. n. Cholezystektomie."),
            P("Gallenblase nicht abgrenzbar, Z. n. Cholezystektomie."),
            P("Die Gallenblase ist operativ entfernt."),
        ),
        "en": (
            P("Status post cholecystectomy."),
            P("Gallbladder not seen, status post cholecystectomy."),
            P("The gallbladder has been removed."),
        ),
    },
    "spleen": {
        "de": (
            P("Milz nicht abgrenzbar, Z. n. Splenektomie."),
            P("Z.n. Splenektomie."),
            P("Die Milz fehlt nach Splenektomie."),
        ),
        "en": (
            P("Spleen not seen, status post splenectomy."),
            P("Status post splenectomy."),
            P("The spleen is absent after splenectomy."),
        ),
    },
    "kidney": {
        "de": (
            P("Z. n. Nephrektomie {links}."),
            P("Die {linke} Niere fehlt nach Nephrektomie."),
            P("Leere Nierenloge {links}, Z. n. Nephrektomie."),
        ),
        "en": (
            P("Status post {left} nephrectomy."),
            P("The {left} kidney is absent after nephrectomy."),
            P("Empty renal fossa on the {left}, status post nephrectomy."),
        ),
    },
    "stomach": {
        "de": (
            P("Z. n. Gastrektomie."),
            P("Magen nicht abgrenzbar, Z. n. Gastrektomie."),
            P("Der Magen ist operativ entfernt."),
        ),
        "en": (
            P("Status post gastrectomy."),
            P("Stomach not seen, status post gastrectomy."),
            P("The stomach has been removed."),
        ),
    },
    "pancreas": {
        "de": (
            P("Z. n. Pankreatektomie."),
            P("Pankreas nicht abgrenzbar, Z. n. Pankreatektomie."),
            P("Das Pankreas fehlt nach Pankreatektomie."),
        ),
        "en": (
            P("Status post pancreatectomy."),
            P("Pancreas not seen, status post pancreatectomy."),
            P("The pancreas is absent after pancreatectomy."),
        ),
    },
    "urinary_bladder": {
        "de": (
            P("Harnblase entleert und nicht abgrenzbar."),
            P("Die Harnblase ist leer und nicht abgrenzbar."),
            P("Harnblase bei Entleerung nicht beurteilbar."),
        ),
        "en": (
            P("Urinary bladder empty and not seen."),
            P("The urinary bladder is empty and can not be seen."),
            P("Urinary bladder emptied, not assessable."),
        ),
    },
    "lung": {
        "de": (
            P("Z. n. Pneumonektomie {links} mit flüssigkeitsgefüllter Höhle."),
            P("{linke} Lunge nicht abgrenzbar, Z. n. Pneumonektomie."),
            P("Die {linke} Lunge fehlt nach Pneumonektomie."),
        ),
        "en": (
            P("Status post {left} pneumonectomy with a fluid-filled cavity."),
            P("{left} lung not seen, status post pneumonectomy."),
            P("The {left} lung is absent after pneumonectomy."),
        ),
    },
}
"""An organ that is not there."""

LESION: Mapping[str, Mapping[str, Phrases]] = {
    "liver cyst": {
        "de": (
            P("In der Leber zeigt sich eine {size} große Zyste{ref}."),
            P("Leberzyste von {size}{ref}."),
            P("{size} messende Zyste der Leber{ref}."),
            P("Scharf begrenzte Leberzyste{ref}, Durchmesser {size}."),
        ),
        "en": (
            P("There is a cyst of {size} in the liver{ref}."),
            P("Liver cyst measuring {size}{ref}."),
            P("{size} hepatic cyst{ref}."),
            P("Well-defined liver cyst{ref}, diameter {size}."),
        ),
    },
    "liver metastasis": {
        "de": (
            P("Lebermetastase mit einem Durchmesser von {size}{ref}."),
            P("{size} große Läsion der Leber{ref}, V. a. Metastase.", uncertain=True),
            P("In der Leber findet sich eine {size} messende Metastase{ref}."),
            P("Fokale Leberläsion, {size}, a.e. Metastase{ref}.", uncertain=True),
        ),
        "en": (
            P("Liver metastasis with a diameter of {size}{ref}."),
            P("Lesion of {size} in the liver{ref}, suspicious for metastasis.", uncertain=True),
            P("There is a metastasis measuring {size} in the liver{ref}."),
            P("Focal liver lesion of {size}, most likely a metastasis{ref}.", uncertain=True),
        ),
    },
    "kidney cyst": {
        "de": (
            P("{size} große Zyste der {linken} Niere{ref}."),
            P("Nierenzyste {links}, {size}{ref}."),
            P("Die {linke} Niere enthält eine {size} messende Zyste{ref}."),
            P("In der {linken} Niere{ref} eine Zyste von {size}."),
        ),
        "en": (
            P("{size} cyst of the {left} kidney{ref}."),
            P("Renal cyst on the {left}, {size}{ref}."),
            P("The {left} kidney contains a cyst measuring {size}{ref}."),
            P("Cyst of {size} in the {left} kidney{ref}."),
        ),
    },
    "kidney tumour": {
        "de": (
            P("Solide Raumforderung der {linken} Niere, {size}{ref}."),
            P("{size} große solide Raumforderung in der {linken} Niere{ref}."),
            P("{linke} Niere mit einer {size} messenden Raumforderung{ref}."),
        ),
        "en": (
            P("Solid mass of the {left} kidney, {size}{ref}."),
            P("Solid mass of {size} in the {left} kidney{ref}."),
            P("{left} kidney with a mass measuring {size}{ref}."),
        ),
    },
    "lobe nodule": {
        "de": (
            P("Rundherd im {linken} {lobe}, {size}{ref}."),
            P("{size} großer Rundherd im {linken} {lobe}{ref}."),
            P("Im {linken} {lobe} ein {size} messender Rundherd{ref}."),
            P("Solider Rundherd {links} im {lobe}{ref}, Durchmesser {size}."),
        ),
        "en": (
            P("Nodule in the {left} {lobe}, {size}{ref}."),
            P("{size} nodule in the {left} {lobe}{ref}."),
            P("There is a nodule measuring {size} in the {left} {lobe}{ref}."),
            P("Solid nodule in the {left} {lobe}{ref}, diameter {size}."),
        ),
    },
    "lung nodule": {
        "de": (
            P("Rundherd in der {linken} Lunge, {size}{ref}."),
            P("{size} großer Rundherd der {linken} Lunge{ref}."),
            P("Intrapulmonaler Rundherd {links} von {size}{ref}."),
        ),
        "en": (
            P("Nodule in the {left} lung, {size}{ref}."),
            P("{size} nodule of the {left} lung{ref}."),
            P("Intrapulmonary nodule of {size} on the {left}{ref}."),
        ),
    },
}
"""A lesion that is there, by organ and kind."""

NOUN: Mapping[str, Mapping[str, str]] = {
    "liver cyst": {"de": "Die Leberzyste", "en": "The liver cyst"},
    "liver metastasis": {"de": "Die Leberläsion", "en": "The liver lesion"},
    "kidney cyst": {"de": "Die Zyste der {linken} Niere", "en": "The cyst of the {left} kidney"},
    "kidney tumour": {"de": "Die Raumforderung der {linken} Niere", "en": "The mass of the {left} kidney"},
    "lobe nodule": {"de": "Der Rundherd im {linken} {lobe}", "en": "The nodule in the {left} {lobe}"},
    "lung nodule": {"de": "Der Rundherd in der {linken} Lunge", "en": "The nodule in the {left} lung"},
}
"""The lesion as the subject of a comparison."""

CHANGE: Mapping[str, Mapping[str, Phrases]] = {
    "grown": {
        "de": (
            P("{noun} ist im Vergleich zur Voruntersuchung vom {date}{oldref} größenprogredient, zuvor {old}."),
            P("{noun} hat gegenüber der Voruntersuchung vom {date} an Größe zugenommen, zuvor {old}{oldref}."),
        ),
        "en": (
            P("{noun} has grown since the prior study of {date}{oldref}, previously {old}."),
            P("{noun} is larger than on the prior study of {date}, previously {old}{oldref}."),
        ),
    },
    "shrunk": {
        "de": (
            P("{noun} ist im Vergleich zur Voruntersuchung vom {date}{oldref} größenregredient, zuvor {old}."),
            P("{noun} ist kleiner als in der Voruntersuchung vom {date}, zuvor {old}{oldref}."),
        ),
        "en": (
            P("{noun} has decreased since the prior study of {date}{oldref}, previously {old}."),
            P("{noun} is smaller than on the prior study of {date}, previously {old}{oldref}."),
        ),
    },
    "stable": {
        "de": (
            P("{noun} ist zur Voruntersuchung vom {date}{oldref} größenkonstant."),
            P("{noun} war in der Voruntersuchung vom {date} ebenfalls {old} groß{oldref}."),
        ),
        "en": (
            P("{noun} is unchanged since the prior study of {date}{oldref}."),
            P("{noun} also measured {old} on the prior study of {date}{oldref}."),
        ),
    },
    "new": {
        "de": (
            P("{noun} war in der Voruntersuchung vom {date} noch nicht abgrenzbar{oldref}."),
            P("{noun} ist neu gegenüber der Voruntersuchung vom {date}{oldref}."),
        ),
        "en": (
            P("{noun} was not yet seen on the prior study of {date}{oldref}."),
            P("{noun} is new since the prior study of {date}{oldref}."),
        ),
    },
    "gone": {
        "de": (
            P("{noun} aus der Voruntersuchung vom {date}{oldref} ist nicht mehr abgrenzbar."),
            P("{noun} der Voruntersuchung vom {date}, damals {old}{oldref}, ist nicht mehr nachweisbar."),
        ),
        "en": (
            P("{noun} of the prior study of {date}{oldref} is no longer seen."),
            P("{noun} seen on the prior study of {date} with {old}{oldref} is no longer detectable."),
        ),
    },
}
"""A lesion against the prior study."""

DENIED: Mapping[str, Mapping[str, Phrases]] = {
    "free fluid": {
        "de": (P("Kein Nachweis freier Flüssigkeit."), P("Keine freie Flüssigkeit im Abdomen.")),
        "en": (P("No evidence of free fluid."), P("No free fluid in the abdomen.")),
    },
    "lymphadenopathy": {
        "de": (P("Keine pathologisch vergrößerten Lymphknoten."), P("Kein Nachweis einer Lymphadenopathie.")),
        "en": (P("No pathologically enlarged lymph nodes."), P("No evidence of lymphadenopathy.")),
    },
    "pleural effusion": {
        "de": (P("Kein Pleuraerguss."), P("Kein Nachweis eines Pleuraergusses beidseits.")),
        "en": (P("No pleural effusion."), P("No evidence of pleural effusion on either side.")),
    },
    "pneumothorax": {
        "de": (P("Kein Pneumothorax."), P("Kein Hinweis auf einen Pneumothorax.")),
        "en": (P("No pneumothorax."), P("No sign of a pneumothorax.")),
    },
    "osteolysis": {
        "de": (P("Keine Osteolysen."), P("Kein Nachweis einer Osteolyse oder Fraktur.")),
        "en": (P("No osteolysis."), P("No evidence of osteolysis or fracture.")),
    },
    "ascites": {
        "de": (P("Kein Aszites."), P("Kein Hinweis auf Aszites.")),
        "en": (P("No ascites."), P("No sign of ascites.")),
    },
}
"""Findings that no phantom has."""

CLINICAL: Mapping[str, tuple[str, ...]] = {
    "de": (
        "Unklare Oberbauchschmerzen.",
        "Staging bei bekanntem Tumorleiden.",
        "Gewichtsverlust, V. a. Malignom.",
        "Verlaufskontrolle.",
        "Erhöhte Entzündungswerte unklarer Genese.",
    ),
    "en": (
        "Upper abdominal pain of unclear origin.",
        "Staging of a known tumour.",
        "Weight loss, suspected malignancy.",
        "Follow-up.",
        "Raised inflammatory markers of unclear origin.",
    ),
}
QUESTION: Mapping[str, tuple[str, ...]] = {
    "de": ("Raumforderung?", "Filiae? Lymphknoten?", "Fokus? Freie Flüssigkeit?", "Größenverlauf?", "Tumornachweis?"),
    "en": ("Mass?", "Metastases? Lymph nodes?", "Focus? Free fluid?", "Change in size?", "Evidence of tumour?"),
}
HEADINGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "de": {
        "clinical": ("Klinische Angaben", "Anamnese"),
        "question": ("Fragestellung", "Rechtfertigende Indikation"),
        "technique": ("Technik", "Protokoll"),
        "comparison": ("Voruntersuchung", "Vergleich"),
        "findings": ("Befund",),
        "impression": ("Beurteilung", "Zusammenfassung"),
    },
    "en": {
        "clinical": ("Clinical information",),
        "question": ("Question", "Indication"),
        "technique": ("Technique",),
        "comparison": ("Comparison",),
        "findings": ("Findings",),
        "impression": ("Impression",),
    },
}
TECHNIQUE: Mapping[str, Mapping[str, str]] = {
    "de": {
        "CT native": "Native CT des Rumpfes, axiale Schichten, Schichtdicke {mm} mm.",
        "CT contrast": "CT des Rumpfes nach i.v. Kontrastmittelgabe in portalvenöser Phase, Schichtdicke {mm} mm.",
        "MR": "MRT des Rumpfes nativ, Schichtdicke {mm} mm.",
        "coronal": "Zusätzlich koronare Schichten.",
    },
    "en": {
        "CT native": "Unenhanced CT of the trunk, axial slices, slice thickness {mm} mm.",
        "CT contrast": "CT of the trunk after i.v. contrast agent in the portal venous phase, slice thickness {mm} mm.",
        "MR": "Unenhanced MRI of the trunk, slice thickness {mm} mm.",
        "coronal": "Additional coronal slices.",
    },
}
COMPARISON: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "de": {
        "none": ("Keine Voruntersuchung vorliegend.", "Keine Voraufnahmen zum Vergleich."),
        "prior": ("{what} vom {date}.", "Voruntersuchung vom {date} ({what})."),
    },
    "en": {
        "none": ("No prior study available.", "No previous images for comparison."),
        "prior": ("{what} of {date}.", "Prior study of {date} ({what})."),
    },
}
IMPRESSION: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "de": {
        "none": ("Kein Nachweis einer Raumforderung.", "Unauffälliger Befund ohne fokale Läsion."),
        "cyst": ("{label} ({size}), unkompliziert.", "Unkomplizierte {label}, {size}."),
        "other": ("{label} ({size}).", "{label}, {size}."),
        "doubted": ("V. a. {label} ({size}).", "DD {label}, {size}."),
    },
    "en": {
        "none": ("No evidence of a mass.", "Unremarkable study without a focal lesion."),
        "cyst": ("{label} ({size}), uncomplicated.", "Uncomplicated {label}, {size}."),
        "other": ("{label} ({size}).", "{label}, {size}."),
        "doubted": ("Suspected {label} ({size}).", "Possible {label}, {size}."),
    },
}
SUMMARY: Mapping[str, Mapping[str, str]] = {
    "liver cyst": {"de": "Leberzyste", "en": "liver cyst"},
    "liver metastasis": {"de": "Lebermetastase", "en": "liver metastasis"},
    "kidney cyst": {"de": "Nierenzyste {links}", "en": "cyst of the {left} kidney"},
    "kidney tumour": {"de": "Solide Raumforderung der {linken} Niere", "en": "solid mass of the {left} kidney"},
    "lobe nodule": {"de": "Rundherd im {linken} {lobe}", "en": "nodule in the {left} {lobe}"},
    "lung nodule": {"de": "Rundherd in der {linken} Lunge", "en": "nodule in the {left} lung"},
}
"""The lesion in the impression."""

REFERENCES: Mapping[str, Mapping[str, tuple[tuple[str, float], ...]]] = {
    "de": {
        "one": (
            (" (Serie {s}, Bild {i})", 5),
            (" (Bild {i}, Serie {s})", 1),
            (" (Bild {i} der Serie {s})", 1),
            (" (Serie {s}/Bild {i})", 1),
            (" (siehe Serie {s}, Bild {i})", 1),
            (" (Se. {s} Im. {i})", 1),
            (" (Ser. {s}, B. {i})", 0.7),
            (" (Se {s}/Im {i})", 0.5),
            (" ({s}:{i})", 0.3),
        ),
        "comma": ((", s. Serie {s}/Bild {i}", 0.7), (", vgl. Serie {s}, Bild {i}", 0.7)),
        "carried": ((" (Bild {i})", 2), (" (IMA {i})", 1)),
        "range": (
            (" (Serie {s}, Bilder {i}-{j})", 2),
            (" (Bild {i}-{j}, Serie {s})", 1),
            (" (Bilder {i} bis {j} der Serie {s})", 1),
        ),
        "list": ((" (Serie {s}, Bilder {i} und {j})", 1), (" (exemplarisch Bilder {i} und {j} der Serie {s})", 1)),
        "two": ((" (Serie {s}, Bild {i}; Serie {t}, Bild {j})", 1),),
        "prior": ((" (Serie {s}, Bild {i})", 3), (" (damals Serie {s}, Bild {i})", 1), (" (Se. {s} Im. {i})", 1)),
    },
    "en": {
        "one": (
            (" (series {s}, image {i})", 5),
            (" (image {i}, series {s})", 1),
            (" (image {i} of series {s})", 1),
            (" (series {s}/image {i})", 1),
            (" (see series {s}, image {i})", 1),
            (" (se {s} im {i})", 1),
            (" (series {s}: image {i})", 0.7),
            (" (ser. {s}, img {i})", 0.5),
            (" ({s}:{i})", 0.3),
        ),
        "comma": ((", see series {s}, image {i}", 1), (", cf. series {s}, image {i}", 0.4)),
        "carried": ((" (image {i})", 2), (" (slice {i})", 1)),
        "range": (
            (" (series {s}, images {i}-{j})", 2),
            (" (images {i}-{j}, series {s})", 1),
            (" (images {i} to {j} of series {s})", 1),
        ),
        "list": ((" (series {s}, images {i} and {j})", 1), (" (images {i} and {j} of series {s})", 1)),
        "two": ((" (series {s}, image {i}; series {t}, image {j})", 1),),
        "prior": ((" (series {s}, image {i})", 3), (" (then series {s}, image {i})", 1), (" (se {s} im {i})", 1)),
    },
}
"""Ways to write a slice reference, with weights: forms that reports use, from plain to terse."""
