"""make chaos: many faults at random instants; bench-out/chaos.json says how many ended with the same bytes.

Usage: python -m tests.chaos [--kills 200] [--seed 0] [--out bench-out/chaos.json]
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.faults import FAULTS, STAGES, Chaos


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench-out/chaos.json"))
    given = parser.parse_args()
    rng = random.Random(given.seed)
    tried: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    same = 0
    with tempfile.TemporaryDirectory(prefix="rrg-chaos-") as folder:
        key = Path(folder, "key")
        key.write_bytes(bytes(range(100, 132)))
        key.chmod(0o600)
        chaos = Chaos(Path(folder), key)
        chaos.prepare()
        tries = 0
        while broken.total() < given.kills and tries < 4 * given.kills:
            tries += 1
            name, fault = rng.choice(list(STAGES)), rng.choice(FAULTS)
            tried[fault] += 1
            try:
                hit = chaos.hit(name, fault, rng)
            except AssertionError as error:
                hit = True
                print(f"NOT IDENTICAL: {error}", file=sys.stderr)
            else:
                same += hit
            broken[fault] += hit
            print(f"\r{broken.total()} of {given.kills} faults, {same} identical", end="", file=sys.stderr)
    print(file=sys.stderr)
    told = {
        "kills": broken.total(),
        "identical": same,
        "seed": given.seed,
        "faults": dict(sorted(broken.items())),
        "tried": dict(sorted(tried.items())),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told))
    sys.exit(0 if same == broken.total() and broken else 1)


if __name__ == "__main__":
    main()
