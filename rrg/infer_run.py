"""`rrg infer` from its options to its output: what the input is decides how it is read."""

import dataclasses
import datetime
import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

from rrg.errors import UsageError
from rrg.infer import NOTICES, Control, Task, answer_group, answer_item, constrain, model_at
from rrg.infer_asks import SHORT, asks_of
from rrg.infer_experts import read_experts
from rrg.infer_files import Files
from rrg.infer_inputs import Asking, dataset_items, kind_of, picture_items, split_stream, study_items
from rrg.infer_request import Request, check, where_of
from rrg.keys import fingerprint, load_key
from rrg.model.settings import Model
from rrg.outputs.page import write_document
from rrg.outputs.spool import open_parts, read_parts
from rrg.pipe import Io, Made, run_groups, run_items, talk
from rrg.provenance import make_run, sha256_file
from rrg.records import Lang, Run, Sample, Slice
from rrg.study import Wish
from rrg.study_choice import spec_of

TITLES = {
    "stream": ("Antworten", "Answers"),
    "dataset": ("Antworten auf einen Datensatz", "Answers to a data set"),
    "picture": ("Antworten zu Bildern", "Answers about pictures"),
    "study": ("Berichtsentwurf", "Draft report"),
}
"""Title of a page, (German, English), by kind of input."""


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
    asking: Asking | None = None
    """What is asked about pictures without samples."""


def run(request: Request, io: Io) -> None:
    """Check the options, load the model, answer. Does not return: see `rrg.pipe`."""
    kind = kind_of(io.inputs)
    control = _control(request)
    check(request, kind)
    source = _dataset(request, io) if kind == "dataset" else _stream(request, io) if kind == "stream" else None
    source = source or _own(request, io, kind)
    where = where_of(request)
    model = model_at(where)
    if request.dicom is not None and model.settings.demonstration and not request.allow_demo:
        raise UsageError(
            "--dicom: this is a demonstration model; its objects must not reach a clinical system: "
            "give --allow-demo to write them all the same"
        )
    if request.grammar:
        constrain(model)
    parts = open_parts(request.page, resume=io.resume) if request.page else None
    task = Task(
        model=where,
        store=source.store,
        max_new_tokens=request.max_new_tokens,
        seed=request.seed,
        control=control,
        pool=source.pool,
        parts=parts,
        grammar=request.grammar,
        masks=request.masks,
        summary=request.summary and kind == "study",
        files=_files(request),
    )
    record = make_run(
        "infer",
        {"max_new_tokens": request.max_new_tokens, "control": control, **_told(request, model), **source.options},
        seed=request.seed if control == "shuffled" else None,
        inputs={"model": model.hash, **source.sides, **_masks(request)},
    )
    if request.chat:
        from rrg.infer_chat_run import end

        assert source.asking is not None
        end(request, io, source.asking, task, record, kind)
        return
    source.start(task, record, io, _page_writer(request, kind, parts, model.settings.demonstration))


def _told(request: Request, model: Model) -> dict[str, Any]:
    """Options that change results and are not the default: runs of before keep their id."""
    told: dict[str, Any] = {}
    if request.grammar:
        told["grammar"] = True
    if request.chat:
        told["chat"] = True
    if model.backend == "server":
        dialect = model.settings.dialect
        told |= {"box_dialect": f"{dialect.kind}:{dialect.bins}", "image_side": request.image_side}
    return told


def _files(request: Request) -> Files | None:
    if request.dicom is None and request.nifti is None:
        return None
    moment = datetime.datetime.now(datetime.UTC).replace(microsecond=0, tzinfo=None)
    key = load_key(request.key_file)
    return Files(request.dicom, request.nifti, request.compact, key, request.store, moment)


def _masks(request: Request) -> dict[str, str]:
    return {f"masks{number}": sha256_file(path) for number, path in enumerate(request.masks)}


def _dataset(request: Request, io: Io) -> Source:
    """One split of a data set folder; its samples bring their questions."""
    _refuse_questions(request)
    folder = io.inputs[0]
    stream = split_stream(folder, request.split)

    def start(task: Task, record: Run, io: Io, tail: Callable[[], Iterable[Made]]) -> None:
        items = dataset_items(
            stream, tasks=[SHORT.get(w, w) for w in request.tasks], lang=request.lang, limit=request.limit
        )
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
        chosen = dataclasses.replace(task, tasks=tuple(SHORT.get(w, w) for w in request.tasks), lang=request.lang)
        step = functools.partial(answer_group, task=chosen)
        run_groups(step, kinds=(Sample, Slice), run=record, io=io, tail=tail)

    return Source(_filter(request), sides, request.store, io.inputs, start)


def _own(request: Request, io: Io, kind: str) -> Source:
    """Pictures, or studies on disk; the options say what to ask about each."""
    if request.shuffle_images:
        raise UsageError("--shuffle-images is for data sets and streams: it needs pictures of other patients")
    asks = tuple(asks_of(request.tasks, request.questions, request.phrases, request.grounds, request.boxes))
    lang = cast(Lang, request.lang or "en")
    options: dict[str, Any] = {"asks": [list(ask) for ask in asks], "lang": lang, "context": sorted(request.context)}
    sides: dict[str, str] = {}
    wish = _wish(request, options, sides) if kind == "study" else None
    asking = Asking(asks, lang, request.context, wish, read_experts(request.experts))
    for number, path in enumerate(request.experts):
        sides[f"experts{number}"] = sha256_file(path)

    def start(task: Task, record: Run, io: Io, tail: Callable[[], Iterable[Made]]) -> None:
        step = functools.partial(answer_item, task=task, asking=asking)
        items = study_items(io.inputs, wish.key) if wish is not None else picture_items(io.inputs)
        run_items(step, items, run=record, io=io, tail=tail)

    if kind == "study" and request.summary:
        options["summary"] = True
    if request.context:
        told = json.dumps(sorted(request.context.items())).encode()
        sides["context"] = hashlib.sha256(told).hexdigest()
    return Source(options, sides, request.store if request.masks else None, (), start, asking)


def _wish(request: Request, options: dict[str, Any], sides: dict[str, str]) -> Wish:
    """Which slices of a study; what of it changes results goes into `options` and `sides`."""
    spec = spec_of(request.slices)
    if (spec.kind == "referenced") != (request.report is not None):
        raise UsageError("--slices referenced and --report FILE belong together: the report says which slices")
    key = load_key(request.key_file)
    options |= {"slices": str(spec), "series": request.series, "modality": request.modality}
    sides["key"] = fingerprint(key)
    if request.report is not None:
        if not request.report.is_file():
            raise UsageError(f"--report {request.report}: no such file; give the text of the study's report")
        sides["report"] = sha256_file(request.report)
    return Wish(spec, key, request.series, request.modality, request.report)


def _filter(request: Request) -> dict[str, Any]:
    """Options that choose among samples; says which."""
    tasks = [SHORT.get(word, word) for word in request.tasks]
    if tasks or request.lang:
        chosen = ", ".join([*tasks, *([request.lang] if request.lang else [])])
        talk("infer", f"only samples of {chosen}")
    return {"tasks": tasks, "lang": request.lang}


def _refuse_questions(request: Request) -> None:
    for name, given in (
        ("-q", request.questions),
        ("--phrase", request.phrases),
        ("--ground", request.grounds),
        ("--describe", request.boxes),
        ("--clinical and --indication", request.context),
        ("--slices referenced", request.report),
        ("--series", request.series),
        ("--experts", request.experts),
    ):
        if given:
            raise UsageError(f"{name}: for a study or a picture; samples bring their own questions")


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
