"""Options of the synth commands: lists of words, and the run record."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rrg.anatomy import label_map_version
from rrg.errors import UsageError
from rrg.provenance import make_run
from rrg.records import Lang, Run
from rrg.synth import templates


def languages_of(text: str) -> tuple[Lang, ...]:
    """``de,en`` -> the languages, in this order. UsageError for anything else."""
    known: dict[str, Lang] = {"de": "de", "en": "en"}
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if not wanted or any(part not in known for part in wanted):
        raise UsageError(f"--languages {text}: expected de, en, or de,en")
    return tuple(dict.fromkeys(known[part] for part in wanted))


def one_of(text: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    """A comma-separated list of known words, in the order of `known`. UsageError for anything else."""
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    if not wanted or not wanted <= set(known):
        raise UsageError(f"{option} {text}: expected any of {', '.join(known)}, separated by commas")
    return tuple(word for word in known if word in wanted)


def run_of(
    command: str, options: Any, more: Mapping[str, Any] | None = None, inputs: Mapping[str, str] | None = None
) -> Run:
    """The run record of a synth command; `options` is its frozen dataclass with a field ``seed``.

    `more`, `inputs`: further options and side inputs, such as those of a language model.
    """
    told: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()
    }
    seed = told.pop("seed")
    sides = {"label_map": label_map_version(), "templates": templates.version(), **(inputs or {})}
    return make_run(command, {**told, **(more or {})}, seed=seed, inputs=sides)


def told_of(*models: Any) -> dict[str, dict[str, Any]]:
    """What the run record says of all models that a run asks; each has ``told()``, or is None."""
    parts = [each.told() for each in models if each is not None]
    if not parts:
        return {}
    return {key: {name: value for part in parts for name, value in part[key].items()} for key in ("more", "inputs")}
