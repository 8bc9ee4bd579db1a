"""Stages on small phantoms, and what can befall them."""

import contextlib
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RRG = [sys.executable, "-m", "rrg"]
DATA = "--engine masks --masks demo/masks --labels demo/labels.json --store store"
STUDIES = 6
WAIT_SECONDS = 600


@dataclass(frozen=True)
class Stage:
    """A command on the files of the folder that `prepare` makes."""

    words: tuple[str, ...]
    out: str
    resumes: tuple[str, ...] = ("--resume",)


STAGES = {
    "extract-slices": Stage(("extract-slices", "demo/dicom", "--store", "new/store"), "out.jsonl"),
    "parse-reports": Stage(("parse-reports", "slices.jsonl", "--reports", "demo/reports"), "out.jsonl"),
    "segment": Stage(("segment", "reports.jsonl", *DATA.split()), "out.jsonl"),
    "synth-vqa": Stage(("synth-vqa", "masks.jsonl", "--store", "store"), "out.jsonl"),
    "synth-ground": Stage(("synth-ground", "masks.jsonl"), "out.jsonl"),
    "sort": Stage(("sort", "samples.jsonl"), "out.jsonl"),
    "pack": Stage(("pack", "samples.jsonl", "--store", "store"), "dataset"),
}
FAULTS = ("kill", "SIGTERM", "SIGUSR1", "full disk", "read-only folder", "two writers")
SIGNALS = {"kill": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGUSR1": signal.SIGUSR1}
CODES = {"kill": (-signal.SIGKILL,), "SIGTERM": (75,), "SIGUSR1": (75,)}


class Chaos:
    """A folder of inputs, and what each stage makes of them when nothing befalls it."""

    def __init__(self, folder: Path, key_file: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1", "RRG_QUIET": "1"}
        self._expected: dict[str, dict[str, str]] = {}
        self._seconds: dict[str, float] = {}
        self._number = 0

    def prepare(self) -> None:
        """Phantoms through all stages."""
        self._whole("phantom", "--out", "demo", "--studies", str(STUDIES), "--slices", "4", "--size", "48")
        self._whole("extract-slices", "demo/dicom", "--store", "store", "--out", "slices.jsonl")
        self._whole("parse-reports", "slices.jsonl", "--reports", "demo/reports", "--out", "reports.jsonl")
        self._whole("segment", "reports.jsonl", *DATA.split(), "--out", "masks.jsonl")
        self._whole("synth-ground", "masks.jsonl", "--out", "samples.jsonl")

    def hit(self, name: str, fault: str, rng: random.Random) -> bool:
        """Let a fault befall a stage, give the command again, compare. True when it was hit before it had ended."""
        expected = self._expect(name)
        self._number += 1
        place = self.folder / "hits" / str(self._number)
        place.mkdir(parents=True)
        target = place / STAGES[name].out
        try:
            broken = getattr(self, f"_{fault.replace(' ', '_').replace('-', '_')}", self._signal)(
                name, fault, place, rng
            )
            if target.exists():
                assert _digest(target) == expected["out"], f"{name}, {fault}: a torn output has its name"
            done = self._start(name, place, resume=True)
            _, said = done.communicate(timeout=WAIT_SECONDS)
            assert done.returncode in (0, 3), f"{name} after {fault}: {said.decode()[-500:]}"
            assert self._made(name, place) == expected, f"{name}, {fault}: other bytes than the unbroken run"
            left = [path.name for path in place.rglob(".*.tmp")]
            assert not left, f"{name}, {fault}: left behind {left}"
            return bool(broken)
        finally:
            shutil.rmtree(place)

    def _expect(self, name: str) -> dict[str, str]:
        """Checksums of an unbroken run."""
        if name not in self._expected:
            place = self.folder / "whole" / name
            place.mkdir(parents=True)
            begin = time.monotonic()
            done = self._start(name, place, resume=False)
            _, said = done.communicate(timeout=WAIT_SECONDS)
            assert done.returncode in (0, 3), said.decode()
            self._seconds[name] = time.monotonic() - begin
            self._expected[name] = self._made(name, place)
        return self._expected[name]

    def _made(self, name: str, place: Path) -> dict[str, str]:
        found = {"out": _digest(place / STAGES[name].out)}
        if (place / "store").exists():
            found["store"] = _digest(place / "store")
        return found

    def _start(self, name: str, place: Path, *, resume: bool, limit: int | None = None) -> "subprocess.Popen[bytes]":
        stage = STAGES[name]
        words = [word.replace("new/", f"{place}/") for word in stage.words]

        def before() -> None:
            if limit is not None:  # a write beyond it fails, as on a full disk
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.Popen(
            [*RRG, *words, "--out", str(place / stage.out), *(stage.resumes if resume else ())],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=before,
        )

    def _whole(self, *words: str) -> None:
        subprocess.run([*RRG, *words], cwd=self.folder, env=self._environment, check=True, capture_output=True)

    # --- faults; each returns True when the stage did not end by itself

    def _signal(self, name: str, fault: str, place: Path, rng: random.Random) -> bool:
        process = self._start(name, place, resume=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.2, 1.0) * self._seconds[name])
        if process.poll() is None:
            os.kill(process.pid, SIGNALS[fault])
        _, said = process.communicate(timeout=WAIT_SECONDS)
        _check_said(name, fault, said)
        early = (-SIGNALS[fault],)  # before Python knew the signal: nothing was begun
        assert process.returncode in (0, 3, *CODES[fault], *early), f"{name}, {fault}: {process.returncode}"
        return process.returncode not in (0, 3)

    def _full_disk(self, name: str, fault: str, place: Path, rng: random.Random) -> bool:
        limit = rng.randrange(200, 30_000)
        process = self._start(name, place, resume=False, limit=limit)
        _, said = process.communicate(timeout=WAIT_SECONDS)
        _check_said(name, fault, said)
        assert process.returncode in (0, 1, 3), f"{name}, {fault}: {process.returncode} {said.decode()[-300:]}"
        assert process.returncode != 1 or b"E_IO" in said, f"{name}, {fault}: {said.decode()[-300:]}"
        return process.returncode == 1

    def _read_only_folder(self, name: str, fault: str, place: Path, rng: random.Random) -> bool:
        with _read_only(place) as works:
            if not works:
                return False
            process = self._start(name, place, resume=False)
            _, said = process.communicate(timeout=WAIT_SECONDS)
        _check_said(name, fault, said)
        assert process.returncode in (1, 2), f"{name}, {fault}: {process.returncode}"
        assert b"Read-only" in said or b"Permission" in said, said.decode()[-300:]
        return True

    def _two_writers(self, name: str, fault: str, place: Path, rng: random.Random) -> bool:
        first = self._start(name, place, resume=True)
        time.sleep(rng.uniform(0, 0.5) * self._seconds[name])
        second = self._start(name, place, resume=True)
        codes = []
        for process in (first, second):
            _, said = process.communicate(timeout=WAIT_SECONDS)
            _check_said(name, fault, said)
            codes.append(process.returncode)
            assert process.returncode in (0, 3) or b"E_LOCKED" in said, f"{name}, {fault}: {said.decode()[-300:]}"
        assert any(code in (0, 3) for code in codes), codes
        return 1 in codes


def _check_said(name: str, fault: str, said: bytes) -> None:
    assert b"Traceback" not in said, f"{name}, {fault}: {said.decode()[-1500:]}"


@contextlib.contextmanager
def _read_only(place: Path) -> Iterator[bool]:
    """Nobody can write in a folder; False where that can not be had. Root is held by a mount only."""
    if os.geteuid() != 0:
        place.chmod(0o555)
        try:
            yield True
        finally:
            place.chmod(0o755)
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(place)], check=True)


def _digest(path: Path) -> str:
    """Of a file, or of names and contents of a folder; locks aside."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file()):
        if file.name != ".lock":
            digest.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes())
    return digest.hexdigest()
