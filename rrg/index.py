"""The header index: every file is opened once, ever. One SQLite file in a folder that only its owner can read.

It holds originals (UIDs, Patient IDs, paths), not pseudonyms: keep it as you keep the images. One process writes it;
any number read it, on any node. A file is known by path, size and time of change; a known file is not opened again.
"""

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from rrg.dicom import Header, Rejected, read_source
from rrg.errors import RrgError
from rrg.files import Source, files_under, identity
from rrg.labels import Labels
from rrg.parallel import ordered_map
from rrg.stacks import StudyFiles, series_value, study_files, study_value

FILE_NAME = "headers.sqlite"
FILES_PER_TASK = 256
FEW_FILES = 2048
"""Below this, starting processes costs more than reading the headers in this one."""
FILES_PER_COMMIT = 50_000
FILES_WAITING = 2_000
"""Files whose rows wait in memory, at most."""
OPEN_FOLDERS = 64
CACHE_KB = 512
"""Of a passing index: what the studies take should not be seen in the memory of the process."""
BUSY_MS = 60_000
"""How long a reader waits while the index is written."""

OWN = (
    "sop",
    "instance_number",
    "phase",
    "position",
    "slope",
    "intercept",
    "window",
    "lossy_ratio",
    "size",
    "pixel_offset",
    "pixel_length",
)
"""Fields that differ from file to file; the others are the same for most of a series and stored once."""
_ELSEWHERE = ("path", "name", "frame", "disk", "shared", "labels")
COMMON = tuple(each.name for each in dataclasses.fields(Header) if each.name not in (*OWN, *_ELSEWHERE))
LABELS = tuple(field.name for field in dataclasses.fields(Labels))
LAYOUT = hashlib.sha256(repr((1, OWN, COMMON, LABELS)).encode()).hexdigest()[:16]
"""What the rows mean: an index of another layout is refused."""

TABLES = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE folder(id INTEGER PRIMARY KEY, path BLOB UNIQUE NOT NULL, name TEXT NOT NULL);
CREATE TABLE file(id INTEGER PRIMARY KEY, folder INTEGER NOT NULL, name BLOB NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, UNIQUE(folder, name));
CREATE TABLE study(id INTEGER PRIMARY KEY, value TEXT UNIQUE NOT NULL);
CREATE TABLE common(id INTEGER PRIMARY KEY, digest BLOB UNIQUE NOT NULL, study INTEGER NOT NULL, series TEXT NOT NULL,
    patient TEXT, accession TEXT, body TEXT NOT NULL);
CREATE INDEX common_by_series ON common(series);
CREATE INDEX common_by_study ON common(study);
CREATE TABLE object(file INTEGER NOT NULL, number INTEGER NOT NULL, common INTEGER, body TEXT NOT NULL,
    PRIMARY KEY(file, number)) WITHOUT ROWID;
CREATE INDEX object_by_common ON object(common);
"""
"""`common` NULL: the object is no image; its body is [suffix, code, message]."""


class StudyRow(NamedTuple):
    """A study of the index."""

    row: int
    value: str
    """Study Instance UID, or what stands for it."""
    patients: frozenset[str | None]
    """Patient IDs of its files."""
    accessions: frozenset[str]


class Changes(NamedTuple):
    """What a scan found."""

    known: int
    read: int
    """New or changed files: their headers were read."""
    gone: int


class Index:
    """An open index."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def scan(self, paths: Sequence[Path], *, workers: int = 1, skip: Sequence[Path] = ()) -> "Changes":
        """Take in the files under `paths` but `skip`."""
        return scan(self._database, paths, workers=workers, skip=skip)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def studies(self) -> Iterator[StudyRow]:
        """All studies that have images, in no order that means anything."""
        with _intact():
            yield from self._studies()

    def _studies(self) -> Iterator[StudyRow]:
        rows = self._database.execute(
            "SELECT common.study, value, patient, accession FROM common JOIN study ON study.id = common.study "
            "GROUP BY common.study, patient, accession ORDER BY common.study"
        )
        open_: tuple[int, str] | None = None
        patients: set[str | None] = set()
        accessions: set[str] = set()
        for row, value, patient, accession in rows:
            if open_ is not None and open_[0] != row:
                yield StudyRow(*open_, frozenset(patients), frozenset(accessions))
                patients, accessions = set(), set()
            open_ = (row, value)
            patients.add(patient)
            accessions |= {accession} if accession else set()
        if open_ is not None:
            yield StudyRow(*open_, frozenset(patients), frozenset(accessions))

    def study(self, row: StudyRow) -> StudyFiles:
        """The headers of one study."""
        with _intact():
            return self._study(row)

    def _study(self, row: StudyRow) -> StudyFiles:
        headers: list[Header] = []
        commons = self._database.execute("SELECT id, series, body FROM common WHERE study = ?", (row.row,)).fetchall()
        for common, _series, text in commons:
            shared = json.loads(text)
            found = self._database.execute(
                "SELECT folder.path, folder.name, file.name, file.size, file.mtime_ns, object.body FROM object "
                "JOIN file ON file.id = object.file JOIN folder ON folder.id = file.folder WHERE common = ?",
                (common,),
            )
            headers += [_header(shared, *each) for each in found]
        series = {name for _, name, _ in commons}
        elsewhere = {
            name
            for name in series
            if self._database.execute(
                "SELECT 1 FROM common WHERE series = ? AND study != ? LIMIT 1", (name, row.row)
            ).fetchone()
        }
        told = (dataclasses.replace(each, shared=True) if series_value(each) in elsewhere else each for each in headers)
        return study_files(row.value, told)

    def dates(self, row: StudyRow) -> frozenset[str]:
        """Study dates of the files of one study, as they stand there."""
        at = COMMON.index("study_date")
        with _intact():
            bodies = self._database.execute("SELECT body FROM common WHERE study = ?", (row.row,)).fetchall()
        return frozenset(date for (body,) in bodies if (date := json.loads(body)[at]))

    def rejected(self) -> Iterator[Rejected]:
        """Every file or object that is no image."""
        rows = self._database.execute(
            "SELECT folder.name, file.name, object.body FROM object JOIN file ON file.id = object.file "
            "JOIN folder ON folder.id = file.folder WHERE common IS NULL"
        )
        for folder, name, body in rows:
            suffix, code, message = json.loads(body)
            yield Rejected(_name(folder, name) + suffix, code, message)

    def rejected_in(self, bucket_of: Callable[[str], str]) -> Iterator[tuple[str, list[Rejected]]]:
        """`rejected` by bucket, in order of the buckets; sorted on disk."""
        with _intact():
            yield from self._rejected_in(bucket_of)

    def _rejected_in(self, bucket_of: Callable[[str], str]) -> Iterator[tuple[str, list[Rejected]]]:
        self._database.execute("CREATE TEMP TABLE IF NOT EXISTS bin(bucket TEXT, name TEXT, code TEXT, message TEXT)")
        self._database.execute("DELETE FROM bin")
        self._database.executemany(
            "INSERT INTO bin VALUES (?, ?, ?, ?)", ((bucket_of(each.name), *each) for each in self.rejected())
        )
        self._database.execute("CREATE INDEX IF NOT EXISTS bin_by_bucket ON bin(bucket)")
        self._database.commit()  # or the index would stay locked for its writer as long as we read
        buckets = [row[0] for row in self._database.execute("SELECT DISTINCT bucket FROM bin ORDER BY bucket")]
        for bucket in buckets:
            found = self._database.execute("SELECT name, code, message FROM bin WHERE bucket = ?", (bucket,))
            yield bucket, [Rejected(*row) for row in found]

    def totals(self) -> Counter[str]:
        """How much it holds: files, studies, series, objects that are images."""
        with _intact():
            return self._totals()

    def _totals(self) -> Counter[str]:
        one = self._database.execute
        return Counter(
            file=one("SELECT count(*) FROM file").fetchone()[0],
            image=one("SELECT count(*) FROM object WHERE common IS NOT NULL").fetchone()[0],
            study=one("SELECT count(DISTINCT study) FROM common").fetchone()[0],
            series=one("SELECT count(*) FROM (SELECT DISTINCT study, series FROM common)").fetchone()[0],
        )


# --- opening


def temporary() -> Index:
    """An empty index that is gone with the process; on disk where it outgrows the cache."""
    database = sqlite3.connect("")
    database.execute(f"PRAGMA cache_size = -{CACHE_KB}")
    _create(database)
    return Index(database)


def open_index(folder: Path) -> Index:
    """Open an index for reading. RrgError when there is none, or one that this version can not read."""
    path = folder / FILE_NAME
    if not path.is_file():
        raise RrgError(f"--index {folder}: no index there; make it with rrg extract-slices PATH... --index {folder}")
    journal = path.with_name(f"{path.name}-journal")
    if journal.exists() and journal.stat().st_size:  # its writer works, or was killed: then only a writer can repair it
        with _writing(folder):
            pass
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    _check(database, folder)
    return Index(database)


@functools.lru_cache(maxsize=4)
def reader(folder: Path) -> Index:
    """`open_index`, kept open per process; for the steps of workers."""
    return open_index(folder)


def update(folder: Path, paths: Sequence[Path], *, workers: int = 1, skip: Sequence[Path] = ()) -> Changes:
    """Make or renew the index `folder` of all files under `paths`, but for those in it and under `skip`."""
    with _writing(folder) as database:
        return scan(database, paths, workers=workers, skip=[folder, *skip])


def forget(folder: Path, paths: Sequence[Path]) -> int:
    """Take the files under `paths` out of an index; how many they were."""
    with _writing(folder) as database:
        gone = 0
        for path in paths:
            rows = database.execute(f"SELECT file.id FROM {_FILES} WHERE {_UNDER}", _bounds(path)).fetchall()
            _drop(database, rows)
            gone += len(rows)
        _tidy(database)
        database.commit()
        return gone


def forget_patients(folder: Path, is_one: Callable[[str], bool]) -> int:
    """Take the files of the patients whose original ids `is_one` knows out of an index; how many they were."""
    with _writing(folder) as database:
        known = database.execute("SELECT DISTINCT patient FROM common WHERE patient IS NOT NULL").fetchall()
        gone = 0
        for (patient,) in known:
            if is_one(patient):
                rows = database.execute(
                    "SELECT DISTINCT file FROM object JOIN common ON common.id = common WHERE patient = ?", (patient,)
                ).fetchall()
                _drop(database, rows)
                gone += len(rows)
        _tidy(database)
        database.execute("DELETE FROM study WHERE id NOT IN (SELECT study FROM common)")
        database.commit()
        return gone


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database of an index, for its one writer. RrgError: another process writes it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RrgError(f"--index {folder}: {error.strerror}; choose another folder", "E_IO") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RrgError(
                f"--index {folder}: another rrg writes it; wait for it, then give --index without PATH", "E_LOCKED"
            ) from None
        path = folder / FILE_NAME
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(path)
        with contextlib.closing(database):
            database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            if not database.execute("SELECT 1 FROM sqlite_master").fetchone():  # new, or never finished
                _create(database)
            _check(database, folder)
            yield database
    except sqlite3.Error as error:
        raise _damaged(error, folder) from None
    finally:
        os.close(lock)


def _create(database: sqlite3.Connection) -> None:
    database.executescript("BEGIN;" + TABLES + f"INSERT INTO meta VALUES ('layout', '{LAYOUT}'); COMMIT;")


def _check(database: sqlite3.Connection, folder: Path) -> None:
    try:
        found = database.execute("SELECT value FROM meta WHERE key = 'layout'").fetchone()
    except sqlite3.Error as error:
        raise RrgError(f"--index {folder}: {FILE_NAME} is no index of rrg ({error}); choose another folder") from None
    if found is None or found[0] != LAYOUT:
        raise RrgError(f"--index {folder}: made by another version of rrg; remove it and index again")


# --- scanning


class _Known(NamedTuple):
    file: int
    size: int
    mtime_ns: int


def scan(
    database: sqlite3.Connection, paths: Sequence[Path], *, workers: int = 1, skip: Sequence[Path] = ()
) -> Changes:
    """Bring the tables in line with the files under `paths` but `skip`; only new and changed files are opened."""
    database.execute("CREATE TEMP TABLE seen(id INTEGER PRIMARY KEY)")
    writer = _Writer(database)
    known = 0
    closed: list[str] = []

    def unknown() -> Iterator[Source]:
        nonlocal known
        for source in files_under(paths, skip):
            if os.path.isdir(source.path):  # noqa: PTH112 - a folder that can not be looked into
                closed.append(source.path)
            was = writer.known(source)
            if was is not None and _identity(source) == (was.size, was.mtime_ns):
                known += 1
                writer.see(was.file)
            else:
                yield source

    read = 0
    sources = unknown()
    first = list(islice(sources, FEW_FILES))  # few files: no processes

    rest = chain(first, sources)
    tasks = iter(lambda: list(islice(rest, FILES_PER_TASK)), [])
    few = len(first) < FEW_FILES
    from tqdm import tqdm

    with tqdm(desc="rrg extract-slices: headers", unit=" files", disable=None) as progress:
        try:
            for batch in ordered_map(_read, tasks, 1 if few else workers):
                for source, size, mtime_ns, objects in batch:
                    writer.put(source, size, mtime_ns, objects)
                progress.update(len(batch))
                read += len(batch)
                if read % FILES_PER_COMMIT < FILES_PER_TASK:
                    writer.flush()
                    database.commit()
        finally:  # a signal too: what was read is kept
            writer.flush()
            database.commit()
    gone, dead = writer.drop_gone(paths, closed)
    database.commit()
    database.execute("DROP TABLE seen")
    database.commit()
    if dead is not None:
        raise RrgError(f"{dead}: no file is there, the index knows some; is it mounted? They are kept", "E_PATH")
    return Changes(known, read, gone)


def _read(sources: Sequence[Source]) -> list[tuple[Source, int, int, list[Header | Rejected]]]:
    """Identity and objects of files; a unit of work for a process."""
    return [(source, *_identity(source), read_source(source)) for source in sources]


def _identity(source: Source) -> tuple[int, int]:
    try:
        return identity(source.path)
    except OSError:
        return 0, 0  # gone meanwhile, or behind a closed door: its own record says so


class _Writer:
    """Rows of files and their objects, in large batches."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._commons: dict[bytes, int] = {}
        self._studies: dict[str, int] = {}
        self._objects: list[tuple[int, int, int | None, str]] = []
        self._seen: list[tuple[int]] = []
        self._half: tuple[int, bytes] | None = None
        """Folder and name of the file that is being put."""
        self._folders: dict[bytes, tuple[int, dict[bytes, _Known]]] = {}

    def known(self, source: Source) -> _Known | None:
        """What the index knows of a file."""
        place, name = _place(source)
        return self._folder_of(place, source)[1].get(name)

    def _folder_of(self, place: bytes, source: Source) -> tuple[int, dict[bytes, _Known]]:
        if place not in self._folders:
            if len(self._folders) >= OPEN_FOLDERS:
                del self._folders[next(iter(self._folders))]
            name = source.name.rpartition("/")[0]
            self._database.execute("INSERT OR IGNORE INTO folder(path, name) VALUES (?, ?)", (place, name))
            (row,) = self._database.execute("SELECT id FROM folder WHERE path = ?", (place,)).fetchone()
            files = self._database.execute("SELECT name, id, size, mtime_ns FROM file WHERE folder = ?", (row,))
            self._folders[place] = row, {name: _Known(*rest) for name, *rest in files}
        return self._folders[place]

    def see(self, file: int) -> None:
        """Remember that a file is still there."""
        self._seen.append((file,))
        if len(self._seen) >= FILES_WAITING:
            self.flush()

    def put(self, source: Source, size: int, mtime_ns: int, objects: Sequence[Header | Rejected]) -> None:
        """Add a file, or replace what was known of it."""
        place, name = _place(source)
        folder, files = self._folder_of(place, source)
        if (was := files.get(name)) is not None:
            if (was.size, was.mtime_ns) == (size, mtime_ns):
                return  # the same file a second time
            self._half = folder, name
            self._database.execute("DELETE FROM object WHERE file = ?", (was.file,))
            self._database.execute("UPDATE file SET size = ?, mtime_ns = ? WHERE id = ?", (size, mtime_ns, was.file))
            file = was.file
        else:
            self._half = folder, name
            cursor = self._database.execute(
                "INSERT INTO file(folder, name, size, mtime_ns) VALUES (?, ?, ?, ?)", (folder, name, size, mtime_ns)
            )
            assert cursor.lastrowid is not None
            file = cursor.lastrowid
        files[name] = _Known(file, size, mtime_ns)
        for number, each in enumerate(objects):
            if isinstance(each, Rejected):
                body = [each.name[len(source.name) :], each.code, each.message]
                self._objects.append((file, number, None, _json(body)))
            else:
                self._objects.append((file, number, self._common(each), _own(source, each)))
        self._half = None
        self.see(file)

    def _common(self, header: Header) -> int:
        body = _json([getattr(header, name) for name in COMMON] + [[getattr(header.labels, n) for n in LABELS]])
        study, series = study_value(header), series_value(header)
        digest = hashlib.sha256(f"{study}\0{body}".encode("utf-8", "surrogatepass")).digest()[:16]
        if digest not in self._commons:
            if len(self._commons) > FILES_WAITING:
                self._commons.clear()
            found = self._database.execute("SELECT id FROM common WHERE digest = ?", (digest,)).fetchone()
            if found is None:
                found = (
                    self._database.execute(
                        "INSERT INTO common(digest, study, series, patient, accession, body) VALUES (?, ?, ?, ?, ?, ?)",
                        (digest, self._study(study), series, header.patient_id, header.accession, body),
                    ).lastrowid,
                )
            self._commons[digest] = found[0]
        return self._commons[digest]

    def _study(self, value: str) -> int:
        self._database.execute("INSERT OR IGNORE INTO study(value) VALUES (?)", (value,))
        (row,) = self._database.execute("SELECT id FROM study WHERE value = ?", (value,)).fetchone()
        return int(row)

    def flush(self) -> None:
        """Write what waits. A file whose `put` a signal cut short is forgotten: it is read again the next time."""
        if self._half is not None:
            cut = self._database.execute("SELECT id FROM file WHERE folder = ? AND name = ?", self._half).fetchall()
            self._objects = [each for each in self._objects if (each[0],) not in cut]
            self._database.executemany("DELETE FROM object WHERE file = ?", cut)
            self._database.executemany("DELETE FROM file WHERE id = ?", cut)
            self._half = None
        self._database.executemany("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)", self._objects)
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?)", self._seen)
        self._objects.clear()
        self._seen.clear()

    def drop_gone(self, paths: Sequence[Path], closed: Sequence[str]) -> tuple[int, Path | None]:
        """Forget files under `paths` that are not there any more: how many.

        Nothing is forgotten below folders that could not be looked into (`closed`), and of a path where nothing at all
        is left: that path is the second answer.
        """
        gone, dead = 0, None
        kept = [_bounds(Path(each)) for each in closed]
        for path in paths:
            if not path.is_dir():
                continue
            bounds = _bounds(path)
            seen = self._database.execute(
                f"SELECT 1 FROM {_FILES} WHERE {_UNDER} AND file.id IN (SELECT id FROM seen) LIMIT 1", bounds
            ).fetchone()
            rows = self._database.execute(
                f"SELECT file.id, folder.path FROM {_FILES} WHERE {_UNDER} AND file.id NOT IN (SELECT id FROM seen)",
                bounds,
            ).fetchall()
            rows = [(row,) for row, place in rows if not any(place == k[0] or k[1] <= place < k[2] for k in kept)]
            if rows and seen is None:
                dead = path
                continue
            _drop(self._database, rows)
            gone += len(rows)
        _tidy(self._database)
        return gone, dead


_FILES = "file JOIN folder ON folder.id = file.folder"
_UNDER = "(folder.path = ? OR (folder.path >= ? AND folder.path < ?))"


def _bounds(path: Path) -> tuple[bytes, bytes, bytes]:
    """What `_UNDER` asks for: a folder, and the first and last path below it."""
    root = os.fsencode(os.path.abspath(path)).rstrip(b"/")  # noqa: PTH100 - never resolves links
    return root, root + b"/", root + b"0"  # "0" follows "/"


def _drop(database: sqlite3.Connection, rows: Sequence[tuple[int]]) -> None:
    database.executemany("DELETE FROM object WHERE file = ?", rows)
    database.executemany("DELETE FROM file WHERE id = ?", rows)


def _tidy(database: sqlite3.Connection) -> None:
    """Also after changed files: a study must not keep the patient of a file that was corrected."""
    database.execute("DELETE FROM common WHERE NOT EXISTS (SELECT 1 FROM object WHERE common = common.id)")


def _damaged(error: sqlite3.Error, folder: Path | None) -> RrgError:
    name = f"--index {folder}" if folder is not None else "index"
    if "locked" in str(error):
        return RrgError(f"{name}: in use by another rrg ({error}); wait for it", "E_LOCKED")
    if "full" in str(error):
        return RrgError(f"{name}: {error}; free space and run again", "E_IO")
    return RrgError(f"{name}: damaged ({error}); remove it and index again", "E_IO")


@contextlib.contextmanager
def _intact() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _damaged(error, None) from None


def _place(source: Source) -> tuple[bytes, bytes]:
    """(absolute folder, name in it) of a file."""
    folder, name = os.path.split(os.path.abspath(source.path))  # noqa: PTH100
    return os.fsencode(folder), os.fsencode(name)


def _name(folder: str, name: bytes) -> str:
    own = name.decode("utf-8", "backslashreplace")
    return f"{folder}/{own}" if folder else own


_json = json.JSONEncoder(separators=(",", ":")).encode


def _own(source: Source, header: Header) -> str:
    suffixes = [header.path[len(source.path) :], header.name[len(source.name) :]]
    return _json(suffixes + [getattr(header, name) for name in OWN])


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _header(
    shared: list[Any], folder: bytes, folder_name: str, name: bytes, size: int, mtime_ns: int, body: str
) -> Header:
    *common, labels = shared
    path_suffix, name_suffix, *own = json.loads(body)
    return Header(
        path=os.fsdecode(folder + b"/" + name) + path_suffix,
        name=_name(folder_name, name) + name_suffix,
        disk=(size, mtime_ns),
        labels=Labels(*map(_tuples, labels)),
        **dict(zip(COMMON, map(_tuples, common), strict=True)),
        **dict(zip(OWN, map(_tuples, own), strict=True)),
    )
