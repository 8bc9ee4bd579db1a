"""What is wrong in a recipe, in one line: file, line, what was seen, and the nearest valid word."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrg.errors import UsageError


@dataclass(frozen=True)
class Source:
    """A recipe as text."""

    path: Path
    text: str

    def near(self, word: str, known: Iterable[str]) -> str:
        """A hint: the nearest of the known words, or all of them when there are few."""
        listed = list(known)
        near = difflib.get_close_matches(word, listed, n=1)
        if near:
            return f"; did you mean {near[0]!r}?"
        return f"; one of {', '.join(sorted(listed))}" if listed else ""

    def wrong(self, key: str, stage: int | None, what: str, hint: str = "") -> UsageError:
        """An error with the line of `key`, in the stage-th [[stage]] (negative: from the last [[fixture.stage]])."""
        lines = self.text.splitlines()
        mark = "[[stage]]" if stage is None or stage >= 0 else "[[fixture.stage]]"
        if stage is not None and stage < 0:
            stage += sum(line.strip() == mark for line in lines)
        seen = -1
        for line, content in enumerate(lines, 1):
            if content.lstrip().startswith("[") and content.strip() != mark and stage is not None:
                seen += 1000 if seen == stage else 0  # behind the stage another table begins
            seen += content.split("#")[0].strip() == mark
            if (stage is None or seen == stage) and re.match(rf"\s*\[*{re.escape(key)}\b", content):
                return UsageError(f"{self.path}, line {line}: {what}{hint}")
        return UsageError(f"{self.path}, stage {(stage or 0) + 1}: {what}{hint}")

    def wrong_table(self, name: str, what: str, hint: str = "") -> UsageError:
        """An error with the line where a table begins: ``[name]``, ``[[name]]``, ``[name.part]``, or ``name = ...``."""
        for begins in (rf"\s*\[+\s*[\"']?{re.escape(name)}\b", rf"\s*[\"']?{re.escape(name)}\b"):
            for line, content in enumerate(self.text.splitlines(), 1):
                if re.match(begins, content):
                    return UsageError(f"{self.path}, line {line}: {what}{hint}")
        return UsageError(f"{self.path}: {what}{hint}")

    def wrong_text(self, text: str, what: str) -> UsageError:
        """An error with the line that holds a ``{name}``, or the end of a path, if any does."""
        name = text.rpartition("/")[2]
        for line, content in enumerate(self.text.splitlines(), 1):
            if text.startswith("{") and text in content:
                return UsageError(f"{self.path}, line {line}: {what}")
            if name and f'{name}"' in content and not re.match(r"\s*(output|out|store)\s*=", content):
                return UsageError(f"{self.path}, line {line}: {what}")
        return UsageError(f"{self.path}: {what}")

    def words(self, stage: int, key: str, value: Any) -> list[str]:
        """A value, or a list of them, as texts."""
        words = value if isinstance(value, list) else [value]
        if any(isinstance(word, dict | bool) or not isinstance(word, str | int | float) for word in words):
            raise self.wrong(key, stage, f"{key} = {value!r}, expected text, a number, or a list of them")
        return [str(word) for word in words]

    def has_stage(self, name: str) -> bool:
        """True when a stage has the name, or runs the command of it."""
        return bool(re.search(rf'^\s*(name|run)\s*=\s*["\']{re.escape(name)}["\']', self.text, re.MULTILINE))
