"""Studies -> conversations about their slices: RaDialog's tasks from reports, masks and headers.

Each group of tasks has a file of its own, ``dialogue_*.py``; here is which of them a study is asked, and how many.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from numpy.random import Generator

from rrg.pipe import Count
from rrg.records import Lang, Sample
from rrg.seeds import rng_for
from rrg.synth import dialogue_templates
from rrg.synth.absences import pick
from rrg.synth.dialogue_chat import Chat, sample_of
from rrg.synth.dialogue_correction import corrections
from rrg.synth.dialogue_findings import lists, questions, reports
from rrg.synth.dialogue_places import regions, views
from rrg.synth.dialogue_plain import LAY, explanations
from rrg.synth.dialogue_sections import impressions, summaries
from rrg.synth.facts import Study

MAKERS: Mapping[str, Callable[[Study, Lang, Generator], Iterator[Chat]]] = {
    "report": reports,
    "findings-list": lists,
    "is-there": questions,
    "correction": corrections,
    "summary": summaries,
    "plain-language": explanations,
    "impression": impressions,
    "region": regions,
    "view": views,
}
"""Task -> the conversations of a study, one a slice at most."""
TASKS = tuple(MAKERS)


def dialogue_version() -> str:
    """Changes with any wording of conversations: 12 hex digits of the SHA-256 of forms and plain names."""
    body = f"{dialogue_templates.version()} {sorted(LAY.items())}"
    return hashlib.sha256(body.encode()).hexdigest()[:12]


def dialogues_of(
    study: Study, tasks: Sequence[str], languages: Sequence[Lang], most: int, seed: int
) -> Iterator[Sample | Count]:
    """At most `most` conversations of a study in each language, the tasks in turn, and how many could be had."""
    if not study.seen:
        return
    counts: Counter[str] = Counter()
    for lang in languages:
        found: dict[str, list[Chat]] = {}
        for task in tasks:
            rng = rng_for(seed, "synth-vqa", f"dialogue {study.seen[0].slice.study} {task}")
            chats = list(MAKERS[task](study, lang, rng))
            counts[f"dialogue.{task}.possible"] += len(chats)
            found[task] = pick(rng, chats, len(chats))
        for chat in _in_turn(found, most):
            counts[f"dialogue.{chat.task}"] += 1
            yield sample_of(chat, lang)
    yield from (Count(name, n) for name, n in sorted(counts.items()) if n)


def _in_turn(found: Mapping[str, Sequence[Chat]], most: int) -> list[Chat]:
    """The first of each task, then the second of each, up to `most`."""
    rounds = max((len(chats) for chats in found.values()), default=0)
    return [chats[n] for n in range(rounds) for chats in found.values() if n < len(chats)][:most]
