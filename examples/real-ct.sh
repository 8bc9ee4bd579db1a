#!/usr/bin/env bash
# The data side on two real CT series, with pages to look at. Usage: real-ct.sh DATA [OUT]
#   DATA holds totalsegmentator-ct-mr/ (upper abdomen, 20 slices, and its mask) and lidc-idri-0314-chest-ct/ (chest,
#   55 slices, and four readers' marks of one nodule); both are openly licensed. OUT (real-out) gets page-*.html.
# The reports below are MADE UP for this example from what the masks show. No radiologist wrote them.
set -euo pipefail
data=${1:?usage: real-ct.sh DATA [OUT]}
out=${2:-real-out}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"/{abdomen,chest}
export RRG_KEY_FILE=$out/key

# ---- upper abdomen: organs from a mask that is there already -------------------------------------------------------
cat > "$out/abdomen/report.de.txt" << 'TEXT'
Klinische Angaben:
Frei erfundener Bericht zu einem offenen Beispieldatensatz.

Technik:
CT des Oberbauches, Schichtdicke 3 mm.

Befund:
Die Leber ist homogen und ohne fokale Läsion (Bild 270). Die Milz ist regelrecht (Bild 274).
Der Magen ist mäßig mit Luft und Speise gefüllt (Bild 272).
Das Pankreas ist nur angeschnitten, soweit erfasst unauffällig (Bild 286).
Die Aorta und die Vena cava inferior sind normal weit (Bilder 274 und 275).
Die rechte Nebenniere ist schlank (Bild 282). BWK 12 ohne Fraktur (Bild 282).
Kein Nachweis freier Flüssigkeit. Die Nieren sind nicht abgebildet.

Beurteilung:
Unauffälliger Oberbauch, soweit erfasst.
TEXT
cat > "$out/abdomen/report.en.txt" << 'TEXT'
Clinical information:
Made-up report for an open example data set.

Technique:
CT of the upper abdomen, slice thickness 3 mm.

Findings:
The liver is homogeneous without focal lesion (image 270). The spleen is normal (image 274).
The stomach is moderately filled with air and food (image 272).
The pancreas is only partly covered and unremarkable as far as shown (image 286).
The aorta and the inferior vena cava are of normal calibre (images 274 and 275).
The right adrenal gland is slender (image 282). T12 without fracture (image 282).
No free fluid. The kidneys are not imaged.

Impression:
Normal upper abdomen as far as covered.
TEXT

# ---- chest: airways, lungs and bone by Hounsfield units, the nodule from the readers' marks ------------------------
cat > "$out/chest/report.de.txt" << 'TEXT'
Fragestellung:
Frei erfundener Bericht zu einem offenen Beispieldatensatz.

Befund:
Solider Rundherd in der rechten Lunge, 20 mm (Serie 30026, Bild 120). Die linke Lunge ist frei belüftet (Serie 30026, Bild 140).
Beide Lungen ohne Infiltrat (Serie 30026, Bild 110). Kein Pleuraerguss.

Beurteilung:
Rundherd rechts, abklärungsbedürftig.
TEXT
cat > "$out/chest/report.en.txt" << 'TEXT'
Indication:
Made-up report for an open example data set.

Findings:
Solid nodule in the right lung, 20 mm (series 30026, image 120). The left lung is clear (series 30026, image 140).
Both lungs without consolidation (series 30026, image 110). No pleural effusion.

Impression:
Nodule on the right, further work-up needed.
TEXT

# run NAME DICOM_FOLDER: studies to samples and a page; `segment FOLDER` is the filter that makes the masks
run() {
    local name=$1 dicom=$2
    local work=$out/$name
    rrg extract-slices "$dicom" --store "$work/store" --out "$work/slices.jsonl"
    # these files have no accession number: a report is named by the study's pseudonym instead
    local study
    study=$(grep -m1 -o '"study":"[0-9a-f]*"' "$work/slices.jsonl" | cut -d'"' -f4)
    mkdir -p "$work/reports"
    for lang in de en; do cp "$work/report.$lang.txt" "$work/reports/$study.$lang.txt"; done
    rrg parse-reports "$work/slices.jsonl" --reports "$work/reports" \
        | segment "$work" \
        | rrg synth-vqa | rrg synth-ground > "$work/samples.jsonl"
    # the page shows masks, sentences and grounded reports; without the grep also every question
    grep -vE '"task":"(vqa|detect|report|phrase-to-box|box-to-phrase)"' "$work/samples.jsonl" \
        | rrg view --store "$work/store" --page "$out/page-$name.html" --limit 60
}

segment() {
    rrg segment --store "$1/store" --engine masks \
        --masks "$data/totalsegmentator-ct-mr/example_seg_dicom.nii.gz" \
        --labels "$data/totalsegmentator-ct-mr/labels.json" --task total
}
run abdomen "$data/totalsegmentator-ct-mr/example_ct_dicom"

python "$here/lidc_contours.py" "$data/lidc-idri-0314-chest-ct/nodule_annotations.json" > "$out/chest/nodule.json"
segment() {
    rrg segment --store "$1/store" --engine threshold \
        | rrg segment --store "$1/store" --engine masks --masks "$1/nodule.json"
}
run chest "$data/lidc-idri-0314-chest-ct/full_5mm"

echo "look at $out/page-abdomen.html and $out/page-chest.html"
