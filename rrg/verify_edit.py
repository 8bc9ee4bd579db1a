"""Data sets and stores without what is damaged, dangling or unwanted: rewritten whole, under the same name."""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rrg.codec import decode, encode, schema_of, word_of
from rrg.errors import RecordError
from rrg.folders import building, publish
from rrg.pack_card import card
from rrg.pack_facts import strata_of
from rrg.pack_split import SPLITS
from rrg.pack_write import Written
from rrg.provenance import sha256_file, sha256_files
from rrg.records import KINDS, End, Sample, Slice
from rrg.store import close_arrays, length_of, split_reference
from rrg.stream import read_lines
from rrg.synth.blind import SOLVABLE
from rrg.verify import Problem, check, manifest_of, refs_of, slices_of, unfinished

Drop = Callable[[str, str, Any], bool]
"""(split, kind of record, record) -> is it to go?"""
ENTRIES = ("rrg.slice/1", "rrg.mask/1", "rrg.sample/1")


def rewrite(folder: Path, drop: Drop, why: str) -> Counter[str]:
    """A data set without the records that `drop` names, and without arrays that nothing names any more.

    The new one takes the name in one step. Its manifest says under ``edited`` what it was before, so that models of the
    old one are still found. Returns how many records of each kind went. RrgError(E_LOCKED): another process writes it.
    """
    old = manifest_of(folder)
    gone: Counter[str] = Counter()
    with building(folder) as made:
        written = Written(old["blind"]["threshold"] if "blind" in old else SOLVABLE)
        arrays: set[str] = set()
        for split in SPLITS:
            _rewrite_split(folder, made, split, old["run"]["id"], drop, written, arrays, gone)
        for array in sorted(arrays):
            _take(folder / "store" / array, made / "store" / array)
        edit = {
            "why": why,
            "was": old["id"],
            "was_sha256": sha256_file(folder / "manifest.json"),
            "records": dict(sorted(gone.items())),
        }
        _finish(made, old, arrays, written, edit)
        publish(made, folder)
    return gone


def _rewrite_split(
    folder: Path,
    made: Path,
    split: Any,
    run: str,
    drop: Drop,
    written: Written,
    arrays: set[str],
    gone: Counter[str],
) -> None:
    counts, studies = written.counts[split], set[str]()
    with (made / f"{split}.jsonl").open("wb") as file:
        for line in read_lines([folder / f"{split}.jsonl"]):
            schema = schema_of(line.head)
            if schema == "rrg.end/1" and line.value["run"] == run:
                file.write(encode(End(run=run, counts=dict(sorted(counts.items())))) + b"\n")
                continue
            if schema in ENTRIES:
                word = word_of(schema)
                record: Any = decode(line.raw, KINDS[schema])
                if drop(split, word, record):
                    gone[word] += 1
                    continue
                arrays |= {split_reference(ref)[0] for ref in refs_of(word, record)}
                written.patients[split].add(record.patient)
                studies.add(record.study)
                counts["study"] = len(studies)
                if isinstance(record, Sample):
                    blind = math.nan if record.blind is None else record.blind
                    written.count(split, ((each, 1) for each in strata_of(record)), [blind])
                else:
                    counts[word] += 1
            file.write(line.raw + b"\n")


def _take(source: Path, target: Path) -> None:
    """An array into the new data set: the same files, or the same link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    shutil.copytree(source, target, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _finish(made: Path, old: dict[str, Any], arrays: set[str], written: Written, edit: dict[str, Any]) -> None:
    """The card and, last, the manifest. What packing found (funnel, leaks, balance) stays as it was told then."""
    manifest = {
        **old,
        "patients": {split: len(written.patients[split]) for split in SPLITS},
        "counts": {split: dict(sorted(written.counts[split].items())) for split in SPLITS},
        "strata": {
            split: {field: dict(sorted(counts.items())) for field, counts in sorted(written.strata[split].items())}
            for split in SPLITS
        },
        "arrays": {array: digest for array, digest in old["arrays"].items() if array in arrays},
        "edited": [*old.get("edited", []), edit],
    }
    if "blind" in old and "left" in old["blind"]:
        left = {split: [written.solvable[split], written.questions[split]] for split in SPLITS}
        manifest["blind"] = {**old["blind"], "left": left}
    options = old["run"]["options"]
    text = card(
        manifest,
        made_up=bool(options.get("made_up")),
        licence=options.get("licence"),
        attribution=options.get("attribution"),
    )
    (made / "card.md").write_text(text, encoding="utf-8")
    names = (*(f"{split}.jsonl" for split in SPLITS), "card.md")
    manifest["files"] = {
        name: {"bytes": (made / name).stat().st_size, "sha256": sha256_file(made / name)} for name in names
    }
    body = {name: value for name, value in manifest.items() if name not in ("schema", "id")}
    content = json.dumps(body, sort_keys=True, ensure_ascii=False).encode()
    manifest = {"schema": old["schema"], "id": hashlib.sha256(content).hexdigest()[:20], **body}
    (made / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def repair_dataset(folder: Path, problems: Iterable[Problem], source: Path | None) -> Iterator[str]:
    """Mend what can be mended; a line for each thing that was done. `source`: a store to take arrays from again.

    A damaged file of records is left alone: what it said is not known, pack it again.
    """
    found = list(problems)
    if any(each.where.startswith(SPLITS) and each.kind in ("damaged", "missing", "miscounted") for each in found):
        return
    known = manifest_of(folder)["arrays"]
    lost: set[str] = set()
    for each in found:
        target = folder / "store" / each.where
        if each.kind == "stray":
            shutil.rmtree(target)
            yield f"removed {each.where}, which nothing names"
        elif each.where in known:
            if source is not None and _is_array(source / each.where, known[each.where]):
                _replace(source / each.where, target)
                yield f"took {each.where} from {source} again"
            else:
                lost.add(each.where)
    close_arrays()
    found = [each for each in check(folder) if each.where not in lost]
    leaked = {each.where.removeprefix("patient ") for each in found if each.kind == "leaked"}
    dangling = any(each.kind == "dangling" for each in found)
    card_gone = any(each.where == "card.md" for each in found)
    if lost or leaked or dangling or card_gone:
        gone = rewrite(folder, _Unusable(folder, lost, leaked), "repair")
        yield f"rewritten without {_told(gone)}; models of the old data set are still found by its checksum"


def _is_array(folder: Path, digest: str) -> bool:
    return folder.is_dir() and sha256_files(folder) == digest


class _Unusable:
    """Records whose arrays or slices are not there, and of leaked patients those behind their first split."""

    def __init__(self, folder: Path, lost: set[str], leaked: set[str]) -> None:
        self._folder, self._lost = folder, lost
        self._slices: dict[str, set[str]] = {}
        self._home: dict[str, str] = {}
        for split in SPLITS:
            held = self._slices[split] = set()
            for line in read_lines([folder / f"{split}.jsonl"]):
                schema = schema_of(line.head)
                if schema == "rrg.slice/1":
                    slice_ = decode(line.raw, Slice)
                    if not self._is_lost(slice_.pixels):
                        held.add(slice_.id)
                if schema in ENTRIES and line.head["patient"] in leaked:
                    self._home.setdefault(line.head["patient"], split)

    def _is_lost(self, ref: str) -> bool:
        try:
            array, index = split_reference(ref)
            return array in self._lost or index >= length_of(self._folder / "store", array)
        except RecordError:
            return True

    def __call__(self, split: str, word: str, record: Any) -> bool:
        if self._home.get(record.patient, split) != split:
            return True
        if any(self._is_lost(ref) for ref in refs_of(word, record)):
            return True
        return any(id_ not in self._slices[split] for id_ in slices_of(word, record))


def _replace(source: Path, target: Path) -> None:
    """Put a copy of an array in the place of a damaged one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    shutil.copytree(source, temporary, copy_function=shutil.copyfile)
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        shutil.rmtree(target)
    temporary.rename(target)


def repair_store(store: Path, problems: Iterable[Problem]) -> Iterator[str]:
    """Remove arrays that can not be read, so that their stage makes them again, and what killed writers left."""
    for each in problems:
        if each.kind == "damaged":
            shutil.rmtree(store / each.where)
            yield f"removed {each.where}; give its stage again to make it anew"
    for path in unfinished(store):
        held = os.open(path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # its writer lives
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
                yield f"removed {path.relative_to(store).as_posix()}"
        finally:
            os.close(held)


def _told(gone: Counter[str]) -> str:
    return ", ".join(f"{n} {word} records" for word, n in sorted(gone.items())) or "any record less"
