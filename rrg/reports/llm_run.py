"""The language model of one `rrg parse-reports` run: its settings, what the run record says of it, its progress."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from rrg.errors import UsageError
from rrg.llm_meter import Watch
from rrg.llm_options import LlmOptions, recorded
from rrg.llm_settings import LlmSettings
from rrg.pipe import Made
from rrg.reports.llm_prompt import prompt_version
from rrg.reports.sources import Where, index

Tail = Callable[[], Iterable[Made]]


class Reader(NamedTuple):
    """A model that is ready to be asked; without one, all empty."""

    settings: LlmSettings | None = None
    options: Mapping[str, Any] = {}
    """For the run record."""
    inputs: Mapping[str, str] = {}
    """For the run record: who answers, and to which prompt."""
    watch: Watch | None = None


def reader_of(llm: LlmOptions, where: Where, *, wanted: bool) -> Reader:
    """The reader of a run over the reports of `where`. Raises UsageError for options that contradict `wanted`."""
    if not wanted:
        if llm != LlmOptions():
            raise UsageError("options of the language model (--llm...) need --engine llm")
        return Reader()
    watch = Watch("parse-reports", len(index(where).entries), " reports")
    settings = llm.settings(meter=watch.folder)
    inputs = {"model": settings.identity, "prompt": prompt_version()}
    return Reader(settings, {"engine": "llm", **recorded(settings)}, inputs, watch)


def closing(reader: Reader, tail: Tail | None) -> Tail | None:
    """`tail`, and then the end of the progress line."""
    if reader.watch is None:
        return tail
    watch = reader.watch

    def last() -> Iterable[Made]:
        if tail is not None:
            yield from tail()
        watch.close()

    return last
