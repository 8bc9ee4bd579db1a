"""A TOML recipe -> processes joined by pipes.

A recipe is a list of ``[[stage]]`` tables. ``run`` names the command, ``input`` its positional arguments, ``output``
the file that its stdout goes to; every other key is one of the command's own options. A stage that reads records and
has no ``input`` is joined by a pipe to the stage before it. ``{name}`` in a string stands for a value of ``[vars]``.
"""

import difflib
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any

from rrg.errors import FAILED, INTERRUPTED, INTERRUPTED_RESUMABLE, READER_GONE, RECORDS_FAILED, RrgError, UsageError

FILTERS = frozenset({"parse-reports", "segment", "synth-vqa", "synth-ground", "pack", "sort", "infer", "view"})
"""Commands that can read records from stdin."""
OWN_KEYS = frozenset({"run", "name", "input", "output"})
LAST_LINES = 5
"""Lines of a failed stage's stderr that are shown again at the end."""


@dataclass(frozen=True)
class Stage:
    """One process: its name, what it runs, and where its stdout goes."""

    name: str
    command: str
    arguments: tuple[str, ...]
    output: Path | None
    joined: bool
    """Reads the stage before it through a pipe."""
    resumable: bool
    """Has ``--tee`` and ``--resume``."""


def read_recipe(path: Path, given: Mapping[str, str], options_of: Mapping[str, Mapping[str, bool]]) -> list[Stage]:
    """The stages of a recipe. `given` replaces values of ``[vars]``; `options_of` is command -> {option: is a flag}.

    Raises UsageError with file, line, what was seen and the nearest valid word.
    """
    try:
        text = path.read_text(encoding="utf-8")
        recipe = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    for key in recipe:
        if key not in ("meta", "vars", "stage"):
            raise _wrong(path, text, key, None, f"unknown table {key!r}", _near(key, ("meta", "vars", "stage")))
    values = {**recipe.get("vars", {}), **given}
    for key in given:
        if key not in recipe.get("vars", {}):
            raise UsageError(f"{path}: --set {key}: not in [vars]{_near(key, recipe.get('vars', {}))}")
    tables = recipe.get("stage")
    if not isinstance(tables, list) or not tables:
        raise UsageError(f"{path}: no [[stage]]; a recipe is a list of stages, see rrg pipeline --help")
    stages: list[Stage] = []
    for number, table in enumerate(tables):
        stages.append(_stage(path, text, number, table, values, options_of, first=not stages))
    return stages


def _stage(
    path: Path,
    text: str,
    number: int,
    table: Mapping[str, Any],
    values: Mapping[str, Any],
    options_of: Mapping[str, Mapping[str, bool]],
    *,
    first: bool,
) -> Stage:
    command = table.get("run")
    if not isinstance(command, str) or command not in options_of:
        raise _wrong(path, text, "run", number, f"run = {command!r} is no command", _near(str(command), options_of))
    options = options_of[command]
    arguments = [_fill(path, word, values) for word in _words(path, text, number, "input", table.get("input", []))]
    for key, value in table.items():
        if key in OWN_KEYS:
            continue
        if key not in options:
            raise _wrong(path, text, key, number, f"{command} has no option {key!r}", _near(key, (*options, *OWN_KEYS)))
        if options[key] != isinstance(value, bool):
            expected = "true or false" if options[key] else "a value"
            raise _wrong(path, text, key, number, f"{key} = {value!r}, expected {expected}")
        if isinstance(value, bool):
            arguments += [f"--{key}" if value else f"--no-{key}"]
        else:
            for word in _words(path, text, number, key, value):
                arguments += [f"--{key}", _fill(path, word, values)]
    joined = not table.get("input") and command in FILTERS
    if joined and first:
        raise _wrong(path, text, "run", number, f"{command} is the first stage and has no input")
    output = table.get("output")
    if output is not None and not isinstance(output, str):
        raise _wrong(path, text, "output", number, f"output = {output!r}, expected a file name")
    return Stage(
        name=str(table.get("name", command)),
        command=command,
        arguments=tuple(arguments),
        output=Path(_fill(path, output, values)) if output else None,
        joined=joined,
        resumable={"tee", "resume"} <= set(options),
    )


def _words(path: Path, text: str, number: int, key: str, value: Any) -> list[str]:
    words = value if isinstance(value, list) else [value]
    if any(isinstance(word, dict | bool) or not isinstance(word, str | int | float) for word in words):
        raise _wrong(path, text, key, number, f"{key} = {value!r}, expected text, a number, or a list of them")
    return [str(word) for word in words]


def _fill(path: Path, word: str, values: Mapping[str, Any]) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UsageError(f"{path}: {{{match[1]}}} is not in [vars]{_near(match[1], values)}")
        return str(values[match[1]])

    return re.sub(r"\{(\w+)\}", one, word)


def _near(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else (f"; one of {', '.join(sorted(known))}" if known else "")


def _wrong(path: Path, text: str, key: str, stage: int | None, what: str, hint: str = "") -> UsageError:
    """An error with the line of `key`, in the stage-th [[stage]] or at the top."""
    seen = -1
    for line, content in enumerate(text.splitlines(), 1):
        seen += content.strip() == "[[stage]]"
        if (stage is None or seen == stage) and re.match(rf"\s*\[*{re.escape(key)}\b", content):
            return UsageError(f"{path}, line {line}: {what}{hint}")
    return UsageError(f"{path}, stage {(stage or 0) + 1}: {what}{hint}")


def pipes(stages: Sequence[Stage]) -> Iterator[tuple[Stage, ...]]:
    """Stages that run at the same time, joined by pipes."""
    current: list[Stage] = []
    for stage in stages:
        if current and not stage.joined:
            yield tuple(current)
            current = []
        current.append(stage)
    if current:
        yield tuple(current)


def argv(stage: Stage, tee: Path | None, *, resume: bool) -> list[str]:
    """The argument vector of a stage, without the program."""
    words = [stage.command, *stage.arguments]
    if tee is not None:
        words += ["--tee", str(tee), *(["--resume"] if resume else [])]
    return words


def shell_lines(stages: Sequence[Stage], work: Path, *, resume: bool) -> Iterator[str]:
    """What a shell would be given, one line per pipe."""
    for number, group in enumerate(pipes(stages), 1):
        line = " | ".join(
            shlex.join(["rrg", *argv(stage, tee, resume=resume)]) for stage, tee in _with_tees(number, group, work)
        )
        yield f"{line} > {shlex.quote(str(group[-1].output))}" if group[-1].output else line


def _with_tees(number: int, group: Sequence[Stage], work: Path) -> Iterator[tuple[Stage, Path | None]]:
    """Every resumable stage whose records go on to another process keeps them in the work folder."""
    for place, stage in enumerate(group):
        keeps = stage.resumable and place < len(group) - 1
        yield stage, work / f"{number:02d}-{place + 1:02d}-{stage.name}.jsonl" if keeps else None


def run_recipe(stages: Sequence[Stage], work: Path, *, resume: bool) -> int:
    """Run all pipes in order; the exit code is 0, or 3 when some records failed. Raises RrgError at the first failure.

    A finished pipe leaves a stamp in `work`; with `resume` it is skipped while it and all before it are unchanged.
    """
    work.mkdir(parents=True, exist_ok=True)
    worst = 0
    before = ""
    for number, group in enumerate(pipes(stages), 1):
        words = [[*argv(stage, None, resume=False), str(stage.output)] for stage in group]
        before = hashlib.sha256(json.dumps([before, words]).encode()).hexdigest()
        stamp = work / f"{number:02d}.done"
        if resume and stamp.exists() and stamp.read_text().split()[0] == before:
            worst = max(worst, int(stamp.read_text().split()[1]))
            continue
        stamp.unlink(missing_ok=True)
        code = _run_pipe(list(_with_tees(number, group, work)), resume=resume)
        stamp.write_text(f"{before} {code}\n")
        worst = max(worst, code)
    return worst


def _run_pipe(group: Sequence[tuple[Stage, Path | None]], *, resume: bool) -> int:
    """Start one pipe and wait for it. A stage that fails takes the others with it."""
    processes: list[subprocess.Popen[bytes]] = []
    tails: list[deque[str]] = []
    readers: list[Thread] = []
    source: IO[bytes] | int = subprocess.DEVNULL
    output: IO[bytes] | None = None
    last = group[-1][0]
    partial = last.output.with_name(last.output.name + ".partial") if last.output else None
    try:
        for stage, tee in group:
            target: IO[bytes] | int | None = subprocess.PIPE
            if stage is last:
                if partial is not None:
                    partial.parent.mkdir(parents=True, exist_ok=True)
                    output = partial.open("wb")
                target = output if output is not None else None
            process = subprocess.Popen(
                [sys.executable, "-m", "rrg", *argv(stage, tee, resume=resume)],
                stdin=source,
                stdout=target,
                stderr=subprocess.PIPE,
            )
            if not isinstance(source, int):
                source.close()
            processes.append(process)
            tails.append(deque(maxlen=LAST_LINES))
            readers.append(Thread(target=_relay, args=(process.stderr, tails[-1]), daemon=True))
            readers[-1].start()
            if process.stdout is not None:
                source = process.stdout
        codes = [process.wait() for process in processes]
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        if output is not None:
            output.close()
    for reader in readers:
        reader.join()
    failed = [
        (stage, code, tail)
        for (stage, _), code, tail in zip(group, codes, tails, strict=True)
        if code not in (0, RECORDS_FAILED)
    ]
    if failed:
        # the stage that died first is the one that was not merely cut off by its reader
        stage, code, tail = next((f for f in failed if f[1] not in (READER_GONE, -signal.SIGPIPE)), failed[0])
        said = tail[-1] if tail else "no message"
        stopped = code in (INTERRUPTED_RESUMABLE, INTERRUPTED)
        error = RrgError(f"stage {stage.name} ended with {code}: {said}; give the same command with --resume to go on")
        error.exit_code = code if stopped else FAILED
        raise error
    if partial is not None and last.output is not None:
        partial.replace(last.output)
    return max(codes, default=0)


def _relay(source: IO[bytes] | None, tail: "deque[str]") -> None:
    """Pass a stage's stderr on, and remember its last lines."""
    assert source is not None
    for raw in iter(source.readline, b""):
        os.write(2, raw)
        tail.append(raw.decode(errors="replace").rstrip().rpartition("\r")[2])
