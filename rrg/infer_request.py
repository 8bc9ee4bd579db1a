"""The options of `rrg infer`, as given, and which of them do not go together."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from rrg.errors import UsageError
from rrg.infer_inputs import Kind
from rrg.model.server import Served
from rrg.model.settings import FILE
from rrg.pipe import talk

OWN = Path(__file__).parent / "weights"
"""The model that answers where none is given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command, as given."""

    model: str | None
    tasks: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    grounds: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    lang: str | None = None
    context: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """``clinical`` and ``question``, as far as given."""
    experts: tuple[Path, ...] = ()
    slices: str = "8"
    series: int | None = None
    modality: str | None = None
    report: Path | None = None
    split: str = "test"
    limit: int | None = None
    shuffle_images: bool = False
    no_image: bool = False
    page: Path | None = None
    dicom: Path | None = None
    nifti: Path | None = None
    compact: bool = False
    allow_demo: bool = False
    masks: tuple[Path, ...] = ()
    summary: bool = True
    chat: bool = False
    turns: Path | None = None
    store: Path | None = None
    max_new_tokens: int = 256
    grammar: bool = False
    model_name: str | None = None
    box_dialect: str | None = None
    image_side: int = 896
    parallel: int = 4
    answer_cache: Path | None = None
    timeout_s: float = 300.0
    key_env: str | None = None
    key_file: Path | None = None
    seed: int = 0


def check(request: Request, kind: Kind) -> None:
    """Refuse options that do not fit each other or the input, before anything is loaded."""
    if request.lang not in (None, "de", "en"):
        raise UsageError(f"--lang {request.lang}: expected de or en")
    if kind != "study":
        for option, given in (("--dicom", request.dicom), ("--nifti", request.nifti), ("--masks", request.masks)):
            if given:
                raise UsageError(f"{option} needs a study on disk: a {kind} has no place in a patient of its own")
    if kind in ("stream", "dataset") and request.chat:
        raise UsageError("--chat is about a study or a picture")
    for option, given in (("--page", request.page), ("--dicom", request.dicom), ("--nifti", request.nifti)):
        if request.chat and given:
            raise UsageError(f"--chat makes no files: give {option} without it")
    if request.masks and request.store is None:
        raise UsageError("--masks needs --store STORE, the folder of their arrays")
    for path in request.masks:
        if not path.is_file():
            raise UsageError(f"--masks {path}: no such file; give the output of rrg segment")
    if request.turns is not None and not request.chat:
        raise UsageError("--turns is for --chat")
    if request.turns is not None and not request.turns.is_file():
        raise UsageError(f"--turns {request.turns}: no such file; give a text file with a turn a line")
    for option, folder in (("--dicom", request.dicom), ("--nifti", request.nifti)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UsageError(f"{option} {folder} is no folder; give a folder, it is made when absent")


def where_of(request: Request) -> Path | Served:
    """The folder of the model, or the server that serves it. UsageError, RrgError(E_LLM_DOWN, E_MODEL)."""
    if request.model is None:
        if not (OWN / FILE).is_file():
            raise UsageError("no model: give --model RUN, a GGUF folder, or http://host:port/v1")
        talk("infer", "no --model: the demonstration model that comes with rrg answers")
        return OWN
    if "://" not in request.model:
        given = {"--box-dialect": request.box_dialect, "--model-name": request.model_name}
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"{option} is for servers; a model folder tells this itself")
        return Path(request.model)
    from rrg.model.server import served

    if request.box_dialect is None:
        raise UsageError("a server does not tell how its model writes boxes: give --box-dialect, or none")
    return served(
        request.model,
        name=request.model_name,
        dialect=request.box_dialect,
        side=request.image_side,
        parallel=request.parallel,
        cache=None if request.answer_cache is None else str(request.answer_cache),
        timeout_s=request.timeout_s,
        max_new_tokens=request.max_new_tokens,
        key_env=request.key_env,
    )
