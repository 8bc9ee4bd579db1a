"""Parts of a page on disk: each study writes its own, whichever process works on it; the page joins them."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from rrg.errors import RrgError
from rrg.outputs.page import Fragment


def open_parts(page: Path, *, resume: bool) -> Path:
    """The folder of parts beside `page`; parts of an interrupted run stay when `resume`, else they are removed."""
    folder = page.with_name(page.name + ".parts")
    try:
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise RrgError(f"{page.name}: {error.strerror or error}; choose another --page", "E_IO") from None
    return folder


def save_part(folder: Path, key: str, parts: Iterable[Fragment]) -> None:
    """Keep the fragments of one study, whole or not at all."""
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.jsonl"
    partial = path.with_suffix(".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(part) + "\n" for part in parts)
        partial.replace(path)
    except OSError as error:
        raise RrgError(f"parts of the page: {error.strerror or error}; free space and run again", "E_IO") from None


def read_parts(folder: Path) -> Iterator[Fragment]:
    """All fragments, studies in the order of their keys' hashes: the same whatever the order of work."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield Fragment(*json.loads(line))
