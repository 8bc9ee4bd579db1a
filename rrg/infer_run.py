"""`rrg infer` from its options to its output: what the input is decides how it is read."""

import dataclasses
import functools
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

from rrg.errors import UsageError
from rrg.infer import NOTICES, Control, Task, answer_group, answer_item, model_at
from rrg.infer_inputs import Asking, asks_of, dataset_items, kind_of, picture_items, split_stream, study_items
from rrg.keys import fingerprint, load_key
from rrg.outputs.page import write_document
from rrg.outputs.spool import open_parts, read_parts
from rrg.pipe import Io, Made, run_groups, run_items, talk
from rrg.provenance import make_run, sha256_file
from rrg.records import Lang, Run, Sample, Slice
from rrg.study import check_spec

TITLES = {
    "stream": ("Antworten", "Answers"),
    "dataset": ("Antworten auf einen Datensatz", "Answers to a data set"),
    "picture": ("Antworten zu Bildern", "Answers about pictures"),
    "study": ("Berichtsentwurf", "Draft report"),
}
"""Title of a page, (German, English), by kind of input."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command, as given."""

    model: Path | None
    tasks: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    lang: str | None = None
    slices: str = "8"
    split: str = "test"
    limit: int | None = None
    shuffle_images: bool = False
    no_image: bool = False
    page: Path | None = None
    store: Path | None = None
    max_new_tokens: int = 256
    key_file: Path | None = None
    seed: int = 0


class Source(NamedTuple):
    """Where the samples come from, and how the work on them is started."""

    options: dict[str, Any]
    """Options that change results."""
    sides: dict[str, str]
    """Hashes of side inputs."""
    store: Path | None
    pool: tuple[Path, ...]
    """Streams that the shuffled control draws from."""
    start: Callable[[Task, Run, Io, Callable[[], Iterable[Made]]], None]


def run(request: Request, io: Io) -> None:
    """Check the options, load the model, answer. Does not return: see `rrg.pipe`."""
    kind = kind_of(io.inputs)
    control = _control(request)
    if request.lang not in (None, "de", "en"):
        raise UsageError(f"--lang {request.lang}: expected de or en")
    source = _dataset(request, io) if kind == "dataset" else _stream(request, io) if kind == "stream" else None
    source = source or _own(request, io, kind)
    if request.model is None:
        raise UsageError("no model: give --model RUN or a GGUF folder")
    model = model_at(request.model)
    parts = open_parts(request.page, resume=io.resume) if request.page else None
    task = Task(
        model=request.model,
        store=source.store,
        max_new_tokens=request.max_new_tokens,
        seed=request.seed,
        control=control,
        pool=source.pool,
        parts=parts,
    )
    record = make_run(
        "infer",
        {"max_new_tokens": request.max_new_tokens, "control": control, **source.options},
        seed=request.seed if control == "shuffled" else None,
        inputs={"model": model.hash, **source.sides},
    )
    source.start(task, record, io, _page_writer(request, kind, parts, model.settings.demonstration))


def _dataset(request: Request, io: Io) -> Source:
    """One split of a data set folder; its samples bring their questions."""
    _refuse_questions(request)
    folder = io.inputs[0]
    stream = split_stream(folder, request.split)

    def start(task: Task, record: Run, io: Io, tail: Callable[[], Iterable[Made]]) -> None:
        items = dataset_items(stream, tasks=request.tasks, lang=request.lang, limit=request.limit)
        run_items(functools.partial(answer_item, task=task), items, run=record, io=io, tail=tail)

    options = {"split": request.split, "limit": request.limit, **_filter(request)}
    return Source(options, {"data": sha256_file(stream)}, request.store or folder / "store", (stream,), start)


def _stream(request: Request, io: Io) -> Source:
    """Samples on stdin or in files; every line is passed on."""
    _refuse_questions(request)
    if request.limit is not None:
        raise UsageError("--limit is for data sets; cut a stream with jq or head")
    if request.store is None:
        raise UsageError("the samples of a stream need --store STORE, the folder of their pixels")
    sides: dict[str, str] = {}
    if request.shuffle_images:
        if not io.inputs or Path("-") in io.inputs:
            raise UsageError("--shuffle-images needs a data set folder or files: stdin can be read only once")
        sides = {f"pool{number}": sha256_file(path) for number, path in enumerate(io.inputs)}

    def start(task: Task, record: Run, io: Io, tail: Callable[[], Iterable[Made]]) -> None:
        chosen = dataclasses.replace(task, tasks=request.tasks, lang=request.lang)
        step = functools.partial(answer_group, task=chosen)
        run_groups(step, kinds=(Sample, Slice), run=record, io=io, tail=tail)

    return Source(_filter(request), sides, request.store, io.inputs, start)


def _own(request: Request, io: Io, kind: str) -> Source:
    """Pictures, or studies on disk; the options say what to ask about each."""
    if request.shuffle_images:
        raise UsageError("--shuffle-images is for data sets and streams: it needs pictures of other patients")
    asks = tuple(asks_of(request.tasks, request.questions, request.phrases))
    lang = cast(Lang, request.lang or "en")
    options: dict[str, Any] = {"asks": [list(ask) for ask in asks], "lang": lang}
    sides: dict[str, str] = {}
    key = b""
    if kind == "study":
        options["slices"] = check_spec(request.slices)
        key = load_key(request.key_file)
        sides["key"] = fingerprint(key)

    def start(task: Task, record: Run, io: Io, tail: Callable[[], Iterable[Made]]) -> None:
        step = functools.partial(answer_item, task=task, asking=Asking(asks, lang, request.slices, key))
        items = study_items(io.inputs, key) if kind == "study" else picture_items(io.inputs)
        run_items(step, items, run=record, io=io, tail=tail)

    return Source(options, sides, None, (), start)


def _filter(request: Request) -> dict[str, Any]:
    """Options that choose among samples; says which."""
    if request.tasks or request.lang:
        chosen = ", ".join([*request.tasks, *([request.lang] if request.lang else [])])
        talk("infer", f"only samples of {chosen}")
    return {"tasks": list(request.tasks), "lang": request.lang}


def _refuse_questions(request: Request) -> None:
    for name, given in (("-q", request.questions), ("--phrase", request.phrases)):
        if given:
            raise UsageError(f"{name} asks about a study or a picture; samples bring their own questions")


def _control(request: Request) -> Control:
    if request.shuffle_images and request.no_image:
        raise UsageError("--shuffle-images and --no-image exclude each other")
    return "shuffled" if request.shuffle_images else "blank" if request.no_image else "none"


def _page_writer(request: Request, kind: str, parts: Path | None, demonstration: bool) -> Callable[[], Iterable[Made]]:
    """What is done when all answers are there."""

    def write() -> Iterable[Made]:
        if request.page is not None and parts is not None:
            left_out = write_document(
                request.page,
                read_parts(parts),
                lang=request.lang or "en",
                title=TITLES[kind],
                notice=NOTICES[demonstration],
            )
            shutil.rmtree(parts, ignore_errors=True)
            talk("infer", f"page: {request.page}" + (f", {left_out} pictures did not fit" if left_out else ""))
        return ()

    return write
