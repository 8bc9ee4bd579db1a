"""What a recipe does when all stages have ended: the table of its matrix, and its expectations."""

import sys

from rrg.errors import RrgError
from rrg.recipes import Recipe
from rrg.recipes_expect import missed
from rrg.recipes_table import write_table


def end(recipe: Recipe) -> None:
    """Write the table, check what must hold. RrgError naming the first thing that does not."""
    if recipe.table:
        for path in write_table(recipe):
            print(f"rrg pipeline: {path}", file=sys.stderr)
    wrong = list(missed(recipe.expect))
    for line in wrong[1:]:
        print(f"rrg pipeline: expected otherwise: {line}", file=sys.stderr)
    if wrong:
        raise RrgError(f"{recipe.path}: expected otherwise: {wrong[0]}")
    if recipe.expect:
        print(f"rrg pipeline: all {len(recipe.expect)} expectations of the recipe hold", file=sys.stderr)
