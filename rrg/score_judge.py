"""An LLM judge behind any OpenAI-compatible server: a rubric, one verdict for each answer, failures counted apart."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrg.errors import RrgError, UsageError
from rrg.formats.items import Item
from rrg.metrics import green
from rrg.metrics.table import FRACTION, Metric, Scored

METRIC = Metric("judge", FRACTION, "verdicts of the judge, 0..1; those that failed are left out and counted")
GREEN = Path("green")
"""``--judge-rubric green``: count findings as GREEN does, English reports."""
GREEN_METRIC = Metric(
    "green",
    FRACTION,
    "matched / (matched + significant errors); failed verdicts are left out",
    note=green.NORMAL,
)
PLACES = ("question", "reference", "prediction")
_SCALE = re.compile(r"\Ascale:\s*(-?\d+(?:\.\d+)?)\s+(-?\d+(?:\.\d+)?)\s*\n")
_PLACE = re.compile(r"\{(question|reference|prediction)\}")
SYSTEM = 'You grade answers by a rubric. Answer with JSON only: {"score": NUMBER}.'
MAX_TOKENS = 1024


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """The judge of the command line."""

    url: str
    rubric: Path
    model: str | None = None
    cache: Path | None = None
    key_env: str | None = None


@dataclass(frozen=True)
class Rubric:
    """A rubric that was read."""

    text: str
    low: float
    high: float
    sha256: str


def read_rubric(path: Path) -> Rubric:
    """A text with {reference} and {prediction}, and {question} if it is wanted; its first line may be
    ``scale: LOW HIGH``, the range of the verdicts (0 1). UsageError when something is missing."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise RrgError(f"{path}: {error.strerror}", "E_IO") from None
    except UnicodeDecodeError:
        raise RrgError(f"{path}: not UTF-8; save the rubric as UTF-8") from None
    scale = _SCALE.match(text)
    low, high = (float(scale[1]), float(scale[2])) if scale else (0.0, 1.0)
    text = text[scale.end() :] if scale else text
    lacking = [name for name in PLACES[1:] if f"{{{name}}}" not in text]
    if lacking or low >= high:
        wrong = f"no {{{lacking[0]}}} in it" if lacking else f"scale: {low:g} {high:g} is no range"
        raise UsageError(
            f"--judge-rubric {path}: {wrong}; expected a text with {{reference}} and {{prediction}} "
            "(and {question}), its first line may be scale: LOW HIGH"
        )
    return Rubric(text, low, high, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, kw_only=True)
class Grading:
    """What a judge is told, and what its answer is worth."""

    metric: Metric
    system: str
    text: str
    """A rubric with places."""
    properties: Mapping[str, Mapping[str, object]]
    """JSON Schema of the fields of its answer; all are required."""
    value: Callable[[Mapping[str, float]], float]
    name: str
    """In the signature."""


def grading_of(options: JudgeOptions) -> Grading:
    """GREEN's counts for ``--judge-rubric green``, else the verdict that a file asks for."""
    if options.rubric == GREEN:
        return Grading(
            metric=GREEN_METRIC,
            system=green.SYSTEM,
            text=green.RUBRIC,
            properties={name: {"type": "integer", "minimum": 0} for name in green.FIELDS},
            value=lambda said: green.green(green.counts_of(said)),
            name=f"green-{hashlib.sha256(green.RUBRIC.encode()).hexdigest()[:12]}",
        )
    rubric = read_rubric(options.rubric)
    return Grading(
        metric=METRIC,
        system=SYSTEM,
        text=rubric.text,
        properties={"score": {"type": "number", "minimum": rubric.low, "maximum": rubric.high}},
        value=lambda said: (said["score"] - rubric.low) / (rubric.high - rubric.low),
        name=f"rubric-{rubric.sha256[:12]}",
    )


def judged(items: Sequence[Item], scored: Sequence[Scored], options: JudgeOptions) -> tuple[list[Scored], Metric, str]:
    """Scores with the judge's metric each, that metric, and the part of the signature. A missing or empty answer is 0
    and is not asked for; a verdict that can not be had, or is outside of the scale, is None.

    RrgError when the server does not answer at all.
    """
    from rrg import llm
    from rrg.llm_options import LlmOptions
    from rrg.llm_settings import Prompt

    grading = grading_of(options)
    schema = {"type": "object", "properties": grading.properties, "required": list(grading.properties)}
    settings = LlmOptions(
        where=options.url, model=options.model, cache=options.cache, key_env=options.key_env, max_tokens=MAX_TOKENS
    ).settings()
    asked = [number for number, item in enumerate(items) if not item.missing and item.text.strip()]
    prompts = [Prompt(grading.system, filled(grading.text, items[number]), json.dumps(schema)) for number in asked]
    found: dict[int, float | None] = dict.fromkeys(range(len(items)), 0.0)
    for number, answer in zip(asked, llm.ask(prompts, settings), strict=True):
        found[number] = None if answer.value is None else grading.value(answer.value)
    llm.close()
    name = grading.metric.name
    made = [dataclasses.replace(each, scores={**each.scores, name: found[n]}) for n, each in enumerate(scored)]
    model = settings.identity.removeprefix("server:").replace("|", "/")
    return made, grading.metric, f"{model}+{grading.name}"


def filled(rubric: str, item: Item) -> str:
    """The rubric with the texts of an item, each as a quoted string, so that no text can end its place."""
    from rrg.llm_text import quoted

    texts = dict(zip(PLACES, (item.reference.question, str(item.reference.value), item.text), strict=True))
    return _PLACE.sub(lambda match: quoted(texts[match[1]]), rubric)
