"""Python's cycle collector beside records: they are many, live for one study, and hold no cycles."""

import contextlib
import gc
from collections.abc import Iterator

THRESHOLDS = 20_000, 10, 10
"""New objects, and collections of the generation before, until a generation is looked at. With Python's own (700, 10,
10) a stage that makes samples spends some 5 % of its time there."""


@contextlib.contextmanager
def seldom() -> Iterator[None]:
    """Let it look seldom, and never again at what is loaded now."""
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
