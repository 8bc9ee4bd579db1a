"""What is known of one slice from its masks and reports, and the frame of a sample made from it."""

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

from numpy.random import Generator

from rrg.anatomy import LABELS, covers, label_map_version
from rrg.codec import encode
from rrg.errors import UsageError
from rrg.geometry import union_box
from rrg.pipe import Count, Group
from rrg.provenance import make_run
from rrg.records import Box, ImageRef, Lang, Mask, Mention, Part, Region, Report, Run, Sample, Slice, Turn
from rrg.synth import templates

NEVER_ASKED = frozenset({"body"})
"""On every slice: a question about it teaches nothing."""
UNUSED_ROLES = ("localizer", "derived", "mip", "vrt", "bolus")
UNUSED_FLAGS = ("burned_in",)
"""Slices with text in the pixels are left out: they may show names."""
Origin = Literal["report+seg", "seg"]
Gate = Literal["too_small", "low_score", "border"]
"""Why a structure that the mask shows is not used."""


class Found(NamedTuple):
    """A structure on a slice."""

    label: str
    class_id: int
    area_px: int
    box: Box
    components: tuple[Box, ...]
    mask: str
    """Reference into the store."""
    score: float | None = None
    """Trust in its segmentation, 0..1; None: not judged."""


@dataclass(frozen=True)
class Seen:
    """A slice and what its masks say."""

    slice: Slice
    masks: tuple[str, ...]
    """Ids of the mask records."""
    found: Mapping[str, Found]
    """Structures of at least the smallest area, by label."""
    small: frozenset[str]
    """On the slice, but held back by a gate (mostly: smaller than that): neither present nor absent."""
    absent: frozenset[str]
    """Looked for, and not a pixel of it (or of a part of it) found."""
    gates: Mapping[str, Gate] = field(default_factory=dict)
    """Which gate held back each of `small`."""

    @functools.cached_property
    def image(self) -> ImageRef:
        """The slice as image ``i0`` of a sample."""
        return image_of(self.slice)

    def parts(self, label: str) -> tuple[Found, ...]:
        """What shows `label` on this slice: itself, else the structures that imply it (the lobes of a lung)."""
        if label in self.found:
            return (self.found[label],)
        return tuple(self.found[part] for part in covers(label) if part in self.found)

    def region(self, label: str, origin: Origin, *, components: bool = False) -> Region | None:
        """The region of `label`: one union box, or the box of each component; None when it is not there."""
        if not (parts := self.parts(label)):
            return None
        boxes = tuple(box for part in parts for box in (part.components or (part.box,)))
        if not components:
            boxes = (union_box([part.box for part in parts]),)
        return Region(
            label=label,
            class_id=LABELS[label].class_id,
            boxes=boxes,
            mask=parts[0].mask,
            origin=origin,
            score=min((part.score for part in parts if part.score is not None), default=None),
        )

    def why_not(self, label: str) -> Gate | None:
        """The gate that held `label` back, or a structure that implies it; None when it is not on the slice at all."""
        return next((self.gates[each] for each in (label, *covers(label)) if each in self.gates), None)


def seen_on(
    slice_: Slice,
    masks: Sequence[Mask],
    min_area_px: int,
    *,
    min_score: float | None = None,
    drop_border: bool = False,
) -> Seen:
    """Join the masks of all engines on a slice. Of one label in several masks the first that passes the gates counts.

    Gates: at least `min_area_px`; a score of at least `min_score` (structures that nobody judged pass); with
    `drop_border`, no pixel in the outermost rows and columns.
    """
    found: dict[str, Found] = {}
    gates: dict[str, Gate] = {}
    for mask in masks:
        for each in mask.labels:
            if each.label not in LABELS:
                continue
            if each.area_px < min_area_px:
                gates.setdefault(each.label, "too_small")
            elif min_score is not None and each.score is not None and each.score < min_score:
                gates.setdefault(each.label, "low_score")
            elif drop_border and at_border(each.box, slice_):
                gates.setdefault(each.label, "border")
            else:
                found.setdefault(
                    each.label,
                    Found(
                        *(each.label, each.class_id, each.area_px, each.box, each.components),
                        mask=mask.array,
                        score=each.score,
                    ),
                )
    anywhere = found.keys() | gates.keys()
    looked_for = {label for mask in masks for label in mask.looked_for or () if label in LABELS}
    absent = {label for label in looked_for - anywhere if anywhere.isdisjoint(covers(label))}
    for whole in anywhere - NEVER_ASKED:  # a lung without any lobe: which lobe it is, nobody knows
        if anywhere.isdisjoint(covers(whole)):
            absent -= set(covers(whole))
    return Seen(
        slice=slice_,
        masks=tuple(mask.id for mask in masks),
        found=dict(sorted(found.items())),
        small=frozenset(anywhere - set(found)),
        absent=frozenset(absent),
        gates={label: gate for label, gate in gates.items() if label not in found},
    )


def at_border(box: Box, slice_: Slice) -> bool:
    """True when a box reaches the outermost row or column: what it holds may go on outside of the picture."""
    return box.x0 <= 0 or box.y0 <= 0 or box.x1 >= slice_.columns or box.y1 >= slice_.rows


class Said(NamedTuple):
    """A sentence of a report that points at a slice."""

    report: Report
    sentence: int


@dataclass(frozen=True)
class Study:
    """All of a study that samples are made from."""

    seen: tuple[Seen, ...]
    """The chosen slices, by series and index."""
    said: Mapping[str, tuple[Said, ...]]
    """Slice id -> sentences that point at it, in text order."""
    counts: tuple[Count, ...]
    paired: Mapping[str, tuple[Said, ...]] = field(default_factory=dict)
    """Slice id -> sentences that cite no slice and were given this one; empty without a `Pairing`."""
    usable: tuple[Slice, ...] = ()
    """All slices that may be chosen, by series and index."""
    masks: Mapping[str, Sequence[Mask]] = field(default_factory=dict)
    """Slice id -> its masks, by engine."""


Pairing = Callable[
    [Sequence[Report], Sequence[Slice], Mapping[str, Sequence[Mask]], Counter[str]], Mapping[str, tuple[Said, ...]]
]
"""(reports, usable slices, masks by slice, counts to add to) -> slice id -> sentences that it is given."""


def read_study(
    group: Group,
    slices: str,
    min_area_px: int,
    *,
    min_score: float | None = None,
    drop_border: bool = False,
    pair: Pairing | None = None,
) -> Study:
    """Choose slices and join what is known of them. `slices`: see `choose`; the gates: see `seen_on`.

    `pair` gives slices to sentences that cite none; those slices are chosen too.
    """
    counts: Counter[str] = Counter()
    usable: list[Slice] = []
    for slice_ in sorted(group.of(Slice), key=lambda s: (s.series, s.index, s.id)):
        if slice_.role in UNUSED_ROLES:
            counts[f"slices.left_out.{slice_.role}"] += 1
        elif flags := [flag for flag in slice_.flags if flag in UNUSED_FLAGS]:
            counts[f"slices.left_out.{flags[0]}"] += 1
        else:
            usable.append(slice_)
    said = _said(group.of(Report), {slice_.id for slice_ in usable}, counts)
    masks: dict[str, list[Mask]] = {}
    for mask in sorted(group.of(Mask), key=lambda m: (m.engine, m.id)):
        masks.setdefault(mask.slice, []).append(mask)
    paired = pair(group.of(Report), usable, masks, counts) if pair is not None else {}
    chosen = choose(usable, slices, {**said, **paired})
    seen = tuple(
        seen_on(slice_, masks.get(slice_.id, ()), min_area_px, min_score=min_score, drop_border=drop_border)
        for slice_ in chosen
    )
    counts["slices.seen"] += len(group.of(Slice))
    counts["slices.not_chosen"] += len(usable) - len(seen)
    counts["slices.chosen"] += len(seen)
    counts["slices.without_mask"] += sum(1 for each in seen if not each.masks)
    told = tuple(Count(name, n) for name, n in sorted(counts.items()) if n)
    return Study(seen, said, told, paired, tuple(usable), masks)


def _said(reports: Sequence[Report], known: set[str], counts: Counter[str]) -> dict[str, tuple[Said, ...]]:
    """Which sentences point at which slice. Those that compare with an earlier study are left out."""
    found: dict[str, dict[Said, None]] = {}
    for report in sorted(reports, key=lambda r: r.id):
        prior = {ref.sentence for ref in report.references if ref.prior or ref.status == "prior"}
        counts["references.seen"] += len(report.references)
        for ref in sorted(report.references, key=lambda r: r.span):
            sentence = report.sentences[ref.sentence]
            if ref.status != "resolved" or ref.prior:
                counts[f"references.{'prior' if ref.prior else ref.status}"] += 1
            elif compares(report, ref.sentence, earlier=sentence.prior or ref.sentence in prior):
                counts["references.in_comparison"] += 1
            else:
                counts["references.resolved"] += 1
                for slice_id in ref.slices:
                    counts["cited.seen"] += 1
                    said = found.setdefault(slice_id, {}) if slice_id in known else None
                    if said is None:
                        counts["cited.not_usable"] += 1
                    elif (each := Said(report, ref.sentence)) in said:
                        counts["cited.repeated"] += 1
                    else:
                        counts["cited.used"] += 1
                        said[each] = None
    return {slice_id: tuple(sorted(said, key=lambda s: (s.report.id, s.sentence))) for slice_id, said in found.items()}


def compares(report: Report, sentence: int, *, earlier: bool) -> bool:
    """True when a sentence compares with an earlier study (`earlier`), and no static wording frees it of that."""
    static = [each for each in report.rewrites if each.sentence == sentence and each.kind == "static"]
    return not any(each.text for each in static) if static else earlier


def check_choice(spec: str) -> str:
    """Refuse a ``--slices`` that `choose` does not know."""
    every, _, number = spec.partition(":")
    if spec in ("all", "referenced") or (every == "every" and number.isdigit() and int(number) > 0):
        return spec
    if spec.isdigit() and int(spec) > 0:
        return spec
    raise UsageError(f"--slices {spec}: expected all, referenced, every:K, or a number per series")


def choose(usable: Sequence[Slice], spec: str, referenced: Iterable[str]) -> list[Slice]:
    """Slices to work on: ``all``; ``referenced`` by a report; ``every:K``-th index; or N per series, evenly spaced.

    Referenced slices are always among them. `usable` is sorted by series and index.
    """
    wanted = set(referenced)
    if spec == "all":
        return list(usable)
    if spec.startswith("every:"):
        step = int(spec.removeprefix("every:"))
        return [slice_ for slice_ in usable if slice_.id in wanted or slice_.index % step == 0]
    if spec != "referenced":
        series: dict[str, list[Slice]] = {}
        for slice_ in usable:
            series.setdefault(slice_.series, []).append(slice_)
        for members in series.values():
            n = min(int(spec), len(members))
            wanted |= {members[(2 * i + 1) * len(members) // (2 * n)].id for i in range(n)}
    return [slice_ for slice_ in usable if slice_.id in wanted]


class Absences:
    """Which absent structures to ask for, so that over a study each label is asked about as often when absent.

    A model could else answer by the name alone: organs that fill many slices would nearly always be there.
    """

    def __init__(self, study: Study, present: Iterable[str]) -> None:
        self._owed = Counter(present)
        """Label -> questions with the answer yes that have no partner yet."""
        self._ever = frozenset(label for seen in study.seen for label in (*seen.found, *seen.small))

    def pick(self, seen: Seen, n: int, rng: Generator) -> list[str]:
        """Up to `n` labels that are absent on the slice: mostly those of the study, some that it never shows."""
        candidates = sorted(seen.absent - NEVER_ASKED)
        picked: list[str] = []
        for _ in range(min(n, len(candidates))):
            elsewhere = [label for label in candidates if label in self._ever]
            nowhere = [label for label in candidates if label not in self._ever]
            if nowhere and (not elsewhere or rng.random() < NOWHERE_SHARE):
                label = nowhere[int(rng.integers(len(nowhere)))]
            else:
                most = max(self._owed[label] for label in elsewhere)
                best = [label for label in elsewhere if self._owed[label] == most]
                label = best[int(rng.integers(len(best)))]
            self._owed[label] -= 1
            candidates.remove(label)
            picked.append(label)
        return picked


NOWHERE_SHARE = 0.25
"""Share of absent structures that are missing in the whole study: resected, or outside of the volume."""


def pick(rng: Generator, items: Sequence[Any], n: int) -> list[Any]:
    """Up to `n` of `items`, without repeats, in random order."""
    return [items[int(i)] for i in rng.permutation(len(items))[:n]]


def image_of(slice_: Slice) -> ImageRef:
    """The slice as image ``i0`` of a sample."""
    return ImageRef(
        id="i0",
        ref=slice_.pixels,
        slice=slice_.id,
        rows=slice_.rows,
        columns=slice_.columns,
        modality=slice_.modality,
        unit=slice_.unit,
        spacing_mm=slice_.spacing_mm,
        padding=slice_.padding,
        inverted=True if "monochrome1" in slice_.flags else None,
    )


_IMAGE = Part(type="image", ref="i0")


def turns(question: str, answer: str) -> tuple[Turn, ...]:
    """One question about the image and its answer; both are texts of parts (braces escaped)."""
    asked = (_IMAGE, Part(type="text", text=question))
    return (
        Turn(role="user", content=asked),
        Turn(role="assistant", content=(Part(type="text", text=answer),), loss=True),
    )


def sample(
    seen: Seen,
    *,
    task: str,
    lang: Lang,
    question: str,
    answer_text: str,
    template: str,
    facets: Mapping[str, str | None],
    reports: Sequence[str] = (),
    mentions: tuple[Mention, ...] = (),
    provenance: Mapping[str, str] | None = None,
    preset: str | None = None,
    **fields: Any,
) -> Sample:
    """A sample on one slice. Its id is a hash of its content: what is the same twice has the same id.

    `question` and `answer_text` are texts of parts. `facets` are added to those of the slice, `provenance` to
    generator and template. `preset`: the window that the picture must be shown in.
    """
    slice_ = seen.slice
    strata = {"modality": slice_.modality, "plane": slice_.plane, "body_part": slice_.body_part, **facets}
    bare = Sample(
        id="",
        from_=(slice_.id, *seen.masks, *reports),
        patient=slice_.patient,
        study=slice_.study,
        images=(seen.image if preset is None else replace(seen.image, preset=preset),),
        turns=turns(question, answer_text),
        mentions=mentions,
        lang=lang,
        task=task,
        facets={key: value for key, value in strata.items() if value is not None},
        provenance={"generator": "template", "template": template, **(provenance or {})},
        **fields,
    )
    # in place: nobody has it yet, and a copy costs as much as making it
    object.__setattr__(bare, "id", hashlib.sha256(encode(bare)).hexdigest()[:20])
    return bare


def sections_for(reports: Iterable[Report]) -> dict[str, str]:
    """Clinical information and question of the reports, as context of a sample. What is the same is said once."""
    context: dict[str, str] = {}
    for report in reports:
        for section in report.sections:
            text = " ".join(report.text[slice(*section.span)].split())
            if section.kind in ("clinical", "question") and text and text not in context.values():
                context.setdefault(section.kind, text)
    return context


def languages_of(text: str) -> tuple[Lang, ...]:
    """``de,en`` -> the languages, in this order. UsageError for anything else."""
    known: dict[str, Lang] = {"de": "de", "en": "en"}
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if not wanted or any(part not in known for part in wanted):
        raise UsageError(f"--languages {text}: expected de, en, or de,en")
    return tuple(dict.fromkeys(known[part] for part in wanted))


def one_of(text: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    """A comma-separated list of known words, in the order of `known`. UsageError for anything else."""
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    if not wanted or not wanted <= set(known):
        raise UsageError(f"{option} {text}: expected any of {', '.join(known)}, separated by commas")
    return tuple(word for word in known if word in wanted)


def run_of(
    command: str, options: Any, more: Mapping[str, Any] | None = None, inputs: Mapping[str, str] | None = None
) -> Run:
    """The run record of a synth command; `options` is its frozen dataclass with a field ``seed``.

    `more`, `inputs`: further options and side inputs, such as those of a language model.
    """
    told: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()
    }
    seed = told.pop("seed")
    sides = {"label_map": label_map_version(), "templates": templates.version(), **(inputs or {})}
    return make_run(command, {**told, **(more or {})}, seed=seed, inputs=sides)
