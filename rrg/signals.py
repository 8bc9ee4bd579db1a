"""Signals that end a process by an exception, raised where it can be."""

import signal
from collections.abc import Callable
from functools import wraps
from types import FrameType

Handler = Callable[[int, FrameType | None], None]
AGAIN_SECONDS = 0.01
WEAK = ("weakref", "_weakrefset")
"""Modules whose functions are callbacks of weak references."""


def careful(handler: Handler) -> Handler:
    """A handler that raises, put off while the main thread is where an exception does harm.

    The import system takes and lets go of its lock in Python code: an exception between the two leaves it taken, and
    every thread that imports waits for ever. One that is raised in a finaliser, or in the callback of a weak reference,
    is printed and forgotten. Module bodies that are being imported may raise. Uses SIGALRM.
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
    return code.co_filename.startswith("<frozen importlib") or code.co_name == "__del__" or own in WEAK
