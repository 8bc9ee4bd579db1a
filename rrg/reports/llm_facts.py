"""A language model reads each sentence again: it may doubt the rules and add to them, never change what they say.

Whatever it answers is checked here. A quote must stand in its sentence. Where it sees a negation or a side that the
rules do not see, the sentence is marked `disputed` and the rules' fact stays; a new fact of that kind is not taken.
"""

import bisect
import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from rrg.errors import RecordError
from rrg.llm import Answer, ask, counted
from rrg.llm_settings import LlmSettings
from rrg.llm_text import Shown
from rrg.records import Anatomy, Finding, Report, Side, Span
from rrg.reports.context import Context, context_of
from rrg.reports.llm_prompt import OTHER, classes_of, example_quotes, prompt_of
from rrg.reports.side_words import SideWord, side_words
from rrg.reports.sides import clause_side, side_of
from rrg.reports.words import Words, words_of

RULE = "llm"
"""Rule of what a model added."""
_UNREAD = ("technique",)
"""Sections that speak of the examination, not of the patient: the rules look for no findings there either."""
COPIED = "a copied example"
Fact = Mapping[str, Any]


class Checked(NamedTuple):
    """A report that a model has read."""

    report: Report
    counts: Mapping[str, int]
    """For the funnel."""
    problem: RecordError | None
    """E_LLM: some sentences have no usable answer; they keep the facts of the rules."""


def checked(report: Report, settings: LlmSettings) -> Checked:
    """`report` with doubts and new facts of the model. Raises RrgError when the model can not be asked at all."""
    numbers = [i for i, one in enumerate(report.sentences) if report.sections[one.section].kind not in _UNREAD]
    drafts: dict[int, list[int]] = {}
    for i, finding in enumerate(report.findings):
        drafts.setdefault(finding.sentence, []).append(i)
    asked = [prompt_of(report, i, [report.findings[j] for j in drafts.get(i, ())]) for i in numbers]
    seen = [each for _, each in asked]

    def accept(number: int, value: Any) -> str:
        return COPIED if any(_copied(fact, seen[number]) for fact in value["facts"]) else ""

    answers = ask([prompt for prompt, _ in asked], settings, accept)
    work = _Work(report)
    for number, sight, answer in zip(numbers, seen, answers, strict=True):
        work.take(number, sight, answer, drafts.get(number, []))
    counted(settings)
    return Checked(work.made(settings.identity), dict(work.counts), _problem(numbers, answers))


def _copied(fact: Fact, seen: Shown) -> bool:
    return fact["quote"].casefold() in example_quotes() and not seen.find_all(fact["quote"])


def _problem(numbers: Sequence[int], answers: Sequence[Answer]) -> RecordError | None:
    failed = [(number, answer.problem) for number, answer in zip(numbers, answers, strict=True) if answer.problem]
    if not failed:
        return None
    kinds = ", ".join(f"{kind} ({n})" for kind, n in sorted(Counter(problem for _, problem in failed).items()))
    listed = ", ".join(str(number) for number, _ in failed[:10]) + (", ..." if len(failed) > 10 else "")
    return RecordError(
        "E_LLM",
        f"no usable answer of the language model for {len(failed)} of {len(numbers)} sentences: {kinds}; sentence "
        f"{listed} keep the facts of the rules; give another model, or more --llm-max-tokens",
    )


class _Sight(NamedTuple):
    """What the rules see around the words of a sentence."""

    words: Words
    context: Context
    sides: list[SideWord]


class _Work:
    """The facts of one report while answers come in."""

    def __init__(self, report: Report) -> None:
        self.counts: Counter[str] = Counter()
        self._report = report
        self._findings = list(report.findings)
        self._anatomy = list(report.anatomy)
        self._in_sentence: dict[int, list[int]] = {}
        for i, mention in enumerate(report.anatomy):
            self._in_sentence.setdefault(mention.sentence, []).append(i)
        self._disputed: dict[int, set[str]] = {}

    def made(self, identity: str) -> Report:
        """The report with all that was taken."""
        sentences = [
            dataclasses.replace(one, disputed=tuple(sorted({*one.disputed, *self._disputed.get(i, ())})))
            for i, one in enumerate(self._report.sentences)
        ]
        return dataclasses.replace(
            self._report,
            sentences=tuple(sentences),
            anatomy=tuple(self._anatomy),
            findings=tuple(self._findings),
            engine=f"rules+llm:{identity}",
        )

    def take(self, number: int, seen: Shown, answer: Answer, drafts: Sequence[int]) -> None:
        """The answer about sentence `number`, whose facts by rule are `drafts` (indices)."""
        self.counts["llm.sentences"] += 1
        if answer.value is None:
            self.counts["llm.failed"] += 1
            return
        self.counts["llm.unfit"] += answer.dropped
        left = set(drafts)
        for fact in answer.value["facts"]:
            places = [span for span in seen.find_all(fact["quote"]) if self._says_something(span)]
            if not places:
                self.counts["llm.E_SPAN"] += 1
            elif (known := self._known(fact, places, drafts)) is not None:
                left.discard(known)
                self._compare(number, fact, self._report.findings[known])
            else:
                self._add(number, seen, fact, places[0])
        self.counts["llm.unconfirmed"] += len(left)
        self.counts["llm.disputed"] += number in self._disputed

    def _says_something(self, span: Span) -> bool:
        return any(letter.isalpha() for letter in self._report.text[span[0] : span[1]])

    def _known(self, fact: Fact, places: Sequence[Span], drafts: Sequence[int]) -> int | None:
        """The fact of the rules that a quote covers: one of this name before another."""
        found = [i for i in drafts if any(_overlap(self._report.findings[i].span, place) for place in places)]
        return min(found, key=lambda i: (self._report.findings[i].name != fact["name"], i), default=None)

    def _compare(self, number: int, fact: Fact, known: Finding) -> None:
        pairs = {
            "negation": (fact["state"], known.state),
            "side": (fact["side"], known.side or "none"),
        }
        differ = {name for name, (its, ours) in pairs.items() if its != ours}
        if differ:
            self._disputed.setdefault(number, set()).update(differ)
        else:
            self.counts["llm.confirmed"] += 1
        for name in ("certainty", "time", "name"):
            if fact[name] not in (getattr(known, name), OTHER):
                self.counts[f"llm.differs.{name}"] += 1

    def _add(self, number: int, seen: Shown, fact: Fact, place: Span) -> None:
        """A fact that the rules have not; only where nothing that they see speaks against it."""
        if any(self._report.anatomy[i].span == place for i in self._in_sentence.get(number, ())):
            self.counts["llm.refused"] += 1  # the name of a structure is no finding
            return
        sight = self._sight(number)
        first, last = _at(sight.words, place)
        negated = any(sight.context.negated[first:last])
        side = cast(Side | None, None if fact["side"] == "none" else fact["side"])
        its, ours = side, self._side_by_rule(number, sight, first, last)
        differ = set()
        if (fact["state"] == "absent") != negated:
            differ.add("negation")
        if its != ours:
            differ.add("side")
        if differ:
            self._disputed.setdefault(number, set()).update(differ)
            self.counts["llm.refused"] += 1
            return
        prior = any(sight.context.prior[first:last]) or self._kind(number) == "comparison"
        history = any(sight.context.history[first:last])
        doubt = any(sight.context.uncertain[first:last]) or self._kind(number) == "question"
        links = tuple(dict.fromkeys(self._structures(number, seen, fact, side, negated=negated, prior=prior)))
        self._findings.append(
            Finding(
                span=place,
                sentence=number,
                name=fact["name"],
                state=fact["state"],
                certainty="uncertain" if doubt else fact["certainty"],
                time="prior" if prior else "history" if history else fact["time"],
                experiencer="other" if any(sight.context.other[first:last]) else "patient",
                side=side,
                anatomy=links,
                rules=(RULE,),
            )
        )
        self.counts["llm.added"] += 1

    def _structures(
        self, number: int, seen: Shown, fact: Fact, side: Side | None, *, negated: bool, prior: bool
    ) -> Iterator[int]:
        """Indices of the structures of a new fact; those that the rules have not are added."""
        for each in fact.get("structures", ()):
            places = [span for span in seen.find_all(each["quote"]) if self._says_something(span)]
            if not places:
                self.counts["llm.E_SPAN"] += 1
                continue
            own = self._in_sentence.setdefault(number, [])
            known = [i for i in own if any(_overlap(self._anatomy[i].span, place) for place in places)]
            if known:
                yield known[0]
                continue
            classes = classes_of(each["class"], side)
            sided = any(name.endswith(("_left", "_right")) for name in classes)
            own.append(len(self._anatomy))
            self._anatomy.append(
                Anatomy(
                    span=places[0],
                    sentence=number,
                    classes=classes,
                    side=side if sided else None,
                    negated=negated,
                    prior=prior,
                    rule=RULE,
                )
            )
            self.counts["llm.structures"] += 1
            yield own[-1]

    def _side_by_rule(self, number: int, sight: _Sight, first: int, last: int) -> Side | None:
        lang = self._report.sentences[number].lang
        own = side_of(sight.words, lang, first, last, sight.sides)
        return own[0] if own is not None else clause_side(sight.words, first, last, sight.sides)

    def _sight(self, number: int) -> _Sight:
        one = self._report.sentences[number]
        words = words_of(self._report.text, *one.span)
        context = context_of(words, one.lang)
        return _Sight(words, context, side_words(words, one.lang))

    def _kind(self, number: int) -> str:
        return self._report.sections[self._report.sentences[number].section].kind


def _overlap(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _at(words: Words, span: Span) -> tuple[int, int]:
    """Words [first, last) that `span` touches."""
    return bisect.bisect_right(words.ends, span[0]), bisect.bisect_left(words.starts, span[1])
