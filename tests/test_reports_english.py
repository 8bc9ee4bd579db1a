"""English sentences and what they say, one by one. The notation is explained in `reports_facts`."""

import pytest

from tests.reports_facts import facts, rows

SENTENCES = """
New 7 mm nodule in the right middle lobe (series 5, image 88).
    nodule@lung_middle_lobe_right/right=7 | #5/88
No evidence of pulmonary metastases.
    -metastasis@lung_left+lung_right
Without evidence of pulmonary embolism.
    -pulmonary embolism
No acute fracture, but suspicion of osteolysis in L2.
    -fracture | ?osteolysis@vertebrae_L2
Neither pleural effusion nor pneumothorax.
    -pleural effusion | -pneumothorax
No effusion, no pneumothorax, small cyst in the left kidney.
    -effusion | -pneumothorax | cyst@kidney_left/left
No mass except for a 9 mm cyst in the pancreatic tail.
    -mass | cyst@pancreas=9
Unremarkable apart from a right renal stone.
    calculus@kidney_right/right
A metastasis cannot be excluded.
    ?metastasis
Liver metastasis can not be completely excluded.
    ?metastasis@liver
Thrombosis of the inferior vena cava is excluded.
    -thrombosis@inferior_vena_cava
Not only cysts but also solid hepatic lesions.
    cyst | lesion@liver
No change in size of the liver cyst.
    cyst@liver
Still no hydronephrosis on either side.
    -hydronephrosis/both
No definite infiltrate.
    -infiltrate
Pneumonia is unlikely.
    -?pneumonia
The gallbladder is not visualized.
    0gallbladder
Status post left nephrectomy, right kidney with a 3 cm cyst.
    cyst@kidney_right/right=30 | 0kidney_left
S/p thyroidectomy without recurrence.
    -tumor | 0thyroid_gland
The left adrenal gland is absent.
    0adrenal_gland_left
The spleen is not included in the field of view.
    0spleen
Possible pneumonia in the left lower lobe, differential atelectasis.
    ?pneumonia@lung_lower_lobe_left/left | ?atelectasis
Most likely hemangioma in liver segment VII, 22 x 18 mm.
    ?hemangioma@liver=22x18
Mass of the left kidney, 4.5 cm, concerning for carcinoma.
    mass@kidney_left/left=45 | ?carcinoma@kidney_left/left
Wall thickening of the colon, suggestive of colitis.
    wall thickening@colon | ?colitis@colon
Bilateral pleural effusions, 3 cm on the right, 1.5 cm on the left.
    pleural effusion/both=30;15
Calcified plaques of the abdominal aorta and both common iliac arteries.
    calcification@aorta+iliac_artery_left+iliac_artery_right/both | plaque@aorta+iliac_artery_left+iliac_artery_right/both
Acute fractures of the left 4th through 6th ribs.
    fracture@rib_left_4+rib_left_5+rib_left_6/left
Compression fractures of T12 and L1 vertebral bodies.
    compression fracture@vertebrae_T12+vertebrae_L1
Disc protrusions at L4-L5 and L5-S1.
    disc protrusion@intervertebral_discs..5
Degenerative disc disease at C5/6 with stenosis of the spinal canal.
    osteochondrosis@intervertebral_discs+vertebrae_C5+vertebrae_C6 | stenosis@spinal_cord
Anterolisthesis of L5 on S1.
    spondylolisthesis@vertebrae_L5
The heart is not enlarged; no congestion.
    -enlargement@heart | -congestion
Non-displaced fracture of the right humerus.
    fracture@humerus_right/right
Hepatic lesions up to 15 mm (series 3, images 44-47).
    lesion@liver=15 | #3/44,45,46,47
Mediastinal lymphadenopathy up to 14 mm in short axis.
    lymphadenopathy=14
No enlarged lymph nodes.
    -lymphadenopathy
Known bilateral renal cysts, unchanged.
    cyst@kidney_right+kidney_left/both
Compared to prior CT of 2/1/2020 (series 2, image 30) the liver cyst has grown, now 24 mm (series 3, image 41).
    cyst@liver=24 | <#2/30 | #3/41
Nodule in the right lower lobe measures 8 mm, previously 5 mm.
    nodule@lung_lower_lobe_right/right=8
Previously seen right pleural effusion has resolved.
    -pleural effusion/right
Stable cyst of the spleen (image 45ff, series 2).
    cyst@spleen | #2/45+
Cyst in the liver (4/123), cyst in the spleen (4/140).
    cyst@liver | cyst@spleen | #4/123 | #4/140
Study performed at 14:38 on 3/15/2025, series of 3 images.
    nothing
Hematoma in the right psoas muscle, approx. 3.5 x 2 cm.
    hematoma@iliopsoas_right/right=35x20
Edema of the gallbladder wall, cirrhosis of the liver, ascites.
    edema@gallbladder | cirrhosis@liver | ascites
Esophageal carcinoma with metastases in liver, spleen and right adrenal gland.
    carcinoma@esophagus | metastasis@liver+spleen+adrenal_gland_right/right
Cysts in both kidneys and in the liver.
    cyst@kidney_right+kidney_left+liver/both
Consolidations in the right upper and middle lobes.
    consolidation@lung_upper_lobe_right+lung_middle_lobe_right/right
Cervical and thoracic spine without fracture.
    -fracture@vertebrae_C7..19
Left thyroid nodule of 12 mm.
    nodule@thyroid_gland/left=12
No gallstones, intrahepatic bile ducts are not dilated.
    -gallstone | -dilatation@liver
Urinary bladder normal, prostate enlarged.
    enlargement@prostate
Free fluid in the pelvis, no free air.
    free fluid | -free air
Diverticulosis of the sigmoid colon without diverticulitis.
    diverticulosis@colon | -diverticulitis@colon
Small pericardial effusion, 5 mm, and cardiomegaly.
    pericardial effusion=5 | cardiomegaly
No abscess; drain in place.
    -abscess | catheter
Emphysema predominantly in both upper lobes.
    emphysema@lung_upper_lobe_left+lung_upper_lobe_right/both
Central pulmonary embolism on the right, no right heart strain.
    pulmonary embolism/right
Atherosclerosis without relevant stenosis.
    plaque | -stenosis
Mild scoliosis, otherwise normal thoracic and lumbar spine.
    scoliosis
The right kidney shows a cyst, the left kidney a 4 mm stone.
    cyst@kidney_right/right | calculus@kidney_left/left=4
History of cholecystectomy with clips in the gallbladder fossa.
    foreign body@gallbladder | 0gallbladder
Brain edema, no midline shift, no hemorrhage.
    edema@brain | -midline shift | -hemorrhage
Infarct in the left cerebellar hemisphere, small vessel disease.
    infarction@brain/left | microangiopathy
Multiple left rib fractures with pneumothorax.
    fracture@rib_left_1..12/left | pneumothorax
Enhancing lesion in the prostate, PI-RADS 4.
    enhancement@prostate | lesion@prostate
High-grade stenosis of the left common carotid artery.
    stenosis@common_carotid_artery_left/left
Thrombus in the portal vein.
    thrombosis@portal_vein_and_splenic_vein
There is no pneumothorax or pleural effusion, however there is a nodule in the LUL (4:38).
    -pneumothorax | -pleural effusion | nodule@lung_upper_lobe_left/left | #4/38
Nil acute fracture.
    -fracture
Hydronephrosis is not a feature.
    -hydronephrosis
No renal calculi or diverticulitis.
    -calculus@kidney_right+kidney_left | -diverticulitis
Bladder wall thickening.
    wall thickening@urinary_bladder
Thickening of the wall of the stomach.
    wall thickening@stomach
Metastases from T5 to T8.
    metastasis@vertebrae_T5..4
Left effusion is unchanged and there is atelectasis in the right lower lobe.
    pleural effusion/left | atelectasis@lung_lower_lobe_right/right
The lungs are clear without nodule, mass or opacity.
    -nodule@lung_left+lung_right/both | -mass@lung_left+lung_right/both | -opacity@lung_left+lung_right/both
Trace left and moderate right pleural effusions.
    pleural effusion/both
Left > right pleural effusions.
    pleural effusion/both
Pleural effusion, left, unchanged.
    pleural effusion/left
Left iliac fossa pain, ?diverticulitis
    ?diverticulitis
? PE
    ?pulmonary embolism
Fractures of the left third to fifth ribs.
    fracture@rib_left_3+rib_left_4+rib_left_5/left
Fractures of the third and fourth left ribs.
    fracture@rib_left_3+rib_left_4/left
Lung-RADS 4 nodule.
    nodule
Bosniak 2 cyst of the right kidney.
    cyst@kidney_right/right
T2 hyperintense lesion in the liver.
    lesion@liver
Apical scarring.
    scar
"""  # noqa: E501


@pytest.mark.parametrize(("sentence", "expected"), rows(SENTENCES))
def test_the_sentence_says_this(sentence: str, expected: str) -> None:
    assert facts(sentence, "en") == expected


def test_there_are_enough_sentences() -> None:
    assert len(rows(SENTENCES)) >= 60
