"""One error and no other: the wrong text differs from the original in that fact alone, in both languages."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rrg.records import Lang
from rrg.reports.parse import parse
from rrg.reports.text import clean, decode
from rrg.seeds import rng_for
from rrg.synth.dialogue_errors import KINDS, Kind, Wrong, inject

GOLD = Path(__file__).parent / "gold"
PLACES = ("liver", "kidney_left", "lung_upper_lobe_right", "spleen", "brain")


def paragraphs() -> list[tuple[Lang, list[str]]]:
    """Up to four sentences that follow each other, from the reports that people marked and from DRG templates."""
    texts: list[tuple[Lang, str]] = []
    languages: tuple[Lang, ...] = ("de", "en")
    for lang in languages:
        for line in (GOLD / f"reports.{lang}.jsonl").read_text(encoding="utf-8").splitlines():
            texts.append((lang, json.loads(line)["text"]))
    if folder := os.environ.get("RRG_TEST_DATA"):
        pages = sorted((Path(folder) / "drg-befundvorlagen-de" / "templates_final").glob("*.html"))
        assert pages
        texts += [("de", clean(decode(page.read_bytes()))) for page in pages]
    found: list[tuple[Lang, list[str]]] = []
    for lang, text in texts:
        facts = parse(text, lang)
        said = [
            " ".join(text[slice(*each.span)].split())
            for each in facts.sentences
            if facts.sections[each.section].kind in ("findings", "impression", "body")
        ]
        found += [(lang, said[at : at + 4]) for at in range(0, len(said), 4)]
    return found


def told(text: str, lang: Lang) -> Counter[str]:
    """The findings of a text, free of their places in it: an oracle beside `judged`."""
    facts = parse(text, lang)
    return Counter(
        json.dumps(
            {
                "name": each.name,
                "state": each.state,
                "doubt": each.certainty,
                "time": each.time,
                "change": each.change,
                "side": each.side,
                "where": sorted({name for at in each.anatomy for name in facts.anatomy[at].classes}),
                "mm": [list(size.value_mm) for size in each.measurements],
            }
        )
        for each in facts.findings
    )


def differing(before: Counter[str], after: Counter[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    lost = [json.loads(each) for each in (before - after).elements()]
    new = [json.loads(each) for each in (after - before).elements()]
    return lost, new


def check(original: str, wrong: Wrong, lang: Lang) -> None:
    assert wrong.text != original
    lost, new = differing(told(original, lang), told(wrong.text, lang))
    if wrong.kind == "add":
        assert (len(lost), len(new)) == (0, 1)
        start, end = wrong.span
        assert (wrong.text[:start] + wrong.text[end:]).strip() == original
        return
    if wrong.kind == "remove":
        assert (len(lost), len(new)) == (1, 0)
        return
    assert (len(lost), len(new)) == (1, 1)
    fields = {key for key in lost[0] if lost[0][key] != new[0][key]}
    assert fields <= {"side": {"side", "where"}, "size": {"mm"}, "negation": {"state"}}[wrong.kind]
    assert fields


@pytest.mark.parametrize("kind", KINDS)
def test_the_rules_read_one_other_fact(kind: Kind) -> None:
    made: Counter[Lang] = Counter()
    for number, (lang, sentences) in enumerate(paragraphs()):
        wrong = inject(sentences, lang, kind, rng_for(0, "test", f"{kind} {number}"), PLACES)
        if wrong is not None:
            made[lang] += 1
            check(" ".join(sentences), wrong, lang)
    assert min(made["de"], made["en"]) >= 5, made


@pytest.mark.parametrize(
    ("lang", "kind", "text", "wrong"),
    [
        ("de", "side", "Zyste der linken Niere.", "Zyste der rechten Niere."),
        ("de", "side", "Rundherd im Oberlappen links.", "Rundherd im Oberlappen rechts."),
        ("de", "side", "Linksseitiger Pleuraerguss.", "Rechtsseitiger Pleuraerguss."),
        ("en", "side", "Cyst of the left kidney.", "Cyst of the right kidney."),
        ("de", "negation", "Kein Rundherd im linken Unterlappen.", "Rundherd im linken Unterlappen."),
        ("en", "negation", "No nodule in the left lower lobe.", "Nodule in the left lower lobe."),
    ],
)
def test_grammar_is_kept(lang: Lang, kind: Kind, text: str, wrong: str) -> None:
    made = inject([text], lang, kind, rng_for(0, "test", text))
    assert made is not None
    assert made.text == wrong


@pytest.mark.parametrize(
    ("lang", "kind", "text"),
    [
        ("de", "side", "Rundherd im Mittellappen rechts."),  # the left lung has none
        ("de", "side", "Die rechte Niere ist unauffällig."),  # the left one may be normal too
        ("de", "negation", "Keine neuen Läsionen der Leber."),  # the adjective would need another ending
        ("de", "negation", "Kein Pneumothorax, aber Emphysem."),
        ("de", "size", "Zyste der Leber von 2 mm."),
        ("de", "remove", "Zyste der Leber von 20 mm."),  # nothing would be left
        ("de", "size", "Zyste der Leber, 20 mm, zuvor 18 mm."),
    ],
)
def test_where_there_is_no_room_for_an_error_none_is_made(lang: Lang, kind: Kind, text: str) -> None:
    assert inject([text], lang, kind, rng_for(0, "test", text)) is None


def test_nothing_is_added_where_a_finding_is() -> None:
    for number in range(8):
        assert inject(["Zyste der Leber."], "de", "add", rng_for(0, "test", str(number)), ["liver"]) is None
