"""rrg pipeline: run a recipe."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from rrg.errors import INTERRUPTED_RESUMABLE, UsageError


def command(
    recipe: Annotated[Path, typer.Argument(help="Recipe, TOML.")],
    work: Annotated[Path, typer.Option(help="Folder for what makes the run resumable.")] = Path("pipeline-work"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Replace a value of [vars].")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Show the shell lines and run nothing.")] = False,
) -> None:
    """Run a recipe: every stage a real process, joined by real pipes.

    Example:  rrg pipeline examples/recipes/phantom.toml --set out=demo-out --print
    """
    from rrg.recipes import read_recipe, run_recipe, shell_lines

    given = dict(part.split("=", 1) for part in settings or () if "=" in part)
    if len(given) != len(settings or ()):
        raise UsageError("--set takes NAME=VALUE, each name once")
    stages = read_recipe(recipe, given, _options())
    if show:
        print("\n".join(shell_lines(stages, work, resume=resume)))
        return
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _stop)
    raise typer.Exit(run_recipe(stages, work, resume=resume))


def _stop(_number: int, _frame: Any) -> None:
    raise SystemExit(INTERRUPTED_RESUMABLE)


def _options() -> dict[str, dict[str, bool]]:
    """Command -> its options (without dashes) -> True for flags."""
    from rrg.cli import COMMANDS, load

    return {
        name: {
            option.lstrip("-"): bool(getattr(parameter, "is_flag", False))
            for parameter in load(name).params
            for option in parameter.opts
            if option.startswith("--")
        }
        for name in COMMANDS
        if name != "pipeline"
    }
