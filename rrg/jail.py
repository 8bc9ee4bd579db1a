"""Native code that a hostile file may crash runs in a child process with limits; a crash costs one job.

The child is a fresh interpreter (`rrg.jail_child`), started when first needed and used again until it dies; each
thread has its own. It dies with its parent, ignores the signals that the parent handles, and has nothing on its
standard streams. Limits guard against accidents and bombs; they are no sandbox against code that takes over the
child.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from rrg.errors import RecordError, RrgError

READY, RESULT, REFUSED, NO_MEMORY = b"R", b"D", b"E", b"M"
REPLY = struct.Struct("<cQ")
"""What a reply starts with: one of the bytes above, and the length of what follows."""
REQUEST = struct.Struct("<I")
"""What a request starts with: the length of its JSON header; the data follow that."""
LEFT_FOR_ANEW = (0, -signal.SIGKILL)
"""Exit codes for which the job is given once more: the child retired, or was killed from outside."""
START_SECONDS = 120.0
MAX_MESSAGE = 4096
PIPE_BYTES = 1 << 20
_START = "import sys; sys.path[:] = sys.argv[4:]; from rrg.jail_child import serve; serve(*map(int, sys.argv[1:4]))"
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


class Limits(NamedTuple):
    """What one job may use."""

    memory_bytes: int
    """Address space beyond what the child has before the job."""
    cpu_seconds: float
    wall_seconds: float


class Job(NamedTuple):
    """A call of an importable function ``function(data, *arguments)`` whose result is exactly ``len(out)`` bytes."""

    function: str
    """``module:name``."""
    data: bytes | bytearray | memoryview
    arguments: tuple[int | str, ...]
    out: memoryview
    """Where the result goes: writable, of bytes."""
    limits: Limits


def run(jobs: Iterable[Job], children: int = 1) -> Iterator[RecordError | None]:
    """Do the jobs in `children` processes; for each in order None (`Job.out` is filled) or why it failed.

    The codes are those of the function's own RecordError, E_MALFORMED for any other exception or length, and
    E_DECODER_CRASH when the child died, looped or asked for too much memory. Jobs are taken one at a time, at most
    one per child ahead. RrgError E_MEMORY when no child can be started.
    """
    waiting: deque[tuple[_Child, Job]] = deque()
    try:
        for job in jobs:
            if len(waiting) >= children:
                yield _finish(waiting)
            waiting.append((_idle(), job))
            waiting[-1][0].send(job)
        while waiting:
            yield _finish(waiting)
    finally:
        for child, _ in waiting:  # stopped early: nobody will read what they work on
            child.close()


def _finish(waiting: "deque[tuple[_Child, Job]]") -> RecordError | None:
    child, job = waiting[0]
    failed = child.receive(job)
    waiting.popleft()
    return failed


class _Local(threading.local):
    """Children die with the thread that started them (see prctl(2), PR_SET_PDEATHSIG): each thread has its own."""

    def __init__(self) -> None:
        self.pid, self.children = os.getpid(), list[_Child]()


def _idle() -> "_Child":
    """A child of this thread that has nothing to do."""
    if _LOCAL.pid != os.getpid():  # a fork: they are the children of another
        _LOCAL.pid, _LOCAL.children = os.getpid(), []
    for child in _LOCAL.children:
        if not child.busy:
            return child
    _LOCAL.children.append(_Child())
    return _LOCAL.children[-1]


class _Process(NamedTuple):
    popen: "subprocess.Popen[bytes]"
    requests: int
    """Write end of a pipe, not blocking."""
    replies: int
    """Read end of a pipe, not blocking."""
    owner: int


class _DiedError(Exception):
    """The child closed its end, or did not answer in time."""


class _Child:
    """One child process, started by the first job and again after it died."""

    def __init__(self) -> None:
        self.busy = False
        self._process: _Process | None = None
        self._ready = False
        self._end: Callable[[], object] = lambda: None

    def send(self, job: Job) -> None:
        """Hand over a job; whether that worked is told by `receive`."""
        self.busy = True
        if self._process is not None and self._process.popen.poll() is not None:
            self.close()
            self.busy = True
        if self._process is None:
            self._start()
        head = json.dumps(
            [job.function, job.arguments, len(job.data), len(job.out), job.limits.memory_bytes, job.limits.cpu_seconds]
        ).encode()
        with contextlib.suppress(_DiedError):
            self._write(REQUEST.pack(len(head)) + head, job.limits.wall_seconds)
            self._write(job.data, job.limits.wall_seconds)

    def receive(self, job: Job) -> RecordError | None:
        """Wait for the job that was sent last."""
        for last in (False, True):
            try:
                failed = self._receive(job)
                self.busy = False
                return failed
            except _DiedError:
                code, started = self._died(), self._ready
            self.close()
            if not started:
                raise RrgError(
                    f"the process that decodes pixels can not be started ({_reason(code)}); free memory, or allow more "
                    "processes, and run again",
                    "E_MEMORY",
                )
            if last or code not in LEFT_FOR_ANEW:
                break
            self.send(job)
        self.busy = False
        limits = job.limits
        why = f"took more than {limits.wall_seconds:.0f} s" if code is None else _reason(code)
        if code == -signal.SIGXCPU:
            why = f"took more than {limits.cpu_seconds:.0f} s of processor time"
        return _crash(why)

    def _receive(self, job: Job) -> RecordError | None:
        if not self._ready:
            if bytes(self._read(memoryview(bytearray(1)), START_SECONDS)) != READY:
                raise _DiedError
            self._ready = True
        wall = job.limits.wall_seconds
        kind, length = REPLY.unpack(self._read(memoryview(bytearray(REPLY.size)), wall))
        if kind == RESULT and length == len(job.out):
            self._read(job.out, wall)
            return None
        if kind == NO_MEMORY:
            self.close()
            return _crash(f"asked for more than {job.limits.memory_bytes / 1e6:.0f} MB of memory")
        if kind != REFUSED or length > MAX_MESSAGE:
            raise _DiedError
        code, message = json.loads(bytes(self._read(memoryview(bytearray(length)), wall)))
        return RecordError(str(code), str(message))

    def _start(self) -> None:
        request_out, request_in = os.pipe()
        reply_out, reply_in = os.pipe()
        for end in (request_in, reply_out):
            os.set_blocking(end, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            for end in (request_in, reply_in):
                with contextlib.suppress(OSError):  # beyond what this user may have: the usual size does
                    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        # What is blocked now stays blocked until the child ignores it: a Ctrl-C during its start must not look
        # like the crash of a file.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            popen = subprocess.Popen(
                [sys.executable, "-c", _START, *map(str, (os.getpid(), request_out, reply_in)), *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(request_out, reply_in),
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            for end in (request_in, reply_out):
                os.close(end)
            raise RrgError(
                f"the process that decodes pixels can not be started ({error.strerror}); free memory, or allow more "
                "processes, and run again",
                "E_MEMORY",
            ) from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(request_out)
            os.close(reply_in)
        self._process, self._ready = _Process(popen, request_in, reply_out, os.getpid()), False
        self._end = weakref.finalize(self, _end, self._process)

    def _write(self, data: bytes | bytearray | memoryview, seconds: float) -> None:
        assert self._process is not None
        view = memoryview(data).cast("B")
        while view:
            try:
                view = view[os.write(self._process.requests, view) :]
            except BlockingIOError:
                if not _wait(self._process.requests, select.POLLOUT, max(seconds, START_SECONDS)):
                    raise _DiedError from None
            except BrokenPipeError:
                raise _DiedError from None

    def _read(self, into: memoryview, seconds: float) -> memoryview:
        assert self._process is not None
        view = into
        while view:
            try:
                got = os.readv(self._process.replies, [view])
            except BlockingIOError:
                if not _wait(self._process.replies, select.POLLIN, seconds):
                    raise _DiedError from None
                continue
            if not got:
                raise _DiedError
            view = view[got:]
        return into

    def _died(self) -> int | None:
        """Exit code (negative: signal); None: it is still there, and had to be killed."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            closed = _closed(self._process.replies)
            return self._process.popen.wait(START_SECONDS if closed else 0)
        return None

    def close(self) -> None:
        """End the process, if there is one."""
        self._end()
        self._process, self._ready, self.busy = None, False, False


def _end(process: _Process) -> None:
    os.close(process.requests)
    os.close(process.replies)
    if process.owner != os.getpid():  # a copy of this object in a fork: not ours to end
        process.popen.returncode = 0
        return
    process.popen.kill()
    process.popen.wait()


def _wait(end: int, event: int, seconds: float) -> bool:
    """True when a pipe can be used. A time in which this process was stopped or the machine slept counts as 1 s."""
    poll = select.poll()
    poll.register(end, event)
    while seconds > 0:
        start = time.monotonic()
        if poll.poll(1000 * min(seconds, 1.0)):
            return True
        seconds -= min(time.monotonic() - start, 1.0)
    return False


def _closed(end: int) -> bool:
    poll = select.poll()
    poll.register(end, 0)
    return bool(poll.poll(0))


def _reason(code: int | None) -> str:
    if code is None:
        return "no answer"
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _crash(why: str) -> RecordError:
    return RecordError(
        "E_DECODER_CRASH", f"the decoder died or was stopped ({why}); copy the file again, or convert it"
    )


_LOCAL = _Local()
