"""What is built and installed is the same program as the checkout: every command answers from another folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rrg.cli import COMMANDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("rrg", "commands"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", folder, tree], capture_output=True, text=True, check=False
    )
    if built.returncode and "setuptools" in built.stderr:
        pytest.skip("setuptools can not be fetched here, so no wheel can be built")
    assert built.returncode == 0, built.stderr
    wheel = next(folder.glob("rrg-*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def test_every_command_is_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    where = subprocess.run(
        [sys.executable, "-c", "import rrg; print(rrg.__file__)"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        check=True,
    )
    assert str(installed) in where.stdout.decode()
    for name in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "rrg", name, "--help"], cwd=tmp_path, env=env, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stderr.decode()}"


def test_every_data_file_is_in_the_wheel(installed: Path) -> None:
    for path in (ROOT / "rrg").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (installed / "rrg" / path.relative_to(ROOT / "rrg")).is_file(), path.name
    for path in (ROOT / "commands").glob("*.py"):
        assert (installed / "rrg" / "commands" / path.name).is_file()
