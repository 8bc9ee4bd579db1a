"""rrg pipeline: run a recipe."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from rrg.errors import INTERRUPTED_RESUMABLE, UsageError
from rrg.signals import at_once, careful

from . import _options as opt


def command(
    recipe: Annotated[Path, typer.Argument(help="Recipe, TOML.")],
    work: Annotated[Path, typer.Option(help="Folder for what makes the run resumable.")] = Path("pipeline-work"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Replace a value of [vars].")
    ] = None,
    fixture: Annotated[bool, typer.Option("--fixture", help="The recipe's small form, on phantoms.")] = False,
    first: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="Begin with this stage.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="End with this stage.")] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Part I of N of the data stages, in WORK/part-I.")
    ] = None,
    merge: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --from: the first stage reads N parts.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from journals, even where files have other times of change than then."),
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Do finished stages again, from the start.")] = False,
    max_reject: Annotated[
        str | None, typer.Option(metavar="P%", help="Stop when more than this share of studies has rejected inputs.")
    ] = None,
    exclude: opt.Exclude = None,
    slurm: Annotated[Path | None, typer.Option(metavar="DIR", help="Write sbatch files there and run nothing.")] = None,
    launch: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Start stages by this: torchrun --nproc-per-node=2.")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Show the shell lines and run nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is finished and what is to do.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No display of progress.")] = False,
) -> None:
    """Run a recipe: every stage a real process, joined by real pipes.

    What is finished is not done again while its options, versions and inputs are the same; what was interrupted goes
    on where it was. The recipe's [[expect]] is checked at the end.

    Example:  rrg pipeline examples/recipes/phantom.toml --set out=demo-out --print
    """
    from rrg.recipes import commands_in, read_recipe
    from rrg.recipes_end import end
    from rrg.recipes_plan import Digests, pipes, shell_lines
    from rrg.recipes_run import Rules, decide, merged, part_of, run_recipe, shown

    from ._recipe_options import options_of

    given = dict(part.split("=", 1) for part in settings or () if "=" in part)
    if len(given) != len(settings or ()):
        raise UsageError("--set takes NAME=VALUE, each name once")
    told = read_recipe(recipe, given, options_of(commands_in(recipe)), fixture=fixture)
    rules = Rules(resume, again, _share(max_reject), quiet, tuple((launch or "").split()))
    if slurm is not None:
        from rrg.recipes_slurm import write_jobs

        for line in write_jobs(told, slurm, work, {**given}, fixture=fixture, exclude=exclude):
            print(line)
        return
    if shard is not None:
        number, of = opt.parse_shard(shard) or (1, 1)
        shard, work = f"{number}/{of}", part_of(work, f"{number}/{of}")
    opt.excluded(exclude)  # that it can be read
    planned = pipes(told.stages, work, first, last, shard, exclude)
    if merge is not None:
        planned = merged(planned, work, merge)
    if show:
        print("\n".join(shell_lines(planned, resume=resume)))
        return
    made = frozenset(path for stage in told.stages for path in stage.makes)
    if dry_run:
        digests = Digests(made)
        print("\n".join(shown(decide(pipe, work, rules, digests) for pipe in planned)))
        return
    for number_ in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number_, careful(_stop))
    code = run_recipe(planned, work, rules, made)
    if last is None and shard is None:
        end(told)
    raise typer.Exit(code)


def _share(text: str | None) -> float | None:
    """``5%`` -> 0.05."""
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not (text.endswith("%") and 0 <= share <= 1):
        raise UsageError(f"--max-reject {text}: expected a share such as 5%")
    return share


def _stop(_number: int, _frame: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, at_once(INTERRUPTED_RESUMABLE))
    raise SystemExit(INTERRUPTED_RESUMABLE)
