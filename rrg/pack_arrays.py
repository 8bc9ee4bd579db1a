"""The arrays of a data set: copied or linked from the store while records still come, and hashed."""

import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from rrg.errors import RecordError, RrgError
from rrg.folders import sync_file
from rrg.provenance import sha256_files, sha256_named
from rrg.store import length_of

AHEAD = 64
"""Arrays that wait for the disk, at most: then the records wait."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Faults of the disk that is written to, not of the array."""
BLOCK = 1 << 20
"""Bytes that are copied at a time."""


class _Found(NamedTuple):
    slices: int
    digest: str


class Arrays:
    """Takes each array once. A thread waits for the disk, and only that: copying in it, beside records that are read,
    would hand the interpreter to and fro. Memory: some bytes an array."""

    def __init__(self, store: Path, folder: Path, out: Path, pixels: Literal["copy", "link"]) -> None:
        """From `store` into ``folder/store``, where `folder` gets the name `out` in the end."""
        self._store, self._folder, self._out, self._pixels = store, folder / "store", out.absolute() / "store", pixels
        self._highest: dict[str, int] = {}
        self._found: dict[str, _Found] = {}
        self._waiting: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        """Start with none."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the array that goes to the disk now; no other is begun."""
        self._pool.shutdown(cancel_futures=True)

    def take(self, array: str, index: int) -> None:
        """A record names this slice of an array. RrgError when an array well before it can not be taken: what is wrong
        with the records is told first."""
        if array not in self._highest:
            self._waiting.append(self._begun(array))
            if len(self._waiting) > AHEAD:
                self._waiting.popleft().result()
        self._highest[array] = max(index, self._highest.get(array, 0))

    def taken(self) -> dict[str, str]:
        """Array -> its hash, when all records are read. RrgError for one that is not there, damaged or too short."""
        while self._waiting:
            self._waiting.popleft().result()
        for array, highest in sorted(self._highest.items()):
            if (slices := self._found[array].slices) <= highest:
                raise RrgError(
                    f"a record names {array}#{highest}, but the array holds {slices} slices; make it again", "E_IO"
                )
        return {array: found.digest for array, found in sorted(self._found.items())}

    def _begun(self, array: str) -> Future[None]:
        """Copy or link an array; what comes of it later: that it is on the disk, or why it was refused."""
        try:
            self._found[array], files = self._copied(array)
        except RrgError as error:
            refused: Future[None] = Future()
            refused.set_exception(error)
            return refused
        return self._pool.submit(_sync, self._folder / array, files)

    def _copied(self, array: str) -> tuple[_Found, list[str]]:
        """Copy or link an array; the files that were written."""
        source, target = self._store / array, self._folder / array
        if not source.is_dir():
            raise RrgError(f"store has no array {array}; give the --store that the records were made with", "E_IO")
        try:
            slices = length_of(self._store, array)
        except RecordError as error:
            raise RrgError(error.message, error.code) from None
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._pixels == "link":
            target.symlink_to(os.path.relpath(source.resolve(), (self._out / array).parent.resolve()))
            return _Found(slices, sha256_files(source)), []
        try:
            entries = list(_entries(str(source)))
            hashes = list(_taken(str(source), str(target), entries))
            if any(_entry(each.name, os.stat(os.path.join(source, each.name))) != each for each in entries):
                raise RrgError(f"array {array} changed while it was copied; stop its writer and run again", "E_IO")
        except OSError as error:
            if error.errno in FULL:
                raise
            where = "" if error.filename is None else f"{error.filename}: "
            raise RrgError(f"array {array}: {where}{error.strerror or error}; make it again", "E_IO") from None
        return _Found(slices, sha256_named(hashes)), [name for name, _ in hashes]


class _Entry(NamedTuple):
    """A file or folder as it was when it was seen; a writer puts another one in its place."""

    name: str
    """Within the array; empty for its own folder."""
    mode: int
    inode: int
    changed: int
    size: int


def _entries(folder: str, within: str = "") -> Iterator[_Entry]:
    """The folder of an array and all in it, in the order of the parts of their names."""
    yield _entry(within, os.stat(os.path.join(folder, within)))
    for each in sorted(os.scandir(os.path.join(folder, within)), key=lambda each: each.name):
        name = f"{within}/{each.name}" if within else each.name
        if each.is_dir():
            yield from _entries(folder, name)
        elif not each.is_file():
            raise OSError(errno.EINVAL, "no file and no folder", each.path)
        else:
            yield _entry(name, each.stat())


def _entry(name: str, told: os.stat_result) -> _Entry:
    return _Entry(name, told.st_mode, told.st_ino, told.st_mtime_ns, told.st_size)


def _taken(source: str, target: str, entries: list[_Entry]) -> Iterator[tuple[str, str]]:
    """Copy all; (name, SHA-256) of each file.

    Folders are for the same persons as those they were copied from; the owner may always remove them.
    """
    folders = [each for each in entries if stat.S_ISDIR(each.mode)]
    for each in folders:
        os.mkdir(os.path.join(target, each.name))
    for each in entries:
        if not stat.S_ISDIR(each.mode):
            yield each.name, _copied(os.path.join(source, each.name), os.path.join(target, each.name))
    for each in folders:
        os.chmod(os.path.join(target, each.name), stat.S_IMODE(each.mode) | stat.S_IRWXU)


def _copied(source: str, target: str) -> str:
    """Copy a file. Its SHA-256, hex."""
    digest = hashlib.sha256()
    with open(source, "rb", buffering=0) as read, open(target, "xb") as written:
        while block := read.read(BLOCK):
            digest.update(block)
            written.write(block)
    return digest.hexdigest()


def _sync(folder: Path, names: list[str]) -> None:
    """Force the files of an array to the disk: in the end nothing is left to wait for."""
    for name in names:
        sync_file(folder / name)
