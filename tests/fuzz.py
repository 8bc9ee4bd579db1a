"""A mutation fuzzer of `rrg extract-slices`: whatever the bytes, it ends in documented codes and harms nothing.

    python -m tests.fuzz --minutes 10 --seed 1 --keep fuzz-out

Many mutants lie in one folder, because a process costs more than a file. A batch that breaks a rule is cut down to the
file that does it; file and story go to --keep. ``--batch SEED/NUMBER`` runs one batch again.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rrg import store
from rrg.codec import decode
from rrg.errors import RecordError
from rrg.keys import pseudonym
from rrg.records import KINDS, End, Error, Record, Run, Slice
from tests.fuzz_mutations import Mutant, change_disc, mutate, renamed
from tests.fuzz_seeds import Corpus, make_corpus, real_files
from tests.made_dicom import image, save

CODES = frozenset(
    "E_NOT_DICOM E_MALFORMED E_TRUNCATED E_TOO_LARGE E_CODEC E_DECODER_CRASH E_RESCALE E_GEOMETRY E_MIXED_PATIENT "  # noqa: SIM905
    "E_NOT_IMAGE E_DUPLICATE E_PATH E_ARCHIVE".split()
)
"""Codes that a file may be refused with."""
EXITS = (0, 1, 3)
FILES_PER_BATCH = 60
MAX_MB = 200
ADDRESS_BYTES = 6 << 30
"""Hard limit of address space, so that a process that breaks the rule does not break the machine."""
SEVERAL = 5
"""Culprits that are looked for in one batch."""
CANARY = b"Mustermann"
"""In the names of patients and of the files."""
SECRETS = re.compile(rb"Mustermann|geheim|A-0815|P-4711|1\.2\.826\.0\.1\.3680043\.8\.498\.|2\.25\.\d{20}")
"""What stands in the seeds and must not be told: names, texts, numbers, UIDs."""
SOP, STUDY, SERIES = 0x00080018, 0x0020000D, 0x0020000E
KEY = bytes(range(32))
OUTSIDER = "P-OUTSIDE"
"""Patient ID of a good file beside the input that nothing may read."""
ESCAPED = Path("/tmp/rrg-escaped")
STORED = re.compile(r"series/[0-9a-f]+(/zarr\.json|/c/0/0/0|/c/0/0|/c/0|/c|)|series|private(/.*)?|")
"""Paths that a store may hold."""


class Given(NamedTuple):
    """One file of a batch."""

    path: str
    """Relative to the input folder."""
    data: bytes
    story: str
    """Seed and changes."""


class Limits(NamedTuple):
    """What a run over a batch may take."""

    wall_seconds: float = 180.0
    """A decoder that loops is stopped after 65 s."""
    memory_bytes: int = 800 << 20
    """Of one process: a stack of `MAX_MB` as its files have it and as it is stored, and 300 MB, and some for Python."""
    env: tuple[tuple[str, str], ...] = ()
    """More environment of the command (tests plant bugs with it)."""


LIMITS = Limits()


class Way(NamedTuple):
    """How the files of a batch are given to the command."""

    indexed: bool
    """First an index (twice), then everything of it; else at once."""
    workers: int
    resample: bool
    phi_report: bool
    dates: str


@dataclasses.dataclass(frozen=True)
class Batch:
    """Files, and how they are read."""

    name: str
    files: tuple[Given, ...]
    way: Way


class Problem(NamedTuple):
    """A broken rule."""

    kind: str
    """Short and stable: problems of one kind and place are reported once."""
    text: str
    file: str = ""
    """Which file did it, where the records tell."""


class Measured(NamedTuple):
    """What a run over a batch took and gave."""

    problems: tuple[Problem, ...]
    codes: Counter[str]
    peak_bytes: int
    seconds: float


class Found(NamedTuple):
    """A problem and the fewest files that show it."""

    problem: Problem
    batch: Batch


# --- making


def make_batch(corpus: Corpus, seed: int, number: int, files: int = FILES_PER_BATCH) -> Batch:
    """The same bytes for the same corpus, seed and number."""
    rng = random.Random(f"rrg fuzz {seed}/{number}")
    weights = [each.weight for each in corpus.seeds]
    datas = [each.data for each in corpus.seeds]
    made: list[Given] = []
    for place in range(files):
        chosen = rng.choices(corpus.seeds, weights)[0]
        good, kind = chosen.data, rng.choices(("own study", "shared study", "as it is"), (10, 4, 1))[0]
        if kind != "as it is":
            good = renamed(good, place, (SOP,))
            good = renamed(good, place if kind == "own study" else 1000 + rng.randrange(5), (STUDY, SERIES))
        changed = mutate(rng, good, datas)
        suffix = ".nii" if chosen.name.startswith("nifti") else ""
        name = f"{CANARY.decode()} {place:03d}{suffix}"
        made.append(Given(name, changed.data, f"{chosen.name}: {', '.join(changed.story)}"))
    if rng.random() < 0.5:
        disc = Mutant(corpus.disc.directory, ())
        for _ in range(rng.choice((1, 1, 2, 4))):
            away = rng.random() < 0.6
            new = Mutant(change_disc(rng, disc.data), ("change_disc",)) if away else mutate(rng, disc.data, times=1)
            disc = Mutant(new.data, disc.story + new.story)
        made.append(Given("disc/DICOMDIR", disc.data, f"DICOMDIR: {', '.join(disc.story)}"))
        made += [Given(f"disc/{path}", data, "of the disc") for path, data in corpus.disc.files.items()]
    dates = rng.choice(("shift", "keep", "year"))
    way = Way(rng.random() < 0.3, 2 if rng.random() < 0.15 else 1, rng.random() < 0.2, rng.random() < 0.2, dates)
    return Batch(f"{seed}/{number}", tuple(made), way)


# --- running


def run_batch(batch: Batch, limits: Limits = LIMITS) -> Measured:
    """Extract the files of a batch in a place of their own and look for broken rules."""
    with tempfile.TemporaryDirectory(prefix="rrg-fuzz-") as place:
        root = Path(place)
        _lay_out(root, batch)
        before = _snapshot(root)
        start = time.monotonic()
        run = _Runs(root, limits)
        output = _commands(batch, run)
        problems = [*run.problems]
        if not problems:
            problems += _check_output(root, batch, output)
        problems += _check_places(root, before)
        codes = Counter(each.code for each in _records(output, []) if isinstance(each, Error))
        codes["slice"] = output.count(b'{"schema":"rrg.slice/1"')
        return Measured(tuple(problems), codes, run.peak, time.monotonic() - start)


def _lay_out(root: Path, batch: Batch) -> None:
    for name in ("in", "out", "home", "tmp", "cwd", "outside"):
        (root / name).mkdir()
    (root / "key").write_bytes(KEY)
    (root / "key").chmod(0o600)
    save(image(1, PatientID=OUTSIDER, StudyInstanceUID="1.2.3.4"), root / "outside" / "SECRET")
    for each in batch.files:
        path = root / "in" / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.data)
    if (root / "in" / "disc").is_dir():
        (root / "in" / "disc" / "LINKED").symlink_to(root / "outside")
        (root / "in" / "disc" / "LINK").symlink_to(root / "outside" / "SECRET")
        (root / "in" / "disc").rename(root / "disc")


def _commands(batch: Batch, run: "_Runs") -> bytes:
    """Standard output of the run that extracts."""
    inputs = [run.root / "in", *([run.root / "disc" / "DICOMDIR"] if (run.root / "disc").is_dir() else [])]
    options = ["--store", run.root / "out" / "store", "--max-mb", MAX_MB, "--workers", batch.way.workers]
    options += ["--dates", batch.way.dates]
    options += ["--resample"] if batch.way.resample else []
    options += ["--phi-report", run.root / "out" / "phi.md"] if batch.way.phi_report else []
    if not batch.way.indexed:
        return run.rrg(*inputs, *options)
    index = run.root / "out" / "index"
    first = run.rrg(*inputs, "--index", index)
    second = run.rrg(*inputs, "--index", index)
    if not run.problems and second != first:
        run.problems.append(Problem("index", "the second run over the same files tells something else"))
    return run.rrg("--index", index, "--all", *options)


class _Runs:
    """Runs the command below one folder, with limits, and remembers what broke a rule."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits, self.peak = root, limits, 0
        self.problems: list[Problem] = []
        own = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH")}
        own |= {"RRG_KEY_FILE": str(root / "key"), "HOME": str(root / "home"), "TMPDIR": str(root / "tmp")}
        own |= {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.env = own | dict(limits.env)

    def rrg(self, *arguments: object) -> bytes:
        """Standard output; nothing when an earlier run broke a rule."""
        if self.problems:
            return b""
        command = [sys.executable, "-m", "rrg", "extract-slices", *map(str, arguments)]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self.env,
                cwd=self.root / "cwd",
                start_new_session=True,
            )
            code = self._watch(process)
            out.seek(0)
            err.seek(0)
            stdout, stderr = out.read(), err.read()
        self._check(code, stdout, stderr)
        return stdout

    def _watch(self, process: "subprocess.Popen[bytes]") -> int | None:
        """Exit code; None when it had to be stopped. Sees every process below it."""
        resource.prlimit(process.pid, resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
        family: set[int] = set()
        end, pause, hang = time.monotonic() + self.limits.wall_seconds, 0.01, False
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                held = (
                    usage.ru_maxrss << 10
                )  # its own, and of the children it waited for; inherited from us at its start
                self.peak = max(self.peak, held if held > _peak_of(os.getpid()) else 0)
                break
            family |= _below(process.pid)
            self.peak = max([self.peak, *map(_peak_below, (process.pid, *family))])
            if time.monotonic() > end and not hang:
                hang = True
                process.kill()
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        process.returncode = os.waitstatus_to_exitcode(status)
        left = _left_over(family)
        if hang:
            self.problems.append(Problem("hang", f"not done after {self.limits.wall_seconds:.0f} s"))
            return None
        if left:
            self.problems.append(Problem("left over", f"{left} processes outlive the command"))
        if self.peak > self.limits.memory_bytes:
            self.problems.append(Problem("memory", f"a process held {self.peak >> 20} MiB"))
        return process.returncode

    def _check(self, code: int | None, stdout: bytes, stderr: bytes) -> None:
        talk = stderr.decode(errors="replace")
        if "Traceback" in talk or "Fatal Python error" in talk:
            frames = re.findall(r'File ".*?/rrg/(\S+)", line (\d+), in (\S+)', talk)
            place = " < ".join(f"rrg/{file}:{line} {name}" for file, line, name in frames[::-1][:3])
            self.problems.append(Problem(f"traceback at {place}", talk[-3000:]))
        elif code is not None and code not in EXITS:
            self.problems.append(Problem(f"exit code {code}", talk[-2000:]))
        elif code is not None and (odd := [x for x in talk.splitlines() if not x.startswith("rrg extract-slices: ")]):
            self.problems.append(Problem(f"talk {odd[0][:40]}", "\n".join(odd[:20])))
        if secret := SECRETS.search(stderr):
            self.problems.append(Problem("secret on stderr", _around(stderr, secret)))
        if secret := SECRETS.search(stdout):
            self.problems.append(Problem("secret on stdout", _around(stdout, secret)))


def _around(data: bytes, found: "re.Match[bytes]") -> str:
    return data[max(0, found.start() - 300) : found.end() + 300].decode(errors="replace")


def _below(pid: int) -> set[int]:
    """Every process that descends from one."""
    found: set[int] = set()
    with contextlib.suppress(OSError, ValueError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found |= {child} | _below(child)
    return found


def _peak_below(pid: int) -> int:
    """As `_peak_of`; 0 for a process that has not begun its own program yet: it still holds ours."""
    return 0 if _command_line(pid) == _command_line(os.getpid()) else _peak_of(pid)


def _peak_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def _left_over(family: set[int]) -> int:
    """How many are still there 2 s after their parent is gone; they are ended."""
    end = time.monotonic() + 2
    while (alive := {pid for pid in family if _is_alive(pid)}) and time.monotonic() < end:
        time.sleep(0.02)
    for pid in alive:
        with contextlib.suppress(OSError):
            os.kill(pid, 9)
    return len(alive)


def _is_alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX" and b"rrg" in _command_line(pid)


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


# --- checking


def _snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything but the output folder."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not name.startswith("out/"):
            state = path.lstat()
            held = path.read_bytes() if path.is_file() else b""
            changed = state.st_mtime_ns if name != "tmp" else 0  # a temporary file may come and go
            found[name] = (state.st_mode, state.st_size if held else 0, changed, hashlib.sha256(held).digest())
    return found


def _check_places(root: Path, before: dict[str, tuple[object, ...]]) -> Iterator[Problem]:
    after = _snapshot(root)
    changed = sorted({name for name, _ in set(before.items()) ^ set(after.items())} - {"out"})
    if changed:
        yield Problem("outside", f"created, changed or removed: {changed[:10]}")
    if ESCAPED.exists() or ESCAPED.is_symlink():
        yield Problem("outside", f"{ESCAPED} was created")
    held = root / "out" / "store"
    for path in sorted(held.rglob("*")):
        name = path.relative_to(held).as_posix()
        if not STORED.fullmatch(name) or ".tmp" in name:
            yield Problem("store", f"holds {name}")
        elif path.name == "zarr.json" and (secret := SECRETS.search(path.read_bytes())):  # pixels may be any bytes
            yield Problem("secret in the store", f"{secret[0]!r} in {name}")
    report = root / "out" / "phi.md"
    if report.exists() and (secret := SECRETS.search(report.read_bytes())):
        yield Problem("secret in the PHI report", repr(secret[0]))


def _records(output: bytes, problems: list[Problem]) -> list[Record]:
    found: list[Record] = []
    for line in output.splitlines():
        try:
            kind = KINDS[json.loads(line)["schema"]]
            found.append(decode(line, kind))
        except (ValueError, KeyError, TypeError, RecordError) as error:
            problems.append(Problem("record", f"{type(error).__name__} {error}: {line[:600]!r}"))
    return found


def _check_output(root: Path, batch: Batch, output: bytes) -> list[Problem]:
    """The records are valid and whole, their counts true, their pixels readable, and no file is forgotten."""
    problems: list[Problem] = []
    records = _records(output, problems)
    if len(records) < 2 or not isinstance(records[0], Run) or not isinstance(records[-1], End):
        return [
            *problems,
            Problem("stream", f"does not start with a run and end with an end record: {output[-300:]!r}"),
        ]
    slices = [each for each in records if isinstance(each, Slice)]
    errors = [each for each in records if isinstance(each, Error)]
    known = _Known(root / "out" / "store")
    for error in errors:
        who = known.rejected.get(error.source, "")
        if error.code not in CODES:
            problems.append(Problem(f"code {error.code}", error.message, who))
        if re.search(r"\n|\bNone\b", error.message) or not 10 <= len(error.message) <= 300:
            problems.append(Problem("message", repr(error.message), who))
        if not who:
            problems.append(Problem("source", f"{error.source} of {error.code} stands in no private map"))
    for slice_ in slices:
        problems += _check_pixels(root / "out" / "store", slice_, known.slices.get(slice_.id, ""))
    problems += _check_counts(records[-1], records, known)
    seen = known.names
    for each in batch.files:
        if not each.path.startswith("disc/") and not any(name.split("\0")[0] == each.path for name in seen):
            problems.append(Problem("forgotten", "neither a slice nor an error record", each.path))
    if pseudonym(KEY, "patient", OUTSIDER) in {slice_.patient for slice_ in slices}:
        problems.append(Problem("outside", "a file beside the input was read"))
    return problems


def _check_pixels(folder: Path, slice_: Slice, who: str) -> Iterator[Problem]:
    try:
        pixels = store.read(folder, slice_.pixels)
    except RecordError as error:
        yield Problem("pixels", f"{slice_.pixels}: {error.message}", who)
        return
    if pixels.shape != (slice_.rows, slice_.columns) or pixels.dtype.name != slice_.dtype:
        yield Problem("pixels", f"{pixels.shape} {pixels.dtype}, record: {slice_.rows}, {slice_.columns}", who)
    if store.sha256_pixels(pixels) != slice_.sha256:
        yield Problem("pixels", f"{slice_.pixels} has another hash than its record", who)


def _check_counts(end: End, records: Sequence[Record], known: "_Known") -> Iterator[Problem]:
    true = Counter(
        f"error.{each.code}" if isinstance(each, Error) else each.schema[4:].partition("/")[0]
        for each in records
        if not isinstance(each, Run | End)
    )
    told = Counter({name: n for name, n in end.counts.items() if name != "file"})
    if told != true:
        yield Problem("counts", f"end record {dict(told)}, stream {dict(true)}")
    if len(known.slices) != true["slice"]:
        yield Problem("counts", f"{true['slice']} slices, {len(known.slices)} in the private map")
    places = Counter(each.pixels for each in records if isinstance(each, Slice))
    if twice := [ref for ref, n in places.items() if n > 1]:
        yield Problem("counts", f"{len(twice)} places of the store stand for several slices")


class _Known:
    """What the private map of a store says."""

    def __init__(self, folder: Path) -> None:
        self.rejected: dict[str, str] = {}
        self.slices: dict[str, str] = {}
        for path in sorted((folder / "private").rglob("*.json")):
            body = json.loads(path.read_bytes())
            self.rejected |= body.get("rejected") or {}
            for series in (body.get("series") or {}).values():
                self.slices |= {id_: each["file"] for id_, each in series["slices"].items()}

    @property
    def names(self) -> set[str]:
        """Files that were heard of; of a member, its archive."""
        found = {*self.rejected.values(), *self.slices.values()}
        return found | {name.split("/")[0] for name in found}


# --- cutting down


def culprits(batch: Batch, measured: Measured, limits: Limits = LIMITS) -> Iterator[Found]:
    """For each problem of a batch the fewest files found that show it; one problem hides others, so it runs again."""
    files = batch.files
    for _ in range(SEVERAL):
        if not measured.problems:
            return
        problem = measured.problems[0]
        small = _smallest(dataclasses.replace(batch, files=files), problem, limits)
        yield Found(problem, small)
        gone = {each.path for each in small.files}
        files = tuple(each for each in files if each.path not in gone)
        if not files:
            return
        measured = run_batch(dataclasses.replace(batch, files=files), limits)


def _smallest(batch: Batch, problem: Problem, limits: Limits) -> Batch:
    """Halve the files as long as the problem stays (delta debugging, coarse)."""

    def shows(files: Sequence[Given]) -> bool:
        measured = run_batch(dataclasses.replace(batch, files=tuple(files)), limits)
        return any(each.kind == problem.kind for each in measured.problems)

    files = list(batch.files)
    if problem.file and shows(own := [each for each in files if each.path == problem.file.split("/")[0]]):
        return dataclasses.replace(batch, files=tuple(own))
    parts = 2
    while len(files) > 1:
        size = -(-len(files) // parts)
        pieces = [files[at : at + size] for at in range(0, len(files), size)]
        smaller = next((piece for piece in pieces if shows(piece)), None)
        if smaller is not None:
            files, parts = smaller, 2
            continue
        rests = [[each for each in files if each not in piece] for piece in pieces] if parts > 2 else []
        rest = next((rest for rest in rests if shows(rest)), None)
        if rest is not None:
            files, parts = rest, max(parts - 1, 2)
        elif parts >= len(files) or parts >= 8:
            break
        else:
            parts = min(len(files), parts * 2)
    return dataclasses.replace(batch, files=tuple(files))


def keep(found: Found, folder: Path) -> Path:
    """Write the files that show a problem, and what is known about it."""
    digest = hashlib.sha256(found.problem.kind.encode()).hexdigest()[:8]
    place = folder / f"{found.batch.name.replace('/', '-')}-{digest}"
    shutil.rmtree(place, ignore_errors=True)
    for each in found.batch.files:
        path = place / "in" / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.data)
    story = [f"{each.path}: {each.story}" for each in found.batch.files]
    text = [found.problem.kind, f"batch {found.batch.name}, {found.batch.way}", *story, "", found.problem.text]
    (place / "problem.txt").write_text("\n".join(text) + "\n", errors="backslashreplace")
    return place


# --- for people


class Tally(NamedTuple):
    """What many batches came to."""

    found: tuple[Found, ...]
    """One per kind of problem."""
    codes: Counter[str]
    """Error records by code, and ``slice``."""
    mutants: int


def fuzz(
    corpus: Corpus,
    batches: Iterable[tuple[int, int]],
    folder: Path,
    *,
    files: int = FILES_PER_BATCH,
    limits: Limits = LIMITS,
) -> Tally:
    """Run batches (seed, number), tell how it goes on stderr, keep in `folder` what breaks a rule."""
    codes: Counter[str] = Counter()
    again: Counter[str] = Counter()
    found: dict[str, Found] = {}
    peak, mutants, start, slowest = 0, 0, time.monotonic(), 0.0
    for seed, number in batches:
        batch = make_batch(corpus, seed, number, files)
        measured = run_batch(batch, limits)
        codes += measured.codes
        mutants += len(batch.files)
        peak, slowest = max(peak, measured.peak_bytes), max(slowest, measured.seconds)
        again.update(each.kind for each in measured.problems if each.kind in found)
        new = tuple(each for each in measured.problems if each.kind not in found)
        for each in culprits(batch, measured._replace(problems=new), limits):
            if each.problem.kind not in found:
                found[each.problem.kind] = each
                place = keep(each, folder)
                print(f"batch {batch.name}: {each.problem.kind}; kept in {place}", file=sys.stderr, flush=True)
        seconds = time.monotonic() - start
        print(
            f"batch {batch.name} {measured.seconds:.1f} s; all: {mutants} mutants, {mutants / seconds:.1f}/s, "
            f"peak {peak >> 20} MiB, slowest batch {slowest:.1f} s, {len(found)} problems",
            file=sys.stderr,
            flush=True,
        )
    print(", ".join(f"{name} {n}" for name, n in sorted(codes.items())), file=sys.stderr)
    for kind, n in again.items():
        print(f"seen again {n} times: {kind}", file=sys.stderr)
    return Tally(tuple(found.values()), codes, mutants)


def main() -> int:
    """Exit code 1 when a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-out"), help="folder of inputs that broke a rule")
    parser.add_argument("--batch", help="SEED/NUMBER: this batch only")
    parser.add_argument("--files", type=int, default=FILES_PER_BATCH, help="mutants in a batch")
    parser.add_argument("--wall", type=float, default=LIMITS.wall_seconds, help="seconds that a batch may take")
    options = parser.parse_args()

    def batches() -> Iterator[tuple[int, int]]:
        if options.batch:
            seed, _, number = options.batch.partition("/")
            yield int(seed), int(number)
            return
        end, number = time.monotonic() + 60 * options.minutes, 0
        while time.monotonic() < end:
            yield options.seed, number
            number += 1

    with tempfile.TemporaryDirectory(prefix="rrg-fuzz-seeds-") as place:
        corpus = make_corpus(Path(place), real_files())
        print(f"{len(corpus.seeds)} seeds, {'with' if real_files() else 'without'} real files", file=sys.stderr)
        limits = Limits(wall_seconds=options.wall)
        tally = fuzz(corpus, batches(), options.keep, files=options.files, limits=limits)
    return 1 if tally.found else 0


if __name__ == "__main__":
    sys.exit(main())
