"""Zstandard files (``.dcm.zst``): unpacked in memory, and only after their own block headers bound their size."""

from collections.abc import Iterator
from typing import NamedTuple

from rrg.errors import RecordError

MAGIC = b"\x28\xb5\x2f\xfd"
MAX_BYTES = 1 << 30
"""Largest file that is unpacked, packed or not."""
MAX_RATIO, RATIO_FROM = 1000, 1 << 20
"""Unpacked to packed bytes; smaller results than `RATIO_FROM` may exceed it (an empty picture does)."""
BLOCK_MAX = 1 << 17
"""Most bytes one block gives (RFC 8878, 3.1.1.2.4)."""


class _Frame(NamedTuple):
    start: int
    end: int
    most: int
    """Bytes it can give."""


def unpacked(packed: bytes) -> bytes:
    """Content of a Zstandard file. RecordError: E_TOO_LARGE, E_TRUNCATED, E_ARCHIVE."""
    from numcodecs import zstd  # type: ignore[import-untyped]

    frames = list(_frames(packed))
    most = sum(frame.most for frame in frames)
    check_size(most)
    if most > max(MAX_RATIO * len(packed), RATIO_FROM):
        raise RecordError("E_ARCHIVE", f"unpacks to more than {MAX_RATIO} times its size; leave it out")
    try:
        pieces = [zstd.decompress(memoryview(packed)[frame.start : frame.end]) for frame in frames if frame.most]
    except (RuntimeError, ValueError):
        raise _damaged() from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def check_size(size: int) -> None:
    """Raise E_TOO_LARGE for more than `MAX_BYTES`."""
    if size > MAX_BYTES:
        raise RecordError(
            "E_TOO_LARGE", f"{size >> 20} MiB in a Zstandard file, the limit is {MAX_BYTES >> 20} MiB; unpack it first"
        )


def _frames(packed: bytes) -> Iterator[_Frame]:
    """The frames of a file with content, from the headers alone (RFC 8878, section 3.1)."""
    at = 0
    while at < len(packed):
        magic = _number(packed, at, 4)
        if magic & 0xFFFFFFF0 == 0x184D2A50:  # skippable
            at += 8 + _number(packed, at + 4, 4)
            if at > len(packed):
                raise _truncated()
            continue
        if magic != int.from_bytes(MAGIC, "little"):
            raise _damaged()
        frame = _frame(packed, at)
        yield frame
        at = frame.end


def _frame(packed: bytes, start: int) -> _Frame:
    form = _number(packed, start + 4, 1)
    single, checksum = form >> 5 & 1, form >> 2 & 1
    at = start + 5 + (1 - single) + (0, 1, 2, 4)[form & 3]
    size_bytes = (single, 2, 4, 8)[form >> 6]
    claimed = _number(packed, at, size_bytes) + (256 if size_bytes == 2 else 0) if size_bytes else None
    at += size_bytes
    most, last = 0, False
    while not last:
        block = _number(packed, at, 3)
        last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        if kind == 3 or size > BLOCK_MAX:
            raise _damaged()
        most += BLOCK_MAX if kind == 2 else size
        at += 3 + (1 if kind == 1 else size)
    at += 4 * checksum
    if at > len(packed):
        raise _truncated()
    if claimed is None:
        return _Frame(start, at, most)
    if claimed > most:
        raise _damaged()
    return _Frame(start, at, claimed)


def _number(packed: bytes, at: int, count: int) -> int:
    if at + count > len(packed):
        raise _truncated()
    return int.from_bytes(packed[at : at + count], "little")


def _truncated() -> RecordError:
    return RecordError("E_TRUNCATED", "Zstandard file ends too early; copy it again from its source")


def _damaged() -> RecordError:
    return RecordError("E_ARCHIVE", "Zstandard file can not be unpacked; copy it again from its source")
