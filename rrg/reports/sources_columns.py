"""Which column (or JSON field) of a table means what: ``--column findings=Befund``."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rrg.errors import UsageError
from rrg.reports.headings import HEADINGS, joined
from rrg.reports.named import Named, day_of, lang_of, order_of, standing_of

KEYS = ("text", "id", "accession", "study_uid", "patient", "date", "status", "lang", "version")
FIELDS = (*KEYS, *HEADINGS)


class Columns(NamedTuple):
    """Field -> name of the column. Hashable: part of what a run is asked for."""

    pairs: tuple[tuple[str, str], ...]

    def of(self, field: str) -> str | None:
        """The column of a field; None when it was not given."""
        return dict(self.pairs).get(field)

    def sections(self) -> list[tuple[str, str]]:
        """(kind, column) of the sections, in the order given."""
        return [(field, column) for field, column in self.pairs if field in HEADINGS]


def columns_of(given: Iterable[str], text_column: str = "text", id_column: str = "id") -> Columns:
    """``FIELD=COLUMN`` options. Without ``text`` and sections the text stands in `text_column`, likewise the id."""
    pairs: dict[str, str] = {}
    for each in given:
        field, sign, column = each.partition("=")
        if not sign or field.strip() not in FIELDS or not column.strip():
            raise UsageError(f"--column {each}: expected FIELD=COLUMN with FIELD one of {', '.join(FIELDS)}")
        if field.strip() in pairs:
            raise UsageError(f"--column {each}: {field.strip()} is given twice; one column can stand for it")
        pairs[field.strip()] = column.strip()
    if "text" not in pairs and not any(field in pairs for field in HEADINGS):
        pairs["text"] = text_column
    if not pairs.keys() & {"id", "accession", "study_uid"} and not {"patient", "date"} <= pairs.keys():
        pairs["id"] = id_column
    pairs.setdefault("lang", "lang")
    return Columns(tuple(pairs.items()))


def missing(columns: Columns, names: Sequence[str]) -> list[str]:
    """Columns that a table lacks. ``lang`` may be absent: no option asked for it by default."""
    return [column for field, column in columns.pairs if column not in names and (field, column) != ("lang", "lang")]


Get = Callable[[str], str | None]
"""Column -> its value in a row; None when it has none."""


def row_named(columns: Columns, get: Get, otherwise: str, place: str) -> Named:
    """What a row says of its report. `otherwise` names a row that has no key; `place` is for messages."""

    def value(field: str) -> str | None:
        column = columns.of(field)
        text = (get(column) or "").strip() if column is not None else ""
        return text or None

    keys = [value(field) for field in ("id", "accession", "study_uid")]
    patient, date = value("patient"), value("date")
    own = keys[0] or "\0".join(f"{key}" for key in (keys[1], keys[2], patient, date) if key)
    if not own:
        return Named(
            otherwise, problem=f"{place} has no key in its {_names(columns)}; fill it in, or leave the row out"
        )
    status, version = value("status"), value("version")
    standing, problem = standing_of(status) if status else None, None
    if status and standing is None:
        problem = f"{place}: its status is none of the known words; use preliminary, final, corrected, addendum"
    if date and day_of(date) is None:
        problem = f"{place}: its date is none; expected 2024-01-31, 20240131 or 31.01.2024"
    if version and order_of(version) is None:
        problem = f"{place}: its version is neither a number nor a time; expected 2, or 2024-01-31T10:00"
    return Named(
        own,
        name=keys[0],
        accessions=(keys[1],) if keys[1] else (),
        studies=(keys[2],) if keys[2] else (),
        patient=patient,
        date=day_of(date),
        lang=lang_of(value("lang")),
        standing=standing,
        version=order_of(version),
        group=own if standing or version else None,
        problem=problem,
    )


def row_text(columns: Columns, get: Get) -> str:
    """The text of a row: the text column, then the sections under their headings."""
    parts: list[tuple[str | None, str]] = [
        (field if field in HEADINGS else None, get(column) or "")
        for field, column in columns.pairs
        if field == "text" or field in HEADINGS
    ]
    if not columns.sections():
        return parts[0][1]
    lang = columns.of("lang")
    return joined(parts, lang_of(get(lang)) if lang else None)


def _names(columns: Columns) -> str:
    used = [columns.of(field) for field in ("id", "accession", "study_uid", "patient", "date")]
    return "columns " + ", ".join(repr(each) for each in used if each)
