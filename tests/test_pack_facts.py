"""What pack keeps of a sample: its line in two parts, and facts beside it; compared with the plain way over records."""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rrg.codec import decode, encode
from rrg.pack_facts import Numbers, between, content_of, cut, noted, packed, said, strata_of, unpacked
from rrg.records import Box, ImageRef, Mention, Part, Region, Sample, Turn
from rrg.synth.blind import Question

NASTY = (
    ',"weight":1.0',
    '"split":"train"',
    '}","provenance":{',
    "{}",
    'a"},"provenance":{"b":"c',
    '\\",',
    "ü \u2028",
    ",",
)
"""Texts that look like the places where lines are cut."""


def sample(**fields: Any) -> Sample:
    box = Box(x0=1, y0=2, x1=3.5, y1=4)
    region = Region(label="liver", boxes=(box,), origin="seg")
    given: dict[str, Any] = {
        "id": "s",
        "patient": "p",
        "study": "st",
        "images": (ImageRef(id="i0", ref="series/a#0", rows=8, columns=8),),
        "turns": (
            Turn(role="user", content=(Part(type="image", ref="i0"), Part(type="text", text="Which?\n{{a}}\nb"))),
            Turn(role="assistant", content=(Part(type="text", text="b"),), loss=True),
        ),
        "mentions": (Mention(id="m0", phrase="Leber", regions=(region,)),),
        "lang": "de",
        "task": "vqa",
        "question_type": "single",
        "choices": ("a", "b"),
        "answer": "b",
    }
    return Sample(**given | fields)


def some(seed: int) -> Sample:
    """A sample whose free fields hold anything."""
    rng = random.Random(seed)

    def texts() -> Mapping[str, str]:
        return {rng.choice((*NASTY, "weight", "provenance")): rng.choice(NASTY) for _ in range(rng.randrange(3))}

    def values() -> dict[str, Any]:
        return {rng.choice((*NASTY, "weight", "provenance")): rng.choice([1, 1.0, None, dict(texts())])}

    return sample(
        id=rng.choice((*NASTY, "s")),
        run=rng.choice((*NASTY, "")),
        from_=tuple(rng.choices(NASTY, k=rng.randrange(3))),
        context=texts(),
        findings=rng.choice([{}, values()]),
        facets=texts(),
        provenance=texts(),
        extra=rng.choice([None, {}, values()]),
        blind=rng.choice([None, 0.0, -0.0, 1.0, 0.5, 1e-7]),
        split=rng.choice([None, "train", "val"]),
        weight=rng.choice([1.0, 0.5, 3.25]),
    )


def plain_content(each: Sample) -> bytes:
    return hashlib.sha256(encode(replace(each, id="", run="", from_=(), provenance={}, split=None))).digest()


def test_two_parts_and_what_is_between_are_the_line() -> None:
    for seed in range(2000):
        each = some(seed)
        head, tail = cut(each)
        for blind, split in ((each.blind, each.split), (None, None), (0.857, "test"), (0.0, "val")):
            line = encode(replace(each, blind=blind, split=split))  # type: ignore[arg-type]
            assert head + between(blind, split) + tail == line
            assert decode(line, Sample).split == split


def test_what_says_the_same_has_the_same_content() -> None:
    """Two samples have the same content here exactly where they have it as records without id, run and provenance."""
    found: dict[bytes, set[bytes]] = {}
    for seed in range(3000):
        each = some(seed)
        renamed = replace(each, id="other", run="r", from_=("x",), split="test", provenance={"weight": "}"})
        assert content_of(each, *cut(each)) == content_of(renamed, *cut(renamed))
        found.setdefault(plain_content(each), set()).add(content_of(each, *cut(each)))
    assert all(len(each) == 1 for each in found.values())
    assert len(set[bytes]().union(*found.values())) == len(found) > 1000


def test_facts_come_back() -> None:
    numbers = Numbers()
    shown = {"series/a#0": 2**64 - 1}
    samples = [replace(some(seed), facets={"pairing": ("inferred", "cited")[seed % 2]}) for seed in range(9)]
    elsewhere = (ImageRef(id="i0", ref="series/b#1", rows=8, columns=8),)
    samples[4] = replace(samples[4], images=elsewhere, question_type=None, task="report", blind=None)
    questions = [Question(-(2**62) + number, number) if number != 4 else None for number in range(9)]
    every = [noted(s, cut(s), shown, asked, numbers, 3) for s, asked in zip(samples, questions, strict=True)]
    facts = unpacked(*packed(every))
    rows = facts.rows
    assert rows["size"].tolist() == [len(encode(replace(each, blind=None, split=None))) + 1 for each in samples]
    assert [Question(*row) for row in rows[["words", "kind"]].tolist()] == [each or (0, 0) for each in questions]
    assert rows["head"].tolist() == [len(cut(each)[0]) for each in samples]
    assert [None if np.isnan(score) else score for score in rows["blind"]] == [each.blind for each in samples]
    assert list(zip(rows["same"].tolist(), rows["near"].tolist(), strict=True)) == [said(s, shown) for s in samples]
    assert np.flatnonzero(~rows["question"]).tolist() == np.flatnonzero(rows["teaches"]).tolist() == [4]
    assert rows["inferred"].tolist() == [seed % 2 == 0 for seed in range(9)]
    assert rows["images"].tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert facts.shown.tolist() == [2**64 - 1] * 8
    assert facts.of_shown(facts.shown == 2**64 - 1).tolist() == [number != 4 for number in range(9)]
    assert numbers.asked == {("de", "2 choices", ""): (0, 2)}
    assert rows["answer"].tolist() == [1, 1, 1, 1, -1, 1, 1, 1, 1], "the second of two"
    names = list(numbers.strata)
    for number, each in enumerate(samples):
        chosen = np.arange(9) == number
        assert [names[n] for n in facts.strata_of(chosen)] == list(strata_of(each))
    assert ("label", "liver") in names


@pytest.mark.parametrize(
    ("change", "same", "near"),
    [
        ({"id": "x", "facets": {"a": "b"}, "weight": 2.0}, True, True),
        ({"answer": "B."}, False, True),
        ({"choices": ("b", "a")}, False, True),
        ({"lang": "en"}, False, False),
        ({"answer": "a"}, False, False),
        ({"mentions": ()}, False, False),
    ],
)
def test_said_by_hand(change: dict[str, Any], same: bool, near: bool) -> None:
    one, other = said(sample(), {}), said(sample(**change), {})
    assert (one[0] == other[0], one[1] == other[1]) == (same, near)
    shown = said(sample(), {"series/a#0": 7})
    assert shown != one
    moved = sample(images=(ImageRef(id="i0", ref="series/b#1", rows=8, columns=8),))
    assert said(moved, {"series/b#1": 7}) == shown, "the same pixels"
