"""What a broken native decoder does, for the jail to survive."""

import ctypes
import os
import resource
import signal
import struct
import sys
import time
from pathlib import Path


def echo(data: bytearray) -> bytearray:
    return data


def pid(_data: bytearray) -> bytes:
    return os.getpid().to_bytes(8, "little")


def nap(_data: bytearray) -> bytes:
    """Process id, and from when to when it slept, in seconds of one clock for all processes."""
    start = time.monotonic()
    time.sleep(0.2)
    return struct.pack("<Qdd", os.getpid(), start, time.monotonic())


def segfault(_data: bytearray, *_: object) -> bytes:
    return ctypes.string_at(0)


def abort(_data: bytearray) -> bytes:
    os.abort()


def leave(_data: bytearray) -> bytes:
    os._exit(0)


def loop(_data: bytearray) -> bytes:
    while True:
        pass


def sleep(_data: bytearray) -> bytes:
    time.sleep(3600)
    return b""


def allocate(_data: bytearray, gigabytes: int) -> bytes:
    """As Python does."""
    return bytes(bytearray(gigabytes << 30)[:1])


def malloc(_data: bytearray, megabytes: int) -> bytes:
    """As C does: the answer is whether memory was given. It is never given back."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    return bytes([libc.malloc(megabytes << 20) is not None])


def chatter(_data: bytearray) -> bytes:
    for end in (1, 2):
        os.write(end, b"R" * 100_000)
    print("a decoder that prints", flush=True)
    return os.read(0, 8) + b"answer"


def too_long(data: bytearray) -> bytes:
    return bytes(data) + b"!"


def quoting(_data: bytearray) -> bytes:
    raise ValueError("Mustermann^Erika")


def killed_once(data: bytearray, mark: str) -> bytearray:
    """Killed from outside, but for the second time."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return data


def killed(_data: bytearray) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def core_limit(_data: bytearray) -> bytes:
    return repr(resource.getrlimit(resource.RLIMIT_CORE)).encode().ljust(8)


def write(_data: bytearray, path: str) -> bytes:
    try:
        with open(path, "wb", buffering=0) as file:  # noqa: PTH123
            file.write(b"written by a decoder")
    except OSError:
        return b"refused"
    return b"written"


def loaded(_data: bytearray, name: str) -> bytes:
    return bytes([name in sys.modules])
