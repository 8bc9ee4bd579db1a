"""``make bench-parse``: the rules of parse-reports: sentences per second, and beside medspaCy's ConText.

Texts are the gold sentences (``tests/gold``). Each side is a process of its own that loads once, runs the texts once
unmeasured and then times whole passes, in turn (A B A B ...): start-up is no part of the figures. medspaCy (a blank
English pipeline: target rules, sentencizer, ConText with its own rules; no model) is told the findings' own words as
targets; rrg has to find them. Both are scored on the same findings: is it denied? medspaCy lives in an environment of
its own, made anew in a temporary folder; where it can not be installed, its rows are skipped and say why.
Writes ``bench-out/parse.json``. Ends with 1 when a goal is missed.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import REPEATS, Claim, Run, in_turn, measured, rows_of, table, write

GOLD = Path("tests/gold")
SENTENCES_PER_SECOND = 2000
PASSES = 3
"""Passes over the texts in one timed run."""

RRG = """
import json, sys, time
from rrg.reports.parse import parse
texts = [(each["text"], each["lang"]) for each in json.load(open(sys.argv[1]))]
passes = int(sys.argv[3])
said = [parse(text, lang) for text, lang in texts]
start = time.process_time()
for _ in range(passes):
    for text, lang in texts:
        parse(text, lang)
seconds = time.process_time() - start
denied = [[[*finding.span, finding.state == "absent"] for finding in each.findings] for each in said]
sentences = passes * sum(len(each.sentences) for each in said)
json.dump({"seconds": seconds, "sentences": sentences, "denied": denied}, open(sys.argv[2], "w"))
"""
MEDSPACY = """
import json, sys, time
import spacy, medspacy
from medspacy.context import ConText
from medspacy.ner import TargetMatcher, TargetRule
texts = json.load(open(sys.argv[1]))
passes = int(sys.argv[3])
nlp = spacy.blank("en")
nlp.add_pipe("sentencizer")
matcher = nlp.add_pipe("medspacy_target_matcher")
words = {each["text"][a:b] for each in texts for a, b, _ in each["findings"]}
matcher.add([TargetRule(word, "FINDING") for word in sorted(words)])
nlp.add_pipe("medspacy_context")
lines = [each["text"] for each in texts]
docs = [nlp(line) for line in lines]
start = time.process_time()
for _ in range(passes):
    for line in lines:
        nlp(line)
seconds = time.process_time() - start
denied = [[[ent.start_char, ent.end_char, bool(ent._.is_negated)] for ent in doc.ents] for doc in docs]
json.dump({"seconds": seconds, "sentences": passes * len(lines), "denied": denied}, open(sys.argv[2], "w"))
"""


def texts(lang: str) -> list[dict[str, Any]]:
    """Gold sentences of one language with the places of their findings and whether they are denied."""
    from rrg.reports.gold import read_gold

    gold = read_gold([GOLD / f"sentences.{lang}.jsonl"])
    return [
        {
            "text": one.text,
            "lang": lang,
            "findings": [[*finding.span, finding.state == "absent"] for finding in one.findings],
        }
        for one in gold
    ]


def negation_f1(wanted: list[dict[str, Any]], denied: list[list[list[Any]]]) -> float:
    """F1 of "denied" over the gold findings; a finding that was not found counts as not denied."""
    hits = wrong = missed = 0
    for one, found in zip(wanted, denied, strict=True):
        for first, last, absent in one["findings"]:
            seen = any(no for start, end, no in found if start < last and first < end)
            hits += absent and seen
            wrong += seen and not absent
            missed += absent and not seen
    return 2 * hits / (2 * hits + wrong + missed)


class Side:
    """A parser in a process of its own; each run is a timed one."""

    def __init__(self, python: Path | str, script: str, source: Path, work: Path) -> None:
        self.results: list[dict[str, Any]] = []
        self._call = [str(python), "-c", script, str(source), str(work / "result.json"), str(PASSES)]
        self._result = work / "result.json"
        work.mkdir()

    def __call__(self) -> Run:
        """Seconds of processor time for the passes; without start-up."""
        done = subprocess.run(self._call, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-600:])
        self.results.append(json.loads(self._result.read_text()))
        return Run(self.results[-1]["seconds"], 0.0)

    @property
    def rates(self) -> list[float]:
        """Sentences per second of each measured run (the first is a rehearsal)."""
        return [each["sentences"] / each["seconds"] for each in self.results[1:]]


def medspacy(work: Path) -> tuple[Path | None, str]:
    """(its Python, its version), or (None, why not)."""
    folder = work / "medspacy"
    python = folder / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=120)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "medspacy"], check=True, capture_output=True, timeout=1800
        )
        asked = "import medspacy, importlib.metadata as m; print(m.version('medspacy'), m.version('spacy'))"
        done = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True, timeout=300)
    except subprocess.CalledProcessError as error:
        said = error.stderr if isinstance(error.stderr, str) else error.stderr.decode(errors="replace")
        reason = said.strip().splitlines()[-1:] or ["no message"]
        return None, f"medspaCy can not be installed here: {reason[0][:160]}"
    except subprocess.TimeoutExpired:
        return None, "medspaCy can not be installed here: no end after half an hour"
    own, spacy = done.stdout.split()
    return python, f"medspaCy {own} (spaCy {spacy}, blank English, ConText)"


def main() -> int:
    """Measure, print, write. 1 when a goal is missed."""
    claims: dict[str, Claim] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        gold = {lang: texts(lang) for lang in ("de", "en")}
        for lang, each in gold.items():
            (work / f"{lang}.json").write_text(json.dumps(each))
        sides = {lang: Side(sys.executable, RRG, work / f"{lang}.json", work / f"rrg-{lang}") for lang in gold}
        python, peer = medspacy(work)
        if python is not None:
            sides["medspacy"] = Side(python, MEDSPACY, work / "en.json", work / "other")
        in_turn(sides, REPEATS)
        for lang in gold:
            note = f"{len(gold[lang])} gold sentences, {PASSES} passes, one core, processor time"
            claim = Claim(goal=SENTENCES_PER_SECOND, unit="sentences/s", peer="-", note=note)
            claims[f"sentences-{lang}"] = measured(sides[lang].rates, claim)
        claims |= _beside(sides, gold["en"], peer if python else "", peer)
    print(table(rows_of(claims)))
    write("parse", claims)
    return int(any(claim.verdict == "MISSED" for claim in claims.values()))


def _beside(sides: Mapping[str, Side], gold: list[dict[str, Any]], peer: str, reason: str) -> dict[str, Claim]:
    """The claims against medspaCy, or why they were skipped."""
    speed = Claim(goal=1.0, unit="times as fast", peer=peer, note="same English sentences")
    exact = Claim(goal=0.0, unit="F1 rrg - F1 peer", peer=peer, note="negation of the gold findings")
    if not peer:
        skipped = {"speed-medspacy": speed, "negation-medspacy": exact}
        return {name: Claim(goal=each.goal, unit=each.unit, peer="-", skipped=reason) for name, each in skipped.items()}
    ratios = [a / b for a, b in zip(sides["en"].rates, sides["medspacy"].rates, strict=True)]
    scores = {name: negation_f1(gold, sides[name].results[-1]["denied"]) for name in ("en", "medspacy")}
    note = f"{exact.note}: {scores['en']:.3f} and {scores['medspacy']:.3f}"
    middle = {
        name: statistics.median(each["seconds"] for each in sides[name].results[1:]) for name in ("en", "medspacy")
    }
    speed = Claim(
        goal=1.0,
        unit=speed.unit,
        peer=peer,
        note=speed.note,
        seconds={"rrg": middle["en"], "peer": middle["medspacy"]},
    )
    differences = [scores["en"] - scores["medspacy"]]
    return {
        "speed-medspacy": measured(ratios, speed),
        "negation-medspacy": measured(differences, Claim(goal=0.0, unit=exact.unit, peer=peer, note=note)),
    }


if __name__ == "__main__":
    sys.exit(main())
