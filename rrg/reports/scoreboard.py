"""What ``--evaluate`` prints: the table, the errors, and whether each score is as high as asked."""

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from rrg.errors import FAILED, RrgError, UsageError
from rrg.records import Lang
from rrg.reports.evaluate import FACTS, Error, Score, evaluate
from rrg.reports.gold import read_gold

_RATES = ("precision", "recall", "f1")


class Least(NamedTuple):
    """The least that a score must have."""

    lang: str | None
    """None: in each language."""
    fact: str
    rate: str
    value: float


def run_evaluation(
    paths: Sequence[Path], *, at_least: Sequence[str], errors: bool, as_json: bool, out: Path | None
) -> int:
    """Score the rules on gold files and print the table; the exit code: 1 when a score is too low.

    `out`: the file that gets the JSON; None: stdout gets the table, or with `as_json` the JSON.
    """
    least = [each for given in at_least for each in read_least(given)]
    scores, wrong = evaluate(read_gold(paths))
    low = [line for each in least for line in _too_low(each, scores)]
    if out is not None:
        _write(out, as_bytes(scores, wrong if errors else None))
    elif as_json:
        sys.stdout.write(as_bytes(scores, wrong if errors else None).decode())
    if out is not None or not as_json:
        print(table(scores))
        if errors:
            print("\n".join(map(error_line, wrong)))
    for line in low:
        print(f"rrg parse-reports: {line}", file=sys.stderr)
    return FAILED if low else 0


def table(scores: Sequence[Score]) -> str:
    """One line per language and fact; facts that neither side has are left out."""
    rows: list[tuple[str, ...]] = [("lang", "fact", "gold", "found", "TP", "FP", "FN", "precision", "recall", "F1")]
    rows += [
        (
            each.lang,
            each.fact,
            *map(str, (each.gold, each.found, each.tp, each.fp, each.fn)),
            *map(_rate, (each.precision, each.recall, each.f1)),
        )
        for each in scores
        if each.gold or each.found
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(n) if k < 2 else cell.rjust(n) for k, (cell, n) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def error_line(error: Error) -> str:
    """``de-001 negation missed at 4: "Leber" expected absent, seen present``."""
    miss = error.miss
    piece = json.dumps(" ".join(error.piece.split()), ensure_ascii=False)
    return (
        f"{error.id} {error.fact} {miss.kind} at {miss.span[0]}: {piece} "
        f"expected {_said(miss.expected)}, seen {_said(miss.seen)}"
    )


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value)


def as_bytes(scores: Sequence[Score], errors: Sequence[Error] | None) -> bytes:
    """The scores (and errors) as indented JSON."""
    body: dict[str, Any] = {"scores": {}}
    for each in scores:
        numbers = {"gold": each.gold, "found": each.found, "tp": each.tp, "fp": each.fp, "fn": each.fn}
        rates = {rate: getattr(each, rate) for rate in _RATES}
        body["scores"].setdefault(each.lang, {})[each.fact] = {**numbers, **rates}
    if errors is not None:
        body["errors"] = [
            {"id": each.id, "lang": each.lang, "fact": each.fact, "at": each.piece, **each.miss._asdict()}
            for each in errors
        ]
    return json.dumps(body, indent=2, ensure_ascii=False, default=str).encode() + b"\n"


def _write(path: Path, data: bytes) -> None:
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise RrgError(f"--out {path}: {error.strerror}; nothing was written", "E_IO") from None


def read_least(given: str) -> Iterator[Least]:
    """``negation=0.97``, ``de.references.precision=0.99``, or a TOML file with such keys. F1 where no rate is named."""
    name, equals, number = given.partition("=")
    if equals:
        yield _least(given, name.strip(), number.strip())
        return
    try:
        body = tomllib.loads(Path(given).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"--at-least {given}: expected FACT=VALUE or a TOML file, which can not be read: {error.strerror}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--at-least {given}: no TOML: {error}") from None
    for key, value in _flat(body, ""):
        yield _least(f"{given}: {key}", key, value)


def _flat(body: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in body.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _least(given: str, name: str, number: Any) -> Least:
    parts = name.split(".")
    lang = parts.pop(0) if parts[0] in get_args(Lang) else None
    rate = parts.pop() if len(parts) > 1 and parts[-1] in _RATES else "f1"
    if len(parts) != 1 or parts[0] not in FACTS:
        raise UsageError(f"--at-least {given}: expected [LANG.]FACT[.precision|.recall|.f1], FACT one of {_list()}")
    try:
        value = float(number)
    except (TypeError, ValueError):
        value = -1
    if not 0 <= value <= 1:
        raise UsageError(f"--at-least {given}: expected a number from 0 to 1")
    return Least(lang, parts[0], rate, value)


def _list() -> str:
    return ", ".join(FACTS)


def _too_low(least: Least, scores: Sequence[Score]) -> Iterator[str]:
    mine = [each for each in scores if each.fact == least.fact and least.lang in (None, each.lang)]
    if not mine:
        yield f"{least.lang}.{least.fact}: the gold has no text in this language; at least {least.value:g} was asked"
    for each in mine:
        value = getattr(each, least.rate)
        if value is None:
            yield f"{each.lang}.{each.fact}.{least.rate} can not be computed: the gold has no such fact"
        elif value < least.value:
            yield f"{each.lang}.{each.fact}.{least.rate} is {value:.4f}; at least {least.value:g} was asked"
