"""The word lists of ``rrg/lexicon``, loaded once per process and language."""

import hashlib
import itertools
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from rrg.anatomy import LABELS
from rrg.records import Lang
from rrg.reports.tries import Trie, add, key_of, needed, words_in
from rrg.reports.words import fold, words_of

VERSION = "rrg-lexicon/1"
FILES = (
    "abbreviations.tsv",
    "anatomy.tsv",
    "changes.tsv",
    "context.de.tsv",
    "context.en.tsv",
    "findings.de.tsv",
    "findings.en.tsv",
    "forms.de.tsv",
    "forms.en.tsv",
    "glossary.tsv",
    "sections.tsv",
)
ADJECTIVE_ENDINGS = ("", "e", "er", "es", "en", "em")


class Meaning(NamedTuple):
    """What a form of the structures means."""

    classes: tuple[str, ...]
    """Names of ``rrg.anatomy``; of both sides where the structure has two."""
    both: bool = False
    """A plural that means both sides."""
    gone: bool = False
    """An operation that took the structure out."""


class Trigger(NamedTuple):
    """What a word of the context lists does."""

    kind: str
    scope: str
    form: str


class Lexicon(NamedTuple):
    """All lists of one language."""

    structures: Trie
    findings: Trie
    context: Trie
    scoping: frozenset[str]
    """First words of the context forms that reach over others; a sentence without one has no context."""
    changes: Trie
    """Words of change and of number: "größenprogredient", "multiple"."""
    changing: frozenset[str]
    """Words of which each phrase of `changes` has one."""
    stems: dict[str, Meaning]
    """First parts of compounds."""
    heads: frozenset[str]
    """Second parts that keep the structure."""
    tails: dict[str, str]
    """Ends of compounds -> finding."""
    single: dict[str, str]
    """One-word findings."""
    denied: frozenset[str]
    """Words that deny their finding themselves: "steinfrei"."""
    abbreviations: dict[str, str]
    """Word before a full stop -> kind."""
    vocabulary: frozenset[str]
    """Every word of the lists, folded."""


_ADDED: dict[str, list[list[str]]] = {}
_ADDED_DIGEST = [""]


def add_rows(added: dict[str, list[list[str]]], digest: str) -> None:
    """Further rows of the word lists, checked by `rrg.reports.clinic`; they take the place of earlier ones."""
    _ADDED.clear()
    _ADDED.update(added)
    _ADDED_DIGEST[0] = digest
    lexicon.cache_clear()


def lexicon_version() -> str:
    """``rrg-lexicon/1:`` and 12 hex digits of the SHA-256 over all word lists; with added rows also of these."""
    added = f"+{_ADDED_DIGEST[0][:12]}" if _ADDED_DIGEST[0] else ""
    return f"{VERSION}:{_checksum()[:12]}{added}"


@cache
def _checksum() -> str:
    digest = hashlib.sha256()
    for name in FILES:
        body = files("rrg").joinpath("lexicon", name).read_bytes()
        digest.update(f"{name}\0{hashlib.sha256(body).hexdigest()}\n".encode())
    return digest.hexdigest()


def rows(name: str) -> Iterator[list[str]]:
    """Rows of a word list, first those that a clinic added, then our own."""
    yield from _ADDED.get(name, ())
    yield from shipped(name)


def shipped(name: str) -> Iterator[list[str]]:
    """Our own rows of a word list, without comments and the head line."""
    lines = files("rrg").joinpath("lexicon", name).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    for line in kept[1:]:
        yield line.split("\t")


def forms(field: str) -> Iterator[str]:
    """The forms of a field, as written: separated by ";", not inside of brackets."""
    for form in field.split(";"):
        if form := form.strip():
            yield form


def expand(form: str) -> list[str]:
    """Every surface form of a notation: ``Niere(n)``, ``metastas[is|es]``, ``renal~``."""
    if match := re.search(r"\[([^\[\]]*)\]", form):
        found = [expand(form[: match.start()] + each + form[match.end() :]) for each in match[1].split("|")]
        return list(dict.fromkeys(itertools.chain.from_iterable(found)))
    if match := re.search(r"\(([^()]*)\)", form):
        endings = ["", *match[1].split("|")]
        found = [expand(form[: match.start()] + each + form[match.end() :]) for each in endings]
        return list(dict.fromkeys(itertools.chain.from_iterable(found)))
    if "~" in form:
        before, _, after = form.partition("~")
        return list(dict.fromkeys(itertools.chain.from_iterable(expand(before + e + after) for e in ADJECTIVE_ENDINGS)))
    return [" ".join(form.split())]


def classes_of(pattern: str) -> tuple[str, ...]:
    """Names for patterns of the lists: ``kidney_*``, ``vertebrae_L#``, ``rib_*_#``. Empty for an empty field."""
    if not pattern:
        return ()
    if "," in pattern:
        return tuple(name for each in pattern.split(",") for name in classes_of(each.strip()))
    regex = re.compile(re.escape(pattern).replace(r"\*", "(?:left|right)").replace(r"\#", r"\d+") + r"\Z")
    found = tuple(name for name in LABELS if regex.match(name))
    if not found:
        raise ValueError(f"no structure is named {pattern!r}")
    return found


@cache
def lexicon(lang: Lang) -> Lexicon:
    """The lists of one language."""
    structures: Trie = {}
    stems: dict[str, Meaning] = {}
    heads: set[str] = set()
    for kind, pattern, field in rows(f"forms.{lang}.tsv"):
        classes = classes_of(pattern)
        for written in forms(field):
            both = written.endswith("!")
            for form in expand(written.rstrip("!")):
                if kind == "stem":
                    stems[fold(form)] = Meaning(classes)
                elif kind == "head":
                    heads.add(fold(form))
                else:
                    add(structures, form, Meaning(classes, both, kind == "gone"))
    findings: Trie = {}
    tails: dict[str, str] = {}
    single: dict[str, str] = {}
    denied: set[str] = set()
    for name, kind, field in rows(f"findings.{lang}.tsv"):
        for form in itertools.chain.from_iterable(map(expand, forms(field))):
            add(findings, form, name)
            if " " not in form and "-" not in form and not form.isupper():
                single[fold(form)] = name
                if kind == "denied":
                    denied.add(fold(form))
                if kind == "tail":
                    tails[fold(form)] = name
    context: Trie = {}
    scoping: set[str] = set()
    for kind, scope, field in rows(f"context.{lang}.tsv"):
        for written in forms(field):
            for form in expand(written):
                add(context, form, Trigger(kind, scope, form), exact_from=1)
                if scope != "none" or kind == "comparison":
                    scoping.add(key_of(words_of(form, 0, len(form)).raw[0], 1))
    changes: Trie = {}
    for kind, language, field in rows("changes.tsv"):
        if language == lang:
            for form in itertools.chain.from_iterable(map(expand, forms(field))):
                add(changes, form, kind)
    abbreviations = {
        word: kind for language, kind, field in rows("abbreviations.tsv") if language == lang for word in forms(field)
    }
    return Lexicon(
        structures,
        findings,
        context,
        frozenset(scoping),
        changes,
        needed(changes),
        stems,
        frozenset(heads),
        tails,
        single,
        frozenset(denied),
        abbreviations,
        frozenset().union(*map(words_in, (structures, findings, context, changes))),
    )
