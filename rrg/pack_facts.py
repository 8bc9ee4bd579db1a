"""What pack keeps of a sample beside its line, so that the line is decoded and encoded once."""

import hashlib
import marshal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic_core import to_json

from rrg.balance import YES_NO
from rrg.codec import encode
from rrg.pack_leaks import number_of, plain, text_of
from rrg.records import Sample
from rrg.synth.terms import NO, YES

_BEHIND = b',"weight":'
"""What stands behind the place of the blind score and the split."""
_PATIENT, _PROVENANCE = b',"patient":', b'},"provenance":'


class Answered(NamedTuple):
    """A question that is balanced: (stratum without its split), the number of its answer, of how many."""

    lang: str
    question: str
    """``yes/no``, or ``N choices``."""
    label: str
    answer: int
    answers: int
    order: int
    """A 64-bit number that orders samples at random, whatever the order of the stream."""


class Fact(NamedTuple):
    """What is judged and counted of a sample."""

    head: int
    """Bytes of its line before the place of the blind score and the split."""
    size: int
    """Bytes of its line without these."""
    is_question: bool
    blind: float | None
    """As it came."""
    same: int
    """Hash of what it says of its pixels."""
    near: int
    """The same but for case, punctuation, spaces and the order of choices."""
    shown: tuple[int, ...]
    """Hashes of the pixels of its images, as far as the stream has them."""
    text: int | None
    """Hash of the sentences of a report that it teaches."""
    is_inferred: bool
    """Its sentence does not cite its slice."""
    answered: Answered | None
    strata: tuple[tuple[str, str], ...]
    """(field, value) to count."""


def packed(facts: list[Fact]) -> bytes:
    """Bytes for `unpacked`, in the same process: no format to keep."""
    return marshal.dumps([(*fact[:9], fact.answered and tuple(fact.answered), fact.strata) for fact in facts])


def unpacked(data: bytes) -> Iterator[Fact]:
    """The facts of `packed`."""
    for values in marshal.loads(data):
        yield Fact._make((*values[:9], values[9] and Answered._make(values[9]), values[10]))


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
        return Answered(sample.lang, YES_NO, about, int(sample.answer == NO[sample.lang]), 2, _order(sample, seed))
    if sample.question_type == "single" and sample.answer in sample.choices and len(sample.choices) > 1:
        n, place = len(sample.choices), sample.choices.index(sample.answer)
        return Answered(sample.lang, f"{n} choices", "", place, n, _order(sample, seed))
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


def fact_of(
    sample: Sample, parts: tuple[bytes, bytes], images: Mapping[str, int], *, is_question: bool, seed: int
) -> Fact:
    """All that later passes ask of a sample. `parts`: of `cut`; `images`: reference -> hash of its pixels."""
    text = text_of(sample)
    return Fact(
        len(parts[0]),
        len(parts[0]) + len(parts[1]),
        is_question,
        sample.blind,
        *said(sample, images),
        tuple(images[image.ref] for image in sample.images if image.ref in images),
        None if text is None else number_of(plain(text).encode()),
        sample.facets.get("pairing") == "inferred",
        answered_by(sample, seed),
        strata_of(sample),
    )
