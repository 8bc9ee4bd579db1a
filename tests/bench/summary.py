"""Study summaries measured on phantoms: finding F1 of the draft against the truth, contradictions, duplicates.

What single slices say is the answer of the data set (``right``), or the same with errors planted on a share of the
slices: a finding denied where the slice shows it (``denied``), or the sentences of another study's slice (``foreign``).
So the merging is measured, not a model; ``--predictions`` measures what a model said.

    python -m tests.bench.summary DATASET PHANTOM --key FILE [--predictions FILE]
"""

import argparse
import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rrg.codec import decode
from rrg.infer_summary import summary_of
from rrg.keys import load_key, pseudonym
from rrg.pipe import read_records
from rrg.records import Prediction, Sample, Slice
from rrg.reports.parse import parse
from rrg.seeds import rng_for
from rrg.summary import Draft, merge, statements_of

DENIALS = {"de": "Keine {}.", "en": "No {}."}
NAMES = {"cyst": ("Zyste", "cyst"), "metastasis": ("Metastase", "metastasis"), "mass": ("Raumforderung", "mass"),
         "nodule": ("Rundherd", "nodule")}  # fmt: skip
Found = frozenset[tuple[str, tuple[str, ...]]]
"""(finding, structures) that a report states."""


class Said(NamedTuple):
    """What was said of the slices of one study in one language."""

    study: str
    lang: str
    answers: list[Prediction]
    slices: list[Slice]


def said_in(dataset: Path, split: str) -> list[Said]:
    """The right answers about slices, as if a model had given them."""
    groups: dict[tuple[str, str], dict[str, Prediction]] = defaultdict(dict)
    slices: dict[str, dict[str, Slice]] = defaultdict(dict)
    for record in read_records([dataset / f"{split}.jsonl"], (Sample, Slice)):
        if isinstance(record, Slice):
            slices[record.study][record.id] = record
        elif isinstance(record, Sample) and record.task == "report" and record.answer and len(record.images) == 1:
            made = Prediction(
                id=record.id, patient=record.patient, study=record.study, images=record.images, task="report",
                lang=record.lang, question="", raw=record.answer, text=record.answer, model="right", backend="torch",
            )  # fmt: skip
            groups[record.study, record.lang].setdefault(record.images[0].slice or "", made)
    return [
        Said(study, lang, list(found.values()), sorted(slices[study].values(), key=lambda s: (s.series, s.index)))
        for (study, lang), found in sorted(groups.items())
    ]


def planted(said: Sequence[Said], how: str, share: float, seed: int = 0) -> tuple[list[Said], int]:
    """The same with errors on a share of the slices, and how many there are."""
    made, count = [], 0
    for number, each in enumerate(said):
        rng = rng_for(seed, "bench", f"{how} {each.study} {each.lang}")
        answers = []
        for answer in each.answers:
            text = answer.text
            if how != "right" and rng.random() < share:
                if how == "foreign":
                    others = said[(number + 2) % len(said)].answers
                    text = others[int(rng.integers(len(others)))].text
                    count += 1
                else:
                    stated = [
                        f.name for f in parse(text, answer.lang).findings if f.state == "present" and f.name in NAMES
                    ]
                    if stated:
                        text += " " + DENIALS[answer.lang].format(NAMES[stated[0]][answer.lang == "en"])
                        count += 1
            answers.append(dataclasses.replace(answer, text=text))
        made.append(each._replace(answers=answers))
    return made, count


def drafted(said: Said) -> Draft:
    """The draft of a study."""
    known = {each.id: each for each in said.slices}
    place = {each.id: n for n, each in enumerate(said.slices)}
    ordered = sorted(said.answers, key=lambda each: place[each.images[0].slice or ""])
    return merge([s for each in ordered for s in statements_of(each, known[each.images[0].slice or ""])])


def findings_of(text: str, lang: Any) -> Found:
    """The lesions that the sentences of a text state, surely or not: what the truth has a name for."""
    facts = parse(text, lang)
    return frozenset(
        (f.name, tuple(sorted({c for i in f.anatomy for c in facts.anatomy[i].classes} - {"lesion"})))
        for f in facts.findings
        if f.state == "present" and f.time == "current" and f.name in NAMES
    )


def truth_of(phantom: Path, key: bytes) -> dict[tuple[str, str], Found]:
    """(study id, language) -> what the phantom's report states, and cites a slice for."""
    found = {}
    for line in (phantom / "report_truth.jsonl").read_text().splitlines():
        record = json.loads(line)
        found[pseudonym(key, "study", record["study_uid"]), record["lang"]] = frozenset(
            (fact["finding"], tuple(sorted(fact["classes"])))
            for sentence in record["sentences"]
            for fact in sentence["facts"]
            if fact["finding"] and fact["state"] == "present" and fact["kind"] == "lesion"
            and any(not reference["prior"] for reference in fact["references"])
        )  # fmt: skip
    return found


def scores(said: Iterable[Said], truth: dict[tuple[str, str], Found]) -> dict[str, float]:
    """Micro-averaged over studies."""
    right = told = wanted = contradictions = duplicates = sentences = given = studies = 0
    for each in said:
        draft = drafted(each)
        if (each.study, each.lang) not in truth:
            continue
        studies += 1
        stated = [f for one in draft.sentences if one.kind == "finding" for f in findings_of(one.best.text, each.lang)]
        right += len(set(stated) & truth[each.study, each.lang])
        told += len(set(stated))
        wanted += len(truth[each.study, each.lang])
        duplicates += len(stated) - len(set(stated))
        contradictions += len(draft.contradictions)
        sentences += len(draft.sentences)
        given += draft.given
        if len(each.answers) > 1:
            assert summary_of(each.answers, each.slices, each.lang) is not None  # type: ignore[arg-type]
    return {
        "studies": studies, "statements": given, "sentences": sentences,
        "precision": round(right / max(told, 1), 3), "recall": round(right / max(wanted, 1), 3),
        "f1": round(2 * right / max(told + wanted, 1), 3), "duplicates": duplicates, "contradictions": contradictions,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("phantom", type=Path)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--predictions", type=Path)
    given = parser.parse_args()
    truth, said = truth_of(given.phantom, load_key(given.key)), said_in(given.dataset, given.split)
    if given.predictions:
        lines = given.predictions.read_bytes().splitlines()
        answers = [decode(line, Prediction) for line in lines if b'"rrg.prediction/1"' in line[:40]]
        told = {(a.study, a.lang, a.images[0].slice): a for a in answers if a.task in ("report", "grounded-report")}
        said = [
            s._replace(answers=[told.get((s.study, s.lang, a.images[0].slice), a) for a in s.answers]) for s in said
        ]
    result = {}
    for how, share in (("right", 0.0), ("denied", 0.2), ("foreign", 0.2)):
        made, count = planted(said, how, share)
        result[how] = {"errors": count, **scores(made, truth)}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
