"""Options that several commands share, each with one help text."""

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from rrg.errors import UsageError
from rrg.pipe import Io, OnError

Inputs = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]...", help="Record streams, merged by study; none or - is stdin.")
]
Store = Annotated[Path, typer.Option(help="Folder of the pixel and mask arrays.")]
Seed = Annotated[int, typer.Option(help="Seed of all random choices.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="Secret behind the pseudonyms; made when absent. Default: $RRG_KEY_FILE, else ~/.config/rrg/key."
    ),
]

_OUT = Annotated[Path, typer.Option(help="Output file, whole or absent; - is stdout.")]
_TEE = Annotated[Path | None, typer.Option(help="Also keep the output in this file; with --resume it is reused.")]
_RESUME = Annotated[bool, typer.Option("--resume", help="Reuse the finished studies of an interrupted run.")]
_WORKERS = Annotated[int, typer.Option(min=1, help="Processes.")]
_SHARD = Annotated[
    str | None,
    typer.Option(
        metavar="I/N", help="Only part I of N (from 1), whole patients; slurm: from the array task variables."
    ),
]
_ON_ERROR = Annotated[OnError, typer.Option(help="record: error records in the stream; fail: stop at the first.")]
_QUIET = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")]
Exclude = Annotated[
    str | None,
    typer.Option(metavar="KEYS", help="Leave these patients out, their lines too: a file, an id a line, or ID,ID."),
]
_FLUSH = Annotated[bool, typer.Option("--flush", help="Write every study at once, for tail -f.")]

_SHARED = {
    "out": (_OUT, Path("-")),
    "tee": (_TEE, None),
    "resume": (_RESUME, False),
    "workers": (_WORKERS, 1),
    "shard": (_SHARD, None),
    "on_error": (_ON_ERROR, OnError.RECORD),
    "flush": (_FLUSH, False),
    "exclude": (Exclude, None),
    "quiet": (_QUIET, False),
}


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """``2/4`` -> (2, 4). ``slurm`` reads SLURM_ARRAY_TASK_ID, counted from 1, and SLURM_ARRAY_TASK_COUNT."""
    if text is None:
        return None
    if text == "slurm":
        try:
            task, tasks = int(os.environ["SLURM_ARRAY_TASK_ID"]), int(os.environ["SLURM_ARRAY_TASK_COUNT"])
        except (KeyError, ValueError):
            raise UsageError("--shard slurm: SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT are not set") from None
        if not 1 <= task <= tasks:  # a part of the array submitted again would silently do other work
            raise UsageError(
                f"--shard slurm: task {task} of {tasks}; submit --array=1-N, or name the part: --shard {task}/N"
            )
        return task, tasks
    number, slash, of = text.partition("/")
    if not (slash and number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise UsageError(f"--shard {text}: expected I/N with 1 <= I <= N, or slurm")
    return int(number), int(of)


def excluded(keys: str | None, key_file: Path | None = None) -> frozenset[str]:
    """Pseudonyms of ``--exclude``. Original ids are hashed with the key file; UsageError where there is none."""
    if keys is None:
        return frozenset()
    from rrg.keys import default_key_file, load_key
    from rrg.verify_forget import read_keys

    path = key_file or default_key_file()
    return read_keys(keys, load_key(path, create=False) if path.exists() else None)


def streaming(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared stream options; they reach it as one ``io: Io``. ``inputs`` is put into it too."""
    own = inspect.signature(command)

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        shared = {name: given.pop(name) for name in _SHARED}
        if shared.pop("quiet"):
            os.environ["RRG_QUIET"] = "1"
        out = shared.pop("out")
        io = Io(
            inputs=tuple(given.pop("inputs", None) or ()),
            out=None if str(out) == "-" else out,
            **{
                **shared,
                "shard": parse_shard(shared["shard"]),
                "exclude": excluded(shared["exclude"], given.get("key_file")),
            },
        )
        command(**given, io=io)

    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _SHARED.items()
        if name not in own.parameters  # a command may word one of them itself, say to free its short form
    ]
    kept = [parameter for parameter in own.parameters.values() if parameter.name != "io"]
    wrapper.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept] + shared
    )
    wrapper.__annotations__ = {p.name: p.annotation for p in (*kept, *shared)}
    return wrapper
