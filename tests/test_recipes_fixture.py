"""Every recipe of examples/ in its small form: it runs on phantoms, what it expects holds, all of it is finished."""

from pathlib import Path

import pytest

from tests.conftest import Rrg

FOLDER = Path(__file__).parents[1] / "examples" / "recipes"

RECIPES = sorted(path for path in FOLDER.glob("*.toml") if path.stem != "phantom")
"""That of the demo is run by test_network.py."""


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_its_own_test(recipe: Path, tmp_path: Path, rrg: Rrg) -> None:
    words = ["pipeline", recipe, "--fixture", "--set", "out=o", "--work", "w", "--quiet"]
    done = rrg(*words, cwd=tmp_path, code=None)
    assert done.returncode in (0, 3), done.stderr.decode()[-1500:]
    assert b"expectations of the recipe hold" in done.stderr
    plan = rrg(*words, "--dry-run", cwd=tmp_path).stdout.decode().splitlines()
    assert plan
    assert all(line.split()[1] == "finished" for line in plan), plan
