"""The process behind `rrg.jail`: takes jobs from one pipe, answers on another. Imports only what a job names."""

import ctypes
import importlib
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from rrg.errors import RecordError
from rrg.jail import MAX_MESSAGE, NO_MEMORY, READY, REFUSED, REPLY, REQUEST, RESULT

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4  # prctl(2)
MAX_GROWTH = 256 << 20
"""Address space in bytes that a child may gain over its jobs (leaks, caches) before it retires."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
_STATM = Path("/proc/self/statm")


def serve(parent: int, requests: int, replies: int) -> None:
    """Answer until the pipe is closed. `parent` is the process id of who started this one; the others are pipes."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(PR_SET_DUMPABLE, 0)
    if os.getppid() != parent:  # it died before it could take us along
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    first = 0
    with open(requests, "rb") as source, open(replies, "wb", buffering=0) as sink:
        sink.write(READY)
        while head := source.read(REQUEST.size):
            name, arguments, size, expected, memory, cpu = json.loads(source.read(*REQUEST.unpack(head)))
            data = bytearray(size)
            if source.readinto(data) != size:
                return
            _limit(resource.RLIMIT_CPU, math.ceil(_cpu_seconds() + cpu))
            held = _address_space()
            first = first or held
            if held:
                _limit(resource.RLIMIT_AS, held + memory)
            _answer(sink, name, data, arguments, expected)
            _limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
            if _address_space() - first > MAX_GROWTH:
                return


def _answer(sink: BinaryIO, name: str, data: bytearray, arguments: list[int | str], expected: int) -> None:
    kind, found = RESULT, memoryview(b"")
    try:
        found = memoryview(_function(name)(data, *arguments)).cast("B")
        if len(found) != expected:
            raise RecordError("E_MALFORMED", f"decodes to {len(found)} bytes, its header says {expected}")
    except MemoryError:
        kind, found = NO_MEMORY, memoryview(b"")
    except RecordError as error:
        kind, found = REFUSED, _message(error.code, error.message)
    except Exception as error:  # whatever a broken file provokes; its text might quote the file
        what = f"pixel data can not be decoded ({type(error).__name__}); copy it again from its source"
        kind, found = REFUSED, _message("E_MALFORMED", what)
    _write(sink, memoryview(REPLY.pack(kind, len(found))))
    _write(sink, found)


def _write(sink: BinaryIO, view: memoryview) -> None:
    while view:
        view = view[sink.write(view) :]


def _message(code: str, message: str) -> memoryview:
    return memoryview(json.dumps([code, message[: MAX_MESSAGE // 8]]).encode())


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _limit(which: int, value: int) -> None:
    """Set the soft limit, as far as the hard one allows."""
    hard = resource.getrlimit(which)[1]
    ends = [each for each in (value, hard) if each != resource.RLIM_INFINITY]
    resource.setrlimit(which, (min(ends, default=resource.RLIM_INFINITY), hard))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _address_space() -> int:
    """Bytes; 0 where the system does not tell (then memory is not limited)."""
    try:
        return int(_STATM.read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
