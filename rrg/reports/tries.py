"""Phrases of the word lists in a sentence: tries over folded words, longest match."""

from typing import Any

from rrg.reports.words import EXACT, Words, fold, words_of

Trie = dict[str, Any]
"""Word -> Trie; the key "" holds the payloads of the phrase that ends here."""
Match = tuple[int, list[Any]]
"""One past the last word of a phrase, and its payloads."""
_SHORTENED = 8
"""Letters of an abbreviation inside of a phrase, at most: "vergr. Lymphknoten"."""


def key_of(word: str, exact_from: int) -> str:
    """How a word of a form is looked up: folded, or as it stands where it has `exact_from` to `EXACT` capitals."""
    return f"={word}" if word.isupper() and exact_from <= len(word) <= EXACT else fold(word)


def add(trie: Trie, form: str, payload: Any, exact_from: int = 2) -> None:
    """Put a form into a trie."""
    node = trie
    for word in words_of(form, 0, len(form)).raw:
        if word not in ".-":
            node = node.setdefault(key_of(word, exact_from), {})
    node.setdefault("", []).append(payload)


def needed(trie: Trie) -> frozenset[str]:
    """Words, one of them in each phrase of a list: a sentence without all of them holds none. Of a phrase it is the
    longest word, as the one that is seldom.
    """
    found: set[str] = set()
    below: list[tuple[Trie, str]] = [(trie, "")]
    while below:
        node, longest_word = below.pop()
        for word, after in node.items():
            if word == "":
                found.add(longest_word)
            else:
                below.append((after, max(longest_word, word, key=len)))
    return frozenset(found)


def words_in(trie: Trie) -> set[str]:
    """All folded words of a list."""
    found: set[str] = set()
    below = [trie]
    while below:
        for word, after in below.pop().items():
            if word:
                found.add(word)
                below.append(after)
    return {word for word in found if word.isalpha()}


def opening(trie: Trie, words: Words) -> list[int]:
    """Where a phrase of the list may begin."""
    found = [i for i, key in enumerate(words.keys) if key in trie]
    if words.shouted and (more := [i for i, key in words.shouted.items() if key in trie and i not in found]):
        found = sorted(found + more)
    return found


def phrases(trie: Trie, words: Words) -> list[tuple[int, int, list[Any]]]:
    """The longest phrases from left to right, without overlap: (first word, one past the last, payloads)."""
    found = []
    end = 0
    for i in opening(trie, words):
        if i >= end and (match := longest(trie, words, i)) is not None:
            end, payloads = match
            found.append((i, end, payloads))
    return found


def longest(trie: Trie, words: Words, at: int, best: Match | None = None) -> Match | None:
    """The longest phrase that begins at word `at`, when it is longer than `best`.

    A full stop after a short word and a hyphen do not count: "Z. n.", "Z.n." and "Zn" differ in the list only.
    """
    raw, keys, shouted = words.raw, words.keys, words.shouted
    node, i = trie, at
    while True:
        after = node.get(keys[i])
        if i in shouted and (exact := node.get(shouted[i])) is not None:
            best = best if after is None else longest({keys[i]: after}, words, i, best)
            after = exact
        if after is None:
            return best
        node = after
        i += 1
        if (ends := node.get("")) is not None:
            best = (i, ends) if best is None or i > best[0] else best
            if len(node) == 1:
                return best
        if i < len(raw) and (raw[i] == "-" or (raw[i] == "." and len(raw[i - 1]) <= _SHORTENED)):
            i += 1
        if i >= len(raw):
            return best
