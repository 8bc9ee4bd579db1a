"""Which labels people look at: a stratified draw from all that synth-ground makes, the same whatever the order."""

import hashlib
import heapq
import itertools
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rrg.codec import decode, schema_of
from rrg.records import Mention, Sample, Slice
from rrg.stream import Line

SIZES = ((0.01, "small"), (0.05, "medium"), (1.0, "large"))
"""Largest share of the picture that the boxes of a label of this size take up together."""
_SAMPLE = b'{"schema":"rrg.sample/1"'


class Stratum(NamedTuple):
    """What the draw is balanced over."""

    source: str
    """``report+mask`` or ``mask``; ``+inferred`` where the slice was not cited."""
    task: str
    lang: str
    size: str
    """``small``, ``medium``, ``large``, or ``absent``: said not to be there."""


class Item(NamedTuple):
    """One label to judge: a phrase and its boxes on one picture."""

    id: str
    stratum: Stratum
    of: int
    """Labels of this stratum in all that was made."""
    sample: Sample
    mention: Mention
    slice: Slice | None


class _Kept(NamedTuple):
    """Kept by its hash: `order` is its negative, so that the heap gives up the largest hash first."""

    order: int
    id: str
    mention: str
    sample: bytes
    slice: bytes | None


class Draw:
    """Keeps, of each stratum, the labels with the smallest keyed hashes. Memory grows with strata, not with samples."""

    def __init__(self, n: int, seed: int) -> None:
        self._n = n
        self._seed = seed
        self._strata: dict[Stratum, list[_Kept]] = {}
        self._counts: dict[Stratum, int] = {}
        self._ahead: OrderedDict[str, dict[str, bytes]] = OrderedDict()
        """Slices of studies that were read and are not done yet."""

    def seen(self, lines: Sequence[Line]) -> None:
        """Remember the slices of a study until its samples come."""
        found = [line for line in lines if schema_of(line.head) == "rrg.slice/1"]
        slices = {line.value["id"]: line.raw for line in found}
        study = next((line.head["study"] for line in found), None)
        if study is not None:
            self._ahead[study] = slices

    def made(self, body: bytes) -> None:
        """Look at the samples of a study; studies come in the order in which they were seen."""
        slices: dict[str, bytes] = {}
        study: str | None = None
        for raw in body.splitlines():
            if not raw.startswith(_SAMPLE):
                continue
            value = json.loads(raw)
            if study is None:
                study = value["study"]
                slices = self._forget_up_to(value["study"])
            for mention in value.get("mentions", ()):
                self._offer(raw, value, mention, slices.get(value["images"][0].get("slice", "")))

    def _forget_up_to(self, study: str) -> dict[str, bytes]:
        if study not in self._ahead:
            return {}
        while True:
            name, slices = self._ahead.popitem(last=False)
            if name == study:
                return slices

    def _offer(self, raw: bytes, value: dict[str, Any], mention: dict[str, Any], slice_: bytes | None) -> None:
        stratum = _stratum(value, mention)
        digest = hashlib.sha256(f"{self._seed}\0{value['id']}\0{mention['id']}".encode()).digest()
        kept = self._strata.setdefault(stratum, [])
        self._counts[stratum] = self._counts.get(stratum, 0) + 1
        order = -int.from_bytes(digest[:16], "big")
        if len(kept) < self._n:
            heapq.heappush(kept, _Kept(order, digest.hex()[:12], mention["id"], raw, slice_))
        elif order > kept[0].order:
            heapq.heapreplace(kept, _Kept(order, digest.hex()[:12], mention["id"], raw, slice_))

    def items(self) -> list[Item]:
        """The labels to judge: from each stratum as many, as far as it has them; by stratum, then by hash."""
        ranked = {stratum: sorted(kept, reverse=True) for stratum, kept in sorted(self._strata.items())}
        turns = itertools.chain.from_iterable(itertools.zip_longest(*(_named(s, kept) for s, kept in ranked.items())))
        drawn = list(itertools.islice((each for each in turns if each is not None), self._n))
        return [self._item(stratum, kept) for stratum, kept in sorted(drawn, key=lambda d: (d[0], -d[1].order))]

    def _item(self, stratum: Stratum, kept: _Kept) -> Item:
        sample = decode(kept.sample, Sample)
        mention = next(mention for mention in sample.mentions if mention.id == kept.mention)
        slice_ = decode(kept.slice, Slice) if kept.slice else None
        return Item(kept.id, stratum, self._counts[stratum], sample, mention, slice_)


def _named(stratum: Stratum, kept: Sequence[_Kept]) -> Iterator[tuple[Stratum, _Kept]]:
    return ((stratum, each) for each in kept)


def _stratum(value: dict[str, Any], mention: dict[str, Any]) -> Stratum:
    facets, image = value["facets"], value["images"][0]
    boxes = [box for region in mention.get("regions", ()) for box in region["boxes"]]
    area = sum((box["x1"] - box["x0"]) * (box["y1"] - box["y0"]) for box in boxes)
    share = area / (image["rows"] * image["columns"])
    size = next((name for limit, name in SIZES if share <= limit), "large") if boxes else "absent"
    inferred = f"+{facets['pairing']}" if "pairing" in facets else ""
    return Stratum(f"{facets.get('source', '')}{inferred}", value["task"], value["lang"], size)
