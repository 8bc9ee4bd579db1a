"""What the rules reach on the gold texts of this repository: the numbers that we promise, in each language."""

from pathlib import Path

import pytest

from rrg.reports.evaluate import Score, evaluate
from rrg.reports.gold import read_gold

GOLD = sorted((Path(__file__).parent / "gold").glob("*.jsonl"))
PROMISED = {
    "references": {"precision": 0.99, "recall": 0.95},
    "negation": {"f1": 0.97},
    "laterality": {"f1": 0.98},
    "measurements": {"f1": 0.98},
    "sections": {"f1": 0.98},
    "anatomy_spans": {"f1": 0.95},
}
LEAST = {
    "references": 80,
    "negation": 200,
    "laterality": 300,
    "measurements": 100,
    "sections": 100,
    "anatomy_spans": 400,
}
"""Facts of each kind and language that the gold must hold for a promise to mean something."""


@pytest.fixture(scope="module")
def scores() -> dict[tuple[str, str], Score]:
    found, _ = evaluate(read_gold(GOLD))
    return {(each.lang, each.fact): each for each in found}


@pytest.mark.parametrize("lang", ["de", "en"])
@pytest.mark.parametrize("fact", PROMISED)
def test_the_rules_reach_what_is_promised(lang: str, fact: str, scores: dict[tuple[str, str], Score]) -> None:
    score = scores[lang, fact]
    assert score.gold >= LEAST[fact]
    for rate, least in PROMISED[fact].items():
        reached = getattr(score, rate)
        assert reached >= least, f"{lang} {fact} {rate}: {reached:.4f} of {least}"


def test_there_are_enough_sentences() -> None:
    texts = read_gold(GOLD)
    for lang in ("de", "en"):
        assert sum(len(each.sentences or (0,)) for each in texts if each.lang == lang) >= 300
