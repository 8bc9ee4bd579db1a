"""Tasks of TotalSegmentator as tables: classes, modality, and the trained networks that a run reads. No torch here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from rrg.anatomy import LABELS
from rrg.errors import RrgError, UsageError
from rrg.masks import label_name

TASK_OF = {"CT": "total", "MR": "total_mr"}
"""Task that is run where none is named, by modality."""
UNFINISHED = ("test", "total_highres_test")
"""Tasks for which no weights were published."""
CT_CLASSES = 117
"""Our class ids up to here are those of task total."""
PLANS = "nnUNetPlans"
CONFIGURATION = "3d_fullres"


@dataclass(frozen=True, slots=True)
class Work:
    """What TotalSegmentator is asked for."""

    task: str
    fast: bool = False
    roi_subset: tuple[str, ...] | None = None
    """Classes by TotalSegmentator's names, in the order of their values; None: all."""


@dataclass(frozen=True, slots=True)
class Network:
    """A trained network in the weights folder."""

    folder: str
    """``Dataset.../TRAINER__PLANS__CONFIGURATION``."""
    configuration: str
    """Key of ``configurations`` in its plans.json."""
    folds: tuple[int, ...] | None
    """Folds that are averaged; None: all that are there."""


def tasks() -> tuple[str, ...]:
    """Every task that runs without a licence and has a class that our label table knows."""
    from totalsegmentator.map_tasks_config import TASK_CONFIGS
    from totalsegmentator.registry import TASKS

    closed = (*licensed_tasks(), *UNFINISHED)
    return tuple(task for task in TASKS if task in TASK_CONFIGS and task not in closed and labels_of(task))


def licensed_tasks() -> tuple[str, ...]:
    """Tasks that need a licence of TotalSegmentator's makers."""
    from totalsegmentator.map_to_binary import commercial_models

    return tuple(sorted(commercial_models))


def check_task(task: str) -> None:
    """UsageError for a task that can not be run, or that finds nothing that has a label here."""
    from totalsegmentator.map_tasks_config import TASK_CONFIGS
    from totalsegmentator.registry import TASKS

    if task in licensed_tasks():
        raise UsageError(
            f"--task {task}: it needs a licence of TotalSegmentator's makers, as do {', '.join(licensed_tasks())}; "
            f"tasks without one: {', '.join(tasks())}"
        )
    if task not in TASKS or task not in TASK_CONFIGS or task in UNFINISHED:
        raise UsageError(f"--task {task}: TotalSegmentator has no such task; expected one of {', '.join(tasks())}")
    if not labels_of(task):
        raise UsageError(f"--task {task}: rrg has a label for none of its classes {sorted(class_names(task).values())}")


def check_names() -> None:
    """RrgError when our label table and TotalSegmentator's tasks ``total`` and ``total_mr`` disagree on a value."""
    ours = {
        "total": {label.class_id: name for name, label in LABELS.items() if label.class_id <= CT_CLASSES},
        "total_mr": {label.mr_class_id: name for name, label in LABELS.items() if label.mr_class_id},
    }
    for task, expected in ours.items():
        theirs = class_names(task)
        wrong = sorted(value for value in theirs.keys() | expected.keys() if theirs.get(value) != expected.get(value))
        if wrong:
            named = ", ".join(f"{value} ({theirs.get(value)}, here {expected.get(value)})" for value in wrong[:3])
            raise RrgError(
                f"label table and TotalSegmentator's task {task} disagree on {len(wrong)} classes: {named}; "
                "install the version of constraints.txt",
                "E_MODEL",
            )


def modality_of(task: str) -> str:
    """``CT`` or ``MR``."""
    from totalsegmentator.registry import task_modality

    return str(task_modality(task))


def class_names(task: str) -> dict[int, str]:
    """Value -> name as TotalSegmentator itself tells it."""
    from totalsegmentator.map_to_binary import class_map

    return dict(class_map[task])


def labels_of(task: str) -> dict[int, str]:
    """Value -> label of ours, of the classes that have one."""
    return {value: name for value, given in class_names(task).items() if (name := label_name(given))}


def subset_of(task: str, wanted: Iterable[str]) -> tuple[str, ...]:
    """TotalSegmentator's names of those `wanted` classes that `task` has, in its order.

    A class may be wanted by TotalSegmentator's name or by ours.
    """
    asked = set(wanted) | {name for each in wanted if (name := label_name(each))}
    return tuple(given for given in class_names(task).values() if given in asked or label_name(given) in asked)


def check_subset(wanted: Sequence[str], asked: Sequence[str]) -> None:
    """UsageError for names that none of the tasks `asked` has, and for tasks that know no subset."""
    import difflib

    if alone := [task for task in asked if not task.startswith("total")]:
        raise UsageError(f"--roi-subset: task {alone[0]} has no subsets, only total and total_mr have")
    names = sorted({given for task in asked for given in class_names(task).values()})
    if not wanted:
        raise UsageError("--roi-subset: no name in it; give class names with commas, such as liver,spleen")
    for name in wanted:
        if not any(subset_of(task, [name]) for task in asked):
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"--roi-subset {name}: task {' and '.join(asked)} has no such class{hint}")


def networks_of(work: Work) -> tuple[Network, ...]:
    """The networks that TotalSegmentator reads for `work`, those of its rough first pass first.

    Says for our checks what ``totalsegmentator.python_api`` does; a test holds the two together.
    """
    config = _config(work)
    return tuple(dict.fromkeys([*_rough_pass(work, config), *own_networks(work)]))


def own_networks(work: Work) -> tuple[Network, ...]:
    """The same without the rough first pass."""
    config = _config(work)
    ids = config["task_id"]
    numbers = list(ids) if isinstance(ids, list) else [ids]
    if isinstance(ids, list) and work.roi_subset is not None:
        numbers = [number for number in numbers if _part_has(work.task, number, work.roi_subset)]
    own = [_network(n, config["trainer"], config["plans"], config["model"], config["folds"]) for n in numbers]
    if work.task == "vertebrae_pp_refined":
        own.append(_network(305, "nnUNetTrainer_DASegOrd0"))
    return tuple(dict.fromkeys(own))


def own_grid_mm(work: Work) -> float | None:
    """Spacing in mm of the grid to which TotalSegmentator brings a whole volume; None where it crops or keeps it."""
    config = _config(work)
    spacing = config["resample"]
    whole = isinstance(spacing, int | float) and not config["crop"] and work.roi_subset is None
    return float(spacing) if whole else None


def _config(work: Work) -> dict[str, Any]:
    from totalsegmentator.map_tasks_config import DEFAULT_CONFIG, TASK_CONFIGS

    raw: dict[str, Any] = TASK_CONFIGS[work.task]
    config: dict[str, Any] = {**DEFAULT_CONFIG, **raw, "plans": raw.get("plans", PLANS)}
    if modes := raw.get("sub_modes"):
        config |= modes["fast" if work.fast and "fast" in modes else "default"]
    elif work.fast and raw.get("disallow_fast"):
        raise UsageError(f"--task {work.task}: there is no fast form of it; leave --fast out")
    return config


def _rough_pass(work: Work, config: dict[str, Any]) -> tuple[Network, ...]:
    """Networks that find the region to look at."""
    crop = config["crop"] or work.roi_subset
    if not crop:
        return ()
    if config["crop_model"]:
        return networks_of(Work(config["crop_model"]))
    if {"body_trunc", "body_extremities"} & set(crop):
        return (_network(300, "nnUNetTrainer"),)
    if work.task.endswith("_mr"):
        return (_network(852, "nnUNetTrainer_2000epochs_NoMirroring"),)
    return (_network(297 if config["robust_crop"] else 298, "nnUNetTrainer_4000epochs_NoMirroring"),)


def _part_has(task: str, number: int, wanted: Sequence[str]) -> bool:
    from totalsegmentator import map_to_binary as maps

    parts, names = {
        "total": (maps.class_map_5_parts, maps.map_taskid_to_partname_ct),
        "total_v3": (maps.class_map_5_parts_total_v3, maps.map_taskid_to_partname_ct_v3),
        "total_mr": (maps.class_map_parts_mr, maps.map_taskid_to_partname_mr),
    }[task]
    return bool(set(wanted) & set(parts[names[number]].values()))


def _network(
    number: int, trainer: str, plans: str = PLANS, configuration: str = CONFIGURATION, folds: Any = (0,)
) -> Network:
    from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

    place = TASK_ID_WEIGHTS_CONFIGS[number]
    folder = PurePosixPath(place.get("rel_path") or "", place["foldername"], f"{trainer}__{plans}__{configuration}")
    return Network(str(folder), configuration, None if folds is None else tuple(folds))
