"""A patient is taken out: of data sets, stores, streams, journals, indexes, caches. And who learned from them?"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rrg.codec import schema_of, word_of
from rrg.errors import RrgError, UsageError
from rrg.keys import pseudonym
from rrg.llm_cache import clear
from rrg.pack_split import PSEUDONYM
from rrg.provenance import sha256_file
from rrg.stream import entries, read_lines
from rrg.verify import kind_of, manifest_of
from rrg.verify_edit import rewrite


def read_keys(text: str, key: bytes | None) -> frozenset[str]:
    """Pseudonyms of patients: of a file with one id a line, or ids with commas. Original ids need the `key`.

    No id is ever shown: it may be an original. UsageError for none, or for one that is no pseudonym without a key.
    """
    path = Path(text)
    try:
        listed = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else text.split(",")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path}: can not be read as UTF-8 text; give one patient id a line") from None
    ids = [id_.strip() for id_ in listed if id_.strip()]
    if not ids:
        raise UsageError("no patient ids given; a file with one a line, or ids with commas")
    others = sum(not PSEUDONYM.fullmatch(id_) for id_ in ids)
    if others and key is None:
        raise UsageError(f"{others} of {len(ids)} ids are no pseudonyms (20 hex digits); original ids need --key-file")
    return frozenset(id_ if PSEUDONYM.fullmatch(id_) else pseudonym(key or b"", "patient", id_) for id_ in ids)


def models_of(paths: Sequence[Path], models: Path | None, patients: frozenset[str]) -> Iterator[str]:
    """A line for every model that was trained on a data set among `paths` that has, or had, one of the patients."""
    digests: dict[str, Path] = {}
    for path in paths:
        if kind_of(path) == "dataset":
            manifest = manifest_of(path)
            known = [edit["was_sha256"] for edit in manifest.get("edited", [])]
            if any(_has(path / f"{split}.jsonl", patients) for split in ("train", "val")):
                known.append(sha256_file(path / "manifest.json"))
            digests |= dict.fromkeys(known, path)
    folders = [path for path in paths if kind_of(path) == "model"]
    if models is not None:
        folders += sorted(found.parent for found in models.rglob("rrg.json"))
    for folder in dict.fromkeys(folders):
        with contextlib.suppress(OSError, ValueError, KeyError):
            settings = json.loads((folder / "rrg.json").read_bytes())
            if settings["dataset"] in digests:
                yield f"{folder}: run {settings['run']} was trained on {digests[settings['dataset']]} as it was"


def _has(path: Path, patients: frozenset[str]) -> bool:
    return any(_text(line.head, "patient") in patients for line in read_lines([path]))


def forget(path: Path, patients: frozenset[str], key: bytes | None, key_file: Path | None) -> str:
    """Take the patients out of what lies at `path`; what was done. Twice does no more than once."""
    kind = kind_of(path)
    if kind == "dataset":
        splits = [path / f"{split}.jsonl" for split in ("train", "val", "test")]
        if not any(_has(split, patients) for split in splits):
            return f"{path}: nothing of them"
        gone = rewrite(path, lambda _split, _kind, record: record.patient in patients, "forget")
        return f"{path}: {_told(gone)}, and the arrays that only they named"
    if kind == "store":
        return f"{path}: {_forget_in_store(path, patients)}"
    if kind == "index":
        return f"{path}: {_forget_in_index(path, patients, key)}"
    if kind == "answers":
        n = clear(path)
        return (
            f"{path}: {n} answers, of everybody: they do not say whose text was sent"
            if n
            else f"{path}: nothing of them"
        )
    if kind == "stream":
        return f"{path}: {_forget_in_stream(path, patients, key_file)}"
    return f"{path}: a model can not unlearn; train it again without them"


def _forget_in_store(store: Path, patients: frozenset[str]) -> str:
    studies = arrays = 0
    for path in sorted((store / "private" / "studies").glob("*.json")):
        known = json.loads(path.read_bytes())
        if known.get("patient") not in patients:
            continue
        for series in known["series"]:
            for group in store.iterdir():
                if group.name == "private" or not group.is_dir():
                    continue
                for array in (group / series, *group.glob(f"{series}-*")):
                    if array.is_dir():
                        shutil.rmtree(array)
                        arrays += 1
        path.unlink()  # last: a second call finds what a killed first one left
        studies += 1
    return f"{studies} studies, {arrays} arrays and what stood behind their ids" if studies else "nothing of them"


def _forget_in_index(folder: Path, patients: frozenset[str], key: bytes | None) -> str:
    from rrg.index import forget_patients

    if key is None:
        raise UsageError(f"{folder}: a header index holds original ids: give the --key-file of the pseudonyms")
    gone = forget_patients(folder, lambda original: pseudonym(key, "patient", original) in patients)
    return f"{gone} files" if gone else "nothing of them"


def _forget_in_stream(path: Path, patients: frozenset[str], key_file: Path | None) -> str:
    """Also of journals. The counts of end records stay what the stage said."""
    with _unwritten(path):
        if path.name.endswith(".journal"):
            return _told(_rewrite_journal(path, patients), "nothing of them")
        theirs = (line.head for line in read_lines([path]) if _text(line.head, "patient") in patients)
        own = frozenset(study for head in theirs if (study := _text(head, "study")))
        gone: Counter[str] = Counter()
        reports: list[str] = []
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with temporary.open("wb") as file:
            for line in read_lines([path]):
                value = line.value
                if _is_of(value, patients, own):
                    gone[_word(value)] += 1
                    if schema_of(value) == "rrg.report/1" and (report := _text(value, "id")):
                        reports.append(report)
                else:
                    file.write(line.raw + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if gone:
            temporary.replace(path)
        else:
            temporary.unlink()
        if key_file is not None:
            from rrg.reports.phi_map import folder_of, path_of

            for report in reports:
                path_of(folder_of(key_file), report).unlink(missing_ok=True)
    return _told(gone, "nothing of them")


def _rewrite_journal(path: Path, patients: frozenset[str]) -> Counter[str]:
    """Entries whose lines are about the patients go; their studies would be done again."""
    gone: Counter[str] = Counter()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with path.open("rb") as file, temporary.open("wb") as kept:
        for head, _, body in entries(file):
            values = [json.loads(line) for line in body.splitlines()]
            if any(_is_of(value, patients, frozenset()) for value in values):
                gone.update(_word(value) for value in values)
            else:
                kept.write(head + body)
        kept.flush()
        os.fsync(kept.fileno())
    temporary.replace(path)
    return gone


def _is_of(value: Any, patients: frozenset[str], studies: frozenset[str]) -> bool:
    return _text(value, "patient") in patients or _text(value, "study") in studies


def _text(value: Any, name: str) -> str | None:
    """A field of a record; None where there is none, or what no record has there."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _word(value: Any) -> str:
    return word_of(schema_of(value) or "other")


@contextlib.contextmanager
def _unwritten(path: Path) -> Iterator[None]:
    """RrgError(E_LOCKED) while a stage writes the output of this stream or journal."""
    partial = path.with_name(f"{path.name.removesuffix('.journal')}.partial")
    if not partial.exists():
        yield
        return
    with partial.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RrgError(f"{path}: an rrg writes it; wait for it, or stop it", "E_LOCKED") from None
        yield


def _told(gone: Counter[str], none: str = "no record") -> str:
    return ", ".join(f"{n} {word} records" for word, n in sorted(gone.items())) + " taken out" if gone else none
