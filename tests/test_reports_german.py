"""German sentences and what they say, one by one. The notation is explained in `reports_facts`."""

import pytest

from rrg.reports.parse import parse
from tests.reports_facts import facts, rows

SENTENCES = """
Die Zyste der rechten Niere war in der Voruntersuchung vom 25.08.2022 noch nicht abgrenzbar.
    cyst@kidney_right/right
Stenosen der Aorta ergaben sich nicht.
    -stenosis@aorta
Neu aufgetretener Rundherd im rechten Mittellappen, 7 mm (Serie 5, Bild 88).
    nodule@lung_middle_lobe_right/right=7 | #5/88
Kein Nachweis von Lungenmetastasen.
    -metastasis@lung_left+lung_right
Ohne Nachweis einer Lungenembolie.
    -pulmonary embolism
Kein Anhalt für eine Fraktur, jedoch Verdacht auf eine Osteolyse in LWK 2.
    -fracture | ?osteolysis@vertebrae_L2
Weder Pleuraerguss noch Pneumothorax.
    -pleural effusion | -pneumothorax
Kein Erguss, kein Pneumothorax, kleine Zyste der linken Niere.
    -effusion | -pneumothorax | cyst@kidney_left/left
Keine Raumforderung außer einer 9 mm großen Zyste im Pankreasschwanz.
    -mass | cyst@pancreas=9
Keine Auffälligkeiten bis auf einen Nierenstein rechts.
    calculus@kidney_right/right
Eine Metastase ist nicht auszuschließen.
    ?metastasis
Eine Lebermetastase kann nicht mit letzter Sicherheit ausgeschlossen werden.
    ?metastasis@liver
Eine Thrombose der Vena cava inferior ist ausgeschlossen.
    -thrombosis@inferior_vena_cava
Nicht nur Zysten, sondern auch solide Leberläsionen.
    cyst | lesion@liver
Keine Größenzunahme der Leberzyste.
    cyst@liver
Unverändert kein Harnstau beidseits.
    -hydronephrosis/both
Kein sicherer Hinweis auf ein Infiltrat.
    -?infiltrate
Pneumonie unwahrscheinlich.
    -?pneumonia
Die Gallenblase ist nicht abgrenzbar.
    0gallbladder
Z. n. Nephrektomie links, Niere rechts mit 3 cm messender Zyste.
    cyst@kidney_right/right=30 | 0kidney_left
St. p. Thyreoidektomie, kein Rezidivtumor.
    -tumor | 0thyroid_gland
Die linke Nebenniere fehlt.
    0adrenal_gland_left
Milz nicht abgebildet.
    0spleen
V. a. Pneumonie im linken Unterlappen, DD Atelektase.
    ?pneumonia@lung_lower_lobe_left/left | ?atelectasis
Am ehesten Hämangiom in Lebersegment VII, 22 x 18 mm.
    ?hemangioma@liver=22x18
Raumforderung der Niere li., 4,5 cm, a. e. Nierenzellkarzinom.
    mass@kidney_left/left=45 | ?carcinoma@kidney_left/left
Fragliche Verdickung, vereinbar mit Entzündung.
    ?inflammation
Pleuraergüsse beidseits, rechts 3 cm, links 1,5 cm.
    pleural effusion/both=30;15
Verkalkte Plaques der Aorta abdominalis und beider Aa. iliacae communes.
    calcification@aorta+iliac_artery_left+iliac_artery_right/both | plaque@aorta+iliac_artery_left+iliac_artery_right/both
Frische Fraktur der 4.-6. Rippe links.
    fracture@rib_left_4+rib_left_5+rib_left_6/left
Sinterung von BWK 12 und LWK 1.
    compression fracture@vertebrae_T12+vertebrae_L1
Bandscheibenprotrusion L4/5 und L5/S1.
    disc protrusion@intervertebral_discs..5
Osteochondrose HWK 5/6 mit Spinalkanalstenose.
    osteochondrosis@vertebrae_C5+vertebrae_C6 | stenosis@spinal_cord
Spondylolisthesis L5 gegenüber S1.
    spondylolisthesis@vertebrae_L5
Herz nicht vergrößert, keine Stauung.
    -enlargement@heart | -congestion
Nicht dislozierte Fraktur des rechten Humerus.
    fracture@humerus_right/right
Leberherde in Segment II und IVa bis 15 mm (Ser. 3 Im. 44-47).
    lesion@liver=15 | #3/44,45,46,47
Lymphknotenvergrößerung mediastinal, bis 14 mm KAD.
    lymphadenopathy=14
Keine pathologisch vergrößerten Lymphknoten.
    -lymphadenopathy
Bekannte Nierenzysten bds., unverändert.
    cyst@kidney_right+kidney_left/both
Im Vergleich zur VU vom 01.02.2020 (Serie 2, Bild 30) größenprogrediente Leberzyste, aktuell 24 mm (Serie 3, Bild 41).
    cyst@liver=24 | <#2/30 | #3/41
Rundherd im UL rechts 8 mm, zuvor 5 mm.
    nodule@lung_lower_lobe_right/right=8
In der Voruntersuchung noch Pleuraerguss rechts, aktuell nicht mehr nachweisbar.
    <pleural effusion/right
Größenkonstante Zyste der Milz (Bild 45ff, Serie 2).
    cyst@spleen | #2/45+
Zyste in der Leber (4/123), Zyste in der Milz (4/140).
    cyst@liver | cyst@spleen | #4/123 | #4/140
Aufnahme vom 15.03.2025, 14:38 Uhr, Serie von 3 Aufnahmen.
    nothing
Hämatom i. M. psoas rechts, ca. 3,5 x 2 cm.
    hematoma@iliopsoas_right/right=35x20
OEDEM der Gallenblasenwand, Leberzirrhose, Aszites.
    edema@gallbladder | cirrhosis@liver | ascites
Ösophagus-Karzinom mit Metastasen in Leber, Milz und rechter Nebenniere.
    carcinoma@esophagus | metastasis@liver+spleen+adrenal_gland_right/right
Leber- und Nierenzysten.
    cyst@liver+kidney_right+kidney_left
Ober- und Mittellappen rechts mit Infiltraten.
    infiltrate@lung_upper_lobe_right+lung_middle_lobe_right/right
Hals- und Brustwirbelsäule ohne Fraktur.
    -fracture@vertebrae_C7..19
Schilddrüsenknoten links 12 mm, Struma nodosa.
    nodule@thyroid_gland/left=12 | goiter
Gallenblase steinfrei, intrahepatische Gallenwege nicht erweitert.
    -calculus@gallbladder | -dilatation@liver
Harnblase o. B., Prostata vergrößert.
    enlargement@prostate
Freie Flüssigkeit im Becken, keine freie Luft.
    free fluid | -free air
Divertikulose des Sigmas ohne Zeichen einer Divertikulitis.
    diverticulosis@colon | -diverticulitis@colon
Kleiner Perikarderguss, 5 mm, sowie Kardiomegalie.
    pericardial effusion=5 | cardiomegaly
Postoperativ kein Verhalt, Drainage in situ.
    -abscess | catheter
Lungenemphysem, betont in beiden Oberlappen.
    emphysema@lung_left+lung_right
Zentrale Lungenembolie rechts, Rechtsherzbelastung nicht nachweisbar.
    pulmonary embolism/right
Atherosklerose ohne relevante Stenose.
    plaque | -stenosis
Leichte Skoliose, BWS und LWS sonst unauffällig.
    scoliosis
Die rechte Niere zeigt eine Zyste, die linke Niere ein Konkrement von 4 mm.
    cyst@kidney_right/right | calculus@kidney_left/left=4
Zust. nach Cholezystektomie mit Clips im Gallenblasenlager.
    foreign body@gallbladder | 0gallbladder
Hirnödem, keine Mittellinienverlagerung, keine Blutung.
    edema@brain | -midline shift | -hemorrhage
Infarkt im Kleinhirn links, Mikroangiopathie.
    infarction@brain/left | microangiopathy
Rippenserienfraktur links mit Pneumothorax.
    fracture@rib_left_1..12/left | pneumothorax
Metastasen: keine.
    -metastasis
Kontrastmittelaufnahme der Läsion in der Prostata, PI-RADS 4.
    enhancement@prostate | lesion@prostate
Subtotale Stenose der A. carotis communis links.
    stenosis@common_carotid_artery_left/left
Thrombus in der V. portae.
    thrombosis@portal_vein_and_splenic_vein
Anterolisthese L4 um 6 mm.
    spondylolisthesis@vertebrae_L4
Retrolisthese von L5.
    spondylolisthesis@vertebrae_L5
Deckplattensklerose LWK 3.
    sclerosis@vertebrae+vertebrae_L3
Kein Abriss der Sehne.
    -rupture
Koronarkalk, Herz normal groß.
    calcification
Cholezystolithiasis ohne Cholezystitiszeichen.
    gallstone | -cholecystitis
Frakturausschluss.
    -fracture
Zum Frakturausschluss.
    ?fracture
Z. n. Meningeomresektion.
    ~meningioma
Hämangiomwirbel Th 11.
    hemangioma@vertebrae+vertebrae_T11
Schrumpfniere links.
    atrophy@kidney_left/left
Fettleber.
    steatosis@liver
Verdickung der Magenwand.
    wall thickening@stomach
Kein Stau.
    -congestion
Pankreaskorpus und -schwanz atroph.
    atrophy@pancreas+pancreas
Lungenemphysem, oberlappenbetont.
    emphysema@lung_left..4
Keine Darminkarzeration, kein Aszites.
    -ascites
Rippenfrakturen III bis V rechts.
    fracture@rib_right_3+rib_right_4+rib_right_5/right
Rippenserienfraktur li. 4-8.
    fracture@rib_left_4..5/left
Frakturen der Rippen VI und VII links.
    fracture@rib_left_6+rib_left_7/left
Nephrektomieloge rechts frei.
    0kidney_right
Verschluss-Ikterus.
    nothing
Alte Fraktur BWK 12, konsolidiert.
    fracture@vertebrae_T12
Frische Kompressionsfraktur LWK 1 mit Höhenminderung.
    compression fracture@vertebrae_L1
Mikroangiopathische Marklagerläsionen.
    microangiopathy@brain
Nierenbecken rechts ektatisch.
    dilatation@kidney_right/right
Weder Konkremente noch Harnstauung beidseits.
    -calculus/both | -hydronephrosis/both
Weder rechts noch links Erguss.
    -effusion/both
DD Abszess, DD Hämatom im M. iliopsoas links, 3 cm.
    ?abscess@iliopsoas_left/left=30 | ?hematoma@iliopsoas_left/left=30
Bandscheibenvorfall L5/S1 mit Kontakt zur Wurzel S1 rechts.
    disc herniation@intervertebral_discs+vertebrae_L5+vertebrae_S1
Lumboischialgie links, BSV?
    ?disc herniation
Rechtskonvexe Skoliose der LWS.
    scoliosis@vertebrae_L5..5
Stenose der ACC re. > li.
    stenosis@common_carotid_artery_right+common_carotid_artery_left/both
Keine Harnstauung, Konkrement links 4 mm.
    -hydronephrosis | calculus/left=4
Es zeigen sich keine Rundherde, Infiltrate oder Ergüsse.
    -nodule | -infiltrate | -effusion
Der Verdacht auf ein Pankreaskarzinom bestätigt sich nicht.
    -carcinoma@pancreas
Ob es sich um ein Lymphom handelt, bleibt offen.
    ?lymphoma
Aorta nicht aneurysmatisch erweitert.
    -aneurysm@aorta | -dilatation@aorta
Milz nicht vergrößert, 10,4 cm.
    -enlargement@spleen
Lungenrundherde im Mittellappen.
    nodule@lung_left+lung_right+lung_middle_lobe_right/right
Spinalkanalstenose L3/4.
    stenosis@spinal_cord+vertebrae_L3+vertebrae_L4
Multiple bipulmonale Metastasen, z. B. li. UL 17 mm.
    metastasis@lung_left+lung_right+lung_lower_lobe_left/both=17
Lungen-, Leber- oder Knochenmetastasen.
    metastasis@lung_left..4
Hepar: o. B. Lien: vergrößert.
    enlargement@spleen
Mutter an Mammakarzinom verstorben.
    ~carcinoma
V. a. Appendizitis mit umgebender Fettgewebsimbibierung.
    ?appendicitis | fat stranding
Konsolidierung, passend zu Pneumonie.
    consolidation | pneumonia
Kalottenfraktur links ohne Impression, Schädelbasis intakt.
    fracture@skull/left
Leberzysten und -hämangiome.
    cyst@liver | hemangioma@liver
Infiltrate im linken Ober- und Unterlappen sowie im Mittellappen.
    infiltrate@lung_upper_lobe_left+lung_lower_lobe_left+lung_middle_lobe_right/both
Keine Blutung, intakte Kalotte, Fraktur der 5. Rippe links.
    -hemorrhage | fracture@rib_left_5/left
Infiltrate in Rückbildung, kein Sehnenabriss.
    infiltrate | -rupture
Leberläsion (Bild 12/210).
    lesion@liver | #/12
"""  # noqa: E501


@pytest.mark.parametrize(("sentence", "expected"), rows(SENTENCES))
def test_the_sentence_says_this(sentence: str, expected: str) -> None:
    assert facts(sentence, "de") == expected


def test_there_are_enough_sentences() -> None:
    assert len(rows(SENTENCES)) >= 60


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("Mediastinal zeigt sich keine Adenopathie.", "lymphadenopathy"),
        ("Blutung ohne Massenverschiebung.", "mass effect"),
    ],
)
def test_other_words_for_enlarged_nodes_and_mass_effect(sentence: str, name: str) -> None:
    assert [each.state for each in parse(sentence, "de").findings if each.name == name] == ["absent"]
