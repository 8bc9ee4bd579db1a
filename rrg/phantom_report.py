"""Made-up reports: facts that are true of a phantom study, then the same facts in German and in English.

Facts are planned once, with the slices that they point at; each language picks its own wording and its own way to
write a reference. Every sentence keeps its facts, so that a parser can be scored on it.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rrg import phantom_phrases as words
from rrg.anatomy import LABELS
from rrg.phantom_body import Body, Lesion, class_table
from rrg.phantom_phrases import Phrase

Kind = Literal["normal", "absent", "lesion", "change", "denied"]
LANGUAGES: tuple[Literal["de", "en"], ...] = ("de", "en")
SHOWN = 0.35
"""An organ is pointed at on slices with at least this share of its largest area in the series."""
SHOWN_LESION = 0.6
FINDING = {"cyst": "cyst", "metastasis": "metastasis", "tumour": "mass", "nodule": "nodule"}
"""Lesion tissue -> canonical English name of the finding."""
SENTENCES = (10, 18)
"""Fewest and most sentences of the findings section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesView:
    """What one series shows. Arrays have one entry per slice, in order of the slice normal."""

    number: int
    uid: str
    role: str
    plane: str
    instance_numbers: tuple[int, ...]
    sop_uids: tuple[str, ...]
    areas: Mapping[str, NDArray[np.int64]]
    """Class name -> pixels."""
    lesion_areas: Mapping[str, NDArray[np.int64]]
    """Name of a lesion -> pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """What a report may speak of."""

    modality: Literal["CT", "MR"]
    contrast: bool
    date: str
    """YYYYMMDD."""
    thickness_mm: float
    body: Body
    series: tuple[SeriesView, ...]
    """Series with slices to point at; the first is the primary one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What a planted error took the place of."""

    instance_numbers: tuple[int, ...]
    sop_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Slices of one series."""

    series_number: int
    series_uid: str
    instance_numbers: tuple[int, ...]
    sop_uids: tuple[str, ...]
    prior: bool = False
    meant: Meant | None = None
    """The right slices, where these are wrong on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that is true of the study."""

    kind: Kind
    classes: tuple[str, ...]
    """Class names; for lesions the organ."""
    side: Literal["left", "right", "both"] | None
    finding: str | None = None
    """Canonical English name."""
    state: Literal["present", "absent"]
    lesion: str | None = None
    size_mm: float | None = None
    change: Literal["grown", "shrunk", "stable", "new", "gone"] | None = None
    prior_size_mm: float | None = None
    prior_date: str | None = None
    pointers: tuple[Pointer, ...] = ()
    phrases: str = ""
    """Key of the phrase table."""
    meant_classes: tuple[str, ...] | None = None
    """The right structures, where the side is wrong on purpose."""


def plan(study: StudyView, prior: StudyView | None, rng: np.random.Generator) -> tuple[Fact, ...]:
    """The facts of the findings section, in its order: lungs to pelvis, then what is denied."""
    groups = list(_organ_facts(study, rng))
    said = [fact for group in groups for fact in group]
    changes = list(_changes(study, prior, rng)) if prior is not None else []
    denied = list(_denials(study))
    room = SENTENCES[1] - len(changes)
    must = [fact for fact in said if fact.kind in ("lesion", "absent")]
    may = [fact for fact in said if fact.kind == "normal"]
    keep = min(len(may), max(room - len(must) - 2, 0))
    keep = int(rng.integers(max(min(keep, 8), keep - 4), keep + 1))
    chosen = {id(may[i]) for i in rng.permutation(len(may))[:keep]} | {id(fact) for fact in must}
    body = [fact for fact in said if id(fact) in chosen]
    left = SENTENCES[1] - len(body) - len(changes)
    wanted = max(SENTENCES[0] - len(body) - len(changes), int(rng.integers(2, 5)))
    picked = sorted(rng.permutation(len(denied))[: max(min(left, wanted, len(denied)), 0)])
    by_lesion = {fact.lesion: fact for fact in changes}
    out: list[Fact] = []
    for fact in body:
        out.append(fact)
        if fact.kind == "lesion" and fact.lesion in by_lesion:
            out.append(by_lesion.pop(fact.lesion))
    out += [fact for fact in changes if fact.lesion in by_lesion]
    return tuple(out + [denied[i] for i in picked])


def _organ_facts(study: StudyView, rng: np.random.Generator) -> Iterator[tuple[Fact, ...]]:
    ill = {lesion.organ for lesion in study.body.lesions}
    names = class_table(study.modality)
    lungs = [name for name in names if name.startswith("lung_")]
    for name in ("lung_right", "lung_left"):
        if name in study.body.missing:
            side = LABELS[name].side
            gone = tuple(lung for lung in lungs if LABELS[lung].side == side)
            lungs = [lung for lung in lungs if lung not in gone]
            yield (_fact("absent", gone, side, phrases="lung"),)
    both = study.modality == "MR" and len(lungs) == 2 and not ill & set(lungs) and rng.random() < 0.5
    if both and (pointers := _point(study, lungs, rng)):
        yield (_fact("normal", tuple(lungs), "both", phrases="lungs", pointers=pointers),)
        lungs = []
    for name in lungs:
        yield _one_organ(study, name, "lobe" if "lobe" in name else "lung", ill, rng)
    yield _one_organ(study, "heart", "heart", ill, rng)
    for name in ("liver", "gallbladder", "spleen", "pancreas", "stomach"):
        yield _one_organ(study, name, name, ill, rng)
    kidneys = ["kidney_right", "kidney_left"]
    healthy = not ill & set(kidneys) and not set(kidneys) & set(study.body.missing)
    if healthy and rng.random() < 0.5 and (pointers := _point(study, kidneys, rng)):
        yield (_fact("normal", tuple(kidneys), "both", phrases="kidneys", pointers=pointers),)
        kidneys = []
    for name in kidneys:
        yield _one_organ(study, name, "kidney", ill, rng)
    spine = "vertebrae_L1" if study.modality == "CT" else "vertebrae"
    for name in ("urinary_bladder", "aorta", spine, "sacrum"):
        yield _one_organ(study, name, name, ill, rng)


def _one_organ(study: StudyView, name: str, phrases: str, ill: set[str], rng: np.random.Generator) -> tuple[Fact, ...]:
    """What is said of one organ: that it is missing, its lesions, or that it is normal. Empty: it is on no slice."""
    side = LABELS[name].side
    if name in study.body.missing:
        return (_fact("absent", (name,), side, phrases=phrases),)
    if name not in ill:
        pointers = _point(study, [name], rng)
        return (_fact("normal", (name,), side, phrases=phrases, pointers=pointers),) if pointers else ()
    found = []
    for lesion in study.body.lesions:
        if lesion.organ == name and (pointers := _point_lesion(study, lesion.name, rng)):
            found.append(_lesion_fact(lesion, pointers))
    return tuple(found)


def _fact(kind: Kind, classes: tuple[str, ...], side: Any, *, phrases: str, pointers: tuple[Pointer, ...] = ()) -> Fact:
    state: Literal["present", "absent"] = "absent" if kind == "absent" else "present"
    return Fact(kind=kind, classes=classes, side=side, state=state, pointers=pointers, phrases=phrases)


def phrase_key(lesion: Lesion) -> str:
    """``liver cyst``, ``lobe nodule``, ...: the key of a lesion in the phrase tables."""
    organ = "lobe" if "_lobe_" in lesion.organ else lesion.organ.partition("_")[0]
    return f"{organ} {lesion.tissue}"


def _lesion_fact(lesion: Lesion, pointers: tuple[Pointer, ...]) -> Fact:
    return Fact(
        kind="lesion",
        classes=(lesion.organ,),
        side=LABELS[lesion.organ].side,
        finding=FINDING[lesion.tissue],
        state="present",
        lesion=lesion.name,
        size_mm=lesion.diameter_mm,
        pointers=pointers,
        phrases=phrase_key(lesion),
    )


def _seen(study: StudyView, lesion: str) -> bool:
    return any(view.lesion_areas[lesion].any() for view in study.series if lesion in view.lesion_areas)


def _changes(study: StudyView, prior: StudyView, rng: np.random.Generator) -> Iterator[Fact]:
    """Each lesion of either study against the other; only lesions that a slice of their study shows."""
    now = {lesion.name: lesion for lesion in study.body.lesions if _seen(study, lesion.name)}
    then = {lesion.name: lesion for lesion in prior.body.lesions if _seen(prior, lesion.name)}
    hidden = {lesion.name for view in (study, prior) for lesion in view.body.lesions} - set(now) - set(then)
    for name in sorted({*now, *then} - hidden):
        lesion = now.get(name) or then[name]
        new, old = now.get(name), then.get(name)
        change: Literal["grown", "shrunk", "stable", "new", "gone"]
        if new is None:
            change = "gone"
        elif old is None:
            change = "new"
        elif new.diameter_mm > old.diameter_mm:
            change = "grown"
        else:
            change = "stable" if new.diameter_mm == old.diameter_mm else "shrunk"
        pointers = () if old is None else _point_lesion(prior, name, rng, single=True)
        yield Fact(
            kind="change",
            classes=(lesion.organ,),
            side=LABELS[lesion.organ].side,
            finding=FINDING[lesion.tissue],
            state="absent" if change == "gone" else "present",
            lesion=name,
            size_mm=new.diameter_mm if new else None,
            change=change,
            prior_size_mm=old.diameter_mm if old else None,
            prior_date=prior.date,
            pointers=tuple(dataclasses.replace(pointer, prior=True) for pointer in pointers),
            phrases=phrase_key(lesion),
        )


def _denials(study: StudyView) -> Iterator[Fact]:
    operated = any(name.startswith("lung") for name in study.body.missing)
    for finding in words.DENIED:
        if not (operated and finding in ("pleural effusion", "free fluid")):
            yield Fact(kind="denied", classes=(), side=None, finding=finding, state="absent", phrases=finding)


def pointer_to(view: SeriesView, indices: Sequence[int]) -> Pointer:
    """Slices of a series by index, in order of Instance Number."""
    ordered = sorted(indices, key=lambda index: view.instance_numbers[index])
    return Pointer(
        series_number=view.number,
        series_uid=view.uid,
        instance_numbers=tuple(view.instance_numbers[index] for index in ordered),
        sop_uids=tuple(view.sop_uids[index] for index in ordered),
    )


def _slices_of(view: SeriesView, classes: Sequence[str], share: float) -> NDArray[np.intp]:
    """Slices that show each of the classes well."""
    good = np.ones(len(view.instance_numbers), bool)
    for name in classes:
        area = view.areas.get(name)
        if area is None or not area.any():
            return np.array([], np.intp)
        good &= area >= max(share * area.max(), 1)
    return np.flatnonzero(good)


def _point(study: StudyView, classes: Sequence[str], rng: np.random.Generator) -> tuple[Pointer, ...]:
    """One or a few slices of one series that show all `classes`; empty when there are none."""
    views = list(study.series)
    if len(views) > 1 and rng.random() < 0.25:
        views = [views[int(rng.integers(1, len(views)))], *views]
    for view in views:
        good = _slices_of(view, classes, SHOWN)
        if good.size:
            return (pointer_to(view, _pick(good, rng)),)
    return ()


def _pick(good: NDArray[np.intp], rng: np.random.Generator) -> list[int]:
    """One slice, at times a run of neighbours or two apart."""
    first = int(rng.integers(good.size))
    form = rng.random()
    if form < 0.1 and first + 2 < good.size and good[first + 2] == good[first] + 2:
        return [int(index) for index in good[first : first + 3]]
    if form < 0.2 and good.size > 3:
        return [int(good[0 if first > good.size // 2 else -1]), int(good[good.size // 2])]
    return [int(good[first])]


def _point_lesion(
    study: StudyView, lesion: str, rng: np.random.Generator, *, single: bool = False
) -> tuple[Pointer, ...]:
    """Slices that show a lesion near its largest section, at times in two series."""
    found = []
    for view in study.series:
        area = view.lesion_areas.get(lesion)
        if area is not None and area.any():
            good = np.flatnonzero(area >= SHOWN_LESION * area.max())
            found.append(pointer_to(view, [int(rng.choice(good))]))
    if not found:
        return ()
    if len(found) > 1 and not single and rng.random() < 0.3:
        return found[0], found[int(rng.integers(1, len(found)))]
    return (found[0],)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceTruth:
    """A sentence of a report and the facts in it."""

    text: str
    start: int
    """In code points of the file."""
    end: int
    section: str
    facts: tuple[Mapping[str, Any], ...]


@dataclass(slots=True)
class _Writer:
    """Puts a report together and remembers where each sentence lies."""

    lang: Literal["de", "en"]
    rng: np.random.Generator
    text: str = ""
    sentences: list[SentenceTruth] = dataclasses.field(default_factory=list)
    series: int | None = None
    """Series of the last reference of this section: a bare image number may follow it."""
    doubted: set[str] = dataclasses.field(default_factory=set)
    """Lesions that a sentence called uncertain."""

    def choose(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def weighted(self, options: Sequence[tuple[str, float]]) -> str:
        weights = np.array([weight for _, weight in options])
        return options[int(self.rng.choice(len(options), p=weights / weights.sum()))][0]

    def heading(self, kind: str, style: int) -> None:
        title = self.choose(words.HEADINGS[self.lang][kind])
        title = (f"{title}:", f"{title.upper()}", f"{title}:")[style]
        self.text += f"{title}\n" if not self.text else f"\n\n{title}\n"
        self.series = None

    def sentence(self, text: str, section: str, facts: Sequence[Mapping[str, Any]] = (), *, line: bool = False) -> None:
        text = text[0].upper() + text[1:]
        if self.text and not self.text.endswith("\n"):
            self.text += "\n" if line else " "
        start = len(self.text)
        self.text += text
        self.sentences.append(
            SentenceTruth(text=text, start=start, end=len(self.text), section=section, facts=tuple(facts))
        )


def size_text(value_mm: float, lang: str, centimetres: bool) -> str:
    """12 -> ``12 mm``, ``1,2 cm`` or ``1.2 cm``."""
    if not centimetres:
        return f"{value_mm:.0f} mm"
    return f"{value_mm / 10:.1f} cm".replace(".", "," if lang == "de" else ".")


MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def date_text(date: str, lang: str) -> str:
    """20210312 -> ``12.03.2021`` or ``12 March 2021``."""
    year, month, day = date[:4], date[4:6], date[6:]
    return f"{day}.{month}.{year}" if lang == "de" else f"{int(day)} {MONTHS[int(month) - 1]} {year}"


def _reference(writer: _Writer, fact: Fact, template: str) -> str:
    """The slice reference of a fact in one of the ways of the language."""
    forms = words.REFERENCES[writer.lang]
    if not fact.pointers:
        return ""
    first = fact.pointers[0]
    images = first.instance_numbers
    fields = {"s": first.series_number, "i": images[0], "j": images[-1]}
    if first.prior:
        writer.series = None
        return writer.weighted(forms["prior"]).format(**fields)
    if len(fact.pointers) > 1:
        second = fact.pointers[1]
        writer.series = None
        return writer.weighted(forms["two"]).format(
            s=first.series_number, i=images[0], t=second.series_number, j=second.instance_numbers[0]
        )
    carried = writer.series == first.series_number
    writer.series = first.series_number
    if len(images) == 1:
        options = forms["one"]
        if carried and writer.rng.random() < 0.2:
            options = forms["carried"]
        elif template.endswith("{ref}."):
            options = (*options, *forms["comma"])
        return writer.weighted(options).format(**fields)
    if images[-1] - images[0] == len(images) - 1 and len(images) > 2:
        return writer.weighted(forms["range"]).format(**fields)
    return writer.weighted(forms["list"]).format(**fields)


def _sides(fact: Fact, lang: str) -> dict[str, str]:
    if fact.side not in ("left", "right"):
        return {}
    fields = dict(words.SIDE_WORDS[lang][fact.side])
    for stem, names in words.LOBES.items():
        if fact.classes and fact.classes[0].startswith(stem):
            fields["lobe"] = names[lang]
    return fields


_TABLES: Mapping[Kind, Mapping[str, Mapping[str, tuple[Phrase, ...]]]] = {
    "normal": words.NORMAL,
    "absent": words.ABSENT,
    "lesion": words.LESION,
    "denied": words.DENIED,
}


def _say(writer: _Writer, fact: Fact, *, line: bool) -> None:
    """Write one fact as one sentence of the findings."""
    table = words.CHANGE[fact.change] if fact.change else _TABLES[fact.kind][fact.phrases]
    phrase: Phrase = writer.choose(table[writer.lang])
    lang, sides = writer.lang, _sides(fact, writer.lang)
    in_cm = bool(writer.rng.random() < 0.35)
    fields = dict(sides)
    fields["ref" if fact.kind != "change" else "oldref"] = _reference(writer, fact, phrase.text)
    if fact.size_mm is not None:
        fields["size"] = size_text(fact.size_mm, lang, in_cm)
    if fact.prior_size_mm is not None:
        fields["old"] = size_text(fact.prior_size_mm, lang, in_cm)
    if fact.change:
        fields["noun"] = words.NOUN[fact.phrases][lang].format(**sides)
        fields["date"] = date_text(fact.prior_date or "", lang)
    said = fact_json(fact)
    if "size" in fields and "{size}" not in phrase.text:
        said["size_mm"] = None
    if "old" in fields and "{old}" not in phrase.text:
        said["prior_size_mm"] = None
    said["certainty"] = "uncertain" if phrase.uncertain else "certain"
    if phrase.uncertain and fact.lesion:
        writer.doubted.add(fact.lesion)
    said["denies"] = list(phrase.denies)
    writer.sentence(phrase.text.format(**fields), "findings", [said], line=line)


def fact_json(fact: Fact) -> dict[str, Any]:
    """A fact as plain JSON."""
    said = dataclasses.asdict(fact)
    del said["phrases"]
    if (meant := said.pop("meant_classes")) is not None:
        said["meant_classes"] = list(meant)
    for pointer in said["pointers"]:
        if pointer["meant"] is None:
            del pointer["meant"]
        else:
            pointer["meant"] = {name: list(values) for name, values in pointer["meant"].items()}
        pointer["instance_numbers"] = list(pointer["instance_numbers"])
        pointer["sop_uids"] = list(pointer["sop_uids"])
    said["classes"], said["references"] = list(fact.classes), list(said.pop("pointers"))
    return said


def write(
    study: StudyView,
    prior: StudyView | None,
    facts: Sequence[Fact],
    lang: Literal["de", "en"],
    history: int,
    rng: np.random.Generator,
) -> tuple[str, tuple[SentenceTruth, ...]]:
    """(text, sentences) of the report in one language. `history` picks the clinical information for both twins."""
    writer = _Writer(lang=lang, rng=rng)
    style, line = int(rng.integers(3)), bool(rng.random() < 0.5)
    writer.heading("clinical", style)
    writer.sentence(words.CLINICAL[lang][history], "clinical")
    writer.heading("question", style)
    for question in words.QUESTION[lang][history].replace("? ", "?\n").split("\n"):
        writer.sentence(question, "question")
    writer.heading("technique", style)
    kind = "MR" if study.modality == "MR" else "CT contrast" if study.contrast else "CT native"
    thickness = f"{study.thickness_mm:g}".replace(".", "," if lang == "de" else ".")
    writer.sentence(words.TECHNIQUE[lang][kind].format(mm=thickness), "technique")
    if any(view.plane == "coronal" for view in study.series):
        writer.sentence(words.TECHNIQUE[lang]["coronal"], "technique")
    writer.heading("comparison", style)
    if prior is None:
        writer.sentence(writer.choose(words.COMPARISON[lang]["none"]), "comparison")
    else:
        what = {"CT": "CT", "MR": "MRT" if lang == "de" else "MRI"}[prior.modality]
        text = writer.choose(words.COMPARISON[lang]["prior"]).format(what=what, date=date_text(prior.date, lang))
        writer.sentence(text, "comparison")
    writer.heading("findings", style)
    for fact in facts:
        _say(writer, fact, line=line)
    writer.heading("impression", style)
    _impression(writer, facts, line=line)
    writer.text += "\n"
    return writer.text, tuple(writer.sentences)


def _impression(writer: _Writer, facts: Sequence[Fact], *, line: bool) -> None:
    lesions = [fact for fact in facts if fact.kind == "lesion"]
    table = words.IMPRESSION[writer.lang]
    for fact in lesions:
        label = words.SUMMARY[fact.phrases][writer.lang].format(**_sides(fact, writer.lang))
        size = size_text(fact.size_mm or 0.0, writer.lang, bool(writer.rng.random() < 0.3))
        doubted = fact.lesion in writer.doubted
        form = "doubted" if doubted else "cyst" if fact.finding == "cyst" else "other"
        said = fact_json(fact) | {"references": [], "certainty": "uncertain" if doubted else "certain", "denies": []}
        text = writer.choose(table[form]).format(label=label, size=size)
        writer.sentence(text, "impression", [said], line=line)
    if not lesions:
        writer.sentence(writer.choose(table["none"]), "impression")
