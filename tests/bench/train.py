"""``make bench-train``: tokens per second of the text stage beside a plain loop over ready tensors, on one core.

Same tiny model, same batches, same optimiser, one process, A B A B. The plain loop is what one writes by hand: tensors
collated beforehand, forward, backward, clip, step. rrg's stage draws, collates, checks, logs and saves on the way.
Writes ``bench-out/train.json``. Ends with 1 when a goal is missed.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import REPEATS, Claim, measured, rows_of, table, write

SIZE, STEPS = "tiny:s", 25
GOAL, WAITING = 0.95, 0.05


def main() -> int:
    """Measure, print, write. 1 when a goal is missed."""
    os.environ |= {"OMP_NUM_THREADS": "1", "RRG_QUIET": "1"}
    ratios, waits, rates = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        stage.ours()
        stage.plain()
        for _ in range(REPEATS):
            ours, waiting = stage.ours()
            plain = stage.plain()
            ratios.append(ours / plain)
            waits.append(waiting)
            rates.append(ours)
    note = f"{SIZE}, {STEPS} steps of 16 groups of questions on squares, 1 thread"
    claims = {
        "tokens": measured(ratios, Claim(goal=GOAL, unit="x tokens/s", peer="plain torch loop", note=note)),
        "waiting": measured(waits, Claim(goal=WAITING, unit="of the time", peer="-", lower_is_better=True)),
        "rate": measured(rates, Claim(unit="tokens/s", peer="-")),
    }
    print(table(rows_of(claims)))
    write("train", claims)
    return int(any(claim.verdict == "MISSED" for claim in claims.values()))


class Stage:
    """The text stage of a tiny model on made-up squares, ready to start again and again."""

    def __init__(self, folder: Path) -> None:
        import torch

        from rrg.model.load import quiet_transformers
        from rrg.train import deterministic, model_of
        from rrg.train_data import read_part
        from rrg.train_options import Options
        from tests import squares

        quiet_transformers()
        torch.set_num_threads(1)
        deterministic()
        self.folder = folder
        self.dataset = squares.make(folder, patients=40)
        self.options = Options(model=SIZE, stages=("sft",), sft_steps=STEPS)
        part = read_part(self.dataset, "train", ("de", "en"))
        self.samples = part.samples
        self.form, self.tokenizer, self.model = model_of(part, self.options, None)

    def ours(self) -> tuple[float, float]:
        """(tokens/s, part of the time waiting for data) of `rrg.train_stages.sft_stage`."""
        import copy

        from rrg.provenance import make_run
        from rrg.train_checkpoint import Checkpoints, Stop
        from rrg.train_data import Pictures
        from rrg.train_devices import ALONE
        from rrg.train_log import Log
        from rrg.train_stages import Going, sft_stage

        kept = Checkpoints(self.folder / "run", make_run("train", {}), Stop())
        going = Going(Log(self.folder / "metrics.jsonl"), kept, ALONE)
        pictures = Pictures(self.dataset, self.form.preset, self.form.side)
        meter = sft_stage(
            copy.deepcopy(self.model), self.tokenizer, self.form, (self.samples, ()), pictures, self.options, going,
            base=None, folder=None,
        )  # fmt: skip
        kept.remove()
        return meter.rate, meter.waiting

    def plain(self) -> float:
        """Tokens/s of the loop by hand."""
        import copy

        import torch

        from rrg.prompt import IMAGE, PAD
        from rrg.train_data import Pictures
        from rrg.train_stages import box_tokens, open_text
        from rrg.train_text import Batches, answer_loss, collate, pack_questions, questions_of, tokens_of
        from rrg.train_tower import cached_features, channel_statistics

        model: Any = copy.deepcopy(self.model)
        form, options = self.form, self.options
        pictures = Pictures(self.dataset, form.preset, form.side)
        learn = list(
            questions_of(self.samples, form.dialect, self.tokenizer, form.image_tokens, form.context, pictures, {})
        )
        image, pad = self.tokenizer.convert_tokens_to_ids([IMAGE, PAD])
        features = cached_features(model.model.vision_tower, torch.from_numpy(pictures.stacked()))
        mean, std = channel_statistics(features)
        stream = Batches(learn, options.sft_batch, options.sft_tokens, torch.Generator().manual_seed(options.seed))
        ready = []
        for groups, _ in zip(stream, range(STEPS), strict=False):
            numbers = [number for group in groups for number in group[0].pictures]
            seen = (features[numbers].float() - mean) / std
            ready.append((collate([pack_questions(group) for group in groups], pad), seen, sum(map(tokens_of, groups))))
        boxes, optimiser = box_tokens(self.tokenizer, form.dialect), open_text(model, options)
        started, tokens = 0.0, 0
        for step, (batch, seen, count) in enumerate(ready):
            loss = answer_loss(model, batch, image, seen, boxes)
            optimiser.step(loss, step)
            loss.item()
            if step == 0:
                started = time.perf_counter()
            else:
                tokens += count
        return tokens / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
