"""``make bench-extract``: rrg extract-slices beside dcm2niix, nibabel, Pillow, pydicom and SimpleITK.

Inputs are made in a temporary folder: CT series of `rrg phantom` (512 x 512, 12 of 16 bit, noise of a CT at its usual
dose, so PNG and JPEG 2000 have to work for their bytes), and small MR files with headers as long as those of scanners.
Everything is read warm, from the page cache: the program is measured, not the disk. Sides run in turn (A B A B ...).
Writes ``bench-out/extract.json`` and prints the table and a forecast for 10^8 files. Ends with 1 when a goal is missed.
"""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tests.bench import REPEATS, Claim, Run, compared, in_turn, measured, rows_of, run, seconds_of, table, write

SLICES = 120
COPIES = 5
"""The large series is this many times the slices of the first."""
J2K_SLICES = 40
"""Axial slices of each of the four JPEG 2000 studies; some have a further series."""
KNOWN_FILES = 20_000
HEADER_FILES = 1000
FEW_STUDIES, MANY_STUDIES, STUDY_FILES = 50, 200, 10
WINDOW = (40, 400)
"""Abdominal soft tissue: center, width in HU."""

TO_PNG = """
import sys
from pathlib import Path
import nibabel, numpy as np
from PIL import Image
source, target, level = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
center, width = float(sys.argv[4]), float(sys.argv[5])
for path in sorted(source.glob("*.nii")):
    volume = np.asanyarray(nibabel.load(path).dataobj)
    for index in range(volume.shape[2]):
        values = volume[:, :, index].T.astype(np.float32)
        picture = np.clip((values - (center - width / 2)) * (255 / width), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(target / f"{path.stem}_{index:04}.png", compress_level=level)
"""
"""What the peer's user writes: NIfTI -> one windowed 8-bit PNG a slice."""


class Inputs(NamedTuple):
    """Folders of DICOM files, and one to work in."""

    work: Path
    raw: Path
    """One study, one series of SLICES."""
    large: Path
    """One series of COPIES * SLICES."""
    j2k: Path
    """``1`` and ``2``, each with two studies of J2K_SLICES, JPEG 2000 lossless."""
    headers: Path
    few: Path
    many: Path
    known: Path


# --- the sides


def rrg(*arguments: object) -> Run:
    """One process of rrg."""
    return run([sys.executable, "-m", "rrg", *arguments])


def files_in(folder: Path) -> int:
    """How many images a folder of inputs holds."""
    return sum(1 for _ in folder.rglob("*.dcm"))


def part(*arguments: object) -> Run:
    """One process of `tests.bench.extract_parts`."""
    return run([sys.executable, "-m", "tests.bench.extract_parts", *arguments])


def extracted(inputs: Inputs, source: Path, *options: object) -> Run:
    """`rrg extract-slices` of a folder into a new store. RuntimeError when a file gave no slice."""
    slices = files_in(source)
    store, out = inputs.work / "store", inputs.work / "slices.jsonl"
    shutil.rmtree(store, ignore_errors=True)
    done = rrg("extract-slices", source, "--store", store, "--out", out, "--quiet", *options)
    if (found := out.read_bytes().count(b'{"schema":"rrg.slice/1"')) != slices:
        raise RuntimeError(f"rrg gave {found} slices, {slices} expected")
    return done


def pictured(inputs: Inputs, sources: Sequence[Path], level: int) -> Run:
    """dcm2niix, then nibabel and Pillow; one process of each per source, sources at the same time."""
    slices = sum(map(files_in, sources))
    nii, png = inputs.work / "nii", inputs.work / "png"
    for folder in (nii, png):
        shutil.rmtree(folder, ignore_errors=True)
    png.mkdir()

    def steps(source: Path) -> tuple[Run, Run]:
        target = nii / source.name
        target.mkdir(parents=True)
        first = run(["dcm2niix", "-z", "n", "-b", "n", "-f", "%j", "-o", target, source])
        return first, run([sys.executable, "-c", TO_PNG, target, png, level, *WINDOW])

    with ThreadPoolExecutor(len(sources)) as pool:
        done = list(pool.map(steps, sources))
    if (found := len(list(png.iterdir()))) != slices:
        raise RuntimeError(f"dcm2niix, nibabel and Pillow gave {found} pictures, {slices} expected")
    seconds = max(sum(seconds_of(each)) for each in done)
    return Run(seconds, max(each.peak_mb for pair in done for each in pair))


def loops(inputs: Inputs, what: str, folder: Path, who: Sequence[str], repeats: int) -> dict[str, list[Run]]:
    """The timing loops of a process; peak memory of each side from a process of its own."""
    out = inputs.work / "times.json"
    part(what, folder, repeats, *who, out)
    times = json.loads(out.read_bytes())
    peaks = {name: part(what, folder, 1, name, out).peak_mb for name in who}
    return {name: [Run(seconds, peaks[name]) for seconds in times[name]] for name in who}


# --- peers


def version(package: str) -> str:
    """``name version`` of an installed package."""
    return f"{package} {importlib.metadata.version(package)}"


def missing_peer() -> str | None:
    """Why dcm2niix + nibabel + PNG can not run here."""
    if shutil.which("dcm2niix") is None:
        return "dcm2niix is not installed: apt-get install dcm2niix"
    return next(
        (f"{name} is not installed" for name in ("nibabel", "PIL") if importlib.util.find_spec(name) is None), None
    )


def picture_peer(level: int) -> str:
    """Names and versions of the peers."""
    said = subprocess.run(["dcm2niix", "-v"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v\d[\w.]*", said)
    return f"dcm2niix {found[0] if found else '?'} + {version('nibabel')} + {version('pillow')} PNG level {level}"


# --- the claims


def study_claims(inputs: Inputs) -> dict[str, Claim]:
    """Study to training-ready slices."""
    names = {"study_raw": 6, "study_raw_fastest_png": 1, "study_j2k_2_workers": 6, "study_j2k_both_in_2_processes": 6}
    goals = {"study_raw": 5.0, "study_j2k_2_workers": 1.5}
    if (missing := missing_peer()) is not None:
        peer = "dcm2niix + nibabel + Pillow"
        return {name: Claim(unit="times faster", goal=goals.get(name), peer=peer, skipped=missing) for name in names}
    claims = {
        name: Claim(unit="times faster", goal=goals.get(name), peer=picture_peer(level))
        for name, level in names.items()
    }
    raw = in_turn(
        {
            "rrg": lambda: extracted(inputs, inputs.raw),
            "default": lambda: pictured(inputs, [inputs.raw], 6),
            "fastest": lambda: pictured(inputs, [inputs.raw], 1),
        }
    )
    halves = [inputs.j2k / "1", inputs.j2k / "2"]
    j2k = in_turn(
        {
            "rrg": lambda: extracted(inputs, inputs.j2k, "--workers", 2),
            "peer": lambda: pictured(inputs, [inputs.j2k], 6),
            "halves": lambda: pictured(inputs, halves, 6),
        }
    )
    one = f"{SLICES} slices 512 x 512, uncompressed"
    notes = (
        f"{one}; level 6 is Pillow's default",
        one,
        f"4 studies, {files_in(inputs.j2k)} slices; the peer as it is, one process",
        "the same; the peer started twice, on half of the studies each",
    )
    pairs = [(raw["rrg"], raw[peer]) for peer in ("default", "fastest")]
    pairs += [(j2k["rrg"], j2k[peer]) for peer in ("peer", "halves")]
    return {
        name: compared(*pair, replace(claim, note=note))
        for (name, claim), pair, note in zip(claims.items(), pairs, notes, strict=True)
    }


def read_claims(inputs: Inputs) -> dict[str, Claim]:
    """Uncompressed volume after the header pass, against moving the bytes."""
    found = loops(inputs, "read", inputs.raw, ("floor", "rrg", "pydicom", "simpleitk"), 2 * REPEATS)
    floor = Claim(
        unit="times the floor",
        goal=3.0,
        peer="floor: the same bytes read into one array whose memory is in place",
        lower_is_better=True,
    )
    beside = {"pydicom": version("pydicom"), "simpleitk": version("SimpleITK")}
    return {
        "volume_read": compared(found["rrg"], found["floor"], floor),
        **{
            f"volume_read_{name}": compared(found["rrg"], found[name], Claim(unit="times faster", peer=peer))
            for name, peer in beside.items()
        },
    }


def header_claims(inputs: Inputs) -> dict[str, Claim]:
    """The header pass on one core."""
    found = loops(inputs, "headers", inputs.headers, ("rrg", "pydicom"), REPEATS)
    rates = [HEADER_FILES / seconds for seconds in seconds_of(found["rrg"])]
    rate = Claim(unit="files/s", goal=1000.0, peer="none: an absolute figure", note="MR headers of 150 elements, warm")
    peer = Claim(unit="times faster", peer=f"{version('pydicom')} dcmread(stop_before_pixels)")
    return {"header_scan": measured(rates, rate), "header_scan_pydicom": compared(found["rrg"], found["pydicom"], peer)}


def index_claims(inputs: Inputs) -> dict[str, Claim]:
    """First and second `--index` run over many files."""
    index, out = inputs.work / "index", inputs.work / "index.jsonl"

    def indexed() -> Run:
        return rrg("extract-slices", inputs.known, "--index", index, "--out", out, "--quiet")

    def walked() -> Run:
        walk = "import os, sys\nfor f, _, n in os.walk(sys.argv[1]):\n  for x in n: os.stat(os.path.join(f, x))"
        return run([sys.executable, "-c", walk, inputs.known])

    first = indexed()
    known = in_turn({"rrg": indexed, "peer": walked})
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    second = Claim(
        unit="s",
        goal=2.0,
        peer=f"none: an absolute figure (beside: os.walk + os.stat of the same {KNOWN_FILES} files)",
        lower_is_better=True,
    )
    rate = Claim(
        unit="files/s", peer="none: whole process, one core", note=f"index of {size / KNOWN_FILES:.0f} bytes a file"
    )
    sides = compared(known["rrg"], known["peer"], second)
    return {
        "index_known_files": replace(
            measured(seconds_of(known["rrg"]), second), seconds=sides.seconds, peak_mb=sides.peak_mb
        ),
        "index_first": replace(measured([KNOWN_FILES / first.seconds], rate), peak_mb={"rrg": first.peak_mb}),
    }


def memory_claims(inputs: Inputs) -> tuple[dict[str, Claim], dict[str, list[Run]]]:
    """Peak memory of one large series, and of few and many studies; and their runs."""
    slices = COPIES * SLICES
    runs = in_turn(
        {
            "large": lambda: extracted(inputs, inputs.large),
            "few": lambda: extracted(inputs, inputs.few),
            "many": lambda: extracted(inputs, inputs.many),
        }
    )
    volume = slices * 512 * 512 * 2 / 1e6
    over = [each.peak_mb - volume for each in runs["large"]]
    growth = [b.peak_mb / a.peak_mb for a, b in zip(runs["few"], runs["many"], strict=True)]
    large = Claim(
        unit="MB over the volume",
        goal=300.0,
        peer="none: an absolute figure",
        lower_is_better=True,
        note=f"one series of {slices} slices, volume {volume:.0f} MB",
    )
    studies = Claim(
        unit="peak / peak",
        goal=1.1,
        peer=f"the same command on {FEW_STUDIES} studies",
        lower_is_better=True,
        note=f"{MANY_STUDIES} studies of {STUDY_FILES} small slices",
    )
    peaks = {name: max(each.peak_mb for each in found) for name, found in runs.items()}
    return {
        "memory_large_series": replace(measured(over, large), peak_mb={"rrg": peaks["large"]}),
        "memory_many_studies": replace(measured(growth, studies), peak_mb={"rrg": peaks["many"], "peer": peaks["few"]}),
    }, runs


# --- forecast


FILES, STUDIES = 100_000_000, 200_000
CITED = 5
"""Slices that the reports of a study point at. An assumption: count your own with `--only-referenced`."""
CONTEXT = 2


def usage(folder: Path) -> tuple[int, int]:
    """(bytes, files) below a folder."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(sizes), len(sizes)


def forecast(inputs: Inputs, claims: Mapping[str, Claim], runs: Mapping[str, Sequence[Run]]) -> list[list[str]]:
    """Time, disk and file count for FILES files of STUDIES studies, from the rates of this run. CPU, not storage."""
    few, many, large = (statistics.median(seconds_of(runs[name])) for name in ("few", "many", "large"))
    small = (many - few) / (MANY_STUDIES - FEW_STUDIES)  # a study of STUDY_FILES tiny slices: nearly all of it fixed
    extracted(inputs, inputs.raw)
    stored, files = usage(inputs.work / "store")
    raw = statistics.median(seconds_of([extracted(inputs, inputs.raw) for _ in range(3)]))
    slice_s = (large - raw) / ((COPIES - 1) * SLICES)
    rate = claims["index_first"].ratio or 0.0
    index_bytes = usage(inputs.work / "index")[0] / KNOWN_FILES
    known = (claims["index_known_files"].ratio or 0.0) / KNOWN_FILES
    cited = STUDIES * CITED * (2 * CONTEXT + 1)
    hour, tera = 3600.0, 1e12

    def row(what: str, seconds: float, size: float, count: float) -> list[str]:
        return [what, f"{seconds / hour:,.0f}", f"{seconds / hour / 32:,.1f}", f"{size / tera:,.2f}", f"{count:,.0f}"]

    each = f"{CITED} cited slices a study, context {CONTEXT}: {cited:,.0f} slices"
    return [
        ["step", "core hours", "hours on 32 cores", "TB written", "files written"],
        row("index, once", FILES / rate, FILES * index_bytes, 1),
        row("index, nothing new", FILES * known, 0, 0),
        row("extract every slice", FILES * slice_s + STUDIES * small, FILES * stored / SLICES, STUDIES * files),
        row(f"extract {each}", cited * slice_s + STUDIES * small, cited * stored / SLICES, STUDIES * files),
    ]


def basis() -> str:
    """What the forecast rests on."""
    return (
        f"forecast for {FILES:,} files (uncompressed CT, 512 x 512), {STUDIES:,} studies of one stored series each, "
        "from the rates of this run, warm:\nstorage has to keep up: 16 KB a file for the index, 0.53 MB a slice "
        f"to extract. Indexing runs in one process; extraction in shards."
    )


# --- the run


def make_inputs(work: Path) -> Inputs:
    """Make all inputs below `work`."""
    inputs = Inputs(work, *(work / name for name in Inputs._fields[1:]))
    size = ["--size", 512, "--modality", "ct", "--quiet"]
    rrg("phantom", "--out", work / "made", "--studies", 1, "--slices", SLICES, *size)
    (work / "made" / "dicom").rename(inputs.raw)
    part("large", inputs.raw, inputs.large, COPIES)
    for seed, half in enumerate(("1", "2")):
        made = work / f"j2k-{half}"
        options = ["--slices", J2K_SLICES, "--transfer-syntax", "j2k", "--seed", seed]
        rrg("phantom", "--out", made, "--studies", 2, *options, *size)
        inputs.j2k.mkdir(exist_ok=True)
        (made / "dicom").rename(inputs.j2k / half)
    part("small", inputs.headers, HEADER_FILES // STUDY_FILES, STUDY_FILES, 64)
    part("small", inputs.few, FEW_STUDIES, STUDY_FILES, 128)
    part("small", inputs.many, MANY_STUDIES, STUDY_FILES, 128)
    part("small", inputs.known, KNOWN_FILES // 100, 100, 8)
    return inputs


def main(groups: Sequence[str]) -> int:
    """Measure everything, or only some groups of claims; 1 when a goal is missed."""
    one_by_one = {"study": study_claims, "read": read_claims, "headers": header_claims, "index": index_claims}
    if unknown := {*groups} - {*one_by_one, "memory"}:
        sys.exit(f"no such groups: {', '.join(sorted(unknown))}; there are {', '.join(one_by_one)} and memory")
    everything = not groups
    expected: list[list[str]] = []
    claims: dict[str, Claim] = {}
    with tempfile.TemporaryDirectory(prefix="rrg-bench-") as folder:
        os.environ["RRG_KEY_FILE"] = str(Path(folder, "key"))
        inputs = make_inputs(Path(folder))
        for name, group in one_by_one.items():
            if everything or name in groups:
                claims |= group(inputs)
        if everything or "memory" in groups:
            memory, runs = memory_claims(inputs)
            claims |= memory
            if "index_first" in claims:
                expected = forecast(inputs, claims, runs)
    print(table(rows_of(claims)))
    if expected:
        print("", basis(), table(expected), sep="\n\n")
    if everything:
        path = write("extract", claims)
        rows = [dict(zip(expected[0], row, strict=True)) for row in expected[1:]]
        path.with_name("extract-forecast.json").write_text(json.dumps(rows, indent=1) + "\n")
    return int(any(claim.verdict == "MISSED" for claim in claims.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
