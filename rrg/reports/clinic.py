"""A clinic's own headings, abbreviations, words and reference patterns (``--rules FILE.toml``), and their checks."""

import difflib
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from rrg.errors import UsageError
from rrg.records import Lang, Section
from rrg.reports import compounds, findings, lexicon, mentions, references_added, sections
from rrg.reports.patterns import PatternError, checked, from_template

LARGEST = 1_000_000
"""Bytes of a rules file."""
_WORDS = {"structures": "form", "stems": "stem", "gone": "gone"}
"""Table of the file -> kind in ``forms.*.tsv``."""
_TABLES = ("headings", "abbreviations", *_WORDS, "findings", "context")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """Checked rules: plain values, so that workers get them as they are."""

    digest: str
    """SHA-256 of the file, hex."""
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(word list, further row of it)."""
    references: tuple[str, ...] = ()
    """Regular expressions with the groups ``images`` and, perhaps, ``series``."""


def read_rules(path: Path) -> Clinic:
    """The rules of a file. UsageError says file, entry, what was seen and what was expected."""
    try:
        data = path.read_bytes()
        if len(data) > LARGEST:
            raise UsageError(f"--rules {path}: {len(data):,} bytes; expected at most {LARGEST:,}")
        body = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"--rules {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--rules {path}: no TOML: {error}") from None
    try:
        return Clinic(
            digest=hashlib.sha256(data).hexdigest(),
            rows=tuple(_rows(body)),
            references=tuple(_references(body.get("references", []))),
        )
    except ValueError as error:
        raise UsageError(f"--rules {path}: {error}") from None


_IN_USE: list[Clinic | None] = [None]


def use_rules(clinic: Clinic | None) -> None:
    """Parse with these rules (or, with None, without) from now on, in this process. Cheap when nothing changes."""
    if clinic == _IN_USE[0]:
        return
    _IN_USE[0] = clinic
    added: dict[str, list[list[str]]] = {}
    for name, row in clinic.rows if clinic is not None else ():
        added.setdefault(name, []).append(list(row))
    lexicon.add_rows(added, clinic.digest if clinic is not None else "")
    references_added.add_patterns(clinic.references if clinic is not None else ())
    sections.headings.cache_clear()
    for memo in (compounds.COMPOUNDS, findings.NAMING, mentions.NAMING):
        memo.clear()


def _rows(body: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    known = (*_TABLES, "references")
    for name in body:
        if name not in known:
            raise ValueError(f"unknown table [{name}]; expected {', '.join(known)}")
    for lang, where, key, field in _entries(body, "headings"):
        _one_of(where, key, get_args(get_type_hints(Section)["kind"]))
        yield "sections.tsv", (key, lang, field)
    for lang, where, key, field in _entries(body, "abbreviations"):
        _one_of(where, key, ("inner", "side", "last"))
        for word in field.split(";"):
            if any(sign in word for sign in ". ()["):
                raise ValueError(f"{where}: {word!r}; expected one word without its full stop")
        yield "abbreviations.tsv", (lang, key, field)
    for table, kind in _WORDS.items():
        for lang, where, key, field in _entries(body, table):
            try:
                lexicon.classes_of(key)
            except ValueError as error:
                raise ValueError(f"{where}: {error}; the names are those of rrg/lexicon/anatomy.tsv") from None
            yield f"forms.{lang}.tsv", (kind, key, field)
    names = {row[0] for lang in get_args(Lang) for row in lexicon.shipped(f"findings.{lang}.tsv")}
    for lang, where, key, field in _entries(body, "findings"):
        _one_of(where, key, sorted(names))
        yield f"findings.{lang}.tsv", (key, "form", field)
    triggers = {" ".join(row[:2]) for lang in get_args(Lang) for row in lexicon.shipped(f"context.{lang}.tsv")}
    for lang, where, key, field in _entries(body, "context"):
        _one_of(where, key, sorted(triggers))
        kind, scope = key.split()
        yield f"context.{lang}.tsv", (kind, scope, field)


def _entries(body: Mapping[str, Any], table: str) -> Iterator[tuple[str, str, str, str]]:
    """(language, place in the file, key, forms in one field) of a table, all checked."""
    by_lang = body.get(table, {})
    if not isinstance(by_lang, dict):
        raise ValueError(f"{table} is no table; write [{table}.de] or [{table}.en]")
    for lang, entries in by_lang.items():
        if lang not in get_args(Lang) or not isinstance(entries, dict):
            raise ValueError(f"[{table}.{lang}]; expected [{table}.de] or [{table}.en]")
        for key, forms in entries.items():
            where = f"[{table}.{lang}] {key}"
            if not isinstance(forms, list) or not forms:
                raise ValueError(f"{where}: {forms!r}; expected a list of words or phrases")
            yield lang, where, key, ";".join(_form(where, each) for each in forms)


def _form(where: str, form: Any) -> str:
    if not isinstance(form, str) or not form.strip():
        raise ValueError(f"{where}: {form!r}; expected a word or a phrase")
    if len(form) > 100 or any(sign in form for sign in ";\t\r\n"):
        raise ValueError(f"{where}: {form!r}; expected at most 100 characters on one line, without ;")
    for opening, closing in ("()", "[]"):
        if form.count(opening) != form.count(closing):
            raise ValueError(f"{where}: {form!r}; {opening} and {closing} do not match")
    if len(lexicon.expand(form.rstrip("!"))) > 500:
        raise ValueError(f"{where}: {form!r} stands for more than 500 forms; write several")
    return form.strip()


def _one_of(where: str, key: str, allowed: Any) -> None:
    if key not in allowed:
        close = difflib.get_close_matches(key, allowed, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(allowed)}"
        raise ValueError(f"{where}: {key!r} is not known; {hint}")


def _references(entries: Any) -> Iterator[str]:
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise ValueError("references is no list of tables; write [[references]]")
    for number, entry in enumerate(entries, 1):
        where = f"[[references]] {number}"
        given = [name for name in ("template", "pattern") if isinstance(entry.get(name), str)]
        if len(given) != 1 or len(entry) != 1:
            raise ValueError(f"{where}: expected one text, template or pattern; seen {', '.join(entry) or 'nothing'}")
        try:
            text = entry[given[0]]
            yield from_template(text) if given[0] == "template" else checked(text)
        except PatternError as error:
            raise ValueError(f"{where}: {given[0]}: {error}") from None
