"""Compressed data that can be read at any place, in bounded memory: what zip members and gzip files hold."""

import io
import zlib
from typing import Any, NamedTuple, Protocol

from rrg.errors import RecordError

RAW, GZIP = -15, 31
"""Forms of a deflate stream: without a header (as zip has it), and gzip files, one or several joined."""
BLOCK = 4 << 20
"""Bytes that are held unpacked, and the distance of the places where unpacking can start."""
PIECE, LEAST = 1 << 16, 1 << 14
"""Packed bytes that are read at once, and unpacked bytes that are made at least."""


class Reader(Protocol):
    """Bytes at places."""

    def read_at(self, position: int, count: int) -> bytes:
        """`count` bytes from `position` on; fewer at the end."""


class FilePart(NamedTuple):
    """Bytes of a part of a file. The file is opened for each piece, so that nothing stays open."""

    path: str
    start: int
    length: int

    def read_at(self, position: int, count: int) -> bytes:
        """See `Reader`."""
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123
            file.seek(self.start + position)
            return file.read(max(min(count, self.length - position), 0))


class OpenFile(NamedTuple):
    """Bytes of an open file."""

    file: io.BufferedReader | io.BytesIO

    def read_at(self, position: int, count: int) -> bytes:
        """See `Reader`."""
        self.file.seek(position)
        return self.file.read(count)


class Inflated:
    """A deflate stream, unpacked as far as it is asked for; one block of it is held.

    The state of the unpacker is kept at the start of each block it has passed, so going back costs one block.
    """

    def __init__(self, packed: Reader, form: int, size: int | None = None, crc: int | None = None) -> None:
        """`size` and `crc` of the unpacked bytes, where the archive tells: anything else is refused."""
        self._packed, self._form, self._size, self._crc = packed, form, size, crc
        self._summed, self._sum = 0, 0
        self._starts = [(zlib.decompressobj(form), 0)]
        self._restore(0)

    def read_at(self, position: int, count: int) -> bytes:
        """See `Reader`. RecordError: E_TRUNCATED (gzip), E_ARCHIVE."""
        pieces = []
        while count > 0:
            block, start = divmod(position, BLOCK)
            piece = self._read(block, start, min(count, BLOCK - start))
            if not piece:
                break
            pieces.append(piece)
            position, count = position + len(piece), count - len(piece)
        return b"".join(pieces)

    def _restore(self, block: int) -> None:
        state, self._at = self._starts[block]
        self._state, self._block, self._held = state.copy(), block, bytearray()

    def _read(self, block: int, start: int, count: int) -> bytes:
        nearest = min(block, len(self._starts) - 1)
        if block < self._block or nearest > self._block:
            self._restore(nearest)
        while self._block < block:
            self._grow(BLOCK)
            if len(self._held) < BLOCK:
                return b""
            self._block += 1
            if self._block == len(self._starts):
                self._starts.append((self._state.copy(), self._at))
            self._held.clear()
        self._grow(start + count)
        return bytes(self._held[start : start + count])

    def _grow(self, length: int) -> None:
        """Unpack until the block holds `length` bytes, or the stream ends."""
        while len(self._held) < length:
            if self._state.eof and not self._next_stream():
                self._check_end()
                return
            packed = self._state.unconsumed_tail
            if not packed:
                packed = self._packed.read_at(self._at, PIECE)
                self._at += len(packed)
            room = min(max(length, len(self._held) + LEAST), BLOCK) - len(self._held)
            try:
                made = self._state.decompress(packed, room)
            except zlib.error:
                raise RecordError("E_ARCHIVE", "compressed data is damaged; copy it again from its source") from None
            if not (made or packed or self._state.eof):
                code = "E_TRUNCATED" if self._size is None else "E_ARCHIVE"
                raise RecordError(code, "compressed data ends too early; copy it again from its source")
            self._add(made)

    def _next_stream(self) -> bool:
        """Go on behind the end of a stream; False when nothing follows."""
        after = self._at - len(self._state.unused_data)
        if self._form != GZIP or self._packed.read_at(after, 2) != b"\x1f\x8b":
            return False
        self._state, self._at = zlib.decompressobj(self._form), after
        return True

    def _add(self, made: bytes) -> None:
        end = self._block * BLOCK + len(self._held) + len(made)
        if self._size is not None and end > self._size:
            raise RecordError("E_ARCHIVE", f"holds more than the {self._size} bytes it claims; pack it again")
        if self._crc is not None and end - len(made) == self._summed:
            self._summed, self._sum = end, zlib.crc32(made, self._sum)
            if end == self._size and self._sum != self._crc:
                raise RecordError("E_ARCHIVE", "checksum of the archive does not fit; copy it again from its source")
        self._held += made

    def _check_end(self) -> None:
        end = self._block * BLOCK + len(self._held)
        if self._size is not None and end != self._size:
            raise RecordError("E_ARCHIVE", f"holds {end} of the {self._size} bytes it claims; copy it again")


class Stream(io.RawIOBase):
    """A `Reader` of known size as a file."""

    name = ""
    """It has none; pydicom asks for it."""

    def __init__(self, reader: Reader, size: int) -> None:
        super().__init__()
        self._reader, self._size, self._at = reader, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"no place {base + offset} in a file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """As of any file. RecordError for what the reader refuses."""
        view = memoryview(buffer).cast("B")
        read = self._reader.read_at(self._at, len(view))
        view[: len(read)] = read
        self._at += len(read)
        return len(read)
