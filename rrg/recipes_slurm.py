"""A recipe as sbatch files: an array for the data stages, a merge, and a job for every pipe behind it.

Every job runs ``rrg pipeline`` on its part of the recipe. Its last lines turn exit code 3 (some inputs rejected, fewer
than ``max-reject``) into success, and put the job into the queue again on 75 (stopped by a signal): it goes on where
it was.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrg.recipes import Recipe, Stage
from rrg.recipes_check import Source
from rrg.recipes_plan import groups, pipes

TEXTS = ("partition", "account", "qos", "reservation", "constraint", "gres", "time", "memory", "max-reject")
NUMBERS = ("tasks", "at-once", "array-limit", "cpus", "nodes", "processes", "signal-seconds")
OWN = (*TEXTS, *NUMBERS, "environment")
SBATCH = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "reservation": "reservation",
    "constraint": "constraint",
    "gres": "gres",
    "time": "time",
    "memory": "mem",
    "cpus": "cpus-per-task",
    "nodes": "nodes",
}
DEFAULTS: Mapping[str, Any] = {
    "tasks": 16,
    "array-limit": 1001,
    "max-reject": "5%",
    "signal-seconds": 300,
    "environment": [],
}
"""``array-limit``: Slurm's own default of MaxArraySize."""


@dataclass(frozen=True)
class Job:
    """One sbatch file."""

    name: str
    stages: tuple[Stage, ...]
    array: int | None = None
    merge: int | None = None
    after: tuple[str, ...] = ()


def jobs_of(recipe: Recipe, tasks: int) -> list[Job]:
    """The jobs in order: the data stages of the first pipe as an array, its rest as a merge, then a job a pipe."""
    first, *others = groups(recipe.stages)
    shared = 0
    while shared < len(first) and first[shared].shards and (shared == 0 or first[shared].resumable):
        shared += 1
    found: list[Job] = []
    if shared and shared < len(first):
        pipes(recipe.stages, Path(), first[0].name, first[shared - 1].name, f"1/{tasks}")  # can all do a part?
        found += [Job("data", first[:shared], array=tasks)]
        found += [Job("merge", first[shared:], merge=tasks, after=("data",))]
    else:
        found.append(Job(first[0].name, first))
    for group in others:
        words = {word for stage in group for word in stage.arguments}
        after = tuple(job.name for job in found if any(_under(word, job) for word in words))
        found.append(Job(group[0].name, group, after=after or (found[-1].name,)))
    return found


def _under(word: str, job: Job) -> bool:
    """Is a word something that the job makes, or inside of it?"""
    made = [path for stage in job.stages for path in (stage.output, *stage.makes) if path]
    return not word.startswith("--") and any(Path(word) == path or path in Path(word).parents for path in made)


def settings_of(recipe: Recipe) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """(for all jobs, job -> its own). UsageError for an unknown key, a wrong type, or more tasks than may be."""
    source = Source(recipe.path, recipe.path.read_text(encoding="utf-8"))
    names = [job.name for job in jobs_of(recipe, 1)]
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    for key, value in recipe.slurm.items():
        if isinstance(value, dict):
            if key not in names:
                raise source.wrong(f"slurm.{key}", None, f"[slurm.{key}]: no such job", source.near(key, names))
            own[key] = {name: _checked(source, name, each) for name, each in value.items()}
        else:
            shared[key] = _checked(source, key, value)
    shared = {**DEFAULTS, **shared}
    if shared["tasks"] > shared["array-limit"] - 1:
        raise source.wrong(
            "tasks", None, f"tasks = {shared['tasks']}, at most {shared['array-limit'] - 1} by array-limit"
        )
    return shared, own


def _checked(source: Source, key: str, value: Any) -> Any:
    if key not in OWN:
        raise source.wrong(key, None, f"[slurm] has no key {key!r}", source.near(key, OWN))
    if key in NUMBERS and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise source.wrong(key, None, f"{key} = {value!r}, expected a whole number of at least 1")
    if key in TEXTS and not isinstance(value, str):
        raise source.wrong(key, None, f"{key} = {value!r}, expected a text")
    if key == "environment" and not (isinstance(value, list) and all(isinstance(line, str) for line in value)):
        raise source.wrong(key, None, f"{key} = {value!r}, expected a list of shell lines")
    return value


def write_jobs(
    recipe: Recipe,
    folder: Path,
    work: Path,
    given: Mapping[str, str],
    *,
    fixture: bool = False,
    exclude: str | None = None,
) -> Iterator[str]:
    """Write the sbatch files and ``submit.sh`` into `folder`; yields the line that submits them."""
    shared, own = settings_of(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    (work / "log").mkdir(parents=True, exist_ok=True)
    base = ["rrg", "pipeline", str(recipe.path), "--work", str(work), *(["--fixture"] if fixture else [])]
    for name, value in given.items():
        base += ["--set", f"{name}={value}"]
    base += ["--exclude", exclude] if exclude is not None else []
    lines = [
        "#!/bin/sh",
        f"# Submits the jobs of {recipe.path.name}, each behind those that it reads from. Run it where rrg was run.",
        "set -eu",
    ]
    for number, job in enumerate(jobs_of(recipe, shared["tasks"]), 1):
        path = folder / f"{number:02d}-{job.name}.sbatch"
        path.write_text(_script(job, {**shared, **own.get(job.name, {})}, base, work), encoding="utf-8")
        after = ":".join(f"${_variable(name)}" for name in job.after)
        dependency = f"--dependency=afterok:{after} " if after else ""
        lines.append(f"{_variable(job.name)}=$(sbatch --parsable {dependency}{shlex.quote(str(path))})")
        lines.append(f'echo "{job.name} ${_variable(job.name)}"')
    submit = folder / "submit.sh"
    submit.write_text("\n".join(lines) + "\n", encoding="utf-8")
    submit.chmod(0o755)
    yield f"sh {shlex.quote(str(submit))}"


def _variable(name: str) -> str:
    return "job_" + "".join(sign if sign.isalnum() else "_" for sign in name)


def _script(job: Job, settings: Mapping[str, Any], base: Sequence[str], work: Path) -> str:
    number = "%A_%a" if job.array else "%j"
    head = {
        "job-name": f"rrg-{job.name}",
        "output": f"{work}/log/{job.name}-{number}.log",
        "open-mode": "append",
        "signal": f"B:TERM@{settings['signal-seconds']}",
    }
    if job.array:
        at_once = f"%{settings['at-once']}" if "at-once" in settings else ""
        head["array"] = f"1-{job.array}{at_once}"
    head |= {word: settings[key] for key, word in SBATCH.items() if key in settings}
    words = [*base, "--from", job.stages[0].name, "--to", job.stages[-1].name, "--max-reject", settings["max-reject"]]
    if job.merge:
        words += ["--merge", str(job.merge)]
    if settings.get("processes", 1) > 1:
        words += ["--launch", f"torchrun --standalone --nproc-per-node={settings['processes']}"]
    line = shlex.join(words) + (f' --shard "$SLURM_ARRAY_TASK_ID/{job.array}"' if job.array else "")
    own = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" if job.array else "$SLURM_JOB_ID"
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH --{name}={value}" for name, value in head.items()),
            "#SBATCH --requeue",
            *settings["environment"],
            "child=",
            'trap \'[ -z "$child" ] || kill -TERM "$child"\' TERM USR1',
            f"{line} &",
            "child=$!",
            'wait "$child"; code=$?',
            'while kill -0 "$child" 2> /dev/null; do wait "$child"; code=$?; done  # a signal ends a wait early',
            "case $code in",
            "    0|3) exit 0 ;;  # 3: inputs were rejected, fewer than --max-reject",
            f'    75) scontrol requeue "{own}"; exit 75 ;;  # stopped: goes on when it is started again',
            '    *) exit "$code" ;;',
            "esac",
            "",
        ]
    )
