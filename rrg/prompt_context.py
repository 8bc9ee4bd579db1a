"""Text before the task: clinical information, the question to radiology, and findings that are sometimes wrong."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, get_args

from numpy.random import Generator

from rrg.records import Part, Sample
from rrg.synth.dialogue_templates import NOTHING, SAYINGS
from rrg.synth.templates import escape

Style = Literal["none", "clinical", "question", "both"]
"""What stands before the task."""
Prefix = Literal["random", "none", "clinical", "question", "both"]
"""`random`: one of the styles at every draw, each as often (RadGrounder's recipe)."""
STYLES: tuple[Style, ...] = get_args(Style)
LABELS = {
    "de": {"clinical": "Klinische Angaben:", "question": "Fragestellung:", "experts": "Bekannte Befunde:"},
    "en": {"clinical": "Clinical information:", "question": "Question:", "experts": "Known findings:"},
}
"""Language and section -> its heading: those of RadGrounder; of experts, as in reports with given findings."""


def style_of(prefix: Prefix, rng: Generator) -> Style:
    """The style of one draw."""
    return STYLES[int(rng.integers(len(STYLES)))] if prefix == "random" else prefix


def with_context(sample: Sample, style: Style) -> Sample:
    """The sample with its context before the first text of the user; unchanged where it has none of that kind."""
    kinds = {"none": (), "clinical": ("clinical",), "question": ("question",), "both": ("clinical", "question")}[style]
    lines = [f"{LABELS[sample.lang][kind]} {sample.context[kind]}" for kind in kinds if sample.context.get(kind)]
    if not lines:
        return sample
    said = escape("\n".join(lines)) + "\n"
    return _first_text(sample, lambda text: said + text)


def findings_in(sample: Sample) -> tuple[str, ...] | None:
    """The findings that the prompt of a report lists, empty where it says that there are none; None without a list."""
    placed = _list_of(sample)
    if placed is None:
        return None
    return () if placed[1] == NOTHING[sample.lang] else tuple(placed[1].split("; "))


def findings_known(samples: Iterable[Sample]) -> dict[str, tuple[str, ...]]:
    """Language -> all findings that the prompts of samples list, each once, in order: what noise is made of."""
    found: dict[str, set[str]] = {}
    for sample in samples:
        found.setdefault(sample.lang, set()).update(findings_in(sample) or ())
    return {lang: tuple(sorted(items)) for lang, items in found.items()}


def with_noisy_findings(sample: Sample, rate: float, known: Mapping[str, tuple[str, ...]], rng: Generator) -> Sample:
    """The sample with a list of findings as a classifier would give it; the report that is learnt stays true.

    Each finding is missing with probability `rate`; as often one that is `known` from elsewhere is put in its place, or
    into an empty list. So a model learns not to repeat what it does not see.
    """
    items = findings_in(sample)
    if items is None or rate == 0:
        return sample
    others = [each for each in known.get(sample.lang, ()) if each not in items]
    kept = [each for each in items if rng.random() >= rate]
    for _ in items or ("",):
        if others and rng.random() < rate:
            kept.insert(int(rng.integers(len(kept) + 1)), others.pop(int(rng.integers(len(others)))))
    if tuple(kept) == items:
        return sample
    before, _, after = _list_of(sample) or ("", "", "")
    return _first_text(sample, lambda _: before + ("; ".join(kept) or NOTHING[sample.lang]) + after)


def _list_of(sample: Sample) -> tuple[str, str, str] | None:
    """(text before, list, text behind) of the first text of the user, if it is one that lists findings."""
    if sample.task != "report":
        return None
    text = next((part.text or "" for turn in sample.turns[:1] for part in turn.content if part.type == "text"), "")
    for form in SAYINGS["report-with-findings"][sample.lang]:
        before, _, after = form.partition("{list}")
        if text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
            return before, text[len(before) : len(text) - len(after)], after
    return None


def _first_text(sample: Sample, change: Callable[[str], str]) -> Sample:
    """The sample with the first text of its first turn of the user changed."""
    for number, turn in enumerate(sample.turns):
        if turn.role != "user":
            continue
        for place, part in enumerate(turn.content):
            if part.type == "text":
                content = list(turn.content)
                content[place] = Part(type="text", text=change(part.text or ""))
                turns = list(sample.turns)
                turns[number] = dataclasses.replace(turn, content=tuple(content))
                return dataclasses.replace(sample, turns=tuple(turns))
    return sample
