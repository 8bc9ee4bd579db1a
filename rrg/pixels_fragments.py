"""Where the frames of encapsulated pixel data lie in a file: item headers are read, fragments are not.

DICOM PS3.5, A.4: a basic offset table, fragments as items, a sequence delimiter; all little-endian.
"""

import itertools
from typing import IO, NamedTuple

from rrg.dicom import Header, parse
from rrg.errors import RecordError

ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
EXTENDED_OFFSETS = 0x7FE00001
MAX_FRAGMENTS = 1 << 20
"""In one object: a frame of a slice is one fragment, seldom more."""
END_MARKER = b"\xff\xd9"
"""Of JPEG, JPEG-LS and JPEG 2000 alike."""
TAIL_BYTES = 10


class Fragment(NamedTuple):
    """The value of one item."""

    item: int
    """Byte offset of the item's tag from the first item after the offset table."""
    offset: int
    """Byte offset of the value in the file."""
    length: int


def frames_at(file: IO[bytes], header: Header) -> list[list[Fragment]]:
    """The fragments of each frame of an encapsulated object, in the order of the file.

    E_TRUNCATED when the file ends inside a fragment or has fewer frames than its header claims, E_MALFORMED when the
    items can not be those of that many frames.
    """
    assert header.pixel_offset is not None
    file.seek(header.pixel_offset)
    table_length = _item(file, header)
    if table_length is None or table_length > 4 * header.frames:
        raise RecordError("E_MALFORMED", "compressed pixel data without a usable offset table; leave the file out")
    table = file.read(table_length)
    offsets = [int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table), 4)]
    fragments = _fragments(file, header)
    frames = _by_frame(file, header, fragments, offsets)
    if len(frames) < header.frames:
        raise RecordError("E_TRUNCATED", f"{len(frames)} of {header.frames} frames; copy it again from its source")
    return frames


def read_frame(file: IO[bytes], fragments: list[Fragment], max_bytes: int) -> bytes:
    """The code stream of one frame. E_MALFORMED when it is larger than `max_bytes`."""
    size = sum(fragment.length for fragment in fragments)
    if size > max_bytes:
        raise RecordError("E_MALFORMED", f"compressed frame of {size} bytes, {max_bytes} at most are plausible")
    parts = []
    for fragment in fragments:
        file.seek(fragment.offset)
        parts.append(file.read(fragment.length))
        if len(parts[-1]) != fragment.length:
            raise _cut()
    return b"".join(parts)


def _item(file: IO[bytes], header: Header) -> int | None:
    """Length of the item that starts here; None at the sequence delimiter, or at the end of the file."""
    head = file.read(8)
    if not head or head[:4] == DELIMITER:
        return None
    if len(head) < 8:
        raise _cut()
    if head[:4] != ITEM:
        raise RecordError("E_MALFORMED", "compressed pixel data hold something else than items; leave the file out")
    return int.from_bytes(head[4:], "little")


def _fragments(file: IO[bytes], header: Header) -> list[Fragment]:
    found: list[Fragment] = []
    start = at = file.tell()
    end = file.seek(0, 2)
    file.seek(at)
    while (length := _item(file, header)) is not None:
        if at + 8 + length > end:
            raise _cut()
        found.append(Fragment(at - start, at + 8, length))
        if len(found) > MAX_FRAGMENTS:
            raise RecordError("E_TOO_LARGE", f"more than {MAX_FRAGMENTS} fragments of pixel data; convert the file")
        at = file.seek(at + 8 + length)
    return found


def _by_frame(file: IO[bytes], header: Header, fragments: list[Fragment], offsets: list[int]) -> list[list[Fragment]]:
    if header.frames == 1:
        return [fragments] if fragments else []
    if not offsets and len(fragments) == header.frames:
        return [[fragment] for fragment in fragments]
    if not offsets:
        offsets = _extended_offsets(file, header)
    return _split(fragments, offsets) if offsets else _by_end_marker(file, fragments)


def _split(fragments: list[Fragment], offsets: list[int]) -> list[list[Fragment]]:
    """Frames that start at these items."""
    starts = {fragment.item: number for number, fragment in enumerate(fragments)}
    if offsets != sorted(set(offsets)) or offsets[0] != 0 or not starts.keys() >= set(offsets):
        raise RecordError("E_MALFORMED", "the offset table does not point at items; leave the file out")
    numbers = [*(starts[offset] for offset in offsets), len(fragments)]
    return [fragments[first:after] for first, after in itertools.pairwise(numbers)]


def _extended_offsets(file: IO[bytes], header: Header) -> list[int]:
    """Extended Offset Table (7FE0,0001), when there is one for every frame."""
    file.seek(0)
    value = parse(file, [EXTENDED_OFFSETS]).get(EXTENDED_OFFSETS)
    table = value.value if value is not None and isinstance(value.value, bytes) else b""
    if len(table) != 8 * header.frames:
        return []
    return [int.from_bytes(table[at : at + 8], "little") for at in range(0, len(table), 8)]


def _by_end_marker(file: IO[bytes], fragments: list[Fragment]) -> list[list[Fragment]]:
    """Frames end with the fragment that holds the end marker of a code stream."""
    frames: list[list[Fragment]] = [[]]
    for fragment in fragments:
        frames[-1].append(fragment)
        tail = min(TAIL_BYTES, fragment.length)
        file.seek(fragment.offset + fragment.length - tail)
        if END_MARKER in file.read(tail):
            frames.append([])
    return frames if frames[-1] else frames[:-1]


def _cut() -> RecordError:
    return RecordError("E_TRUNCATED", "file ends inside compressed pixel data; copy it again from its source")
