"""The facts of a sentence as one short line, for tables of expected results.

``nodule@lung_lower_lobe_left/left=6`` a finding, where, side, size in mm; in front ``-`` absent, ``?`` uncertain, ``<``
earlier study, ``~`` history. ``0spleen`` a structure that is not there. ``#4/38`` series and images of a reference, in
front ``<`` earlier study, behind ``+`` open end. Two sentences instead of one: ``!2``.
"""

from rrg.records import Finding, Lang
from rrg.reports.parse import Facts, parse


def facts(text: str, lang: Lang) -> str:
    """The line for one sentence."""
    said = parse(text, lang)
    found = [_finding(said, each) for each in said.findings]
    found += [f"0{name}" for mention in said.anatomy if mention.absent for name in mention.classes]
    for reference in said.references:
        images = reference.image_numbers
        shown = ",".join(map(str, images)) if len(images) < 5 else f"{images[0]}..{images[-1]}"
        mark = "<" if reference.prior else ""
        found.append(f"{mark}#{reference.series_number or ''}/{shown}{'+' if reference.open_end else ''}")
    if len(said.sentences) != 1:
        found.append(f"!{len(said.sentences)}")
    return " | ".join(found) or "nothing"


def _finding(said: Facts, one: Finding) -> str:
    mark = "-" if one.state == "absent" else ""
    mark += "?" if one.certainty == "uncertain" else ""
    mark += {"current": "", "prior": "<", "history": "~"}[one.time]
    names = [name for i in one.anatomy for name in said.anatomy[i].classes]
    where = "+".join(names) if len(names) <= 3 else f"{names[0]}..{len(names)}"
    size = ";".join("x".join(f"{value:g}" for value in each.value_mm) for each in one.measurements)
    return (
        mark
        + one.name
        + (f"@{where}" if where else "")
        + (f"/{one.side}" if one.side else "")
        + (f"={size}" if size else "")
    )


def rows(table: str) -> list[tuple[str, str]]:
    """Pairs of a sentence and its line, which is indented."""
    lines = [line for line in table.splitlines() if line.strip()]
    return [(sentence.strip(), line.strip()) for sentence, line in zip(lines[::2], lines[1::2], strict=True)]
