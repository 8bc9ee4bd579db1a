"""`rrg score --protocols` lists the names that scripts and papers depend on: all of them, and no others."""

from rrg.metrics.listing import listing

AVERAGES = "ap ap50 ap75 ap.small ap.medium ap.large ar1 ar10 ar100 ar.small ar.medium ar.large"
AT50 = "at50.tp at50.fp at50.fn at50.precision at50.recall at50.f1 at50.fdr"
NEGATIVE = "negative.images negative.images_with_box negative.rate negative.boxes_per_image"
REFER = "iou acc10 acc30 acc50 acc70 acc90 center_acc"
GROUNDED = (
    "boxes.reference boxes.predicted boxes.matched boxes.hit50 matched.precision matched.recall matched.f1 "
    "at50.precision at50.recall at50.f1 matched.iou grounding_iou tags.only_prediction tags.only_reference tags.neither"
)
MASK_SET = "ciou empty.both empty.prediction empty.reference"
SURFACE = "hd95 hd100 asd.reference_to_prediction asd.prediction_to_reference nsd_1mm nsd_2mm"
BELOW = " ".join(f"mre_below_{n / 10:.1f}" for n in range(1, 11))
TEXTS = "bleu4.a bleu4.b chrf2.a chrf2.b"
DRAWN = " ".join(f"{name}.bs_{what}" for name in TEXTS.split() for what in ("mean", "halfwidth"))
NAMES = {
    "boxes": {"coco": f"{AVERAGES} {AT50} {NEGATIVE}"},
    "refer": {"strict": REFER, "refcoco": REFER},
    "grounded-text": {"strict": GROUNDED, "radgrounder": GROUNDED},
    "masks": {
        "strict": f"dice iou {SURFACE} {MASK_SET}",
        "medpy": f"dice iou hd95 hd100 assd {MASK_SET}",
        "medplib": f"dice iou {MASK_SET}",
        "radgrounder": f"dice iou {MASK_SET}",
        "panoptic": "tp fp fn rq sq pq",
    },
    "quantities": {
        "strict": "mae mae_penalised mae_sorted mre coverage",
        "count": "mae rmse exact coverage",
        "medvision-size": f"mae mre success_rate {BELOW}",
        "medvision-box": "iou f1 precision recall mae success_rate",
    },
    "pairs": {"mediconfusion": "set_accuracy individual_accuracy confusion invalid"},
    "calibration": {"strict": "ece15 mce15 ece10 mce10 brier auroc aurc risk_at_50 risk_at_80 risk_at_90 risk_at_100"},
    "compare": {
        "strict": (
            "M.a M.b M.diff M.p_sign_flip M.only_a M.only_b M.p_mcnemar M.wilcoxon M.p_wilcoxon M.p_sign_flip_holm"
        ),
        "sacrebleu-bs": f"{TEXTS} {DRAWN} bleu4.p_bs chrf2.p_bs",
        "sacrebleu-ar": f"{TEXTS} bleu4.p_ar chrf2.p_ar",
        "relative-robustness": "M.a M.b M.rr",
    },
}


def listed(task):
    """Protocol -> names of its metrics, as printed."""
    found: dict[str, list[str]] = {}
    for line in listing(task).splitlines():
        if line.startswith(f"{task} "):
            protocol = line.split(":")[0].split()[1]
        elif line.split()[0] != "known":
            found.setdefault(protocol, []).append(line.split()[0])
    return found


def test_names_of_protocols_and_metrics():
    for task, protocols in NAMES.items():
        made = listed(task)
        assert list(made) == list(protocols), task
        for protocol, names in protocols.items():
            assert sorted(made[protocol]) == sorted(names.split()), (task, protocol)


def test_every_task_is_listed():
    tasks = dict.fromkeys(line.split()[0] for line in listing(None).splitlines() if not line.startswith(" "))
    assert {"vqa", "report", "labels", "graphs", *NAMES} == set(tasks)
