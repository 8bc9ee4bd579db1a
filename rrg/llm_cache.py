"""The answer cache: a folder of JSONL files, each written by one process only, each line whole or worthless.

Folders are merged by copying their files together. The first answer to a question wins: another process that was
given a second one takes the first. Where copied files disagree, the line with the smallest checksum wins.
"""

import fcntl
import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from rrg.errors import RrgError
from rrg.llm_settings import Reply, Request

LOCK = "lock"
_BEGIN = b'{"key":"'
"""Every line starts so."""
_Place = tuple[int, int, int]
"""Number of the file, offset and length of the line."""


class Cache:
    """The cache of one process. Without a folder it holds nothing."""

    def __init__(self, folder: str | None, identity: str, *, read_only: bool = False) -> None:
        self._folder = Path(folder) if folder is not None else None
        self._identity = identity
        self._read_only = read_only
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._read: dict[str, int] = {}
        """Name of a file -> bytes of it that are known."""
        self._places: dict[bytes, _Place] = {}
        self._own: int | None = None
        if self._folder is None:
            return
        if read_only and not self._folder.is_dir():
            raise RrgError(f"{folder}: no folder; --llm-cache-only reads answers from it", "E_IO")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._refresh()
        except OSError as error:
            raise RrgError(f"{folder}: answer cache: {error.strerror}", "E_IO") from None

    def get(self, key: str) -> Reply | None:
        """The known answer."""
        with self._lock:
            return self._get(bytes.fromhex(key))

    def put(self, request: Request, reply: Reply) -> Reply:
        """Keep an answer; the one that counts (an earlier one, where another process was faster)."""
        if self._folder is None or self._read_only:
            return reply
        key = bytes.fromhex(request.key)
        line = {"key": request.key, "model": self._identity, **reply._asdict()}
        raw = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            with self._lock, (self._folder / LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._refresh()
                if (known := self._get(key)) is not None:
                    return known
                self._append(raw)
        except OSError as error:
            raise RrgError(f"{self._folder}: answer cache: {error.strerror}", "E_IO") from None
        return reply

    def identities(self) -> list[str]:
        """Every model that answered, sorted."""
        found = set()
        for name in self._names:
            with self._path(name).open("rb") as file:
                found |= {value["model"] for line in file if (value := _value(line)) is not None}
        return sorted(found)

    def _get(self, key: bytes) -> Reply | None:
        if (place := self._places.get(key)) is None:
            return None
        value = _value(self._line(place))
        if value is None:
            raise RrgError(f"{self._folder}: a file of the answer cache was changed while it was read", "E_IO")
        return Reply(value["content"], value["finish"], value["read"], value["written"])

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / name

    def _line(self, place: _Place) -> bytes:
        number, offset, length = place
        with self._path(self._names[number]).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def _append(self, raw: bytes) -> None:
        """Write one line to the file of this process, made at the first one; private, as it quotes reports."""
        if self._own is None:
            name = f"{os.urandom(8).hex()}.jsonl"
            self._own = os.open(self._path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        if os.write(self._own, raw) != len(raw):
            raise OSError(None, "the disk is full")
        self._refresh()

    def _refresh(self) -> None:
        """Take in the lines that files have grown by."""
        assert self._folder is not None
        with os.scandir(self._folder) as entries:
            grown = [
                (entry.name, size)
                for entry in entries
                if entry.name.endswith(".jsonl") and (size := entry.stat().st_size) > self._read.get(entry.name, 0)
            ]
        for name, _ in sorted(grown):
            if name not in self._numbers:
                self._numbers[name] = len(self._names)
                self._names.append(name)
            number, offset = self._numbers[name], self._read.get(name, 0)
            with self._path(name).open("rb") as file:
                file.seek(offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # torn, or still being written
                    self._take(line, (number, offset, len(line)))
                    offset += len(line)
            self._read[name] = offset

    def _take(self, line: bytes, place: _Place) -> None:
        value = _value(line)
        if value is None or self._identity not in ("", value["model"]):
            return
        key = bytes.fromhex(value["key"])
        if (known := self._places.get(key)) is not None and _rank(self._line(known)) <= _rank(line):
            return
        self._places[key] = place


def is_cache(folder: Path) -> bool:
    """Does a folder hold answers, or did it before `clear`?"""
    return bool(_files(folder)) or [path.name for path in folder.iterdir()] == [LOCK]


def clear(folder: Path) -> int:
    """Remove all answers, torn ones too; how many.

    A line is known by a hash of what was asked, so nobody can tell whose text it was.

    RrgError when the folder can not be written.
    """
    try:
        with (folder / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            files = _files(folder)
            answers = 0
            for path in files:
                with path.open("rb") as file:
                    answers += sum(1 for _ in file)
                path.unlink()
    except OSError as error:
        raise RrgError(f"{folder}: answer cache: {error.strerror}", "E_IO") from None
    return answers


def _files(folder: Path) -> list[Path]:
    """Files of a folder that begin as an answer does, be it torn: what a killed process left of one is text, too."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            if file.read(len(_BEGIN)) == _BEGIN:
                found.append(path)
    return found


def _rank(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()


def _value(line: bytes) -> dict[str, Any] | None:
    """A line of the cache; None for anything else."""
    try:
        value = json.loads(line)
        bytes.fromhex(value["key"])
        kinds = {"model": str, "content": str, "finish": str, "read": int, "written": int}
        return value if all(isinstance(value[name], kind) for name, kind in kinds.items()) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
