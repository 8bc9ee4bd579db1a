"""How fast answers come, over all processes of a run: a bar on a terminal, else one line at the end. Never data."""

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

WRITE_S = 0.5
LOOK_S = 1.0


class Meter:
    """The counts of this process, written to a file of its own in `folder`."""

    def __init__(self, folder: str | None) -> None:
        self._path = Path(folder) / f"{os.getpid()}-{os.urandom(4).hex()}.json" if folder else None
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._written_at = 0.0

    def add(self, *, answers: int = 0, cached: int = 0, tokens: int = 0, seconds: float = 0.0, parts: int = 0) -> None:
        """Count; a part is what the whole work is counted in, a report for example."""
        self._counts.update(answers=answers, cached=cached, tokens=tokens, parts=parts)
        self._seconds += seconds
        now = time.monotonic()
        if self._path is not None and (parts or now - self._written_at > WRITE_S):
            self._written_at = now
            new = self._path.with_suffix(".new")
            with contextlib.suppress(OSError):  # a count that is not seen is no reason to stop
                new.write_text(json.dumps({**self._counts, "seconds": self._seconds}))
                new.replace(self._path)


def total(folder: str) -> dict[str, float]:
    """The sum over all processes."""
    found: Counter[str] = Counter()
    for path in Path(folder).glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            found.update(json.loads(path.read_text()))
    return dict(found)


def sentence(counts: dict[str, float], seconds: float) -> str:
    """``240 answers, 31 % from the cache, 58 tokens/s``."""
    answers = counts.get("answers", 0)
    share = 100 * counts.get("cached", 0) / answers if answers else 0
    speed = counts.get("tokens", 0) / seconds if seconds > 0 else 0
    return f"{answers:.0f} answers, {share:.0f} % from the cache, {speed:.0f} tokens/s"


class Watch:
    """The bar of a run, in the process that started it. `close` prints the line and removes the counts."""

    def __init__(self, command: str, parts: int | None, unit: str) -> None:
        self._command = command
        self._temporary = tempfile.TemporaryDirectory(prefix="rrg-llm-")
        self.folder = self._temporary.name
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._bar = None
        if sys.stderr.isatty() and not os.environ.get("RRG_QUIET"):
            from tqdm import tqdm

            self._bar = tqdm(total=parts, unit=unit, desc=f"rrg {command} llm", position=1, leave=False)
            threading.Thread(target=self._show, daemon=True).start()

    def close(self) -> None:
        """End the bar; one line to stderr."""
        self._stop.set()
        counts = total(self.folder)
        if self._bar is not None:
            self._bar.close()
        if counts.get("answers") and not os.environ.get("RRG_QUIET"):
            line = sentence(counts, time.monotonic() - self._began)
            print(f"rrg {self._command}: language model: {line}", file=sys.stderr)
        self._temporary.cleanup()

    def _show(self) -> None:
        assert self._bar is not None
        while not self._stop.wait(LOOK_S):
            counts = total(self.folder)
            self._bar.n = int(counts.get("parts", 0))
            self._bar.set_postfix_str(sentence(counts, time.monotonic() - self._began))
