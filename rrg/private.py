"""STORE/private: what stands behind the pseudonyms. Folder 0700, files 0600, never packed.

``studies/<study id>.json`` has the UIDs and file names of a study and the places of its slices, for DICOM output and
`rrg where`; ``files/<two digits>.json`` the names of files that belong to no study; ``key.json`` the fingerprint of the
key. Files are whole or absent and their bytes depend on what is known only, not on when it was learned: a later run
adds to them.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rrg.errors import RrgError
from rrg.records import Slice

GRID = (
    "rows",
    "columns",
    "spacing_mm",
    "orientation",
    "slice_spacing_mm",
    "count",
    "modality",
    "unit",
    "padding",
    "flags",
)
"""Fields of `rrg.records.Slice` that the slices of a series share, as a rule. Said once, and again where they differ.
"""

Entries = dict[str, dict[str, Any]]


def folder(store: Path) -> Path:
    """The private folder of a store."""
    return store / "private"


def remember_study(
    store: Path,
    study: str,
    study_uid: str | None,
    series: Entries,
    rejected: dict[str, str],
    phi: Mapping[str, Any] | None = None,
    *,
    patient: str | None = None,
) -> None:
    """Add what stands behind a study: `series` by series id (as `series_entry`), `rejected` error source -> file name.

    `phi` (JSON values by name) is added to what is known; `patient` is the pseudonym. A series or file that is known
    already is replaced. Raises RrgError when the folder can not be written.
    """
    body: dict[str, Any] = {"study_instance_uid": study_uid, "series": series, "rejected": rejected}
    if phi is not None:
        body["phi"] = dict(phi)
    if patient is not None:
        body["patient"] = patient
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


def add_slice(
    entry: dict[str, Any],
    slice_: Slice,
    *,
    sop: str,
    frame: int | None,
    file: str,
    file_position_mm: tuple[float, float, float] | None = None,
) -> None:
    """Add a slice to its `series_entry`, with its place: index in the volume, and what gives millimetres.

    `file_position_mm` is the Image Position (Patient) of the file where the slice was resampled.
    """
    own = {name: getattr(slice_, name) for name in GRID}
    grid = entry.setdefault("grid", own)
    entry["slices"][slice_.id] = {
        **slice_entry(sop, frame, file),
        "index": slice_.index,
        "position_mm": slice_.position_mm,
        **({} if file_position_mm is None else {"file_position_mm": file_position_mm}),
        **{name: value for name, value in own.items() if value != grid[name]},
    }


def _joined(known: dict[str, Any] | None, entry: dict[str, Any]) -> dict[str, Any]:
    """A series entry with the slices that were known of it before: they may have been extracted one by one."""
    if known is None or "grid" not in known or "grid" not in entry:
        return entry
    grid = known["grid"]
    slices = {}
    for id_, each in entry["slices"].items():
        own = {name: each.get(name, entry["grid"][name]) for name in GRID}
        bare = {name: value for name, value in each.items() if name not in GRID}
        plain = json.loads(json.dumps(own))  # as the file has it: lists
        slices[id_] = bare | {name: value for name, value in plain.items() if value != grid[name]}
    return {**entry, "grid": grid, "slices": {**known["slices"], **slices}}


def check_key(store: Path, fingerprint: str) -> None:
    """Remember which key made the pseudonyms of a store. RrgError when it was another: nothing would join."""
    path = folder(store) / "key.json"
    body = {"fingerprint": fingerprint}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            with os.fdopen(_new(temporary), "wb") as file:
                file.write(json.dumps(body).encode() + b"\n")
            with contextlib.suppress(FileExistsError):  # another process was first: then its key counts
                os.link(temporary, path)
            temporary.unlink()
        known = _load(path)
    except OSError as error:
        raise RrgError(f"store: {error.strerror} while writing private", "E_IO") from None
    if known != body:
        raise RrgError(
            f"{store}: made with another key file, its ids would not join; give that --key-file or a new store"
        )


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def study_of(store: Path, study: str) -> dict[str, Any] | None:
    """What stands behind a study id; None when the store does not know it."""
    return _load(folder(store) / "studies" / f"{study}.json") if study.isalnum() else None


def find(store: Path, id_: str, *, study: str | None = None) -> Iterator[dict[str, Any]]:
    """Everything that the store knows about a patient, study, series, slice or rejected file id, or an original UID.

    `study`, where known, is the only one looked in.
    """
    for name, known in _studies(store, id_, study):
        head = {"study": name, "study_instance_uid": known.get("study_instance_uid")}
        if id_ == known.get("patient"):
            yield {"kind": "patient", "patient": id_} | head
        if id_ in (name, head["study_instance_uid"]):
            yield {"kind": "study"} | head | {"series": sorted(known["series"])}
        if id_ in known["rejected"]:
            yield {"kind": "file"} | head | {"file": known["rejected"][id_]}
        for series, entry in known["series"].items():
            if id_ in (series, entry["series_instance_uid"]):
                yield {"kind": "series"} | head | _series(series, entry) | {"slices": len(entry["slices"])}
            for slice_, own in entry["slices"].items():
                if id_ in (slice_, own["sop_instance_uid"]):
                    yield _slice(head, series, entry, slice_)
    if study is None:
        for path in sorted((folder(store) / "files").glob("*.json")):
            if _needle(id_) in path.read_bytes() and id_ in (rejected := (_load(path) or {})["rejected"]):
                yield {"kind": "file", "file": rejected[id_]}


def slices_of(store: Path, series: str, *, study: str | None = None) -> list[dict[str, Any]]:
    """The slices of a series id as `find` tells them, in index order. Those of older stores have no index: none."""
    found = []
    for name, known in _studies(store, series, study):
        head = {"study": name, "study_instance_uid": known.get("study_instance_uid")}
        entry = known["series"].get(series)
        if entry is not None and "grid" in entry:
            found += [_slice(head, series, entry, slice_) for slice_ in entry["slices"]]
    return sorted(found, key=lambda each: int(each["index"]))


def _studies(store: Path, id_: str, study: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(study id, what is known) of the studies whose file names the id."""
    needle = _needle(id_)
    for path in sorted((folder(store) / "studies").glob("*.json")):
        if study in (None, path.stem) and (path.stem == id_ or needle in path.read_bytes()):
            yield path.stem, _load(path) or {}


def _needle(id_: str) -> bytes:
    return json.dumps(id_).encode()


def _series(series: str, entry: dict[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in entry.items() if name not in ("slices", "grid")}
    return {"series": series, **own, **entry.get("grid", {})}


def _slice(head: dict[str, Any], series: str, entry: dict[str, Any], slice_: str) -> dict[str, Any]:
    return {"kind": "slice", **head, **_series(series, entry), "slice": slice_, **entry["slices"][slice_]}


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
            if "series" in body:
                known = merged.get("series", {})
                body = body | {"series": {id_: _joined(known.get(id_), each) for id_, each in body["series"].items()}}
            for key, value in body.items():
                merged[key] = {**(merged.get(key) or {}), **value} if isinstance(value, dict) else value
            data = json.dumps(merged, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
            if path.exists() and path.read_bytes() == data:
                return
            temporary = path.with_name(f".{path.name}.tmp")  # one name: the lock makes its owner the only writer
            temporary.unlink(missing_ok=True)
            with os.fdopen(_new(temporary), "wb") as file:
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
