"""A TotalSegmentator model with random weights: small enough to run in seconds, real enough to run everywhere.

``python -m tests.tiny_totalsegmentator HOME INPUT TASK OUTPUT`` runs TotalSegmentator itself on a NIfTI file with such
weights, without rrg, as the reference of `test_totalsegmentator.py`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

UNET = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
CLASSES = {"conv_op": "torch.nn.modules.conv.Conv3d", "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d"}


def _resampling(name: str, *, labels: bool, order: int) -> dict[str, Any]:
    options = {"is_seg": labels, "order": order, "order_z": 0, "force_separate_z": None}
    return {f"resampling_fn_{name}": "resample_data_or_seg_to_shape", f"resampling_fn_{name}_kwargs": options}


def make_weights(folder: Path, task: str) -> Path:
    """Write plans, data set description and a checkpoint of the fast form of `task` as nnU-Net expects them."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from totalsegmentator.map_tasks_config import TASK_CONFIGS, TASK_ID_WEIGHTS_CONFIGS
    from totalsegmentator.map_to_binary import class_map

    fast = TASK_CONFIGS[task]["sub_modes"]["fast"]
    dataset = TASK_ID_WEIGHTS_CONFIGS[fast["task_id"]]["foldername"]
    labels = {"background": 0} | {name: value for value, name in class_map[task].items()}
    architecture = {
        "n_stages": 2,
        "features_per_stage": [4, 6],
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_op": CLASSES["conv_op"],
        "conv_bias": True,
        "norm_op": CLASSES["norm_op"],
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    imported = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [32, 32, 32],
        "median_image_size_in_voxels": [48, 48, 48],
        "spacing": [3.0, 3.0, 3.0],
        "normalization_schemes": ["CTNormalization" if task == "total" else "ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **_resampling("data", labels=False, order=3),
        **_resampling("seg", labels=True, order=1),
        **_resampling("probabilities", labels=False, order=1),
        "architecture": {
            "network_class_name": UNET,
            "arch_kwargs": architecture,
            "_kw_requires_import": imported,
        },
        "batch_dice": False,
    }
    intensities = {"mean": 0, "std": 300, "median": 0, "min": -1024, "max": 3000}
    plans = {
        "dataset_name": dataset,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 3.0, 3.0],
        "original_median_shape_after_transp": [48, 48, 48],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {**intensities, "percentile_00_5": -1000, "percentile_99_5": 1500}
        },
    }
    model = folder / dataset / f"{fast['trainer']}__nnUNetPlans__3d_fullres"
    (model / "fold_0").mkdir(parents=True)
    (model / "plans.json").write_text(json.dumps(plans))
    described = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    (model / "dataset.json").write_text(json.dumps(described))
    torch.manual_seed(3)
    network = get_network_from_plans(UNET, architecture, imported, 1, len(labels), deep_supervision=False)
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": fast["trainer"],
        "init_args": {"configuration": "3d_fullres"},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, model / "fold_0/checkpoint_final.pth")
    return folder


def main(home: Path, source: Path, task: str, target: Path) -> None:
    """Make the weights of `task` in `home`/weights and run TotalSegmentator as it comes."""
    import torch

    torch.set_num_threads(1)
    home.mkdir(parents=True, exist_ok=True)
    os.environ |= {"TOTALSEG_HOME_DIR": str(home), "TOTALSEG_WEIGHTS_PATH": str(home / "weights")}
    off = {"totalseg_id": "test", "send_usage_stats": False, "prediction_counter": 0}
    (home / "config.json").write_text(json.dumps({**off, "statistics_disclaimer_shown": True}))
    make_weights(home / "weights", task)
    import nibabel
    from totalsegmentator.python_api import totalsegmentator

    image = nibabel.load(source)
    nibabel.save(
        totalsegmentator(image, None, ml=True, task=task, fast=True, device="cpu", quiet=True, nr_thr_saving=1), target
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
