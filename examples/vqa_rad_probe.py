"""What the features of a tower tell of VQA-RAD's yes/no questions, by kernel machines, before any language model.

Usage: vqa_rad_probe.py DATA TOWER    DATA as for vqa-rad.sh, TOWER a folder of a vision tower. A minute on one core.

A question is its words and pairs of words (TF-IDF), a picture the principal components of its pooled features. Words
alone, and words x pictures: a training question counts by how like it is in words and, there, in its picture. The
number of components and C are chosen by cross-validation within the training images. Needs scikit-learn (`.[dev]`).
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from rrg.model.assemble_parts import vision_tower

Array = NDArray[np.float64]
COMPONENTS, COSTS, FOLDS, DRAWS = (8, 16, 32, 64), (0.3, 1.0, 3.0), 5, 10_000


def closed(path: Path) -> list[dict[str, Any]]:
    """The questions of a file that are answered by yes or no."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [row for row in rows if said(row) in ("yes", "no")]


def said(row: dict[str, Any]) -> str:
    """The answer to a question, in lower case."""
    return str(row["answer"]).strip().lower()


def pooled(names: list[str], images: Path, tower: Path) -> Array:
    """(images, channels) mean of the features that a LLaVA would see."""
    network, processor = vision_tower(tower)
    found = []
    for name in names:
        given = processor(Image.open(images / name).convert("RGB"), return_tensors="pt")
        with torch.inference_mode():
            found.append(network(given["pixel_values"]).last_hidden_state.mean((0, 1)))
    return torch.stack(found).double().numpy()


def words_of(train: list[dict[str, Any]], asked: list[dict[str, Any]]) -> tuple[Array, Array]:
    """Likeness of training questions to each other, and of `asked` to these."""
    known = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    ours = known.fit_transform([row["question"].lower() for row in train])
    theirs = known.transform([row["question"].lower() for row in asked])
    return (ours @ ours.T).toarray(), (theirs @ ours.T).toarray()


def pictures_of(train: Array, asked: Array, components: int) -> tuple[Array, Array]:
    """The same of pictures (n, channels), one row a question: a Gaussian of the distance in so many components."""
    different = np.unique(train, axis=0)
    scaler = StandardScaler().fit(different)
    axes = PCA(min(components, len(different)), random_state=0).fit(scaler.transform(different))
    ours, theirs = axes.transform(scaler.transform(train)), axes.transform(scaler.transform(asked))
    size = np.square(ours).sum(1).mean()
    return tuple(np.exp(-np.square(a[:, None] - ours[None]).sum(-1) / size) for a in (ours, theirs))  # type: ignore[return-value]


def right(words: tuple[Array, Array], pictures: tuple[Array, Array] | None, cost: float,
          taught: Array, wanted: Array) -> NDArray[np.bool_]:  # fmt: skip
    """Which questions are answered rightly."""
    ours, theirs = (1 + each for each in words)
    if pictures is not None:
        ours, theirs = (a + b + 2 * (a - 1) * b for a, b in zip((ours, theirs), pictures, strict=True))
    machine = SVC(C=cost, kernel="precomputed").fit(ours, taught)
    return np.asarray(machine.predict(theirs) == wanted)


def interval(values: Array, groups: list[str], draws: int = DRAWS) -> str:
    """Mean and 95 % interval of a bootstrap of groups."""
    _, number = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(number, values), np.bincount(number)
    pick = np.random.default_rng(0).integers(len(sums), size=(draws, len(sums)))
    low, high = np.percentile(sums[pick].sum(1) / sizes[pick].sum(1), [2.5, 97.5])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    data, tower = Path(sys.argv[1]), Path(sys.argv[2])
    for path in (data / "train.json", data / "validation.json", data / "images", tower):
        if not path.exists():
            sys.exit(f"vqa_rad_probe: {path}: nothing there; DATA holds train.json, validation.json and images/")
    train, asked = closed(data / "train.json"), closed(data / "validation.json")
    names = sorted({row["image_name"] for row in (*train, *asked)})
    features = pooled(names, data / "images", tower)
    at = {name: number for number, name in enumerate(names)}
    shown, seen = ([at[row["image_name"]] for row in rows] for rows in (train, asked))
    taught, wanted = (
        np.array([str(row["answer"]).strip().lower() == "yes" for row in rows]) for rows in (train, asked)
    )

    score: dict[tuple[int, float], list[float]] = {}
    for a, b in GroupKFold(FOLDS).split(train, groups=shown):
        words = words_of([train[n] for n in a], [train[n] for n in b])
        for size in (0, *COMPONENTS):
            like = pictures_of(features[shown][a], features[shown][b], size) if size else None
            for cost in COSTS:
                score.setdefault((size, cost), []).append(right(words, like, cost, taught[a], taught[b]).mean())
    blind = max(((0, cost) for cost in COSTS), key=lambda each: np.mean(score[each]))
    looking = max(itertools.product(COMPONENTS, COSTS), key=lambda each: np.mean(score[each]))

    words = words_of(train, asked)
    others = np.random.default_rng(0).permutation(sorted(set(seen)))
    moved = dict(zip(sorted(set(seen)), others, strict=True))
    found = {"words alone": right(words, None, blind[1], taught, wanted)}
    for name, places in (("words x pictures", seen), ("shuffled pictures", [moved[n] for n in seen])):
        like = pictures_of(features[shown], features[places], looking[0])
        found[name] = right(words, like, looking[1], taught, wanted)
    images = [row["image_name"] for row in asked]
    print(f"{len(train)} questions to learn, {len(asked)} asked on {len(set(images))} images")
    print(f"chosen on training images: C {blind[1]}; {looking[0]} components, C {looking[1]}")
    for name, hits in found.items():
        print(f"{name:>18}: {interval(hits.astype(float), images)}")
    gain = found["words x pictures"].astype(float) - found["words alone"]
    print(f"{'difference':>18}: {interval(gain, images)}")


if __name__ == "__main__":
    main()
