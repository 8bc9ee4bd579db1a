"""Translation by a language model: what it changes is refused after one more try, and never mended."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rrg import llm
from rrg.llm_settings import LlmSettings
from rrg.records import Report
from rrg.reports.parse import parse
from rrg.reports.rewrite import Rewriting, rewritten
from tests.conftest import Rrg
from tests.llm_server import Say, serve

TEXT = "Klinik: Husten.\n\nBefund:\nUnveränderte Filiae in der linken Lunge bis 12 mm. Kein Pleuraerguss rechts.\n"
GOOD = {
    "Filiae in der linken Lunge bis 12 mm.": "Metastases in the left lung up to 12 mm.",
    "Kein Pleuraerguss rechts.": "No right pleural effusion.",
}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    llm.close()


def report() -> Report:
    said = parse(TEXT, "de")
    return Report(
        id="r",
        text=TEXT,
        lang="de",
        source_sha256="",
        sections=said.sections,
        sentences=said.sentences,
        anatomy=said.anatomy,
        findings=said.findings,
        measurements=said.measurements,
    )


def asked(request: dict[str, Any]) -> str:
    return str(json.loads(request["messages"][1]["content"].rpartition("Sentence: ")[2]))


def saying(answers: dict[str, list[str]]) -> Any:
    """Each sentence gets its answers one after the other; the last one stays."""
    left = {sentence: list(texts) for sentence, texts in answers.items()}

    def react(request: dict[str, Any], _number: int) -> Say:
        mine = left[asked(request)]
        return Say(json.dumps({"translation": mine.pop(0) if len(mine) > 1 else mine[0]}))

    return react


def run(answers: dict[str, list[str]]) -> tuple[list[str], dict[str, int], Any, int]:
    with serve(saying(answers)) as fake:
        settings = LlmSettings(identity="server:model-a", name="model-a", urls=(fake.url,), tries=2)
        made, counts, problem = rewritten(report(), Rewriting(static=True, llm=settings))
        llm.close()
    texts = [each.text for each in made.rewrites if each.kind == "translation"]
    rules = {rule for each in made.rewrites if each.kind == "translation" for rule in each.rules}
    assert rules <= {"llm:server:model-a"}
    return texts, dict(counts), problem, len(fake.requests)


def test_the_static_wording_is_translated_and_the_history_is_not() -> None:
    texts, counts, problem, requests = run({sentence: [good] for sentence, good in GOOD.items()})
    assert texts == list(GOOD.values())
    assert counts == {"rewrites.static": 1, "translations.accepted": 2}
    assert problem is None
    assert requests == 2


def test_a_wrong_one_is_asked_for_once_more() -> None:
    first, second = GOOD
    texts, counts, _, requests = run(
        {first: ["Metastases in the right lung up to 12 mm.", GOOD[first]], second: [GOOD[second]]}
    )
    assert texts == list(GOOD.values())
    assert counts["translations.accepted"] == 2
    assert requests == 3


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("Metastases in the right lung up to 12 mm.", "side"),
        ("Metastases in the left lung up to 13 mm.", "number"),
        ("No metastases in the left lung, 12 mm.", "negation"),
        ("Branches in the left lung up to 12 mm.", "glossary"),
    ],
)
def test_one_that_stays_wrong_is_counted_with_its_reason(wrong: str, reason: str) -> None:
    first, second = GOOD
    texts, counts, problem, _ = run({first: [wrong], second: [GOOD[second]]})
    assert texts == [GOOD[second]]
    assert counts[f"translations.rejected.{reason}"] == 1
    assert problem is None


def test_no_answer_is_an_error_of_the_record() -> None:
    with serve(lambda _request, _number: Say("no JSON at all")) as fake:
        settings = LlmSettings(identity="server:model-a", name="model-a", urls=(fake.url,), tries=2)
        made, counts, problem = rewritten(report(), Rewriting(llm=settings))
        llm.close()
    assert made.rewrites == ()
    assert counts == {}
    assert problem is not None
    assert problem.code == "E_LLM"
    assert "for 2 of 2 sentences" in problem.message
    assert "Lunge" not in problem.message


def test_the_command_asks_the_model_only_for_translations(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "A1.de.txt").write_text(TEXT, encoding="utf-8")
    with serve(saying({sentence: [good] for sentence, good in GOOD.items()})) as fake:
        arguments = ["--reports", str(tmp_path / "A1.de.txt"), "--unmatched", "keep", "--llm", fake.url]
        done = rrg("parse-reports", *arguments, "--rewrite", "static", "--rewrite", "translation", stdin=b"")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    (made,) = [each for each in records if each["schema"] == "rrg.report/1"]
    assert made["engine"] == "rules"
    assert [each["text"] for each in made["rewrites"] if each["kind"] == "translation"] == list(GOOD.values())
    assert records[0]["options"]["engine"] == "rules"
    assert "translation_prompt" in records[0]["inputs"]
