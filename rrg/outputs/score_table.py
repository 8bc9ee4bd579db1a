"""A result of ``rrg score`` as a table for a paper or a README: Markdown or LaTeX."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rrg.errors import UsageError

Json = Mapping[str, Any]
HEAD = ("metric", "value", "95 % interval", "n", "missing", "unparsed", "excluded")
COUNTS = ("n", "n_missing", "n_unparsed", "n_excluded")
SUFFIXES = (".md", ".tex")
UNITS = {"fraction": "", "count": "", "score100": " /100", "score10": " /10"}
"""How a unit is written behind its value; others by their name."""
_LATEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def table_bytes(body: Json, path: Path) -> bytes:
    """The table in the format that the name of its file asks for. UsageError for another suffix."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--table {path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    return (markdown(body) if path.suffix == ".md" else latex(body)).encode()


def number(value: Any) -> str:
    """A value with four decimals, a count as it is; a dash for what is undefined."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
    return str(value)


def cells(name: str, metric: Json) -> tuple[str, ...]:
    """One row of the table."""
    value = "skipped" if "skipped" in metric else number(metric["value"])
    if metric["value"] is not None:
        value += UNITS.get(metric["unit"], f" {metric['unit']}")
    interval = metric["ci95"]
    span = "-" if interval is None else " .. ".join(map(number, interval))
    return name, value, span, *(str(metric[key]) for key in COUNTS)


def sections(body: Json) -> Iterator[tuple[str, Sequence[tuple[str, ...]]]]:
    """(title, rows): all items, then each stratum with the metrics that have a value there."""
    yield "all", [cells(name, metric) for name, metric in body["metrics"].items()]
    for facet, values in body["strata"].items():
        for value, metrics in values.items():
            rows = [cells(name, metric) for name, metric in metrics.items() if metric["value"] is not None]
            if rows:
                yield f"{facet}: {value}", rows


def footnotes(body: Json) -> list[str]:
    """Faults that are reproduced, what was skipped, warnings, and the signature."""
    metrics = body["metrics"].items()
    found = [f"{name}: {metric[key]}" for name, metric in metrics for key in ("note", "skipped") if key in metric]
    return [*found, *body["warnings"], *body["notes"], body["signature"]]


def markdown(body: Json) -> str:
    """GitHub's tables, one for each section."""
    lines = [f"# {body['task']}, protocol {body['protocol']}"]
    for title, rows in sections(body):
        lines += ["", f"## {_plain(title)}", "", _row(HEAD), _row(["---", *["---:"] * (len(HEAD) - 1)])]
        lines += [_row(row) for row in rows]
    return "\n".join([*lines, "", *(f"* {_plain(each)}" for each in footnotes(body))]) + "\n"


def _row(row: Sequence[str]) -> str:
    return "| " + " | ".join(map(_plain, row)) + " |"


def _plain(text: str) -> str:
    """Text that neither ends a cell nor starts HTML."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|").replace("<", "&lt;")


def latex(body: Json) -> str:
    """One ``tabular`` with a line between sections; needs no package."""
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(HEAD) - 1)}}}", r"\hline", _latex_row(HEAD), r"\hline"]
    for number_, (title, rows) in enumerate(sections(body)):
        if number_:
            lines += [r"\hline", rf"\multicolumn{{{len(HEAD)}}}{{l}}{{{_escaped(title)}}} \\"]
        lines += [_latex_row(row) for row in rows]
    comments = [f"% {re.sub(chr(10), ' ', each)}" for each in footnotes(body)]
    return "\n".join([f"% rrg score {body['task']}", *comments, *lines, r"\hline", r"\end{tabular}"]) + "\n"


def _latex_row(row: Sequence[str]) -> str:
    return " & ".join(map(_escaped, row)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(mark, mark) for mark in re.sub(r"\s+", " ", text))
