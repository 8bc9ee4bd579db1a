"""A TOML recipe -> stages: which command with which words, what it reads from, and where its lines go.

In a ``[[stage]]`` ``run`` names the command, ``input`` its positional arguments, ``output`` the file that its stdout
goes to, ``reads`` a stage before whose output it reads; every other key is an option of the command, left out where it
is an empty text. A stage that reads records and has neither ``input`` nor ``reads`` is joined by a pipe to the stage
before it. ``{name}`` in a string stands for a value of ``[vars]``.

==============  ====================================================================================================
``[matrix]``    lists of values: stages that name one are repeated for every combination (`rrg.recipes_matrix`)
``[fixture]``   with ``--fixture``: ``vars`` and ``matrix`` replace values, ``[[fixture.stage]]`` run before (phantoms)
``[[expect]]``  what must hold at the end (`rrg.recipes_expect`)
``[table]``     scores of the matrix as CSV and LaTeX (`rrg.recipes_table`)
``[slurm]``     for ``--slurm`` (`rrg.recipes_slurm`)
==============  ====================================================================================================
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rrg.errors import UsageError
from rrg.recipes_check import Source
from rrg.recipes_expect import Expect, read_expect
from rrg.recipes_matrix import Cell, cells_of, fill, names_in

FILTERS = frozenset({"parse-reports", "segment", "synth-vqa", "synth-ground", "pack", "sort", "infer", "view"})
"""Commands that can read records from stdin."""
CHECKPOINTS = frozenset({"train"})
"""Commands that go on by ``--resume`` from what they keep themselves."""
OWN_KEYS = frozenset({"run", "name", "input", "output", "reads"})
FIXTURE = ("vars", "matrix", "stage")
TABLES = ("meta", "vars", "stage", "matrix", "fixture", "expect", "table", "slurm")
MAKES = {
    "extract-slices": ("store", "phi-report"),
    "phantom": ("out",),
    "pack": ("out",),
    "train": ("out",),
    "export": ("out",),
    "check": ("draw",),
    "infer": ("page", "dicom", "nifti"),
    "view": ("page",),
    "score": ("out", "per-item"),
    "synth-ground": ("audit",),
    "parse-reports": ("coverage",),
}
"""Command -> options that name what it makes. Whatever else names a path is read."""


@dataclass(frozen=True)
class Option:
    """An option of a command, as a recipe may set it."""

    kind: Literal["flag", "text", "whole", "number", "choice"] = "text"
    off: str | None = None
    """Of a flag: the word that says no; None when there is none."""
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    multiple: bool = False


@dataclass(frozen=True)
class Stage:
    """One process: its name, what it runs, and where its stdout goes."""

    name: str
    command: str
    arguments: tuple[str, ...]
    output: Path | None = None
    joined: bool = False
    """Reads the stage before it through a pipe."""
    resumable: bool = False
    """Has ``--tee`` and ``--resume``."""
    checkpoints: bool = False
    """Has ``--resume``, and keeps beside its output what it goes on from."""
    shards: bool = False
    """Has ``--shard``."""
    excludes: bool = False
    """Has ``--exclude``."""
    makes: tuple[Path, ...] = ()
    """Files and folders that it makes, `output` aside."""


@dataclass(frozen=True)
class Recipe:
    """What a recipe says."""

    path: Path
    stages: tuple[Stage, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    cells: tuple[Cell, ...] = ()
    expect: tuple[Expect, ...] = ()
    table: Mapping[str, Any] = field(default_factory=dict)
    slurm: Mapping[str, Any] = field(default_factory=dict)


Options = Mapping[str, Mapping[str, Option]]  # command -> option without dashes -> what it takes


def read_recipe(path: Path, given: Mapping[str, str], options_of: Options, *, fixture: bool = False) -> Recipe:
    """The recipe at `path`. `given` replaces values of ``[vars]``; `fixture`: the small form on phantoms.

    Raises UsageError with file, line, what was seen and the nearest valid word.
    """
    source, recipe = load(path)
    for key in recipe:
        if key not in TABLES:
            raise source.wrong_table(key, f"unknown table {key!r}", source.near(key, TABLES))
    tables = _stages(source, recipe)
    values = _table(source, recipe, "vars")
    own = _table(source, recipe, "fixture") if fixture else {}
    for key in own:
        if key not in FIXTURE:
            raise source.wrong(key, None, f"[fixture] has no key {key!r}", source.near(key, FIXTURE))
    if fixture and not own:
        raise UsageError(f"{path}: --fixture: the recipe has no [fixture]")
    for key in (*own.get("vars", {}), *given):
        if key not in values:
            where = f"--set {key}" if key in given else f"[fixture.vars] {key}"
            raise UsageError(f"{path}: {where}: not in [vars]{source.near(key, values)}")
    for name, value in values.items():
        if isinstance(value, list | dict):
            raise source.wrong(name, None, f"{name} = {value!r} in [vars], expected one value; lists stand in [matrix]")
    plain = {name: str(value) for name, value in {**values, **own.get("vars", {}), **given}.items()}
    values = {name: fill(source, value, plain) for name, value in plain.items()}
    cells = cells_of(source, {**_table(source, recipe, "matrix"), **own.get("matrix", {})}, values)
    stages: list[Stage] = []
    for number, table in enumerate(own.get("stage", ())):
        _add(source, -len(own["stage"]) + number, table, values, (), options_of, stages)
    for number, table in enumerate(tables):
        _add(source, number, table, values, cells, options_of, stages)
    _check_order(source, stages)
    return Recipe(
        path,
        tuple(stages),
        values,
        cells,
        read_expect(source, recipe.get("expect", []), values, fixture=fixture),
        _table(source, recipe, "table"),
        _table(source, recipe, "slurm"),
    )


def load(path: Path) -> tuple[Source, dict[str, Any]]:
    """The text and the tables of a recipe. UsageError for a file that is no TOML."""
    try:
        text = path.read_text(encoding="utf-8")
        return Source(path, text), tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        single = re.search(r"^\s*\[(?:fixture\.)?(?:stage|expect)\]", text, re.MULTILINE)
        hint = f"; {single[0].strip()} is a list of tables, write [{single[0].strip()}]" if single else ""
        raise UsageError(f"{path}: not TOML: {error}{hint}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}") from None


def commands_in(path: Path) -> list[str]:
    """The commands that a recipe names, whether they are there or not."""
    _, recipe = load(path)
    fixture = recipe.get("fixture", {})
    tables = [recipe.get("stage", []), fixture.get("stage", []) if isinstance(fixture, dict) else []]
    return [
        str(table.get("run")) for each in tables if isinstance(each, list) for table in each if isinstance(table, dict)
    ]


def _stages(source: Source, recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = recipe.get("stage", [])
    if isinstance(tables, dict):
        raise source.wrong_table("stage", "[stage] is one table, stages are a list; write [[stage]]")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise source.wrong_table("stage", "no [[stage]]; a recipe is a list of stages, see rrg pipeline --help")
    if not tables:
        raise UsageError(f"{source.path}: no [[stage]]; a recipe is a list of stages, see rrg pipeline --help")
    return tables


def _table(source: Source, recipe: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = recipe.get(name, {})
    if not isinstance(table, dict):
        raise source.wrong_table(name, f"{name} is no table; write [{name}]")
    return dict(table)


def _add(
    source: Source,
    number: int,
    table: Mapping[str, Any],
    values: Mapping[str, str],
    cells: Sequence[Cell],
    options_of: Options,
    stages: list[Stage],
) -> None:
    """Add a stage, once or for every combination of the matrix values that it names."""
    named = names_in(table)
    kept: dict[tuple[str, ...], Cell] = {}
    for cell in cells:
        if wanted := [name for name in cell.values if name in named or (name != "cell" and "cell" in named)]:
            kept.setdefault(tuple(cell.values[name] for name in wanted), cell)
    repeated = [({**values, **cell.values}, f"-{cell.name_of(named)}") for cell in kept.values()]
    for own, suffix in repeated or [({**values}, "")]:
        stages.append(_stage(source, number, table, own, options_of, stages, suffix))


def _stage(
    source: Source,
    number: int,
    table: Mapping[str, Any],
    values: Mapping[str, str],
    options_of: Options,
    before: Sequence[Stage],
    suffix: str,
) -> Stage:
    command = table.get("run")
    if command is None:
        raise source.wrong("[stage]", number, "a [[stage]] without run = COMMAND")
    if not isinstance(command, str) or command not in options_of:
        raise source.wrong("run", number, f"run = {command!r} is no command", source.near(str(command), options_of))
    options = options_of[command]
    words = [fill(source, word, values) for word in source.words(number, "input", table.get("input", []))]
    words = [word for word in words if word]
    if "reads" in table:
        words.append(str(_output_of(source, number, table["reads"], before, suffix)))
    made: list[Path] = []
    for key, value in table.items():
        if key in OWN_KEYS:
            continue
        if key not in options:
            known = (*options, *OWN_KEYS)
            raise source.wrong(key, number, f"{command} has no option {key!r}", source.near(key, known))
        filled = _option_words(source, number, key, value, options[key], values)
        words += filled
        if key in MAKES.get(command, ()):
            made += [Path(word) for word in filled[1::2]]
    joined = not table.get("input") and "reads" not in table and command in FILTERS
    if joined and not before:
        raise source.wrong("run", number, f"{command} is the first stage and has no input")
    output = table.get("output")
    if output is not None and not isinstance(output, str):
        raise source.wrong("output", number, f"output = {output!r}, expected a file name")
    return Stage(
        name=_name(source, number, table, before, suffix),
        command=command,
        arguments=tuple(words),
        output=Path(fill(source, output, values)) if output else None,
        joined=joined,
        resumable={"tee", "resume"} <= set(options),
        checkpoints=command in CHECKPOINTS,
        shards="shard" in options,
        excludes="exclude" in options,
        makes=tuple(made),
    )


def _name(source: Source, number: int, table: Mapping[str, Any], before: Sequence[Stage], suffix: str) -> str:
    """The given name, which must be free; else that of the command, with a number from its second stage on."""
    name = table.get("name", table["run"])
    if not isinstance(name, str) or not name or "/" in name:
        raise source.wrong("name", number, f"name = {name!r}, expected a text without /")
    taken = {stage.name for stage in before}
    if name + suffix not in taken:
        return name + suffix
    if "name" in table:
        raise source.wrong("name", number, f"name = {name!r}: a stage before has it; each needs its own")
    return next(found for n in range(2, len(before) + 3) if (found := f"{name}{suffix}-{n}") not in taken)


def _output_of(source: Source, number: int, name: object, before: Sequence[Stage], suffix: str) -> Path:
    """What a stage before makes."""
    known = {stage.name: stage for stage in before}
    found = known.get(f"{name}{suffix}") or known.get(str(name))
    if found is None:
        later = isinstance(name, str) and source.has_stage(name)
        why = "comes later: a cycle" if later else "is no stage before this one"
        raise source.wrong("reads", number, f"reads = {name!r} {why}", "" if later else source.near(str(name), known))
    made = [*([found.output] if found.output else []), *found.makes]
    if not made:
        raise source.wrong("reads", number, f"reads = {name!r}: that stage has no output; give it one")
    return made[0]


def _option_words(
    source: Source, number: int, key: str, value: Any, option: Option, values: Mapping[str, str]
) -> list[str]:
    if (option.kind == "flag") != isinstance(value, bool):
        expected = "true or false" if option.kind == "flag" else "a value"
        raise source.wrong(key, number, f"{key} = {value!r}, expected {expected}")
    if isinstance(value, bool):
        return [f"--{key}"] if value else [option.off] if option.off else []
    if isinstance(value, list) and not option.multiple:
        raise source.wrong(key, number, f"{key} = {value!r}, expected one value")
    words: list[str] = []
    for word in source.words(number, key, value):
        filled = fill(source, word, values)
        if filled:
            _check_value(source, number, key, filled, option)
            words += [f"--{key}", filled]
    return words


def _check_value(source: Source, number: int, key: str, word: str, option: Option) -> None:
    if option.kind == "choice" and word not in option.choices:
        raise source.wrong(key, number, f"{key} = {word!r} is no choice", source.near(word, option.choices))
    if option.kind not in ("whole", "number"):
        return
    try:
        seen = int(word) if option.kind == "whole" else float(word)
    except ValueError:
        what = "a whole number" if option.kind == "whole" else "a number"
        raise source.wrong(key, number, f"{key} = {word!r}, expected {what}") from None
    if (option.low is not None and seen < option.low) or (option.high is not None and seen > option.high):
        high = "" if option.high is None else f" and at most {option.high:g}"
        raise source.wrong(key, number, f"{key} = {word}, expected at least {option.low or 0:g}{high}")


def _check_order(source: Source, stages: Sequence[Stage]) -> None:
    """UsageError where a stage reads what it or a later one makes."""
    for at, stage in enumerate(stages):
        later = {str(path): each.name for each in stages[at:] for path in (each.output, *each.makes) if path}
        own = {str(path) for path in stage.makes}
        for word in stage.arguments:
            if word in later and word not in own:
                maker = "itself" if later[word] == stage.name else f"stage {later[word]}, which comes later"
                raise source.wrong_text(word, f"stage {stage.name} reads {word}, made by {maker}: a cycle")
