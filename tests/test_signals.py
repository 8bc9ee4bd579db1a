"""A signal ends a process by an exception, but not inside of the import system, a finaliser or a weak callback."""

import os
import signal
import time
from types import FrameType
from typing import Any

import pytest

from rrg.signals import careful


class _StopError(Exception):
    """Raised by the handler of the test."""


def stop(number: int, _frame: FrameType | None) -> None:
    raise _StopError(number)


INSIDE = """
def {name}(done):
    os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(30):
        time.sleep(0.001)
    done.append("whole")
"""


def and_wait(function: Any, done: list[str]) -> None:
    function(done)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("file", "name", "module"),
    [
        ("<frozen importlib._bootstrap>", "_get_module_lock", "importlib._bootstrap"),
        ("<frozen importlib._bootstrap_external>", "get_data", "importlib._bootstrap_external"),
        ("anywhere.py", "__del__", "anywhere"),
        ("weakref.py", "remove", "weakref"),
    ],
)
def test_it_waits_until_the_delicate_place_is_left(file: str, name: str, module: str) -> None:
    place = {"os": os, "signal": signal, "time": time, "__name__": module}
    exec(compile(INSIDE.format(name=name), file, "exec"), place)
    done: list[str] = []
    before = signal.signal(signal.SIGUSR1, careful(stop))
    try:
        with pytest.raises(_StopError):
            and_wait(place[name], done)
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert done == ["whole"]


def test_elsewhere_it_acts_at_once() -> None:
    place = {"os": os, "signal": signal, "time": time, "__name__": "module_that_is_imported"}
    exec(compile(INSIDE.format(name="body"), "module.py", "exec"), place)
    done: list[str] = []
    before = signal.signal(signal.SIGUSR1, careful(stop))
    try:
        with pytest.raises(_StopError):
            place["body"](done)  # type: ignore[operator]
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not done
