"""Translations that the user gives (``--translations FILE``): sentence -> its wording in the other language."""

import csv
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from rrg.errors import UsageError

_FIELDS = ("text", "translation")
Given = Mapping[tuple[str, str], str]
"""(report id or empty, sentence with single blanks) -> translation."""


@lru_cache(1)
def read_translations(path: str) -> Given:
    """All of a file. UsageError says file, line, what was seen and what was expected."""
    found: dict[tuple[str, str], str] = {}
    for where, row in _rows(Path(path)):
        unknown = sorted(set(row) - {"report", *_FIELDS})
        if unknown or not all(isinstance(row.get(name), str) for name in _FIELDS):
            seen = ", ".join(sorted(map(str, row))) or "nothing"
            raise UsageError(f"--translations {where}: expected text, translation and perhaps report; seen {seen}")
        report = row.get("report") or ""
        if not isinstance(report, str):
            raise UsageError(f"--translations {where}: report is no text; expected the id of a report record")
        key = report, plain(row["text"])
        if found.setdefault(key, row["translation"]) != row["translation"]:
            raise UsageError(f"--translations {where}: the sentence has another translation above; give one of them")
    return found


def plain(text: str) -> str:
    """A sentence as it is looked up: runs of white space are one blank."""
    return " ".join(text.split())


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                for number, row in enumerate(csv.DictReader(file), 2):
                    yield f"{path}:{number}", {name: value for name, value in row.items() if name is not None}
                return
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    body = json.loads(line)
                except json.JSONDecodeError as error:
                    raise UsageError(f"--translations {path}:{number}: no JSON: {error.msg}") from None
                if not isinstance(body, dict):
                    raise UsageError(f"--translations {path}:{number}: expected a JSON object")
                yield f"{path}:{number}", body
    except OSError as error:
        raise UsageError(f"--translations {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--translations {path}: {error}; expected JSON lines, or CSV with a head line") from None
