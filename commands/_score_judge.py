"""Options of the judge of `rrg score`; they reach the command as one ``judge``."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from rrg.errors import UsageError

_OPTIONS: dict[str, Any] = {
    "judge_url": Annotated[
        str | None, typer.Option(metavar="URL", help="vqa, report: a language model as judge, http://host:port/v1.")
    ],
    "judge_rubric": Annotated[
        Path | None, typer.Option(metavar="FILE", help="What it is told: a text with {reference} and {prediction}.")
    ],
    "judge_model": Annotated[str | None, typer.Option(metavar="NAME", help="Its name. Default: the only one.")],
    "judge_cache": Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that keeps its verdicts; with it a score can be repeated."),
    ],
    "judge_key_env": Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with the key of the server.")
    ],
}
"""Option -> its type and help."""


def with_judge(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a judge."""
    own = inspect.signature(command)

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        from rrg.score_judge import JudgeOptions

        taken = {name.removeprefix("judge_"): given.pop(name) for name in _OPTIONS}
        url, rubric = taken.pop("url"), taken.pop("rubric")
        if (url is None) != (rubric is None):
            raise UsageError("--judge-url and --judge-rubric go together; give both")
        if url is None and any(each is not None for each in taken.values()):
            raise UsageError("--judge-model, --judge-cache and --judge-key-env need --judge-url")
        command(**given, judge=JudgeOptions(url=url, rubric=rubric, **taken) if url is not None else None)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    kept = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in own.parameters.items() if name != "judge"
    ]
    wrapper.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {each.name: each.annotation for each in (*kept, *added)}
    return wrapper
