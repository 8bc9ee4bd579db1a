"""Scalars as TensorBoard reads them: an event file without a clock, so that the same run writes the same bytes.

The format is that of TensorFlow's record files (length, masked CRC-32C of it, data, masked CRC-32C of it) with `Event`
messages; of their fields three are needed. Wall time is the step: of TensorBoard's axes
"step" is right and "relative" is not.
"""

import struct
from collections.abc import Mapping

import google_crc32c

NAME = "events.out.tfevents.0.rrg"
_MASK = 0xA282EAD8


def head() -> bytes:
    """The first record of a file."""
    return record(_double(1, 0.0) + _bytes(3, b"brain.Event:2"))


def scalars(stage: str, step: int, values: Mapping[str, float]) -> bytes:
    """One record with the values of a step, as ``stage/name``."""
    each = [_bytes(1, _bytes(1, f"{stage}/{name}".encode()) + _float(2, value)) for name, value in values.items()]
    return record(_double(1, float(step)) + _varint(2 << 3) + _varint(step) + _bytes(5, b"".join(each)))


def record(data: bytes) -> bytes:
    """A record of a record file."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    value = google_crc32c.value(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + _MASK) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
