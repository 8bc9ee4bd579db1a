"""Imports point up the layer table, heavy libraries stay out of command files, and help loads neither."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    "errors records states",
    "codec seeds keys",
    "collector parallel progress provenance stream jail store columns signals private folders geometry anatomy windows",
    "burned charset scan archives files labels infer_pixels",
    "pipe",
    "threshold masks totalsegmentator acquisitions quality",
    "dicom nifti pixels roles stacks series resample phi",
    "slices index extract",
    "reports llm segment",
    "boxes prompt synth",
    "phantom pack balance formats datasets",
    "model optimise",
    "train export check infer metrics outputs study summary passport score recipes status verify doctor",
    "cli",
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "llama_cpp",
    "SimpleITK",
    "totalsegmentator",
    "zarr",
    "numpy",
    "pydicom",
    "PIL",
}


def layer(path: Path) -> str:
    """The layer word of a file: rrg/reports/sections.py -> reports, rrg/phantom_text.py -> phantom."""
    first = path.relative_to(ROOT / "rrg").parts[0].removesuffix(".py")
    return first if first in RANK else first.partition("_")[0]


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "rrg" else {node.module}
    return found


LIBRARY = sorted(p for p in (ROOT / "rrg").rglob("*.py") if p.name not in ("__init__.py", "__main__.py"))


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_up_the_table(path: Path) -> None:
    own = layer(path)
    assert own in RANK, f"{path.name} has no place in the layer table of this test"
    for name in imported(path):
        if name == "rrg.cli":
            pytest.fail("nothing imports the command line")
        if name.startswith("rrg.commands"):
            assert own == "cli", f"{path.name} imports {name}"
        elif name.startswith("rrg."):
            other = layer(ROOT / "rrg" / f"{name.split('.')[1]}.py")
            assert RANK[other] <= RANK[own], f"{path.name} ({own}) imports {name}, which is below it"


@pytest.mark.parametrize("path", sorted((ROOT / "commands").glob("*.py")), ids=lambda p: p.name)
def test_command_files_import_nothing_heavy_at_the_top(path: Path) -> None:
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in names} & HEAVY
    assert len(path.read_text().splitlines()) <= 150, "a command is options and one call"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from rrg import cli; sys.argv = ['rrg', *sys.argv[1:]]; cli.main(); "
        f"bad = {HEAVY!r} & set(sys.modules); sys.exit(f'loaded {{bad}}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_one_place_knows_totalsegmentator() -> None:
    """Its code runs in a process of its own; its tables are read beside it."""
    users = {path.name for path in LIBRARY if any(n.partition(".")[0] == "totalsegmentator" for n in imported(path))}
    assert users == {"totalsegmentator_child.py", "totalsegmentator_tasks.py"}
