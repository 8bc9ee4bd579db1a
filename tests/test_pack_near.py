"""Near-duplicates of texts: the estimate beside the exact similarity of the same shingles."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rrg.pack_leaks import bare, plain
from rrg.pack_near import HASHES, NEAR, SHINGLE, near, signature

TEXT = (
    "Leber Milz Niere Pankreas Aorta links rechts unauffällig Zyste Raumforderung glatt begrenzt im Segment mit ohne "
    "Kontrastmittel kein Nachweis einer the of liver kidney lesion mass without enhancement measuring"
)
WORDS = TEXT.split()


def shingles(text: str) -> set[str]:
    text = text.ljust(SHINGLE)
    return {text[at : at + SHINGLE] for at in range(len(text) - SHINGLE + 1)}


def similarity(a: str, b: str) -> float:
    return len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))


def some_texts(count: int, seed: int) -> list[str]:
    """Sentences of 6 to 20 words, each beside a version with a few words exchanged."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = [str(word) for word in rng.choice(WORDS, int(rng.integers(6, 20)))]
        other = list(words)
        for _ in range(int(rng.integers(0, 4))):
            other[int(rng.integers(len(other)))] = str(rng.choice(WORDS))
        found += [" ".join(words), " ".join(other)]
    return found


def test_the_estimate_is_the_similarity_of_the_shingles() -> None:
    texts = some_texts(300, 0)
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    exact = np.array([similarity(a, b) for a, b in pairs])
    estimate = np.array([(signature(a) == signature(b)).mean() for a, b in pairs])
    assert exact.min() < 0.4 < 0.6 < np.median(exact) < exact.max() == 1, "pairs of all kinds"
    assert abs((estimate - exact).mean()) < 0.01
    assert np.sqrt(((estimate - exact) ** 2).mean()) < np.sqrt(0.25 / HASHES) * 1.1
    assert (estimate[exact == 1] == 1).all()


def test_near_finds_what_an_exhaustive_search_finds() -> None:
    """The bands leave nothing out: compared with all pairs of signatures, and with the exact similarity."""
    of, among = some_texts(150, 1)[::2], some_texts(150, 1)[1::2]
    a, b = (np.array([signature(text) for text in texts]) for texts in (of, among))
    found = near(a, b)
    every = np.array([(row == b).mean(axis=1).max() >= NEAR for row in a])
    assert np.array_equal(found, every)
    best = np.array([max(similarity(text, other) for other in among) for text in of])
    assert found[best > NEAR + 0.15].all()
    assert not found[best < NEAR - 0.15].any()
    assert 20 < found.sum() < 130, "a control: some are, some are not"


def test_near_does_not_depend_on_the_order() -> None:
    texts = np.array([signature(text) for text in some_texts(100, 2)])
    order = np.random.default_rng(0).permutation(100)
    assert np.array_equal(near(texts[:100], texts[100:])[order], near(texts[:100][order], texts[100:][::-1]))


def test_many_of_one_kind_in_one_bucket() -> None:
    """More than one block of equal bands, the near one last."""
    base = signature("ein Text mit einer Zyste der Leber")
    far = np.tile(base, (600, 1))
    far[:, 8:] = np.random.default_rng(3).integers(0, 256, (600, HASHES - 8), np.uint8)
    assert not near(base[None], far).any()
    assert near(base[None], np.vstack([far, base])).all()


def test_nothing_beside_nothing() -> None:
    none, one = np.zeros((0, HASHES), np.uint8), signature("a")[None]
    assert near(none, one).shape == (0,)
    assert not near(one, none).any()


@given(st.text(max_size=40))
def test_any_text_has_a_signature_and_is_near_to_itself(text: str) -> None:
    own = signature(text)[None]
    assert own.shape == (1, HASHES)
    assert near(own, own).all()


def test_a_signature_is_the_same_everywhere() -> None:
    """Data sets of two machines must agree: the numbers do not hang on a library's random generator."""
    assert signature("Leber unauffällig.")[:6].tolist() == [217, 14, 226, 12, 175, 174]


def test_plain_and_bare() -> None:
    assert plain("  Zyste, 3,4 x 2.1 cm; LINKS!") == plain("zyste 3,4 x 2.1 cm links")
    assert plain("Zyste 3,4 cm") != plain("Zyste 3,5 cm")
    assert plain("-5 HU") != plain("5 HU")
    assert plain("<5 mm") != plain("5 mm")
    assert plain("L4/5 (links).") == "l4/5 links"
    assert bare("Zyste von 3,4 x 2.1 cm, links.") == bare("zyste von 12 x 9 cm links") == "zyste von 0 x 0 cm links"
    assert bare("Zyste links") != bare("Zyste rechts")
