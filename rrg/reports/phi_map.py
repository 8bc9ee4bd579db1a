"""Where each place of a masked text stood in the text before: beside the key, for who may see both.

``<key file>.d/reports/<two digits>/<report id>.map``: folder 0700, files 0600, whole or absent, the same bytes from
every worker and shard. It holds offsets and names of rules only; the text itself stays where the hospital has it.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rrg.errors import RrgError


class Place(NamedTuple):
    """One placeholder, in code points."""

    start: int
    end: int
    """[start, end) in the masked text."""
    original_start: int
    original_end: int
    """[start, end) in the text as cleaned, before it was masked."""
    rule: str


def folder_of(key_file: Path) -> Path:
    """Where the maps of a key file lie."""
    return key_file.with_name(f"{key_file.name}.d") / "reports"


def path_of(folder: Path, report_id: str) -> Path:
    """File of a report's map."""
    return folder / report_id[:2] / f"{report_id}.map"


def write_map(folder: Path, report_id: str, places: Sequence[Place], *, source_sha256: str) -> None:
    """Write the map of a report, unless it is there with these bytes. Raises RrgError when the folder refuses."""
    path = path_of(folder, report_id)
    body = {"report": report_id, "source_sha256": source_sha256, "map": [list(place) for place in places]}
    data = json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
    try:
        path.parents[2].mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in (path.parents[1], path.parent):
            place.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == data:
                return
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RrgError(
            f"maps of masked reports: {error.strerror} while writing beside the key file; give a --key-file in a "
            "folder that can be written, or --no-phi-map",
            "E_IO",
        ) from None


def read_map(folder: Path, report_id: str) -> tuple[Place, ...] | None:
    """The map of a report; None when there is none. Raises RrgError for a damaged one."""
    try:
        loaded = json.loads(path_of(folder, report_id).read_bytes())
        return tuple(Place(*row) for row in loaded["map"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise RrgError(f"map of report {report_id} is damaged; remove it and run parse-reports again") from None


def original_span(places: Sequence[Place], span: tuple[int, int]) -> tuple[int, int]:
    """A span of the masked text -> the span of the text before. What cuts a placeholder takes all of it."""
    start, end = span
    shift_start = shift_end = 0
    first, last = start, end
    for place in places:
        if place.end <= start:
            shift_start = place.original_end - place.end
        elif place.start < start:
            first, shift_start = place.original_start, 0
        if place.end <= end:
            shift_end = place.original_end - place.end
        elif place.start < end:
            last, shift_end = place.original_end, 0
    return first + shift_start, last + shift_end
