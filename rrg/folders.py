"""A folder that is whole or absent: built beside, synced, then given its name in one step."""

import ctypes
import fcntl
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rrg.errors import INTERRUPTED, INTERRUPTED_RESUMABLE, RrgError
from rrg.signals import at_once, careful

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # renameat2(2)
THREADS = 8
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def building(out: Path) -> Iterator[Path]:
    """A new folder ``.NAME.partial`` beside `out`, emptied before and removed after. Raises RrgError(E_LOCKED).

    SIGINT, SIGTERM and SIGUSR1 remove it too and end the process with the exit codes of the README.
    """
    temporary = out.with_name(f".{out.name}.partial")
    lock = out.with_name(f".{out.name}.lock")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("ab")
    except OSError as error:
        raise RrgError(f"{out}: {error.strerror}; choose another folder", "E_IO") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RrgError(
                f"{out}: another rrg writes this folder; wait for it, or choose another", "E_LOCKED"
            ) from None
        before = {number: signal.signal(number, careful(_stop)) for number in SIGNALS}
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            yield temporary
        except OSError as error:
            raise RrgError(f"{out}: {error.strerror or error}; nothing has its final name, run again", "E_IO") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            lock.unlink(missing_ok=True)
            for number, handler in before.items():
                signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> None:
    code = INTERRUPTED if number == signal.SIGINT else INTERRUPTED_RESUMABLE
    for each in SIGNALS:
        signal.signal(each, at_once(code))
    print("stopped; nothing unfinished was left behind, give the same command again", file=sys.stderr)
    raise SystemExit(code)


def sync(folder: Path, done: Path | None = None) -> None:
    """Force all files of a folder to the disk, some at a time, which a disk does at once; linked folders are left.

    `done`: a folder within, whose files are there already.
    """
    files = (Path(root, name) for root, names in _files(folder, done) for name in names)
    with ThreadPoolExecutor(THREADS) as pool:
        while some := list(itertools.islice(files, 8 * THREADS)):
            list(pool.map(sync_file, some))


def _files(folder: Path, done: Path | None) -> Iterator[tuple[str, list[str]]]:
    for root, folders, names in os.walk(folder):
        if done is not None and Path(root) == done:
            folders.clear()
        else:
            yield root, names


def sync_file(path: Path) -> None:
    """Force one file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(temporary: Path, out: Path, synced: str | None = None) -> None:
    """Give a finished folder its name; what had the name before is removed. Never a moment without either.

    `synced`: a folder within, whose files are on the disk.
    """
    sync(temporary, None if synced is None else temporary / synced)
    if out.exists() and any(out.iterdir()):
        _exchange(temporary, out)  # the old one now has the temporary name and goes with it
    else:
        temporary.rename(out)


def _exchange(a: Path, b: Path) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) == 0:
            return
    spare = b.with_name(f".{b.name}.old")  # file systems that can not exchange names
    b.rename(spare)
    a.rename(b)
    spare.rename(a)
