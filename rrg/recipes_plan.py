"""Stages -> pipes -> argument vectors; which of them are finished, by the content of what they read and made."""

import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rrg.errors import UsageError
from rrg.keys import fingerprint, load_key
from rrg.provenance import rrg_version, sha256_file
from rrg.recipes import Stage

MODELS = ("torch", "transformers", "peft", "llama-cpp-python", "gguf", "tokenizers")
VERSIONS = {
    "extract-slices": ("pydicom", "SimpleITK", "python-gdcm", "imagecodecs", "pylibjpeg"),
    "segment": ("totalsegmentator", "torch", "SimpleITK", "nibabel"),
    "train": MODELS,
    "infer": MODELS,
    "export": MODELS,
    "score": ("sacrebleu", "rouge-score", "pycocotools", "numpy"),
}
"""Command -> packages that can change its result."""
SECRET = ("extract-slices", "parse-reports", "infer")
"""Commands whose ids hang on the key file."""
FREE = ("--workers", "--micro-batch")
"""Options that never change a result."""


@dataclass(frozen=True)
class Placed:
    """A stage in its pipe, with the file that keeps its records for `--resume`."""

    stage: Stage
    tee: Path | None
    source: Path | None = None
    """Records of the stage before, when that is not run."""
    more: tuple[str, ...] = ()
    """Words that are no part of the recipe: ``--shard``."""
    exclude: str | None = None
    """Patients to leave out: they change no other patient's records, so that journals stay good."""

    def argv(self, *, resume: bool) -> list[str]:
        """The argument vector without the program."""
        words = [self.stage.command, *([str(self.source)] if self.source else []), *self.stage.arguments, *self.more]
        words += ["--exclude", self.exclude] if self.exclude is not None else []
        if self.tee is not None:
            words += ["--tee", str(self.tee)]
        return [*words, "--resume"] if resume and self.resumes else words

    def named(self) -> Iterator[Path]:
        """Whatever it names that may be a path."""
        if self.source is not None:
            yield self.source
        yield from map(Path, self.stage.arguments)

    @property
    def resumes(self) -> bool:
        """Can go on where it was stopped."""
        return self.tee is not None or self.stage.checkpoints


@dataclass(frozen=True)
class Pipe:
    """Stages that run at the same time, joined by pipes."""

    number: int
    """From 1, in the whole recipe."""
    placed: tuple[Placed, ...]
    whole: bool
    """False when --from or --to cut it."""

    @property
    def output(self) -> Path | None:
        """File of the last stage's stdout."""
        return self.placed[-1].stage.output

    @property
    def name(self) -> str:
        """``02``, and of a part of a pipe the stages too: the name of its state file."""
        ends = "" if self.whole else f"-{self.placed[0].stage.name}-{self.placed[-1].stage.name}"
        return f"{self.number:02d}{ends}"


def groups(stages: Sequence[Stage]) -> Iterator[tuple[Stage, ...]]:
    """Stages that run at the same time, joined by pipes."""
    current: list[Stage] = []
    for stage in stages:
        if current and not stage.joined:
            yield tuple(current)
            current = []
        current.append(stage)
    if current:
        yield tuple(current)


def pipes(
    stages: Sequence[Stage],
    work: Path,
    first: str | None = None,
    last: str | None = None,
    shard: str | None = None,
    exclude: str | None = None,
) -> list[Pipe]:
    """The pipes of the stages `first` to `last`, by name, without the patients `exclude`; UsageError for a wrong name.

    With `shard` each task works in a folder of its own, and every stage must be one that can do a part.
    """
    names = [stage.name for stage in stages]
    begin, end = _place(names, first, "--from", 0), _place(names, last, "--to", len(names) - 1)
    if begin > end:
        raise UsageError(f"--from {first} comes behind --to {last}")
    found: list[Pipe] = []
    at = 0
    for number, group in enumerate(groups(stages), 1):
        placed: list[Placed] = []
        for place, stage in enumerate(group):
            if begin <= at + place <= end:
                ends = place == len(group) - 1
                tee = _tee(work, number, place, stage) if stage.resumable and not ends else None
                source = _tee(work, number, place - 1, group[place - 1]) if place and not placed else None
                if shard is not None and not stage.shards:
                    raise UsageError(f"--shard: {stage.name} does not do a part; end with --to a stage before it")
                if shard is not None and stage.command == "parse-reports" and stage.joined:
                    _check_unmatched(stage)
                more = ("--shard", shard) if shard else ()
                placed.append(Placed(stage, tee, source, more, exclude if stage.excludes else None))
        if placed:
            found.append(Pipe(number, tuple(placed), len(placed) == len(group)))
        at += len(group)
    return found


def _check_unmatched(stage: Stage) -> None:
    """In a part of the studies the reports of all others belong to none, and each would be an error."""
    words = stage.arguments
    if "--unmatched" not in words or words[words.index("--unmatched") + 1] != "ignore":
        raise UsageError(f'--shard: stage {stage.name} needs unmatched = "ignore", in the whole run too')


def _place(names: Sequence[str], name: str | None, option: str, default: int) -> int:
    if name is None:
        return default
    if name not in names:
        import difflib

        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(names)}"
        raise UsageError(f"{option} {name}: no stage of that name; {hint}")
    return names.index(name)


def _tee(work: Path, number: int, place: int, stage: Stage) -> Path:
    return work / f"{number:02d}-{place + 1:02d}-{stage.name}.jsonl"


def shell_lines(planned: Sequence[Pipe], *, resume: bool) -> Iterator[str]:
    """What a shell would be given, one line per pipe."""
    for pipe in planned:
        line = " | ".join(shlex.join(["rrg", *placed.argv(resume=resume)]) for placed in pipe.placed)
        if pipe.output:
            line = f"{line} > {shlex.quote(str(pipe.output))}"
        elif pipe.placed[-1].tee:
            line = f"{line} > /dev/null"
        yield line


# --- what is finished


@dataclass(frozen=True)
class State:
    """What is remembered of a pipe in the work folder."""

    keys: Mapping[str, str]
    """Stage -> hash of its command, options, versions, and of what it reads beside the pipe."""
    code: int | None
    """How it ended; None: it did not."""
    made: Mapping[str, str]
    """What it made -> checksum."""
    counts: Mapping[str, Any]
    """Stage -> what its progress said at the end."""


def read_state(path: Path) -> State | None:
    """The state of an earlier run; None when there is none that can be read."""
    try:
        return State(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def write_state(path: Path, state: State) -> None:
    """Write it whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(state.__dict__, sort_keys=True) + "\n")
    temporary.replace(path)


class Digests:
    """Checksums of files and folders, each taken once; forgotten when something was made anew."""

    def __init__(self, made: frozenset[Path]) -> None:
        """`made`: what stages of the recipe make."""
        self._made = made
        self._known: dict[Path, str] = {}
        self._key: str | None = None

    def forget(self) -> None:
        """Look again."""
        self._known.clear()

    def secret(self) -> str:
        """Fingerprint of the key file, which is made when it is absent: its first user would do so."""
        if self._key is None:
            self._key = fingerprint(load_key())
        return self._key

    def of(self, path: Path) -> str:
        """SHA-256 of a file; of what a manifest names that of the manifest, with the sizes of files; of another folder
        that of its listing.

        A listing has names, sizes and times of change: the files of an archive are not read again to be compared.
        """
        if path not in self._known:
            self._known[path] = self._of(path)
        return self._known[path]

    def _of(self, path: Path) -> str:
        if path.is_file():
            return sha256_file(path)
        for folder in (path, path.parent):
            if (found := _manifest(folder, path, made=path in self._made)) is not None:
                return found
        if path in self._made or not path.is_dir():
            return "there" if path.exists() else "absent"
        return f"listing {_listing(path)}"


def _manifest(folder: Path, path: Path, *, made: bool) -> str | None:
    """What the manifest of a data set, model or export in `folder` tells; None where there is none, or none that names
    what lies in `path`: any tool may have put a file of that name there. `made`: by a stage."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        named = manifest.get("files", {}) if made else manifest["files"]
        files = {str(name): int(told["bytes"]) for name, told in named.items()}
        arrays = bool(manifest.get("arrays")) and path.name == "store"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if path != folder and not arrays and not any(name.startswith(f"{path.name}/") for name in files):
        return None
    sizes = [size == _size(folder / name) for name, size in sorted(files.items())]
    return f"{'manifest' if all(sizes) else 'damaged'} {sha256_file(folder / 'manifest.json')}"


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _listing(folder: Path) -> str:
    digest = hashlib.sha256()
    waiting = [(os.fspath(folder), "")]
    while waiting:
        place, name = waiting.pop()
        with os.scandir(place) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if entry.is_dir():
                    waiting.append((entry.path, f"{name}/{entry.name}"))
                else:
                    found = entry.stat()
                    digest.update(f"{name}/{entry.name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def stage_keys(pipe: Pipe, digests: Digests) -> dict[str, str]:
    """Stage -> hash of all that its result hangs on, but for the records and arrays that the pipe itself makes.

    Those are in the keys of its journal, each with the records of its study that the stage reads. Who is left out has a
    key of its own: the stages go on from their journals.
    """
    own = {str(path) for placed in pipe.placed for path in placed.stage.makes}
    keys = {placed.stage.name: _stage_key(placed, own, digests) for placed in pipe.placed}
    if (exclude := next((placed.exclude for placed in pipe.placed if placed.exclude), None)) is not None:
        keys["--exclude"] = digests.of(Path(exclude)) if _is_path(exclude) else exclude
    return keys


def _stage_key(placed: Placed, own: AbstractSet[str], digests: Digests) -> str:
    stage = placed.stage
    words = [*([str(placed.source)] if placed.source else []), *stage.arguments]
    kept = [word for n, word in enumerate(words) if word not in FREE and (n == 0 or words[n - 1] not in FREE)]
    read = {word: digests.of(Path(word)) for word in sorted({*kept} - own) if _is_path(word)}
    body = [
        stage.command,
        kept,
        list(placed.more),
        read,
        rrg_version(),
        {name: _version(name) for name in VERSIONS.get(stage.command, ())},
        digests.secret() if stage.command in SECRET else None,
        str(stage.output),
    ]
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()[:20]


def _is_path(word: str) -> bool:
    return not word.startswith("--") and len(word) < 1000 and os.path.lexists(word)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def made_by(pipe: Pipe, digests: Digests) -> dict[str, str]:
    """What a pipe made, with checksums."""
    paths = [path for placed in pipe.placed for path in placed.stage.makes]
    paths += [pipe.output] if pipe.output else []
    paths += [placed.tee for placed in pipe.placed[-1:] if placed.tee]
    return {str(path): _arrays(path) or digests.of(path) for path in paths}


ARRAYS = "arrays "


def _arrays(path: Path) -> str | None:
    """How many arrays each group of a store has; None for what is no store. Later stages may add some."""
    if not (path / "series").is_dir():
        return None
    from rrg.store import arrays_of

    return ARRAYS + json.dumps(arrays_of(path))


def _is_still_there(path: Path, seen: str, digests: Digests) -> bool:
    """True when what a pipe made is there as it was seen then; of a store, when it has no fewer arrays."""
    if not seen.startswith(ARRAYS):
        return seen != "absent" and digests.of(path) == seen
    from rrg.store import arrays_of

    now = arrays_of(path)
    return all(now.get(group, 0) >= n for group, n in json.loads(seen.removeprefix(ARRAYS)).items())


def is_finished(pipe: Pipe, state: State | None, keys: Mapping[str, str], digests: Digests) -> bool:
    """True when the pipe ended, would do the same again, and what it made is there as it was made."""
    if state is None or state.code is None or dict(state.keys) != dict(keys):
        return False
    return all(_is_still_there(Path(path), seen, digests) for path, seen in state.made.items())
