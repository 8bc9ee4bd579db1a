"""Signals that end a process by an exception, raised where it can be."""

import os
import signal
import time
from collections.abc import Callable
from functools import wraps
from types import FrameType

Handler = Callable[[int, FrameType | None], None]
AGAIN_SECONDS = 0.01
ONE_SECONDS = 1.0
"""Signals that come within this time are one: Ctrl-C reaches a stage from the terminal and from its pipeline."""
WEAK = ("weakref", "_weakrefset")
"""Modules whose functions are callbacks of weak references."""


def at_once(code: int) -> Handler:
    """A handler for the time after a first signal, which just came: another one ends the process at once."""
    first = time.monotonic()

    def handler(_number: int, _frame: FrameType | None) -> None:
        if time.monotonic() - first > ONE_SECONDS:
            os._exit(code)

    return handler


def careful(handler: Handler) -> Handler:
    """A handler that raises, put off while the main thread is where an exception does harm.

    The import system takes and lets go of its lock in Python code: an exception between the two leaves it taken, and
    every thread that imports waits for ever; so with the locks of `threading`. One that is raised in a finaliser, or in
    the callback of a weak reference, is printed and forgotten. Module bodies that are being imported may raise.
    Uses SIGALRM.
    """

    @wraps(handler)
    def put_off(number: int, frame: FrameType | None) -> None:
        if frame is None or not _is_delicate(frame):
            handler(number, frame)
            return
        signal.signal(signal.SIGALRM, lambda _, later: put_off(number, later))
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    return put_off


def _is_delicate(frame: FrameType) -> bool:
    code = frame.f_code
    own = frame.f_globals.get("__name__")
    locks = own == "threading" and code.co_name in ("__enter__", "__exit__")  # taken or let go just now
    return code.co_filename.startswith("<frozen importlib") or code.co_name == "__del__" or own in WEAK or locks
