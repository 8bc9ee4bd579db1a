"""What `rrg score` writes: the result, the per-item file, the table for a terminal."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrg.errors import RrgError, UsageError
from rrg.formats.items import Item
from rrg.metrics.table import Block, Scored

Json = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What the command writes."""

    body: Json
    items: Callable[[], Iterable[Json]]
    """Makes the lines of the per-item file."""
    missing: int
    """References without a prediction."""
    cases: Sequence[Item] = ()
    """Both sides of each line, in the same order; none where two systems are compared."""


def item_lines(items: Sequence[Item], scored: Sequence[Scored], block: Block) -> Iterator[Json]:
    """All lines of the per-item file, in the order of the references."""
    for number, (item, each) in enumerate(zip(items, scored, strict=True)):
        more = {name: float(values[number]) for name, values in block.means.items() if not np.isnan(values[number])}
        yield item_line(item, each, more)


def item_line(item: Item, scored: Scored, more: Mapping[str, float]) -> Json:
    """One line of the per-item file."""
    scores = {name: _number(value) for name, value in {**scored.scores, **more}.items()}
    return {
        "id": item.reference.id,
        "answer_type": scored.answer_type,
        "facets": dict(item.reference.facets),
        "missing": item.missing,
        "unparsed": scored.unparsed,
        "prediction_norm": scored.prediction_norm,
        "reference_norm": scored.reference_norm,
        "scores": scores,
        **scored.extra,
    }


def _number(value: float | None) -> float | int | str | None:
    """A score as JSON: hits as 0 and 1, infinity as a word."""
    if value is None or value != value:
        return None
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return int(value) if value in (0.0, 1.0) else value


def result_bytes(body: Json) -> bytes:
    """The result as it is written: indented JSON, UTF-8, full precision."""
    return json.dumps(_finite(body), indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def items_bytes(items: Iterable[Json]) -> bytes:
    """The per-item file: one JSON object a line."""
    return b"".join(json.dumps(each, ensure_ascii=False, allow_nan=False).encode() + b"\n" for each in items)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None if value != value else "inf" if value > 0 else "-inf"
    return value


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write all files whole, folders made: each under a temporary name, renamed when every one is there."""
    partials = []
    try:
        for path, data in files.items():
            if path.exists() and not path.is_file():
                path.write_bytes(data)  # a device or FIFO is written in place, never replaced
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + ".partial")
            partial.write_bytes(data)
            partials.append((partial, path))
        for partial, path in partials:
            partial.replace(path)
    except OSError as error:
        for partial, _ in partials:
            partial.unlink(missing_ok=True)
        raise RrgError(f"{error.filename}: {error.strerror}; nothing was written", "E_IO") from None


def deliver(
    result: Result,
    *,
    out: Path,
    per_item: Path | None,
    value: str | None,
    quiet: bool,
    also: Mapping[Path, bytes] | None = None,
) -> None:
    """Write the files (and `also`), print the result or the one number asked for on stdout, the table on stderr."""
    if value is not None and value not in result.body["metrics"]:
        raise UsageError(f"--value {value}: not among {', '.join(result.body['metrics'])}")
    files = dict(also or {})
    if per_item is not None:
        files[per_item] = items_bytes(result.items())
    to_stdout = str(out) == "-"
    if not to_stdout:
        files[out] = result_bytes(result.body)
    write_files(files)
    if value is not None:
        print(json.dumps(_finite(result.body["metrics"][value]["value"])))
    elif to_stdout:
        sys.stdout.flush()
        sys.stdout.buffer.write(result_bytes(result.body))
    sys.stdout.flush()
    if not quiet:
        print(table(result.body), file=sys.stderr)


def table(body: Json) -> str:
    """The short table for a terminal: metrics, intervals, counts."""
    rows = [("metric", "value", "95 % interval", "n", "missing", "unparsed", "excluded")]
    for name, each in body["metrics"].items():
        interval = each["ci95"]
        span = (
            "-"
            if interval is None
            else " .. ".join(f"{end:g}" if each["unit"] == "count" else _short(end) for end in interval)
        )
        counts = (str(each[key]) for key in ("n", "n_missing", "n_unparsed", "n_excluded"))
        rows.append((name, _short(each["value"]) + _unit(each["unit"]), span, *counts))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    lines += beside(body)
    inner = {facet: len(values) for facet, values in body.get("strata", {}).items()}
    tail = [f"strata: {', '.join(f'{facet} ({n})' for facet, n in inner.items())}"] if inner else []
    tail += [f"warning: {each}" for each in body["warnings"]] + [f"note: {each}" for each in body["notes"]]
    return "\n".join([f"{body['task']}, protocol {body['protocol']}", *lines, *tail, body["signature"]])


def beside(body: Json) -> list[str]:
    """What stands beside the score: confused sides, the sanity table, what others published on the same questions."""
    columns = {
        name: {key: each["value"] for key, each in row["metrics"].items()}
        for name, row in body.get("sanity", {}).items()
    }
    columns |= {f"{each['system']} ({each['source']})": each["metrics"] for each in body.get("published", [])}
    lines = [
        f"side: {wanted} in the reference: {', '.join(f'{said} {n}' for said, n in row.items() if n)}"
        for wanted, row in body.get("laterality", {}).items()
    ]
    for name, values in columns.items():
        shown = ", ".join(f"{key} {_short(values[key])}" for key in body["metrics"] if key in values)
        lines.append(f"beside: {name}: {shown}")
    return lines


def _short(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
    return str(value)


def _unit(unit: str) -> str:
    return {"fraction": "", "count": "", "score100": " /100", "score10": " /10", "p": " (p)"}.get(unit, f" {unit}")
