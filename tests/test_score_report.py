"""rrg score report: sacrebleu and rouge-score called directly give the same numbers."""

import json
import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from rrg.metrics import reports
from rrg.metrics.tags import strip_tags

from .score_cases import prediction, sample, write_jsonl, write_stream

SENTENCES = (
    "Die Leber ist vergrößert.|Keine Läsion abgrenzbar.|Herz und Lunge unauffällig, kein Erguss.|Raumforderung 12 mm "
    "im Segment VI.|No focal lesion.|The heart is not enlarged.|Z.n. Cholezystektomie.|Unverändert zur Voruntersuchung."
)


@pytest.fixture(scope="module")
def texts():
    rng, parts = random.Random(5), SENTENCES.split("|")
    references = [" ".join(rng.sample(parts, 4)) for _ in range(12)]
    predictions = [" ".join(rng.sample(parts, 3)) for _ in references]
    predictions[3], predictions[4] = "", references[4]
    return predictions, references


@pytest.fixture(scope="module")
def files(texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    rows = [{"id": n, "prediction": text} for n, text in enumerate(texts[0])]
    wanted = [{"id": n, "report": text, "lang": "de"} for n, text in enumerate(texts[1])]
    return write_jsonl(folder / "p.jsonl", rows), write_jsonl(folder / "r.jsonl", wanted)


def metrics(done):
    return json.loads(done.stdout)["metrics"]


def rouge(texts, **how):
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], **how)
    rows = [scorer.score(wanted, said) for said, wanted in zip(*texts, strict=True)]
    return [np.mean([row[name].fmeasure for row in rows]) for name in ("rouge1", "rouge2", "rougeL")]


def test_strict_is_sacrebleu_and_unicode_rouge(rrg, files, texts, tmp_path):
    done = rrg("score", "report", *files, "--samples", 50, "--per-item", tmp_path / "i.jsonl")
    found = metrics(done)
    predictions, references = texts
    expected = {f"bleu{n}": BLEU(max_ngram_order=n).corpus_score(predictions, [references]).score for n in (1, 2, 3, 4)}
    sentence = BLEU(effective_order=True)
    means = [sentence.sentence_score(said, [wanted]).score for said, wanted in zip(*texts, strict=True)]
    expected["bleu4.sentence_mean"] = np.mean(means)
    expected["chrf2"] = CHRF().corpus_score(predictions, [references]).score
    expected["chrf2++"] = CHRF(word_order=2).corpus_score(predictions, [references]).score
    expected["ter"] = TER().corpus_score(predictions, [references]).score
    names = ("rouge1.f", "rouge2.f", "rougel.f")
    expected |= dict(zip(names, rouge(texts, tokenizer=reports.UnicodeTokenizer()), strict=True))
    assert {name: each["value"] for name, each in found.items()} == pytest.approx(expected, abs=1e-6)
    assert list(found) == list(expected)
    assert found["bleu4"]["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.")
    assert "eff:yes" in found["bleu4.sentence_mean"]["signature"]
    assert found["bleu4"]["unit"] == "score100"
    assert (found["bleu4"]["n"], found["bleu4"]["n_unparsed"]) == (12, 1)
    for each in found.values():
        assert each["ci95"][0] <= each["ci95"][1]
    lines = [json.loads(line)["scores"] for line in (tmp_path / "i.jsonl").read_text().splitlines()]
    assert np.mean([line["bleu4.sentence_mean"] for line in lines]) == pytest.approx(
        found["bleu4.sentence_mean"]["value"]
    )


def test_sacrebleu_options(rrg, files, texts):
    done = rrg(
        "score", "report", *files, "--protocol", "sacrebleu", "--tokenize", "none", "--lowercase", "--samples", 0
    )
    expected = BLEU(tokenize="none", lowercase=True, force=True).corpus_score(texts[0], [texts[1]]).score
    assert metrics(done)["bleu4"]["value"] == pytest.approx(expected, abs=1e-6)
    assert "case:lc|eff:no|tok:none" in metrics(done)["bleu4"]["signature"]


@pytest.mark.parametrize(("name", "how"), [("default", {}), ("stem", {"use_stemmer": True})])
def test_rouge_tokenizers(rrg, files, texts, name, how):
    done = rrg("score", "report", *files, "--protocol", "rouge-score", "--rouge-tokenizer", name, "--samples", 0)
    found = [each["value"] for each in metrics(done).values()]
    assert found == pytest.approx(rouge(texts, **how), abs=1e-9)


def test_german_words_stay_whole():
    assert reports.UnicodeTokenizer().tokenize("Vergrößerte Läsion") == ["vergrößerte", "läsion"]


def test_sums_give_the_packages_values(texts):
    predictions, references = texts
    for order in (1, 2, 3, 4):
        metric = BLEU(max_ngram_order=order)
        sums = np.array(metric._extract_corpus_statistics(predictions, [references]), float).sum(axis=0)[None]
        expected = metric.corpus_score(predictions, [references]).score
        assert reports.bleu_from_sums(sums, order)[0] == pytest.approx(expected, abs=1e-9)
        for said, wanted in (("Leber", "Leber ist"), ("", "x"), ("a b", "a c"), ("a", "b")):
            stats = np.array(metric._extract_corpus_statistics([said], [[wanted]]), float)
            expected = metric.corpus_score([said], [[wanted]]).score
            assert reports.bleu_from_sums(stats, order)[0] == pytest.approx(expected, abs=1e-9)
    for words in (0, 2):
        metric = CHRF(word_order=words)
        sums = np.array(metric._extract_corpus_statistics(predictions, [references]), float).sum(axis=0)[None]
        expected = metric.corpus_score(predictions, [references]).score
        assert reports.chrf_from_sums(sums)[0] == pytest.approx(expected, abs=1e-9)


def test_corpus_bleu_interval_draws_items(rrg, files, texts):
    """The interval is that of corpus BLEU recomputed on every drawn set of reports."""
    done = rrg("score", "report", *files, "--protocol", "sacrebleu", "--metrics", "bleu4", "--samples", 40)
    predictions, references = texts
    drawn = np.random.default_rng(12345).choice(12, (40, 12))
    again = [BLEU().corpus_score([predictions[k] for k in row], [[references[k] for k in row]]).score for row in drawn]
    assert metrics(done)["bleu4"]["ci95"] == pytest.approx(list(np.percentile(again, [2.5, 97.5])), abs=1e-6)


def test_a_missing_report_is_an_empty_one(rrg, files, texts, tmp_path):
    rows = [{"id": n, "prediction": text} for n, text in enumerate(texts[0]) if n != 3]
    short = write_jsonl(tmp_path / "p.jsonl", rows)
    whole = rrg("score", "report", *files, "--samples", 0)
    done = rrg("score", "report", short, files[1], "--samples", 0, code=3)
    assert {k: v["value"] for k, v in metrics(done).items()} == {k: v["value"] for k, v in metrics(whole).items()}
    assert (metrics(done)["bleu4"]["n_missing"], metrics(done)["bleu4"]["n_unparsed"]) == (1, 0)


def test_forms_of_reports(rrg, tmp_path):
    radeval = tmp_path / "radeval.json"
    radeval.write_text(json.dumps({"references": ["a b c d"], "hypotheses": ["a b c d"]}))
    assert metrics(rrg("score", "report", radeval, "--samples", 0))["bleu4"]["value"] == pytest.approx(100)
    rows = [{"id": 1, "findings": "a b", "impression": "c d", "response": "a b c d"}]
    one = write_jsonl(tmp_path / "m.jsonl", rows)
    done = rrg("score", "report", one, "--reference-field", "findings,impression", "--samples", 0)
    assert metrics(done)["bleu4"]["value"] == pytest.approx(100)
    for name in ("p", "r"):
        (tmp_path / f"{name}.tok").write_text("a b c d\ne f g h\n")
    done = rrg("score", "report", tmp_path / "p.tok", tmp_path / "r.tok", "--samples", 0)
    assert metrics(done)["bleu4"]["value"] == pytest.approx(100)
    same = write_jsonl(tmp_path / "s.jsonl", [{"id": 1, "report": "a"}])
    assert b"can not be both sides" in rrg("score", "report", same, code=1).stderr


def test_native_reports_and_tags(rrg, tmp_path):
    samples = [sample("a", "report", answer="Leber ohne Befund."), sample("b", question_type="open", answer="x")]
    said = [prediction("a", "Leber ohne Befund.", "report")]
    paths = write_stream(tmp_path / "p.jsonl", said), write_stream(tmp_path / "t.jsonl", samples)
    assert metrics(rrg("score", "report", *paths, "--samples", 0))["chrf2"]["value"] == pytest.approx(100)
    assert strip_tags("<seg>Leber</seg> frei") == "Leber frei"
    assert strip_tags("<loc0001><loc0002><loc0003><loc0004> Leber") == "Leber"
    assert strip_tags("Größe < 5 mm,  p > 3") == "Größe < 5 mm,  p > 3"
