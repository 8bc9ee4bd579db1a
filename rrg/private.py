"""STORE/private: what stands behind the pseudonyms. Folder 0700, files 0600, never packed.

``studies/<study id>.json`` has the UIDs and file names of a study, for DICOM output; ``files/<two digits>.json`` the
names of files that belong to no study. Files are whole or absent and their bytes depend on what is known only, not on
when it was learned: a later run adds to them.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrg.errors import RrgError

Entries = dict[str, dict[str, Any]]


def folder(store: Path) -> Path:
    """The private folder of a store."""
    return store / "private"


def remember_study(store: Path, study: str, study_uid: str | None, series: Entries, rejected: dict[str, str]) -> None:
    """Add what stands behind a study: `series` by series id (as `series_entry`), `rejected` error source -> file name.

    A series or file that is known already is replaced. Raises RrgError when the folder can not be written.
    """
    body = {"study_instance_uid": study_uid, "series": series, "rejected": rejected}
    _merge(folder(store) / "studies" / f"{study}.json", body)


def remember_files(store: Path, bucket: str, rejected: dict[str, str]) -> None:
    """Add names of files that belong to no study: error source -> file name."""
    _merge(folder(store) / "files" / f"{bucket}.json", {"rejected": rejected})


def series_entry(series_uid: str | None, sop_class: str, frame_of_reference: str | None) -> dict[str, Any]:
    """What stands behind a series; its ``slices`` are to be filled by slice id."""
    return {
        "series_instance_uid": series_uid,
        "sop_class_uid": sop_class,
        "frame_of_reference_uid": frame_of_reference,
        "slices": {},
    }


def slice_entry(sop: str, frame: int | None, file: str) -> dict[str, Any]:
    """What stands behind a slice; `file` is relative to the PATH that was extracted."""
    return {"sop_instance_uid": sop, "frame": frame, "file": file}


def study_of(store: Path, study: str) -> dict[str, Any] | None:
    """What stands behind a study id; None when the store does not know it."""
    return _load(folder(store) / "studies" / f"{study}.json") if study.isalnum() else None


def find(store: Path, id_: str) -> Iterator[dict[str, Any]]:
    """Everything that the store knows about a study, series, slice or rejected file id."""
    needle = json.dumps(id_).encode()
    for path in sorted((folder(store) / "studies").glob("*.json")):
        if path.stem != id_ and needle not in path.read_bytes():
            continue
        known = _load(path) or {}
        head = {"study": path.stem, "study_instance_uid": known.get("study_instance_uid")}
        if path.stem == id_:
            yield head | {"series": sorted(known["series"])}
        if id_ in known["rejected"]:
            yield head | {"file": known["rejected"][id_]}
        for name, series in known["series"].items():
            own = head | {"series": name} | {key: value for key, value in series.items() if key != "slices"}
            if name == id_:
                yield own | {"slices": len(series["slices"])}
            if id_ in series["slices"]:
                yield own | {"slice": id_} | series["slices"][id_]
    for path in sorted((folder(store) / "files").glob("*.json")):
        if needle in path.read_bytes() and id_ in (rejected := (_load(path) or {})["rejected"]):
            yield {"file": rejected[id_]}


def _load(path: Path) -> dict[str, Any] | None:
    try:
        loaded = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise RrgError(f"private/{path.parent.name}/{path.name} is damaged; remove it and extract again") from None
    return loaded if isinstance(loaded, dict) else None


def _merge(path: Path, body: dict[str, Any]) -> None:
    """Merge one level deep into the file at `path`, under a lock, by temporary name and rename."""
    try:
        path.parents[2].mkdir(parents=True, exist_ok=True)
        for place in (path.parents[1], path.parent):
            place.mkdir(mode=0o700, exist_ok=True)
        with _locked(path.parent):
            merged = _load(path) or {}
            for key, value in body.items():
                merged[key] = {**(merged.get(key) or {}), **value} if isinstance(value, dict) else value
            data = json.dumps(merged, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
            if path.exists() and path.read_bytes() == data:
                return
            temporary = path.with_name(f".{path.name}.tmp")  # one name: the lock makes its owner the only writer
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except OSError as error:
        raise RrgError(f"store: {error.strerror} while writing private/{path.parent.name}", "E_IO") from None


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """One writer at a time in a folder."""
    descriptor = os.open(place / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
