"""Two systems' texts by sacrebleu's paired tests: its bootstrap and its approximate randomisation, as they are."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

SYSTEMS = ("a", "b")
TESTS: Mapping[str, Literal["bs", "ar"]] = {"sacrebleu-bs": "bs", "sacrebleu-ar": "ar"}
"""Protocol -> sacrebleu's word for its test."""
DRAWS: Mapping[str, int] = {"bs": 1000, "ar": 10_000}
"""sacrebleu's own numbers."""
STRICT_ONLY = (
    "sacrebleu counts draws that are strictly above the observed difference: where few reports differ, p is far too "
    "small (three of eight differ: exact 0.25, printed 0.001); --protocol strict counts equal draws, too"
)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """sacrebleu takes its seed from the environment."""
    before = os.environ.get("SACREBLEU_SEED")
    os.environ["SACREBLEU_SEED"] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SACREBLEU_SEED"]
        else:
            os.environ["SACREBLEU_SEED"] = before


def paired(
    systems: tuple[Sequence[str], Sequence[str]],
    references: Sequence[str],
    test: Literal["bs", "ar"],
    draws: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Name -> metric object without counts: scores of A and B, p-values; of the bootstrap its means and half-widths.

    All three are equally long. Without `draws` there are scores and no test.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.significance import PairedTest

    metrics = {"BLEU": BLEU(references=[list(references)]), "chrF2": CHRF(references=[list(references)])}
    named: list[tuple[str, Sequence[str]]] = [(name, list(texts)) for name, texts in zip(SYSTEMS, systems, strict=True)]
    with _seeded(seed):
        # 0 would be its default of draws; without a test one draw is enough
        signatures, scores = PairedTest(named, metrics, None, test, max(draws, 1))()
    made: dict[str, dict[str, Any]] = {}
    for ours, theirs in (("bleu4", "BLEU"), ("chrf2", "chrF2")):
        signature = signatures[theirs].format()
        results: list[Any] = scores[theirs]
        for system, found in zip(SYSTEMS, results, strict=True):
            made[f"{ours}.{system}"] = {"value": float(found.score), "unit": "score100", "signature": signature}
            if test == "bs":
                for name, value in (("bs_mean", found.mean), ("bs_halfwidth", found.ci)):
                    known = None if not draws else float(value)
                    made[f"{ours}.{system}.{name}"] = {"value": known, "unit": "score100"}
        p = float(results[1].p_value) if draws else None
        made[f"{ours}.p_{test}"] = {"value": p, "unit": "p", **({"note": STRICT_ONLY} if test == "ar" else {})}
    return made
