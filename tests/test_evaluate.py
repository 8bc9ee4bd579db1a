"""Gold files and the scores of the rules on them: tiny texts whose numbers are worked out by hand."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rrg.errors import RrgError, UsageError
from rrg.records import Anatomy, Finding, Lang, Measurement, Reference, Section, Sentence, Span
from rrg.reports.evaluate import FACTS, Said, Score, evaluate
from rrg.reports.gold import GoldText, read_gold
from rrg.reports.scoreboard import as_bytes, error_line, read_least, table

ONE: dict[str, Any] = {
    "id": "t1",
    "lang": "de",
    "text": "Zyste der Leber, 12 mm (Serie 3, Bild 45). Keine Metastasen der Milz links.",
    "anatomy": [
        {"at": "Leber", "classes": ["liver"]},
        {"at": "Milz", "classes": ["spleen"], "negated": True, "side": "left"},
    ],
    "findings": [
        {"at": "Zyste", "name": "cyst", "where": ["Leber"], "sizes": ["12 mm"]},
        {"at": "Metastasen", "name": "metastasis", "state": "absent", "where": ["Milz"], "multiple": True},
    ],
    "measurements": [{"at": "12 mm", "mm": [12]}],
    "references": [{"at": "Serie 3, Bild 45", "series": 3, "images": [45]}],
    "sentences": ["Zyste der Leber, 12 mm (Serie 3, Bild 45).", "Keine Metastasen der Milz links."],
    "sections": [{"kind": "body", "heading": None, "at": "Zyste der"}],
}


def gold(tmp_path: Path, *bodies: dict[str, Any]) -> tuple[GoldText, ...]:
    path = tmp_path / "gold.jsonl"
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    return read_gold([path])


def span(text: str, piece: str) -> Span:
    return text.index(piece), text.index(piece) + len(piece)


def perfect(one: GoldText) -> Said:
    """What a parser without any error says."""
    sections = [Section(kind="body", span=(0, len(one.text)))]
    sentences = [Sentence(span=each, section=0, lang=one.lang) for each in one.sentences or ()]
    return Said(sections, sentences, one.anatomy, one.findings, one.measurements, one.references)


def by_fact(scores: list[Score]) -> dict[str, tuple[int, int, int]]:
    return {each.fact: (each.tp, each.fp, each.fn) for each in scores}


def test_a_perfect_parser_has_no_error(tmp_path: Path) -> None:
    (one,) = gold(tmp_path, ONE)
    scores, errors = evaluate([one], lambda _text, _lang: perfect(one))
    assert not errors
    counts = by_fact(scores)
    assert set(counts) == set(FACTS)
    positives = {fact: tp for fact, (tp, _, _) in counts.items() if tp}
    assert positives == {
        "sections": 1,
        "sentences": 2,
        "anatomy": 2,
        "anatomy_spans": 2,
        "findings": 2,
        "finding_spans": 2,
        "negation": 2,
        "laterality": 1,
        "multiple": 1,
        "measurements": 1,
        "where": 2,
        "sizes": 1,
        "references": 1,
        "slices": 1,
    }
    assert all(each.f1 in (1.0, None) for each in scores)


def test_a_wrong_parser_gets_the_numbers_worked_out_by_hand(tmp_path: Path) -> None:
    """It misses the negation and the second structure, invents a side, a slice and a finding, and cuts a span."""
    (one,) = gold(tmp_path, ONE)
    text = one.text

    def wrong(_text: str, _lang: Lang) -> Said:
        liver = Anatomy(span=span(text, "der Leber"), sentence=0, classes=("liver",), side="right")
        lesion = Anatomy(span=span(text, "Zyste"), sentence=0, classes=("lesion",), rule="finding", negated=True)
        size = Measurement(span=span(text, "12 mm"), value_mm=(1.2,))
        cyst = Finding(span=span(text, "Zyste"), sentence=0, name="cyst", state="present", anatomy=(0,))
        nodule = Finding(span=span(text, "Metastasen"), sentence=1, name="nodule", state="present", anatomy=(0,))
        invented = Finding(span=span(text, "Keine"), sentence=1, name="mass", state="absent", certainty="uncertain")
        reference = Reference(
            span=span(text, "Serie 3, Bild 45"), sentence=0, series_number=3, image_numbers=(45, 46), prior=False
        )
        return Said(
            [Section(kind="findings", span=(0, len(text)))],
            [Sentence(span=(0, len(text)), section=0, lang="de")],
            [liver, lesion],
            [cyst, nodule, invented],
            [size],
            [reference],
        )

    scores, errors = evaluate([one], wrong)
    counts = by_fact(scores)
    assert counts["sections"] == (0, 1, 1)
    assert counts["sentences"] == (0, 1, 2)
    assert counts["anatomy"] == (0, 1, 2)  # the span is not exact; the lesion is no structure
    assert counts["anatomy_spans"] == (1, 0, 1)
    assert counts["findings"] == (1, 2, 1)
    assert counts["finding_spans"] == (2, 1, 0)
    assert counts["negation"] == (0, 1, 2)  # one invented; the metastasis and the spleen
    assert counts["certainty"] == (0, 1, 0)
    assert counts["laterality"] == (0, 1, 1)
    assert counts["multiple"] == (0, 0, 1)
    assert counts["measurements"] == (0, 1, 1)
    assert counts["where"] == (1, 1, 1)
    assert counts["sizes"] == (0, 0, 1)
    assert counts["references"] == (0, 1, 1)
    assert counts["slices"] == (1, 1, 0)
    lines = [error_line(each) for each in errors]
    assert any(
        line.startswith('t1 negation missed at 49: "Metastasen" expected absent, seen present') for line in lines
    )
    assert any('negation wrong at 43: "Keine" expected nothing, seen absent' in line for line in lines)


def test_a_side_that_is_wrong_is_missed_and_wrong(tmp_path: Path) -> None:
    body = {
        "id": "s",
        "lang": "en",
        "text": "Left kidney normal.",
        "anatomy": [{"at": "kidney", "classes": ["kidney_left"], "side": "left"}],
    }
    (one,) = gold(tmp_path, body)
    mention = Anatomy(span=(5, 11), sentence=0, classes=("kidney_right",), side="right")
    scores, _ = evaluate([one], lambda _t, _l: Said([], [], [mention], [], [], []))
    counts = by_fact(scores)
    assert counts["laterality"] == (0, 1, 1)
    assert counts["anatomy"] == (0, 1, 1)
    assert counts["anatomy_spans"] == (1, 0, 0)


def test_rates() -> None:
    score = Score("de", "negation", 3, 1, 2)
    assert (score.gold, score.found) == (5, 4)
    assert (score.precision, score.recall, score.f1) == (0.75, 0.6, pytest.approx(2 / 3))
    empty = Score("de", "negation", 0, 0, 0)
    assert (empty.precision, empty.recall, empty.f1) == (None, None, None)
    assert "0.7500" in table([score, empty])
    assert len(table([score, empty]).splitlines()) == 2
    assert json.loads(as_bytes([score], None))["scores"]["de"]["negation"]["tp"] == 3


def test_of_several_equal_pieces_nth_says_which(tmp_path: Path) -> None:
    body = {
        "id": "n",
        "lang": "de",
        "text": "Zyste der Leber. Auch Zyste der Leber.",
        "anatomy": [{"at": "Leber", "classes": ["liver"]}, {"at": "Leber", "nth": 2, "classes": ["liver"]}],
        "findings": [
            {"at": "Zyste", "name": "cyst", "where": ["Leber"]},
            {"at": "Zyste", "nth": 2, "name": "cyst", "where": ["Leber"]},
        ],
    }
    (one,) = gold(tmp_path, body)
    assert [each.anatomy for each in one.findings] == [(0,), (1,)]  # the nearest
    body["findings"] = [{"at": "Zyste", "name": "cyst", "where": [{"at": "Leber", "nth": 2}]}]
    assert gold(tmp_path, body)[0].findings[0].anatomy == (1,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lang": "fr"}, "lang is 'fr'"),
        ({"text": ""}, "text is missing"),
        ({"organs": []}, "unknown field 'organs'"),
        ({"anatomy": [{"at": "Lunge", "classes": ["liver"]}]}, "anatomy 1: 'Lunge' stands 0 times"),
        ({"anatomy": [{"at": "Leber", "nth": 2, "classes": ["liver"]}]}, "stands 1 times in the text, and not 2"),
        ({"anatomy": [{"at": "Leber", "classes": ["leber"]}]}, "no structure is named 'leber'"),
        ({"anatomy": [{"at": "Leber", "classes": ["liver"], "side": "links"}]}, "side is 'links'; expected left"),
        ({"anatomy": [{"at": "Leber", "classes": ["liver"], "levels": ["BWK1"]}]}, "levels holds 'BWK1'"),
        ({"anatomy": [{"at": "Leber", "classes": ["liver"], "negated": "no"}]}, "negated is 'no'"),
        ({"anatomy": [{"at": "Leber", "classes": ["liver"]}] * 2}, "stands in the list twice"),
        ({"findings": [{"at": "Zyste", "name": "cyst", "where": ["Lunge"]}]}, "where names 'Lunge'"),
        ({"findings": [{"at": "Zyste", "name": "cyst", "state": "gone"}]}, "state is 'gone'; expected present, absent"),
        ({"findings": [{"at": "Zyste", "name": "cyst", "change": "grown"}]}, "change is 'grown'; expected new"),
        ({"findings": [{"at": "Zyste", "name": "cyst", "count": True}]}, "count is True"),
        ({"measurements": [{"at": "12 mm", "mm": []}]}, "mm is []"),
        ({"references": [{"at": "Bild 45", "images": [0]}]}, "images holds 0"),
        ({"sections": [{"at": "Zyste", "kind": "intro"}]}, "kind is 'intro'"),
        ({"sentences": ["Keine Zysten."]}, "sentence 1 does not stand in the text"),
    ],
)
def test_a_wrong_gold_file_says_where(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    body = {"id": "bad-7", "lang": "de", "text": ONE["text"], **change}
    with pytest.raises(RrgError) as error:
        gold(tmp_path, body)
    assert "gold.jsonl:1: bad-7:" in str(error.value)
    assert message in str(error.value)


def test_ids_and_json_are_checked(tmp_path: Path) -> None:
    with pytest.raises(RrgError, match=r"gold.jsonl:2: t1: the id stands in gold.jsonl:1 already"):
        gold(tmp_path, ONE, ONE)
    path = tmp_path / "broken.jsonl"
    path.write_text('{"id": 1\n[]\n')
    with pytest.raises(RrgError, match=r"broken.jsonl:1: no JSON: .* \(and 1 more lines are wrong\)"):
        read_gold([path])
    path.write_text("\n")
    with pytest.raises(RrgError, match="hold no text"):
        read_gold([path])
    with pytest.raises(RrgError, match="No such file"):
        read_gold([tmp_path / "absent.jsonl"])


def test_thresholds(tmp_path: Path) -> None:
    assert [tuple(each) for each in read_least("negation=0.97")] == [(None, "negation", "f1", 0.97)]
    assert [tuple(each) for each in read_least("de.references.precision=1")] == [("de", "references", "precision", 1.0)]
    path = tmp_path / "least.toml"
    path.write_text("negation = 0.9\n[en.references]\nprecision = 0.99\n")
    assert [tuple(each) for each in read_least(str(path))] == [
        (None, "negation", "f1", 0.9),
        ("en", "references", "precision", 0.99),
    ]
    for wrong in ("organs=1", "negation=2", "negation=x", "absent.toml", "negation.speed=0.5"):
        with pytest.raises(UsageError, match="--at-least"):
            list(read_least(wrong))


def rrg(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rrg", "parse-reports", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_the_command_scores_prints_and_fails(tmp_path: Path) -> None:
    easy = {"id": "e", "lang": "de", "text": "Leber unauffällig.", "anatomy": [{"at": "Leber", "classes": ["liver"]}]}
    hard = {"id": "h", "lang": "en", "text": "Liver normal.", "anatomy": [{"at": "normal", "classes": ["spleen"]}]}
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(json.dumps(easy) + "\n")
    second.write_text(json.dumps(hard) + "\n")
    done = rrg("--evaluate", str(first), str(second), "--errors", "--at-least", "de.anatomy=1")
    assert done.returncode == 0, done.stderr
    assert "de    anatomy " in done.stdout
    assert 'h anatomy wrong at 0: "Liver" expected nothing, seen liver' in done.stdout
    low = rrg("--evaluate", str(first), str(second), "--at-least", "anatomy=0.5", "--at-least", "de.negation=0.5")
    assert low.returncode == 1
    assert "en.anatomy.f1 is 0.0000; at least 0.5 was asked" in low.stderr
    assert "de.negation.f1 can not be computed" in low.stderr
    out = tmp_path / "scores.json"
    assert rrg("--evaluate", str(first), "--out", str(out), "--errors").returncode == 0
    body = json.loads(out.read_text())
    assert body["scores"]["de"]["anatomy"] == {
        "gold": 1,
        "found": 1,
        "tp": 1,
        "fp": 0,
        "fn": 0,
        "precision": 1.0,
        "recall": 1.0,
        "f1": 1.0,
    }
    assert body["errors"] == []
    assert json.loads(rrg("--evaluate", str(first), "--format", "json").stdout)["scores"]
    missing = rrg()
    assert missing.returncode == 2
    assert "--reports is missing" in missing.stderr
