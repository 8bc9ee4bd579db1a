"""``make bench-segment``: rrg segment beside TotalSegmentator's own function, with tiny random networks.

Both sides are whole processes on the same CT volume (a phantom), task ``total`` with ``--fast``, on the CPU. With
networks this small nearly all of the time is what lies around them: imports, processes, resampling, files. So the
ratios are an upper bound: real networks add the same time to both sides. Memory is that of all processes of a side
together, shared pages counted once (PSS), sampled. Sides run in turn (A B A B ...). Writes ``bench-out/segment.json``;
ends with 1 when a goal is missed.
"""

import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import REPEATS, Claim, Run, compared, in_turn, measured, rows_of, run, table, write

SLICES, SIZE = 100, 224
MORE = 3
"""Volumes of the longer run."""
SAMPLE_SECONDS = 0.1


def family(process: int) -> Iterator[int]:
    """Ids of a process and all below it."""
    yield process
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))


def pss_mb(process: int) -> float:
    """Proportional set size of a process and all below it, in MB (10^6 bytes)."""
    total = 0
    for member in family(process):
        with contextlib.suppress(OSError, IndexError):
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
            total += int(rollup.split("\nPss:")[1].split()[0])
    return total * 1024 / 1e6


def watched(arguments: list[object]) -> Run:
    """Run a command to its end; its peak memory is that of all its processes together."""
    peak, ended = 0.0, threading.Event()
    started = time.perf_counter()
    process = subprocess.Popen([*map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def watch() -> None:
        nonlocal peak
        while not ended.wait(SAMPLE_SECONDS):
            peak = max(peak, pss_mb(process.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    said = process.communicate()[1]
    seconds = time.perf_counter() - started
    ended.set()
    thread.join()
    if process.returncode:
        raise RuntimeError(f"{arguments[1:4]} ended with {process.returncode}: {said.decode(errors='replace')[-600:]}")
    return Run(seconds, peak)


def prepare(folder: Path) -> None:
    """Networks; the axial volumes of some phantoms as records of their own study, and the first as NIfTI."""
    from rrg import store
    from rrg.codec import decode
    from rrg.records import Slice
    from rrg.totalsegmentator_tasks import Work
    from tests.mask_cases import ras_affine, save_nifti, stream
    from tests.tiny_totalsegmentator import Job, make_weights

    make_weights(folder / "weights", Work("total", fast=True))
    volumes: dict[str, list[Slice]] = {}
    for line in (folder / "slices.jsonl").read_bytes().splitlines():
        if line.startswith(b'{"schema":"rrg.slice/1"'):
            slice_ = decode(line, Slice)
            if (slice_.plane, slice_.role) == ("axial", "primary"):
                volumes.setdefault(slice_.study, []).append(slice_)
    chosen = []
    for slices in volumes.values():
        slices.sort(key=lambda slice_: slice_.index)
        chosen.append([slice_ for slice_ in slices if slice_.series == slices[0].series])
    stream(folder / "one.jsonl", chosen[0])
    stream(folder / "more.jsonl", [slice_ for slices in chosen[:MORE] for slice_ in slices])
    pixels = store.read_volume(folder / "store", chosen[0][0].pixels.partition("#")[0])
    source = save_nifti(folder / "one.nii.gz", pixels.transpose(2, 1, 0), ras_affine(chosen[0]))
    job = Job(str(source), str(folder / "plain.nii.gz"), "total", True, None)
    (folder / "jobs.json").write_text(json.dumps([job]))


def agree(folder: Path) -> bool:
    """Both sides gave the same labels."""
    import nibabel
    import numpy as np

    from rrg import store

    line = next(line for line in (folder / "out.jsonl").read_text().splitlines() if '"rrg.mask/1"' in line)
    stored = store.read_volume(folder / "store", json.loads(line)["array"].partition("#")[0])
    plain = np.asarray(nibabel.load(folder / "plain.nii.gz").dataobj)
    return len(np.unique(plain)) > 3 and np.array_equal(stored[:, 0], plain.transpose(2, 1, 0))


def main(repeats: int) -> int:
    """Measure; 1 when a goal is missed."""
    with tempfile.TemporaryDirectory(prefix="rrg-bench-") as name:
        folder = Path(name)
        os.environ |= {"RRG_KEY_FILE": str(folder / "key"), "CUDA_VISIBLE_DEVICES": ""}
        rrg: list[object] = [sys.executable, "-m", "rrg"]
        size = ["--studies", MORE, "--slices", SLICES, "--size", SIZE, "--modality", "ct"]
        run([*rrg, "phantom", "--out", folder / "made", *size, "--quiet"])
        run(
            [
                *rrg,
                "extract-slices",
                folder / "made/dicom",
                "--store",
                folder / "store",
                "--out",
                folder / "slices.jsonl",
            ]
        )
        run([sys.executable, "-m", "tests.bench.segment", "prepare", folder])
        options = [
            "--store",
            folder / "store",
            "--engine",
            "totalsegmentator",
            "--weights",
            folder / "weights",
            "--fast",
        ]

        def segmented(records: str) -> Run:
            out = ["--out", folder / "out.jsonl", "--quiet"]
            return watched([*rrg, "segment", folder / records, *options, "--device", "cpu", *out])

        plain = [sys.executable, "-m", "tests.tiny_totalsegmentator", folder / "weights", folder / "jobs.json"]
        sides = {
            "more": lambda: segmented("more.jsonl"),
            "plain": lambda: watched(plain),
            "rrg": lambda: segmented("one.jsonl"),
        }
        found = in_turn(sides, repeats)
        if subprocess.run([sys.executable, "-m", "tests.bench.segment", "agree", folder], check=False).returncode:
            raise RuntimeError("rrg and TotalSegmentator gave different labels")
    peer = f"TotalSegmentator {importlib.metadata.version('TotalSegmentator')}"
    one = f"one CT of {SIZE} x {SIZE} x {SLICES}, same labels"
    ratio = Claim(goal=1.2, unit="times its time", peer=peer, lower_is_better=True, note=one)
    memory = Claim(
        goal=1.2, unit="times its memory", peer=peer, lower_is_better=True, note=f"{one}; PSS of all processes"
    )
    later = [(m.seconds - o.seconds) / (MORE - 1) for m, o in zip(found["more"], found["rrg"], strict=True)]
    firsts = [each.seconds for each in found["rrg"]]
    claims = {
        "time": compared(found["rrg"], found["plain"], ratio),
        "memory": measured([a.peak_mb / b.peak_mb for a, b in zip(found["rrg"], found["plain"], strict=True)], memory),
        "later-volumes": measured(
            [a / b for a, b in zip(later, firsts, strict=True)],
            Claim(
                goal=1.0,
                unit="of the first's time",
                peer="rrg's own first volume",
                lower_is_better=True,
                note=f"volumes 2 to {MORE} of one run",
            ),
        ),
        "later-seconds": measured(later, Claim(unit="s per volume", peer="-", note="networks loaded")),
    }
    print(table(rows_of(claims)))
    write("segment", claims)
    return int(any(claim.verdict == "MISSED" for claim in claims.values()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["prepare"]:
        prepare(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["agree"]:
        sys.exit(not agree(Path(sys.argv[2])))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS))
