"""Run records: what a command was told to do, without clock, host or path."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rrg.records import Run


def rrg_version() -> str:
    """The installed version of rrg."""
    try:
        return version("rrg")
    except PackageNotFoundError:  # run from a checkout without an install
        return "0+unknown"


def make_run(
    command: str, options: Mapping[str, Any], *, seed: int | None = None, inputs: Mapping[str, str] | None = None
) -> Run:
    """The run record of a command. `options` are those that change results; `inputs` are hashes of side inputs."""
    known = {name: value for name, value in sorted(options.items()) if value is not None}
    sides = dict(sorted((inputs or {}).items()))
    body = [command, rrg_version(), known, seed, sides]
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return Run(id=digest[:16], command=command, version=rrg_version(), options=known, seed=seed, inputs=sides)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_files(folder: Path, pattern: str = "**/*") -> str:
    """SHA-256 over names and contents of the files of a folder, hex; independent of listing order."""
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    return sha256_named((path.relative_to(folder).as_posix(), sha256_file(path)) for path in files)


def sha256_named(files: Iterable[tuple[str, str]]) -> str:
    """`sha256_files` of files of which (name, `sha256_file`) is known, in the order of the parts of their names.

    Names are hashed as the bytes that the file system has, in UTF-8 or not.
    """
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
