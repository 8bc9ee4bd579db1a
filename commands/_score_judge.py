"""Options of the judge of `rrg score`; they reach the command as one ``judge``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rrg.errors import UsageError

from ._bundle import bundled

_OPTIONS: dict[str, Any] = {
    "judge_url": Annotated[
        str | None, typer.Option(metavar="URL", help="vqa, report: a language model as judge, http://host:port/v1.")
    ],
    "judge_rubric": Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What it is told: a text with {reference} and {prediction}; green: count as GREEN."
        ),
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


def _judge(given: dict[str, Any]) -> Any:
    """`JudgeOptions`, or None without a judge."""
    from rrg.score_judge import JudgeOptions

    taken = {name.removeprefix("judge_"): value for name, value in given.items()}
    url, rubric = taken.pop("url"), taken.pop("rubric")
    if (url is None) != (rubric is None):
        raise UsageError("--judge-url and --judge-rubric go together; give both")
    if url is None and any(each is not None for each in taken.values()):
        raise UsageError("--judge-model, --judge-cache and --judge-key-env need --judge-url")
    return JudgeOptions(url=url, rubric=rubric, **taken) if url is not None else None


with_judge = bundled("judge", _OPTIONS, _judge)
"""Gives a command the options of a judge."""
