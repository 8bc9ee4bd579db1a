"""Small folders that each hold one fault of hospital data, with the outcome that a reader should come to.

The folder: ``input/`` (what to read), sometimes ``masks/`` and ``outside/`` (what nothing may read), and
``fault.json``: name, row, what, how to run it, what is expected, and the truth. The same name and seed make the same
bytes.
"""

import json
import warnings
from pathlib import Path
from typing import Any

from rrg import (
    phantom_faults_damage,
    phantom_faults_geometry,
    phantom_faults_header,
    phantom_faults_masks,
    phantom_faults_paths,
    phantom_faults_syntax,
    phantom_faults_values,
)
from rrg.errors import UsageError
from rrg.folders import building
from rrg.phantom_faults_study import BLOCK_MM, Fault

SCHEMA = "rrg.fault/1"
FAULTS: dict[str, Fault] = dict(
    sorted(
        (
            phantom_faults_syntax.FAULTS
            | phantom_faults_geometry.FAULTS
            | phantom_faults_values.FAULTS
            | phantom_faults_header.FAULTS
            | phantom_faults_damage.FAULTS
            | phantom_faults_paths.FAULTS
            | phantom_faults_masks.FAULTS
        ).items(),
        key=lambda pair: pair[1].row,
    )
)
"""Name -> fault, by row."""


def listing() -> str:
    """One line per fault: name, row, what, expected outcome; tabs between."""
    lines = ["name\trow\twhat\texpected"]
    for name, fault in FAULTS.items():
        codes = [f"{count} {code}" for code, count in fault.codes.items()]
        expected = ", ".join([f"exit {fault.exit}", *codes, *(f"flag {flag}" for flag in fault.flags)])
        lines.append(f"{name}\t{fault.row}\t{fault.what}\t{expected}{'. ' + fault.notes if fault.notes else ''}")
    return "\n".join(lines) + "\n"


def make_faults(out: Path, seed: int = 0) -> int:
    """Every fault as a folder ``out/NAME`` of its own; how many there are."""
    return len([make_fault(out / name, name, seed) for name in FAULTS])


def make_fault(out: Path, name: str, seed: int = 0) -> bool:
    """Write the folder `out`, whole or not at all. False when it holds this fault already.

    Raises UsageError for an unknown name, and when `out` holds something else.
    """
    if name not in FAULTS:
        raise UsageError(f"--fault {name}: no such fault; rrg phantom --list-faults names them, and all is all of them")
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if _is_there(out, name, seed):
            return False
        raise UsageError(f"--out {out}: holds something else; give a folder that is new or empty")
    fault = FAULTS[name]
    with building(out) as root:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pydicom and nibabel: odd values are meant
            more = fault.make(root, seed) or {}
        (root / "fault.json").write_bytes(json.dumps(_description(name, seed, more), indent=1).encode() + b"\n")
        root.rename(out)
    return True


def _description(name: str, seed: int, more: dict[str, Any]) -> dict[str, Any]:
    fault = FAULTS[name]
    expect = {"codes": dict(fault.codes), "flags": list(fault.flags), "exit": fault.exit, "notes": fault.notes}
    return {
        "schema": SCHEMA,
        "name": name,
        "row": fault.row,
        "what": fault.what,
        "seed": seed,
        "command": fault.command,
        "expect": expect | more.get("expect", {}),
        "truth": {"block_mm": BLOCK_MM, **more.get("truth", {})},
    }


def _is_there(out: Path, name: str, seed: int) -> bool:
    try:
        found = json.loads((out / "fault.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and (found.get("name"), found.get("seed")) == (name, seed)
