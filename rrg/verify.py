"""Is what lies on the disk what was written? Checksums, references, patients in two splits, runs without an end.

Reads only. `rrg.verify_edit` repairs, `rrg.verify_forget` takes patients out.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rrg.codec import decode, schema_of
from rrg.errors import RecordError, RrgError, UsageError
from rrg.llm_cache import is_cache
from rrg.pack_split import SPLITS
from rrg.provenance import sha256_file, sha256_files
from rrg.records import KINDS
from rrg.store import length_of, read, sha256_pixels, split_reference
from rrg.stream import read_lines

Kind = Literal["dataset", "store", "stream", "index", "model", "answers"]
GROUPS = frozenset({"series", "masks", "private"})
"""Folders that make a store."""


class Problem(NamedTuple):
    """One thing that is wrong. Names ids and files only."""

    kind: Literal["damaged", "missing", "dangling", "leaked", "unresolved", "stray", "miscounted", "unfinished"]
    where: str
    said: str


def kind_of(path: Path) -> Kind:
    """What lies at a path. UsageError for nothing that `rrg verify` knows."""
    if path.is_file():
        return "stream"
    if (path / "manifest.json").is_file():
        return "dataset" if schema_of(manifest_of(path)) == "rrg.dataset/1" else "model"
    if (path / "headers.sqlite").is_file():
        return "index"
    if path.is_dir() and GROUPS & {entry.name for entry in path.iterdir()}:
        return "store"
    if path.is_dir() and is_cache(path):
        return "answers"
    raise UsageError(
        f"{path}: no data set, store, header index, answer cache, model folder or record stream; give the folder that "
        "pack, train or export made, or the one of --store"
    )


def manifest_of(folder: Path) -> dict[str, Any]:
    """``manifest.json`` of a folder. RrgError when it can not be read."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict):
        raise RrgError(f"{folder}/manifest.json is damaged: it is no JSON object; make the folder again", "E_IO")
    return manifest


def check(path: Path, store: Path | None = None) -> Iterator[Problem]:
    """All problems of what lies at `path`. `store`: where the arrays of a stream lie."""
    kind = kind_of(path)
    if kind == "dataset":
        yield from _dataset(path)
    elif kind == "store":
        yield from _store(path)
    elif kind == "model":
        yield from _files(path, manifest_of(path).get("files", {}))
    elif kind == "index":
        yield from _index(path)
    elif kind == "answers":
        return  # torn lines are skipped by whoever reads them
    elif path.name.endswith(".journal"):
        yield from _journal(path)
    else:
        yield from _Stream(store, pixels=True).problems([path], path.name)


def _dataset(folder: Path) -> Iterator[Problem]:
    manifest = manifest_of(folder)
    store = folder / "store"
    yield from _files(folder, manifest["files"])
    known: Mapping[str, str] = manifest["arrays"]
    for array, digest in known.items():
        if not (store / array).is_dir():
            yield Problem("missing", array, "the manifest names this array, the store has none")
        elif sha256_files(store / array) != digest:
            yield Problem("damaged", array, "the array has another checksum than the manifest says")
    for array in _arrays(store):
        if array not in known:
            yield Problem("stray", array, "the manifest does not name this array")
    where: dict[str, set[str]] = defaultdict(set)
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        if not path.is_file():
            continue
        stream = _Stream(store)
        try:
            yield from stream.problems([path], path.name)
        except RrgError as error:
            yield Problem("damaged", path.name, str(error))
            continue
        for patient in stream.patients:
            where[patient].add(split)
        told = manifest["counts"][split]
        for name in ("slice", "mask", "sample"):
            if stream.counts[name] != told.get(name, 0):
                said = f"{stream.counts[name]} {name} records, the manifest says {told.get(name, 0)}"
                yield Problem("miscounted", path.name, said)
    for patient, splits in sorted(where.items()):
        if len(splits) > 1:
            yield Problem("leaked", f"patient {patient}", f"in {' and '.join(s for s in SPLITS if s in splits)}")


def _files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    for name, told in files.items():
        path = folder / name
        if not path.is_file():
            yield Problem("missing", name, "the manifest names this file")
        elif (size := path.stat().st_size) != told["bytes"]:
            yield Problem("damaged", name, f"{size} bytes, the manifest says {told['bytes']}")
        elif sha256_file(path) != told["sha256"]:
            yield Problem("damaged", name, "another checksum than the manifest says")


def _store(store: Path) -> Iterator[Problem]:
    """Every chunk of every array is read; left-overs of killed writers are told."""
    for array in _arrays(store):
        try:
            for index in range(length_of(store, array)):
                read(store, f"{array}#{index}")
        except RecordError as error:
            yield Problem("damaged", array, error.message)
    for path in sorted(store.glob("[!.]*/[!.]*")):
        if path.is_dir() and path.parent.name != "private" and not (path / "zarr.json").exists():
            yield Problem(
                "damaged", path.relative_to(store).as_posix(), "the folder of an array, without its zarr.json"
            )
    for path in unfinished(store):
        yield Problem("unfinished", path.relative_to(store).as_posix(), "left by a writer that did not end")


def unfinished(store: Path) -> list[Path]:
    """Folders that writers of arrays left, or are at work in."""
    return sorted(store.glob("*/.*.tmp"))


def _arrays(store: Path) -> Iterator[str]:
    """``series/<id>``, ... in order."""
    if not store.is_dir():
        return
    for group in sorted(entry for entry in store.iterdir() if entry.is_dir() and entry.name != "private"):
        for array in sorted(group.iterdir()):
            if not array.name.startswith(".") and (array / "zarr.json").exists():
                yield f"{group.name}/{array.name}"


def _index(folder: Path) -> Iterator[Problem]:
    from rrg.index import open_index

    try:
        opened = open_index(folder)
        opened.totals()
        opened.close()
    except RrgError as error:
        yield Problem("damaged", "headers.sqlite", str(error))


def _journal(path: Path) -> Iterator[Problem]:
    """A journal is cut at its first torn entry by the next start: that costs work, and nothing else."""
    from rrg.stream import torn_bytes

    if rest := torn_bytes(path):
        yield Problem("unfinished", path.name, f"{rest} bytes behind the last whole entry are done again by --resume")


class _Stream:
    """What is seen of a stream of records."""

    def __init__(self, store: Path | None, *, pixels: bool = False) -> None:
        """`pixels`: also compare each slice's values with the checksum in its record."""
        self._store, self._pixels = store, pixels
        self.patients: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._lengths: dict[str, int | None] = {}

    def problems(self, paths: Sequence[Path], name: str) -> Iterator[Problem]:
        """Problems of the files, read as one stream."""
        opened: dict[str, str] = {}
        closed: set[str] = set()
        named: Counter[str] = Counter()
        ids: set[tuple[str, str]] = set()
        slices: set[str] = set()
        wanted: list[tuple[str, str]] = []
        for line in read_lines(paths):
            schema = schema_of(line.head)
            kind = KINDS.get(schema or "")
            if kind is None:
                continue
            try:
                record: Any = decode(line.raw, kind)
            except RecordError as error:
                yield Problem("damaged", name, error.message)
                continue
            word = kind.__name__.lower()
            self.counts[word] += 1
            if word == "run":
                opened[record.id] = record.command
                continue
            if word == "end":
                closed.add(record.run)
                continue
            named[record.run] += 1
            if (word, record.id) in ids and word != "error":
                yield Problem("damaged", f"{name}, {word} {record.id}", "the id is there twice")
            ids.add((word, record.id))
            if patient := getattr(record, "patient", None):
                self.patients.add(patient)
            if word == "slice":
                slices.add(record.id)
            for ref in refs_of(word, record):
                yield from self._reference(name, word, record, ref)
            wanted += [(f"{word} {record.id}", id_) for id_ in slices_of(word, record)]
        if slices:
            for what, id_ in wanted:
                if id_ not in slices:
                    yield Problem("dangling", f"{name}, {what}", f"slice {id_} is not in the stream")
        for run in sorted(opened.keys() - closed):
            yield Problem("unresolved", name, f"run {run} ({opened[run]}) has no end record: the stream was cut short")
        for run in sorted(named.keys() - opened.keys() - {""}):
            yield Problem("unresolved", name, f"{named[run]} records of run {run}, which has no run record")

    def _reference(self, name: str, word: str, record: Any, ref: str) -> Iterator[Problem]:
        if self._store is None:
            return
        where = f"{name}, {word} {record.id}"
        try:
            array, index = split_reference(ref)
            if array not in self._lengths:
                self._lengths[array] = length_of(self._store, array)
            length = self._lengths[array]
            if length is not None and index >= length:
                yield Problem("dangling", where, f"{ref}: the array holds {length} slices")
            elif (
                length is not None
                and self._pixels
                and word == "slice"
                and sha256_pixels(read(self._store, ref)) != record.sha256
            ):
                yield Problem("damaged", where, f"{ref} has other values than the record's checksum says")
        except RecordError as error:
            if error.code == "E_IO":
                self._lengths.setdefault(array, None)
            yield Problem("dangling", where, error.message)


def refs_of(word: str, record: Any) -> Iterator[str]:
    """References to arrays that a slice, mask or sample (`word`) has."""
    if word == "slice":
        yield record.pixels
    elif word == "mask":
        yield record.array
    elif word == "sample":
        for image in record.images:
            yield image.ref
        yield from sorted({region.mask for each in record.mentions for region in each.regions if region.mask})


def slices_of(word: str, record: Any) -> Iterator[str]:
    """Ids of the slices that a mask or sample (`word`) is about."""
    if word == "mask":
        yield record.slice
    elif word == "sample":
        for image in record.images:
            if image.slice:
                yield image.slice
