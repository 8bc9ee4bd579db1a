"""METEOR 1.5 and the PTB tokenizer: the Java programs that come with pycocoevalcap, called as it calls them."""

import atexit
import functools
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rrg.errors import RrgError

METEOR, PTB = "meteor/meteor-1.5.jar", "tokenizer/stanford-corenlp-3.4.1.jar"
PUNCTUATION = frozenset({
    "''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";",
})  # fmt: skip
"""Tokens that the captions' evaluation drops."""
ENDED = "METEOR ended early; is Java in order? leave it out with --metrics"
_UTF8 = "-Dfile.encoding=UTF-8"


def folder() -> Path | None:
    """Where pycocoevalcap lies; None when it is not installed."""
    spec = find_spec("pycocoevalcap")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def absent(jar: str) -> str | None:
    """Why a jar can not be run here; None when it can."""
    place = folder()
    if place is None or not (place / jar).is_file():
        return "pycocoevalcap is not installed: pip install 'rrg[coco]'"
    return None if shutil.which("java") else "Java is not installed; it is needed for this metric only"


def ptb(texts: Sequence[str]) -> list[str]:
    """Texts as PTB tokens, lower case, without punctuation, joined by blanks. Each text is cut once in a run."""
    new = [text for text in dict.fromkeys(texts) if text not in _CUT]
    if new:
        _CUT.update(zip(new, _ptb(new), strict=True))
    return [_CUT[text] for text in texts]


_CUT: dict[str, str] = {}


def _ptb(texts: Sequence[str]) -> list[str]:
    place = folder()
    assert place is not None
    jar = str(place / PTB)
    done = subprocess.run(
        ["java", _UTF8, "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"],
        input="".join(" ".join(text.split()) + "\n" for text in texts).encode(),
        capture_output=True,
        check=False,
    )
    lines = done.stdout.decode(errors="replace").split("\n")[: len(texts)]
    if done.returncode or len(lines) != len(texts):
        raise RrgError("the PTB tokenizer failed; is Java in order? try --coco-tokenizer simple")
    return [" ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION) for line in lines]


class Meteor:
    """METEOR 1.5 (English) as a process that answers one line for each line; it keeps the statistics of every pair."""

    def __init__(self) -> None:
        place = folder()
        assert place is not None
        jar = place / METEOR
        command = ["java", _UTF8, "-Xmx2G", "-jar", jar.name, "-", "-", "-stdio", "-l", "en", "-norm"]
        self._process = subprocess.Popen(
            command, cwd=jar.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._stats: dict[tuple[str, str], str] = {}
        atexit.register(self.close)

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        """METEOR of a set of texts, 0..1: of their summed statistics, not the mean. RrgError when Java ends."""
        stats = [self._pair(said, wanted) for said, wanted in zip(predictions, references, strict=True)]
        self._say("EVAL ||| " + " ||| ".join(stats))
        return float([self._read() for _ in range(len(stats) + 1)][-1])  # one line for each text, then the set's

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _pair(self, said: str, wanted: str) -> str:
        if (said, wanted) not in self._stats:
            self._say(f"SCORE ||| {_line(wanted)} ||| {_line(said)}")
            self._stats[said, wanted] = self._read()
        return self._stats[said, wanted]

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise RrgError(ENDED) from None

    def _read(self) -> str:
        assert self._process.stdout is not None
        if answer := self._process.stdout.readline().decode().strip():
            return answer
        raise RrgError(ENDED)


@functools.cache
def meteor() -> Meteor:
    """The one METEOR process, started when first asked for."""
    return Meteor()


def _line(text: str) -> str:
    return " ".join(text.replace("|||", "").split())
