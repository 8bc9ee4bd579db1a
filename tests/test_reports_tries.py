"""Phrases of the word lists: longest match against a plain search, and look-ups that are left out where they may be."""

import itertools
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.records import Lang
from rrg.reports import context
from rrg.reports.language import detect
from rrg.reports.lexicon import lexicon
from rrg.reports.parse import parse
from rrg.reports.tries import Trie, add, longest, needed, opening, phrases
from rrg.reports.words import Memo, fold, words_of

WORDS = ["a", "b", "AB", "ab", "c", "Ü"]
FORMS = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(tuple), min_size=1, max_size=8, unique=True
)
SENTENCES = st.lists(st.sampled_from([*WORDS, "-", ".", ","]), min_size=1, max_size=12)


def same(form: str, word: str) -> bool:
    """A word of a form stands for this word of a text: short words in capitals only for themselves."""
    return form == word if form.isupper() and len(form) > 1 else form.casefold() == word.casefold()


def plain(forms: list[tuple[str, ...]], sentence: list[str], at: int) -> int | None:
    """One past the longest form that begins at `at`, by trying every form; a stop or a hyphen may stand between."""
    ends = []
    for form in forms:
        i: int | None = at
        for number, word in enumerate(form):
            if i is not None and number and i < len(sentence) and sentence[i] in "-.":
                i += 1
            i = i + 1 if i is not None and i < len(sentence) and same(word, sentence[i]) else None
        ends.append(i)
    return max((end for end in ends if end is not None), default=None)


def trie_of(forms: list[tuple[str, ...]]) -> Trie:
    trie: Trie = {}
    for form in forms:
        add(trie, " ".join(form), form)
    return trie


@given(FORMS, SENTENCES)
def test_the_longest_phrase_is_that_of_a_plain_search(forms: list[tuple[str, ...]], sentence: list[str]) -> None:
    trie, words = trie_of(forms), words_of(" ".join(sentence), 0, len(" ".join(sentence)))
    assert words.raw == sentence
    for at in range(len(sentence)):
        match = longest(trie, words, at)
        assert (match and match[0]) == plain(forms, sentence, at)
        assert match is None or at in opening(trie, words)


@given(FORMS, SENTENCES)
def test_phrases_do_not_overlap_and_none_is_left_out(forms: list[tuple[str, ...]], sentence: list[str]) -> None:
    trie, words = trie_of(forms), words_of(" ".join(sentence), 0, len(" ".join(sentence)))
    found = [(first, last) for first, last, _ in phrases(trie, words)]
    assert all(last <= first for (_, last), (first, _) in itertools.pairwise(found))
    free = set(range(len(sentence))) - {i for first, last in found for i in range(first, last)}
    assert not any(plain(forms, sentence, at) for at in free)
    if found:
        assert needed(trie) & {*words.keys, *words.shouted.values()}


@pytest.mark.parametrize("lang", ["de", "en"])
def test_each_phrase_of_the_lists_has_a_needed_word_and_no_function_word_is_one(lang: Lang) -> None:
    lex = lexicon(lang)
    assert lex.changing == needed(lex.changes)
    assert lex.changing.isdisjoint({"im", "in", "the", "of", "der", "no"})
    assert {"cardiomegaly", "leber"} & lex.vocabulary


def test_a_memo_says_what_its_function_says_and_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrg.reports.words._REMEMBERED", 3)
    asked: list[str] = []
    memo = Memo(lambda word: asked.append(word) or word.upper())  # type: ignore[func-returns-value]
    assert [memo[word] for word in "aabacdea"] == list("AABACDEA")
    assert len(memo) <= 3
    assert asked == list("abcdea")
    assert fold("ÖDEM") == fold("oedem") == "oedem"


def work(text: str) -> int:
    """Calls of functions that parsing takes."""
    calls = 0

    def count(_frame: FrameType, event: str, _of: Any) -> None:
        nonlocal calls
        calls += event == "call"

    parse(text, "de")
    sys.setprofile(count)
    try:
        parse(text, "de")
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("phrase", ["kein Erguss, ", "keine Zyste der Leber, ", "V. a. Zyste, ", "Bild 3, "])
def test_a_sentence_of_many_denials_takes_work_in_proportion(phrase: str) -> None:
    """Within one sentence, which is shorter than `sentences.LONGEST`."""
    short, twice = work(phrase * 50), work(phrase * 100)
    assert len(parse(phrase * 100, "de").sentences) == 1
    assert twice < 2.4 * short


def test_scopes_that_are_not_sought_again_end_where_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [
        "kein Erguss, keine Zyste, ohne Herd (keine Fraktur), kein Tumor aber Abszess, keine Fraktur.",
        "kein Erguss, keine Einblutung in den bekannten Infarkt, keine Zyste, degenerative Veränderungen.",
        "keine Resistenzen tastbar, kein Erguss, blande Narbe, V. a. Zyste, V. a. Tumor mit umgebendem Ödem, Abszess.",
        "Z. n. Fraktur, Z. n. Infarkt, kein Tumor, Z. n. Abszess mit Erguss, no effusion, no mass, keine Zyste.",
        "no effusion, no mass, cyst measuring 4 mm, no nodule or tumor, but edema, without fracture, likely infarct.",
    ]
    found = [parse(text, lang) for text in texts for lang in ("de", "en", detect(text))]
    monkeypatch.setattr(context, "goes_on", lambda *_: False)
    assert found == [parse(text, lang) for text in texts for lang in ("de", "en", detect(text))]
