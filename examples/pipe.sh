#!/usr/bin/env bash
# The data side as one pipe, with jq between the steps: what a stream holds can be looked at, cut and counted anywhere.
# Usage: pipe.sh [FOLDER]    Made-up studies; needs rrg and jq on the PATH.
set -euo pipefail
out=${1:-pipe-out}
mkdir -p "$out"
rrg phantom --out "$out/demo" --studies 8 --slices 4 --size 64 --quiet

# CT only, and one object a line (-c): what is no slice passes, as every rrg command does it.
rrg extract-slices "$out/demo/dicom" --store "$out/store" --quiet |
    jq -c 'select(.schema != "rrg.slice/1" or .modality == "CT")' |
    rrg parse-reports --reports "$out/demo/reports" --unmatched ignore --quiet |
    rrg segment --engine masks --masks "$out/demo/masks" --labels "$out/demo/labels.json" --store "$out/store" --quiet |
    tee "$out/masks.jsonl" |
    rrg synth-vqa --quiet | rrg synth-ground --quiet > "$out/samples.jsonl"

echo "structures, by the number of slices that show them:"
jq -r 'select(.schema == "rrg.mask/1") | .labels[].label' "$out/masks.jsonl" | sort | uniq -c | sort -rn | head -5

echo "a question:"
jq -r 'select(.task == "vqa" and .question_type == "closed") | .turns[].content[] | select(.type == "text") | .text' \
    "$out/samples.jsonl" | sed -n 1,2p

# A field of one's own: extra is carried and never read.
jq -c 'if .schema == "rrg.slice/1" then .extra = {reader: "A"} else . end' "$out/samples.jsonl" |
    rrg pack --store "$out/store" --out "$out/dataset" --resume --phantom
