"""Questions of a language model: what does not follow from sentences or masks is refused and counted, nothing else."""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rrg import llm
from rrg.codec import decode, encode
from rrg.records import Lang, Record, Report, Sample
from rrg.reports.parse import parse
from rrg.synth.llm_questions import examples
from rrg.synth.llm_questions_check import Pair, Source, problem
from rrg.synth.seen import seen_on
from tests.conftest import Rrg
from tests.llm_server import Reaction, Say, serve
from tests.synth_cases import a_mask, a_slice, read, rectangle, stream

TEXTS: dict[Lang, str] = {
    "de": "Befund:\nZyste der linken Niere, 24 mm (Serie 3, Bild 5). Kein Rundherd der Leber (Serie 3, Bild 5).\n",
    "en": "Findings:\nCyst of the left kidney, 24 mm (series 3, image 5). No nodule of the liver (image 5).\n",
}
SAID: dict[Lang, str] = {
    "de": "Zyste der linken Niere, 24 mm. Kein Rundherd der Leber.",
    "en": "Cyst of the left kidney, 24 mm. No nodule of the liver.",
}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    llm.close()


def source(lang: Lang) -> Source:
    slice_ = a_slice("st", 4)
    mask = a_mask(slice_, {"kidney_left": rectangle(2, 2, 20, 20), "liver": rectangle(30, 2, 60, 30)})
    return Source.of(seen_on(slice_, [mask], 20), SAID[lang], lang)


@pytest.mark.parametrize(
    ("lang", "question", "answer", "why"),
    [
        ("de", "Wie groß ist die Zyste in der linken Niere?", "24 mm", ""),
        ("de", "Wie groß ist die Zyste in der linken Niere?", "2,4 cm", ""),
        ("de", "Wie groß ist die Zyste in der linken Niere?", "42 mm", "number"),
        ("de", "Wie groß ist die Zyste in der linken Niere?", "24 cm", "number"),
        ("de", "Wie groß ist die Zyste in der rechten Niere?", "24 mm", "side"),
        ("de", "Wie groß ist die Metastase in der linken Niere?", "24 mm", "premise"),
        ("de", "Wo liegt die Zyste?", "linke Niere", ""),
        ("de", "Wo liegt die Zyste?", "Leber", "fact"),
        ("de", "Was ist in der linken Niere zu sehen?", "Zyste", ""),
        ("de", "Was ist in der linken Niere zu sehen?", "Metastase", "fact"),
        ("de", "Was ist in der linken Niere zu sehen?", "bösartige Zyste", "not_in_text"),
        ("de", "Gibt es eine Zyste in der linken Niere?", "ja", ""),
        ("de", "Gibt es eine Zyste in der linken Niere?", "Nein.", "fact"),
        ("de", "Gibt es einen Rundherd in der Leber?", "nein", ""),
        ("de", "Gibt es einen Rundherd in der Leber?", "ja", "fact"),
        ("de", "Gibt es einen Pleuraerguss?", "nein", "fact"),
        ("de", "Ist die Leber zu sehen?", "ja", ""),
        ("de", "Ist das Pankreas zu sehen?", "nein", ""),
        ("de", "Ist das Pankreas zu sehen?", "ja", "fact"),
        ("de", "Liegt die Leber neben der Milz?", "ja", "not_checkable"),
        ("de", "Wo liegt die Zyste der linken Niere?", "linken Niere", "gives_away"),
        ("de", "Is there a cyst in the left kidney?", "ja", "language"),
        ("de", "Gibt es eine Zyste in der linken Niere?", "yes", "language"),
        ("de", "Ist die Zyste größenprogredient?", "ja", "earlier"),
        ("de", "Zyste der linken Niere", "ja", "no_question"),
        ("de", "Wie groß ist der Knoten in der Schilddrüse?", "31 mm", "example"),
        ("en", "How large is the cyst in the left kidney?", "24 mm", ""),
        ("en", "How large is the cyst in the left kidney?", "24 cm", "number"),
        ("en", "Where is the cyst?", "left kidney", ""),
        ("en", "Where is the cyst?", "right kidney", "side"),
        ("en", "Is there a nodule in the liver?", "no", ""),
        ("en", "Is there a nodule in the liver?", "yes", "fact"),
        ("en", "Gibt es eine Zyste in der linken Niere?", "yes", "language"),
        ("en", "Is the liver visible?", "yes", ""),
        ("en", "Is there no nodule in the liver?", "yes", "not_checkable"),
    ],
)
def test_a_pair_is_kept_only_where_it_follows(lang: Lang, question: str, answer: str, why: str) -> None:
    assert problem(Pair.of(question, answer, lang), source(lang), examples()) == why


def records() -> list[Record]:
    slices = [a_slice("st", index) for index in (4, 7)]
    masks = [
        a_mask(each, {"kidney_left": rectangle(2, 2, 20, 20), "liver": rectangle(30, 2, 60, 30)}) for each in slices
    ]
    return [*slices, *masks, *(_report(lang, [slices[0].id]) for lang in ("de", "en"))]  # type: ignore[arg-type]


def _report(lang: Lang, slices: list[str]) -> Report:
    said = parse(TEXTS[lang], lang)
    pointed = tuple(dataclasses.replace(each, status="resolved", slices=tuple(slices)) for each in said.references)
    return Report(
        id=f"r-{lang}",
        run="run-of-the-test",
        patient="p0",
        study="st",
        text=TEXTS[lang],
        lang=lang,
        source_sha256="0" * 64,
        sections=said.sections,
        sentences=said.sentences,
        anatomy=said.anatomy,
        findings=said.findings,
        measurements=said.measurements,
        references=pointed,
    )


GOOD: dict[Lang, list[tuple[str, str]]] = {
    "de": [("Wie groß ist die Zyste in der linken Niere?", "24 mm"), ("Wo liegt die Zyste?", "linke Niere")],
    "en": [("How large is the cyst in the left kidney?", "24 mm"), ("Where is the cyst?", "left kidney")],
}


def lang_of(request: dict[str, Any]) -> Lang:
    return "de" if "in German" in request["messages"][0]["content"] else "en"


def saying(pairs: list[tuple[str, str]]) -> Say:
    return Say(json.dumps({"pairs": [{"question": q, "answer": a} for q, a in pairs]}, ensure_ascii=False))


def fault(style: str) -> Reaction:
    """English answers well; German does as `style` says."""

    def react(request: dict[str, Any], _number: int) -> Say:
        if lang_of(request) == "en":
            return saying(GOOD["en"])
        if style == "broken":
            return Say('{"pairs":[{"question":"Wie gr')
        if style == "endless":
            return Say('{"pairs":[{"question":"Wie ' + "groß " * 3000, finish="length")
        if style == "language":
            return saying(GOOD["en"])
        return saying([("Wie groß ist der Knoten in der Schilddrüse?", "31 mm")])

    return react


def run(rrg: Rrg, react: Reaction, *more: str) -> tuple[list[Sample], dict[str, int], bytes, int]:
    with serve(react) as fake:
        arguments = [
            "--findings",
            "0",
            "--metadata",
            "0",
            "--engine",
            "llm",
            "--llm",
            fake.url,
            "--llm-tries",
            "2",
            *more,
        ]
        done = rrg("synth-vqa", *arguments, stdin=stream(records()))
        requests = len(fake.requests)
    assert done.returncode == 0, done.stderr
    made = [each for each in read(done.stdout) if isinstance(each, Sample)]
    counts = json.loads(done.stdout.splitlines()[-1])["counts"]
    return made, counts, done.stdout, requests


@pytest.mark.parametrize(
    ("style", "count"),
    [
        ("broken", {"llm.no_answer": 1}),
        ("endless", {"llm.no_answer": 1}),
        ("language", {"llm.rejected.language": 2}),
        ("example", {"llm.rejected.example": 1}),
    ],
)
def test_a_bad_answer_costs_its_own_slice_only(rrg: Rrg, style: str, count: dict[str, int]) -> None:
    made, counts, _, requests = run(rrg, fault(style))
    assert [(each.lang, each.answer) for each in made] == [("en", "24 mm"), ("en", "left kidney")]
    assert requests == 3  # the German one was asked for once more
    assert {key: n for key, n in counts.items() if key.startswith("llm.")} == {"llm.slices": 2, "llm.kept": 2, **count}


def good(request: dict[str, Any], _number: int) -> Say:
    return saying(GOOD[lang_of(request)])


def test_samples_name_their_model_and_the_cache_repeats_them(rrg: Rrg, tmp_path: Path) -> None:
    cache = ["--llm-cache", str(tmp_path / "cache")]
    made, counts, first, requests = run(rrg, good, *cache)
    assert requests == 2
    assert counts["llm.kept"] == len(made) == 4
    assert {each.provenance["generator"] for each in made} == {"llm"}
    assert {each.provenance["model"] for each in made} == {"server:model-a"}
    _, _, second, requests = run(rrg, good, *cache, "--workers", "2")
    assert (second, requests) == (first, 0)
    only = ["--engine", "llm", "--findings", "0", "--metadata", "0", *cache, "--llm-cache-only"]
    assert rrg("synth-vqa", *only, stdin=stream(records())).stdout == first


def test_without_the_engine_its_options_are_refused(rrg: Rrg) -> None:
    done = rrg("synth-vqa", "--llm", "http://127.0.0.1:1/v1", stdin=b"", code=2)
    assert b"--engine llm or --blind-model" in done.stderr


def test_stopped_and_resumed_it_writes_the_same_bytes(rrg: Rrg, tmp_path: Path) -> None:
    studies: list[Record] = []
    for number in range(4):
        for each in records():
            text = encode(each).decode().replace('"st"', f'"st{number}"').replace("sts1", f"st{number}s1")
            text = text.replace('"r-', f'"r{number}-').replace("24 mm", f"2{number} mm").replace("24.0", f"2{number}.0")
            studies.append(decode(text.encode(), type(each)))
    (tmp_path / "in.jsonl").write_bytes(stream(studies))
    quick = True

    def react(request: dict[str, Any], number: int) -> Say:
        size = re.search(r"2\d mm", request["messages"][1]["content"])
        assert size is not None
        question, _ = GOOD[lang_of(request)][0]
        return dataclasses.replace(saying([(question, size[0])]), wait_s=0.0 if quick else 0.4)

    with serve(react) as fake:
        more = ["--findings", "0", "--metadata", "0", "--engine", "llm", "--llm", fake.url, "--llm-seed"]
        shared = ["synth-vqa", str(tmp_path / "in.jsonl"), *more]
        whole = rrg(*shared, "1").stdout
        cached = [
            "1",
            "--llm-cache",
            str(tmp_path / "cache"),
            "--out",
            str(tmp_path / "out.jsonl"),
            "--llm-parallel",
            "1",
        ]
        quick, before = False, len(fake.requests)
        process = subprocess.Popen([sys.executable, "-m", "rrg", *shared, *cached], stderr=subprocess.PIPE)
        while len(fake.requests) < before + 3 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "out.jsonl").exists()
        quick, before = True, len(fake.requests)
        rrg(*shared, *cached, "--resume")
        assert len(fake.requests) - before < 7  # what was answered before is not asked again
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert whole.count(b'"generator":"llm"') == 8
