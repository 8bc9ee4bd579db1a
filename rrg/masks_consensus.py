"""What several readers agree on: a voxel belongs to a structure where at least so many of them drew it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import BY_ID
from rrg.errors import RecordError
from rrg.masks import Labelled, Labels, add_layer, stacked


def agreed(readers: Sequence[Labelled], least: int) -> Labelled:
    """The labels that at least `least` of the `readers` gave to a voxel; all on one grid, one of each reader.

    Structures that nobody agrees on are counted, ``consensus.none``. What was looked for is what so many looked for.
    Raises RecordError E_MALFORMED where there are fewer readers.
    """
    if len(readers) < least:
        raise RecordError(
            "E_MALFORMED",
            f"--consensus {least}: masks of {len(readers)} reader(s) for this series; give those of at least {least}",
        )
    slices, _, rows, columns = readers[0].volume.shape
    layers: list[Labels] = [np.zeros((slices, rows, columns), np.uint8)]
    counts: Counter[str] = Counter()
    present = {int(value) for reader in readers for value in np.unique(reader.volume)} - {0}
    for class_id in sorted(present):
        votes: NDArray[np.uint8] = np.zeros((slices, rows, columns), np.uint8)
        for reader in readers:
            votes += (reader.volume == class_id).any(axis=1)  # once, also where parts of it lie in two layers
        inside = votes >= least
        if inside.any():
            add_layer(layers, inside * np.uint8(class_id))
        else:
            counts["consensus.none"] += 1
    for reader in readers:
        counts.update(reader.counts)
    return Labelled(
        volume=stacked(layers),
        looked_for=_looked_for(readers, least),
        counts=counts,
        flags=tuple(sorted({flag for reader in readers for flag in reader.flags})),
        fingerprint=" ".join(reader.fingerprint for reader in readers),
    )


def _looked_for(readers: Sequence[Labelled], least: int) -> tuple[str, ...] | None:
    """None as soon as one reader's list is not known."""
    lists = [reader.looked_for for reader in readers]
    if any(names is None for names in lists):
        return None
    told = Counter(name for names in lists for name in names or ())
    return tuple(label.name for label in BY_ID.values() if told[label.name] >= least)
