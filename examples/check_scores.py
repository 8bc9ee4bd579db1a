"""Check demo-out/scores.json against what the demo must reach. Usage: check_scores.py demo-out/scores.json"""

import json
import operator
import sys
from pathlib import Path

AT_LEAST = {"closed_accuracy": 0.90, "mean_iou": 0.60, "gguf_agreement": 0.90, "closed_n": 400, "iou_n": 400}
AT_MOST = {"closed_accuracy_shuffled": 0.60, "mean_iou_shuffled": 0.30, "peak_mb": 4096}
SECONDS = 720
"""On two quiet cores. Said, not checked: how fast a machine is on a day is no property of the code."""


def main() -> None:
    scores = json.loads(Path(sys.argv[1]).read_text())
    failed = 0
    for limits, good in ((AT_LEAST, operator.ge), (AT_MOST, operator.le)):
        for name, limit in limits.items():
            value = scores.get(name)
            fine = isinstance(value, int | float) and good(value, limit)
            failed += not fine
            print(f"{'ok  ' if fine else 'FAIL'} {name} {value} ({'>=' if limits is AT_LEAST else '<='} {limit})")
    slow = scores["seconds"] > SECONDS
    print(f"{'slow' if slow else 'ok  '} seconds {scores['seconds']} (<= {SECONDS} on two quiet cores)")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
