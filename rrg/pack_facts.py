"""What pack keeps of a sample beside its line, so that the line is decoded and encoded once."""

import hashlib
import itertools
import marshal
import math
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from rrg.balance import YES_NO, Asked
from rrg.codec import encode
from rrg.pack_leaks import number_of, plain, text_of
from rrg.records import Sample
from rrg.synth.blind import Question
from rrg.synth.terms import NO, YES

_BEHIND = b',"weight":'
"""What stands behind the place of the blind score and the split."""
_PATIENT, _PROVENANCE = b',"patient":', b'},"provenance":'


class Answered(NamedTuple):
    """A question that is balanced: the number of its answer, of how many."""

    asked: Asked
    answer: int
    answers: int
    order: int
    """A 64-bit number that orders samples at random, whatever the order of the stream."""


FACT = np.dtype(
    [
        ("head", "<u4"),  # bytes of its line before the place of the blind score and the split
        ("size", "<u4"),  # bytes of its line without these, with its end
        ("question", "?"),
        ("words", "<i8"),  # of a question: `rrg.synth.blind.Question`
        ("kind", "<i4"),
        ("blind", "<f8"),  # as it came; NaN for none
        ("same", "<u8"),  # hash of what it says of its pixels
        ("near", "<u8"),  # the same but for case, punctuation, spaces and the order of choices
        ("teaches", "?"),
        ("text", "<u8"),  # hash of the sentences of a report that it teaches
        ("inferred", "?"),  # its sentence does not cite its slice
        ("answer", "<i4"),  # number of its answer (`Numbers.answers`); -1 where it is not balanced
        ("order", "<u8"),  # `Answered.order`
        ("images", "<u4"),  # how many of `Facts.shown` are its own
        ("strata", "<u4"),  # how many of `Facts.strata` are its own
    ]
)
_ROW = struct.Struct("<II?qidQQ?Q?iQII")
assert _ROW.size == FACT.itemsize


class Facts(NamedTuple):
    """What is judged and counted of the samples of a study, in columns."""

    rows: NDArray[np.void]
    """``FACT``: a row a sample."""
    shown: NDArray[np.uint64]
    """Hashes of the pixels of their images, sample after sample, as far as the stream has them."""
    strata: NDArray[np.int32]
    """Numbers of their strata (`Numbers.strata`), sample after sample."""

    def of_shown(self, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Samples of which some image is `known`, told for each of `shown`."""
        sample = np.repeat(np.arange(len(self.rows)), self.rows["images"])
        return np.bincount(sample[known], minlength=len(self.rows)) > 0

    def strata_of(self, chosen: NDArray[np.bool_]) -> NDArray[np.int32]:
        """The strata of the chosen samples."""
        return self.strata[np.repeat(chosen, self.rows["strata"])]


class Numbers:
    """Numbers for what samples have in common."""

    def __init__(self) -> None:
        self.strata: dict[tuple[str, str], int] = {}
        """(field, value) -> its number."""
        self.asked: dict[Asked, tuple[int, int]] = {}
        """What is asked -> (number of its first answer, how many answers there are)."""
        self.answers = 0

    def stratum(self, stratum: tuple[str, str]) -> int:
        """The number of a stratum."""
        return self.strata.setdefault(stratum, len(self.strata))

    def answer(self, told: Answered) -> int:
        """The number of an answer."""
        if told.asked not in self.asked:
            self.asked[told.asked] = self.answers, told.answers
            self.answers += told.answers
        return self.asked[told.asked][0] + told.answer


class Noted(NamedTuple):
    """A sample as it waits until all of its study are there."""

    head: bytes
    tail: bytes
    """The two parts of its line, see `cut`."""
    row: bytes
    """Its ``FACT``."""
    near: int
    """Of `FACT`."""
    shown: list[int]
    strata: list[int]
    """Its own of `Facts.shown` and `Facts.strata`."""


def noted(
    sample: Sample,
    parts: tuple[bytes, bytes],
    images: Mapping[str, int],
    question: Question | None,
    numbers: Numbers,
    seed: int,
) -> Noted:
    """The facts of a sample. `parts`: of `cut`; `images`: reference -> hash of its pixels; `numbers`: to add to."""
    text, told = text_of(sample), answered_by(sample, seed)
    shown = [images[image.ref] for image in sample.images if image.ref in images]
    strata = [numbers.stratum(each) for each in strata_of(sample)]
    same, near = said(sample, images)
    head, tail = parts
    row = _ROW.pack(
        len(head),
        len(head) + len(tail) + 1,
        question is not None,
        *(question or (0, 0)),
        math.nan if sample.blind is None else sample.blind,
        same,
        near,
        text is not None,
        0 if text is None else number_of(plain(text).encode()),
        sample.facets.get("pairing") == "inferred",
        -1 if told is None else numbers.answer(told),
        0 if told is None else told.order,
        len(shown),
        len(strata),
    )
    return Noted(head, tail, row, near, shown, strata)


def packed(samples: Sequence[Noted]) -> tuple[bytes, bytes, bytes]:
    """The facts of samples as bytes, for `unpacked` in the same process: no format to keep."""
    shown = array("Q", itertools.chain.from_iterable(each.shown for each in samples))
    strata = array("i", itertools.chain.from_iterable(each.strata for each in samples))
    return b"".join(each.row for each in samples), shown.tobytes(), strata.tobytes()


def unpacked(rows: bytes, shown: bytes, strata: bytes) -> Facts:
    """The facts of `packed`."""
    return Facts(np.frombuffer(rows, FACT), np.frombuffer(shown, np.uint64), np.frombuffer(strata, np.int32))


def cut(sample: Sample) -> tuple[bytes, bytes]:
    """The line of a sample in two, to be joined by `between`: its own blind score and split are in neither."""
    line = encode(sample)
    if line.count(_BEHIND) == 1:
        at = line.index(_BEHIND)
    else:  # users' data have this key, too: before the field, or behind it
        at = encode(replace(sample, facets={}, provenance={}, extra=None)).rindex(_BEHIND)
    own = between(sample.blind, sample.split)
    assert line.endswith(own, 0, at)
    return line[: at - len(own)], line[at:]


def between(blind: float | None, split: str | None) -> bytes:
    """What belongs between the two parts of a line."""
    scored = b"" if blind is None else b',"blind":' + to_json(blind)
    return scored if split is None else b'%s,"split":"%s"' % (scored, split.encode())


def content_of(sample: Sample, head: bytes, tail: bytes) -> bytes:
    """What two samples that say the same have in common: all but id, run, from, provenance and split. `head`, `tail`:
    of `cut`."""
    digest = hashlib.sha256(head[head.index(_PATIENT) :] + between(sample.blind, None))
    end = tail.index(_PROVENANCE)
    digest.update(tail[:end])
    if sample.extra is not None:
        digest.update(tail[end + len(_PROVENANCE) + len(to_json(dict(sample.provenance))) :])
    return digest.digest()


def said(sample: Sample, images: Mapping[str, int]) -> tuple[int, int]:
    """What a sample says of its pixels: `Fact.same`, `Fact.near`.

    `images`: reference -> hash of its pixels; one image in two studies is one image.
    """
    regions = [
        (mention.id, region.label, [box.xyxy for box in region.boxes])
        for mention in sample.mentions
        for region in mention.regions
    ]
    common = ([images.get(image.ref, image.ref) for image in sample.images], sample.lang, sample.task, regions)
    words = [(turn.role, [part.text or "" for part in turn.content]) for turn in sample.turns]
    phrases, choices = [mention.phrase for mention in sample.mentions], sample.choices
    near = (
        plain(sample.answer or ""),
        [[line for text in texts for line in _lines(text, choices)] for _, texts in words],
        list(map(plain, phrases)),
        sorted(map(plain, choices)),
    )
    return _hash((common, sample.answer, words, phrases, choices)), _hash((common, near))


def _lines(text: str, choices: tuple[str, ...]) -> Iterator[str]:
    """Lines in plain words, without those that list the choices."""
    return (plain(line) for line in text.split("\n") if line not in choices)


def _hash(content: Any) -> int:
    return number_of(marshal.dumps(content, 2))  # from version 3 on the bytes depend on what else names a string


def answered_by(sample: Sample, seed: int) -> Answered | None:
    """What the balance asks of a sample; None for one that is not balanced."""
    if sample.question_type == "closed" and sample.answer in (YES[sample.lang], NO[sample.lang]):
        about = ": ".join(sample.facets[key] for key in ("question", "label") if key in sample.facets)
        asked = Asked(sample.lang, YES_NO, about)
        return Answered(asked, int(sample.answer == NO[sample.lang]), 2, _order(sample, seed))
    if sample.question_type == "single" and sample.answer in sample.choices and len(sample.choices) > 1:
        n, place = len(sample.choices), sample.choices.index(sample.answer)
        return Answered(Asked(sample.lang, f"{n} choices", ""), place, n, _order(sample, seed))
    return None


def _order(sample: Sample, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"rrg balance\0{seed}\0{sample.id}".encode()).digest()[:8], "big")


def strata_of(sample: Sample) -> tuple[tuple[str, str], ...]:
    """(field, value) of all strata that a sample is counted in."""
    facets, task, lang = sample.facets, sample.task, sample.lang
    told = [("task", task), ("lang", lang), ("task_lang", f"{task}, {lang}")]
    told.append(("modality", facets.get("modality", "unknown")))
    told += [(name, facets[name]) for name in ("source", "pairing") if name in facets]
    if sample.question_type:
        told.append(("question_type", sample.question_type))
    labels = {region.label for mention in sample.mentions for region in mention.regions}
    return (*told, *(("label", label) for label in sorted(labels)))
