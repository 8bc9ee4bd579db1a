"""Ordered map over processes with a bounded window."""

import ctypes
import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from rrg.errors import RrgError

T = TypeVar("T")
U = TypeVar("U")
WINDOW_PER_WORKER = 4
PR_SET_PDEATHSIG = 1  # prctl(2)


def start_worker() -> None:
    """Workers leave signals to the parent and die with it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def ordered_map(function: Callable[[T], U], items: Iterable[T], workers: int) -> Iterator[U]:
    """Results in input order. At most 4 items per worker are read ahead. One worker means: in this process."""
    if workers <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker)
    waiting: deque[Future[U]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= WINDOW_PER_WORKER * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise RrgError(
            "a worker process died (killed for memory, or a crash in a native library); "
            "run again with --resume and fewer --workers",
            "E_MEMORY",
        ) from None
    finally:
        for process in list((pool._processes or {}).values()):
            if waiting:  # stopped early: do not wait for work that nobody will read
                process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
