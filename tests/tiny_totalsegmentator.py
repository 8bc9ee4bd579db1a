"""TotalSegmentator networks that are small enough to run in seconds, and real enough to run everywhere.

``python -m tests.tiny_totalsegmentator WEIGHTS JOBS`` runs TotalSegmentator itself on NIfTI files, without rrg: the
reference of `test_totalsegmentator.py` and of ``make bench-segment``. JOBS is a JSON list of `Job`.
"""

import contextlib
import json
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rrg.totalsegmentator_tasks import Network, Work, networks_of

UNET = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
CLASSES = {"conv_op": "torch.nn.modules.conv.Conv3d", "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d"}
IMPORTED = ["conv_op", "norm_op", "dropout_op", "nonlin"]
NO_STATISTICS = {"totalseg_id": "test", "send_usage_stats": False, "prediction_counter": 0}


def _resampling(name: str, *, labels: bool, order: int) -> dict[str, Any]:
    options = {"is_seg": labels, "order": order, "order_z": 0, "force_separate_z": None}
    return {f"resampling_fn_{name}": "resample_data_or_seg_to_shape", f"resampling_fn_{name}_kwargs": options}


def architecture(features: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of nnU-Net's U-Net with one convolution in each stage."""
    stages = len(features)
    return {
        "n_stages": stages,
        "features_per_stage": list(features),
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        "n_conv_per_stage": [1] * stages,
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_op": CLASSES["conv_op"],
        "conv_bias": True,
        "norm_op": CLASSES["norm_op"],
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


class Form(NamedTuple):
    """How large a network is, and what it sees."""

    features: tuple[int, ...] = (4, 6)
    patch: int = 32
    spacing_mm: float = 3.0


def plans(dataset: str, is_ct: bool, form: Form, configuration: str = "3d_fullres") -> dict[str, Any]:
    """nnU-Net plans of one channel."""
    one = {
        "data_identifier": f"nnUNetPlans_{configuration}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [form.patch] * 3,
        "median_image_size_in_voxels": [48, 48, 48],
        "spacing": [form.spacing_mm] * 3,
        "normalization_schemes": ["CTNormalization" if is_ct else "ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **_resampling("data", labels=False, order=3),
        **_resampling("seg", labels=True, order=1),
        **_resampling("probabilities", labels=False, order=1),
        "architecture": {
            "network_class_name": UNET,
            "arch_kwargs": architecture(form.features),
            "_kw_requires_import": IMPORTED,
        },
        "batch_dice": False,
    }
    intensities = {"mean": 0, "std": 300, "median": 0, "min": -1024, "max": 3000}
    return {
        "dataset_name": dataset,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [form.spacing_mm] * 3,
        "original_median_shape_after_transp": [48, 48, 48],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {configuration: one},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {**intensities, "percentile_00_5": -1000, "percentile_99_5": 1500}
        },
    }


def classes_of(number: int) -> dict[int, str]:
    """Value -> class name of the network of data set `number`."""
    from totalsegmentator import map_to_binary as maps
    from totalsegmentator.map_tasks_config import TASK_CONFIGS

    whole = {297: "total", 298: "total", 852: "total_mr", 853: "total_mr", 300: "body"}
    if number in whole:
        return dict(maps.class_map[whole[number]])
    if number in maps.map_taskid_to_partname_ct:
        return dict(maps.class_map_5_parts[maps.map_taskid_to_partname_ct[number]])
    if number in maps.map_taskid_to_partname_mr:
        return dict(maps.class_map_parts_mr[maps.map_taskid_to_partname_mr[number]])
    task = next(name for name, config in TASK_CONFIGS.items() if config.get("task_id") == number)
    return dict(maps.class_map[task])


def number_of(network: Network) -> int:
    """``Dataset297_...`` -> 297."""
    found = re.match(r"Dataset(\d+)_", network.folder)
    assert found
    return int(found[1])


def write_network(
    weights: Path,
    network: Network,
    form: Form = Form(),  # noqa: B008
    state: Mapping[str, Any] | None = None,
) -> None:
    """Plans, description and checkpoint as nnU-Net writes them; without `state` the weights are random."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    number, shape = number_of(network), architecture(form.features)
    labels = {"background": 0} | {name: value for value, name in classes_of(number).items()}
    dataset, _, trained = network.folder.partition("/")
    folder = weights / network.folder
    if folder.exists():
        return
    is_ct = "_mr" not in dataset.lower() and "mri" not in dataset.lower()
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans(dataset, is_ct, form, network.configuration)))
    described = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(described))
    for fold in network.folds or (0,):
        torch.manual_seed(3 + number + fold)
        net = get_network_from_plans(UNET, shape, IMPORTED, 1, len(labels), deep_supervision=False)
        checkpoint = {
            "network_weights": state or net.state_dict(),
            "trainer_name": trained.partition("__")[0],
            "init_args": {"configuration": network.configuration},
            "inference_allowed_mirroring_axes": None,
        }
        (folder / f"fold_{fold}").mkdir()
        torch.save(checkpoint, folder / f"fold_{fold}/checkpoint_final.pth")


def make_weights(weights: Path, *works: Work) -> Path:
    """Random networks for all that `works` need."""
    for work in works:
        for network in networks_of(work):
            write_network(weights, network)
    return weights


class Job(NamedTuple):
    """A volume for TotalSegmentator itself."""

    source: str
    target: str
    task: str
    fast: bool
    roi_subset: list[str] | None


def run_plain(weights: Path, jobs: Sequence[Job]) -> dict[str, list[str]]:
    """TotalSegmentator as it comes, in this process; its home is private, its downloads find no network.

    Gives the folders of the networks that each job loaded, by its target.
    """
    import nibabel
    from totalsegmentator import nnunet
    from totalsegmentator.python_api import totalsegmentator

    loaded: list[str] = []

    class Watched(nnunet.nnUNetPredictor):  # type: ignore[misc]
        def initialize_from_trained_model_folder(self, folder: str, *args: Any, **options: Any) -> None:
            loaded.append(str(Path(folder).relative_to(weights)))
            super().initialize_from_trained_model_folder(folder, *args, **options)

    nnunet.nnUNetPredictor = Watched
    found = {}
    for job in jobs:
        loaded.clear()
        options: dict[str, Any] = {"ml": True, "task": job.task, "fast": job.fast, "roi_subset": job.roi_subset}
        image = nibabel.load(job.source)
        nibabel.save(totalsegmentator(image, None, device="cpu", quiet=True, nr_thr_saving=1, **options), job.target)
        found[job.target] = list(loaded)
    return found


def main(weights: Path, jobs: Sequence[Job]) -> None:
    """Run the jobs; what they loaded goes to stdout."""
    with tempfile.TemporaryDirectory(prefix="totalsegmentator-home-") as home:
        for name in ("TOTALSEG_WEIGHTS_PATH", "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            os.environ[name] = str(weights)
        os.environ["TOTALSEG_HOME_DIR"] = home
        Path(home, "config.json").write_text(json.dumps({**NO_STATISTICS, "statistics_disclaimer_shown": True}))
        with contextlib.redirect_stdout(sys.stderr):
            found = run_plain(weights, jobs)
    print(json.dumps(found))


if __name__ == "__main__":  # TotalSegmentator starts processes that import this file again
    if "--forkserver" in sys.argv:  # the same pools of processes, which import everything once: for tests
        spawned = multiprocessing.get_context
        multiprocessing.get_context = lambda method=None: spawned("forkserver")  # type: ignore[assignment]
        multiprocessing.set_forkserver_preload(["nnunetv2.inference.predict_from_raw_data"])
    main(Path(sys.argv[1]).resolve(), [Job(*job) for job in json.loads(Path(sys.argv[2]).read_text())])
