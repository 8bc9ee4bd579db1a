"""What works on this machine: one finding for each part, and what to do where it does not."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal, NamedTuple

State = Literal["ok", "absent", "broken"]
LEAST_FREE_BYTES = 20e9
"""A CT study takes about 0.3 GB in a store."""
LEAST_MEMORY_BYTES = 8e9
LEAST_SHARED_BYTES = 256e6
"""Of /dev/shm: containers have 64 MB, which loader workers of torch fill."""
PYTHON = (3, 11)

PACKAGES = {
    "pydicom": "extract-slices",
    "SimpleITK": "extract-slices, segment",
    "zarr": "stores of others",
    "torch": "train, infer, segment",
    "transformers": "train, infer, export",
    "peft": "train --peft lora",
    "timm": "train --model llava: with a network of timm",
    "gguf": "export --to gguf",
    "llama-cpp-python": "infer with GGUF, --engine llm",
    "totalsegmentator": "segment --engine totalsegmentator",
    "sacrebleu": "score",
    "pycocotools": "pack --from coco, score",
}
"""Package -> what needs it. All of them come with rrg."""
DECODERS = {
    "RLE": ("pylibjpeg-rle", "rle"),
    "JPEG, JPEG-LS, JPEG 2000": ("python-gdcm", "gdcm"),
    "JPEG 2000, HTJ2K": ("pylibjpeg-openjpeg", "openjpeg"),
    "JPEG, JPEG-LS, HTJ2K, deflated": ("imagecodecs", "imagecodecs"),
}
"""What it decodes -> (package, module)."""
PROGRAMS = {
    "sbatch": "pipeline --slurm: files are written without it, and submitted where it is",
    "jq": "examples/pipe.sh",
    "chromium": "the test of the page",
    "dcm2niix": "make bench-extract",
}


class Finding(NamedTuple):
    """One part of the machine."""

    part: str
    state: State
    said: str
    remedy: str = ""


def findings(
    folder: Path, weights: Path | None = None, llm: Path | None = None, key_file: Path | None = None
) -> Iterator[Finding]:
    """All parts. `folder`: where the work will be; `weights` of TotalSegmentator, `llm` a GGUF file, where given."""
    yield _python()
    yield from _packages()
    yield _torch_pair()
    yield from _decoders()
    yield from _engines(weights, llm)
    yield _gpu()
    yield _memory()
    yield _shared_memory()
    yield _disk(folder)
    yield _key(key_file)
    yield from _programs()
    yield _slurm()


def _python() -> Finding:
    said = f"{sys.version.split()[0]}, {os.cpu_count()} processors"
    if sys.version_info < PYTHON:
        return Finding("python", "broken", said, "install Python 3.11 or newer")
    return Finding("python", "ok", said)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _packages() -> Iterator[Finding]:
    for package, users in PACKAGES.items():
        found = _version(package)
        if found is None:
            yield Finding(package, "broken", f"not installed; needed by {users}", f"pip install {package}")
        else:
            yield Finding(package, "ok", found)


def _torch_pair() -> Finding:
    """Each torchvision is built for one torch; another one fails at import, or at the first operation."""
    torch, vision = _version("torch"), _version("torchvision")
    if torch is None or vision is None:
        missing = "torch" if torch is None else "torchvision"
        return Finding("torch pair", "broken", f"{missing} is not installed", f"pip install {missing}")
    needed = next(
        (found[1] for each in requires("torchvision") or () if (found := re.match(r"torch\s*\(?==\s*([\d.]+)", each))),
        None,
    )
    said = f"torch {torch}, torchvision {vision}"
    if needed is not None and needed != torch.partition("+")[0]:
        return Finding("torch pair", "broken", f"{said}, built for torch {needed}", f"pip install torch=={needed}")
    builds = {each.partition("+")[2] for each in (torch, vision)}
    if len(builds) > 1:
        return Finding("torch pair", "broken", f"{said}: builds differ", "install both from the same package index")
    return Finding("torch pair", "ok", said)


def _decoders() -> Iterator[Finding]:
    for what, (package, module) in DECODERS.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            said = f"{package}: {str(error).splitlines()[0] if str(error) else 'not installed'}"
            yield Finding(f"decoder {what}", "broken", said, f"pip install {package}")
        else:
            yield Finding(f"decoder {what}", "ok", f"{package} {_version(package)}")


def _engines(weights: Path | None, llm: Path | None) -> Iterator[Finding]:
    yield Finding("engine rules", "ok", "parse-reports, synth-vqa, synth-ground: no weights needed")
    yield Finding("engine threshold, masks", "ok", "segment: no weights needed")
    yield _totalsegmentator(weights)
    if llm is None:
        remedy = "give doctor --llm FILE.gguf; parse-reports takes the same file"
        yield Finding("engine llm", "absent", "no model was given", remedy)
    else:
        yield _gguf(llm)


def _totalsegmentator(weights: Path | None) -> Finding:
    part = "engine totalsegmentator"
    if _version("totalsegmentator") is None:
        return Finding(part, "broken", "not installed", "pip install totalsegmentator")
    if weights is None:
        return Finding(part, "absent", "no weights were given", "give doctor --weights FOLDER; segment takes the same")
    from rrg.totalsegmentator_tasks import Work, networks_of
    from rrg.totalsegmentator_weights import defects

    whole: list[str] = []
    wrong: list[str] = []
    for task, fast in (("total", False), ("total", True), ("total_mr", False), ("total_mr", True)):
        found = [defect for network in networks_of(Work(task=task, fast=fast)) for defect in defects(weights, network)]
        if found:
            wrong += found[:1]
        else:
            whole.append(f"{task}{' --fast' if fast else ''}")
    if not whole:
        return Finding(part, "broken", wrong[0], "unpack the weights into that folder")
    return Finding(part, "ok", f"weights of {', '.join(whole)}")


def _gguf(path: Path) -> Finding:
    part = "engine llm"
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        return Finding(part, "broken", f"{path}: {error.strerror}", "give a GGUF file")
    if magic != b"GGUF":
        return Finding(part, "broken", f"{path} is no GGUF file", "give a file made for llama.cpp")
    return Finding(part, "ok", f"{path.name}, {path.stat().st_size / 1e9:.1f} GB")


def _gpu() -> Finding:
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        cards = done.stdout.strip().splitlines() if done.returncode == 0 else []
    except (OSError, subprocess.TimeoutExpired):
        cards = []
    if not cards:
        return Finding("GPU", "absent", "no NVIDIA card; everything runs on the CPU", "none needed for the tiny family")
    build = (_version("torch") or "").partition("+")[2]
    if build.startswith("cpu"):
        remedy = "install torch and torchvision built for CUDA"
        return Finding("GPU", "broken", f"{cards[0]}, but torch is built for the CPU", remedy)
    return Finding("GPU", "ok", "; ".join(cards))


def memory_bytes() -> int:
    """Memory that this process may use: what is available, or less where a control group limits it."""
    available = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = 1024 * int(line.split()[1])
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = Path(name).read_text().strip()
        except OSError:
            continue
        if limit.isdigit():
            available = min(available, int(limit))
    return available


def _memory() -> Finding:
    try:
        free = memory_bytes()
    except OSError:
        return Finding("memory", "absent", "the system does not tell", "")
    said = f"{free / 1e9:.1f} GB available"
    if free < LEAST_MEMORY_BYTES:
        return Finding("memory", "broken", said, "free some, or keep to small volumes (segment --memory-limit)")
    return Finding("memory", "ok", said)


def _shared_memory() -> Finding:
    try:
        size = shutil.disk_usage("/dev/shm").total
    except OSError:
        return Finding("shared memory", "absent", "no /dev/shm", "")
    said = f"{size / 1e6:,.0f} MB"
    if size < LEAST_SHARED_BYTES:
        return Finding("shared memory", "broken", said, "start the container with --shm-size 1g")
    return Finding("shared memory", "ok", said)


def _disk(folder: Path) -> Finding:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", "broken", f"{folder}: {error.strerror}", "give a folder that is there")
    said = f"{free / 1e9:,.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", "broken", f"{folder} can not be written", "give another folder")
    if free < LEAST_FREE_BYTES:
        return Finding("disk", "broken", said, "free some: a CT study takes about 0.3 GB")
    return Finding("disk", "ok", said)


def _key(key_file: Path | None) -> Finding:
    from rrg.errors import UsageError
    from rrg.keys import default_key_file, load_key

    path = key_file or default_key_file()
    if not path.exists():
        return Finding("key file", "absent", f"{path} is not there", "the first command that needs one makes it")
    try:
        load_key(path, create=False)
    except UsageError as error:
        return Finding("key file", "broken", str(error), "keep one secret for all runs, mode 0600")
    return Finding("key file", "ok", str(path))


def _programs() -> Iterator[Finding]:
    for program, use in PROGRAMS.items():
        where = shutil.which(program)
        yield Finding(program, "ok" if where else "absent", where or "not installed", "" if where else f"for {use}")


def _slurm() -> Finding:
    if shutil.which("sinfo") is None:
        return Finding("Slurm", "absent", "no sinfo", "run on one machine: rrg pipeline RECIPE")
    try:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%P %D %T"], capture_output=True, text=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("Slurm", "broken", "sinfo does not answer", "ask the operators of the cluster")
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["sinfo failed"])[-1][:120]
        return Finding("Slurm", "absent", f"installed, but no controller answers: {said}", "log in to a cluster node")
    return Finding("Slurm", "ok", "; ".join(done.stdout.split("\n")[:3]).strip("; "))
