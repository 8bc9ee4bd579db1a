"""The control that must fail: each sample gets a picture of another patient."""

import functools
from dataclasses import replace
from pathlib import Path

from rrg.errors import RrgError
from rrg.pipe import read_records
from rrg.records import ImageRef, Sample
from rrg.seeds import rng_for


@functools.cache
def _pool(streams: tuple[Path, ...], split: str | None) -> tuple[tuple[str, ...], dict[str, tuple[ImageRef, ...]]]:
    """Patients in order, and the distinct pictures of each one's samples, in order; in the model's own window."""
    found: dict[str, dict[str, ImageRef]] = {}
    for record in read_records(streams, (Sample,)):
        if isinstance(record, Sample) and record.split == split:
            for image in record.images:
                found.setdefault(record.patient, {}).setdefault(image.ref, replace(image, preset=None))
    return tuple(sorted(found)), {
        patient: tuple(images[ref] for ref in sorted(images)) for patient, images in found.items()
    }


def another(image: ImageRef, sample: Sample, pool: tuple[Path, ...], seed: int) -> ImageRef:
    """A random picture of another patient of the same split, out of the streams `pool`.

    It depends on the seed, the sample and the pool only. Raises RrgError when there is one patient.
    """
    patients, pictures = _pool(pool, sample.split)
    others = [patient for patient in patients if patient != sample.patient]
    if not others:
        raise RrgError("--shuffle-images: the input holds one patient only; at least two are needed")
    rng = rng_for(seed, "infer", f"{sample.id} {image.id}")
    chosen = pictures[others[int(rng.integers(len(others)))]]
    return chosen[int(rng.integers(len(chosen)))]
